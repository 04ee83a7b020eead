//! The tries of one task: again after a failure that another try may mend.
//!
//! Between two tries the task keeps its place among those that run but holds no lock. Whoever waits is
//! woken by a stop of the run, and by a failure for good of another task that ends it. Does not know
//! how a task is run.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::Scheduler;
use super::plan::Plan;
use super::run::{Run, TaskResult, TaskState};
use super::turn::Turn;
use crate::dag::{TaskId, Tries, time_text};
use crate::progress::Event;
use crate::task::Failure;

/// How soon a wait is over that something else has ended.
const POLL: Duration = Duration::from_millis(20);

/// What somebody wants in place of what the graph says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TriesAsked {
    pub retries: Option<u32>,
    pub delay: Option<Duration>,
    pub timeout: Option<Duration>,
}

impl TriesAsked {
    fn over(self, tries: Tries) -> Tries {
        Tries {
            retries: self.retries.unwrap_or(tries.retries),
            delay: self.delay.unwrap_or(tries.delay),
            timeout: self.timeout.or(tries.timeout),
        }
    }
}

/// How a wait ended.
enum Waited {
    ToItsEnd,
    /// Another task failed for good.
    RunEnds,
    Stopped,
}

impl Scheduler<'_> {
    /// Tries a task until it ends well, or in a way that another try does not mend, or too often.
    pub(super) fn try_task(
        &self,
        run: &Run,
        plan: &Plan,
        task: &TaskId,
        concurrency: usize,
    ) -> TaskResult {
        let tries = self.options.tries.over(self.graph.tries(task));
        let (mut retry, mut first_error) = (0, None);
        loop {
            let turn = Turn::new(self, run, plan, task, concurrency, tries.timeout);
            let mut result = if retry == 0 { turn.take() } else { turn.again().take() };
            result.retries = retry;
            result.first_error.clone_from(&first_error);
            let is_failure = matches!(result.state, TaskState::Failed | TaskState::Blocked);
            let Some(failure) = result.error.as_ref().filter(|_| is_failure) else {
                return result;
            };
            if retry < tries.retries && failure.exit.is_retryable() && !run.is_ending() {
                let delay = tries.delay_before(retry + 1);
                let after = time_text(delay);
                let (task, message) = (task.as_str(), &*failure.message);
                let (retry_now, of) = (retry + 1, tries.retries);
                self.events.event(&Event::Retrying {
                    task,
                    message,
                    after: &after,
                    retry: retry_now,
                    of,
                });
                match self.wait(delay, run) {
                    Waited::ToItsEnd => {
                        retry += 1;
                        first_error.get_or_insert_with(|| failure.message.clone());
                        continue;
                    }
                    Waited::RunEnds => {}
                    Waited::Stopped => {
                        self.events.event(&Event::Cancelled { task });
                        result.state = TaskState::Cancelled;
                        return result;
                    }
                }
            }
            self.tell_failed(task, &result, failure);
            return result;
        }
    }

    fn tell_failed(&self, task: &TaskId, result: &TaskResult, failure: &Failure) {
        let Failure { exit, message, hint } = failure;
        let (task, exit, hint) = (task.as_str(), *exit, hint.as_deref());
        let seconds = result.seconds;
        self.events.event(&Event::Failed { task, seconds, exit, message, hint });
    }

    fn wait(&self, delay: Duration, run: &Run) -> Waited {
        let began = Instant::now();
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Waited::Stopped;
            }
            if run.is_ending() {
                return Waited::RunEnds;
            }
            let left = delay.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Waited::ToItsEnd;
            }
            thread::sleep(left.min(POLL));
        }
    }
}
