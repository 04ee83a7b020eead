//! How a result becomes visible: objects, record, names, manifest, in that order, under the task's lock.
//!
//! The manifest is the truth and comes last, by rename. A commit that was cut off leaves names that the
//! old manifest does not know, so the next run of the task notices and finishes it. All that takes room
//! on the disk is done before the first name changes, and should a later step be refused, the names of
//! the last result are put back. Does not know whether a result is wanted; whoever holds the lock has decided.

use std::path::Path;

use serde_json::{Map, Value};

use super::Store;
use super::atomic::{self, Written};
use super::digest::Digest;
use super::error::StoreError;
use super::layout::{Place, task_name};
use super::lock::Lock;
use super::manifest::{
    Column, ErrorFact, Extra, Ingredients, MANIFEST_VERSION, Manifest, ManifestError, Output,
    RunFacts, Status, set_aside_json,
};
use super::objects::Prepared;
use super::parsed::list;
use super::staged::StagedObject;
use crate::fault;

/// The content of an output: new, or an object of the store used again.
#[derive(Debug)]
pub enum Content {
    New(StagedObject),
    Kept { digest: Digest, bytes: u64 },
}

/// One file that a task made.
#[derive(Debug)]
pub struct NewOutput {
    pub content: Content,
    /// The name under which it becomes visible; `None`: an object for those that depend on it.
    pub publish: Option<Place>,
    pub mode: u32,
    pub rows: Option<u64>,
    pub schema: Option<Vec<Column>>,
}

/// The end of an attempt, with everything that it leaves.
#[derive(Debug)]
pub struct Outcome {
    pub stage: String,
    pub source: Option<String>,
    pub ingredients: Ingredients,
    pub outputs: Vec<NewOutput>,
    /// Published names to remove.
    pub remove: Vec<Place>,
    pub counts: Map<String, Value>,
    pub extra: Value,
    pub warnings: Vec<String>,
    /// Why it failed, for [`Store::fail`].
    pub error: Option<ErrorFact>,
    pub run: RunFacts,
}

impl Store {
    /// Makes a result the truth. What the last result published and this one does not is removed. Refused
    /// where a newer mp has left its manifest.
    pub fn commit(&self, lock: Lock, outcome: Outcome) -> Result<Manifest, StoreError> {
        let (manifest, remove) = self.bring_in(&lock, outcome, Status::Success)?;
        self.seal(lock, &manifest, &remove)?;
        Ok(manifest)
    }

    /// Notes a failed attempt beside the last good result, which stays as it is but for what the
    /// outcome itself publishes and removes.
    pub fn fail(&self, lock: Lock, outcome: Outcome) -> Result<Manifest, StoreError> {
        self.failed_manifest(&outcome.stage, outcome.source.as_deref())?;
        let (manifest, remove) = self.bring_in(&lock, outcome, Status::Failed)?;
        let names = self.prepare_names(&lock, &manifest)?;
        let path = self.layout().failed_manifest(&manifest.stage, manifest.source.as_deref());
        let (json, folder) = (manifest.to_json(), atomic::parent(&path)?);
        let note = Written::new(&path, json.as_bytes(), lock.owner(), folder)?;
        self.show(names, &manifest, &remove)?;
        fault::point("fail.note")?;
        note.appear()?;
        atomic::sync_dir(folder)?;
        Ok(manifest)
    }

    /// The kept result of these ingredients, if every object of it is still there and whole.
    pub fn kept_result(
        &self,
        stage: &str,
        source: Option<&str>,
        ingredients: &Ingredients,
    ) -> Result<Option<Manifest>, StoreError> {
        let task = task_name(stage, source);
        let fingerprint = ingredients.fingerprint(stage, source);
        let path = self.result_path(&task, &fingerprint);
        // Whatever keeps it from being read, it is as good as none.
        let Ok(Some(bytes)) = atomic::read_if_there(&path) else { return Ok(None) };
        let Ok(manifest) = Manifest::from_json(&bytes, &path) else { return Ok(None) };
        let is_it = manifest.task() == task
            && manifest.fingerprint == fingerprint
            && manifest.status == Status::Success;
        if !is_it {
            return Ok(None);
        }
        for output in &manifest.outputs {
            if !self.verify(&output.sha256)? {
                return Ok(None);
            }
        }
        Ok(Some(manifest))
    }

