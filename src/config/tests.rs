//! The configuration from the outside: precedence, origins, the committed files, `show`.
//! What is refused, and in which words, is in `errors`.

mod errors;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::NaiveDate;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::keys::{KEYS, Key};
use super::kind::Kind;
use super::*;
use crate::settings::{Dedupe, Level, LogFormat, Severity};

/// A project folder and what is given besides.
struct Project {
    folder: TempDir,
    sources: Sources,
}

impl Project {
    fn new() -> Project {
        let folder = TempDir::new().unwrap();
        let sources = Sources { project: folder.path().to_owned(), ..Sources::default() };
        Project { folder, sources }
    }

    fn params(self, text: &str) -> Project {
        self.write("config/params.yaml", text)
    }

    fn write(self, name: &str, text: impl AsRef<[u8]>) -> Project {
        let path = self.folder.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        self
    }

    fn file(self, name: &str, text: &str) -> Project {
        let mut project = self.write(name, text);
        project.sources.files.push(project.folder.path().join(name));
        project
    }

    fn env(mut self, name: &str, value: &str) -> Project {
        self.sources.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn set(mut self, given: &str) -> Project {
        self.sources.sets.push(given.to_owned());
        self
    }

    fn load(&self) -> Loaded {
        load(&self.sources, today()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(&self) -> String {
        load(&self.sources, today()).map(|_| ()).unwrap_err().to_string()
    }
}

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 23).unwrap()
}

const PARAMS: &str = include_str!("../../config/params.yaml");
const EXAMPLE: &str = include_str!("../../config/example.yaml");

/// `a.b.c` and `1` as a nested YAML text.
fn nest(name: &str, value: &str) -> String {
    let mut text = String::new();
    let parts: Vec<&str> = name.split('.').collect();
    for (depth, part) in parts.iter().enumerate() {
        let end = if depth + 1 == parts.len() { format!(" {value}") } else { String::new() };
        text.push_str(&format!("{}{part}:{end}\n", "  ".repeat(depth)));
    }
    text
}

fn generic(name: &str) -> String {
    format!("MP__{}", name.to_uppercase().replace('.', "__"))
}

/// Five values that differ from each other and from the default, as YAML and as kept.
fn others(key: &Key) -> Vec<(String, Value)> {
    let pick = |values: &[&str]| -> Vec<(String, Value)> {
        values.iter().map(|value| ((*value).to_owned(), json!(value))).collect()
    };
    match key.kind {
        Kind::Folder { .. } => pick(&["a", "b/c", "/d", "e f", "../g"]),
        Kind::FileName => pick(&["a.log", "b", "c d", "e.f", "g"]),
        Kind::AsOf => {
            pick(&["2020-11-01", "2020-11-02", "2020-11-03T00:00:00Z", "2020-11-04", "2020-11-05"])
        }
        Kind::Amount => pick(&["1", "999.99", "1e6", "0.10", "1000000000000.000"]),
        Kind::Globs => [("[a, 'b*']", json!(["a", "b*"])), ("c", json!(["c"]))]
            .into_iter()
            .chain([("[d]", json!(["d"])), ("e/**", json!(["e/**"])), ("[f]", json!(["f"]))])
            .map(|(text, value)| (text.to_owned(), value))
            .collect(),
        Kind::Integer { .. } => (200..205).map(|n| (n.to_string(), json!(n))).collect(),
        Kind::Share => (1..6).map(|n| (format!("0.{n}7"), json!(n as f64 / 10.0 + 0.07))).collect(),
        Kind::Bool => (0..5)
            .map(|n| (n % 2 == 1) ^ (key.default == "false"))
            .map(|value| (value.to_string(), json!(value)))
            .collect(),
        Kind::Choice(words) => {
            (0..5).map(|n| words[n % words.len()]).map(|w| (w.to_lowercase(), json!(w))).collect()
        }
    }
}

fn value(loaded: &Loaded, key: &str) -> Value {
    loaded.values[key].clone()
}

#[test]
fn every_key_can_be_given_in_every_layer_and_the_later_layer_wins() {
    for key in KEYS {
        let name = key.name;
        let given = others(key);
        let close = |loaded: &Loaded, expected: &Value| match (value(loaded, name), expected) {
            (Value::Number(a), Value::Number(b)) => {
                (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-12
            }
            (a, b) => a == *b,
        };
        // The bounds of users must not cross on the way.
        let wide = |project: Project| match name {
            "validation.thresholds.max_records_per_user" => project,
            _ => project.set("validation.thresholds.max_records_per_user=100000"),
        };
        let check = |project: Project, (_, expected): &(String, Value), origin: &str| {
            let project = wide(project);
            let loaded = project.load();
            assert!(close(&loaded, expected), "{name}: {} {expected}", value(&loaded, name));
            assert_eq!(loaded.origins[name].to_string(), origin, "{name}");
            project
        };
        let line = name.split('.').count();
        let text = nest(name, &given[0].0);
        let project = Project::new().params(&text);
        let project = check(project, &given[0], &format!("config/params.yaml:{line}"));
        let project = project.file("one.yaml", &nest(name, &given[4].0));
        let project = project.file("two.yaml", &format!("# x\n{}", nest(name, &given[1].0)));
        let mut project = check(project, &given[1], &format!("two.yaml:{}", line + 1));
        if let Some(env) = key.env {
            project = check(project.env(env, &given[2].0), &given[2], &format!("env {env}"));
        }
        let env = generic(name);
        let project = check(project.env(&env, &given[3].0), &given[3], &format!("env {env}"));
        let project = project.set(&format!("{name}={}", given[1].0));
        check(project.set(&format!("{name}={}", given[4].0)), &given[4], "--set");
    }
}

#[test]
fn with_nothing_given_every_key_has_its_default() {
    let loaded = Project::new().load();
    assert_eq!(loaded.origins.len(), KEYS.len());
    assert!(loaded.origins.values().all(|origin| *origin == Origin::Default));
    assert!(loaded.layers.is_empty());
    let quality = loaded.config.quality();
    assert_eq!(quality.rules.len(), 9);
    assert_eq!(quality.rules["payments_have_taps"].severity, Severity::Off);
    assert_eq!(quality.rules["gold_not_empty"].threshold, 1.0);
    assert_eq!(quality.max_payment_amount, "1000000");
    assert_eq!(loaded.config.preprocess("payments").unwrap().dedupe, Dedupe::Keep);
    assert_eq!(loaded.config.extract("payments").unwrap().files, ["pays.csv"]);
    assert_eq!(loaded.config.extract("clicks"), None);
    assert_eq!(loaded.config.preprocess("clicks"), None);
    assert_eq!(loaded.config.store_keep(), 3);
    let resources = loaded.config.resources(6);
    assert_eq!((resources.chunk_rows, resources.threads), (10_000, 6));
    assert_eq!(resources.memory_bytes, 1 << 30);
    let logging = loaded.config.logging();
    assert_eq!((logging.level, logging.format), (Level::Info, LogFormat::Text));
    assert_eq!((logging.max_file_bytes, logging.backup_count), (10 << 20, 5));
}

#[test]
fn params_yaml_names_every_key_with_its_default_and_a_comment() {
    let text = PARAMS;
    let loaded = Project::new().params(text).load();
    assert_eq!(loaded.values, Project::new().load().values);
    for (key, origin) in &loaded.origins {
        let Origin::File { line, .. } = origin else { panic!("{key} is missing") };
        let last = key.rsplit('.').next().unwrap();
        let found = text.lines().nth(line - 1).unwrap();
        assert!(found.trim_start().starts_with(&format!("{last}:")), "{key}: {found}");
    }
    for env in KEYS.iter().filter_map(|key| key.env) {
        assert!(text.contains(&format!("[{env}]")), "{env}");
    }
}

#[test]
fn example_yaml_keeps_to_its_own_folders() {
    let project = Project::new().params(PARAMS);
    let loaded = project.file("config/example.yaml", EXAMPLE).load();
    let at = |name: &str| loaded.config.project().join("data/example").join(name);
    let paths = loaded.config.paths();
    assert_eq!((&paths.raw, &paths.processed), (&at("raw"), &at("processed")));
    assert_eq!((&paths.output, &paths.reports), (&at("output"), &at("quality_reports")));
    assert_eq!((&paths.store, &paths.logs), (&at(".mp"), &at("logs")));
    assert_eq!(loaded.config.as_of().as_given(), "2020-11-30");
    assert_eq!(loaded.layers.len(), 2);
}

#[test]
fn what_a_stage_has_read_is_named_by_real_keys_with_the_values_in_force() {
    let config = Project::new().set("quality.rules.rejects.threshold=0.25").load();
    let all = &config.config;
    let mut entries = [all.features().entries(), all.quality().entries()].to_vec();
    for source in ["prints", "taps", "payments"] {
        entries.push(all.extract(source).unwrap().entries());
        entries.push(all.preprocess(source).unwrap().entries());
    }
    let mut named = BTreeSet::new();
    for (key, read) in entries.into_iter().flatten() {
        let force = &config.values[key.as_str()];
        assert!(*force == read || force.as_f64() == read.as_f64(), "{key}: {force} {read}");
        named.insert(key);
    }
    // What cannot change a result is in no key.
    let unnamed: Vec<&str> =
        KEYS.iter().map(|key| key.name).filter(|name| !named.contains(*name)).collect();
    let free = ["data_paths.", "logging.", "store.", "quality.quality_report_path"];
    let also = ["processing.chunk_size", "processing.max_memory_mb", "processing.encoding"];
    let rest = ["processing.parallel_processing", "processing.n_workers", "validation.as_of"];
    for name in unnamed {
        let is_free = free.iter().chain(&also).chain(&rest).any(|start| name.starts_with(start));
        assert!(is_free, "{name} is read by no stage");
    }
}

#[test]
fn as_of_is_the_flag_then_the_variable_then_the_file_then_today() {
    let project = Project::new();
    assert_eq!(project.load().config.as_of().to_string(), "2026-11-24T00:00:00Z");
    let project = project.params("validation: {as_of: 2020-11-01}");
    assert_eq!(project.load().config.as_of().as_given(), "2020-11-01");
    let project = project.env("MP_AS_OF", "2020-11-02");
    assert_eq!(project.load().config.as_of().as_given(), "2020-11-02");
    let mut project = project.set("validation.as_of=2020-11-03");
    assert_eq!(project.load().config.as_of().as_given(), "2020-11-03");
    project.sources.as_of = Some("2020-11-04T00:00:00Z".to_owned());
    let loaded = project.load();
    assert_eq!(loaded.config.as_of().as_given(), "2020-11-04T00:00:00Z");
    assert_eq!(loaded.origins["validation.as_of"].to_string(), "--as-of");
    project.sources.as_of = Some("soon".to_owned());
    let error = project.error();
    assert!(error.starts_with("`--as-of`: `validation.as_of` must be a date"), "{error}");
}

#[test]
fn as_of_fills_three_folders_and_no_other() {
    let project = Project::new()
        .params("data_paths: {processed: 'p/{as_of}', output: 'o/{as_of}/{as_of}'}")
        .set("quality.quality_report_path=/r-{as_of}")
        .set("validation.as_of=2020-12-01T02:00:00.5+02:00");
    let loaded = project.load();
    let paths = loaded.config.paths().clone();
    let stamp = loaded.config.as_of().folder();
    assert_eq!(paths.processed, project.folder.path().join("p").join(&stamp));
    assert_eq!(paths.output, project.folder.path().join("o").join(&stamp).join(&stamp));
    assert_eq!(paths.reports, Path::new(&format!("/r-{stamp}")));
    for key in ["data_paths.raw", "logging.log_dir", "logging.log_file", "store.path"] {
        for text in ["x{as_of}", "{day}"] {
            let error = Project::new().set(&format!("{key}={text}")).error();
            assert!(error.contains("may not hold"), "{error}");
        }
    }
    let error = Project::new().set("sources.taps.files=taps-{as_of}.json").error();
    assert!(error.contains("may not hold `{as_of}`"), "{error}");
    let loaded = Project::new().set("sources.taps.files=taps-{a,b}.json").load();
    assert_eq!(loaded.config.extract("taps").unwrap().files, ["taps-{a,b}.json"]);
    let error = Project::new().set("data_paths.output=o/{as_of}/{day}").error();
    assert!(error.ends_with("may hold `{as_of}` but not `{day}`"), "{error}");
}

#[test]
fn jobs_take_the_place_of_n_workers() {
    let mut project = Project::new().set("processing.n_workers=3");
    assert_eq!(project.load().config.resources(8).threads, 3);
    project.sources.jobs = Some(2);
    let loaded = project.load();
    assert_eq!(loaded.config.resources(8).threads, 2);
    assert_eq!(loaded.origins["processing.n_workers"].to_string(), "--jobs");
    let alone = project.set("processing.parallel_processing=false");
    assert_eq!(alone.load().config.resources(8).threads, 1);
    let mut project = alone;
    project.sources.jobs = Some(1025);
    assert!(
        project.error().starts_with("`--jobs`: `processing.n_workers` must be an integer from")
    );
}

#[test]
fn text_in_the_environment_and_in_set_is_taken_as_it_stands() {
    let loaded = Project::new()
        .env("MP_RAW_DATA_PATH", "/data: x #1")
        .env("MP_LOG_DIR", "2020")
        .env("MP__SOURCES__PRINTS__FILES", "*.json")
        .env("MP__sources__Taps__FILES", "['*.json', b]")
        .env("MP__LOGGING", "{format: json, backup_count: 0}")
        .set("logging.log_file='it''s.log'")
        .set("validation.business_rules.max_payment_amount=999.990000000000000000001")
        .set("quality.rules.rejects={severity: error}")
        .set("store.path=a=b")
        .load();
    let config = &loaded.config;
    assert_eq!(config.paths().raw, Path::new("/data: x #1"));
    assert_eq!(config.paths().logs, config.project().join("2020"));
    assert_eq!(config.paths().store, config.project().join("a=b"));
    assert_eq!(config.extract("prints").unwrap().files, ["*.json"]);
    assert_eq!(config.extract("taps").unwrap().files, ["*.json", "b"]);
    let logging = config.logging();
    assert_eq!((logging.format, logging.backup_count), (LogFormat::Json, 0));
    assert_eq!(logging.file, "it's.log");
    assert_eq!(config.quality().max_payment_amount, "999.990000000000000000001");
    assert_eq!(loaded.origins["logging.format"].to_string(), "env MP__LOGGING");
}

#[test]
fn half_a_rule_leaves_the_other_half_and_off_is_a_word() {
    let project = Project::new()
        .params("quality: {rules: {taps_have_prints: {threshold: 0.5}, rejects: {severity: off}}}")
        .file("more.yaml", "quality: {rules: {taps_have_prints: {severity: error}}}");
    let rules = project.load().config.quality().rules;
    let taps = rules["taps_have_prints"];
    assert_eq!((taps.severity, taps.threshold), (Severity::Error, 0.5));
    let rejects = rules["rejects"];
    assert_eq!((rejects.severity, rejects.threshold), (Severity::Off, 0.005));
    let error = Project::new().params("quality: {rules: {rejects: off}}").error();
    assert!(error.contains("`quality.rules.rejects` must be a map of keys, not `off`"), "{error}");
}

#[test]
fn words_are_recognised_in_any_case_and_warning_is_warn() {
    for (given, level) in [("debug", Level::Debug), ("Warning", Level::Warn), ("WARN", Level::Warn)]
    {
        assert_eq!(Project::new().env("MP_LOG_LEVEL", given).load().config.logging().level, level);
    }
    Project::new().params("processing: {encoding: UTF-8}").load();
}

#[test]
fn lists_replace_and_maps_merge() {
    let project = Project::new()
        .params("sources: {prints: {files: [a, b]}, taps: {files: t}}\nlogging: {level: ERROR}")
        .file("x.yaml", "sources: {prints: {files: [c]}}\nlogging: {format: json}");
    let config = project.load().config;
    assert_eq!(config.extract("prints").unwrap().files, ["c"]);
    assert_eq!(config.extract("taps").unwrap().files, ["t"]);
    assert_eq!((config.logging().level, config.logging().format), (Level::Error, LogFormat::Json));
}

#[test]
fn a_config_file_is_found_below_the_project_folder() {
    let mut project = Project::new().write("config/own-of-this-test.yaml", "store: {keep: 9}");
    project.sources.files.push("config/own-of-this-test.yaml".into());
    let loaded = project.load();
    assert_eq!(loaded.config.store_keep(), 9);
    assert_eq!(loaded.origins["store.keep"].to_string(), "config/own-of-this-test.yaml:1");
}

#[test]
fn show_tells_values_and_origins() {
    let project = Project::new()
        .params("processing:\n  chunk_size: 5\n")
        .env("MP_LOG_LEVEL", "debug")
        .set("data_paths.output=o/{as_of}")
        .set("sources.taps.files=[a, '*b']")
        .set("validation.business_rules.max_payment_amount=1e6");
    let loaded = project.load();
    let text = show(&loaded, true);
    for line in [
        "data_paths:",
        "  raw: data/raw  # default",
        "  output: \"o/{as_of}\"  # from --set",
        "  chunk_size: 5  # from config/params.yaml:2",
        "  level: DEBUG  # from env MP_LOG_LEVEL",
        "    rejects:",
        "      severity: warn  # default",
        "  as_of: null  # default, which is the current date, 2026-11-23",
        "    max_payment_amount: 1e6  # from --set",
        "    files: [\"a\",\"*b\"]  # from --set",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!show(&loaded, false).contains('#'));
    let value = show_json(&loaded);
    assert_eq!(value["config"]["processing"]["chunk_size"], json!(5));
    assert_eq!(value["origins"]["logging.level"], json!("env MP_LOG_LEVEL"));
    assert_eq!(value["as_of"], json!("2026-11-24T00:00:00Z"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_show_prints_is_the_same_configuration(
        path in "[ -~é\u{1f600}]{1,12}",
        globs in prop::collection::vec("[ -~é]{1,9}", 1..4),
        share in 0.0f64..=1.0,
        memory in 128u64..u64::from(u32::MAX),
        amount in "[1-9][0-9]{0,9}(\\.[0-9]{1,30})?",
    ) {
        let quote = |text: &str| serde_json::to_string(text).unwrap();
        let project = Project::new().params(&format!(
            "data_paths: {{raw: {}}}\nsources: {{prints: {{files: {}}}}}\n\
             processing: {{max_reject_rate: {share:e}, max_memory_mb: {memory}}}\n\
             validation: {{business_rules: {{max_payment_amount: {amount}}}}}\n",
            quote(&path),
            serde_json::to_string(&globs).unwrap(),
        ));
        let Ok(first) = load(&project.sources, today()) else {
            let blank = |text: &String| text.trim().is_empty() || text.contains('{');
            prop_assert!(blank(&path) || globs.iter().any(blank), "{}", project.error());
            return Ok(());
        };
        for origin in [false, true] {
            let again = Project::new().params(&show(&first, origin)).load();
            prop_assert_eq!(&again.values, &first.values);
        }
        prop_assert_eq!(first.config.quality().max_payment_amount, amount);
    }
}

#[test]
fn every_named_variable_of_the_specification_is_there() {
    let named: BTreeMap<&str, &str> =
        KEYS.iter().filter_map(|key| Some((key.env?, key.name))).collect();
    let expected = [
        ("MP_RAW_DATA_PATH", "data_paths.raw"),
        ("MP_PROCESSED_DATA_PATH", "data_paths.processed"),
        ("MP_OUTPUT_DATA_PATH", "data_paths.output"),
        ("MP_CHUNK_SIZE", "processing.chunk_size"),
        ("MP_MAX_MEMORY_MB", "processing.max_memory_mb"),
        ("MP_TARGET_WINDOW_DAYS", "processing.target_window_days"),
        ("MP_LOOKBACK_WINDOW_DAYS", "processing.lookback_window_days"),
        ("MP_VALIDATE_SCHEMA", "processing.validate_schema"),
        ("MP_MIN_QUALITY_SCORE", "quality.min_data_quality_score"),
        ("MP_MAX_NULL_PCT", "quality.max_null_percentage"),
        ("MP_LOG_LEVEL", "logging.level"),
        ("MP_LOG_DIR", "logging.log_dir"),
        ("MP_AS_OF", "validation.as_of"),
    ];
    assert_eq!(named, BTreeMap::from(expected));
}
