//! Who runs when: needs first, no more than `jobs` at once, shares that add up.

use super::fake::{Behaviour, Project, all, id, states};
use crate::exit_code::ExitCode;
use crate::scheduler::TaskState;

#[test]
fn needs_come_first_and_a_second_run_does_nothing() {
    let project = Project::carousel();
    let summary = project.run(&[]);
    assert!(all(&summary, TaskState::Done), "{:?}", states(&summary));
    let ran = project.ran();
    for task in project.graph.tasks() {
        let place = |name: &str| ran.iter().position(|ran| ran == name).unwrap();
        for need in project.graph.needs(task) {
            assert!(place(need.as_str()) < place(task.as_str()));
        }
    }
    assert_eq!(
        project.read("features"),
        "features=0(preprocess.prints=0(extract.prints=0(raw)))(preprocess.taps=0(extract.taps=0(raw)))\n"
    );
    let summary = project.run(&[]);
    assert!(all(&summary, TaskState::UpToDate) && summary.is_up_to_date());
    assert_eq!(summary.exit, ExitCode::Success);
    assert!(project.ran().is_empty());
}

#[test]
fn one_job_runs_in_the_order_of_the_graph() {
    let mut project = Project::carousel();
    project.options.jobs = 1;
    project.run(&[]);
    let order: Vec<String> = project.graph.tasks().iter().map(ToString::to_string).collect();
    assert_eq!(project.ran(), order);
    assert!(project.records.concurrency.lock().unwrap().values().all(|share| *share == 1));
}

#[test]
fn independent_tasks_run_side_by_side_but_never_more_than_jobs() {
    let stages = "  a: {}\n  b: {}\n  c: {}\n  d: {}\n";
    for jobs in [1, 2, 3, 9] {
        let mut project = Project::with(stages);
        project.options.jobs = jobs;
        for task in ["a", "b", "c", "d"] {
            project.behaviour.insert(task.to_owned(), Behaviour::Meets(jobs.min(2)));
        }
        project.run(&[]);
        let most = *project.records.most_at_once.lock().unwrap();
        assert!(most <= jobs && most >= jobs.min(2), "{most} of {jobs}");
    }
}

#[test]
fn a_task_has_all_to_itself_when_nothing_can_run_beside_it() {
    let mut project = Project::carousel();
    project.options.jobs = 8;
    project.run(&[]);
    let share = |task: &str| project.records.concurrency.lock().unwrap()[task];
    assert_eq!((share("features"), share("quality")), (1, 1));
    assert!(share("extract.prints") >= 2);
    // Only the taps are not up to date: nothing runs beside them.
    project.write_raw(&id("extract.taps"), "other\n");
    project.run(&[]);
    assert_eq!(share("extract.taps"), 1);
}

#[test]
fn a_selection_runs_alone_in_the_order_of_the_graph() {
    let project = Project::carousel();
    let summary = project.run(&["+preprocess.taps"]);
    assert_eq!(states(&summary), ["extract.taps=Done", "preprocess.taps=Done"]);
    let summary = project.run(&["extract"]);
    assert_eq!(states(&summary), ["extract.prints=Done", "extract.taps=UpToDate"]);
}

#[test]
fn the_listener_hears_what_happens() {
    let project = Project::carousel();
    project.run(&["extract.taps"]);
    let events = project.records.events.lock().unwrap().clone();
    assert_eq!(events[0], "PlanReady { total: 1, to_run: 1 }");
    assert_eq!(
        events[1],
        r#"Started { task: "extract.taps", index: 1, total: 1, reasons: ["never run"] }"#
    );
    assert!(events[2].starts_with(r#"Finished { task: "extract.taps", seconds: "#), "{events:?}");
    assert!(
        events[3]
            .starts_with("AllDone { done: 1, up_to_date: 0, failed: 0, blocked: 0, not_begun: 0")
    );
    assert_eq!(events.len(), 4);
}
