//! Random graphs with random trouble: who ran, how often, in which order, and what became of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::fake::{Behaviour, Project};
use super::model::NAMES;
use crate::dag::TaskId;
use crate::exit_code::ExitCode;
use crate::scheduler::{RunSummary, TaskResult, TaskState};

/// A graph, what goes wrong in it, and how it is run.
#[derive(Debug, Clone)]
struct Case {
    edges: BTreeSet<(usize, usize)>,
    each: Vec<bool>,
    /// The stage whose tasks never end on their own.
    hanging: Option<usize>,
    trouble: BTreeMap<usize, Behaviour>,
    jobs: usize,
    retries: u32,
    keep_going: bool,
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    use ExitCode::{Contract, Failure, Input, Internal, Quality, Temporary};
    let mended = prop::sample::select(vec![Failure, Input, Temporary]);
    let lasting =
        prop::sample::select(vec![Failure, Input, Temporary, Contract, Quality, Internal]);
    prop_oneof![
        (1..4usize, mended).prop_map(|(times, exit)| Behaviour::FailsFirst(times, exit)),
        lasting.prop_map(Behaviour::Fails),
        Just(Behaviour::Panics),
        (1..4usize).prop_map(Behaviour::Meets),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::collection::btree_set((0..NAMES.len(), 0..NAMES.len()), 0..8),
        prop::collection::vec(any::<bool>(), NAMES.len()),
        prop_oneof![4 => Just(None), 1 => (0..NAMES.len()).prop_map(Some)],
        prop::collection::btree_map(0..10usize, behaviour(), 0..4),
        (1..5usize, 0..3u32, any::<bool>()),
    )
        .prop_map(|(edges, each, hanging, trouble, (jobs, retries, keep_going))| Case {
            edges,
            each,
            hanging,
            trouble,
            jobs,
            retries,
            keep_going,
        })
}

impl Case {
    fn project(&self) -> Project {
        let mut text = String::new();
        for (stage, name) in NAMES.iter().enumerate() {
            let needs = self.edges.iter().filter(|(a, b)| *b == stage && a < b);
            let needs: Vec<&str> = needs.map(|(a, _)| NAMES[*a]).collect();
            let each = if self.each[stage] { "each: sources, " } else { "" };
            let limit = if self.hanging == Some(stage) { "timeout: 20ms, " } else { "" };
            text += &format!("  {name}: {{{each}{limit}needs: [{}]}}\n", needs.join(", "));
        }
        let mut project = Project::with(&text);
        for (number, behaviour) in &self.trouble {
            let task = &project.graph.tasks()[number % project.graph.tasks().len()];
            project.behaviour.insert(task.to_string(), *behaviour);
        }
        for task in project.graph.tasks().iter().filter(|task| self.hangs(task)) {
            project.behaviour.insert(task.to_string(), Behaviour::Hangs);
        }
        project.options.jobs = self.jobs;
        project.options.keep_going = self.keep_going;
        project.options.tries.retries = Some(self.retries);
        project
    }

    fn hangs(&self, task: &TaskId) -> bool {
        self.hanging.is_some_and(|stage| NAMES[stage] == task.stage())
    }

    /// How often a task is tried if it begins and nothing ends the run, and how that ends.
    fn fate(&self, behaviour: Option<&Behaviour>) -> (u32, Option<ExitCode>) {
        let all = self.retries + 1;
        match behaviour {
            Some(Behaviour::FailsFirst(times, _)) if *times <= self.retries as usize => {
                (*times as u32 + 1, None)
            }
            Some(Behaviour::FailsFirst(_, exit)) => (all, Some(*exit)),
            Some(Behaviour::Fails(exit)) => {
                (if exit.is_retryable() { all } else { 1 }, Some(*exit))
            }
            Some(Behaviour::Panics) => (1, Some(ExitCode::Internal)),
            Some(Behaviour::Hangs) => (all, Some(ExitCode::Failure)),
            _ => (1, None),
        }
    }
}

/// Needs ended well before a task began, and no more than `jobs` were at it.
fn check_order(project: &Project, summary: &RunSummary) {
    let mut ended = BTreeSet::new();
    for event in project.events() {
        let task = |event: &str| event.split('"').nth(1).unwrap_or_default().to_owned();
        if event.starts_with("Finished") || event.starts_with("UpToDate") {
            ended.insert(task(&event));
        } else if event.starts_with("Started") {
            let task: TaskId = task(&event).parse().unwrap();
            let needs = project.graph.needs(&task);
            assert!(needs.iter().all(|need| ended.contains(need.as_str())), "{task} began early");
        }
    }
    assert!(*project.records.most_at_once.lock().unwrap() <= project.options.jobs);
    let order: Vec<&TaskId> = summary.tasks.iter().map(|result| &result.task).collect();
    assert_eq!(order, project.graph.tasks().iter().collect::<Vec<_>>(), "each task once");
}

