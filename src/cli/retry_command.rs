//! `mp retry`: takes up the newest run with tasks that failed, were blocked or were stopped.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;

use super::airflow_document::Document;
use super::global::Global;
use super::output;
use super::project::Project;
use super::recorder::settings;
use super::run_command::{PlainStage, carry_out};
use super::runs_command::{readable, warnings};
use super::show_command::plain;
use crate::dag::{Graph, TaskId};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::history::{Again, what_to_retry};
use crate::scheduler::RunSummary;
use crate::store::{Asked, RunRecord};

/// A setting that is that of the run, not of the present.
const AS_OF: &str = "validation.as_of";

/// Arguments of `mp retry`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    plain: PlainStage,
}

/// Runs again what did not end well.
pub(super) fn retry(global: &Global, args: &RetryArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let mut skipped = Vec::new();
    let as_of = global.as_of.as_ref().map(|_| project.config().as_of().to_string());
    let again = what_to_retry(readable(&project, &mut skipped)?, as_of.as_deref());
    let mut notes = warnings(&skipped);
    let Some(Again { record, tasks }) = again else {
        return nothing(global, &project, args, &notes);
    };
    let of_that_day = Global { as_of: Some(record.as_of_given.clone()), ..global.clone() };
    let project = Project::load(&of_that_day)?;
    let graph = project.graph()?;
    // What is forced is computed, and nobody wants to see computed what went well.
    let wanted = if global.force { &tasks } else { &record.asked.tasks };
    let selection = those_of(&graph, wanted);
    let names = |tasks: &BTreeSet<TaskId>| tasks.iter().map(ToString::to_string).collect();
    let asked = Asked {
        command: "retry".to_owned(),
        selectors: Vec::new(),
        tasks: names(&selection),
        force: global.force,
        allow_stale: args.plain.allow_stale || record.asked.allow_stale,
        retry_of: Some(record.run.clone()),
    };
    notes.extend(other_settings(&project, &record));
    carry_out(&of_that_day, &project, &graph, &selection, &asked, &args.plain, &notes)
}

/// The tasks of those names that the graph still has.
fn those_of(graph: &Graph, names: &[String]) -> BTreeSet<TaskId> {
    let named = |task: &&TaskId| names.iter().any(|name| name == task.as_str());
    graph.tasks().iter().filter(named).cloned().collect()
}

/// Which settings are others now.
fn other_settings(project: &Project, record: &RunRecord) -> Vec<String> {
    let mut notes = Vec::new();
    for (key, now) in settings(project) {
        let then = record.settings.get(&key).filter(|then| then.value != now.value);
        if let Some(then) = then.filter(|_| key != AS_OF) {
            let origin = now.origin.as_deref().unwrap_or("default");
            let (then, now) = (plain(&then.value), plain(&now.value));
            notes.push(format!(
                "another setting than in that run: {key}: {then} → {now} ({origin})"
            ));
        }
    }
    notes
}

/// Nothing is left undone: a run of no tasks, which is not recorded.
fn nothing(
    global: &Global,
    project: &Project,
    args: &RetryArgs,
    notes: &[String],
) -> Result<ExitCode, Error> {
    let _log = project.start_log(global, false);
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    let exit = args.plain.exit_if_nothing();
    let summary = RunSummary {
        run_id: String::new(),
        tasks: Vec::new(),
        seconds: 0.0,
        exit: ExitCode::Success,
    };
    if let Some(mode) = &global.mode {
        mode.end(&Document::of_run(mode.name(), project, &summary, exit), !global.json)?;
    } else if !global.json {
        output::text("nothing to retry\n")?;
    }
    if global.json {
        let facts =
            json!({ "retry_of": null, "run_id": null, "tasks": [], "exit_code": exit.code() });
        output::document("retry", facts)?;
    }
    Ok(exit)
}
