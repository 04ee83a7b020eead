//! One task's turn: look, lock, look again, run, check, commit.
//!
//! The second look is under the lock: another process may have done the work meanwhile. A failure
//! is noted beside the last good result, which stays. Does not know the other tasks' turns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Scheduler;
use super::freshness::Look;
use super::limit::within;
use super::plan::Plan;
use super::reason::Reason;
use super::remembered::Remembered;
use super::run::{MadeOf, Run, TaskResult, TaskState};
use crate::dag::{TaskId, time_text};
use crate::exit_code::ExitCode;
use crate::fault;
use crate::progress::{Event, EventSink, Progress, Unit};
use crate::store::{Digest, ErrorFact, Lock, Manifest, Outcome, Stopwatch};
use crate::task::{Leaves, Product, TaskContext, TaskError};
use crate::timings::Timings;

/// How a turn ended but for an error.
enum Ended {
    UpToDate(Arc<Manifest>),
    Restored(Arc<Manifest>),
    Done(Arc<Manifest>),
    /// It would fail as it did before.
    Remembered(Box<Remembered>),
    /// The run ends before it could begin.
    NotBegun,
}

/// A task's turn and what is known of it so far.
pub(super) struct Turn<'a> {
    pub scheduler: &'a Scheduler<'a>,
    pub run: &'a Run,
    pub plan: &'a Plan,
    pub task: &'a TaskId,
    pub concurrency: usize,
    timeout: Option<Duration>,
    /// It was begun before: that the run ends is not for it.
    is_retry: bool,
    watch: Stopwatch,
    reasons: Vec<Reason>,
    timings: Timings,
    /// The results that it looked at upstream, by fingerprint.
    upstream: Vec<(TaskId, Digest)>,
    /// What the task said while it ran.
    warnings: Mutex<Vec<String>>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        scheduler: &'a Scheduler<'a>,
        run: &'a Run,
        plan: &'a Plan,
        task: &'a TaskId,
        concurrency: usize,
        timeout: Option<Duration>,
    ) -> Turn<'a> {
        let watch = Stopwatch::start(&run.id);
        let (reasons, upstream, warnings) = (Vec::new(), Vec::new(), Mutex::default());
        let timings = Timings::default();
        Turn {
            scheduler,
            run,
            plan,
            task,
            concurrency,
            timeout,
            is_retry: false,
            watch,
            reasons,
            timings,
            upstream,
            warnings,
        }
    }

    /// The turn of a task that had one in this run.
    pub(super) fn again(self) -> Turn<'a> {
        Turn { is_retry: true, ..self }
    }

    /// Takes the turn, whatever comes. A failure is not told yet: there may be another try.
    pub(super) fn take(mut self) -> TaskResult {
        let task = self.task;
        // `ingredients` may panic as well as `run`, and a worker that dies would leave the others waiting.
        let ended = caught(task, || self.try_take()).map_err(|error| self.or_stopped(error));
        if matches!(ended, Ok(Ended::UpToDate(_) | Ended::Restored(_) | Ended::Done(_))) {
            self.let_go();
        }
        let mut result = TaskResult::new(self.task.clone(), TaskState::Failed);
        result.seconds = self.watch.seconds();
        result.reasons = self.reasons;
        result.phases = self.timings.seconds();
        let (task, events, seconds) = (self.task.as_str(), self.scheduler.events, result.seconds);
        let (manifest, is_restored) = match ended {
            Ok(Ended::UpToDate(manifest)) => {
                self.run.settle(self.task, manifest.fingerprint);
                events.event(&Event::UpToDate { task });
                result.state = TaskState::UpToDate;
                result.reasons = Vec::new();
                result.tell(&manifest);
                return result;
            }
            Err(error) if error.failure.exit == ExitCode::Interrupted => {
                events.event(&Event::Cancelled { task });
                result.state = TaskState::Cancelled;
                result.error = Some(error.failure);
                return result;
            }
            Ok(Ended::NotBegun) => {
                events.event(&Event::NotBegun { task });
                result.state = TaskState::NotBegun;
                return result;
            }
            Ok(Ended::Remembered(remembered)) => {
                let Remembered { failure, manifest } = *remembered;
                let outputs = std::mem::take(&mut result.outputs);
                result.tell(&manifest);
                // What a failed attempt left is no result.
                result.outputs = outputs;
                result.remembered = Some(manifest.run.id.clone());
                result.error = Some(failure);
                return result;
            }
            Err(TaskError { failure, leaves }) => {
                if failure.exit == ExitCode::Refused {
                    result.state = TaskState::Blocked;
                }
                let Leaves { ingredients, counts, warnings, .. } = *leaves;
                result.made_of = ingredients.map(|ingredients| {
                    let (stage, source) = self.task.key();
                    let fingerprint = ingredients.fingerprint(stage, source);
                    MadeOf { fingerprint, ingredients, made_by: self.run.id.clone() }
                });
                (result.counts, result.warnings) = (counts, warnings);
                result.error = Some(failure);
                return result;
            }
            Ok(Ended::Restored(manifest)) => (manifest, true),
            Ok(Ended::Done(manifest)) => (manifest, false),
        };
        self.run.settle(self.task, manifest.fingerprint);
        let counts = &manifest.counts;
        let made_by = is_restored.then(|| manifest.made_by());
        let from = made_by.as_ref().map(|made| made.run_id.as_str());
        events.event(&Event::Finished { task, seconds, counts, restored_from: from });
        result.state = TaskState::Done;
        (result.restored, result.restored_from) = (is_restored, made_by);
        result.tell(&manifest);
        result
    }

    fn try_take(&mut self) -> Result<Ended, TaskError> {
        let (scheduler, plan) = (self.scheduler, self.plan);
        fault::point("task.begin")?;
        let fresh = |task: &TaskId| {
            let objects = plan.objects_needed.contains(task);
            scheduler.look(task, objects).map(|look| look.reasons).map_err(|error| error.failure)
        };
        let seen = plan.looks.get(self.task);
        if let Some(failure) = seen.map_or_else(|| scheduler.refusal(self.task, fresh), |_| None) {
            return Err(TaskError { failure, leaves: Box::default() });
        }
        let awaited = plan.awaited.contains(self.task);
        if awaited {
            // What is there now must still be there when its note is written.
            self.run.hold(scheduler, self.task)?;
        }
        if let Ok(look) = seen.map_or_else(|| self.look(), |look| Ok(look.clone())) {
            self.check_settled(&look)?;
            let Look { previous, upstream, reasons, .. } = look;
            self.reasons = reasons;
            if let Some(manifest) = previous.filter(|_| self.reasons.is_empty()) {
                if awaited && !self.is_awaited(manifest.fingerprint)? {
                    self.await_readers(&self.lock()?, manifest.fingerprint)?;
                }
                self.forget_failure()?;
                return Ok(Ended::UpToDate(manifest));
            }
            if let Some(remembered) = scheduler.remembered(self.task, &upstream)? {
                return Ok(Ended::Remembered(Box::new(remembered)));
            }
        }
        if self.run.is_ending() && !self.is_retry {
            return Ok(Ended::NotBegun);
        }
        self.run.hold(scheduler, self.task)?;
        self.run.tell_started(scheduler, self.task, &self.reasons);
        let lock = self.lock()?;
        let look = match self.look() {
            Ok(look) => look,
            Err(error) => return Err(self.fail(lock, None, error)),
        };
        self.check_settled(&look)?;
        if look.reasons.is_empty()
            && let Some(manifest) = look.previous
        {
            return Ok(Ended::UpToDate(manifest));
        }
        self.reasons.clone_from(&look.reasons);
        if let Some(remembered) = scheduler.remembered(self.task, &look.upstream)? {
            return Ok(Ended::Remembered(Box::new(remembered)));
        }
        if let Some(manifest) = scheduler.kept(self.task, &look)?
            && scheduler.store.is_intact(&manifest)?
        {
            if manifest.outputs.iter().any(|output| !output.published) {
                self.await_readers(&lock, manifest.fingerprint)?;
            }
            scheduler.store.restore(lock, &manifest)?;
            self.run.committed();
            return Ok(Ended::Restored(Arc::new(manifest)));
        }
        match self.compute(&lock, &look) {
            Ok(product) => {
                let manifest = self.commit(lock, product)?;
                self.run.committed();
                Ok(Ended::Done(Arc::new(manifest)))
            }
            Err(error) => Err(self.fail(lock, look.ingredients, error)),
        }
    }

    fn look(&mut self) -> Result<Look, TaskError> {
        let objects = self.plan.objects_needed.contains(self.task);
        let mut look = self.scheduler.look(self.task, objects)?;
        let upstream = look.upstream.iter();
        self.upstream = upstream.map(|(need, found)| (need.clone(), found.fingerprint)).collect();
        if self.scheduler.options.force {
            look.reasons.insert(0, Reason::Forced);
        }
        Ok(look)
    }

    fn lock(&self) -> Result<Lock, TaskError> {
        let Scheduler { store, options, events, cancel, .. } = self.scheduler;
        let (stage, source) = (self.task.stage(), self.task.source());
        let mut on_wait =
            |holder: &str| events.event(&Event::Waiting { task: self.task.as_str(), holder });
        store.lock(stage, source, options.lock_timeout, cancel, &mut on_wait).map_err(|error| {
            let mut task_error = TaskError::new(error.exit_code(), error.to_string());
            task_error.failure.hint = error.hint();
            task_error
        })
    }

    /// This result is kept until those that read its objects have, be it in other processes and after
    /// many days of other runs.
    fn await_readers(&self, lock: &Lock, fingerprint: Digest) -> Result<(), TaskError> {
        let scheduler = self.scheduler;
        for reader in scheduler.readers(self.task) {
            let (task, owner) = (self.task.key(), lock.owner());
            scheduler.store.await_reader(task, reader.key(), &fingerprint, owner)?;
        }
        Ok(())
    }

    fn is_awaited(&self, fingerprint: Digest) -> Result<bool, TaskError> {
        for reader in self.scheduler.readers(self.task) {
            let store = self.scheduler.store;
            if !store.is_awaited(self.task.key(), reader.key(), &fingerprint)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What this task has read, or need not read, nobody keeps for it any longer.
    fn let_go(&self) {
        let Scheduler { store, runner, .. } = self.scheduler;
        for (need, fingerprint) in &self.upstream {
            if runner.reads_objects(self.task, need) {
                // A note that cannot be removed goes with age.
                let _ = store.has_read(need.key(), self.task.key(), fingerprint);
            }
        }
    }

    /// An attempt that failed is over once its input is again what the good result was made of.
    fn forget_failure(&self) -> Result<(), TaskError> {
        let (store, stage, source) = (self.scheduler.store, self.task.stage(), self.task.source());
        if store.has_failure(stage, source) {
            store.forget_failure(&self.lock()?, stage, source)?;
        }
        Ok(())
    }

    fn compute(&self, lock: &Lock, look: &Look) -> Result<Product, TaskError> {
        let scheduler = self.scheduler;
        let needs = scheduler.graph.needs(self.task);
        if let Some(need) = needs.iter().find(|need| !look.upstream.contains_key(need)) {
            let text = format!("`{}` needs `{need}`, which has no result", self.task);
            let hint = format!("run `mp run +{}`", self.task);
            return Err(TaskError::new(ExitCode::Refused, text).hint(hint));
        }
        self.check_read(look)?;
        let (product, late) = within(self.timeout, scheduler.cancel, |cancel| {
            let context = TaskContext {
                task: self.task,
                store: scheduler.store,
                owner: lock.owner(),
                force: scheduler.options.force || !scheduler.options.cache,
                upstream: &look.upstream,
                progress: self,
                timings: &self.timings,
                cancel,
                concurrency: self.concurrency,
            };
            caught(self.task, || scheduler.runner.run(&context))
        });
        let mut product = product.map_err(|error| match late {
            true => self.or_late(error),
            // What was read may not be what was to be read.
            false if error.failure.exit == ExitCode::Failure => {
                self.check_upstream(look).err().unwrap_or(error)
            }
            false => error,
        })?;
        fault::point("task.computed")?;
        if let Some(verify) = product.verify.take() {
            verify()?;
        }
        self.check_upstream(look)?;
        Ok(product)
    }

    /// Once the run is to stop, that is why a task ended, whatever it says; not what it says of the data.
    fn or_stopped(&self, error: TaskError) -> TaskError {
        let stopped = self.scheduler.cancel.load(Ordering::Relaxed);
        if stopped && error.failure.exit.is_retryable() { TaskError::cancelled() } else { error }
    }

    /// The same once its time is up.
    fn or_late(&self, error: TaskError) -> TaskError {
        let Some(timeout) = self.timeout.filter(|_| error.failure.exit.is_retryable()) else {
            return error;
        };
        let (task, timeout) = (self.task, time_text(timeout));
        let text = format!("`{task}` was stopped: it took longer than its `timeout` of {timeout}");
        let hint = "give it more time: `timeout` of its stage in `dags/carousel.yaml`, or \
                    `--task-timeout`";
        TaskError::new(ExitCode::Failure, text).hint(hint)
    }

    /// What is about to be read must be what its manifest says: another process may have removed objects
    /// before this one held the store, or a user edited a file.
    fn check_read(&self, look: &Look) -> Result<(), TaskError> {
        for (need, manifest) in &look.upstream {
            let objects = self.scheduler.runner.reads_objects(self.task, need);
            if let Some(reason) = self.scheduler.outputs(manifest, objects)?.first() {
                let text = format!("`{}` cannot read the result of `{need}`: {reason}", self.task);
                return Err(TaskError::new(ExitCode::Temporary, text).hint("run again"));
            }
        }
        Ok(())
    }

    /// What this task is about to read must be what this run found or made, not what another one put in
    /// its place since.
    fn check_settled(&self, look: &Look) -> Result<(), TaskError> {
        match look.upstream.iter().find(|(need, found)| self.run.is_replaced(need, found)) {
            None => Ok(()),
            Some((need, _)) => {
                let text = format!("another run replaced the result of `{need}`");
                let hint = "run again; runs for different days or settings want folders of their own \
                            (`{as_of}` in data_paths)";
                Err(TaskError::new(ExitCode::Temporary, text).hint(hint))
            }
        }
    }

    /// Another process may have committed an upstream result while this task read the old one.
    fn check_upstream(&self, look: &Look) -> Result<(), TaskError> {
        for (need, before) in &look.upstream {
            let now = self.scheduler.store.manifest(need.stage(), need.source())?.good();
            let same = now.is_some_and(|now| {
                now.fingerprint == before.fingerprint && now.outputs == before.outputs
            });
            if !same {
                let text = format!("`{need}` changed while `{}` was reading its result", self.task);
                return Err(TaskError::new(ExitCode::Temporary, text).hint("run again"));
            }
        }
        Ok(())
    }

    fn commit(&self, lock: Lock, product: Product) -> Result<Manifest, TaskError> {
        let Product { ingredients, outputs, remove, counts, extra, chunks, warnings, .. } = product;
        if outputs.iter().any(|output| output.publish.is_none()) {
            let (stage, source) = self.task.key();
            self.await_readers(&lock, ingredients.fingerprint(stage, source))?;
        }
        let outcome = Outcome {
            stage: self.task.stage().to_owned(),
            source: self.task.source().map(str::to_owned),
            ingredients,
            outputs,
            remove,
            counts,
            extra,
            warnings: self.all_warnings(warnings),
            error: None,
            run: self.watch.facts(chunks),
        };
        Ok(self.scheduler.store.commit(lock, outcome)?)
    }

    /// Notes a failed attempt; one that was stopped is no attempt. Gives the error back.
    fn fail(
        &self,
        lock: Lock,
        ingredients: Option<crate::store::Ingredients>,
        error: TaskError,
    ) -> TaskError {
        let TaskError { failure, leaves } = self.or_stopped(error);
        if failure.exit == ExitCode::Interrupted {
            return TaskError { failure, leaves };
        }
        let Leaves { ingredients: read, counts, extra, warnings, outputs, remove } = *leaves;
        let warnings = self.all_warnings(warnings);
        let ingredients = read.or(ingredients);
        let outcome = Outcome {
            stage: self.task.stage().to_owned(),
            source: self.task.source().map(str::to_owned),
            ingredients: ingredients.clone().unwrap_or_default(),
            outputs,
            remove,
            counts: counts.clone(),
            extra,
            warnings: warnings.clone(),
            error: Some(ErrorFact {
                exit_code: failure.exit.code(),
                message: failure.message.clone(),
                hint: failure.hint.clone(),
            }),
            run: self.watch.facts(None),
        };
        if let Err(error) = self.scheduler.store.fail(lock, outcome) {
            self.warn(&format!("the failed attempt could not be noted: {error}"));
        }
        let leaves = Leaves { ingredients, counts, warnings, ..Leaves::default() };
        TaskError { failure, leaves: Box::new(leaves) }
    }

    /// What was said while it ran and what it says at its end, which is told now.
    fn all_warnings(&self, last: Vec<String>) -> Vec<String> {
        last.iter().for_each(|text| self.warn(text));
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn event(&self, event: &Event<'_>) {
        let events: &dyn EventSink = self.scheduler.events;
        events.event(event);
    }
}

/// Makes a panic an error of the task. What it leaves half done is staged under the task's lock and is
/// thrown away.
fn caught<T>(task: &TaskId, run: impl FnOnce() -> Result<T, TaskError>) -> Result<T, TaskError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = format!("`{task}` panicked: {}", said.unwrap_or_default());
        Err(TaskError::new(ExitCode::Internal, text).hint("this is a bug in mp: please report it"))
    })
}

impl Progress for Turn<'_> {
    fn step(&self, name: &str, index: u32, total: u32) {
        self.event(&Event::Step { task: self.task.as_str(), name, index, total });
    }

    fn advance(&self, done: u64, total: Option<u64>, unit: Unit) {
        self.event(&Event::Advanced { task: self.task.as_str(), done, total, unit });
    }

    fn warn(&self, text: &str) {
        self.event(&Event::Warning { task: self.task.as_str(), text });
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }
}
