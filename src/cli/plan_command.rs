//! `mp plan` and `--dry-run`: what would run, and why.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use clap::Args;
use serde_json::{Value, json};

use super::global::Global;
use super::output;
use super::project::Project;
use super::run_command;
use crate::dag::{Graph, TaskId};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::progress::Silent;
use crate::scheduler::{Options, Plan, PlannedTask, Scheduler, Verdict};

/// So many reasons of a task are shown to people; `--json` has all.
const SHOWN_REASONS: usize = 10;

/// Arguments of `mp plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Stages or tasks; `+name` with everything before it, `name+` with everything after it
    #[arg(value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// Plan as if upstream artifacts that are not up to date were allowed
    #[arg(long)]
    allow_stale: bool,
    /// Exit 1 if anything is not up to date
    #[arg(long)]
    exit_code: bool,
}

/// Shows the plan of a selection.
pub(super) fn plan(global: &Global, args: &PlanArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let graph = project.graph()?;
    let selection = run_command::selected(&graph, &args.selectors)?;
    let options = run_command::options(global, &project, args.allow_stale);
    show(global, &project, &graph, &selection, &options, args.exit_code, None)
}

/// The plan of a selection.
pub(super) fn make(
    project: &Project,
    graph: &Graph,
    selection: &BTreeSet<TaskId>,
    options: &Options,
) -> Plan {
    let scheduler = Scheduler {
        graph,
        store: &project.store,
        runner: &project.stages(),
        selection,
        options,
        events: &Silent,
        cancel: &AtomicBool::new(false),
    };
    scheduler.plan()
}

/// Prints the plan of a selection, and of which run it is a retry, if it is one.
pub(super) fn show(
    global: &Global,
    project: &Project,
    graph: &Graph,
    selection: &BTreeSet<TaskId>,
    options: &Options,
    exit_code: bool,
    retry_of: Option<&str>,
) -> Result<ExitCode, Error> {
    let plan = make(project, graph, selection, options);
    // The facts that were learnt about files spare the next command the hashing.
    project.store.memo().save()?;
    if global.json {
        let mut facts = json!(plan);
        if let Value::Object(facts) = &mut facts {
            facts.insert("as_of".into(), project.config().as_of().to_string().into());
            facts.insert("up_to_date".into(), plan.is_up_to_date().into());
            if let Some(run) = retry_of {
                facts.insert("retry_of".into(), run.into());
            }
            for (task, planned) in facts
                .get_mut("tasks")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .zip(&plan.tasks)
            {
                let why = planned.why();
                if let Value::Object(task) = task {
                    task.insert("why".into(), why.into());
                }
            }
        }
        output::document("plan", facts)?;
    } else {
        let width = plan.tasks.iter().map(|task| task.task.as_str().len()).max().unwrap_or(0);
        let text: String = plan.tasks.iter().map(|task| lines(task, width)).collect();
        let retried = run_command::retried(project, retry_of);
        output::text(&(retried + &text + &last_line(&plan)))?;
    }
    Ok(exit(&plan, exit_code))
}

/// How a command ends that tells a plan and may be asked for an exit code.
pub(super) fn exit(plan: &Plan, exit_code: bool) -> ExitCode {
    match plan.exit() {
        ExitCode::Success if exit_code && !plan.is_up_to_date() => ExitCode::Failure,
        exit => exit,
    }
}

/// How many tasks end in which way: `3 of 8 tasks are not up to date: 1 restore, 2 run`.
fn last_line(plan: &Plan) -> String {
    let total = plan.tasks.len();
    if plan.is_up_to_date() {
        return format!("nothing to do: {}\n", run_command::all_up_to_date(total));
    }
    let count = |verdict| plan.tasks.iter().filter(|task| task.verdict == verdict).count();
    let counts = [Verdict::Restore, Verdict::Run, Verdict::Blocked, Verdict::Failed]
        .map(|verdict| (count(verdict), verdict.word()));
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let stale = total - count(Verdict::UpToDate);
    format!("{stale} of {total} tasks are not up to date: {}\n", told.join(", "))
}

/// What becomes of a task, then a line for each reason.
pub(super) fn lines(task: &PlannedTask, width: usize) -> String {
    let mut why = task.why_with(SHOWN_REASONS);
    let hint = task.error.iter().filter_map(|error| error.hint.as_ref());
    why.extend(hint.map(|hint| format!("hint: {hint}")));
    let (name, verdict) = (task.task.as_str(), task.verdict.word());
    let mut why = why.into_iter();
    let first = why.next().unwrap_or_default();
    let mut text = format!("{name:width$}  {verdict:10}  {first}").trim_end().to_owned() + "\n";
    for reason in why {
        text.push_str(&format!("{:width$}  {:10}  {reason}\n", "", ""));
    }
    text
}
