//! `mp status`: what is there, from when, and whether it is still true.

use clap::Args;
use serde_json::json;

use super::global::Global;
use super::output;
use super::plan_command::{exit, make};
use super::project::Project;
use super::run_command::{facts, options, selected};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::scheduler::{Reason, Verdict};
use crate::store::Found;

/// Arguments of `mp status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Exit 1 if anything is not up to date
    #[arg(long)]
    exit_code: bool,
}

/// Shows the state of every task.
pub(super) fn status(global: &Global, args: &StatusArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let graph = project.graph()?;
    let selection = selected(&graph, &[])?;
    let plan = make(&project, &graph, &selection, &options(global, &project, false));
    project.store.memo().save()?;
    let mut tasks = Vec::new();
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["task", "state", "made", "seconds", "facts", "last failure"]);
    for planned in &plan.tasks {
        let (stage, source) = (planned.task.stage(), planned.task.source());
        let found = project.store.manifest(stage, source)?;
        let is_missing = matches!(found, Found::Missing);
        let good = found.good();
        let failed = project.store.failed_manifest(stage, source)?.good();
        let reasons: Vec<String> = planned.reasons.iter().map(Reason::to_string).collect();
        let failure = failed.as_ref().and_then(|manifest| manifest.error.as_ref());
        let state = match planned.verdict {
            Verdict::Run | Verdict::Restore | Verdict::Blocked if is_missing => "missing",
            verdict => verdict.word(),
        };
        let run = good.as_ref().map(|manifest| &manifest.run);
        let counts = good.as_ref().map(|manifest| facts(&manifest.counts)).unwrap_or_default();
        // What would be told again says so.
        let told = planned.error.as_ref().filter(|_| planned.verdict == Verdict::Failed);
        let failure_words = told.map(|error| &error.message);
        let failure_words = failure_words.or(failure.map(|failure| &failure.message));
        table.add_row([
            planned.task.to_string(),
            state.to_owned(),
            run.map(|run| run.ended_at.clone()).unwrap_or_default(),
            run.map(|run| format!("{:.2}", run.seconds)).unwrap_or_default(),
            counts,
            failure_words.cloned().unwrap_or_default(),
        ]);
        tasks.push(json!({
            "task": planned.task,
            "state": state.replace(' ', "_"),
            "reasons": reasons,
            "outputs": good.as_ref().map(|manifest| &manifest.outputs),
            "counts": good.as_ref().map(|manifest| &manifest.counts),
            "run": run,
            "failure": failure,
        }));
    }
    if global.json {
        let facts = json!({
            "as_of": project.config().as_of().to_string(),
            "up_to_date": plan.is_up_to_date(),
            "tasks": tasks,
        });
        output::document("status", facts)?;
    } else {
        output::text(&format!("{}\n", table.trim_fmt()))?;
    }
    Ok(match exit(&plan, args.exit_code) {
        // A failure that is known is what there is to tell, not one of telling it.
        ExitCode::Contract | ExitCode::Quality if !args.exit_code => ExitCode::Success,
        exit => exit,
    })
}
