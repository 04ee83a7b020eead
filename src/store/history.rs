//! The history: one record for each run that did something or tried to, under `runs/`.
//!
//! A record appears when the first task begins, and its process holds a lock on the file; another one
//! takes its place when the run ends. Whoever finds the first one without its lock knows that the run was
//! killed. Long lists of inputs are kept once for all records that name them, under `runs/inputs/`, so a
//! record needs nothing that `store.keep` may remove. A record that cannot be read is skipped, one of a newer
//! version is skipped and never removed. Does not know what a run is for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::Store;
use super::atomic::{self, Owner, remove_if_there};
use super::digest::Digest;
use super::error::StoreError;
use super::keep::{Wait, list_temporary};
use super::manifest::{InputFact, ManifestError};
use super::parsed::list;
use super::run_record::{RunRecord, RunStatus, TaskRecord};
use crate::fault;

/// So many records are kept if nobody says otherwise.
pub const KEEP_RUNS: usize = 200;
/// Lists of inputs that are longer are kept apart.
const FEW_INPUTS: usize = 50;

/// A list of inputs as ingredients have it.
type Inputs = BTreeMap<String, InputFact>;

/// The records of a store.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    store: &'a Store,
}

/// The file of one record, whatever is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFile {
    /// The id of the run, by the name of the file.
    pub id: String,
    pub path: PathBuf,
}

/// A record that is not to be had, and why.
#[derive(Debug, thiserror::Error)]
pub enum Skipped {
    /// Torn, empty or foreign.
    #[error("`{}` is no record of a run: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    /// Of a newer version, or the file system refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Skipped {
    /// Was it removed meanwhile? A run that found its work done takes its record away.
    fn is_gone(&self) -> bool {
        let Skipped::Store(StoreError::Io(error)) = self else { return false };
        error.kind() == io::ErrorKind::NotFound
    }
}

impl From<io::Error> for Skipped {
    fn from(error: io::Error) -> Skipped {
        Skipped::Store(error.into())
    }
}

/// As long as this lives, the run is seen to be running.
#[derive(Debug)]
pub struct Running {
    /// Closing it gives the lock back.
    _file: fs_err::File,
}

impl<'a> History<'a> {
    pub(super) const fn of(store: &'a Store) -> History<'a> {
        History { store }
    }

    fn folder(&self) -> PathBuf {
        self.store.layout().runs_dir()
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder().join(format!("{id}.json"))
    }

    fn inputs_path(&self, digest: &Digest) -> PathBuf {
        self.store.layout().run_inputs_dir().join(format!("{digest}.json"))
    }

    /// The files of all records, the newest run first.
    pub fn files(&self) -> Result<Vec<RunFile>, StoreError> {
        let id = |path: PathBuf| {
            let id = path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
            Some(RunFile { id, path })
        };
        let mut files: Vec<RunFile> = list(&self.folder())?.into_iter().filter_map(id).collect();
        files.reverse();
        Ok(files)
    }

    /// All records, the newest run first, each read when it is asked for. Long lists of inputs are
    /// not brought in.
    pub fn newest_first(
        self,
    ) -> Result<impl Iterator<Item = Result<RunRecord, Skipped>> + use<'a>, StoreError> {
        let records = self.files()?.into_iter().map(|file| read(&file.path));
        Ok(records.filter(|record| !record.as_ref().is_err_and(Skipped::is_gone)))
    }

