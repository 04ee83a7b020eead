//! Results that somebody has yet to read: noted when a task is about to commit objects, let go when
//! the task that reads them has ended well.
//!
//! The store is shared by all `{as_of}` folders, and days that overlap may commit any number of results
//! of one task before the next task of the first day looks for its own. A note is a file
//! `awaited/<task>/<hash of the manifest's path>-<reader>` with the fingerprint of the result: one for
//! each folder and reader, so another result in the same folder takes its place. It is written before
//! the manifest and is a hint, no truth: one that is lost to a crash costs what its result was protected
//! from, one too many goes with age (see `keep`). It names no path, so a project may be moved.
//! Version 1 is the bare fingerprint; a later one is to be a JSON object with its `awaited_version`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::Store;
use super::atomic::{self, Owner, remove_if_there};
use super::clock::Moment;
use super::digest::Digest;
use super::error::StoreError;
use super::keep::is_old;
use super::layout::task_name;
use super::parsed::{is_short, list};
use crate::fault;

/// The version written, and the newest that can be read.
pub(super) const AWAITED_VERSION: u32 = 1;
/// A note of that age need not be written again.
const YOUNG: Duration = Duration::from_secs(24 * 60 * 60);

/// A task as the store names it: stage and source.
type TaskKey<'a> = (&'a str, Option<&'a str>);

impl Store {
    /// Is that result kept for `reader`, and not only for a last few days?
    pub fn is_awaited(
        &self,
        task: TaskKey<'_>,
        reader: TaskKey<'_>,
        fingerprint: &Digest,
    ) -> Result<bool, StoreError> {
        let path = self.note(task, reader);
        let young = !is_old(&path, Moment::now().system_time(), YOUNG);
        Ok(young && fingerprint_in(&path)? == Some(*fingerprint))
    }

    /// From now on a result of a task is kept until `reader`, in the same folders, has read it.
    pub fn await_reader(
        &self,
        task: TaskKey<'_>,
        reader: TaskKey<'_>,
        fingerprint: &Digest,
        owner: &Owner,
    ) -> Result<(), StoreError> {
        let (path, text) = (self.note(task, reader), fingerprint.to_string());
        // As long as a newer mp has a note here, nothing is removed from the store.
        if newer_note(&path)?.is_some() {
            return Ok(());
        }
        fault::point("awaited.note")?;
        atomic::write(&path, text.as_bytes(), owner, &self.layout().tmp_dir())?;
        Ok(())
    }

    /// `reader` has read that result, or need not. Another one that came meanwhile is still awaited.
    pub fn has_read(
        &self,
        task: TaskKey<'_>,
        reader: TaskKey<'_>,
        fingerprint: &Digest,
    ) -> Result<(), StoreError> {
        let path = self.note(task, reader);
        if fingerprint_in(&path)? == Some(*fingerprint) {
            fault::point("awaited.read")?;
            remove_if_there(&path)?;
        }
        Ok(())
    }

    fn note(&self, task: TaskKey<'_>, reader: TaskKey<'_>) -> PathBuf {
        let manifest = self.layout().manifest(task.0, task.1);
        let place = Digest::of_bytes(manifest.as_os_str().as_encoded_bytes());
        let name = format!("{}-{}", place.short(), task_name(reader.0, reader.1));
        self.layout().awaited_dir().join(task_name(task.0, task.1)).join(name)
    }
}

/// The results of a task that somebody has yet to read; notes that `is_over` says are over are removed.
/// `None` if one is of a newer version.
pub(super) fn awaited(
    folder: &Path,
    is_over: impl Fn(&Path) -> bool,
) -> Result<Option<BTreeSet<Digest>>, StoreError> {
    let mut found = BTreeSet::new();
    for path in list(folder)? {
        if newer_note(&path)?.is_some() {
            return Ok(None);
        }
        if !is_note(&path) {
            continue;
        }
        match fingerprint_in(&path)? {
            Some(fingerprint) if !is_over(&path) => {
                found.insert(fingerprint);
            }
            _ => {
                remove_if_there(&path)?;
            }
        }
    }
    Ok(Some(found))
}

/// Does a note have such a name? What has another is not of ours.
pub(super) fn is_note(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.is_file() && name.split_once('-').is_some_and(|(place, _)| is_short(place))
}

/// Why a note is not to be touched, if a newer mp has written it.
pub(super) fn newer_note(path: &Path) -> Result<Option<StoreError>, StoreError> {
    #[derive(Deserialize)]
    struct Version {
        awaited_version: u64,
    }
    if path.is_dir() {
        return Ok(None);
    }
    let bytes = atomic::read_if_there(path)?.unwrap_or_default();
    let version = serde_json::from_slice::<Version>(&bytes).ok();
    let newer = version.filter(|found| found.awaited_version > u64::from(AWAITED_VERSION));
    Ok(newer.map(|found| StoreError::Newer {
        path: path.to_owned(),
        what: "note",
        found: found.awaited_version,
        known: AWAITED_VERSION,
    }))
}

/// What a note says; a torn one says nothing.
pub(super) fn fingerprint_in(path: &Path) -> Result<Option<Digest>, StoreError> {
    let bytes = atomic::read_if_there(path)?.unwrap_or_default();
    Ok(std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()))
}
