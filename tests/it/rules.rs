//! The quality stage: each rule with its severities, the gate, and what passes through it.

use serde_json::{Value, json};

use crate::events::{Line, When, World};
use crate::outcome::Outcome;
use crate::project::Project;

/// Nine good prints, taps of which `orphans` have no print, and payments.
fn world(orphans: i64) -> World {
    let when = When::november(30);
    let shown = |user: i64| Line::shown(&when, Some(0), "point", &user.to_string());
    World::of(
        (1..=9).map(shown).collect(),
        (1..=4 + orphans).map(|user| shown(if user > 4 { user + 100 } else { user })).collect(),
        (1..=9).map(|user| Line::paid(&when, 100 * user, "point", &user.to_string())).collect(),
    )
}

fn project(world: &World) -> Project {
    let mut project = Project::empty();
    project.write_world(world);
    project
}

#[track_caller]
fn with_rule(world: &World, rule: &str, setting: Value) -> (Project, Outcome) {
    let project = project(world).with("quality.rules", json!({ rule: setting }));
    let outcome = project.mp(&["run", "--all"]);
    (project, outcome)
}

#[track_caller]
fn value(project: &Project, rule: &str) -> f64 {
    let report = project.view().report();
    let value = report["rules"][rule]["value"].as_f64();
    value.unwrap_or_else(|| panic!("no value of {rule} in {report:#}"))
}

#[test]
fn a_rule_may_be_off_a_warning_or_an_error() {
    for (severity, code) in [("off", 0), ("warn", 0), ("error", 5)] {
        let setting = json!({"severity": severity, "threshold": 0.95});
        let (project, outcome) = with_rule(&world(1), "taps_have_prints", setting);
        let outcome = outcome.fails(code);
        assert_eq!(outcome.all().contains("taps_have_prints"), severity != "off", "{outcome}");
        assert_eq!(value(&project, "taps_have_prints"), 0.8);
        assert_eq!(project.view().success_path().exists(), code == 0);
    }
}

#[test]
fn the_threshold_itself_still_passes() {
    let error = |threshold: f64| json!({"severity": "error", "threshold": threshold});
    with_rule(&world(1), "taps_have_prints", error(0.8)).1.success();
    with_rule(&world(1), "taps_have_prints", error(0.81)).1.fails(5);
    with_rule(&world(0), "payments_have_taps", error(0.4445)).1.fails(5);
    with_rule(&world(0), "payments_have_taps", error(0.4444)).1.success();
    with_rule(&world(0), "gold_not_empty", json!({"severity": "error", "threshold": 9}))
        .1
        .success();
    with_rule(&world(0), "gold_not_empty", json!({"severity": "error", "threshold": 10}))
        .1
        .fails(5);
}

#[test]
fn rows_after_as_of_warn_above_a_hundredth() {
    let mut world = world(0);
    let late = Line::shown(&When::november(31), Some(0), "point", "1");
    world.prints.get_mut("prints.json").expect("the file").push(late);
    let project = project(&world);
    let outcome = project.run_all();
    assert!(outcome.all().contains("rows_after_as_of"), "{outcome}");
    assert!(value(&project, "rows_after_as_of") > 0.01);
}

#[test]
fn rejects_warn_above_five_thousandths_of_any_source() {
    let mut world = world(0);
    world.taps.get_mut("taps.json").expect("the file").push(Line::bad("{"));
    let project = project(&world).with("processing.max_reject_rate", json!(0.5));
    let outcome = project.run_all();
    assert!(outcome.all().contains("rejects"), "{outcome}");
    assert!((value(&project, "rejects") - 0.2).abs() < 1e-6);
}

#[test]
fn users_with_too_few_or_too_many_records_are_counted() {
    let project = project(&world(0))
        .with("validation.thresholds.min_records_per_user", json!(3))
        .with("validation.thresholds.max_records_per_user", json!(3));
    project.run_all();
    assert_eq!(value(&project, "records_per_user"), 5.0, "users 5 to 9 have no tap");
}

#[test]
fn too_many_nulls_or_duplicates_or_a_low_score_close_the_gate() {
    let when = When::november(30);
    for (pass, extra) in [
        ("prints_nulls", Line::shown(&when, None, "point", "77")),
        ("prints_dups", Line::shown(&when, Some(0), "point", "1")),
    ] {
        let mut world = world(0);
        let prints = world.prints.get_mut("prints.json").expect("the file");
        prints.extend([extra.clone(), extra]);
        let mut project = project(&world).with("preprocess.dedupe.prints", json!("keep"));
        let outcome = project.mp(&["run", "--all"]).fails(5);
        assert!(outcome.stderr.contains(pass), "{outcome}");
        assert_eq!(project.view().report()["passes"][pass], false);
        project.set("quality.enable_quality_checks", json!(false));
        project.run_all();
        assert_eq!(project.view().report()["passes"][pass], false, "reported all the same");
    }
}

#[test]
fn duplicates_do_not_count_in_the_rates_of_the_rules() {
    let mut world = world(1);
    let taps = world.taps.get_mut("taps.json").expect("the file");
    let orphan = taps[4].clone();
    taps.extend([orphan.clone(), orphan]);
    for (dedupe, want) in [("drop", 0.8), ("flag", 0.8), ("keep", 4.0 / 7.0)] {
        let project = project(&world).with("preprocess.dedupe.taps", json!(dedupe));
        project.run_all();
        assert!((value(&project, "taps_have_prints") - want).abs() < 1e-6, "{dedupe}");
    }
}

#[test]
fn the_report_names_its_thresholds() {
    let project = project(&world(0))
        .with("quality.max_null_percentage", json!(0.25))
        .with("quality.max_duplicate_percentage", json!(0.5))
        .with("quality.min_data_quality_score", json!(0.75));
    project.run_all();
    let thresholds = &project.view().report()["thresholds"];
    let want = json!({"max_null_pct": 0.25, "max_dup_pct": 0.5, "min_quality_score": 0.75});
    assert_eq!(*thresholds, want);
}
