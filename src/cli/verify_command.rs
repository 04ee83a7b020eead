//! `mp verify`: is everything what its manifest says, and what can be done about it.
//!
//! Prints what the store finds; computing everything again is `rebuild`'s.

use std::collections::BTreeSet;
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
    let homes = homes(global, &project)?;
    let signals = Signals::listen(project.store.stop())?;
    let log = project.start_log(global, repair);
    let display = log.display();
    let watch = Stopwatch::start(NAME);
    display.event(&Event::Started { task: NAME, index: 1, total: 1, reasons: &[] });
    let scope = Scope {
        homes: &homes,
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
    if global.json {
        output::document("verify", document(global, &project, &result, exit, seconds))?;
    } else {
        output::text(&words(global, &project, &result, repair))?;
    }
    Ok(exit)
}

/// The folders to look at: those of every day, or of the one that was asked for.
fn homes(global: &Global, project: &Project) -> Result<Vec<Layout>, Error> {
    if global.as_of.is_some() {
        return Ok(vec![project.store.layout().clone()]);
    }
    let days: Vec<Layout> = days(project).into_iter().map(|day| day.layout).collect();
    Ok(project.store.homes(&days)?)
}

fn is_well(finding: &Finding) -> bool {
    finding.remedy.as_ref().is_some_and(|remedy| remedy.mended)
}

fn exit(result: &Verification) -> ExitCode {
    let code = |finding: &Finding| match finding.trouble {
        Trouble::Busy { .. } => ExitCode::Temporary,
        _ => ExitCode::Failure,
    };
    ExitCode::worst(result.findings.iter().filter(|finding| !is_well(finding)).map(code))
}

/// What to type so that a task runs that was set aside.
fn command(global: &Global, project: &Project, to_run: &ToRun) -> Option<String> {
    let mut command = "mp run --all".to_owned();
    for file in &global.config {
        command.push_str(&format!(" --config {}", file.display()));
    }
    let as_of = if to_run.home == *project.store.layout() {
        global.as_of.clone()
    } else {
        let day = days(project).into_iter().find(|day| day.layout == to_run.home)?;
        Some(day.as_of)
    };
    command.extend(as_of.map(|as_of| format!(" --as-of {as_of}")));
    Some(command)
}

fn document(
    global: &Global,
    project: &Project,
    result: &Verification,
    exit: ExitCode,
    seconds: f64,
) -> Value {
    let to_run = |to_run: &ToRun| {
        json!({
            "task": to_run.task,
            "why": to_run.why,
            "output": to_run.home.output.display().to_string(),
            "command": command(global, project, to_run),
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
        "to_run": result.to_run.iter().map(to_run).collect::<Vec<Value>>(),
    })
}

fn words(global: &Global, project: &Project, result: &Verification, repair: bool) -> String {
    let mut text = String::new();
    for finding in &result.findings {
        text.push_str(&lines(project, finding));
    }
    let (all, well) =
        (result.findings.len(), result.findings.iter().filter(|it| is_well(it)).count());
    let looked_at = format!(
        "{} artifacts, {} objects, {} manifests, {}",
        result.artifacts,
        result.objects,
        result.manifests,
        output::size(result.bytes)
    );
    let has = |wanted: fn(&Trouble) -> bool| result.findings.iter().any(|it| wanted(&it.trouble));
    text.push_str(&match (all, all - well) {
        (0, _) if result.manifests + result.objects == 0 => {
            "there is nothing to verify yet\n".to_owned()
        }
        (0, _) => format!("all is well: {looked_at}\n"),
        (all, 0) => format!("{all} found, all mended: {looked_at}\n"),
        (all, left) if repair => format!("{all} found, {left} not mended: {looked_at}\n"),
        (all, _) => format!("{all} not as they should be: {looked_at}\n"),
    });
    let can_mend = has(|it| !matches!(it, Trouble::Busy { .. } | Trouble::Newer { .. }));
    if has(|it| matches!(it, Trouble::Newer { .. })) {
        text.push_str("what a newer mp wrote is neither judged nor touched: use the newer mp\n");
    } else if !repair && can_mend {
        text.push_str("`mp verify --repair` mends what can be mended\n");
    }
    let mut commands = std::collections::BTreeMap::<Option<String>, Vec<&str>>::new();
    for to_run in &result.to_run {
        commands.entry(command(global, project, to_run)).or_default().push(&to_run.task);
    }
    for (command, tasks) in commands {
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
        FindingKind::FileResult => format!("  the kept result of a file, of {by}\n"),
    });
    if let Some(remedy) = &finding.remedy {
        let sign = if remedy.mended { "→" } else { "✗ not mended:" };
        text.push_str(&format!("  {sign} {}\n", remedy.done));
    }
    text
}
