//! `mp gc`: what nobody needs any more, and with `--apply` its end.

use clap::Args;
use serde_json::json;

use super::days::days;
use super::global::Global;
use super::output;
use super::project::Project;
use super::signals::Signals;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::machine::{Locks, is_probe, try_locks_of};
use crate::observe::LogGuard;
use crate::progress::{Event, EventSink};
use crate::store::{Collection, Garbage, GcError, Keeping, Layout, Sought, StoreError, Wait};

/// Under this name a wait is told.
const NAME: &str = "gc";

/// Arguments of `mp gc`.
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// Keep, to go back to, the results of the last N runs [default: the newest store.keep results
    /// of each task]
    #[arg(long, value_name = "N")]
    keep_runs: Option<usize>,
    /// Delete what is listed
    #[arg(long)]
    apply: bool,
}

/// Lists or deletes what nobody needs.
pub(super) fn gc(global: &Global, args: &GcArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let homes = || {
        let days: Vec<Layout> = days(&project).into_iter().map(|day| day.layout).collect();
        project.store.homes(&days)
    };
    let keeping = args.keep_runs.map_or(Keeping::Newest, Keeping::Runs);
    let sought = Sought { homes: &homes, keeping, is_probe };
    let apply = args.apply && !global.dry_run;
    let (collection, exit) = if apply {
        let signals = Signals::listen(project.store.stop())?;
        let log = project.start_log(global, true);
        let stopped = || signals.exit_code().unwrap_or(ExitCode::Interrupted);
        let collection = remove(global, &project, &sought, &signals, &log)
            .map_err(|error| refused(error, stopped()))?;
        let is_failed = collection.garbage.iter().any(|thing| thing.error.is_some());
        let exit = match collection.left {
            0 if is_failed => ExitCode::Failure,
            0 => ExitCode::Success,
            _ => stopped(),
        };
        (collection, exit)
    } else {
        let found = project.store.garbage(&sought);
        (found.map_err(|error| refused(error, ExitCode::Interrupted))?, ExitCode::Success)
    };
    if global.json {
        let Collection { garbage, left, in_use_by } = &collection;
        let facts = json!({
            "applied": apply,
            "keep_runs": args.keep_runs,
            "garbage": garbage,
            "bytes": garbage.iter().map(|thing| thing.bytes).sum::<u64>(),
            "frees_bytes": garbage.iter().map(|thing| thing.frees_bytes).sum::<u64>(),
            "left": left,
            "in_use_by": in_use_by,
        });
        output::document("gc", facts)?;
    } else {
        output::text(&words(&project, &collection, apply))?;
    }
    Ok(exit)
}

/// Deletes what is found. Where nothing is, nothing is written: no store is made, and the one there may be
/// read-only.
fn remove(
    global: &Global,
    project: &Project,
    sought: &Sought<'_>,
    signals: &Signals,
    log: &LogGuard,
) -> Result<Collection, GcError> {
    let store = &project.store;
    if store.garbage(sought)?.garbage.is_empty() {
        return Ok(Collection::default());
    }
    // Deleting is safe only where locks keep others out.
    let lock = store.layout().keep_lock();
    let locks = try_locks_of(&lock).map_err(|error| StoreError::of_lock(&lock, error))?;
    if locks == Locks::KeepNobodyOut {
        return Err(StoreError::NoLocksKept { path: lock }.into());
    }
    let display = log.display();
    let on_wait = |holder: &str| display.event(&Event::Waiting { task: NAME, holder });
    let (timeout, cancel) = (global.lock_timeout, &*signals.stop);
    let wait = Wait { timeout, cancel, on_wait: &on_wait };
    store.collect(sought, &wait, &mut |thing| {
        let (path, error) = (thing.path.display(), thing.error.as_deref());
        tracing::info!(%path, bytes = thing.bytes, error, "removed: {}", thing.why);
    })
}

fn refused(error: GcError, stopped: ExitCode) -> Error {
    let text = error.to_string();
    match error {
        GcError::Store(error) => error.into(),
        GcError::Stopped => Error::new(stopped, text),
        GcError::InUse { .. } => {
            let hint = "wait for it to end, or wait longer with `--lock-timeout`; without `--apply` \
                        nothing waits";
            Error::with_hint(ExitCode::Temporary, text, hint)
        }
    }
}

fn words(project: &Project, collection: &Collection, applied: bool) -> String {
    let Collection { garbage, left, in_use_by } = collection;
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["what", "size", "why"]);
    for Garbage { path, bytes, why, error, .. } in garbage {
        let why = match error {
            Some(error) => format!("could not be removed: {error}"),
            None => why.clone(),
        };
        table.add_row([project.short(path).to_string(), output::size(*bytes), why]);
    }
    let mut text = String::new();
    if !in_use_by.is_empty() {
        let by = in_use_by.join(", ");
        text.push_str(&format!("in use by {by}: what it makes now may be among these\n"));
    }
    if garbage.is_empty() {
        let is_store = project.store.layout().store.is_dir();
        let why = if is_store { "all that there is is needed" } else { "there is no store yet" };
        return text + "nothing to remove: " + why + "\n";
    }
    let sum = |bytes: fn(&Garbage) -> u64| output::size(garbage.iter().map(bytes).sum());
    let (all, frees) = (sum(|thing| thing.bytes), sum(|thing| thing.frees_bytes));
    let count = garbage.len();
    if *left > 0 {
        return text
            + &format!(
                "stopped: {count} removed, {all}, of which {frees} are free now; {left} are left: \
                 `mp gc --apply` goes on with them\n"
            );
    }
    text.push_str(&format!("{}\n", table.trim_fmt()));
    text.push_str(&match applied {
        true => format!("{count} removed, {all}, of which {frees} are free now\n"),
        false => format!(
            "{count} to remove, {all}, of which {frees} become free; nothing is deleted without \
             `--apply`\n"
        ),
    });
    text
}
