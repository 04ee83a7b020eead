//! The seeded generator: the same bytes for the same seed, and data that the pipeline likes.

use std::collections::BTreeSet;

use serde_json::json;

use crate::events::{SOURCES, Source};
use crate::project::Project;
use crate::snapshot::Snapshot;

fn synth(args: &[&str]) -> Project {
    let project = Project::empty();
    project
        .mp(&[&["synth", "data/raw", "--prints", "4000", "--users", "300"], args].concat())
        .success();
    project
}

fn raw(project: &Project) -> Vec<Vec<u8>> {
    SOURCES.map(|s| project.read(&format!("data/raw/{}", s.default_file()))).to_vec()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let seven = raw(&synth(&["--seed", "7"]));
    assert_eq!(seven, raw(&synth(&["--seed", "7"])));
    assert_ne!(seven, raw(&synth(&["--seed", "8"])));
}

#[test]
fn its_data_pass_every_gate() {
    let project = synth(&["--seed", "1"]);
    project.run_all();
    let view = project.view();
    assert_eq!(view.count("extract.prints", "rows_read"), 4_000);
    assert!(view.gold().rows.len() > 500);
    assert!(view.gold().column("clicked").contains(&"true"));
    let rate = view.report()["business_rules"]["taps_have_prints_rate"].as_f64();
    assert!(rate > Some(0.95), "taps follow prints");
    let props: BTreeSet<String> = view
        .silver(Source::Prints)
        .column("value_prop_id")
        .iter()
        .map(ToString::to_string)
        .collect();
    let want = [
        "cellphone_recharge",
        "credits_consumer",
        "link_cobro",
        "point",
        "prepaid",
        "send_money",
        "transport",
    ];
    assert_eq!(props.iter().map(String::as_str).collect::<Vec<_>>(), want);
}

#[test]
fn dirty_data_have_bad_rows_of_each_code() {
    let project = synth(&["--seed", "1", "--dirty", "0.3"]);
    let project = project
        .with("processing.max_reject_rate", json!(1.0))
        .with("quality.enable_quality_checks", json!(false));
    project.run_all();
    let mut codes = BTreeSet::new();
    for source in SOURCES {
        for row in project.view().rejects(source).column("error_codes") {
            codes.extend(row.split(';').map(str::to_owned));
        }
    }
    let want = [
        "amount.invalid",
        "amount.missing",
        "amount.not_positive",
        "amount.too_large",
        "csv.malformed",
        "json.malformed",
        "position.negative",
        "position.type",
        "timestamp.invalid",
        "timestamp.missing",
        "timestamp.out_of_bounds",
        "user_id.blank",
        "user_id.missing",
        "user_id.too_long",
        "user_id.type",
        "value_prop.blank",
        "value_prop.missing",
        "value_prop.too_long",
        "value_prop.type",
    ];
    assert_eq!(codes.iter().map(String::as_str).collect::<Vec<_>>(), want);
}

#[test]
fn it_does_not_overwrite_files_that_are_there() {
    let project = synth(&[]);
    let before = Snapshot::of(&project.path("data/raw"));
    let outcome = project.mp(&["synth", "data/raw", "--prints", "10"]);
    assert_ne!(outcome.code, 0, "raw data are not thrown away silently: {outcome}");
    before.assert_same(&Snapshot::of(&project.path("data/raw")));
}