    /// The records in whose text all these words are, the newest run first: of a long history few are
    /// those of certain folders, and looking for a word is a hundredth of reading a record.
    pub fn newest_first_with(
        self,
        words: Vec<String>,
    ) -> Result<impl Iterator<Item = Result<RunRecord, Skipped>> + use<'a>, StoreError> {
        let has_all = move |file: &RunFile| {
            let found = atomic::read_if_there(&file.path).ok().flatten();
            found.is_none_or(|text| {
                words.iter().all(|word| memmem::find(&text, word.as_bytes()).is_some())
            })
        };
        let files = self.files()?.into_iter().filter(|file| file.path.is_file()).filter(has_all);
        let records = files.map(|file| read(&file.path));
        Ok(records.filter(|record| !record.as_ref().is_err_and(Skipped::is_gone)))
    }

    /// The whole record of a run.
    pub fn read(&self, id: &str) -> Result<RunRecord, Skipped> {
        let mut record = read(&self.path(id))?;
        self.bring_inputs_in(&mut record);
        Ok(record)
    }

    /// Brings in the long lists of inputs; one that is lost stays named by `inputs_in`.
    pub fn bring_inputs_in(&self, record: &mut RunRecord) {
        for task in &mut record.tasks {
            let Some(digest) = task.inputs_in else { continue };
            let bytes = atomic::read_if_there(&self.inputs_path(&digest)).ok().flatten();
            let bytes = bytes.filter(|bytes| Digest::of_bytes(bytes) == digest);
            let inputs = bytes.and_then(|bytes| serde_json::from_slice::<Inputs>(&bytes).ok());
            if let (Some(inputs), Some(ingredients)) = (inputs, &mut task.ingredients) {
                ingredients.inputs = inputs;
                task.inputs_in = None;
            }
        }
    }

    /// A task of the run begins. Not made durable: it only matters as long as the machine is up. Does not
    /// wait for the store: a run that begins a task is using it.
    pub fn begin(&self, record: &RunRecord) -> Result<Running, StoreError> {
        let _in_use = self.store.in_use(&Wait::none())?;
        let (path, folder) = (self.path(&record.run), self.folder());
        let json = serde_json::to_vec(record).map_err(io::Error::from)?;
        fault::point("history.begin")?;
        let file = atomic::write_held(&path, &json, &owner(), &folder)?;
        Ok(Running { _file: file })
    }

    /// The run is over; old records make room. Waits for the store, if another process has it for itself.
    pub fn end(&self, mut record: RunRecord, wait: &Wait<'_>) -> Result<(), StoreError> {
        let folder = self.folder();
        let in_use = self.store.in_use(wait)?;
        for task in &mut record.tasks {
            self.put_inputs_apart(task)?;
        }
        let json = serde_json::to_vec(&record).map_err(io::Error::from)?;
        fault::point("history.end")?;
        atomic::write(&self.path(&record.run), &json, &owner(), &folder)?;
        drop(in_use);
        let left = Owner::any_left(&folder)?;
        if (left || self.files()?.len() > KEEP_RUNS)
            && let Some(_alone) = self.store.alone()?
        {
            for path in self.beyond(KEEP_RUNS)? {
                remove_if_there(&path)?;
            }
        }
        Ok(())
    }

    /// Takes a record away. True if it was there.
    pub fn remove(&self, id: &str) -> Result<bool, StoreError> {
        Ok(remove_if_there(&self.path(id))?)
    }

    /// All that is not needed for the newest `keep` runs: older records, lists of inputs that only they
    /// name, what killed runs left half written. Never a record of a newer version or of a run that is
    /// running. To be removed only by whoever has the store alone: others may be writing.
    pub fn beyond(&self, keep: usize) -> Result<Vec<PathBuf>, StoreError> {
        let mut gone = Vec::new();
        let mut named = BTreeSet::new();
        let mut all_known = true;
        let lists = list(&self.store.layout().run_inputs_dir())?;
        for (place, file) in self.files()?.into_iter().enumerate() {
            if place < keep && lists.is_empty() {
                continue;
            }
            match read(&file.path) {
                Err(Skipped::Store(StoreError::Newer { .. })) => all_known = false,
                Ok(record) if place < keep || record.status == RunStatus::Running => {
                    named.extend(record.tasks.iter().filter_map(|task| task.inputs_in));
                }
                Err(Skipped::Unreadable { .. }) if place < keep || !is_run_id(&file.id) => {}
                Ok(_) | Err(Skipped::Unreadable { .. }) => gone.push(file.path),
                Err(skipped) if skipped.is_gone() => {}
                Err(Skipped::Store(error)) => return Err(error),
            }
        }
        let is_named = |path: &PathBuf| {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            name.parse::<Digest>().map_or(true, |digest| named.contains(&digest))
        };
        // What a newer mp needs is not for this one to say.
        gone.extend(lists.into_iter().filter(|path| all_known && !is_named(path)));
        for folder in [self.folder(), self.store.layout().run_inputs_dir()] {
            let left = list_temporary(&folder)?.into_iter();
            gone.extend(left.filter(|path| is_temporary(path)));
        }
        Ok(gone)
    }

    /// Moves a long list of inputs out of a record.
    fn put_inputs_apart(&self, task: &mut TaskRecord) -> Result<(), StoreError> {
        let Some(ingredients) = &mut task.ingredients else { return Ok(()) };
        if ingredients.inputs.len() <= FEW_INPUTS {
            return Ok(());
        }
        let json = serde_json::to_vec(&ingredients.inputs).map_err(io::Error::from)?;
        let digest = Digest::of_bytes(&json);
        let path = self.inputs_path(&digest);
        if !path.is_file() {
            atomic::write(&path, &json, &owner(), &self.folder())?;
        }
        ingredients.inputs.clear();
        task.inputs_in = Some(digest);
        Ok(())
    }
}

/// Could a run have that id? What has another name and says nothing is not of ours.
fn is_run_id(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'T' | b'Z' | b'.' | b'-'))
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).and_then(Owner::pid_in).is_some()
}

/// Whose the temporary files are. Whoever has the store alone knows that nobody is writing one.
fn owner() -> Owner {
    Owner::of(b"runs")
}

/// Reads a record and finds out whether its run is still running.
fn read(path: &Path) -> Result<RunRecord, Skipped> {
    // A pipe would keep whoever opens it waiting.
    if !fs_err::metadata(path)?.is_file() {
        let why = "it is no file".to_owned();
        return Err(Skipped::Unreadable { path: path.to_owned(), why });
    }
    let mut seen_without_lock = false;
    loop {
        let (mut file, mut bytes) = (fs_err::File::open(path)?, Vec::new());
        file.read_to_end(&mut bytes)?;
        let mut record = match RunRecord::from_json(&bytes, path) {
            Ok(record) => record,
            Err(ManifestError::Newer(error)) => return Err(error.into()),
            Err(ManifestError::Unreadable(why)) => {
                return Err(Skipped::Unreadable { path: path.to_owned(), why });
            }
        };
        if record.status != RunStatus::Running {
            return Ok(record);
        }
        // Where nobody can tell, it runs.
        if file.file().try_lock_shared().is_err() {
            return Ok(record);
        }
        // It may have ended between reading and asking: then another record is there by now.
        if seen_without_lock {
            record.status = RunStatus::Killed;
            return Ok(record);
        }
        seen_without_lock = true;
    }
}
