//! The scheduler: which tasks are not up to date and why, and running them in order, side by side.
//!
//! `reason` the difference of two lists of ingredients, `freshness` one task against the disk, `outlook` all
//! of them one after the other, `plan` what comes of it, `explain` one of them in full, `board` who may go
//! next, `turn` one task from lock to commit, `limit` for how long, `tries` how often, `remembered` what need
//! not be tried, `run` all of it. Knows tasks and digests; takes the stages through
//! [`crate::task::Runner`] and knows no data.

mod board;
mod explain;
mod freshness;
mod limit;
mod outlook;
mod plan;
mod reason;
mod remembered;
mod run;
#[cfg(test)]
mod tests;
mod tries;
mod turn;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use explain::{Cached, Explanation, Then};
pub use plan::{Plan, PlannedTask, Verdict};
pub use reason::{Ingredient, IngredientKind, Reason};
pub use run::{RunSummary, TaskResult, TaskState};
pub use tries::TriesAsked;

use crate::dag::{Graph, TaskId};
use crate::progress::EventSink;
use crate::store::Store;
use crate::task::Runner;

/// How to go about it; nothing here changes what a task computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many tasks may run at the same time.
    pub jobs: usize,
    /// Compute the selected tasks, up to date or not.
    pub force: bool,
    /// Go on with upstream results that are not up to date, if there are any.
    pub allow_stale: bool,
    /// Restore a kept result of the same ingredients instead of computing it.
    pub cache: bool,
    /// How long to wait for the lock of a task.
    pub lock_timeout: Duration,
    /// After a failure go on with all that does not need what failed.
    pub keep_going: bool,
    /// In place of what the graph says.
    pub tries: TriesAsked,
}

/// All that a plan or a run needs.
pub struct Scheduler<'a> {
    pub graph: &'a Graph,
    pub store: &'a Store,
    pub runner: &'a dyn Runner,
    /// The tasks that may run; all else is only looked at.
    pub selection: &'a BTreeSet<TaskId>,
    pub options: &'a Options,
    pub events: &'a dyn EventSink,
    /// Set from outside when the run is to stop.
    pub cancel: &'a AtomicBool,
}
