//! The store: the only module that names paths under the data folders and makes files visible there.
//!
//! Below `store.path` (`data/.mp`): `objects/ab/<sha256>` results by content, `results/<task>/` copies of
//! the newest manifests, `awaited/<task>/` notes of results still to be read, `parsed/<source>/` results of
//! single input files, `runs/<run>.json` records of runs, `homes/` notes of the folders that it serves,
//! `memo.json` file facts that spare hashing, `tmp/` what nobody may see yet, `rebuild/` results computed
//! again to be compared. Beside the outputs: `_manifests/<task>.json`,
//! `.failed.json`, `.lock`. Knows files, digests and manifests; not what is in them.

mod atomic;
mod awaited;
mod census;
mod checksum;
mod clock;
mod commit;
mod digest;
mod error;
mod finding;
mod garbage;
mod history;
#[cfg(test)]
mod history_tests;
mod holder;
mod homes;
mod keep;
mod layout;
mod lock;
mod manifest;
mod memo;
mod mend;
mod objects;
mod parsed;
mod rehash;
mod run_record;
mod runs;
mod scratch_folder;
mod sight;
mod staged;
#[cfg(test)]
mod tests;
mod verify;
mod write_behind;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

pub use atomic::Owner;
pub use clock::{Stopwatch, new_run_id};
pub use commit::{Content, NewOutput, Outcome};
pub use digest::Digest;
pub use error::StoreError;
pub use finding::{Finding, FindingKind, Trouble, as_shown};
pub use garbage::{Collection, Garbage, GcError, Keeping, Sought};
pub use history::{History, Running, Skipped};
pub use keep::{InUse, Wait};
#[cfg(test)]
pub use layout::Folder;
pub use layout::{Layout, Place};
pub use lock::{Lock, LockError};
pub use manifest::{Column, ErrorFact, Ingredients, InputFact, MadeBy, Manifest, Output};
pub use memo::FileStamp;
pub use parsed::{ParsedFile, ParsedIndex, ParsedKey};
pub use run_record::{
    Asked, RECORD_VERSION, RunRecord, RunStatus, SettingFact, TaskEnd, TaskRecord,
};
pub use scratch_folder::ScratchFolder;
pub use staged::{MODE_PRIVATE, MODE_READ_ONLY, Scratch, Staged, StagedObject};
pub use verify::{Scope, ToRun, Verification, VerifyError};

use layout::task_name;
use manifest::{ManifestError, Status};
use memo::Memo;

/// The store of a project, for the folders of one as_of.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    memo: Memo,
    manifests: Mutex<HashMap<PathBuf, ReadManifest>>,
    keep: usize,
    /// What is noted about every attempt beside its own facts.
    airflow: BTreeMap<String, String>,
}

/// A manifest that was read and may still be in use.
#[derive(Debug)]
struct ReadManifest {
    /// The length and the hash of its text.
    text: (usize, u128),
    manifest: Weak<Manifest>,
}

/// A manifest, if there is one to be had.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Missing,
    /// As good as missing, and why.
    Unreadable(String),
    Good(Arc<Manifest>),
}

impl Found {
    /// The manifest, if it is good.
    pub fn good(self) -> Option<Arc<Manifest>> {
        match self {
            Found::Good(manifest) => Some(manifest),
            Found::Missing | Found::Unreadable(_) => None,
        }
    }
}

impl Store {
    /// Opens a store that need not exist yet; nothing is written before something is made.
    pub fn open(layout: Layout, keep: usize) -> Store {
        let memo = Memo::load(layout.memo_file());
        Store { layout, memo, manifests: Mutex::default(), keep, airflow: BTreeMap::new() }
    }

    /// The same store for a run of Airflow, whose ids are noted in the `run` part of manifests.
    pub fn for_airflow(self, ids: BTreeMap<String, String>) -> Store {
        Store { airflow: ids, ..self }
    }

