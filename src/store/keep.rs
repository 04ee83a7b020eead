//! What stays in the store and what goes: `store.keep` results of each task.
//!
//! Roots are the records under `results/`: the newest of each task stay, and besides them those that a task
//! of the same `{as_of}` folders has yet to read (`awaited`), however many days are under way. Such a
//! result is let go when its reader has ended well, when another result takes its place in its folders,
//! or after `AWAITED_GRACE`: a day that is never finished must not fill the disk for ever. Then it counts
//! like any other. A per-file result stays while a kept record names its first object. An object stays while a kept record or per-file result names it.
//! What was released by a record that goes now goes with it; what nobody ever named (a failed or killed
//! run) goes once it is old. Published files are links or copies and do not depend on any of this.
//! What has a name that the store does not give is not of ours, and stays.
//! Whoever runs tasks holds a shared lock, and nothing is removed while anybody does.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use super::Store;
use super::atomic::{self, Owner, remove_if_there};
use super::awaited::awaited;
use super::clock::Moment;
use super::digest::Digest;
use super::error::StoreError;
use super::lock::{KeptOut, Lock, LockError, granted, holder_text, sign};
use super::manifest::{Manifest, ManifestError};
use super::parsed::{Record as ParsedRecord, folders, is_record, list};
use super::verify::VerifyError;
use crate::fault;

/// Objects and temporary files that nobody names; where locks do not reach (some network file
/// systems) another process may be about to commit them.
const ORPHAN_GRACE: Duration = Duration::from_secs(10 * 60);
/// Per-file results that no result names: an extract that failed on its limit will want them again.
pub(super) const PARSED_GRACE: Duration = Duration::from_secs(60 * 60);
/// Results that nobody came to read. Longer than a backfill waits for its turn or a failed day for repair.
pub(super) const AWAITED_GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How somebody waits for a store that another process has for itself.
pub struct Wait<'a> {
    pub timeout: Duration,
    /// Set from outside when the wait is to end.
    pub cancel: &'a AtomicBool,
    /// Hears once for whom it waits.
    pub on_wait: &'a dyn Fn(&str),
}

impl Wait<'_> {
    /// Not at all.
    pub fn none() -> Wait<'static> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Wait { timeout: Duration::ZERO, cancel: &NEVER, on_wait: &|_| {} }
    }
}

/// As long as this is held, nothing is removed from the store by others.
#[derive(Debug)]
pub struct InUse {
    _held: KeptOut,
}

/// As long as this is held, nobody else uses the store.
#[derive(Debug)]
pub(super) struct Alone {
    /// Closing it gives the lock back.
    file: fs_err::File,
}

