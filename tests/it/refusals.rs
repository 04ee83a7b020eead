//! Single stages: refused where their upstream is missing or stale; failures leave the rest alone.

use serde_json::json;

use crate::project::Project;

/// The task whose panic `MP_TEST_PANIC` injects.
const PANIC: &str = "MP_TEST_PANIC";

#[test]
fn a_single_stage_without_its_upstream_is_refused_and_names_the_command_to_run() {
    let project = Project::november();
    for (stage, command) in [
        (vec!["preprocess"], "mp extract"),
        (vec!["preprocess", "--source", "taps"], "mp extract"),
        (vec!["features"], "mp preprocess"),
        (vec!["quality"], "mp "),
    ] {
        let outcome = project.mp(&stage).fails(6);
        let said = outcome.stderr.contains(command) || outcome.stderr.contains("mp run");
        assert!(said, "which command to run: {outcome}");
        assert!(project.view().runs().is_empty(), "nothing was run");
    }
}

#[test]
fn allow_stale_does_not_make_up_an_upstream_that_is_missing() {
    Project::november().mp(&["features", "--allow-stale"]).fails(6);
}

#[test]
fn the_four_stages_one_after_the_other_are_the_whole_run() {
    let project = Project::november();
    for stage in ["extract", "preprocess", "features", "quality"] {
        project.mp(&[stage]).success();
    }
    let before = project.view().runs();
    project.run_all();
    assert_eq!(project.view().ran_since(&before), Vec::<&str>::new());
}

#[test]
fn a_stage_runs_for_one_source_alone() {
    let project = Project::november();
    project.mp(&["extract", "--source", "taps"]).success();
    project.mp(&["preprocess", "--source", "taps"]).success();
    let ran: Vec<_> = project.view().runs().into_keys().collect();
    assert_eq!(ran, ["extract.taps", "preprocess.taps"]);
    project.mp(&["features", "--source", "taps"]).fails(2);
    project.mp(&["extract", "--source", "tap"]).fails(2).says(&["taps"]);
}

#[test]
fn a_stale_upstream_is_refused_unless_allowed() {
    let project = Project::november();
    project.run_all();
    let text = project.text("data/raw/taps.json");
    project.write("data/raw/taps.json", text.replacen("\"position\": 0", "\"position\": 3", 1));
    // All but the record of what was refused.
    let snapshot = || project.snapshot().without("data/.mp/runs/");
    let before = snapshot();
    let outcome = project.mp(&["features"]).fails(6).says(&["extract.taps"]);
    assert!(outcome.stderr.contains("mp run") || outcome.stderr.contains("mp extract"));
    assert_eq!(before.changed_content(&snapshot()).len(), 0);
    project.mp(&["run", "features"]).fails(6);
    project.mp(&["features", "--allow-stale"]).success();
    project.mp(&["features", "--allow-stale", "--force"]).success();
}

#[test]
fn a_stage_that_is_up_to_date_says_so() {
    let project = Project::november();
    project.run_all();
    let before = project.snapshot();
    let outcome = project.mp(&["features"]).success();
    assert!(outcome.all().contains("up to date"), "{outcome}");
    before.assert_same(&project.snapshot());
}

#[test]
fn a_failed_stage_is_re_run_alone() {
    for again in [["features"].as_slice(), &["run", "--all"]] {
        let project = Project::november();
        let outcome = project.mp_env(&["run", "--all"], PANIC, "features").fails(70);
        assert!(outcome.stderr.contains("features"), "{outcome}");
        let before = project.view().runs();
        assert_eq!(before.len(), 6, "extract and preprocess are done: {before:#?}");
        assert!(project.view().failed_manifest_path("features").exists());
        project.mp(again).success();
        let ran = project.view().ran_since(&before);
        assert_eq!(ran[0], "features");
        assert!(!ran.iter().any(|task| before.contains_key(task)), "{ran:?}");
        assert!(!project.view().failed_manifest_path("features").exists());
    }
}

#[test]
fn a_failure_blocks_what_follows_and_nothing_else() {
    let project = Project::november();
    project.mp_env(&["run", "--all", "-k"], PANIC, "preprocess.taps").fails(70);
    let done: Vec<_> = project.view().runs().into_keys().collect();
    let want = [
        "extract.payments",
        "extract.prints",
        "extract.taps",
        "preprocess.payments",
        "preprocess.prints",
    ];
    assert_eq!(done, want);
}

#[test]
fn a_panic_after_a_good_run_leaves_the_good_artifacts() {
    let mut project = Project::november();
    project.run_all();
    let good = project.view().fingerprints();
    let success = project.read("data/output/_SUCCESS.json");
    project.set("processing.lookback_window_days", json!(3));
    project.mp_env(&["run", "--all"], PANIC, "features").fails(70);
    assert_eq!(project.view().fingerprints(), good);
    assert_eq!(project.read("data/output/_SUCCESS.json"), success);
    project.set("processing.lookback_window_days", json!(21));
    let before = project.view().runs();
    project.mp(&["run", "--all"]).success();
    let ran = project.view().ran_since(&before);
    assert!(!ran.contains(&"extract.prints"), "{ran:?}");
}

#[test]
fn a_failed_gate_writes_the_report_and_takes_the_mark_of_success_away() {
    let mut project = Project::november();
    project.run_all();
    project.set("quality.min_data_quality_score", json!(1.0));
    let outcome = project.mp(&["run", "--all"]).fails(5);
    assert!(outcome.stderr.contains("score"), "which gate: {outcome}");
    assert_eq!(project.view().report()["passes"]["score"], false);
    assert!(!project.view().success_path().exists(), "a consumer must not trust this Gold");
    assert!(project.view().gold_path().exists());
    project.mp(&["run", "--all"]).fails(5);
    project.set("quality.min_data_quality_score", json!(0.8));
    project.run_all();
}
