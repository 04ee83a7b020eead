//! Everything that names an object or an artifact: manifests of all folders, kept results, results of
//! single files. Read once, for whoever wants to know who needs what.
//!
//! Reads and judges nothing: what cannot be read is listed as such, what is of a newer mp as well.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::Store;
use super::atomic;
use super::digest::Digest;
use super::error::StoreError;
use super::layout::{Layout, MANIFESTS};
use super::manifest::{Extra, Manifest, ManifestError, Status};
use super::parsed::{PARSED_VERSION, Record, folders, list};

const FAILED: &str = ".failed";
const QUALITY: &str = "quality";

/// A task in the folders of one home, by its index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub home: usize,
    pub stage: String,
    pub source: Option<String>,
}

impl Spot {
    /// Stage and source, as the store wants them.
    pub fn key(&self) -> (&str, Option<&str>) {
        (&self.stage, self.source.as_deref())
    }

    /// `extract.prints`, `features`.
    pub fn task(&self) -> String {
        super::layout::task_name(&self.stage, self.source.as_deref())
    }
}

/// A manifest in the folders of a run, without what no hash depends on.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub spot: Spot,
    /// Of a failed attempt, beside the last good one.
    pub failed: bool,
    pub path: PathBuf,
    /// Of all that it says, in the form of this version.
    pub digest: Digest,
    pub manifest: Manifest,
}

/// A kept result: the copy of a manifest under `results/`.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub path: PathBuf,
    pub modified: SystemTime,
    /// Of all that it says, in the form of this version.
    pub digest: Digest,
    pub manifest: Manifest,
}

/// Results of single input files that were made together.
#[derive(Debug, Clone)]
pub(super) struct KeptFile {
    pub path: PathBuf,
    pub source: String,
    pub objects: Vec<Digest>,
}

/// Something that says nothing.
#[derive(Debug, Clone)]
pub(super) struct Torn {
    pub path: PathBuf,
    pub why: String,
    /// Whose manifest it is, and whether of a failed attempt; `None` for what lies in the store.
    pub of: Option<(Spot, bool)>,
    /// The task or source below whose folder it lies in the store.
    pub below: String,
}

/// A manifest that was set aside: its task is to run again.
#[derive(Debug, Clone)]
pub(super) struct Aside {
    pub spot: Spot,
    pub why: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub manifests: Vec<Named>,
    pub aside: Vec<Aside>,
    /// Newest first within each task.
    pub results: Vec<Kept>,
    pub files: Vec<KeptFile>,
    pub torn: Vec<Torn>,
    /// Results of files in the form of an earlier version, which nobody reads.
    pub outdated: Vec<PathBuf>,
    /// What a newer mp wrote: not for this one to judge.
    pub newer: Vec<StoreError>,
}

/// What became of reading a manifest.
pub(super) enum Read {
    Good(Box<Manifest>, Digest),
    Aside(String),
    Torn(String),
    Newer(StoreError),
}

impl Census {
    /// Reads everything that the store and these folders hold.
    pub fn take(store: &Store, homes: &[Layout]) -> Result<Census, StoreError> {
        let mut census = Census::default();
        let mut seen = std::collections::BTreeSet::new();
        for (home, layout) in homes.iter().enumerate() {
            for folder in [&layout.processed, &layout.output, &layout.reports] {
                for path in list(&folder.join(MANIFESTS))? {
                    if let Some((spot, failed)) = spot_of(home, &path)
                        && seen.insert(path.clone())
                    {
                        census.manifest(spot, failed, path)?;
                    }
                }
            }
        }
        for folder in folders(&store.layout().results_dir())? {
            census.results_of(&folder)?;
        }
        for folder in folders(&store.layout().parsed_dir())? {
            for path in list(&folder)? {
                census.file(&folder, path)?;
            }
        }
        Ok(census)
    }

    fn manifest(&mut self, spot: Spot, failed: bool, path: PathBuf) -> Result<(), StoreError> {
        let below = spot.task();
        match read_manifest(&path, &below, failed)? {
            None => {}
            Some(Read::Newer(error)) => self.newer.push(error),
            Some(Read::Aside(why)) => self.aside.push(Aside { spot, why }),
            Some(Read::Torn(why)) => {
                self.torn.push(Torn { path, why, of: Some((spot, failed)), below });
            }
            Some(Read::Good(manifest, digest)) => {
                let manifest = slim(*manifest);
                self.manifests.push(Named { spot, failed, path, digest, manifest });
            }
        }
        Ok(())
    }

