//! What nobody needs any more: found, told, and removed when asked to.
//!
//! Kept is what a manifest of any folder names, as long as it is there; what some task has yet to read;
//! and of the results that could be restored the newest of each task (`store.keep`, as `keep` has it after
//! each commit) or those of the last runs. Everything else below the store goes, and what killed or failed
//! runs left beside the artifacts. What has no name that mp gives is not of ours, and is left out. Finding waits for nobody; beside a run it may take what is being made for garbage.
//! Removing holds the store alone, finds again and then removes in such an order that a kill or a
//! signal leaves no record of what is gone. Never touches an artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::Store;
use super::atomic::{Owner, parent, remove_if_there};
use super::awaited::{fingerprint_in, is_note, newer_note};
use super::census::{Census, Kept};
use super::clock::Moment;
use super::digest::Digest;
use super::error::StoreError;
use super::finding::as_shown;
use super::history::KEEP_RUNS;
use super::keep::{AWAITED_GRACE, PARSED_GRACE, Wait, is_old, list_temporary};
use super::layout::{Layout, MANIFESTS, REJECTS};
use super::lock::Lock;
use super::parsed::{folders, is_outdated, is_record, list};
use super::runs::newest_first;
use super::scratch_folder::is_left;
use crate::fault;

const POLL: Duration = Duration::from_millis(50);
const FAILED_REJECTS: &str = ".failed.csv";

/// Which of the results are kept that nothing needs but somebody may want to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// The newest of each task, as many as stay after each commit.
    Newest,
    /// Those of so many runs.
    Runs(usize),
}

/// Where is looked, and for what.
pub struct Sought<'a> {
    /// The folders of all that use the store, as they are when it is asked.
    pub homes: &'a dyn Fn() -> Result<Vec<Layout>, StoreError>,
    pub keeping: Keeping,
    /// Is that the name of a file that another part of mp leaves when it is killed?
    pub is_probe: fn(&str) -> bool,
}

/// What a thing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GarbageKind {
    /// A result that could be restored.
    Result,
    /// The result of a raw file.
    FileResult,
    Object,
    /// What a failed attempt left, and a later one made good.
    Failed,
    /// A hint that means nothing any more.
    Note,
    /// The record of a run.
    Run,
    /// A file that a killed run was writing.
    Temporary,
    /// A folder of a killed `mp verify --rebuild`.
    Rebuild,
}

/// One thing that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Garbage {
    pub kind: GarbageKind,
    #[serde(serialize_with = "as_shown")]
    pub path: PathBuf,
    pub bytes: u64,
    /// What its end gives back: nothing where a file has another name that stays.
    pub frees_bytes: u64,
    pub why: String,
    /// Why it is still there although it was to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collection {
    pub garbage: Vec<Garbage>,
    /// So many more are there that were not removed, because it was to stop.
    pub left: usize,
    /// Who is at work on the store just now, as far as they say.
    pub in_use_by: Vec<String>,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    #[error("the store is in use by {by}")]
    InUse { by: String },
    #[error("stopped before anything was removed")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<io::Error> for GcError {
    fn from(error: io::Error) -> GcError {
        GcError::Store(error.into())
    }
}

impl Store {
    /// Lists what nobody needs, in the order in which it would go.
    pub fn garbage(&self, sought: &Sought<'_>) -> Result<Collection, GcError> {
        let homes = (sought.homes)()?;
        let in_use_by = match self.is_in_use() {
            true => self.users(&homes),
            false => Vec::new(),
        };
        Ok(Collection { garbage: self.find(&homes, sought)?, left: 0, in_use_by })
    }

