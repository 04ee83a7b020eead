//! A whole run: workers take tasks from the board until it is empty, then the store is tidied.
//!
//! Knows the order of things and the summary; the tries of a single task are in `tries.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Scheduler;
use super::board::{Board, Leaves};
use super::plan::Plan;
use super::reason::Reason;
use crate::dag::TaskId;
use crate::exit_code::ExitCode;
use crate::progress::Event;
use crate::store::{
    Digest, InUse, Ingredients, MadeBy, Manifest, Output, Stopwatch, StoreError, Wait,
};
use crate::task::Failure;

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    UpToDate,
    Done,
    Failed,
    /// A task upstream did not end well, or is not selected and not up to date.
    Blocked,
    /// Another task failed before it could begin; it does not need that one.
    NotBegun,
    /// The run was stopped before it was done.
    Cancelled,
}

/// One task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    pub task: TaskId,
    pub state: TaskState,
    /// Its result was still kept and was not computed again.
    pub restored: bool,
    /// The run whose result came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<MadeBy>,
    /// Why it ran.
    pub reasons: Vec<Reason>,
    pub seconds: f64,
    /// Seconds of all its threads by kind of work, if it was computed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<TaskId>,
    /// How often it was tried again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// Why the first try failed, if there was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// The run whose failure was told again, if it was not computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered: Option<String>,
    /// Of its result, new or up to date; of the failed attempt as far as it came.
    pub counts: Map<String, Value>,
    pub outputs: Vec<Output>,
    pub warnings: Vec<String>,
    /// For the record of the run.
    #[serde(skip)]
    pub made_of: Option<MadeOf>,
}

/// What a result or a failed attempt was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeOf {
    pub fingerprint: Digest,
    pub ingredients: Ingredients,
    /// The run that computed it.
    pub made_by: String,
}

impl TaskResult {
    pub(super) fn new(task: TaskId, state: TaskState) -> TaskResult {
        TaskResult {
            task,
            state,
            restored: false,
            restored_from: None,
            reasons: Vec::new(),
            seconds: 0.0,
            phases: BTreeMap::new(),
            error: None,
            blocked_by: None,
            retries: 0,
            first_error: None,
            remembered: None,
            counts: Map::new(),
            outputs: Vec::new(),
            warnings: Vec::new(),
            made_of: None,
        }
    }

    /// Takes over what the manifest of its result says.
    pub(super) fn tell(&mut self, manifest: &Manifest) {
        self.counts.clone_from(&manifest.counts);
        self.outputs.clone_from(&manifest.outputs);
        self.warnings.clone_from(&manifest.warnings);
        let Manifest { fingerprint, ingredients, run, .. } = manifest;
        let (ingredients, made_by) = (ingredients.clone(), run.id.clone());
        self.made_of = Some(MadeOf { fingerprint: *fingerprint, ingredients, made_by });
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What became of a run, its tasks in the order of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub run_id: String,
    pub tasks: Vec<TaskResult>,
    pub seconds: f64,
    /// The worst of all failures; `Interrupted` if the run was stopped, by whatever signal.
    pub exit: ExitCode,
}

impl RunSummary {
    /// How many tasks ended so.
    pub fn count(&self, state: TaskState) -> usize {
        self.tasks.iter().filter(|task| task.state == state).count()
    }