/// What a failure does to the others, whatever the order in which they came.
fn check_states(case: &Case, project: &Project, summary: &RunSummary) {
    let failed = |result: &&TaskResult| result.state == TaskState::Failed;
    let failures: BTreeSet<&TaskId> =
        summary.tasks.iter().filter(failed).map(|result| &result.task).collect();
    let blocked: BTreeSet<TaskId> =
        failures.iter().flat_map(|task| project.graph.descendants(task)).collect();
    for result in &summary.tasks {
        let (task, tries) = (&result.task, project.tries(result.task.as_str()) as u32);
        let (expected, exit) = case.fate(project.behaviour.get(task.as_str()));
        assert_eq!(result.state == TaskState::Blocked, blocked.contains(task), "{task}");
        match result.state {
            TaskState::Blocked => {
                let by = result.blocked_by.as_ref().unwrap();
                assert!(failures.contains(by) && project.graph.ancestors(task).contains(by));
            }
            TaskState::NotBegun => assert!(!case.keep_going && !failures.is_empty()),
            TaskState::Done => assert_eq!((tries, exit), (expected, None), "{task}"),
            TaskState::Failed => {
                // Another failure may have ended the run before the last retry, which might even
                // have gone well.
                let cut = !case.keep_going && failures.len() > 1 && tries < expected;
                if !cut {
                    assert_eq!(result.error.as_ref().map(|error| error.exit), exit, "{task}");
                    assert_eq!(tries, expected, "{task}");
                }
            }
            TaskState::UpToDate | TaskState::Cancelled => panic!("{task} {:?}", result.state),
        }
        let began = matches!(result.state, TaskState::Done | TaskState::Failed);
        assert_eq!(tries > 0, began, "{task}");
        assert_eq!(result.retries, tries.saturating_sub(1), "{task}");
    }
    let exits = summary.tasks.iter().filter_map(|result| Some(result.error.as_ref()?.exit));
    assert_eq!(summary.exit, ExitCode::worst(exits));
}

/// With `-k` each task has one fate; without it nothing begins once a task has failed.
fn check_going_on(case: &Case, project: &Project, summary: &RunSummary) {
    if case.keep_going {
        for result in summary.tasks.iter().filter(|result| result.state != TaskState::Blocked) {
            let fails = case.fate(project.behaviour.get(result.task.as_str())).1.is_some();
            let expected = if fails { TaskState::Failed } else { TaskState::Done };
            assert_eq!(result.state, expected, "{}", result.task);
        }
        return;
    }
    let events = project.events();
    let first = events.iter().position(|event| event.starts_with("Failed"));
    let later = events.iter().skip(first.unwrap_or(events.len()));
    let began = later.filter(|event| event.starts_with("Started")).count();
    // A task that was about to begin on another thread.
    assert!(began < case.jobs, "{events:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tasks_run_in_order_as_often_as_they_may_and_failures_reach_what_needs_them(case in case()) {
        let project = case.project();
        let summary = project.run(&[]);
        check_order(&project, &summary);
        check_states(&case, &project, &summary);
        check_going_on(&case, &project, &summary);
        prop_assert!(!project.store().has_leftovers().unwrap());
    }

    #[test]
    fn with_one_job_the_same_plan_gives_the_same_events(case in case()) {
        let mut case = Case { jobs: 1, ..case };
        // Alone it would wait for company in vain.
        case.trouble.retain(|_, behaviour| !matches!(behaviour, Behaviour::Meets(_)));
        let (one, two) = (case.project(), case.project());
        prop_assert_eq!(one.run(&[]).exit, two.run(&[]).exit);
        prop_assert_eq!(one.events(), two.events());
        prop_assert_eq!(one.ran(), two.ran());
    }

    #[test]
    fn what_failed_or_never_began_is_all_that_the_next_run_does(case in case()) {
        let mut project = case.project();
        let first = project.run(&[]);
        project.behaviour.clear();
        // Not what is remembered: the fakes fail and come right with the same input.
        project.options.cache = false;
        project.options.tries.timeout = Some(Duration::from_secs(3_600));
        prop_assert_eq!(project.run(&[]).exit, ExitCode::Success);
        let done = |result: &&TaskResult| result.state == TaskState::Done;
        let before: BTreeSet<String> =
            first.tasks.iter().filter(done).map(|result| result.task.to_string()).collect();
        let ran: BTreeSet<String> = project.ran().into_iter().collect();
        prop_assert!(ran.is_disjoint(&before));
        prop_assert_eq!(ran.len() + before.len(), first.tasks.len());
        prop_assert!(project.run(&[]).is_up_to_date());
    }
}
