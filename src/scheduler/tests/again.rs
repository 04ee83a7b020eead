//! Retries, time limits, and failures that are remembered instead of met again.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::fake::{Behaviour, Project, id, states};
use crate::exit_code::ExitCode;
use crate::scheduler::{RunSummary, TaskState, Verdict};

const LONG: Duration = Duration::from_secs(3_600);

fn carousel(task: &str, behaviour: Behaviour) -> Project {
    let mut project = Project::carousel();
    project.behaviour.insert(task.to_owned(), behaviour);
    project
}

fn told(project: &Project, start: &str) -> Vec<String> {
    project.events().into_iter().filter(|event| event.starts_with(start)).collect()
}

fn message(summary: &RunSummary, task: &str) -> String {
    let found = summary.tasks.iter().find(|result| result.task == id(task)).unwrap();
    found.error.clone().unwrap().message
}

#[test]
fn a_task_is_tried_again_as_often_as_asked() {
    for exit in [ExitCode::Failure, ExitCode::Input, ExitCode::Temporary] {
        let mut project = carousel("extract.taps", Behaviour::FailsFirst(2, exit));
        project.options.tries.retries = Some(3);
        let summary = project.run(&[]);
        assert_eq!((summary.exit, summary.tasks[1].retries), (ExitCode::Success, 2));
        assert_eq!(project.tries("extract.taps"), 3);
        assert_eq!(
            told(&project, "Retrying"),
            [1, 2].map(|retry| format!(
                "Retrying {{ task: \"extract.taps\", message: \"made to fail at first\", \
                 after: \"0s\", retry: {retry}, of: 3 }}"
            ))
        );
        assert!(told(&project, "Failed").is_empty(), "no word of a failure that was mended");
        assert!(!project.layout().failed_manifest("extract", Some("taps")).exists());
    }
}

#[test]
fn a_task_that_was_tried_is_never_said_not_to_have_begun() {
    for round in 0..150 {
        let mut project = Project::with("  a: {}\n  b: {}\n");
        project.behaviour.insert("a".to_owned(), Behaviour::FailsFirst(1, ExitCode::Failure));
        project.behaviour.insert("b".to_owned(), Behaviour::Fails(ExitCode::Contract));
        project.options.tries.retries = Some(1);
        let summary = project.run(&[]);
        let state = summary.tasks[0].state;
        let began = project.tries("a") > 0;
        assert_eq!(state == TaskState::NotBegun, !began, "round {round}: {state:?}");
    }
}

#[test]
fn after_the_last_retry_the_failure_is_told_once() {
    let mut project = carousel("extract.taps", Behaviour::Fails(ExitCode::Temporary));
    project.options.tries.retries = Some(2);
    let summary = project.run(&[]);
    assert_eq!((summary.exit, summary.tasks[1].retries), (ExitCode::Temporary, 2));
    assert_eq!((project.tries("extract.taps"), told(&project, "Failed").len()), (3, 1));
}

#[test]
fn what_a_retry_cannot_mend_is_tried_once() {
    for exit in [ExitCode::Contract, ExitCode::Quality, ExitCode::Usage, ExitCode::Internal] {
        let mut project = carousel("extract.taps", Behaviour::Fails(exit));
        project.options.tries.retries = Some(5);
        assert_eq!(project.run(&[]).exit, exit);
        assert_eq!(project.tries("extract.taps"), 1, "{exit:?}");
    }
    let mut project = carousel("extract.taps", Behaviour::Panics);
    project.options.tries.retries = Some(5);
    assert_eq!(project.run(&[]).exit, ExitCode::Internal);
    assert_eq!(project.tries("extract.taps"), 1);
}

#[test]
fn the_graph_says_how_often_and_the_flag_says_otherwise() {
    let stages = "  a: {retries: 1, retry_delay: 0s}\n  b: {}\n";
    for (asked, tries) in [(None, 2), (Some(0), 1), (Some(2), 3)] {
        let mut project = Project::with(stages);
        project.options.tries.retries = asked;
        project.options.tries.delay = None;
        project.behaviour.insert("a".to_owned(), Behaviour::Fails(ExitCode::Failure));
        project.run(&["a"]);
        assert_eq!(project.tries("a"), tries, "{asked:?}");
    }
}