    fn results_of(&mut self, folder: &Path) -> Result<(), StoreError> {
        let task = name_of(folder);
        let mut results = Vec::new();
        for path in list(folder)? {
            match read_manifest(&path, &task, false)? {
                None => {}
                Some(Read::Newer(error)) => self.newer.push(error),
                Some(Read::Aside(why) | Read::Torn(why)) => {
                    self.torn.push(Torn { path, why, of: None, below: task.clone() });
                }
                Some(Read::Good(manifest, digest)) => {
                    // Another process may have removed it since.
                    let Some(modified) = modified_if_there(&path)? else { continue };
                    results.push(Kept { path, modified, digest, manifest: slim(*manifest) });
                }
            }
        }
        results.sort_by(|a, b| (b.modified, &b.path).cmp(&(a.modified, &a.path)));
        self.results.append(&mut results);
        Ok(())
    }

    fn file(&mut self, folder: &Path, path: PathBuf) -> Result<(), StoreError> {
        let source = name_of(folder);
        if path.is_dir() {
            self.outdated.push(path);
        } else if let Some(record) = Record::read(&path) {
            self.files.push(KeptFile { path, source, objects: record.objects });
        } else if Record::is_newer(&path)? {
            let bytes = atomic::read_if_there(&path)?.unwrap_or_default();
            let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let found = value.get("parsed_version").and_then(Value::as_u64).unwrap_or_default();
            let (what, known) = ("result of files", PARSED_VERSION);
            self.newer.push(StoreError::Newer { path, what, found, known });
        } else if path.is_file() {
            let (why, below) = ("it is torn or edited".to_owned(), format!("extract.{source}"));
            self.torn.push(Torn { path, why, of: None, below });
        }
        Ok(())
    }

    /// The kept result of a manifest's ingredients.
    pub fn kept(&self, manifest: &Manifest) -> Option<&Kept> {
        let task = manifest.task();
        self.results.iter().find(|kept| {
            kept.manifest.fingerprint == manifest.fingerprint && kept.manifest.task() == task
        })
    }
}

/// Reads what should be the manifest of a task; `None` if there is none.
pub(super) fn read_manifest(
    path: &Path,
    task: &str,
    failed: bool,
) -> Result<Option<Read>, StoreError> {
    let bytes = match atomic::read_if_there(path) {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => bytes,
        Err(error) => return Ok(Some(Read::Torn(error.to_string()))),
    };
    let status = if failed { Status::Failed } else { Status::Success };
    Ok(Some(match Manifest::from_json(&bytes, path) {
        Err(ManifestError::Newer(error)) => Read::Newer(error),
        Err(ManifestError::Unreadable(why)) => match super::manifest::set_aside_because(&bytes) {
            Some(why) => Read::Aside(why),
            None => Read::Torn(why),
        },
        Ok(manifest) if manifest.task() != task => {
            Read::Torn(format!("it is of the task `{}`", manifest.task()))
        }
        Ok(manifest) if manifest.status != status => {
            Read::Torn("its status is not that of its name".to_owned())
        }
        Ok(manifest) => {
            let digest = Digest::of_bytes(manifest.to_json().as_bytes());
            Read::Good(Box::new(manifest), digest)
        }
    }))
}

/// There may be thousands of manifests, and what they tell of each input is most of them. Of the one that
/// publishes beyond its own folder they say for whom.
fn slim(manifest: Manifest) -> Manifest {
    let mut manifest = Manifest { extra: Extra::default(), counts: Map::new(), ..manifest };
    if manifest.stage != QUALITY {
        manifest.ingredients.inputs.clear();
    }
    manifest
}

fn modified_if_there(path: &Path) -> io::Result<Option<SystemTime>> {
    match fs_err::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        facts => Ok(Some(facts?.modified()?)),
    }
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whose manifest a file is by its name, and whether of a failed attempt.
fn spot_of(home: usize, path: &Path) -> Option<(Spot, bool)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".json")?;
    let (task, failed) = match stem.strip_suffix(FAILED) {
        Some(task) => (task, true),
        None => (stem, false),
    };
    let (stage, source) = match task.split_once('.') {
        Some((stage, source)) => (stage, Some(source.to_owned())),
        None => (task, None),
    };
    Some((Spot { home, stage: stage.to_owned(), source }, failed))
}
