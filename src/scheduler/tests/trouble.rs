//! Failures, panics, stops, locks, two at once.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use super::fake::{Behaviour, Project, all, id, snapshot, states};
use crate::exit_code::ExitCode;
use crate::scheduler::TaskState;

fn failing(task: &str, behaviour: Behaviour) -> Project {
    let mut project = Project::carousel();
    project.behaviour.insert(task.to_owned(), behaviour);
    project
}

#[test]
fn a_failure_blocks_exactly_what_needs_it() {
    let mut project = failing("preprocess.taps", Behaviour::Fails(ExitCode::Failure));
    project.options.keep_going = true;
    let summary = project.run(&[]);
    assert_eq!(
        states(&summary),
        [
            "extract.prints=Done",
            "extract.taps=Done",
            "preprocess.prints=Done",
            "preprocess.taps=Failed",
            "features=Blocked",
            "quality=Blocked",
        ]
    );
    assert_eq!(summary.exit, ExitCode::Failure);
    assert_eq!(summary.tasks[5].blocked_by, Some(id("preprocess.taps")));
    assert_eq!(
        project.why(&["preprocess.taps"]),
        ["preprocess.taps Run: the last attempt failed: made to fail"]
    );
    project.behaviour.clear();
    project.run(&[]);
    assert_eq!(project.ran(), ["preprocess.taps", "features", "quality"]);
    assert!(!project.layout().failed_manifest("preprocess", Some("taps")).exists());
}

#[test]
fn a_failed_attempt_leaves_the_good_result() {
    let mut project = Project::carousel();
    project.run(&[]);
    let (good, manifest) = (project.read("features"), project.manifest("features"));
    project.settings.insert("features".to_owned(), 14);
    project.behaviour.insert("features".to_owned(), Behaviour::Fails(ExitCode::Failure));
    project.run(&[]);
    assert_eq!((project.read("features"), project.manifest("features")), (good, manifest));
    assert_eq!(
        project.why(&["features"]),
        ["features Run: setting: 0 → 14; the last attempt failed: made to fail"]
    );
    let failed = project.store().failed_manifest("features", None).unwrap().good().unwrap();
    assert_eq!(failed.error.as_ref().unwrap().exit_code, 1);
    assert_eq!(failed.ingredients.settings["setting"], 14);
    project.settings.clear();
    assert!(project.run(&[]).is_up_to_date(), "the good result is still that of these settings");
}

#[test]
fn a_panic_is_a_failure_of_its_task() {
    let mut project = failing("extract.taps", Behaviour::Panics);
    project.options.keep_going = true;
    let summary = project.run(&[]);
    assert_eq!(summary.exit, ExitCode::Internal);
    assert_eq!(summary.count(TaskState::Done), 2);
    let failure = summary.tasks[1].error.clone().unwrap();
    assert_eq!(failure.message, "`extract.taps` panicked: made to panic");
    assert!(project.layout().failed_manifest("extract", Some("taps")).exists());
}

#[test]
fn inputs_that_change_during_the_run_are_not_committed() {
    let project = failing("extract.taps", Behaviour::Disturbed);
    let summary = project.run(&[]);
    assert_eq!(summary.exit, ExitCode::Input);
    assert!(project.manifest("extract.taps").is_none());
}

#[test]
fn a_stopped_run_leaves_no_failure_and_no_temporary_file() {
    let project = failing("extract.prints", Behaviour::Stops);
    let summary = project.run(&[]);
    assert_eq!(summary.exit, ExitCode::Interrupted);
    assert_eq!(summary.tasks[0].state, TaskState::Cancelled);
    assert_eq!(summary.count(TaskState::Failed) + summary.count(TaskState::Blocked), 0);
    assert_eq!(summary.tasks.len(), 6);
    let names = snapshot(&project).into_keys().map(|path| path.display().to_string());
    assert!(names.into_iter().all(|name| !name.ends_with(".tmp") && !name.contains(".failed")));
}

#[test]
fn a_run_that_is_stopped_before_it_begins_runs_nothing() {
    let mut project = Project::carousel();
    project.cancel = AtomicBool::new(true);
    assert!(all(&project.run(&[]), TaskState::Cancelled));
    assert!(project.ran().is_empty());
}

#[test]
fn a_held_lock_is_worth_a_retry_and_names_its_holder() {
    let mut project = Project::carousel();
    project.options.keep_going = true;
    project.options.lock_timeout = Duration::from_millis(100);
    let store = project.store();
    let never = AtomicBool::new(false);
    let held = store.lock("extract", Some("taps"), Duration::ZERO, &never, &mut |_| {}).unwrap();
    let summary = project.run(&[]);
    assert_eq!(summary.exit, ExitCode::Temporary);
    assert_eq!(summary.tasks[1].state, TaskState::Failed);
    assert_eq!(summary.tasks[2].state, TaskState::Done, "other tasks go on");
    let message = &summary.tasks[1].error.as_ref().unwrap().message;
    let pid = format!("process {} on host `", std::process::id());
    assert!(message.contains(&pid) && message.contains(" since 20"), "{message}");
    let events = project.records.events.lock().unwrap().clone();
    assert!(events.iter().any(|event| event.starts_with("Waiting") && event.contains(&pid)));
    assert!(!project.layout().failed_manifest("extract", Some("taps")).exists());
    drop(held);
    assert_eq!(project.run(&[]).exit, ExitCode::Success);
}