#[test]
fn a_wait_for_a_retry_ends_with_the_run() {
    let mut project = carousel("extract.taps", Behaviour::Fails(ExitCode::Failure));
    project.options.tries.retries = Some(3);
    project.options.tries.delay = Some(LONG);
    let summary = thread::scope(|scope| {
        let waiting = scope.spawn(|| project.run(&["extract.taps"]));
        while told(&project, "Retrying").is_empty() {
            thread::sleep(Duration::from_millis(2));
        }
        project.cancel.store(true, Ordering::Relaxed);
        waiting.join().unwrap()
    });
    assert_eq!(states(&summary), ["extract.taps=Cancelled"]);
    assert_eq!((summary.exit, project.tries("extract.taps")), (ExitCode::Interrupted, 1));
}

#[test]
fn a_wait_for_a_retry_ends_when_another_task_has_failed_for_good() {
    let mut project = carousel("extract.taps", Behaviour::Fails(ExitCode::Failure));
    project.behaviour.insert("extract.prints".to_owned(), Behaviour::Fails(ExitCode::Contract));
    project.options.tries.retries = Some(3);
    project.options.tries.delay = Some(LONG);
    let summary = project.run(&["extract"]);
    assert_eq!(summary.tasks[0].state, TaskState::Failed);
    // Whichever was first: the other one did not wait for an hour.
    assert!(
        summary.tasks[1].retries == 0
            && summary.exit
                == ExitCode::worst([
                    ExitCode::Contract,
                    summary.tasks[1].error.as_ref().map_or(ExitCode::Success, |error| error.exit),
                ])
    );
}

#[test]
fn a_task_past_its_time_limit_is_stopped_alone() {
    let mut project = Project::with("  a: {timeout: 30ms}\n  b: {}\n  c: {needs: [a]}\n");
    project.options.keep_going = true;
    project.behaviour.insert("a".to_owned(), Behaviour::Hangs);
    let summary = project.run(&[]);
    assert_eq!(states(&summary), ["a=Failed", "b=Done", "c=Blocked"]);
    assert_eq!(summary.exit, ExitCode::Failure);
    assert_eq!(
        message(&summary, "a"),
        "`a` was stopped: it took longer than its `timeout` of 30ms"
    );
    let failed = project.store().failed_manifest("a", None).unwrap().good().unwrap();
    assert_eq!(failed.error.as_ref().unwrap().exit_code, 1);
    assert!(!project.store().has_leftovers().unwrap());
}

#[test]
fn a_task_past_its_time_limit_is_tried_again() {
    let mut project = Project::with("  a: {timeout: 30ms, retries: 2}\n");
    project.behaviour.insert("a".to_owned(), Behaviour::Hangs);
    assert_eq!(project.run(&[]).exit, ExitCode::Failure);
    assert_eq!(project.tries("a"), 3);
    project.behaviour.clear();
    project.options.tries.timeout = Some(LONG);
    assert_eq!(project.run(&[]).exit, ExitCode::Success);
}

#[test]
fn a_stop_during_a_task_with_a_time_limit_is_a_stop() {
    let mut project = Project::with("  a: {timeout: 1h}\n");
    project.behaviour.insert("a".to_owned(), Behaviour::Hangs);
    let summary = thread::scope(|scope| {
        let running = scope.spawn(|| project.run(&[]));
        while project.records.running.lock().unwrap().is_empty() {
            thread::sleep(Duration::from_millis(2));
        }
        project.cancel.store(true, Ordering::Relaxed);
        running.join().unwrap()
    });
    assert_eq!(
        (states(&summary), summary.exit),
        (vec!["a=Cancelled".to_owned()], ExitCode::Interrupted)
    );
}