    /// Was there nothing to do?
    pub fn is_up_to_date(&self) -> bool {
        self.count(TaskState::UpToDate) == self.tasks.len()
    }
}

/// What the turns of one run share.
pub(super) struct Run {
    pub id: String,
    total: usize,
    /// In the order in which they began.
    started: Mutex<Vec<TaskId>>,
    /// A task failed, and nothing more is to begin.
    ending: AtomicBool,
    committed: AtomicBool,
    in_use: Mutex<Option<InUse>>,
    /// The results that this run found up to date or made, by fingerprint.
    settled: Mutex<BTreeMap<TaskId, Digest>>,
}

impl Run {
    /// Tells that a task begins.
    pub(super) fn tell_started(&self, scheduler: &Scheduler<'_>, task: &TaskId, why: &[Reason]) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let index = started.iter().position(|known| known == task).unwrap_or_else(|| {
            started.push(task.clone());
            started.len() - 1
        }) + 1;
        drop(started);
        let reasons: Vec<String> = why.iter().map(Reason::to_string).collect();
        let (task, total) = (task.as_str(), self.total);
        scheduler.events.event(&Event::Started { task, index, total, reasons: &reasons });
    }

    /// Is nothing more to begin, since a task failed?
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// From now on nobody removes anything from the store. A run with nothing to do never asks. Tasks
    /// that begin together wait together.
    pub(super) fn hold(&self, scheduler: &Scheduler<'_>, task: &TaskId) -> Result<(), StoreError> {
        let Scheduler { store, options, events, cancel, .. } = *scheduler;
        let began = Instant::now();
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if in_use.is_none() {
            let timeout = options.lock_timeout.saturating_sub(began.elapsed());
            let task = task.as_str();
            let on_wait = |holder: &str| events.event(&Event::Waiting { task, holder });
            *in_use = Some(store.in_use(&Wait { timeout, cancel, on_wait: &on_wait })?);
        }
        Ok(())
    }

    /// There is a new result, and so perhaps an old one to remove.
    pub(super) fn committed(&self) {
        self.committed.store(true, Ordering::Relaxed);
    }

    /// From now on this is the result of the task, as far as this run goes.
    pub(super) fn settle(&self, task: &TaskId, fingerprint: Digest) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.insert(task.clone(), fingerprint);
    }

    /// Is there another result of a task than the one that this run found or made? Two runs with
    /// other settings or another as_of may share their folders.
    pub(super) fn is_replaced(&self, task: &TaskId, found: &Manifest) -> bool {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.get(task).is_some_and(|fingerprint| *fingerprint != found.fingerprint)
    }

    /// Gives the store back and tidies it. What goes wrong here fails no task.
    fn tidy(self, scheduler: &Scheduler<'_>) {
        let warn = |what: &str, error: StoreError| {
            let text = format!("{what}: {error}");
            scheduler.events.event(&Event::Warning { task: "store", text: &text });
        };
        drop(self.in_use);
        // Whoever stops a run does not want to wait for what the next one may do as well.
        let stopped = scheduler.cancel.load(Ordering::Relaxed);
        if self.committed.into_inner()
            && !stopped
            && let Err(error) = scheduler.store.prune()
        {
            warn("old results could not be removed", error);
        }
        if let Err(error) = scheduler.sweep_up() {
            warn("what a killed run left could not be removed", error);
        }
        if let Err(error) = scheduler.store.memo().save() {
            warn("the memo of file facts could not be saved", error);
        }
    }
}

/// The board and what came of it so far.
struct Desk {
    board: Board,
    results: Vec<TaskResult>,
}

struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheduler<'_> {
    /// Runs what is selected and not up to date.
    #[cfg(test)]
    pub fn run(&self) -> RunSummary {
        self.run_as(crate::store::new_run_id())
    }

    /// Runs what is selected and not up to date, under that id.
    pub fn run_as(&self, id: String) -> RunSummary {
        let watch = Stopwatch::start(&id);
        let plan = self.plan();
        let planned = plan.will_or_may_run();
        let total = plan.tasks.len();
        self.events.event(&Event::PlanReady { total, to_run: planned.len() });
        let run = Run {
            id,
            total,
            started: Mutex::default(),
            ending: AtomicBool::new(false),
            committed: AtomicBool::new(false),
            in_use: Mutex::new(None),
            settled: Mutex::default(),
        };
        let board = Board::new(self.graph, self.selection);
        let desk = Mutex::new(Desk { board, results: Vec::new() });
        let shared = Shared { desk, changed: Condvar::new() };
        thread::scope(|scope| {
            for _ in 0..self.options.jobs.clamp(1, total.max(1)) {
                scope.spawn(|| self.work(&run, &plan, &planned, &shared));
            }
        });
        let run_id = run.id.clone();
        run.tidy(self);
        let mut desk = shared.desk.into_inner().unwrap_or_else(PoisonError::into_inner);
        let waiting = desk.board.clear();
        for task in self.graph.tasks().iter().filter(|task| waiting.contains(task)) {
            self.events.event(&Event::NotBegun { task: task.as_str() });
            desk.results.push(TaskResult::new(task.clone(), TaskState::NotBegun));
        }
        let mut tasks = desk.results;
        let place = |task: &TaskId| self.graph.tasks().iter().position(|other| other == task);
        tasks.sort_by_key(|result| place(&result.task));
        let exit = exit(&tasks);
        let summary = RunSummary { run_id, tasks, seconds: watch.seconds(), exit };
        self.events.event(&Event::AllDone {
            done: summary.count(TaskState::Done),
            up_to_date: summary.count(TaskState::UpToDate),
            failed: summary.count(TaskState::Failed),
            blocked: summary.count(TaskState::Blocked),
            not_begun: summary.count(TaskState::NotBegun),
            stopped: summary.count(TaskState::Cancelled),
            seconds: summary.seconds,
        });
        summary
    }

    /// Removes what killed runs left, of whatever task: whoever takes a lock does so.
    fn sweep_up(&self) -> Result<(), StoreError> {
        if self.store.has_leftovers()? {
            for task in self.graph.tasks() {
                let (stage, source) = (task.stage(), task.source());
                // A holder is alive, and what is there is its own.
                let _ = self.store.lock(stage, source, Duration::ZERO, self.cancel, &mut |_| {});
            }
        }
        Ok(())
    }

    /// One worker: takes the next task until there is none.
    fn work(&self, run: &Run, plan: &Plan, planned: &BTreeSet<TaskId>, shared: &Shared) {
        let mut desk = shared.desk();
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                for task in desk.board.clear() {
                    self.events.event(&Event::Cancelled { task: task.as_str() });
                    desk.results.push(TaskResult::new(task, TaskState::Cancelled));
                }
            }
            if let Some(task) = desk.board.next() {
                let beside = desk.board.concurrency(self.graph, &task, planned);
                drop(desk);
                let concurrency = beside.min(self.options.jobs.max(1));
                let result = self.try_task(run, plan, &task, concurrency);
                desk = shared.desk();
                self.leave(run, &mut desk, result);
                shared.changed.notify_all();
            } else if desk.board.is_over() {
                return;
            } else {
                desk = shared.changed.wait(desk).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn leave(&self, run: &Run, desk: &mut Desk, result: TaskResult) {
        let by = result.task.clone();
        if result.state == TaskState::Failed && !self.options.keep_going {
            run.ending.store(true, Ordering::Relaxed);
        }
        let (how, state) = match result.state {
            TaskState::UpToDate | TaskState::Done => (Leaves::Well, TaskState::Blocked),
            TaskState::Cancelled => (Leaves::Badly, TaskState::Cancelled),
            TaskState::NotBegun => (Leaves::Unbegun, TaskState::NotBegun),
            TaskState::Failed | TaskState::Blocked => (Leaves::Badly, TaskState::Blocked),
        };
        desk.results.push(result);
        for task in desk.board.left(self.graph, &by, how) {
            let mut result = TaskResult::new(task, state);
            let task = result.task.as_str();
            if state == TaskState::Cancelled {
                self.events.event(&Event::Cancelled { task });
            } else {
                self.events.event(&Event::Blocked { task, by: by.as_str() });
                result.blocked_by = Some(by.clone());
            }
            desk.results.push(result);
        }
    }
}

fn exit(tasks: &[TaskResult]) -> ExitCode {
    ExitCode::worst(tasks.iter().filter_map(|task| match task.state {
        TaskState::Cancelled => Some(ExitCode::Interrupted),
        TaskState::Failed | TaskState::Blocked => task.error.as_ref().map(|error| error.exit),
        TaskState::UpToDate | TaskState::Done | TaskState::NotBegun => None,
    }))
}
