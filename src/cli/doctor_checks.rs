//! What `mp doctor` looks at: folders and raw files, locks and room, memory and processors, the
//! variables of Airflow, the clock.
//!
//! Turns what the machine says into words and remedies. Prints nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::airflow_mode::missing;
use super::doctor_command::Check;
use super::global::Global;
use super::project::{Project, now, root};
use super::resources::LEAST_BYTES;
use crate::config::Origin;
use crate::machine::{
    Limits, Locks, Memory, Space, Writable, first_refused, nearest_folder, try_locks, try_write,
};
use crate::record::Source;
use crate::source::discover;
use crate::store::{Layout, Lock};

/// With less room than this nothing can be written at all.
const LEAST_FREE_BYTES: u64 = 16 << 20;
/// With fewer files than this left, a run cannot make those it needs.
const LEAST_FREE_FILES: u64 = 100;
/// A clock that is further from that of the file system is wrong, or that one is.
const CLOCKS_APART: Duration = Duration::from_secs(60);
/// When this check was written: no clock can be right that is before it.
const WRITTEN: &str = "2026-11-01";

const STORE: &str = "store";

/// All checks, in the order in which a person would mend things.
pub(super) fn all(global: &Global, project: &Project) -> Vec<Check> {
    let mut checks = vec![graph(project)];
    checks.extend(airflow(global, project));
    let raw: Vec<(Check, u64)> =
        Source::ALL.into_iter().map(|source| raw_files(project, source)).collect();
    let raw_bytes = raw.iter().map(|(_, bytes)| bytes).sum();
    checks.extend(raw.into_iter().map(|(check, _)| check));
    let (mut usable, mut modified) = (Vec::new(), None);
    for (name, folder) in folders(project) {
        let (check, written) = writable(name, &folder);
        let check = written.as_ref().and_then(|w| refused(name, &folder, w)).unwrap_or(check);
        checks.push(check);
        if let Some(written) = written {
            usable.push(folder);
            modified = modified.or(written.modified);
        }
    }
    checks.push(logs(&project.config().paths().logs));
    checks.extend(on_each_disk(&usable, raw_bytes));
    checks.extend(held_locks(project));
    checks.push(memory(project));
    checks.push(threads(project));
    checks.push(clock(project, modified));
    checks
}

fn graph(project: &Project) -> Check {
    let name = "project";
    let shown = project.config().project().display();
    match project.graph() {
        Ok(graph) => Check::ok(name, format!("{shown}, {} tasks", graph.tasks().len())),
        Err(error) => {
            let remedy = error.hint().unwrap_or_else(|| "mend `dags/carousel.yaml`".to_owned());
            Check::fail(name, error.to_string(), remedy)
        }
    }
}

/// What Airflow hands to a task, and what a task of it must be told.
fn airflow(global: &Global, project: &Project) -> Vec<Check> {
    let name = "airflow";
    let Some(mode) = &global.mode else {
        return vec![Check::ok(name, "not a task of Airflow: AIRFLOW_CTX_DAG_ID is not set")];
    };
    let missing = missing(&mode.ids);
    let told: Vec<&str> = mode.ids.values().map(String::as_str).collect();
    let mut checks = vec![match missing.as_slice() {
        [] => Check::ok(name, format!("a task of Airflow: {}", told.join(", "))),
        missing => Check::warn(
            name,
            format!("a task of Airflow without {}", missing.join(", ")),
            "pass them on with `env_vars`, or `append_env=True` where `env` is given",
        ),
    }];
    let named = project.environment.get("MP_PROJECT").is_some_and(|name| !name.is_empty());
    if global.project.is_none() && !named {
        checks.push(Check::warn(
            name,
            "the project folder is the current one, which BashOperator makes anew for each task",
            "set MP_PROJECT, or give `--project`",
        ));
    }
    if project.loaded.origins.get("validation.as_of") == Some(&Origin::Default) {
        checks.push(Check::warn(
            name,
            "as_of is the date of today, so a retry after midnight computes something else",
            "give `--as-of` from the run",
        ));
    }
    let xcom = root(&project.environment).join("airflow/xcom");
    if xcom.is_dir()
        && let Err(error) = try_write(&xcom)
    {
        let remedy = "let the user of this process write there, or the task has no XCom";
        checks.push(Check::warn(name, error.to_string(), remedy));
    }
    checks
}