/// A project whose features have failed because of the data.
fn failed_by_the_data(exit: ExitCode) -> Project {
    let project = carousel("features", Behaviour::FailsOfTheData(exit));
    let summary = project.run(&[]);
    assert_eq!((summary.exit, summary.tasks[4].remembered.clone()), (exit, None));
    assert_eq!(project.tries("features"), 1);
    project
}

#[test]
fn a_failure_of_the_data_is_told_again_without_computing() {
    for exit in [ExitCode::Contract, ExitCode::Quality] {
        let project = failed_by_the_data(exit);
        let failed = project.store().failed_manifest("features", None).unwrap().good().unwrap();
        let before = super::fake::snapshot(&project);
        for _ in 0..2 {
            let summary = project.run(&[]);
            assert_eq!(summary.exit, exit);
            assert!(project.ran().is_empty());
            let run = &failed.run.id;
            let text = format!("made to fail by the data (remembered from run {run})");
            assert_eq!(message(&summary, "features"), text);
            assert_eq!(summary.tasks[4].remembered.as_ref(), Some(run));
            let hint = summary.tasks[4].error.clone().unwrap().hint.unwrap();
            assert!(hint.starts_with("look at it; ") && hint.contains("--force"), "{hint}");
            assert_eq!(states(&summary)[5], "quality=Blocked");
        }
        assert_eq!(super::fake::snapshot(&project), before, "nothing is written");
    }
}

#[test]
fn a_plan_knows_what_would_fail_again() {
    let mut project = failed_by_the_data(ExitCode::Quality);
    let plan = project.plan(&[]);
    assert_eq!((plan.tasks[4].verdict, plan.exit()), (Verdict::Failed, ExitCode::Quality));
    assert!(plan.tasks[4].error.as_ref().unwrap().message.contains("remembered from run "));
    project.settings.insert("preprocess".to_owned(), 7);
    assert_eq!(project.plan(&[]).tasks[4].verdict, Verdict::Run, "its input may turn out another");
    project.settings.clear();
    project.options.force = true;
    assert_eq!(project.plan(&["features"]).tasks[0].verdict, Verdict::Run);
}

#[test]
fn another_failure_is_not_remembered() {
    for exit in [ExitCode::Failure, ExitCode::Input, ExitCode::Temporary] {
        let project = failed_by_the_data(exit);
        project.run(&[]);
        assert_eq!(project.tries("features"), 1, "{exit:?}");
    }
}

#[test]
fn a_remembered_failure_is_tried_for_real_when_anything_has_changed() {
    type Change = fn(&mut Project);
    let changes: [(&str, Change, &[&str]); 4] = [
        (
            "setting",
            |project| {
                project.settings.insert("features".to_owned(), 3);
            },
            &[],
        ),
        ("input", |project| project.write_raw(&id("extract.taps"), "other\n"), &[]),
        ("force", |project| project.options.force = true, &["features"]),
        (
            "what the attempt left",
            |project| {
                fs_err::remove_file(project.layout().failed_manifest("features", None)).unwrap();
            },
            &[],
        ),
    ];
    for (what, change, selectors) in changes {
        let mut project = failed_by_the_data(ExitCode::Contract);
        change(&mut project);
        let summary = project.run(selectors);
        assert_eq!(project.tries("features"), 1, "{what}");
        assert_eq!(summary.exit, ExitCode::Contract);
        project.behaviour.clear();
        assert!(what == "force" || project.run(&[]).exit == ExitCode::Contract, "{what}");
        project.options.force = true;
        assert_eq!(project.run(&["features"]).exit, ExitCode::Success, "{what}");
    }
}

#[test]
fn going_back_to_what_failed_before_the_last_attempt_computes() {
    let mut project = failed_by_the_data(ExitCode::Contract);
    project.settings.insert("features".to_owned(), 3);
    project.run(&[]);
    project.settings.clear();
    project.run(&[]);
    assert_eq!(project.tries("features"), 1, "only the last attempt is remembered");
}
