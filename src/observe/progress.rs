//! The display of a run: hears its events, prints lines or moves bars, and logs them.
//!
//! Nothing is shown that an event does not say. Does not know what runs, nor when.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;

use super::bars::Bar;
use super::console::Console;
use super::groups::Groups;
use super::lines;
use super::pace::Pace;
use crate::exit_code::ExitCode;
use crate::progress::{Event, EventSink, Unit};

/// Marks the log lines that [`Display`] prints itself.
pub(super) const TARGET: &str = "mp::progress";

/// The least time between two lines on how far a step is.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The least time between two looks of a bar.
const BAR_EVERY: Duration = Duration::from_millis(100);

/// What a display prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Bars for what runs, lines for the rest.
    Bars,
    /// Lines.
    Lines,
    /// Failures only.
    Quiet,
    /// Nothing: it stands in the log, which goes to stderr.
    Hidden,
}

/// Shows a run to whoever watches, and logs it.
pub struct Display {
    console: Console,
    mode: Mode,
    began: Instant,
    state: Mutex<State>,
    /// Where lines of tasks are kept together.
    groups: Option<Mutex<Groups>>,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<String, Task>,
    total: usize,
    over: usize,
}

/// A task that runs.
struct Task {
    step: Option<Step>,
    line_pace: Pace,
    bar_pace: Pace,
    done: u64,
    bar: Option<Bar>,
}

#[derive(Clone)]
struct Step {
    name: String,
    index: u32,
    total: u32,
}

impl Display {
    pub(super) fn new(console: Console, mode: Mode) -> Display {
        let groups = (console.has_levels() && mode == Mode::Lines).then(Mutex::default);
        Display { console, mode, began: Instant::now(), state: Mutex::default(), groups }
    }