    /// The good results of a task that are known, in force or kept, the newest first.
    pub fn results(&self, stage: &str, source: Option<&str>) -> Result<Vec<Manifest>, StoreError> {
        let task = task_name(stage, source);
        let mut results: Vec<Manifest> = self
            .manifest(stage, source)?
            .good()
            .iter()
            .map(|manifest| manifest.as_ref().clone())
            .collect();
        for path in list(&self.layout().results_dir().join(&task))? {
            let bytes = atomic::read_if_there(&path)?.unwrap_or_default();
            // One that cannot be read is as good as none.
            let Ok(manifest) = Manifest::from_json(&bytes, &path) else { continue };
            let is_known = results.iter().any(|known| known.run.id == manifest.run.id);
            if manifest.task() == task && manifest.status == Status::Success && !is_known {
                results.push(manifest);
            }
        }
        results.sort_by(|a, b| b.run.id.cmp(&a.run.id));
        Ok(results)
    }

    /// Are the objects that a result publishes what they should be? Each is hashed, whatever the memo
    /// says: what comes back is read by others, and a disk may forget without a trace in `stat`.
    pub fn is_intact(&self, manifest: &Manifest) -> Result<bool, StoreError> {
        for output in manifest.outputs.iter().filter(|output| output.published) {
            if Digest::of_file(&self.layout().object(&output.sha256), self.stop())?.0
                != output.sha256
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes a kept result the truth again.
    pub fn restore(&self, lock: Lock, manifest: &Manifest) -> Result<(), StoreError> {
        fault::point("restore")?;
        self.seal(lock, manifest, &[])
    }

    /// Puts words in place of a manifest, so that its task runs again and says why. What it published
    /// stays until then.
    pub(super) fn set_aside(
        &self,
        lock: &Lock,
        stage: &str,
        source: Option<&str>,
        why: &str,
    ) -> Result<(), StoreError> {
        let path = self.layout().manifest(stage, source);
        let json = set_aside_json(why);
        fault::point("set_aside")?;
        atomic::write(&path, json.as_bytes(), lock.owner(), atomic::parent(&path)?)?;
        Ok(())
    }

    /// Is there anything left of a failed attempt?
    pub fn has_failure(&self, stage: &str, source: Option<&str>) -> bool {
        self.layout().failed_files(stage, source).iter().any(|path| path.symlink_metadata().is_ok())
    }

    /// Removes what a failed attempt left: the result before it is good after all.
    pub fn forget_failure(
        &self,
        _lock: &Lock,
        stage: &str,
        source: Option<&str>,
    ) -> Result<(), StoreError> {
        // Not one of a newer mp.
        self.failed_manifest(stage, source)?;
        for path in self.layout().failed_files(stage, source) {
            atomic::remove_if_there(&path)?;
        }
        Ok(())
    }

    /// Takes the outputs into the store and writes the manifest's text, nothing visible yet.
    fn bring_in(
        &self,
        lock: &Lock,
        outcome: Outcome,
        status: Status,
    ) -> Result<(Manifest, Vec<Place>), StoreError> {
        debug_assert_eq!(outcome.error.is_some(), status == Status::Failed);
        // Only a commit's own lock may be used for it: two tasks must not share temporary names.
        debug_assert_eq!(
            lock.path(),
            self.layout().lock_file(&outcome.stage, outcome.source.as_deref())
        );
        let mut outputs = Vec::with_capacity(outcome.outputs.len());
        for output in outcome.outputs {
            outputs.push(self.take_in(output)?);
        }
        let Outcome {
            stage, source, ingredients, remove, counts, extra, warnings, error, run, ..
        } = outcome;
        let fingerprint = ingredients.fingerprint(&stage, source.as_deref());
        let manifest = Manifest {
            manifest_version: MANIFEST_VERSION,
            stage,
            source,
            status,
            fingerprint,
            ingredients,
            outputs,
            counts,
            extra: Extra::new(&extra),
            warnings,
            error,
            run: RunFacts { airflow: self.airflow.clone(), ..run },
        };
        Ok((manifest, remove))
    }

    fn take_in(&self, output: NewOutput) -> Result<Output, StoreError> {
        let NewOutput { content, publish, mode, rows, schema } = output;
        let (sha256, bytes) = match content {
            Content::New(object) => {
                let bytes = object.bytes();
                (self.put(object)?, bytes)
            }
            Content::Kept { digest, bytes } => {
                if !self.contains(&digest) {
                    return Err(StoreError::Object { path: self.layout().object(&digest) });
                }
                (digest, bytes)
            }
        };
        let published = publish.is_some();
        let place = publish.unwrap_or_else(|| Place::object(&sha256));
        Ok(Output { place, published, sha256, bytes, rows, schema, mode })
    }

    /// The outputs that are to be visible, each beside its name.
    fn prepare_names(&self, lock: &Lock, manifest: &Manifest) -> Result<Vec<Prepared>, StoreError> {
        let published = manifest.outputs.iter().filter(|output| output.published);
        let prepare = |output: &Output| {
            let target = self.layout().path(&output.place);
            self.prepare(output.sha256, target, output.mode, lock.owner())
        };
        published.map(prepare).collect()
    }

    /// Gives the outputs of a result their names and takes names away.
    fn show(
        &self,
        names: Vec<Prepared>,
        manifest: &Manifest,
        remove: &[Place],
    ) -> Result<(), StoreError> {
        for name in names {
            self.appear(name)?;
        }
        for place in remove.iter().filter(|place| manifest.published(place).is_none()) {
            atomic::remove_if_there(&self.layout().path(place))?;
        }
        Ok(())
    }

    /// The record that keeps the objects, then all that takes room, then the names, the end of the
    /// failed attempt and the manifest.
    fn seal(&self, lock: Lock, manifest: &Manifest, remove: &[Place]) -> Result<(), StoreError> {
        let (stage, source) = (manifest.stage.as_str(), manifest.source.as_deref());
        let previous = self.manifest(stage, source)?.good();
        self.failed_manifest(stage, source)?;
        let gone = previous.iter().flat_map(|previous| &previous.outputs);
        let gone = gone.filter(|output| output.published).map(|output| output.place.clone());
        let remove: Vec<Place> = remove.iter().cloned().chain(gone).collect();
        self.note_home(lock.owner())?;
        let json = manifest.to_json();
        let record = self.result_path(&manifest.task(), &manifest.fingerprint);
        // A newer mp has kept its own result of the same ingredients; the manifest keeps this one.
        if !is_newer(&record)? {
            atomic::write(&record, json.as_bytes(), lock.owner(), &self.layout().tmp_dir())?;
        }
        let names = self.prepare_names(&lock, manifest)?;
        let path = self.layout().manifest(stage, source);
        let folder = atomic::parent(&path)?;
        let truth = Written::new(&path, json.as_bytes(), lock.owner(), folder)?;
        fault::point("commit.prepared")?;
        let shown = self.show(names, manifest, &remove).and_then(|()| {
            self.forget_failure(&lock, stage, source)?;
            fault::point("commit.manifest")?;
            Ok(truth.appear()?)
        });
        if let Err(error) = shown {
            self.put_back(&lock, manifest, previous.as_deref());
            return Err(error);
        }
        Ok(atomic::sync_dir(folder)?)
    }

    /// A commit was refused in its middle: its names become again those of the last result, as far as
    /// that can be had.
    fn put_back(&self, lock: &Lock, refused: &Manifest, previous: Option<&Manifest>) {
        for output in refused.outputs.iter().filter(|output| output.published) {
            if previous.is_none_or(|previous| previous.published(&output.place).is_none()) {
                // What stays is replaced by the next run of the task.
                let _ = atomic::remove_if_there(&self.layout().path(&output.place));
            }
        }
        let published = previous.iter().flat_map(|previous| &previous.outputs);
        for output in published.filter(|output| output.published) {
            let target = self.layout().path(&output.place);
            // What keeps it from being put back makes the next run do the task again.
            let _ = self.publish(output.sha256, &target, output.mode, lock.owner());
        }
    }

    fn result_path(&self, task: &str, fingerprint: &Digest) -> std::path::PathBuf {
        self.layout().results_dir().join(task).join(format!("{fingerprint}.json"))
    }
}

fn is_newer(record: &Path) -> Result<bool, StoreError> {
    let bytes = atomic::read_if_there(record)?.unwrap_or_default();
    Ok(matches!(Manifest::from_json(&bytes, record), Err(ManifestError::Newer(_))))
}
