//! `mp verify`: is everything what its manifest says, and what can be done about it.
//!
//! Prints what the store finds; computing everything again is `rebuild`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::days::days;
use super::global::Global;
use super::output;
use super::project::Project;
use super::rebuild;
use super::run_command::selected;
use super::signals::Signals;
use crate::dag::Graph;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::progress::{Event, EventSink, Unit};
use crate::store::{
    Finding, FindingKind, Layout, Scope, Stopwatch, ToRun, Trouble, Verification, VerifyError,
};

/// Under this name progress is told.
const NAME: &str = "verify";

/// Arguments of `mp verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Stages or tasks; `+name` with everything before it, `name+` with everything after it; none:
    /// all of them and every object of the store
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Make good what is damaged: from another copy, or else by the next run
    #[arg(long, conflicts_with = "rebuild")]
    repair: bool,
    /// Compute everything again in a scratch folder, and compare the bytes with the manifests
    #[arg(long)]
    rebuild: bool,
    /// Where to compute it [default: below store.path]
    #[arg(long, value_name = "DIR", requires = "rebuild")]
    pub scratch: Option<PathBuf>,
}

/// Looks at everything and tells what is wrong.
pub(super) fn verify(global: &Global, args: &VerifyArgs) -> Result<ExitCode, Error> {
    if args.rebuild {
        return rebuild::rebuild(global, args);
    }
    let project = Project::load(global)?;
    let graph = project.graph()?;
    let tasks: BTreeSet<String> =
        selected(&graph, &args.selectors)?.iter().map(ToString::to_string).collect();
    let repair = args.repair && !global.dry_run;
    let homes = homes(&project)?;
    let signals = Signals::listen(project.store.stop())?;
    let log = project.start_log(global, repair);
    let display = log.display();
    let watch = Stopwatch::start(NAME);
    display.event(&Event::Started { task: NAME, index: 1, total: 1, reasons: &[] });
    let scope = Scope {
        homes: &homes,
        only: global.as_of.as_ref().map(|_| project.store.layout()),
        tasks: (!args.selectors.is_empty()).then_some(&tasks),
        threads: project.stages().resources.threads,
        lock_timeout: global.lock_timeout,
        cancel: &signals.stop,
        on_bytes: &|done, total| {
            let total = Some(total);
            display.event(&Event::Advanced { task: NAME, done, total, unit: Unit::Bytes });
        },
        on_wait: &|task, holder| display.event(&Event::Waiting { task, holder }),
    };
    let result = match project.store.verify_all(&scope, repair) {
        Ok(result) => result,
        Err(VerifyError::Stopped) => {
            display.event(&Event::Cancelled { task: NAME });
            let exit = signals.exit_code().unwrap_or(ExitCode::Interrupted);
            return Err(Error::new(exit, VerifyError::Stopped.to_string()));
        }
        Err(VerifyError::Store(error)) => return Err(error.into()),
    };
    if let Err(error) = project.store.memo().save() {
        tracing::warn!("the memo of file facts could not be saved: {error}");
    }
    let seconds = watch.seconds();
    let counts = &serde_json::Map::new();
    display.event(&Event::Finished { task: NAME, seconds, counts, restored_from: None });
    for finding in &result.findings {
        let done = finding.remedy.as_ref().map(|remedy| remedy.done.as_str());
        tracing::info!(path = %finding.path.display(), done, "{}", finding.trouble);
    }
    let exit = exit(&result);
    let commands: Vec<Option<String>> =
        result.to_run.iter().map(|to_run| command(global, &project, &graph, to_run)).collect();
    if global.json {
        output::document("verify", document(&result, &commands, exit, seconds))?;
    } else {
        output::text(&words(&project, &result, &commands, repair))?;
    }
    Ok(exit)
}

/// The folders of every day and of every configuration that shares the store.
pub(super) fn homes(project: &Project) -> Result<Vec<Layout>, Error> {
    let days: Vec<Layout> = days(project).into_iter().map(|day| day.layout).collect();
    Ok(project.store.homes(&days)?)
}

fn is_well(finding: &Finding) -> bool {
    finding.remedy.as_ref().is_some_and(|remedy| remedy.mended)
}

fn exit(result: &Verification) -> ExitCode {
    let code = |finding: &Finding| match finding.is_temporary() {
        true => ExitCode::Temporary,
        false => ExitCode::Failure,
    };
    let findings = result.findings.iter().filter(|finding| !is_well(finding)).map(code);
    // As long as something is not there nobody may go on.
    ExitCode::worst(findings.chain(result.to_run.iter().map(|_| ExitCode::Failure)))
}

/// What to type so that a task runs that was set aside; `None` if it is of other folders than this
/// configuration names.
fn command(global: &Global, project: &Project, graph: &Graph, to_run: &ToRun) -> Option<String> {
    let is_own = to_run.home == *project.store.layout();
    let as_of = match &global.as_of {
        Some(as_of) if is_own => Some(as_of.clone()),
        _ => match days(project).into_iter().find(|day| day.layout == to_run.home) {
            Some(day) => Some(day.as_of),
            None if is_own => recorded_as_of(project, graph),
            None => return None,
        },
    };
    let mut words = vec!["mp".to_owned(), "run".to_owned(), "--all".to_owned()];
    let mut flag = |name: &str, value: String| words.extend([name.to_owned(), quoted(&value)]);
    if let Some(folder) = &global.project {
        flag("--project", folder.display().to_string());
    }
    for file in &global.config {
        flag("--config", file.display().to_string());
    }
    for set in &global.set {
        flag("--set", set.clone());
    }
    if let Some(as_of) = as_of {
        flag("--as-of", as_of);
    }
    Some(words.join(" "))
}