    /// Removes what nobody needs, once nobody uses the store. `on_end` hears of each thing what became of
    /// it. Makes a store where there is none.
    pub fn collect(
        &self,
        sought: &Sought<'_>,
        wait: &Wait<'_>,
        on_end: &mut dyn FnMut(&Garbage),
    ) -> Result<Collection, GcError> {
        let is_stopped = || wait.cancel.load(Ordering::Relaxed);
        let began = Instant::now();
        let mut told = false;
        let _alone = loop {
            if let Some(alone) = self.alone()? {
                break alone;
            }
            if is_stopped() {
                return Err(GcError::Stopped);
            }
            let left = wait.timeout.saturating_sub(began.elapsed());
            let by = || Ok::<_, StoreError>(self.users(&(sought.homes)()?).join(", "));
            if left.is_zero() {
                return Err(GcError::InUse { by: by()? });
            }
            if !told && began.elapsed() >= POLL {
                (wait.on_wait)(&by()?);
                told = true;
            }
            thread::sleep(left.min(POLL));
        };
        // Others may have come while it waited, with folders of their own.
        let mut garbage = self.find(&(sought.homes)()?, sought)?;
        let all = garbage.len();
        for place in 0..all {
            let thing = &mut garbage[place];
            let removed = if is_stopped() { Ok(false) } else { remove(thing, &is_stopped) };
            if matches!(removed, Ok(false)) {
                garbage.truncate(place);
                break;
            }
            thing.error = removed.err().map(|error| error.to_string());
            on_end(thing);
        }
        if garbage.is_empty() && all > 0 {
            return Err(GcError::Stopped);
        }
        let left = all - garbage.len();
        Ok(Collection { garbage, left, in_use_by: Vec::new() })
    }

    /// Who is at work, by the locks of tasks; somebody is even where no lock tells.
    fn users(&self, homes: &[Layout]) -> Vec<String> {
        let mut users = BTreeSet::new();
        for path in lock_files(homes) {
            if let Some(super::lock::LockError::Held { holder: Some(holder), .. }) =
                Lock::held(&path)
            {
                users.insert(holder.to_string());
            }
        }
        if users.is_empty() {
            users.insert("a process that is between two tasks or only looks".to_owned());
        }
        users.into_iter().collect()
    }

    fn find(&self, homes: &[Layout], sought: &Sought<'_>) -> Result<Vec<Garbage>, GcError> {
        let keeping = sought.keeping;
        if let Some(path) = self.damaged_homes()?.pop() {
            return Err(StoreError::HomeNote { path }.into());
        }
        let mut census = Census::take(self, homes)?;
        if !census.newer.is_empty() {
            // What it needs is not for this one to say.
            return Err(census.newer.swap_remove(0).into());
        }
        let now = Moment::now().system_time();
        let mut search = Search { store: self, homes, census: &census, found: Vec::new() };
        let (live, released) = search.results(keeping, now)?;
        search.objects(live, released, now)?;
        search.failed()?;
        search.notes()?;
        search.records(keeping)?;
        search.temporary(now, sought.is_probe)?;
        search.rebuilds()?;
        let mut found = search.found;
        if self.is_stopping() {
            return Err(GcError::Stopped);
        }
        found.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        count_freed(&mut found);
        Ok(found)
    }
}

/// A search at work.
struct Search<'a> {
    store: &'a Store,
    homes: &'a [Layout],
    census: &'a Census,
    found: Vec<Garbage>,
}

type Digests = BTreeSet<Digest>;

