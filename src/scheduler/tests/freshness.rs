//! What makes a task run again, what does not, and the words for it.

use std::os::unix::fs::PermissionsExt;

use super::fake::{Project, all, id, snapshot, states};
use crate::exit_code::ExitCode;
use crate::scheduler::{Reason, TaskState, Verdict};

fn done() -> Project {
    let project = Project::carousel();
    assert_eq!(project.run(&[]).exit, ExitCode::Success);
    project
}

fn overwrite(project: &Project, task: &str, text: &str) {
    let path = project.published(task);
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    fs_err::write(path, text).unwrap();
}

#[test]
fn nothing_to_do_changes_nothing_on_disk() {
    let project = done();
    let before = snapshot(&project);
    assert!(project.run(&[]).is_up_to_date());
    assert!(project.plan(&[]).is_up_to_date());
    assert_eq!(snapshot(&project), before);
}

#[test]
fn a_setting_reruns_its_stage_and_what_follows_with_both_values_named() {
    let mut project = done();
    project.settings.insert("features".to_owned(), 14);
    assert_eq!(
        project.why(&[]),
        [
            "features Run: setting: 0 → 14",
            "quality Run: `features` is not up to date, unless its input is the same",
        ]
    );
    let summary = project.run(&[]);
    assert_eq!(project.ran(), ["features", "quality"]);
    let reasons = &summary.tasks[4].reasons;
    assert_eq!(reasons[0].to_string(), "setting: 0 → 14");
}

#[test]
fn the_same_bytes_upstream_end_the_run_early() {
    let project = done();
    project.write_raw(&id("extract.taps"), "raw\nmore\n");
    assert_eq!(
        project.why(&[]),
        [
            "extract.taps Run: input `extract.taps` changed",
            "preprocess.taps Run: `extract.taps` is not up to date, unless its input is the same",
            "features Run: `preprocess.taps` is not up to date, unless its input is the same",
            "quality Run: `extract.taps` is not up to date; `features` is not up to date; \
             `preprocess.taps` is not up to date, unless its input is the same",
        ]
    );
    let summary = project.run(&[]);
    assert_eq!(project.ran(), ["extract.taps"]);
    assert_eq!(summary.count(TaskState::UpToDate), 5);
    assert!(project.why(&[]).is_empty());
}

#[test]
fn one_changed_source_reruns_its_own_tasks_and_what_follows() {
    let project = done();
    project.write_raw(&id("extract.taps"), "other\n");
    project.run(&[]);
    assert_eq!(project.ran(), ["extract.taps", "preprocess.taps", "features", "quality"]);
}

#[test]
fn touching_an_input_is_nothing() {
    let project = done();
    project.write_raw(&id("extract.taps"), "raw\n");
    assert!(project.run(&[]).is_up_to_date());
}

#[test]
fn edited_truncated_or_deleted_outputs_are_noticed_and_repaired() {
    let project = done();
    let good = project.read("features");
    overwrite(&project, "features", "edited");
    assert_eq!(project.why(&["features"]), ["features Run: output `features.txt` was changed"]);
    project.run(&["features"]);
    assert_eq!(project.ran(), ["features"], "its object was edited with it");
    assert_eq!(project.read("features"), good);

    overwrite(&project, "preprocess.taps", "");
    project.run(&[]);
    assert_eq!(project.ran(), ["preprocess.taps"]);

    fs_err::remove_file(project.published("features")).unwrap();
    assert_eq!(project.why(&[]), ["features Restore: output `features.txt` is missing"]);
    let summary = project.run(&[]);
    assert!(project.ran().is_empty(), "its object was still whole");
    assert!(summary.tasks.iter().any(|task| task.restored));
    assert_eq!(project.read("features"), good);
    assert!(project.run(&[]).is_up_to_date());
}

#[test]
fn a_deleted_or_torn_manifest_is_noticed() {
    let mut project = done();
    let path = project.layout().manifest("features", None);
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, &text[..40]).unwrap();
    let why = project.why(&["features"]);
    assert!(why[0].starts_with("features Restore: its manifest cannot be read"), "{why:?}");
    fs_err::remove_file(&path).unwrap();
    assert_eq!(project.why(&[]), ["features Restore: never run"], "quality has nothing to do");
    project.options.cache = false;
    assert_eq!(project.why(&["features"]), ["features Run: never run"]);
    project.run(&[]);
    assert_eq!(project.ran(), ["features"], "the same bytes: quality has nothing to do");
}