/// The raw files of a source, and how large they are.
fn raw_files(project: &Project, source: Source) -> (Check, u64) {
    let name = format!("raw {source}");
    let Some(settings) = project.config().extract(source.name()) else {
        return (Check::ok(&name, "not in use"), 0);
    };
    let raw = &project.config().paths().raw;
    let files = match discover(raw, &settings.files, settings.allow_outside) {
        Ok(files) => files,
        Err(error) => {
            let remedy = error.hint().unwrap_or("put the files there, or let mp read them");
            return (Check::fail(&name, error.to_string(), remedy), 0);
        }
    };
    let mut bytes = 0;
    for file in &files {
        let opened = fs_err::File::open(&file.path).and_then(|file| file.metadata());
        match opened {
            Ok(facts) => bytes += facts.len(),
            Err(error) => {
                let remedy = "let the user of this process read it";
                return (Check::fail(&name, error.to_string(), remedy), bytes);
            }
        }
    }
    let count =
        if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) };
    (Check::ok(&name, format!("{count}, {}", mib(bytes))), bytes)
}

/// The folders that a run writes to.
fn folders(project: &Project) -> [(&'static str, PathBuf); 4] {
    let paths = project.config().paths();
    [
        ("processed", paths.processed.clone()),
        ("output", paths.output.clone()),
        ("reports", paths.reports.clone()),
        (STORE, paths.store.clone()),
    ]
}

fn writable(name: &str, folder: &Path) -> (Check, Option<Writable>) {
    let there = nearest_folder(folder);
    match try_write(there) {
        Ok(written) if there == folder => {
            (Check::ok(name, format!("`{}` can be written", folder.display())), Some(written))
        }
        Ok(written) => {
            let found = format!("`{}` will be made", folder.display());
            (Check::ok(name, found), Some(written))
        }
        Err(error) => {
            let found = format!("`{}` cannot be written: {error}", there.display());
            (Check::fail(name, found, remedy_to_write(there)), None)
        }
    }
}

/// What lies in a folder that can be written, and that a run opens to write: another user may have made
/// it, such as root in a folder of pods.
fn refused(name: &str, folder: &Path, written: &Writable) -> Option<Check> {
    let is_lock = |path: &Path| path.extension().is_some_and(|extension| extension == "lock");
    // Of the store all is ours. In the other folders there may be whatever somebody put there.
    let found = if name == STORE {
        first_refused(folder, true, &is_lock)
    } else {
        let below = Layout::written_below(folder);
        below.iter().find_map(|folder| first_refused(folder, false, &is_lock))
    };
    let (path, error) = found?;
    let found = format!("`{}` cannot be written: {error}", path.display());
    let (user, group) = written.owner;
    let remedy = format!(
        "another user has made it: as root, `chown -R {user}:{group} '{}'`, and run mp as one user",
        folder.display()
    );
    Some(Check::fail(name, found, remedy))
}

fn remedy_to_write(there: &Path) -> String {
    match Space::of(there) {
        Ok(space) if space.read_only => {
            "mount it writable, or name another folder in `data_paths`".to_owned()
        }
        Ok(space) if space.free_bytes < LEAST_FREE_BYTES => "free some disk space".to_owned(),
        Ok(_) if !there.is_dir() => "move that file away: a folder is to be there".to_owned(),
        _ => "give the user of this process the right to write there, or name another folder"
            .to_owned(),
    }
}

/// A log that cannot be written stops no run.
fn logs(folder: &Path) -> Check {
    let (check, _) = writable("logs", folder);
    match check.remedy {
        None => check,
        Some(_) => {
            let remedy = "set `logging.log_dir` (MP_LOG_DIR); until then there is no log file";
            Check::warn("logs", check.found, remedy)
        }
    }
}

/// Locks and room, once for each file system that folders lie on that can be written.
fn on_each_disk(folders: &[PathBuf], raw_bytes: u64) -> Vec<Check> {
    let mut disks: BTreeMap<u64, &Path> = BTreeMap::new();
    for folder in folders {
        let there = nearest_folder(folder);
        if let Ok(facts) = fs_err::metadata(there) {
            let device = std::os::unix::fs::MetadataExt::dev(&facts);
            disks.entry(device).or_insert(there);
        }
    }
    disks.values().flat_map(|folder| [locks(folder), space(folder, raw_bytes)]).collect()
}

fn locks(folder: &Path) -> Check {
    let (name, shown) = ("locks", folder.display());
    let remedy = "put the data on a local disk or a network file system with locks (NFS 4)";
    match try_locks(folder) {
        Ok(Locks::Work) => Check::ok(name, format!("work in `{shown}`")),
        Ok(Locks::KeepNobodyOut) => {
            let found = format!("keep nobody out in `{shown}`: two runs at once are not safe");
            Check::fail(name, found, remedy)
        }
        Err(error) => Check::fail(name, format!("do not work in `{shown}`: {error}"), remedy),
    }
}

/// The tasks that somebody is at work on: a run would wait for them.
fn held_locks(project: &Project) -> Vec<Check> {
    let name = "held locks";
    // Without a graph there are no tasks; that has been told.
    let Ok(graph) = project.graph() else { return Vec::new() };
    let layout = project.store.layout();
    let held = graph.tasks().iter().filter_map(|task| {
        let held = Lock::held(&layout.lock_file(task.stage(), task.source()))?;
        let remedy = "a run waits for it, or ends with 75 after `--lock-timeout`: let it end, or stop \
                      that process";
        Some(Check::warn(name, format!("{task}: {held}"), remedy))
    });
    let held: Vec<Check> = held.collect();
    if held.is_empty() { vec![Check::ok(name, "none")] } else { held }
}

fn space(folder: &Path, raw_bytes: u64) -> Check {
    let (name, shown) = ("space", folder.display());
    let space = match Space::of(folder) {
        Ok(space) => space,
        Err(error) => {
            let found = format!("`{shown}` does not tell: {error}");
            return Check::warn(name, found, "look with `df`");
        }
    };
    let free = mib(space.free_bytes);
    let files = space.free_files.unwrap_or(u64::MAX);
    if space.free_bytes < LEAST_FREE_BYTES {
        let found = format!("{free} free in `{shown}`");
        Check::fail(name, found, "free some disk space")
    } else if files < LEAST_FREE_FILES {
        let found = format!("room for {files} more files in `{shown}`");
        Check::fail(name, found, "remove files that nobody needs: there are no inodes left")
    } else if space.free_bytes < raw_bytes {
        let found = format!("{free} free in `{shown}`, less than the raw files take");
        let remedy = "free some: the store keeps the rows of every raw file, packed";
        Check::warn(name, found, remedy)
    } else {
        Check::ok(name, format!("{free} free in `{shown}`"))
    }
}

/// What a run may take against what there is.
fn memory(project: &Project) -> Check {
    let name = "memory";
    let root = root(&project.environment);
    let (limits, memory) = (Limits::read(&root), Memory::read(&root));
    let bounded = project.resources();
    let promised = bounded.within.memory_bytes;
    let limit = limits.memory_bytes.map_or("none".to_owned(), mib);
    let found = format!("a run takes up to {}, limit of the container: {limit}", mib(promised));
    let lower = "lower `processing.max_memory_mb` (MP_MAX_MEMORY_MB), or give it more";
    match (limits.memory_bytes, memory) {
        (Some(limit), _) if limit < LEAST_BYTES => {
            let remedy = format!("give the container at least {}", mib(LEAST_BYTES));
            Check::fail(name, found, remedy)
        }
        _ if bounded.warning.is_some() => Check::warn(name, found, lower),
        (_, Some(memory)) if memory.available_bytes < LEAST_BYTES => {
            let found = format!("{found}; {} available", mib(memory.available_bytes));
            Check::fail(name, found, "end other programs, or use a larger machine")
        }
        (_, Some(memory)) if memory.available_bytes < promised => {
            let found = format!("{found}; {} available", mib(memory.available_bytes));
            Check::warn(name, found, lower)
        }
        _ => Check::ok(name, found),
    }
}

fn threads(project: &Project) -> Check {
    let name = "processors";
    let limits = Limits::read(&root(&project.environment));
    let limit = limits.cpus.map_or("none".to_owned(), |cpus| format!("{cpus:.1}"));
    let threads = project.resources().within.threads;
    let found = format!("{threads} threads, limit of the container: {limit}");
    // A part of a processor counts as one: it will be used.
    match limits.cpus {
        Some(cpus) if threads as f64 > cpus.ceil().max(1.0) => {
            let remedy = "lower `processing.n_workers` (0: as many as there are), or `--jobs`";
            Check::warn(name, found, remedy)
        }
        _ => Check::ok(name, found),
    }
}

/// The clock decides nothing but as_of where that is not given.
fn clock(project: &Project, modified: Option<SystemTime>) -> Check {
    let (name, now) = ("clock", now());
    let shown = now.format("%Y-%m-%d %H:%M:%S UTC");
    let remedy = "set the clock of this machine (chrony, systemd-timesyncd), or give `--as-of`";
    if now.format("%Y-%m-%d").to_string().as_str() < WRITTEN {
        let found = format!("{shown}, which is before this program was written");
        return Check::warn(name, found, remedy);
    }
    let apart = modified.map(|modified| {
        let machine = SystemTime::from(now);
        machine.duration_since(modified).unwrap_or_else(|error| error.duration())
    });
    if apart.is_some_and(|apart| apart > CLOCKS_APART) {
        let found = format!("{shown}, but files are made with another time");
        return Check::warn(name, found, remedy);
    }
    let as_of = project.config().as_of();
    // The end of today is ahead of any clock.
    if as_of.micros() > (now + chrono::Duration::days(1)).timestamp_micros() {
        let found =
            format!("{shown}, and as_of is {as_of}: what happens until then is not yet there");
        return Check::warn(name, found, "run after that time, or give an earlier `--as-of`");
    }
    Check::ok(name, shown.to_string())
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
