//! What a run tells whoever listens: events of the scheduler, progress of a stage.
//!
//! Plain words and numbers, so that a stage can speak without knowing the scheduler and a listener can
//! print without knowing either. Does not know terminals or logs; without a listener a run is silent.

use serde_json::{Map, Value};

use crate::exit_code::ExitCode;

/// What the numbers of [`Progress::advance`] count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Rows,
    Bytes,
    Steps,
}

/// How a running task reports; called from any of its threads.
pub trait Progress: Sync {
    /// The task begins its step `index` (from 1) of `total`.
    fn step(&self, name: &str, index: u32, total: u32);
    /// So much of the current step is done (not: more than before); `total` where it is known.
    fn advance(&self, done: u64, total: Option<u64>, unit: Unit);
    /// Something that the user should know and that fails nothing.
    fn warn(&self, text: &str);
}

/// A listener that hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _name: &str, _index: u32, _total: u32) {}
    fn advance(&self, _done: u64, _total: Option<u64>, _unit: Unit) {}
    fn warn(&self, _text: &str) {}
}

/// What happens in a run, in the order in which it happens; tasks by id (`extract.prints`).
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The plan stands: so many tasks are selected, so many of them will run or may run.
    PlanReady { total: usize, to_run: usize },
    /// A task begins; `index` counts the tasks that began, from 1.
    Started { task: &'a str, index: usize, total: usize, reasons: &'a [String] },
    /// A task has nothing to do.
    UpToDate { task: &'a str },
    /// A task waits for the lock that another process holds.
    Waiting { task: &'a str, holder: &'a str },
    /// A running task begins a step of its own.
    Step { task: &'a str, name: &'a str, index: u32, total: u32 },
    /// A running task got so far within its step.
    Advanced { task: &'a str, done: u64, total: Option<u64>, unit: Unit },
    /// A task warns.
    Warning { task: &'a str, text: &'a str },
    /// A task is done; `restored_from`: its result was still in the store, from that run, and was not
    /// computed again.
    Finished {
        task: &'a str,
        seconds: f64,
        counts: &'a Map<String, Value>,
        restored_from: Option<&'a str>,
    },
    /// A task failed, or was refused because of what it needs, which the exit code tells.
    Failed { task: &'a str, seconds: f64, exit: ExitCode, message: &'a str, hint: Option<&'a str> },
    /// A try of a task failed; the next one, retry `retry` (from 1) of `of`, comes after a while (`5s`).
    Retrying { task: &'a str, message: &'a str, after: &'a str, retry: u32, of: u32 },
    /// A task never began, because another one failed that it does not need.
    NotBegun { task: &'a str },
    /// A task cannot run because of `by`.
    Blocked { task: &'a str, by: &'a str },
    /// A task was stopped, or never began, because the run was stopped.
    Cancelled { task: &'a str },
    /// The run is over.
    AllDone {
        done: usize,
        up_to_date: usize,
        failed: usize,
        blocked: usize,
        not_begun: usize,
        stopped: usize,
        seconds: f64,
    },
}

/// Listens to a run; called from several threads.
pub trait EventSink: Sync {
    /// One event. Must not block for long: the run waits.
    fn event(&self, event: &Event<'_>);
}

impl EventSink for Silent {
    fn event(&self, _event: &Event<'_>) {}
}
