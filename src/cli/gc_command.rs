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
use crate::machine::{Locks, try_locks};
use crate::store::{Collection, Garbage, GcError, Keeping, Layout};

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
    let days: Vec<Layout> = days(&project).into_iter().map(|day| day.layout).collect();
    let homes = project.store.homes(&days)?;
    let keeping = args.keep_runs.map_or(Keeping::Newest, Keeping::Runs);
    let store_folder = &project.store.layout().store;
    let apply = args.apply && !global.dry_run;
    let collection = if apply {
        let signals = Signals::listen(project.store.stop())?;
        let _log = project.start_log(global, true);
        if store_folder.is_dir() {
            check_locks(store_folder)?;
        }
        let collected = project.store.collect(&homes, keeping, global.lock_timeout, &signals.stop);
        let collection = collected.map_err(|error| refused(error, signals.exit_code()))?;
        for thing in &collection.garbage {
            let error = thing.error.as_deref();
            tracing::info!(path = %thing.path.display(), bytes = thing.bytes, error, "removed: {}", thing.why);
        }
        collection
    } else {
        project.store.garbage(&homes, keeping).map_err(|error| refused(error, None))?
    };
    if global.json {
        let Collection { garbage, in_use_by } = &collection;
        let facts = json!({
            "applied": apply,
            "keep_runs": args.keep_runs,
            "garbage": garbage,
            "bytes": garbage.iter().map(|thing| thing.bytes).sum::<u64>(),
            "frees_bytes": garbage.iter().map(|thing| thing.frees_bytes).sum::<u64>(),
            "in_use_by": in_use_by,
        });
        output::document("gc", facts)?;
    } else {
        output::text(&words(&project, &collection, apply))?;
    }
    let failed = collection.garbage.iter().any(|thing| thing.error.is_some());
    Ok(if failed { ExitCode::Failure } else { ExitCode::Success })
}

/// Deleting is safe only where locks keep others out.
fn check_locks(store: &std::path::Path) -> Result<(), Error> {
    match try_locks(store) {
        Ok(Locks::Work) => Ok(()),
        Ok(Locks::KeepNobodyOut) => {
            let text =
                format!("locks in `{}` keep nobody out: nothing is deleted", store.display());
            let hint = "put the store on a local disk or a network file system with locks (NFS 4)";
            Err(Error::with_hint(ExitCode::Failure, text, hint))
        }
        Err(error) => Err(crate::store::StoreError::from(error).into()),
    }
}

fn refused(error: GcError, signal: Option<ExitCode>) -> Error {
    let text = error.to_string();
    match error {
        GcError::Store(error) => error.into(),
        GcError::Stopped => Error::new(signal.unwrap_or(ExitCode::Interrupted), text),
        GcError::InUse { .. } => {
            let hint = "wait for it to end, or wait longer with `--lock-timeout`; without `--apply` \
                        nothing waits";
            Error::with_hint(ExitCode::Temporary, text, hint)
        }
    }
}

fn words(project: &Project, collection: &Collection, applied: bool) -> String {
    let Collection { garbage, in_use_by } = collection;
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
        return text + "nothing to remove: somebody needs all that there is\n";
    }
    let sum = |bytes: fn(&Garbage) -> u64| output::size(garbage.iter().map(bytes).sum());
    let (all, frees) = (sum(|thing| thing.bytes), sum(|thing| thing.frees_bytes));
    let count = garbage.len();
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