    /// The event as of this time since the display was made.
    fn show(&self, event: &Event<'_>, now: Duration) {
        match *event {
            Event::PlanReady { total, to_run } => {
                self.state().total = total;
                tracing::debug!(target: TARGET, total, to_run, "plan ready");
            }
            Event::Started { task, reasons, .. } => {
                let bar = (self.mode == Mode::Bars).then(|| Bar::new(&self.console, task));
                let pace = Pace::starting(now);
                let started = Task { step: None, line_pace: pace, bar_pace: pace, done: 0, bar };
                self.state().tasks.insert(task.to_owned(), started);
                let line = lines::start(task);
                self.progress(task, &line);
                let reasons = reasons.join("; ");
                let reasons = (!reasons.is_empty()).then_some(reasons);
                tracing::info!(target: TARGET, task, reasons, "{line}");
            }
            Event::Step { task, name, index, total } => {
                self.step_begins(task, Step { name: name.to_owned(), index, total }, now);
            }
            Event::Advanced { task, done, total, unit } => {
                self.advanced(task, done, total, unit, now);
            }
            Event::Waiting { task, holder } => {
                let line = lines::waiting(task, holder);
                self.task_line(task, Level::INFO, &line);
                tracing::info!(target: TARGET, task, holder, "{line}");
            }
            Event::Warning { task, text } => {
                let line = lines::warning(task, text);
                self.task_line(task, Level::WARN, &line);
                tracing::warn!(target: TARGET, task, "{}", first_line(&line));
            }
            Event::UpToDate { task } => {
                let line = lines::up_to_date(task);
                self.end(task, Level::INFO, &line);
                tracing::info!(target: TARGET, task, "{line}");
                self.is_over(task);
            }
            Event::Finished { task, seconds, counts, restored_from } => {
                self.last_step_is_over(task);
                let line = match restored_from {
                    Some(run) => lines::restored(task, run, seconds),
                    None => lines::done(task, seconds),
                };
                self.end(task, Level::INFO, &line);
                let counts = serde_json::to_string(counts).unwrap_or_default();
                tracing::info!(target: TARGET, task, seconds, counts, restored_from, "{line}");
                self.is_over(task);
            }
            Event::Failed { task, seconds, exit, message, hint } => {
                let word = if exit == ExitCode::Refused { lines::refused } else { lines::failed };
                let line = word(task, message, hint);
                self.failure(task, Level::ERROR, &line);
                let exit = exit.code();
                tracing::error!(target: TARGET, task, seconds, exit, hint, "{}", first_line(&line));
            }
            Event::Retrying { task, message, after, retry, of } => {
                let line = lines::retrying(task, message, after, retry, of);
                self.end(task, Level::WARN, &line);
                tracing::warn!(target: TARGET, task, retry, of, after, "{}", first_line(&line));
            }
            Event::NotBegun { task } => {
                let line = lines::not_begun(task);
                self.end(task, Level::WARN, &line);
                tracing::warn!(target: TARGET, task, "{line}");
            }
            Event::Blocked { task, by } => {
                let line = lines::blocked(task, by);
                self.failure(task, Level::WARN, &line);
                tracing::warn!(target: TARGET, task, by, "{line}");
            }
            Event::Cancelled { task } => {
                let line = lines::cancelled(task);
                self.end(task, Level::WARN, &line);
                tracing::warn!(target: TARGET, task, "{line}");
            }
            Event::AllDone { done, up_to_date, failed, blocked, not_begun, stopped, seconds } => {
                let counts = [
                    (done, "done"),
                    (up_to_date, "up to date"),
                    (failed, "failed"),
                    (blocked, "blocked"),
                    (not_begun, "not begun"),
                    (stopped, "stopped"),
                ];
                let line = lines::all_done(&counts, seconds);
                self.print(Groups::finish);
                self.line(Level::INFO, &line);
                tracing::info!(target: TARGET, done, up_to_date, failed, blocked, not_begun, stopped, seconds, "{line}");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints what groups let through; the lock is held, for the order of lines is theirs.
    fn print(&self, step: impl FnOnce(&mut Groups) -> Vec<String>) {
        if let Some(groups) = &self.groups {
            let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
            step(&mut groups).iter().for_each(|line| self.console.line(line));
        }
    }

    /// A line of no task for those who watch.
    fn line(&self, level: Level, line: &str) {
        if self.groups.is_some() {
            self.print(|groups| groups.between(self.console.worded(level, line)));
        } else if matches!(self.mode, Mode::Bars | Mode::Lines) {
            self.console.say(level, line);
        }
    }

    /// A line of a task; of one that does not run, a line of none.
    fn task_line(&self, task: &str, level: Level, line: &str) {
        if self.groups.is_some() && self.state().tasks.contains_key(task) {
            self.print(|groups| groups.line(task, self.console.worded(level, line)));
        } else {
            self.line(level, line);
        }
    }

    /// A line of a task that bars stand for.
    fn progress(&self, task: &str, line: &str) {
        if self.mode == Mode::Lines {
            self.task_line(task, Level::INFO, line);
        }
    }

    /// The last line of a task, in place of its bar.
    fn end(&self, task: &str, level: Level, line: &str) {
        // Only after the lock on the state is gone: a bar that goes draws.
        let ended = self.state().tasks.remove(task);
        drop(ended);
        if self.groups.is_some() {
            self.print(|groups| {
                let mut lines = groups.line(task, self.console.worded(level, line));
                lines.extend(groups.end(task));
                lines
            });
        } else {
            self.line(level, line);
        }
    }

    /// As [`Display::end`], for those too who want to hear of nothing else.
    fn failure(&self, task: &str, level: Level, line: &str) {
        self.end(task, level, line);
        if self.mode == Mode::Quiet {
            self.console.say(level, line);
        }
    }

    /// Counts a task that came out well.
    fn is_over(&self, task: &str) {
        let mut state = self.state();
        state.over += 1;
        let (over, total) = (state.over as u64, state.total as u64);
        drop(state);
        if over <= total && total > 1 {
            let line = lines::processed(over, total, task);
            if self.mode == Mode::Lines {
                self.line(Level::INFO, &line);
            }
            tracing::info!(target: TARGET, task, over, total, "{line}");
        }
    }

    fn step_begins(&self, task: &str, step: Step, now: Duration) {
        self.last_step_is_over(task);
        tracing::debug!(target: TARGET, task, step = step.index, "begin: {}", step.name);
        if let Some(running) = self.state().tasks.get_mut(task) {
            running.line_pace = running.line_pace.next_step(now);
            running.bar_pace = running.bar_pace.next_step(now);
            running.done = 0;
            if let Some(bar) = &running.bar {
                bar.show(0, None, step.name.clone());
            }
            running.step = Some(step);
        }
    }

    /// Says that the step is done which the task was in, if it has more than one.
    fn last_step_is_over(&self, task: &str) {
        let step = self.state().tasks.get_mut(task).and_then(|running| running.step.take());
        let Some(step) = step.filter(|step| step.total > 1) else { return };
        let what = format!("{task}: {}", step.name);
        let line = lines::processed(step.index.into(), step.total.into(), &what);
        self.progress(task, &line);
        tracing::info!(target: TARGET, task, "{line}");
    }

    fn advanced(&self, task: &str, done: u64, total: Option<u64>, unit: Unit, now: Duration) {
        let mut state = self.state();
        let Some(running) = state.tasks.get_mut(task) else { return };
        for pace in [&mut running.line_pace, &mut running.bar_pace] {
            pace.restart_if_behind(now, running.done, done);
        }
        running.done = done;
        let per_second = running.line_pace.per_second(now, done);
        if let Some(bar) = &running.bar
            && running.bar_pace.is_time(now, BAR_EVERY)
        {
            let mut words = lines::beside_bar(done, total, unit, per_second);
            if let Some(step) = &running.step {
                words += &format!(", {}", step.name);
            }
            bar.show(done, total, words);
        }
        if !running.line_pace.is_time(now, LINE_EVERY) {
            return;
        }
        let what = match &running.step {
            Some(step) => format!("{task}: {}", step.name),
            None => task.to_owned(),
        };
        drop(state);
        let line = lines::advanced(&what, done, total, unit, per_second);
        self.progress(task, &line);
        tracing::info!(target: TARGET, task, done, total, per_second, "{line}");
    }
}

impl EventSink for Display {
    fn event(&self, event: &Event<'_>) {
        self.show(event, self.began.elapsed());
    }
}

/// What a log may keep of a message: further lines may quote values of rows.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