#[test]
fn a_manifest_of_a_newer_version_is_not_overwritten() {
    let project = done();
    let path = project.layout().manifest("features", None);
    fs_err::write(&path, r#"{"manifest_version": 2}"#).unwrap();
    let plan = project.plan(&[]);
    assert_eq!((plan.tasks[4].verdict, plan.exit()), (Verdict::Failed, ExitCode::Failure));
    let summary = project.run(&[]);
    assert_eq!(summary.exit, ExitCode::Failure);
    assert!(summary.tasks[4].error.as_ref().unwrap().message.contains("newer mp"));
    assert_eq!(fs_err::read_to_string(&path).unwrap(), r#"{"manifest_version": 2}"#);
}

#[test]
fn going_back_to_old_settings_restores_the_kept_result() {
    let mut project = done();
    let first = project.read("features");
    let made = project.manifest("features").unwrap().made_by();
    project.settings.insert("features".to_owned(), 14);
    project.run(&[]);
    assert_ne!(project.read("features"), first);
    project.settings.clear();
    assert_eq!(
        project.why(&[]),
        ["features Restore: setting: 14 → 0", "quality Restore: input `features` changed"],
        "what a restored task gives is known"
    );
    let summary = project.run(&[]);
    assert!(project.ran().is_empty());
    assert!(summary.tasks[4].restored && summary.tasks[5].restored);
    assert_eq!(summary.tasks[4].restored_from, Some(made));
    assert_eq!(project.read("features"), first);
    assert!(project.run(&[]).is_up_to_date());
}

#[test]
fn force_computes_exactly_what_is_selected() {
    let mut project = done();
    project.options.force = true;
    assert_eq!(project.why(&["features"]), ["features Run: forced"]);
    let summary = project.run(&["features"]);
    assert_eq!(project.ran(), ["features"]);
    assert_eq!(summary.tasks[0].reasons, [Reason::Forced]);
    project.options.force = false;
    assert!(project.run(&[]).is_up_to_date());
}

#[test]
fn jobs_and_other_options_restale_nothing() {
    let mut project = done();
    project.options.jobs = 7;
    project.options.allow_stale = true;
    assert!(project.run(&[]).is_up_to_date());
}

#[test]
fn an_object_that_went_is_made_again_only_when_it_is_needed() {
    let mut project = done();
    let object = project.manifest("extract.taps").unwrap().outputs[0].place.clone();
    fs_err::remove_file(project.layout().path(&object)).unwrap();
    assert!(project.run(&[]).is_up_to_date(), "nobody needs it");
    project.settings.insert("preprocess".to_owned(), 5);
    let why = project.why(&[]);
    assert!(why[0].starts_with("extract.taps Run: `objects/"), "{why:?}");
    let why = project.why(&["preprocess"]);
    assert!(why[1].starts_with("preprocess.taps Blocked"), "{why:?}");
    project.options.keep_going = true;
    let summary = project.run(&["preprocess"]);
    assert_eq!(states(&summary), ["preprocess.prints=Done", "preprocess.taps=Blocked"]);
    project.run(&[]);
    assert_eq!(project.ran(), ["extract.taps", "preprocess.taps", "features", "quality"]);
}

#[test]
fn a_single_stage_is_refused_while_its_upstream_is_not_up_to_date() {
    let mut project = Project::carousel();
    let summary = project.run(&["features"]);
    let failure = summary.tasks[0].error.clone().unwrap();
    assert_eq!(summary.exit, ExitCode::Refused);
    assert_eq!(
        failure.message,
        "`features` needs `extract.prints`, which is not up to date: never run"
    );
    assert_eq!(failure.hint.unwrap(), "run `mp run +features`, or go on with `--allow-stale`");
    assert!(!project.layout().output.exists(), "nothing was attempted");
    project.options.allow_stale = true;
    let summary = project.run(&["features"]);
    let failure = summary.tasks[0].error.clone().unwrap();
    assert_eq!(
        failure.message,
        "`features` needs `preprocess.prints`, whose result is missing or damaged"
    );
    assert!(all(&project.run(&["+features"]), TaskState::Done));
}

#[test]
fn allow_stale_goes_on_with_what_is_there() {
    let mut project = done();
    project.write_raw(&id("extract.taps"), "other\n");
    project.settings.insert("features".to_owned(), 14);
    let before = project.read("features");
    let plan = project.plan(&["features"]);
    assert_eq!((plan.tasks[0].verdict, plan.exit()), (Verdict::Blocked, ExitCode::Refused));
    assert_eq!(project.run(&["features"]).exit, ExitCode::Refused);
    project.options.allow_stale = true;
    assert_eq!(project.run(&["features"]).exit, ExitCode::Success);
    assert_eq!(project.read("features"), before.replace("features=0", "features=14"));
}

#[test]
fn plan_and_status_survive_a_missing_input() {
    let project = done();
    fs_err::remove_file(project.raw(&id("extract.taps"))).unwrap();
    let plan = project.plan(&[]);
    let failed = plan.tasks.iter().find(|task| task.verdict == Verdict::Failed).unwrap();
    assert_eq!(failed.task, id("extract.taps"));
    assert_eq!(plan.exit(), ExitCode::Input);
    assert_eq!(plan.tasks[3].verdict, Verdict::Blocked);
    assert_eq!(plan.tasks[5].blocked_by, Some(id("extract.taps")));
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<crate::scheduler::Plan>(&text).unwrap().tasks, plan.tasks);
}