impl Drop for Alone {
    fn drop(&mut self) {
        // What is written there now would name a holder that is none; nobody minds if it stays.
        let _ = self.file.file().set_len(0);
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    pub results: usize,
    pub parsed: usize,
    pub objects: usize,
}

impl Store {
    fn keep_lock(&self) -> io::Result<fs_err::File> {
        let path = self.layout().keep_lock();
        fs_err::create_dir_all(atomic::parent(&path)?)?;
        fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    /// To be held while tasks run, from before the first looks for objects until after the last commit.
    /// Waits while somebody tidies up, which takes a moment in a large store.
    pub fn in_use(&self, wait: &Wait<'_>) -> Result<InUse, StoreError> {
        // Makes it, and says so where it cannot be written.
        drop(self.keep_lock()?);
        self.share(wait).map_err(|error| match error {
            LockError::Cancelled { .. } => io::Error::from(io::ErrorKind::Interrupted).into(),
            LockError::Held { holder, life, .. } => {
                StoreError::InUse { by: holder_text(holder.as_ref(), life) }
            }
            LockError::Store(error) => error,
        })
    }

    /// The same where there is a store; none is made, and one that cannot be read is not held.
    pub(super) fn in_use_if_there(&self, wait: &Wait<'_>) -> Result<Option<InUse>, VerifyError> {
        if fs_err::File::open(self.layout().keep_lock()).is_err() {
            return Ok(None);
        }
        match self.share(wait) {
            Ok(in_use) => Ok(Some(in_use)),
            Err(LockError::Cancelled { .. }) => Err(VerifyError::Stopped),
            Err(LockError::Held { holder, life, .. }) => {
                Err(StoreError::InUse { by: holder_text(holder.as_ref(), life) }.into())
            }
            Err(LockError::Store(error)) => Err(error.into()),
        }
    }

    fn share(&self, wait: &Wait<'_>) -> Result<InUse, LockError> {
        let Wait { timeout, cancel, on_wait } = *wait;
        let path = self.layout().keep_lock();
        let held = Lock::keep_others_out(&path, timeout, cancel, &mut |holder| on_wait(holder))?;
        Ok(InUse { _held: held })
    }

    /// Does anybody run tasks or look at everything now? Waits for nobody.
    pub(super) fn is_in_use(&self) -> bool {
        let path = self.layout().keep_lock();
        let file = fs_err::File::open(&path);
        file.is_ok_and(|file| granted(&path, file.file().try_lock()).is_ok_and(|granted| !granted))
    }

    /// The store for this process alone, as nobody uses it now; `None` if somebody does.
    pub(super) fn alone(&self) -> Result<Option<Alone>, StoreError> {
        let file = self.keep_lock()?;
        if !granted(&self.layout().keep_lock(), file.file().try_lock())? {
            return Ok(None);
        }
        let mut alone = Alone { file };
        // On a full disk whoever waits does not hear for whom.
        let _ = sign(&mut alone.file, None);
        Ok(Some(alone))
    }

    /// Removes what is no longer kept; nothing while anybody uses the store. After commits only: it
    /// looks at everything.
    pub fn prune(&self) -> Result<Pruned, StoreError> {
        match self.alone()? {
            Some(_alone) => self.prune_at(Moment::now().system_time()),
            None => Ok(Pruned::default()),
        }
    }

    pub(super) fn prune_at(&self, now: SystemTime) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let mut roots = Roots::default();
        for task in folders(&self.layout().results_dir())? {
            // A newer mp shares the store: what it needs is not for this one to say.
            let Some(records) = records_newest_first(&task)? else { return Ok(pruned) };
            let notes = self.layout().awaited_dir().join(task.file_name().unwrap_or_default());
            let awaited = awaited(&notes, |note| is_old(note, now, AWAITED_GRACE))?;
            let Some(awaited) = awaited else { return Ok(pruned) };
            for (place, record) in records.into_iter().enumerate() {
                let Record { path, digests, fingerprint, .. } = record;
                // The newest stays whatever is set: those that depend on it read its objects.
                if place < self.keep.max(1) || awaited.contains(&fingerprint) || !is_record(&path) {
                    roots.live.extend(digests);
                } else {
                    roots.released.extend(digests);
                    fault::point("prune.result")?;
                    pruned.results += usize::from(remove_if_there(&path)?);
                }
            }
        }
        let Some(parsed) = self.prune_parsed(&mut roots, now)? else { return Ok(pruned) };
        pruned.parsed = parsed;
        for folder in folders(&self.layout().objects_dir())? {
            // What was released stays for the next time, which finds it by its age.
            if self.is_stopping() {
                return Ok(pruned);
            }
            for path in list(&folder)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let Ok(digest) = name.parse::<Digest>() else { continue };
                if path != self.layout().object(&digest) || path.is_dir() {
                    continue;
                }
                let goes = roots.released.contains(&digest) || is_old(&path, now, ORPHAN_GRACE);
                if goes && !roots.live.contains(&digest) {
                    fault::point("prune.object")?;
                    pruned.objects += usize::from(remove_if_there(&path)?);
                }
            }
        }
        for path in list_temporary(&self.layout().tmp_dir())? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if Owner::pid_in(name).is_some() && is_old(&path, now, ORPHAN_GRACE) {
                remove_if_there(&path)?;
            }
        }
        Ok(pruned)
    }

    /// Removes per-file results and adds the objects of those that stay to the live ones. `None` if one
    /// is of a newer version.
    fn prune_parsed(
        &self,
        roots: &mut Roots,
        now: SystemTime,
    ) -> Result<Option<usize>, StoreError> {
        let mut removed = 0;
        let mut kept_objects = BTreeSet::new();
        for source in folders(&self.layout().parsed_dir())? {
            for path in list(&source)? {
                // A folder is no record.
                if path.is_dir() {
                    continue;
                }
                if ParsedRecord::is_newer(&path)? {
                    return Ok(None);
                }
                let record = ParsedRecord::read(&path);
                let anchor = record.as_ref().and_then(|record| record.objects.first());
                let stays = anchor.is_some_and(|anchor| roots.live.contains(anchor));
                let released = anchor.is_some_and(|anchor| roots.released.contains(anchor));
                let objects = record.into_iter().flat_map(|record| record.objects);
                if stays || !is_record(&path) || !(released || is_old(&path, now, PARSED_GRACE)) {
                    kept_objects.extend(objects);
                } else {
                    roots.released.extend(objects);
                    fault::point("prune.parsed")?;
                    removed += usize::from(remove_if_there(&path)?);
                }
            }
        }
        roots.live.extend(kept_objects);
        Ok(Some(removed))
    }
}

#[derive(Default)]
struct Roots {
    /// Named by what stays.
    live: BTreeSet<Digest>,
    /// Named by what goes.
    released: BTreeSet<Digest>,
}

/// A record under `results/`, and what it names.
struct Record {
    modified: SystemTime,
    path: PathBuf,
    fingerprint: Digest,
    digests: Vec<Digest>,
}

/// The records of a task with what they name; unreadable ones are removed. `None` if one is of a newer
/// version.
fn records_newest_first(task: &Path) -> Result<Option<Vec<Record>>, StoreError> {
    let mut records = Vec::new();
    for path in list(task)? {
        if path.is_dir() {
            continue;
        }
        let bytes = atomic::read_if_there(&path)?.unwrap_or_default();
        match Manifest::from_json(&bytes, &path) {
            Err(ManifestError::Newer(_)) => return Ok(None),
            Err(ManifestError::Unreadable(_)) if !is_record(&path) => {}
            Err(ManifestError::Unreadable(_)) => {
                remove_if_there(&path)?;
            }
            Ok(manifest) => {
                let digests = manifest.outputs.iter().map(|output| output.sha256).collect();
                let modified = fs_err::metadata(&path)?.modified()?;
                let fingerprint = manifest.fingerprint;
                records.push(Record { modified, path, fingerprint, digests });
            }
        }
    }
    records.sort_by(|a, b| (b.modified, &b.path).cmp(&(a.modified, &a.path)));
    Ok(Some(records))
}

/// Unknown ages are young.
pub(super) fn is_old(path: &Path, now: SystemTime, grace: Duration) -> bool {
    let modified = fs_err::symlink_metadata(path).and_then(|facts| facts.modified());
    modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > grace))
}

/// All that is in a folder, temporary files too.
pub(super) fn list_temporary(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs_err::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}
