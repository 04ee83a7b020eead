//! The body of the DAG: a line for each task and for what it needs.
//!
//! Does not know what a task is to Airflow; the template defines `mp(…)`.

use std::collections::BTreeMap;

use crate::dag::{Graph, TaskId};

/// As wide as a line may be.
const WIDTH: usize = 100;
const INDENT: &str = "    ";

/// The one task that comes last; a graph may end in several.
pub(super) fn last(graph: &Graph) -> Option<&TaskId> {
    let is_needed = |task: &TaskId| !graph.descendants(task).is_empty();
    let mut ends = graph.tasks().iter().filter(|task| !is_needed(task));
    let first = ends.next()?;
    ends.next().is_none().then_some(first)
}

/// The line that names what the last task publishes.
pub(super) fn asset(name: &str) -> String {
    format!(
        "# Published by the last task alone, so that a consumer starts once, when all is done.\n\
         GOLD = Asset(name=\"mp_{name}_gold\", uri=\"x-mp://{name}/gold\")\n\n\n"
    )
}

/// Every task; those of a stage with sources are a group, so that they have the names of mp.
pub(super) fn tasks(graph: &Graph) -> String {
    let last = last(graph);
    let mut stages: BTreeMap<usize, Vec<&TaskId>> = BTreeMap::new();
    for task in graph.tasks() {
        let same = |other: &TaskId| other.stage() == task.stage();
        let first = graph.tasks().iter().position(same).unwrap_or_default();
        stages.entry(first).or_default().push(task);
    }
    let mut lines = Vec::new();
    for tasks in stages.values() {
        if let Some(first) = tasks.first().filter(|task| task.source().is_some()) {
            lines.push(format!("{INDENT}with TaskGroup(\"{}\"):", first.stage()));
        }
        for task in tasks {
            let outlets = if last == Some(*task) { ", outlets=[GOLD]" } else { "" };
            let (stage, variable) = (task.stage(), variable(task));
            lines.push(match task.source() {
                Some(source) => format!(
                    "{INDENT}{INDENT}{variable} = mp(\"{source}\", \"{stage} --source {source}\"{outlets})"
                ),
                None => format!("{INDENT}{variable} = mp(\"{stage}\", \"{stage}\"{outlets})"),
            });
        }
    }
    lines.join("\n")
}

/// What each task needs.
pub(super) fn edges(graph: &Graph) -> String {
    let mut lines = Vec::new();
    for task in graph.tasks() {
        let needs: Vec<String> = graph.needs(task).iter().map(variable).collect();
        let task = variable(task);
        match needs.as_slice() {
            [] => {}
            [only] => lines.push(format!("{INDENT}{only} >> {task}")),
            several => {
                let line = format!("{INDENT}[{}] >> {task}", several.join(", "));
                lines.push(if line.len() <= WIDTH {
                    line
                } else {
                    let inner = several.join(&format!(",\n{INDENT}{INDENT}"));
                    format!("{INDENT}[\n{INDENT}{INDENT}{inner},\n{INDENT}] >> {task}")
                });
            }
        }
    }
    lines.join("\n")
}

/// The name of the Python variable.
fn variable(task: &TaskId) -> String {
    task.as_str().replace('.', "_")
}
