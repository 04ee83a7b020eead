//! What the scheduler and the stages say to each other about one task.
//!
//! A stage implements [`Runner`]: it lists the ingredients of a task and computes it into staged files;
//! when to run, what becomes visible and in which order is the scheduler's. Knows no data, no clock.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::dag::{StageForm, TaskId};
use crate::exit_code::ExitCode;
use crate::progress::Progress;
pub use crate::store::NewOutput;
use crate::store::{Ingredients, Manifest, Owner, Place, Scratch, Staged, Store, StoreError};
use crate::timings::Timings;

/// The last good manifests of the tasks that one needs.
pub type Upstream = BTreeMap<TaskId, Arc<Manifest>>;

/// Computes tasks; one for a whole run, called from several threads.
pub trait Runner: Sync {
    /// The ingredients as they are now. `previous` is the last good manifest, if there is one, `upstream`
    /// those of the tasks it needs.
    fn ingredients(
        &self,
        task: &TaskId,
        previous: Option<&Manifest>,
        upstream: &Upstream,
    ) -> Result<Ingredients, TaskError>;

    /// What of the ingredients is known without a look at any input: the version and the settings.
    fn settings(&self, _task: &TaskId) -> Option<Ingredients> {
        None
    }

    /// Does a task read the unpublished objects of a task that it needs, and not only its facts? If so they
    /// are made again where they are no longer kept.
    fn reads_objects(&self, _task: &TaskId, _need: &TaskId) -> bool {
        true
    }

    /// Computes a task. Nothing becomes visible: what it makes is staged and handed back.
    fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError>;
}

/// What a running task may use.
pub struct TaskContext<'a> {
    /// The task to compute.
    pub task: &'a TaskId,
    /// The store, for its memo, its objects and its per-file results.
    pub store: &'a Store,
    /// Whose temporary files are made.
    pub owner: &'a Owner,
    /// The user wants it computed, not found: `--force`, `--no-cache`.
    pub force: bool,
    /// The last good manifests of the tasks it needs.
    pub upstream: &'a Upstream,
    /// Where to report progress and warnings.
    pub progress: &'a dyn Progress,
    /// Where to count how long what took.
    pub timings: &'a Timings,
    /// Set when the run is to stop soon.
    pub cancel: &'a AtomicBool,
    /// How many tasks may run at the same time, this one included: its share of memory and threads.
    pub concurrency: usize,
}

impl TaskContext<'_> {
    /// A new result file, hashed as it is written.
    pub fn stage(&self, mode: u32) -> Result<Staged, TaskError> {
        Ok(self.store.stage(self.owner, mode)?)
    }

    /// A new scratch file, gone on drop.
    pub fn scratch(&self) -> io::Result<Scratch> {
        self.store.scratch(self.owner)
    }

    /// An error once the run is to stop; to be asked at least once a second.
    pub fn check_cancelled(&self) -> Result<(), TaskError> {
        if self.cancel.load(Ordering::Relaxed) { Err(TaskError::cancelled()) } else { Ok(()) }
    }
}

/// A last look at the inputs, just before the commit.
pub type Verify = Box<dyn FnOnce() -> Result<(), TaskError>>;

/// What a task computed.
#[derive(Default)]
pub struct Product {
    /// As they were really read.
    pub ingredients: Ingredients,
    pub outputs: Vec<NewOutput>,
    /// Published names to remove; those that the last good result had and this one has not go anyway.
    pub remove: Vec<Place>,
    pub counts: Map<String, Value>,
    /// Facts for those that depend on it.
    pub extra: Value,
    pub chunks: Option<u64>,
    pub warnings: Vec<String>,
    /// Are the inputs still what was read? An error keeps the product from being committed.
    pub verify: Option<Verify>,
}

/// Why a task failed, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub exit: ExitCode,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None }
    }
}

/// What a failed task leaves all the same.
#[derive(Debug, Default)]
pub struct Leaves {
    /// As far as they were read.
    pub ingredients: Option<Ingredients>,
    pub counts: Map<String, Value>,
    pub extra: Value,
    pub warnings: Vec<String>,
    /// Published although the task failed: `_rejects/<source>.failed.csv`, the quality report.
    pub outputs: Vec<NewOutput>,
    /// Published names to remove: `_SUCCESS.json`.
    pub remove: Vec<Place>,
}

/// A failed task.
#[derive(Debug)]
pub struct TaskError {
    pub failure: Failure,
    pub leaves: Box<Leaves>,
}

impl TaskError {
    /// A failure that leaves nothing but its own manifest.
    pub fn new(exit: ExitCode, message: impl Into<String>) -> TaskError {
        TaskError { failure: Failure::new(exit, message), leaves: Box::default() }
    }

    /// The same with what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> TaskError {
        self.failure.hint = Some(hint.into());
        self
    }

    /// The run is to stop.
    pub fn cancelled() -> TaskError {
        TaskError::new(ExitCode::Interrupted, "stopped before it was done")
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for TaskError {}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> TaskError {
        let mut task_error = TaskError::new(error.exit_code(), error.to_string());
        task_error.failure.hint = error.hint();
        task_error
    }
}

/// For files of the store: staged, scratch, objects. Errors of raw files are the stage's to word.
impl From<io::Error> for TaskError {
    fn from(error: io::Error) -> TaskError {
        StoreError::from(error).into()
    }
}
