//! The record of a run: what was asked for, with which settings, what became of each task, and the
//! facts by which two runs are compared.
//!
//! A pure value with its JSON form. It holds what manifests hold, so neither raw lines nor user ids.
//! Does not know where it lies.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::digest::Digest;
use super::error::StoreError;
use super::manifest::{ErrorFact, Ingredients, ManifestError, Output};

/// The version written, and the newest that can be read.
pub const RECORD_VERSION: u32 = 1;

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// A task has begun.
    Running,
    /// It has said how it ended.
    Ended,
    /// It never said so, and its process is gone. Found out by whoever reads, never written.
    Killed,
}

/// What a run was to do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asked {
    /// `run`, `extract`, `retry` …
    pub command: String,
    /// As they were typed; none means all tasks.
    pub selectors: Vec<String>,
    /// The tasks that they select, in the order of their names.
    pub tasks: Vec<String>,
    pub force: bool,
    pub allow_stale: bool,
    /// The run whose tasks it took up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
}

/// One key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingFact {
    pub value: Value,
    /// `config/params.yaml:3`, `env MP_JOBS`, `--set`; `None`: built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEnd {
    UpToDate,
    /// Computed.
    Done,
    /// A kept result was put back.
    Restored,
    Failed,
    /// A task that it needs did not end well, or was not part of the run and not up to date.
    Blocked,
    /// Never begun, because a task failed that it does not need.
    NotBegun,
    /// Stopped, or never begun because the run was stopped.
    Cancelled,
}

impl TaskEnd {
    /// Is there a good result?
    pub const fn is_good(self) -> bool {
        matches!(self, TaskEnd::UpToDate | TaskEnd::Done | TaskEnd::Restored)
    }
}

/// One task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// `extract.prints`, `features`.
    pub task: String,
    pub end: TaskEnd,
    /// Why it ran, in words; the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// How many more there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_reasons: usize,
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// The run that computed the result, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// Of the ingredients below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
    /// What the result or the failed attempt was made of, if it came so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingredients: Option<Ingredients>,
    /// Where the inputs are kept if they are too many: they are not among the ingredients then. Still
    /// there after reading if that list is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_in: Option<Digest>,
    /// The published files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub counts: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How often it was tried again.
    #[serde(default, skip_serializing_if = "is_no_retry")]
    pub retries: u32,
    /// Why the first try failed, if there was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_no_retry(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One run that did something or tried to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub record_version: u32,
    /// The id of the run; so is the file called.
    pub run: String,
    pub status: RunStatus,
    pub asked: Asked,
    /// The logical time as an instant.
    pub as_of: String,
    /// The same as it was given.
    pub as_of_given: String,
    pub mp_version: String,
    pub host: String,
    pub pid: u32,
    /// RFC 3339, like all wall-clock times.
    pub started_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// Which dag, task, run and try of Airflow it was, if any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub airflow: BTreeMap<String, String>,
    /// Where its artifacts lie, below the project folder where they lie there, `{as_of}` filled in.
    pub folders: BTreeMap<String, String>,
    /// The whole configuration by key.
    pub settings: BTreeMap<String, SettingFact>,
    /// In the order of the graph; none of a run that has not ended.
    #[serde(default)]
    pub tasks: Vec<TaskRecord>,
}

impl RunRecord {
    /// The task of that name.
    pub fn task(&self, name: &str) -> Option<&TaskRecord> {
        self.tasks.iter().find(|task| task.task == name)
    }

    /// How many tasks ended so.
    pub fn count(&self, end: TaskEnd) -> usize {
        self.tasks.iter().filter(|task| task.end == end).count()
    }

    /// Reads a record; `path` only names it in errors.
    pub(super) fn from_json(bytes: &[u8], path: &Path) -> Result<RunRecord, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            record_version: u64,
        }
        let unreadable = |error: serde_json::Error| ManifestError::Unreadable(error.to_string());
        let version: Version = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version.record_version > u64::from(RECORD_VERSION) {
            return Err(ManifestError::Newer(StoreError::Newer {
                path: path.to_owned(),
                what: "run record",
                found: version.record_version,
                known: RECORD_VERSION,
            }));
        }
        let record: RunRecord = serde_json::from_slice(bytes).map_err(unreadable)?;
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if record.run != name {
            let text = format!("it is of the run `{}`", record.run);
            return Err(ManifestError::Unreadable(text));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As each version writes it, but for the spaces; stays as it is for as long as that version must
    /// be read.
    const VERSIONS: [&str; RECORD_VERSION as usize] =
        [include_str!("../../tests/versions/run.1.json")];

    fn read(text: &str) -> Result<RunRecord, ManifestError> {
        RunRecord::from_json(text.as_bytes(), Path::new("20201201T000000.000000Z-1.json"))
    }

    #[test]
    fn every_version_is_read_and_the_newest_written_whole() {
        let records = VERSIONS.map(|text| read(text).unwrap());
        let (record, text) = (&records[records.len() - 1], VERSIONS[VERSIONS.len() - 1]);
        let want: Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(record).unwrap(), want);
        assert_eq!(record.count(TaskEnd::Failed), 1);
        assert!(record.task("preprocess.taps").is_some_and(|task| task.end.is_good()));
    }

    #[test]
    fn torn_or_foreign_is_unreadable_and_newer_is_not_taken_for_damage() {
        let text = VERSIONS[0];
        let other = text.replace("20201201T000000.000000Z-1", "another");
        for text in ["", "{}", "null", &text[..text.len() / 2], &other] {
            assert!(matches!(read(text), Err(ManifestError::Unreadable(_))), "{text}");
        }
        let newer = r#"{"record_version": 2, "all": "is different"}"#;
        let Err(ManifestError::Newer(error)) = read(newer) else { panic!("taken for damage") };
        assert!(error.to_string().contains("has run record version 2"), "{error}");
    }
}