/// The as_of of the last run of these folders, where it is not the one that a run would take anyway.
fn recorded_as_of(project: &Project, graph: &Graph) -> Option<String> {
    // Extract notes it only where it matters, and keeps an older one as long as nothing changes.
    let tasks = graph.tasks().iter().filter(|task| task.stage() != "extract");
    let manifests = tasks.filter_map(|task| {
        // What cannot be read says nothing.
        project.store.manifest(task.stage(), task.source()).ok()?.good()
    });
    let last = manifests.max_by(|a, b| a.run.id.cmp(&b.run.id))?;
    last.ingredients.as_of.clone().filter(|as_of| *as_of != project.config().as_of().to_string())
}

/// A word as a shell wants it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./=,:@%+-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn document(
    result: &Verification,
    commands: &[Option<String>],
    exit: ExitCode,
    seconds: f64,
) -> Value {
    let to_run = |(to_run, command): (&ToRun, &Option<String>)| {
        json!({
            "task": to_run.task,
            "why": to_run.why,
            "output": to_run.home.output.display().to_string(),
            "command": command,
        })
    };
    json!({
        "mode": "hashes",
        "ok": exit == ExitCode::Success,
        "exit_code": exit.code(),
        "artifacts": result.artifacts,
        "objects": result.objects,
        "objects_not_kept": result.not_kept,
        "manifests": result.manifests,
        "bytes": result.bytes,
        "seconds": seconds,
        "findings": result.findings,
        "to_run": result.to_run.iter().zip(commands).map(to_run).collect::<Vec<Value>>(),
    })
}

fn words(
    project: &Project,
    result: &Verification,
    commands: &[Option<String>],
    repair: bool,
) -> String {
    let mut text = String::new();
    for finding in &result.findings {
        text.push_str(&lines(project, finding));
    }
    let count =
        |wanted: fn(&Finding) -> bool| result.findings.iter().filter(|it| wanted(it)).count();
    let mended = count(is_well);
    let to_run = count(|it| it.remedy.as_ref().is_some_and(|remedy| remedy.to_run));
    let is_busy = |it: &Finding| matches!(it.trouble, Trouble::Busy { .. });
    let busy = count(is_busy);
    let left = result.findings.len().saturating_sub(mended + to_run + busy);
    let looked_at = format!(
        "{} artifacts, {} objects, {} manifests, {}",
        result.artifacts,
        result.objects,
        result.manifests,
        output::size(result.bytes)
    );
    let has = |wanted: fn(&Trouble) -> bool| result.findings.iter().any(|it| wanted(&it.trouble));
    let left_is = if repair { "not mended" } else { "not as they should be" };
    let parts = [
        (mended, "mended"),
        (to_run, "to be made again"),
        (left, left_is),
        (busy, "could not be judged"),
    ];
    let parts: Vec<String> = (parts.into_iter().filter(|(count, _)| *count > 0))
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    text.push_str(&match parts.is_empty() {
        true if result.manifests + result.objects == 0 => {
            "there is nothing to verify yet\n".to_owned()
        }
        true if result.to_run.is_empty() => format!("all is well: {looked_at}\n"),
        true => format!("what is there is whole, but not all is there: {looked_at}\n"),
        false if mended == result.findings.len() && result.to_run.is_empty() => {
            format!("{mended} found, all mended: {looked_at}\n")
        }
        false => format!("{}: {looked_at}\n", parts.join(", ")),
    });
    let can_mend = has(|it| !matches!(it, Trouble::Busy { .. } | Trouble::Newer { .. }));
    if has(|it| matches!(it, Trouble::Newer { .. })) {
        text.push_str("what a newer mp wrote is neither judged nor touched: use the newer mp\n");
    } else if !repair && can_mend {
        text.push_str("`mp verify --repair` mends what can be mended\n");
    }
    let mut by_command = BTreeMap::<&Option<String>, Vec<&str>>::new();
    for (to_run, command) in result.to_run.iter().zip(commands) {
        by_command.entry(command).or_default().push(&to_run.task);
    }
    for (command, tasks) in by_command {
        let tasks = tasks.join(", ");
        text.push_str(&match command {
            Some(command) => format!("still to run: {tasks}, with `{command}`\n"),
            None => {
                format!("still to run: {tasks}, with the configuration that names their folders\n")
            }
        });
    }
    text
}

/// A finding: what, who needs it, what was done.
fn lines(project: &Project, finding: &Finding) -> String {
    let mut text = format!("{} {}\n", project.short(&finding.path), finding.trouble);
    let by = finding.needed_by.join("; ");
    text.push_str(&match finding.kind {
        FindingKind::Object if by.is_empty() => "  nobody needs it\n".to_owned(),
        FindingKind::Object => format!("  an object, needed by {by}\n"),
        FindingKind::Artifact => format!("  published by {by}\n"),
        FindingKind::Manifest if by.is_empty() => String::new(),
        FindingKind::Manifest => format!("  the manifest of {by}\n"),
        FindingKind::Result => format!("  a kept result of {by}\n"),
        FindingKind::Home => "  a note of the store\n".to_owned(),
        FindingKind::FileResult => format!("  the kept result of a file, of {by}\n"),
    });
    if let Some(remedy) = &finding.remedy {
        let sign = if remedy.mended || remedy.to_run { "→" } else { "✗ not mended:" };
        text.push_str(&format!("  {sign} {}\n", remedy.done));
    }
    text
}