impl Search<'_> {
    fn add(&mut self, kind: GarbageKind, path: &Path, why: impl Into<String>) {
        let bytes = match fs_err::symlink_metadata(path) {
            Ok(facts) if facts.is_dir() => folder_bytes(path),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        };
        let (path, why) = (path.to_owned(), why.into());
        self.found.push(Garbage { kind, path, bytes, frees_bytes: bytes, why, error: None });
    }

    /// Kept results; gives the objects that stay and those that only what goes names.
    fn results(
        &mut self,
        keeping: Keeping,
        now: SystemTime,
    ) -> Result<(Digests, Digests), StoreError> {
        let census = self.census;
        let outputs = |manifest: &super::Manifest| -> Vec<Digest> {
            manifest.outputs.iter().map(|output| output.sha256).collect()
        };
        let (mut live, mut released) = (Digests::new(), Digests::new());
        let mut current = BTreeSet::<(String, Digest)>::new();
        for named in &census.manifests {
            live.extend(outputs(&named.manifest));
            if !named.failed {
                current.insert((named.spot.task(), named.manifest.fingerprint));
            }
        }
        let awaited = self.awaited(now)?;
        let of_last_runs: BTreeSet<(String, Digest)> = match keeping {
            Keeping::Newest => BTreeSet::new(),
            Keeping::Runs(runs) => {
                let runs = newest_first(self.store, &census.results)?.into_iter().take(runs);
                runs.flat_map(|run| run.results).collect()
            }
        };
        let mut places = BTreeMap::<String, usize>::new();
        for kept in &census.results {
            let Kept { manifest, path, .. } = kept;
            let key = (manifest.task(), manifest.fingerprint);
            if !is_record(path) {
                live.extend(outputs(manifest));
                continue;
            }
            let place = places.entry(manifest.task()).or_default();
            *place += 1;
            let is_wanted = match keeping {
                Keeping::Newest => *place <= self.store.keep.max(1),
                Keeping::Runs(_) => of_last_runs.contains(&key),
            };
            if is_wanted || current.contains(&key) || awaited.contains(&key) {
                live.extend(outputs(manifest));
                continue;
            }
            released.extend(outputs(manifest));
            let run = &manifest.run.id;
            let why = match keeping {
                Keeping::Newest => format!(
                    "a result of {} from run {run}, older than the newest {}",
                    manifest.task(),
                    self.store.keep.max(1)
                ),
                Keeping::Runs(runs) => {
                    let task = manifest.task();
                    format!("a result of {task} from run {run}, not of the last {runs} runs")
                }
            };
            self.add(GarbageKind::Result, path, why);
        }
        let torn = census.torn.iter().filter(|torn| torn.of.is_none());
        for torn in torn.filter(|torn| is_record(&torn.path)) {
            let kind = match torn.path.starts_with(self.store.layout().results_dir()) {
                true => GarbageKind::Result,
                false => GarbageKind::FileResult,
            };
            self.add(kind, &torn.path, format!("it cannot be read: {}", torn.why));
        }
        Ok((live, released))
    }

    /// Results of single files, then objects.
    fn objects(
        &mut self,
        mut live: Digests,
        mut released: Digests,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        let census = self.census;
        let mut kept = Digests::new();
        for file in &census.files {
            let anchor = file.objects.first();
            let is_live = anchor.is_some_and(|anchor| live.contains(anchor));
            let is_released = anchor.is_some_and(|anchor| released.contains(anchor));
            // An extract that failed on its limit will want them again.
            if is_live
                || !is_record(&file.path)
                || !(is_released || is_old(&file.path, now, PARSED_GRACE))
            {
                kept.extend(&file.objects);
            } else {
                released.extend(&file.objects);
                let why = format!("a file of {} that no kept result has", file.source);
                self.add(GarbageKind::FileResult, &file.path, why);
            }
        }
        for path in census.outdated.iter().filter(|path| is_outdated(path)) {
            let why = "results of files in the form of an earlier mp";
            self.add(GarbageKind::FileResult, path, why);
        }
        live.extend(kept);
        for folder in folders(&self.store.layout().objects_dir())? {
            if self.store.is_stopping() {
                return Ok(());
            }
            for path in list(&folder)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let Ok(digest) = name.parse::<Digest>() else { continue };
                let is_ours = path == self.store.layout().object(&digest) && path.is_file();
                if live.contains(&digest) || !is_ours {
                    continue;
                }
                let why = match released.contains(&digest) {
                    true => "only results that go too name it",
                    false => "nobody names it: of a failed or killed run, or let go",
                };
                self.add(GarbageKind::Object, &path, why);
            }
        }
        Ok(())
    }

    /// The results that somebody has yet to read; notes that mean nothing are found on the way.
    fn awaited(&mut self, now: SystemTime) -> Result<BTreeSet<(String, Digest)>, StoreError> {
        let census = self.census;
        let mut awaited = BTreeSet::new();
        for folder in folders(&self.store.layout().awaited_dir())? {
            let task = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for path in list(&folder)? {
                if let Some(newer) = newer_note(&path)? {
                    return Err(newer);
                }
                if !is_note(&path) {
                    continue;
                }
                let Some(fingerprint) = fingerprint_in(&path)? else {
                    self.add(GarbageKind::Note, &path, "a torn note");
                    continue;
                };
                let is_kept = census.results.iter().any(|kept| {
                    kept.manifest.fingerprint == fingerprint && kept.manifest.task() == task
                });
                if is_old(&path, now, AWAITED_GRACE) {
                    let why = format!("nobody came to read that result of {task} for a week");
                    self.add(GarbageKind::Note, &path, why);
                } else if is_kept {
                    awaited.insert((task.clone(), fingerprint));
                } else {
                    let why = format!("the result of {task} that it keeps is not there");
                    self.add(GarbageKind::Note, &path, why);
                }
            }
        }
        Ok(awaited)
    }

    /// What failed attempts left of tasks that have succeeded since, or that noted no failure.
    fn failed(&mut self) -> Result<(), StoreError> {
        let census = self.census;
        for failed in census.manifests.iter().filter(|named| named.failed) {
            let since = census.manifests.iter().any(|good| {
                let later = good.manifest.run.ended_at > failed.manifest.run.ended_at;
                !good.failed && good.spot == failed.spot && later
            });
            let (stage, source) = failed.spot.key();
            let Some(home) = self.homes.get(failed.spot.home).filter(|_| since) else { continue };
            for path in home.failed_files(stage, source) {
                if path.symlink_metadata().is_ok() {
                    let why = format!("{} has succeeded since", failed.spot.task());
                    self.add(GarbageKind::Failed, &path, why);
                }
            }
        }
        for home in self.homes {
            for path in list(&home.processed.join(REJECTS))? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let Some(source) = name.strip_suffix(FAILED_REJECTS) else { continue };
                // Whoever extracts has the lock first: without one the name is by chance.
                let is_ours = home.lock_file("extract", Some(source)).is_file() && path.is_file();
                if is_ours
                    && !home.failed_manifest("extract", Some(source)).exists()
                    && self.found.iter().all(|found| found.path != path)
                {
                    let why = format!("extract.{source} noted no failed attempt");
                    self.add(GarbageKind::Failed, &path, why);
                }
            }
        }
        Ok(())
    }

    fn notes(&mut self) -> Result<(), StoreError> {
        for path in self.store.stale_homes()? {
            self.add(GarbageKind::Note, &path, "the folders that it names hold no manifests");
        }
        Ok(())
    }

    /// Records of runs beyond those that are kept.
    fn records(&mut self, keeping: Keeping) -> Result<(), StoreError> {
        let keep = match keeping {
            Keeping::Newest => KEEP_RUNS,
            Keeping::Runs(runs) => runs,
        };
        let history = self.store.history();
        for path in history.beyond(keep)? {
            let why = match path.extension().is_some_and(|extension| extension == "tmp") {
                true => "a record that a killed run was writing".to_owned(),
                false => format!("the record of a run, not of the last {keep}"),
            };
            self.add(GarbageKind::Run, &path, why);
        }
        Ok(())
    }

    /// What killed runs were writing: their locks are free.
    fn temporary(&mut self, now: SystemTime, is_probe: fn(&str) -> bool) -> Result<(), StoreError> {
        let mut alive: Vec<Owner> = Vec::new();
        for path in lock_files(self.homes) {
            if Lock::held(&path).is_some()
                && let Ok(real) = fs_err::canonicalize(&path)
            {
                alive.push(Owner::of(real.as_os_str().as_encoded_bytes()));
            }
        }
        let layout = self.store.layout();
        let memo_is_written = Lock::held(&layout.memo_file().with_extension("lock")).is_some();
        let mut folders: BTreeSet<PathBuf> =
            self.homes.iter().flat_map(Layout::written_folders).collect();
        folders.extend([layout.tmp_dir(), layout.store.clone()]);
        for folder in folders {
            if !folder.is_dir() {
                continue;
            }
            for path in list_temporary(&folder)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if let Some(pid) = Owner::pid_in(name) {
                    let is_alive = memo_is_written && folder == layout.store;
                    if !is_alive && !alive.iter().any(|owner| owner.made(name)) {
                        let why = format!("process {pid} was writing it and is gone");
                        self.add(GarbageKind::Temporary, &path, why);
                    }
                } else if is_probe(name) && is_old(&path, now, PARSED_GRACE) {
                    self.add(
                        GarbageKind::Temporary,
                        &path,
                        "a check of this folder that was killed",
                    );
                }
            }
        }
        Ok(())
    }

    fn rebuilds(&mut self) -> Result<(), StoreError> {
        for path in list(&self.store.layout().rebuild_dir())? {
            if is_left(&path) {
                let why = "a `mp verify --rebuild` that was killed";
                self.add(GarbageKind::Rebuild, &path, why);
            }
        }
        Ok(())
    }
}

