//! Many runs started at once on one project: the work is done once, and nobody is in another's way.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::crash::{Published, copy_of};
use crate::outcome::Outcome;
use crate::project::Project;
use crate::view::TASKS;

fn start(project: &Project, args: &[&str]) -> Child {
    let mut command = project.command(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("mp starts")
}

fn finish(child: Child) -> Outcome {
    Outcome::new("mp run".to_owned(), child.wait_with_output().expect("ended"))
}

/// How often each task was computed.
fn computed(outcomes: &[Outcome]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        for task in outcome.json("run")["tasks"].as_array().expect("tasks") {
            if task["state"] == "done" && task["restored"] == false {
                *counts.entry(task["task"].as_str().expect("a name").to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

fn each_once() -> BTreeMap<String, usize> {
    TASKS.into_iter().map(|task| (task.to_owned(), 1)).collect()
}

#[test]
fn fifty_runs_at_once_do_the_work_once() {
    let project = Project::november();
    let alone = copy_of(&project);
    alone.run_all();
    let children: Vec<Child> =
        (0..50).map(|_| start(&project, &["run", "--all", "--json"])).collect();
    let outcomes: Vec<Outcome> = children.into_iter().map(finish).collect();
    for outcome in &outcomes {
        assert!([0, 75].contains(&outcome.code), "{outcome}");
    }
    assert!(outcomes.iter().any(|outcome| outcome.code == 0), "somebody did it");
    assert_eq!(computed(&outcomes), each_once());
    Published::of(&project).assert_same(&Published::of(&alone), "after fifty runs at once");
    project.run_all();
}

#[test]
fn fifty_impatient_runs_at_once_do_the_work_once() {
    let project = Project::november();
    let alone = copy_of(&project);
    alone.run_all();
    let args = ["run", "--all", "--json", "--lock-timeout", "0s"];
    let children: Vec<Child> = (0..50).map(|_| start(&project, &args)).collect();
    let mut outcomes: Vec<Outcome> = children.into_iter().map(finish).collect();
    for outcome in &outcomes {
        assert!([0, 75].contains(&outcome.code), "{outcome}");
    }
    // Whoever gave way at one task did not do the next; the last one does what is left.
    outcomes.push(project.mp(&args).success());
    assert_eq!(computed(&outcomes), each_once());
    Published::of(&project).assert_same(&Published::of(&alone), "after fifty runs at once");
}

#[test]
fn runs_of_ten_days_at_once_share_a_store_and_each_is_right() {
    let by_day = |project: Project| {
        project
            .with("data_paths.processed", json!("data/{as_of}/processed"))
            .with("data_paths.output", json!("data/{as_of}/output"))
            .with("quality.quality_report_path", json!("data/{as_of}/reports"))
    };
    let (project, alone) = (by_day(Project::november()), by_day(Project::november()));
    let days: Vec<String> = (21..=30).map(|day| format!("2020-11-{day}")).collect();
    let args = |day: &'_ str| ["run", "--all", "--as-of", day].map(str::to_owned).to_vec();
    let children: Vec<(&String, Child)> = days
        .iter()
        .map(|day| {
            let args = args(day);
            (day, start(&project, &args.iter().map(String::as_str).collect::<Vec<_>>()))
        })
        .collect();
    for (day, child) in children {
        let outcome = finish(child);
        assert_eq!(outcome.code, 0, "{day}: {outcome}");
    }
    for day in &days {
        alone.run_all_with(&["--as-of", day]);
        project.run_all_with(&["--as-of", day]);
        let (one, other) = (project.view_of(day), alone.view_of(day));
        assert_eq!(one.fingerprints(), other.fingerprints(), "{day}");
    }
}