#[test]
fn two_runs_at_once_do_the_work_once() {
    for round in 0..8 {
        let mut project = Project::carousel();
        for task in ["extract.prints", "features"] {
            project.behaviour.insert(task.to_owned(), Behaviour::Meets(round % 3));
        }
        let twin = project.twin();
        let (one, two) = thread::scope(|scope| {
            let other = scope.spawn(|| twin.run(&[]));
            (project.run(&[]), other.join().unwrap())
        });
        assert_eq!((one.exit, two.exit), (ExitCode::Success, ExitCode::Success));
        let (mut all, other) = (project.ran(), twin.ran());
        all.extend(other);
        assert_eq!(all.len(), 6, "each task once: {all:?}");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 6);
        assert!(project.run(&[]).is_up_to_date());
    }
}

#[test]
fn an_upstream_that_another_process_replaced_meanwhile_keeps_the_result_out() {
    let mut project = Project::carousel();
    project.run(&[]);
    project.settings.insert("features".to_owned(), 3);
    project.behaviour.insert("features".to_owned(), Behaviour::Meets(2));
    let mut twin = project.twin();
    twin.settings.insert("preprocess".to_owned(), 4);
    let summary = thread::scope(|scope| {
        let waiting = scope.spawn(|| project.run(&["features"]));
        while project.records.running.lock().unwrap().is_empty() {
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(twin.run(&["preprocess"]).exit, ExitCode::Success);
        waiting.join().unwrap()
    });
    assert_eq!(summary.exit, ExitCode::Temporary);
    let message = &summary.tasks[0].error.as_ref().unwrap().message;
    assert!(message.contains("changed while `features` was reading"), "{message}");
}

#[test]
fn a_result_that_another_run_put_in_place_of_ours_is_not_gone_on_with() {
    let project = failing("preprocess.taps", Behaviour::Meets(5));
    let mut twin = project.twin();
    twin.behaviour.clear();
    twin.settings.insert("preprocess".to_owned(), 4);
    let summary = thread::scope(|scope| {
        let waiting = scope.spawn(|| project.run(&[]));
        let is_done = |event: &String| event.starts_with("Finished { task: \"preprocess.prints\"");
        while !project.records.events.lock().unwrap().iter().any(is_done) {
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(twin.run(&["preprocess.prints"]).exit, ExitCode::Success);
        waiting.join().unwrap()
    });
    assert_eq!(summary.exit, ExitCode::Temporary);
    assert_eq!(states(&summary)[4..], ["features=Failed", "quality=Blocked"]);
    let message = &summary.tasks[4].error.as_ref().unwrap().message;
    assert_eq!(message, "another run replaced the result of `preprocess.prints`");
}

#[test]
fn a_commit_that_was_cut_off_before_its_manifest_is_finished_by_the_next_run() {
    for with_record in [false, true] {
        let mut project = Project::carousel();
        project.run(&[]);
        let manifest = project.layout().manifest("features", None);
        let before = fs_err::read(&manifest).unwrap();
        project.settings.insert("features".to_owned(), 14);
        project.run(&["features"]);
        let after = project.read("features");
        if !with_record {
            let fingerprint = project.manifest("features").unwrap().fingerprint;
            let results = project.layout().results_dir().join("features");
            fs_err::remove_file(results.join(format!("{fingerprint}.json"))).unwrap();
        }
        fs_err::write(&manifest, before).unwrap();
        let summary = project.run(&["features"]);
        assert_eq!((summary.exit, summary.tasks[0].restored), (ExitCode::Success, with_record));
        assert_eq!(project.read("features"), after);
        assert!(project.run(&["features"]).is_up_to_date());
    }
}

#[test]
fn a_result_that_went_after_the_plan_is_not_read() {
    let mut project = Project::carousel();
    project.options.jobs = 1;
    project.run(&[]);
    project.settings.insert("preprocess".to_owned(), 4);
    // While the first preprocess runs, the object that the second will read goes.
    project.behaviour.insert("preprocess.prints".to_owned(), Behaviour::Meets(2));
    let object = project.manifest("extract.taps").unwrap().outputs[0].sha256;
    let summary = thread::scope(|scope| {
        let running = scope.spawn(|| project.run(&["preprocess"]));
        while project.records.running.lock().unwrap().is_empty() {
            thread::sleep(Duration::from_millis(2));
        }
        fs_err::remove_file(project.layout().object(&object)).unwrap();
        running.join().unwrap()
    });
    assert_eq!(summary.exit, ExitCode::Refused);
    project.behaviour.clear();
    assert_eq!(project.run(&[]).exit, ExitCode::Success);
    assert!(project.run(&[]).is_up_to_date());
}

#[test]
fn old_results_go_after_a_commit_and_the_live_ones_never() {
    let mut project = Project::carousel();
    project.keep = 2;
    for setting in 0..6 {
        project.settings.insert("preprocess".to_owned(), setting);
        assert_eq!(project.run(&[]).exit, ExitCode::Success);
        for task in project.graph.tasks() {
            let manifest = project.manifest(task.as_str()).unwrap();
            assert!(manifest.outputs.iter().all(|output| project.store().contains(&output.sha256)));
        }
    }
    let results = project.layout().results_dir().join("features");
    assert_eq!(fs_err::read_dir(results).unwrap().count(), 2);
}