/// The locks of all tasks that ever ran in these folders.
fn lock_files(homes: &[Layout]) -> BTreeSet<PathBuf> {
    let folders = homes.iter().flat_map(|home| [&home.processed, &home.output, &home.reports]);
    let locks = folders.flat_map(|folder| list(&folder.join(MANIFESTS)).unwrap_or_default());
    locks.filter(|path| path.extension().is_some_and(|extension| extension == "lock")).collect()
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = list_temporary(folder) else { return 0 };
    let bytes = |path: &PathBuf| match fs_err::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => folder_bytes(path),
        Ok(facts) => facts.len(),
        Err(_) => 0,
    };
    entries.iter().map(bytes).sum()
}

/// A file with several names gives its room back with the last of them.
fn count_freed(found: &mut [Garbage]) {
    let facts =
        |path: &Path| fs_err::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file);
    let mut names = BTreeMap::<(u64, u64), u64>::new();
    for facts in found.iter().filter_map(|thing| facts(&thing.path)) {
        let left = names.entry((facts.dev(), facts.ino())).or_insert_with(|| facts.nlink());
        *left = left.saturating_sub(1);
    }
    // The last of its names is the one that counts.
    for thing in found.iter_mut().rev() {
        if let Some(facts) = facts(&thing.path) {
            let left = names.insert((facts.dev(), facts.ino()), u64::MAX);
            if left != Some(0) {
                thing.frees_bytes = 0;
            }
        }
    }
}

