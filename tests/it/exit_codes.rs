//! Each exit code of the table through the program, but those of signals and of `--skip-exit-code`.

use serde_json::json;

use crate::events::Source;
use crate::project::Project;

/// More bad lines than the reject limit allows.
fn spoil(project: &Project, source: Source) {
    let file = format!("data/raw/{}", source.default_file());
    let text = project.text(&file) + &"{\n".repeat(400);
    project.write(&file, text);
}

#[test]
fn exit_0_done_up_to_date_or_warnings_only() {
    let project = Project::november();
    project.mp(&["run", "--all"]).success();
    project.mp(&["run", "--all"]).success();
    project.mp(&["status"]).success();
    project.mp(&["--version"]).success().prints(&["mp"]);
    let project =
        Project::november().with("validation.thresholds.min_records_per_user", json!(5_000));
    let outcome = project.mp(&["run", "--all"]).success();
    assert!(outcome.all().contains("records_per_user"), "the warning is seen: {outcome}");
}

#[test]
fn exit_1_a_stage_that_failed() {
    let project = Project::november();
    project.write("data/output", "a file where a folder should be");
    let outcome = project.mp(&["run", "--all"]).fails(1);
    assert!(outcome.stderr.contains("data/output"), "on which thing: {outcome}");
}

#[test]
fn exit_1_something_is_not_up_to_date_when_asked_for() {
    let project = Project::november();
    project.mp(&["status"]).success();
    project.mp(&["plan"]).success();
    project.mp(&["status", "--exit-code"]).fails(1);
    project.mp(&["plan", "--exit-code"]).fails(1);
    project.run_all();
    project.mp(&["status", "--exit-code"]).success();
    project.mp(&["plan", "--exit-code"]).success();
}

#[test]
fn exit_2_wrong_usage_or_configuration() {
    let project = Project::november();
    project.mp(&[]).fails(2);
    project.mp(&["rum"]).fails(2).says(&["run"]);
    project.mp(&["run", "--jbos", "2"]).fails(2).says(&["--jobs"]);
    project.mp(&["run", "--jobs", "none"]).fails(2);
    project.mp(&["run", "--as-of", "yesterday"]).fails(2).says(&["yesterday"]);
    project.mp(&["run", "--set", "processing.chunk_size=0"]).fails(2).says(&["chunk_size"]);
    project.mp(&["run", "--project", "no/such/folder"]).fails(2).says(&["no/such/folder"]);
}

#[test]
fn exit_3_input_missing() {
    let project = Project::november();
    std::fs::remove_file(project.path("data/raw/taps.json")).expect("removed");
    project.mp(&["run", "--all", "-k"]).fails(3).says(&["taps.json", "data/raw"]);
    assert!(project.view().manifest_path("preprocess.prints").exists(), "the others went on");
}

#[test]
fn exit_3_the_raw_folder_is_missing() {
    let project = Project::empty();
    project.mp(&["run", "--all"]).fails(3).says(&["data/raw"]);
}

#[test]
fn exit_4_too_many_rejects() {
    let project = Project::november();
    spoil(&project, Source::Prints);
    project.mp(&["run", "--all"]).fails(4).says(&["prints"]);
}

#[test]
fn exit_5_a_quality_rule_of_severity_error_failed() {
    let rules = json!({"payments_have_taps": {"severity": "error", "threshold": 0.99}});
    let project = Project::november().with("quality.rules", rules);
    let outcome = project.mp(&["run", "--all"]).fails(5);
    assert!(outcome.stderr.contains("payments_have_taps"), "{outcome}");
    assert!(project.view().report_path().exists());
    assert!(!project.view().success_path().exists());
}

#[test]
fn exit_6_a_single_stage_whose_upstream_is_missing() {
    Project::november().mp(&["features"]).fails(6).says(&["mp "]);
}

#[test]
fn exit_70_a_panic_is_an_internal_error_of_that_task() {
    let project = Project::november();
    let outcome = project.mp_env(&["run", "--all"], "MP_TEST_PANIC", "features").fails(70);
    assert!(outcome.stderr.contains("features"), "{outcome}");
    project.run_all();
}

#[test]
fn exit_75_the_lock_is_held() {
    let project = Project::november();
    let folder = project.view().processed.join("_manifests");
    std::fs::create_dir_all(&folder).expect("a folder");
    let lock = std::fs::File::create(folder.join("extract.prints.lock")).expect("a file");
    lock.lock().expect("locked");
    project.mp(&["extract", "--lock-timeout", "0s"]).fails(75);
}

#[test]
fn of_several_failures_the_first_in_the_documented_order_is_returned() {
    let project = Project::november();
    std::fs::remove_file(project.path("data/raw/taps.json")).expect("removed");
    spoil(&project, Source::Prints);
    project.mp_env(&["run", "--all", "-k"], "MP_TEST_PANIC", "extract.payments").fails(70);
    project.mp(&["run", "--all", "-k"]).fails(4);
}

#[test]
fn a_failure_stays_a_failure_when_the_output_is_json() {
    let project = Project::november();
    spoil(&project, Source::Prints);
    let outcome = project.mp(&["run", "--all", "--json"]).fails(4);
    let document = outcome.json("run");
    assert!(document.to_string().contains("extract.prints"), "{document:#}");
}
