//! Every worked case of `tests/cases`: what the specification gives for them, to the letter.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::events::{SOURCES, Source};
use crate::project::Project;
use crate::readers::Table;
use crate::view::{View, json_file};

pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub about: Value,
    pub summary: Value,
}

/// All cases, by name.
pub fn all() -> Vec<Case> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut found: Vec<Case> = std::fs::read_dir(cases)
        .expect("tests/cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|folder| folder.is_dir())
        .map(|folder| Case {
            name: folder.file_name().expect("a name").to_string_lossy().into_owned(),
            about: json_file(&folder.join("case.json")),
            summary: json_file(&folder.join("expected/summary.json")),
            folder,
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(found.len(), 10, "cases were lost or added without being counted here");
    found
}

impl Case {
    /// A project with the raw files and settings of the case.
    pub fn project(&self) -> Project {
        let mut project = Project::empty()
            .with("validation.as_of", self.about["as_of"].clone())
            .with("processing.max_reject_rate", json!(1.0));
        for source in SOURCES {
            let name = source.default_file();
            let raw = std::fs::read(self.folder.join("raw").join(name)).expect("a raw file");
            project.write(&format!("data/raw/{name}"), raw);
            let key = format!("preprocess.dedupe.{}", source.name());
            project.set(&key, self.about["dedupe"].clone());
        }
        project
    }

    fn expected(&self, name: &str) -> Table {
        Table::csv(&self.folder.join("expected").join(name))
    }
}

/// Runs each case, tiny or not, and hands its artifacts to the check.
fn each(check: impl Fn(&Case, &View)) {
    for case in all() {
        for tiny in [false, true] {
            println!("case {}, tiny: {tiny}", case.name);
            let project = case.project().with("quality.enable_quality_checks", json!(false));
            let project = if tiny { project.tiny() } else { project };
            project.run_all();
            check(&case, &project.view());
        }
    }
}

/// The `processed_at` of the days and instants that the cases are seen from.
fn processed_at(as_of: &str) -> &'static str {
    match as_of {
        "2020-11-30" => "2020-12-01T00:00:00.000000Z",
        "2020-11-29" => "2020-11-30T00:00:00.000000Z",
        "2020-11-29T16:00:00-03:00" => "2020-11-29T19:00:00.000000Z",
        other => panic!("a case as of {other}: say here what instant that is"),
    }
}

#[test]
fn every_case_gives_its_gold_silver_rejects_and_counts() {
    each(|case, view| {
        let gold = view.gold();
        assert_eq!(gold.column("clicked").iter().filter(|c| **c == "true").count(), {
            case.summary["gold"]["clicked"].as_u64().expect("a number") as usize
        });
        assert_eq!(gold.sorted().rows, case.expected("gold.csv").sorted().rows, "{}", case.name);
        let mut rejects = Vec::new();
        for source in SOURCES {
            let name = source.name();
            let silver = view.silver(source);
            let at = processed_at(case.about["as_of"].as_str().expect("a day"));
            assert!(silver.column("processed_at").iter().all(|value| *value == at), "{name}");
            let (have, want) = (
                silver.without("processed_at").sorted(),
                case.expected(&format!("silver_{name}.csv")).sorted(),
            );
            assert_eq!(have.columns, want.columns, "{} {name}", case.name);
            assert_eq!(have.rows, want.rows, "{} {name}", case.name);
            for row in view.rejects(source).rows {
                rejects.push([&[name.to_owned()], &row[..4]].concat());
            }
            check_counts(case, view, source);
        }
        let want = case.expected("rejects.csv").sorted();
        rejects.sort();
        assert_eq!(rejects, want.rows, "{}", case.name);
    });
}

fn check_counts(case: &Case, view: &View, source: Source) {
    let name = source.name();
    let want = |count: &str| {
        let value = case.summary[name][count].as_u64();
        value.unwrap_or_else(|| panic!("{count} in summary.json"))
    };
    for count in ["rows_read", "rows_valid", "rows_rejected", "blank_lines"] {
        assert_eq!(view.count(&format!("extract.{name}"), count), want(count), "{name} {count}");
    }
    for count in ["rows_after_as_of", "duplicates", "rows_silver"] {
        assert_eq!(view.count(&format!("preprocess.{name}"), count), want(count), "{name} {count}");
    }
}

#[test]
fn every_case_gives_its_report() {
    each(|case, view| {
        let report = view.report();
        let close = |have: &Value, want: &Value, what: &str| {
            let (have, want) = (have.as_f64(), want.as_f64().expect("a number"));
            let have = have.unwrap_or_else(|| panic!("{}: no {what} in {report:#}", case.name));
            assert!((have - want).abs() < 1e-6, "{} {what}: {have}, not {want}", case.name);
        };
        let rules = &case.summary["rules"];
        close(
            &report["business_rules"]["taps_have_prints_rate"],
            &rules["taps_have_prints_rate"],
            "taps_have_prints_rate",
        );
        close(
            &report["rules"]["payments_have_taps"]["value"],
            &rules["payments_have_taps_rate"],
            "payments_have_taps",
        );
        for source in SOURCES {
            let name = source.name();
            let summary = &case.summary[name];
            close(&report["row_counts"][name], &summary["rows_silver"], name);
            let known = summary["rows_valid"].as_f64().unwrap_or(0.0)
                - summary["rows_after_as_of"].as_f64().unwrap_or(0.0);
            let found = summary["duplicates"].as_f64().unwrap_or(0.0);
            let rate = if known > 0.0 { found / known } else { 0.0 };
            close(&report["duplicate_rates"][name], &json!(rate), "duplicate rate");
        }
        close(&report["row_counts"]["gold"], &case.summary["gold"]["rows"], "gold");
        check_score(&report);
    });
}

/// The score and the passes follow from the report's own figures.
fn check_score(report: &Value) {
    let number = |section: &str, key: &str| {
        report[section][key].as_f64().unwrap_or_else(|| panic!("no {section}.{key} in {report:#}"))
    };
    let (nulls, duplicates) = (number("null_rates", "prints"), number("duplicate_rates", "prints"));
    let score = 0.4 * (1.0 - nulls)
        + 0.2 * (1.0 - duplicates)
        + 0.2 * number("business_rules", "taps_have_prints_rate")
        + 0.2 * (1.0 - number("null_rates", "gold"));
    let have = report["quality_score"].as_f64().expect("a score");
    assert!((have - score).abs() <= 0.000_051, "{have} is not {score} with four digits");
    let passes = json!({
        "prints_nulls": nulls <= number("thresholds", "max_null_pct"),
        "prints_dups": duplicates <= number("thresholds", "max_dup_pct"),
        "gold_nulls": number("null_rates", "gold") <= number("thresholds", "max_null_pct"),
        "score": have >= number("thresholds", "min_quality_score"),
    });
    assert_eq!(report["passes"], passes);
}

#[test]
fn no_events_at_all_are_valid_but_the_gate_says_that_gold_is_empty() {
    let case = all().into_iter().find(|case| case.name == "empty").expect("the case");
    let project = case.project();
    let outcome = project.mp(&["run", "--all"]).fails(5);
    assert!(outcome.all().contains("gold_not_empty"), "{outcome}");
    let view = project.view();
    assert!(view.gold().rows.is_empty(), "Gold is there, with its columns");
    assert_eq!(view.report()["row_counts"]["gold"], 0);
    assert!(!view.success_path().exists());
}
