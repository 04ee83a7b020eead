//! Results of single input files, found again by content in whatever run.
//!
//! Knows the content's hash, its length and a hash of the settings that enter; what a result means is
//! its stage's business. Results that were made together share their objects and are written down in
//! one record, `parsed/<source>/<name>.json`, which lives while a kept result names its first object
//! (`keep.rs`).

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Store;
use super::atomic::{self, Owner};
use super::checksum;
use super::digest::Digest;
use super::error::StoreError;
use super::staged::StagedObject;
use crate::fault;

/// The version written, and the newest that can be read.
pub(super) const PARSED_VERSION: u32 = 1;

/// What is known of an input file before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParsedKey {
    /// Of the file's own bytes.
    pub sha256: Digest,
    /// The length of the file.
    pub bytes: u64,
    /// Of everything else that decides the result but is known beforehand.
    pub settings: Digest,
}

/// The result of one input file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ParsedFile {
    pub key: ParsedKey,
    /// The stage's own facts: counts, bounds.
    pub facts: Box<RawValue>,
}

/// Results that were made together.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    parsed_version: u32,
    /// The objects they consist of; the first decides how long the record is kept.
    pub objects: Vec<Digest>,
    files: Vec<ParsedFile>,
}

impl Record {
    /// Reads a record; `None` if it is damaged or of another version: it is as good as none.
    pub fn read(path: &Path) -> Option<Record> {
        let bytes = fs_err::read(path).ok().filter(|bytes| checksum::holds(bytes))?;
        let record = serde_json::from_slice::<Record>(&bytes).ok()?;
        (record.parsed_version == PARSED_VERSION).then_some(record)
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

/// The per-file results of a source as they are in the store at one moment.
#[derive(Debug)]
pub struct ParsedIndex<'s> {
    store: &'s Store,
    /// The objects of each record, and whether they are all there and whole, once somebody asked.
    records: Vec<(Vec<Digest>, OnceLock<bool>)>,
    /// There may be several of one key: what else decides a result (as_of) is among its facts.
    files: HashMap<ParsedKey, Vec<(usize, Box<RawValue>)>>,
    /// Of all files that were seen.
    sizes: BTreeSet<u64>,
}

impl ParsedIndex<'_> {
    /// Every result for that content whose objects are all there and whole, with these objects, for
    /// the stage to choose by its facts.
    pub fn find(&self, key: &ParsedKey) -> Result<Vec<(&RawValue, &[Digest])>, StoreError> {
        let mut found = Vec::new();
        for (record, facts) in self.files.get(key).into_iter().flatten() {
            if self.is_whole(*record)? {
                found.push((&**facts, &*self.records[*record].0));
            }
        }
        Ok(found)
    }

    fn is_whole(&self, record: usize) -> Result<bool, StoreError> {
        let (objects, known) = &self.records[record];
        if let Some(whole) = known.get() {
            return Ok(*whole);
        }
        let mut whole = true;
        for object in objects {
            whole = whole && self.store.verify(object)?;
        }
        Ok(*known.get_or_init(|| whole))
    }

    /// Was a file of this length ever seen? If not it need not be hashed before it is read.
    pub fn has_size(&self, bytes: u64) -> bool {
        self.sizes.contains(&bytes)
    }
}

impl Store {
    /// The results of single input files of a source.
    pub fn parsed(&self, source: &str) -> Result<ParsedIndex<'_>, StoreError> {
        let (mut records, mut sizes) = (Vec::new(), BTreeSet::new());
        let mut files = HashMap::<ParsedKey, Vec<_>>::new();
        for path in list(&self.layout().parsed_dir().join(source))? {
            let Some(record) = Record::read(&path) else { continue };
            for ParsedFile { key, facts } in record.files {
                sizes.insert(key.bytes);
                files.entry(key).or_default().push((records.len(), facts));
            }
            records.push((record.objects, OnceLock::new()));
        }
        Ok(ParsedIndex { store: self, records, files, sizes })
    }

    /// Keeps results of files that were made together: brings their objects into the store, then
    /// writes the record. The first object decides how long it is kept.
    pub fn keep_parsed(
        &self,
        source: &str,
        objects: Vec<StagedObject>,
        files: Vec<ParsedFile>,
        owner: &Owner,
    ) -> Result<(), StoreError> {
        let mut digests = Vec::with_capacity(objects.len());
        for object in objects {
            digests.push(self.put(object)?);
        }
        let record = Record { parsed_version: PARSED_VERSION, objects: digests, files };
        let json = serde_json::to_string(&record).map_err(std::io::Error::from)?;
        let name = format!("{}.json", Digest::of_bytes(json.as_bytes()).short());
        let path = self.layout().parsed_dir().join(source).join(name);
        if !Record::is_newer(&path)? {
            fault::point("parsed.record")?;
            let json = checksum::sealed(&json);
            atomic::write(&path, json.as_bytes(), owner, &self.layout().tmp_dir())?;
        }
        Ok(())
    }
}

/// The folders in a folder of the store; what else lies there is not of ours. A file in place of the
/// folder itself is an error that names it.
pub(super) fn folders(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = list(folder)?;
    paths.retain(|path| path.is_dir());
    Ok(paths)
}

/// Is that [`Digest::short`] of something?
pub(super) fn is_short(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Does the store give records of results and of files such a name? What has another is not of ours.
pub(super) fn is_record(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(".json").unwrap_or_default();
    is_short(stem) || stem.parse::<Digest>().is_ok()
}

/// Did an earlier mp give that name to the results of a file?
pub(super) fn is_outdated(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.split('-');
    let mut next = || parts.next().unwrap_or_default();
    let (bytes, content, settings) = (next(), next(), next());
    bytes.parse::<u64>().is_ok() && content.parse::<Digest>().is_ok() && is_short(settings)
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