/// True once it is gone, false if it was stopped before.
fn remove(thing: &Garbage, is_stopped: &dyn Fn() -> bool) -> io::Result<bool> {
    fault::point("gc.remove")?;
    let facts = fs_err::symlink_metadata(&thing.path);
    if !facts.is_ok_and(|facts| facts.is_dir()) {
        remove_if_there(&thing.path)?;
    } else if !remove_folder(&thing.path, is_stopped)? {
        return Ok(false);
    }
    let in_store = !matches!(thing.kind, GarbageKind::Failed | GarbageKind::Temporary);
    if in_store {
        // Only an empty folder can be removed this way.
        let _ = fs_err::remove_dir(parent(&thing.path)?);
    }
    Ok(true)
}

/// Folders first: the lock by which a scratch folder is known goes last. False if it was stopped before.
fn remove_folder(folder: &Path, is_stopped: &dyn Fn() -> bool) -> io::Result<bool> {
    let is_folder =
        |path: &PathBuf| fs_err::symlink_metadata(path).is_ok_and(|facts| facts.is_dir());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
        list_temporary(folder)?.into_iter().partition(is_folder);
    for below in folders {
        if !remove_folder(&below, is_stopped)? {
            return Ok(false);
        }
    }
    for file in files {
        if is_stopped() {
            return Ok(false);
        }
        remove_if_there(&file)?;
    }
    fs_err::remove_dir(folder)?;
    Ok(true)
}
