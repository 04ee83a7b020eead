//! Records a run while it goes by: listens to its events and writes its record into the history.
//!
//! The record appears with the first task that begins and is replaced when the run ends. A run that finds
//! nothing to do leaves none, unless an earlier run had left undone what it finds done. A record that cannot be written is a warning: no run fails for it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use super::project::Project;
use crate::config::Origin;
use crate::exit_code::ExitCode;
use crate::history::settles;
use crate::progress::{Event, EventSink};
use crate::scheduler::{Reason, RunSummary, TaskResult, TaskState};
use crate::store::{
    Asked, ErrorFact, RECORD_VERSION, RunRecord, RunStatus, Running, SettingFact, Stopwatch,
    StoreError, TaskEnd, TaskRecord, Wait,
};

/// So many reasons of a task are recorded; with a thousand new files there are a thousand.
const REASONS: usize = 20;

/// What listens in a run's place and hands everything on.
pub(super) struct Recorder<'a> {
    listener: &'a dyn EventSink,
    project: &'a Project,
    asked: &'a Asked,
    airflow: BTreeMap<String, String>,
    run: &'a str,
    watch: Stopwatch,
    begun: OnceLock<Result<Running, StoreError>>,
}

impl<'a> Recorder<'a> {
    /// For the run of that id, which begins now.
    pub fn new(
        listener: &'a dyn EventSink,
        project: &'a Project,
        asked: &'a Asked,
        airflow: BTreeMap<String, String>,
        run: &'a str,
    ) -> Recorder<'a> {
        let (watch, begun) = (Stopwatch::start(run), OnceLock::new());
        Recorder { listener, project, asked, airflow, run, watch, begun }
    }

    /// The run is over.
    /// Waits for the store as long as `lock_timeout`, if the run had it at all.
    pub fn end(self, summary: &RunSummary, exit: ExitCode, lock_timeout: Duration) {
        let history = self.project.store.history();
        let begun = self.begun.get().is_some();
        let written = if summary.is_up_to_date() && !self.settles() {
            // Another process did the work while this one waited for it.
            if begun { history.remove(self.run).map(drop) } else { Ok(()) }
        } else {
            let mut record = self.record();
            record.status = RunStatus::Ended;
            record.exit_code = Some(exit.code());
            record.tasks = summary.tasks.iter().map(|task| self.task(task)).collect();
            let (task, cancel) = ("history", &**self.project.store.stop());
            let on_wait = |holder: &str| self.listener.event(&Event::Waiting { task, holder });
            let timeout = if begun { lock_timeout } else { Duration::ZERO };
            history.end(record, &Wait { timeout, cancel, on_wait: &on_wait })
        };
        let failed = match self.begun.into_inner() {
            Some(Err(error)) => Some(error),
            _ => None,
        };
        if let Some(error) = written.err().or(failed) {
            tracing::warn!("the run is not in the history: {error}");
        }
    }

    /// Did an earlier run leave something undone that this one finds done? `mp retry` is to know.
    fn settles(&self) -> bool {
        // Whoever has no history has nothing to retry.
        let folders = self.folders();
        // As they stand in a record.
        let words = folders.values().filter_map(|folder| serde_json::to_string(folder).ok());
        let history = self.project.store.history();
        let Ok(records) = history.newest_first_with(words.collect()) else { return false };
        let others = records.flatten().filter(|record| record.run != self.run);
        settles(others, &folders, &self.asked.tasks)
    }

    fn folders(&self) -> BTreeMap<String, String> {
        let layout = self.project.store.layout();
        let folders = [
            ("processed", &layout.processed),
            ("output", &layout.output),
            ("reports", &layout.reports),
        ];
        folders.map(|(name, path)| (name.to_owned(), self.project.short(path).to_string())).into()
    }

    /// All that is known of the run but its tasks.
    fn record(&self) -> RunRecord {
        let facts = self.watch.facts(None);
        let config = self.project.config();
        RunRecord {
            record_version: RECORD_VERSION,
            run: self.run.to_owned(),
            status: RunStatus::Running,
            asked: self.asked.clone(),
            as_of: config.as_of().to_string(),
            as_of_given: config.as_of().as_given().to_owned(),
            mp_version: facts.mp_version,
            host: facts.host,
            pid: facts.pid,
            started_at: facts.started_at,
            ended_at: Some(facts.ended_at),
            seconds: facts.seconds,
            exit_code: None,
            airflow: self.airflow.clone(),
            folders: self.folders(),
            settings: settings(self.project),
            tasks: Vec::new(),
        }
    }

    fn task(&self, result: &TaskResult) -> TaskRecord {
        let end = match result.state {
            TaskState::UpToDate => TaskEnd::UpToDate,
            TaskState::Done if result.restored => TaskEnd::Restored,
            TaskState::Done => TaskEnd::Done,
            TaskState::Failed => TaskEnd::Failed,
            TaskState::Blocked => TaskEnd::Blocked,
            TaskState::NotBegun => TaskEnd::NotBegun,
            TaskState::Cancelled => TaskEnd::Cancelled,
        };
        let error = result.error.as_ref().map(|failure| ErrorFact {
            exit_code: failure.exit.code(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
        });
        let made_of = result.made_of.as_ref();
        let made_by = made_of.map(|made_of| &made_of.made_by).filter(|run| *run != self.run);
        TaskRecord {
            task: result.task.to_string(),
            end,
            reasons: result.reasons.iter().take(REASONS).map(Reason::to_string).collect(),
            more_reasons: result.reasons.len().saturating_sub(REASONS),
            seconds: result.seconds,
            error,
            blocked_by: result.blocked_by.as_ref().map(ToString::to_string),
            made_by: made_by.cloned(),
            fingerprint: made_of.map(|made_of| made_of.fingerprint),
            ingredients: made_of.map(|made_of| made_of.ingredients.clone()),
            inputs_in: None,
            outputs: result.outputs.iter().filter(|output| output.published).cloned().collect(),
            counts: result.counts.clone(),
            warnings: result.warnings.clone(),
            retries: result.retries,
            first_error: result.first_error.clone(),
        }
    }
}

/// Every key with its value, and with its origin where it is not built in.
pub(super) fn settings(project: &Project) -> BTreeMap<String, SettingFact> {
    let fact = |(key, value, origin): (&str, &serde_json::Value, &Origin)| {
        let origin = Some(origin).filter(|origin| **origin != Origin::Default);
        let fact = SettingFact { value: value.clone(), origin: origin.map(ToString::to_string) };
        (key.to_owned(), fact)
    };
    project.loaded.settings().map(fact).collect()
}

impl EventSink for Recorder<'_> {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Started { .. }) {
            self.begun.get_or_init(|| {
                let mut record = self.record();
                (record.ended_at, record.seconds) = (None, 0.0);
                self.project.store.history().begin(&record)
            });
        }
        self.listener.event(event);
    }
}
