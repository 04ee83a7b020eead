//! Results of single input files, found again by content in whatever run.
//!
//! Knows the content's hash, its length and a hash of the settings that enter; what a result means is
//! its stage's business. A record lives while a kept result names its first object (`keep.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Store;
use super::atomic::{self, Owner};
use super::digest::Digest;
use super::error::StoreError;
use super::staged::StagedObject;

/// The version written, and the newest that can be read.
pub(super) const PARSED_VERSION: u32 = 1;
/// So many wait for the file system at the same time.
const WRITERS: usize = 16;

/// What is known of an input file before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedKey<'a> {
    /// The source it belongs to.
    pub source: &'a str,
    /// Of the file's own bytes.
    pub sha256: Digest,
    /// The length of the file.
    pub bytes: u64,
    /// Of everything else that decides the result but is known beforehand.
    pub settings: Digest,
}

/// The result of one input file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parsed {
    parsed_version: u32,
    /// The objects it consists of; the first decides how long the record is kept.
    pub objects: Vec<Digest>,
    /// The stage's own facts: counts, bounds.
    pub facts: Value,
}

impl Parsed {
    /// A result of these objects.
    pub const fn new(objects: Vec<Digest>, facts: Value) -> Parsed {
        Parsed { parsed_version: PARSED_VERSION, objects, facts }
    }

    /// Reads a record; `None` if it is torn or of another version.
    pub(super) fn read(path: &Path) -> std::io::Result<Option<Parsed>> {
        let bytes = atomic::read_if_there(path)?.unwrap_or_default();
        let parsed = serde_json::from_slice::<Parsed>(&bytes).ok();
        Ok(parsed.filter(|parsed| parsed.parsed_version == PARSED_VERSION))
    }

    /// Is there a record of a newer version, which is not to be touched?
    pub(super) fn is_newer(path: &Path) -> std::io::Result<bool> {
        #[derive(Deserialize)]
        struct Version {
            parsed_version: u64,
        }
        let bytes = atomic::read_if_there(path)?.unwrap_or_default();
        let version = serde_json::from_slice::<Version>(&bytes).ok();
        Ok(version.is_some_and(|found| found.parsed_version > u64::from(PARSED_VERSION)))
    }
}

/// A result on its way into the store.
#[derive(Debug)]
pub struct NewParsed<'k> {
    pub key: ParsedKey<'k>,
    /// Complete but not durable; the first decides how long the record is kept.
    pub objects: Vec<StagedObject>,
    /// The stage's own facts.
    pub facts: Value,
}

/// The per-file results of a store.
#[derive(Debug, Clone, Copy)]
pub struct ParsedIndex<'a> {
    store: &'a Store,
}

impl<'a> ParsedIndex<'a> {
    pub(super) const fn of(store: &'a Store) -> ParsedIndex<'a> {
        ParsedIndex { store }
    }

    fn folder(&self, key: &ParsedKey<'_>) -> PathBuf {
        let name = format!("{}-{}-{}", key.bytes, key.sha256, key.settings.short());
        self.store.layout().parsed_dir().join(key.source).join(name)
    }

    /// Every result for that content whose objects are all there and whole. There may be several:
    /// what else decides a result (as_of) is among its facts, for the stage to choose by.
    pub fn find(&self, key: &ParsedKey<'_>) -> Result<Vec<Parsed>, StoreError> {
        let mut found = Vec::new();
        for path in list(&self.folder(key))? {
            let Some(parsed) = Parsed::read(&path)? else { continue };
            let mut whole = true;
            for object in &parsed.objects {
                whole = whole && self.store.verify(object)?;
            }
            if whole {
                found.push(parsed);
            }
        }
        Ok(found)
    }

    /// The lengths of all files of a source that were seen: one of another length need not be hashed
    /// before it is read.
    pub fn sizes(&self, source: &str) -> Result<BTreeSet<u64>, StoreError> {
        let records = list(&self.store.layout().parsed_dir().join(source))?;
        let size = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            name.split_once('-')?.0.parse().ok()
        };
        Ok(records.iter().filter_map(size).collect())
    }

    /// Keeps results of many files: brings their objects into the store, makes all of it durable,
    /// then records them. The file system is faster when asked for much at once.
    pub fn insert_all(&self, results: Vec<NewParsed<'_>>, owner: &Owner) -> Result<(), StoreError> {
        let next = Mutex::new(results.into_iter());
        let insert_next = || {
            loop {
                // The lock is held for a moment only, and nothing panics under it.
                let result = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(NewParsed { key, objects, facts }) = result else { return Ok(()) };
                let mut digests = Vec::with_capacity(objects.len());
                for object in objects {
                    fs_err::File::open(object.path())?.sync_all()?;
                    digests.push(self.store.put(object)?);
                }
                self.insert(&key, &Parsed::new(digests, facts), owner)?;
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(insert_next)).collect();
            let ended = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            ended.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// Keeps a result; its objects are in the store already.
    pub fn insert(
        &self,
        key: &ParsedKey<'_>,
        parsed: &Parsed,
        owner: &Owner,
    ) -> Result<(), StoreError> {
        let names: String = parsed.objects.iter().map(Digest::to_string).collect();
        let name = format!("{}.json", Digest::of_bytes(names.as_bytes()).short());
        let json = serde_json::to_vec_pretty(parsed).map_err(std::io::Error::from)?;
        let (path, tmp) = (self.folder(key).join(name), self.store.layout().tmp_dir());
        if !Parsed::is_newer(&path)? {
            atomic::write(&path, &json, owner, &tmp)?;
        }
        Ok(())
    }
}

/// The paths in a folder that are no temporary files, in the order of their names.
pub(super) fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match fs_err::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
