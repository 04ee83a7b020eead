//! `mp run` and the four stages: a selection, a run of it, and its summary.
//!
//! A single stage is a run of its tasks alone; there is one way to decide what is up to date and
//! one way to commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::airflow_document::Document;
use super::global::{Global, delay, timeout};
use super::output;
use super::plan_command;
use super::project::Project;
use super::recorder::Recorder;
use super::signals::Signals;
use crate::dag::{Graph, TaskId, select};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::scheduler::{Options, RunSummary, Scheduler, TaskResult, TaskState, TriesAsked};
use crate::store::{Asked, Place, new_run_id};

/// Below this much memory for each, tasks run one after the other.
const TASK_MEMORY_BYTES: u64 = 128 << 20;

/// Arguments of a stage with one task for each source.
#[derive(Debug, Args)]
pub(super) struct SourceStage {
    /// Only this source: prints, taps or payments
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    plain: PlainStage,
}

/// Arguments of any stage.
#[derive(Debug, Args)]
pub(super) struct PlainStage {
    /// Go on with upstream artifacts that are not up to date
    #[arg(long)]
    pub allow_stale: bool,
    /// After a failure go on with all that does not need what failed
    #[arg(short, long)]
    keep_going: bool,
    /// Try a task again so often after exit 1, 3 or 75 [default: `retries` of its stage in
    /// dags/carousel.yaml; 0 as a task of Airflow, which has its own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100))]
    retries: Option<u32>,
    /// The time before the first retry (5s, 2m); it doubles with each [default: `retry_delay`]
    #[arg(long, value_name = "TIME", value_parser = delay)]
    retry_delay: Option<Duration>,
    /// How long one try of a task may take (30s, 10m) [default: `timeout`]
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    task_timeout: Option<Duration>,
    /// Say at the end where the time went: seconds of all threads by kind of work
    #[arg(long)]
    timings: bool,
    /// Exit with this code (99) when there was nothing to do
    #[arg(long, value_name = "CODE", value_parser = ["99"])]
    skip_exit_code: Option<String>,
}

/// Arguments of `mp run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Stages or tasks; `+name` with everything before it, `name+` with everything after it
    #[arg(value_name = "SELECTOR", conflicts_with = "all")]
    selectors: Vec<String>,
    /// Every task (the same as no selector)
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    plain: PlainStage,
}

impl PlainStage {
    /// How a run ends that had nothing to do.
    pub fn exit_if_nothing(&self) -> ExitCode {
        let asked = self.skip_exit_code.is_some();
        if asked { ExitCode::NothingToDo } else { ExitCode::Success }
    }
}

impl SourceStage {
    /// What the task is called that was asked for, or the stage with all of its tasks.
    pub fn task(&self, stage: &str) -> String {
        match &self.source {
            Some(source) => format!("{stage}.{source}"),
            None => stage.to_owned(),
        }
    }
}

/// Runs a stage that has sources.
pub(super) fn source_stage(
    global: &Global,
    stage: &str,
    args: &SourceStage,
) -> Result<ExitCode, Error> {
    if let Some(name) = &args.source {
        Project::source(name)?;
    }
    execute(global, stage, &[args.task(stage)], &args.plain)
}

/// Runs a stage that has none.
pub(super) fn plain_stage(
    global: &Global,
    stage: &str,
    args: &PlainStage,
) -> Result<ExitCode, Error> {
    execute(global, stage, &[stage.to_owned()], args)
}

/// Runs a selection.
pub(super) fn run(global: &Global, args: &RunArgs) -> Result<ExitCode, Error> {
    execute(global, "run", &args.selectors, &args.plain)
}

/// How to go about a run.
pub(super) fn options(global: &Global, project: &Project, allow_stale: bool) -> Options {
    let resources = project.stages().resources;
    let fit = (resources.memory_bytes / TASK_MEMORY_BYTES).max(1);
    Options {
        jobs: resources.threads.min(usize::try_from(fit).unwrap_or(usize::MAX)),
        force: global.force,
        cache: !global.no_cache,
        allow_stale,
        lock_timeout: global.lock_timeout,
        keep_going: false,
        tries: TriesAsked::default(),
    }
}

impl PlainStage {
    /// What of these flags says how tasks are tried.
    fn tries(&self, is_airflow_task: bool) -> TriesAsked {
        // Airflow tries again itself, and would not see those that were made here.
        let retries = self.retries.or(is_airflow_task.then_some(0));
        TriesAsked { retries, delay: self.retry_delay, timeout: self.task_timeout }
    }
}

fn execute(
    global: &Global,
    command: &str,
    selectors: &[String],
    args: &PlainStage,
) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let graph = project.graph()?;
    let selection = select(&graph, selectors)?;
    let asked = Asked {
        command: command.to_owned(),
        selectors: selectors.to_vec(),
        tasks: selection.iter().map(ToString::to_string).collect(),
        force: global.force,
        allow_stale: args.allow_stale,
        retry_of: None,
    };
    carry_out(global, &project, &graph, &selection, &asked, args, &[])
}