    /// Where things are.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The facts about files.
    pub const fn memo(&self) -> &Memo {
        &self.memo
    }

    /// To be set when whoever uses the store is to stop: then no file is hashed to its end, and nothing
    /// is tidied.
    pub fn stop(&self) -> &Arc<AtomicBool> {
        self.memo.stop()
    }

    fn is_stopping(&self) -> bool {
        self.stop().load(Ordering::Relaxed)
    }

    /// The records of runs.
    pub const fn history(&self) -> History<'_> {
        History::of(self)
    }

    /// The last good manifest of a task.
    pub fn manifest(&self, stage: &str, source: Option<&str>) -> Result<Found, StoreError> {
        self.read(stage, source, &self.layout.manifest(stage, source), Status::Success)
    }

    /// What the last attempt left if it failed.
    pub fn failed_manifest(&self, stage: &str, source: Option<&str>) -> Result<Found, StoreError> {
        self.read(stage, source, &self.layout.failed_manifest(stage, source), Status::Failed)
    }

    fn read(
        &self,
        stage: &str,
        source: Option<&str>,
        path: &Path,
        status: Status,
    ) -> Result<Found, StoreError> {
        let bytes = match atomic::read_if_there(path) {
            Ok(None) => return Ok(Found::Missing),
            Ok(Some(bytes)) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Ok(Found::Unreadable(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        match self.parse(&bytes, path) {
            Err(ManifestError::Newer(error)) => Err(error),
            Err(ManifestError::Unreadable(why)) => Ok(Found::Unreadable(why)),
            Ok(manifest) if manifest.task() != task_name(stage, source) => {
                Ok(Found::Unreadable(format!("it is of the task `{}`", manifest.task())))
            }
            Ok(manifest) if manifest.status != status => {
                Ok(Found::Unreadable("its status is not that of its name".to_owned()))
            }
            Ok(manifest) => Ok(Found::Good(manifest)),
        }
    }

    /// A manifest is read by every task that needs it, and parsed once: the same text under the same
    /// name is the manifest that somebody has in hand.
    fn parse(&self, bytes: &[u8], path: &Path) -> Result<Arc<Manifest>, ManifestError> {
        let text = (bytes.len(), xxhash_rust::xxh3::xxh3_128(bytes));
        // A panic elsewhere leaves the map whole: each change is one insertion.
        let known = || self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = known().get(path).filter(|read| read.text == text)
            && let Some(manifest) = read.manifest.upgrade()
        {
            return Ok(manifest);
        }
        let manifest = Arc::new(Manifest::from_json(bytes, path)?);
        let read = ReadManifest { text, manifest: Arc::downgrade(&manifest) };
        known().insert(path.to_owned(), read);
        Ok(manifest)
    }

    /// Takes the lock of a task and removes what a killed run of it left.
    pub fn lock(
        &self,
        stage: &str,
        source: Option<&str>,
        timeout: Duration,
        cancel: &AtomicBool,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Lock, LockError> {
        let path = self.layout.lock_file(stage, source);
        let lock = Lock::acquire(&path, timeout, cancel, on_wait)?;
        for folder in self.layout.written_folders() {
            lock.owner().sweep(&folder)?;
        }
        Ok(lock)
    }

    /// Did anybody leave a temporary file, or is anybody writing one? Whoever is gone left them for
    /// the next taker of its lock.
    pub fn has_leftovers(&self) -> Result<bool, StoreError> {
        for folder in self.layout.written_folders() {
            if Owner::any_left(&folder)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A new result file, hashed as it is written.
    pub fn stage(&self, owner: &Owner, mode: u32) -> Result<Staged, StoreError> {
        Staged::create(&self.layout.tmp_dir(), owner, mode)
    }

    /// A new scratch file, gone on drop.
    pub fn scratch(&self, owner: &Owner) -> std::io::Result<Scratch> {
        Scratch::create(&self.layout.tmp_dir(), owner)
    }
}