/// Runs tasks, records the run and reports it: all commands that run tasks end here. `notes` are told
/// before it begins.
pub(super) fn carry_out(
    global: &Global,
    project: &Project,
    graph: &Graph,
    selection: &BTreeSet<TaskId>,
    asked: &Asked,
    args: &PlainStage,
    notes: &[String],
) -> Result<ExitCode, Error> {
    let command = asked.command.as_str();
    let options = Options {
        keep_going: args.keep_going,
        tries: args.tries(global.mode.is_some()),
        ..options(global, project, asked.allow_stale)
    };
    if global.dry_run {
        let retry_of = asked.retry_of.as_deref();
        // What is told beside the plan goes where a run tells it.
        let _log = retry_of.map(|_| project.start_log(global, false));
        notes.iter().for_each(|note| tracing::warn!("{note}"));
        return plan_command::show(global, project, graph, selection, &options, false, retry_of);
    }
    let signals = Signals::listen(project.store.stop())?;
    let log = project.start_log(global, true);
    let display = log.display();
    let as_of = project.config().as_of();
    tracing::debug!(command, %as_of, tasks = selection.len(), "begins");
    if let Some(mode) = &global.mode {
        let id = |name: &str| mode.ids.get(name).map(String::as_str);
        let (dag, task) = (id("dag_id"), id("task_id"));
        let (run, r#try) = (id("run_id"), id("try_number"));
        tracing::info!(dag, task, run, r#try, %as_of, "a task of Airflow begins");
    }
    if let Some(warning) = project.resources().warning {
        tracing::warn!("{warning}");
    }
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    let stages = project.stages();
    crate::allocator::keep_within(stages.resources.memory_bytes);
    let id = new_run_id();
    let ids = global.mode.as_ref().map(|mode| mode.ids.clone()).unwrap_or_default();
    let recorder = Recorder::new(&display, project, asked, ids, &id);
    let scheduler = Scheduler {
        graph,
        store: &project.store,
        runner: &stages,
        selection,
        options: &options,
        events: &recorder,
        cancel: &signals.stop,
    };
    let summary = scheduler.run_as(id.clone());
    let exit = match (signals.exit_code(), summary.exit) {
        (Some(signal), ExitCode::Interrupted) => signal,
        (_, exit) => exit,
    };
    let idle = exit == ExitCode::Success && summary.is_up_to_date();
    let exit = if idle { args.exit_if_nothing() } else { exit };
    recorder.end(&summary, exit, global.lock_timeout);
    let Some(mode) = &global.mode else {
        report(global, project, asked, &summary, exit, log.log_file())?;
        if args.timings && !global.json {
            output::text(&timings(&summary))?;
        }
        return Ok(exit);
    };
    let words = words(project, &summary, exit);
    words.lines().for_each(|line| tracing::info!("{line}"));
    tracing::info!(run_id = summary.run_id, exit = exit.code(), "a task of Airflow ends");
    let document = Document::of_run(mode.name(), project, &summary, exit);
    mode.end(&document, !global.json)?;
    if global.json {
        report(global, project, asked, &summary, exit, None)?;
    }
    Ok(exit)
}

fn report(
    global: &Global,
    project: &Project,
    asked: &Asked,
    summary: &RunSummary,
    exit: ExitCode,
    log: Option<PathBuf>,
) -> Result<(), Error> {
    if global.json {
        let mut facts = json!(summary);
        if let Value::Object(facts) = &mut facts {
            facts.insert("as_of".into(), project.config().as_of().to_string().into());
            facts.insert("exit_code".into(), exit.code().into());
            let log = log.map(|path| path.display().to_string());
            facts.insert("log".into(), log.into());
            if let Some(run) = &asked.retry_of {
                facts.insert("retry_of".into(), run.as_str().into());
            }
        }
        return output::document(&asked.command, facts);
    }
    let retried = retried(project, asked.retry_of.as_deref());
    output::text(&(retried + &words(project, summary, exit)))
}

/// Which run is taken up again, if one is.
pub(super) fn retried(project: &Project, retry_of: Option<&str>) -> String {
    let as_of = project.config().as_of();
    let line = retry_of.map(|run| format!("retry of {run}, as of {}\n", as_of.as_given()));
    line.unwrap_or_default()
}

/// What came of a run, for people.
fn words(project: &Project, summary: &RunSummary, exit: ExitCode) -> String {
    let mut text = table(summary);
    let tasks = summary.tasks.len();
    if summary.is_up_to_date() {
        text.push_str(&format!("nothing to do: {}\n", all_up_to_date(tasks)));
    } else {
        let count = |state: TaskState| summary.count(state);
        let mut parts = vec![format!("{} done", count(TaskState::Done))];
        for (state, word) in [
            (TaskState::UpToDate, "up to date"),
            (TaskState::Failed, "failed"),
            (TaskState::Blocked, "blocked"),
            (TaskState::NotBegun, "not begun"),
            (TaskState::Cancelled, "stopped"),
        ] {
            if count(state) > 0 {
                parts.push(format!("{} {word}", count(state)));
            }
        }
        let seconds = summary.seconds;
        let noun = if tasks == 1 { "task" } else { "tasks" };
        text.push_str(&format!("{tasks} {noun}: {} in {seconds:.2}s\n", parts.join(", ")));
        if count(TaskState::NotBegun) > 0 {
            text.push_str("hint: `--keep-going` runs all that does not need what failed\n");
        }
    }
    if matches!(exit, ExitCode::Success | ExitCode::NothingToDo) {
        let gold = project.store.layout().path(&Place::gold());
        if summary.tasks.iter().any(|task| task.task.stage() == "features") {
            text.push_str(&format!("gold: {}\n", project.short(&gold)));
        }
    }
    text
}

/// Where the time went, task by task: seconds of all threads.
fn timings(summary: &RunSummary) -> String {
    let mut sums = BTreeMap::<&str, f64>::new();
    let mut text = "\nseconds of all threads by kind of work\n".to_owned();
    let width = summary.tasks.iter().map(|task| task.task.as_str().len()).max().unwrap_or(0);
    let line = |name: &str, phases: &mut dyn Iterator<Item = (&str, f64)>| {
        let phases: Vec<String> =
            phases.map(|(phase, took)| format!("{phase} {took:.2}")).collect();
        format!("{name:width$}  {}\n", phases.join("  "))
    };
    for task in summary.tasks.iter().filter(|task| !task.phases.is_empty()) {
        let mut phases = task.phases.iter().map(|(phase, &took)| (phase.as_str(), took));
        text.push_str(&line(task.task.as_str(), &mut phases));
        for (phase, took) in &task.phases {
            *sums.entry(phase).or_default() += took;
        }
    }
    text.push_str(&line("all", &mut sums.into_iter()));
    text
}

/// `8 tasks are up to date`.
pub(super) fn all_up_to_date(tasks: usize) -> String {
    if tasks == 1 {
        "1 task is up to date".to_owned()
    } else {
        format!("{tasks} tasks are up to date")
    }
}

/// One line for each task.
fn table(summary: &RunSummary) -> String {
    let width = summary.tasks.iter().map(|task| task.task.as_str().len()).max().unwrap_or(0);
    let line = |task: &TaskResult| {
        let state = match task.state {
            TaskState::UpToDate => "up to date",
            TaskState::Done if task.restored => "restored",
            TaskState::Done => "done",
            TaskState::Failed => "failed",
            TaskState::Blocked => "blocked",
            TaskState::NotBegun => "not begun",
            TaskState::Cancelled => "stopped",
        };
        let facts = match (&task.blocked_by, task.state) {
            (Some(by), _) => format!("by {by}"),
            (None, TaskState::Done | TaskState::UpToDate) => {
                let from = task.restored_from.as_ref().map(|made| format!("from {made}"));
                let facts = Some(facts(&task.counts)).filter(|facts| !facts.is_empty());
                from.into_iter().chain(facts).collect::<Vec<_>>().join(": ")
            }
            _ => String::new(),
        };
        let name = task.task.as_str();
        format!("{name:width$}  {state:10}  {facts}").trim_end().to_owned() + "\n"
    };
    summary.tasks.iter().map(line).collect()
}

/// The counts of a task that people ask for first.
pub(super) fn facts(counts: &serde_json::Map<String, Value>) -> String {
    let words = [
        ("rows_read", "rows read"),
        ("rows_rejected", "rejected"),
        ("files_reused", "files reused"),
        ("rows_silver", "rows"),
        ("duplicates_dropped", "duplicates dropped"),
        ("rows_after_as_of", "after as_of"),
        ("quality_score", "quality score"),
        ("rows_gold", "rows of gold"),
        ("clicked", "clicked"),
    ];
    let shown = |(key, word): (&str, &str)| {
        let value = counts.get(key)?;
        let always = matches!(key, "rows_read" | "rows_silver" | "rows_gold");
        (always || value.as_f64() != Some(0.0)).then(|| format!("{value} {word}"))
    };
    words.into_iter().filter_map(shown).collect::<Vec<_>>().join(", ")
}

/// The tasks that selectors name.
pub(super) fn selected(graph: &Graph, selectors: &[String]) -> Result<BTreeSet<TaskId>, Error> {
    Ok(select(graph, selectors)?)
}
