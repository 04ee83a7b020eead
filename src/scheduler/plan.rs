//! All selected tasks: which are up to date, which run, which cannot, and why.
//!
//! A plan computes nothing. What a task's upstream will turn out to be is not known yet, so a task
//! with no reason of its own but that runs unless its input turns out the same: its verdict is not
//! *certain*. Upstream tasks outside the selection are looked at too: where one is not up to date the
//! task is blocked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Scheduler;
use super::reason::Reason;
use crate::dag::TaskId;
use crate::exit_code::ExitCode;
use crate::store::Found;
use crate::task::{Failure, TaskError};

/// What will become of a task; the same words wherever one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    UpToDate,
    /// The result of the same ingredients is still kept and becomes the truth again.
    Restore,
    Run,
    /// What it needs is not up to date and not selected, or cannot be had.
    Blocked,
    /// It cannot even be looked at.
    Failed,
}

impl Verdict {
    /// In words for the user.
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::UpToDate => "up to date",
            Verdict::Restore => "restore",
            Verdict::Run => "run",
            Verdict::Blocked => "blocked",
            Verdict::Failed => "failed",
        }
    }
}

/// One task of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    pub task: TaskId,
    pub verdict: Verdict,
    /// `false`: it runs unless what it needs turns out the same.
    pub certain: bool,
    pub reasons: Vec<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// What a run would do, in the order in which it would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub tasks: Vec<PlannedTask>,
    /// Tasks whose objects are read by a dependent that will or may run.
    #[serde(skip)]
    pub(super) objects_needed: BTreeSet<TaskId>,
    /// Those of them whose dependent is not selected: another process will read them.
    #[serde(skip)]
    pub(super) awaited: BTreeSet<TaskId>,
}

impl Plan {
    /// Is there nothing to do?
    pub fn is_up_to_date(&self) -> bool {
        self.tasks.iter().all(|task| task.verdict == Verdict::UpToDate)
    }

    /// How the command ends for what cannot go on as planned.
    pub fn exit(&self) -> ExitCode {
        ExitCode::worst(self.tasks.iter().filter_map(|task| Some(task.error.as_ref()?.exit)))
    }

    pub(super) fn will_or_may_run(&self) -> BTreeSet<TaskId> {
        let dirty = |task: &&PlannedTask| task.verdict != Verdict::UpToDate;
        self.tasks.iter().filter(dirty).map(|task| task.task.clone()).collect()
    }
}

/// A task's own reasons; those of its upstream come on top.
type Own = BTreeMap<TaskId, Result<Vec<Reason>, TaskError>>;

impl Scheduler<'_> {
    /// Looks at the selected tasks and all that they need.
    pub fn plan(&self) -> Plan {
        let mut looked_at: BTreeSet<TaskId> = self.selection.clone();
        looked_at.extend(self.selection.iter().flat_map(|task| self.graph.ancestors(task)));
        let order = self.graph.tasks().iter().filter(|task| looked_at.contains(task));
        let order: Vec<TaskId> = order.cloned().collect();
        let mut own = Own::new();
        for task in &order {
            let look = self.look(task, false).map(|look| look.reasons);
            own.insert(task.clone(), self.forced(task, look));
        }
        let awaited = self.awaited(&looked_at);
        let mut objects_needed = awaited.clone();
        for task in &awaited {
            let look = self.look(task, true).map(|look| look.reasons);
            own.insert(task.clone(), self.forced(task, look));
        }
        // What is rebuilt for its objects may need objects in turn.
        let dirty = loop {
            let dirty = self.dirty(&order, &own);
            let before = objects_needed.len();
            for task in order.iter().filter(|task| dirty.contains(task)) {
                let needs = self.graph.needs(task).into_iter();
                objects_needed.extend(needs.filter(|need| self.runner.reads_objects(task, need)));
            }
            if objects_needed.len() == before {
                break dirty;
            }
            for need in &objects_needed {
                if own.get(need).is_some_and(|own| own.as_ref().is_ok_and(Vec::is_empty)) {
                    own.insert(need.clone(), self.look(need, true).map(|look| look.reasons));
                }
            }
        };
        let selected = order.iter().filter(|task| self.selection.contains(task));
        let tasks = selected.map(|task| self.planned(task, &own, &dirty)).collect();
        Plan { tasks, objects_needed, awaited }
    }

    /// The selected tasks whose objects somebody outside the selection will read when it runs.
    fn awaited(&self, looked_at: &BTreeSet<TaskId>) -> BTreeSet<TaskId> {
        let will_run =
            |reader: &TaskId| self.look(reader, false).is_ok_and(|look| !look.reasons.is_empty());
        let is_awaited = |task: &&TaskId| {
            let found = self.store.manifest(task.stage(), task.source());
            let found = found.ok().and_then(Found::good);
            found.is_some_and(|found| found.outputs.iter().any(|output| !output.published))
                && self.readers(task).any(|reader| !looked_at.contains(reader) && will_run(reader))
        };
        self.selection.iter().filter(is_awaited).cloned().collect()
    }

    /// Who reads the objects of a task.
    pub(super) fn readers<'g>(&'g self, task: &'g TaskId) -> impl Iterator<Item = &'g TaskId> {
        self.graph.tasks().iter().filter(move |reader| {
            self.graph.needs(reader).contains(task) && self.runner.reads_objects(reader, task)
        })
    }

    /// Puts `--force` before the reasons of a selected task.
    fn forced(
        &self,
        task: &TaskId,
        reasons: Result<Vec<Reason>, TaskError>,
    ) -> Result<Vec<Reason>, TaskError> {
        let mut reasons = reasons?;
        if self.options.force && self.selection.contains(task) {
            reasons.insert(0, Reason::Forced);
        }
        Ok(reasons)
    }

    /// The tasks with a reason of their own and all that need them.
    fn dirty(&self, order: &[TaskId], own: &Own) -> BTreeSet<TaskId> {
        let mut dirty = BTreeSet::new();
        for task in order {
            let own =
                own.get(task).is_none_or(|own| own.as_ref().map_or(true, |own| !own.is_empty()));
            if own || self.graph.needs(task).iter().any(|need| dirty.contains(need)) {
                dirty.insert(task.clone());
            }
        }
        dirty
    }

    fn planned(&self, task: &TaskId, own: &Own, dirty: &BTreeSet<TaskId>) -> PlannedTask {
        let planned = |verdict, reasons, error| {
            let task = task.clone();
            PlannedTask { task, verdict, certain: true, reasons, error }
        };
        let reasons = match own.get(task) {
            Some(Ok(reasons)) => reasons.clone(),
            Some(Err(error)) => {
                return planned(Verdict::Failed, Vec::new(), Some(error.failure.clone()));
            }
            None => Vec::new(),
        };
        let refusal = self.refusal(task, |ancestor| match own.get(ancestor) {
            Some(Ok(reasons)) => Ok(reasons.clone()),
            Some(Err(error)) => Err(error.failure.clone()),
            None => Ok(Vec::new()),
        });
        if let Some(failure) = refusal {
            return planned(Verdict::Blocked, reasons, Some(failure));
        }
        let mut upstream = self.graph.needs(task);
        upstream.retain(|need| dirty.contains(need));
        // What changed upstream since the last run may change back with the next.
        // A failed attempt is no reason of its own where there is a good result.
        let has_result = self.has_manifest(task);
        let passes = |reason: &Reason| {
            let failed = matches!(reason, Reason::PreviousAttemptFailed { .. });
            reason.is_of_an_input() || (failed && has_result)
        };
        let may_change_back = !upstream.is_empty() && reasons.iter().all(passes);
        let is_clean = reasons.is_empty() && upstream.is_empty();
        let verdict = if is_clean { Verdict::UpToDate } else { Verdict::Run };
        let mut reasons = reasons;
        for task in upstream {
            let reason = Reason::Upstream { task };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        PlannedTask { certain: !may_change_back, ..planned(verdict, reasons, None) }
    }

    /// Why a task may not run: what it needs is not selected and not up to date, or, where that is
    /// allowed, not there at all.
    pub(super) fn refusal(
        &self,
        task: &TaskId,
        reasons_of: impl Fn(&TaskId) -> Result<Vec<Reason>, Failure>,
    ) -> Option<Failure> {
        let not_selected = |task: &&TaskId| !self.selection.contains(task);
        let stale = if self.options.allow_stale {
            let needs = self.graph.needs(task);
            let missing =
                |need: &&TaskId| !self.exists(need, self.runner.reads_objects(task, need));
            let missing = needs.iter().filter(not_selected).find(missing)?;
            format!("`{task}` needs `{missing}`, whose result is missing or damaged")
        } else {
            let ancestors = self.graph.ancestors(task);
            let order = self.graph.tasks().iter().filter(|task| ancestors.contains(task));
            order.filter(not_selected).find_map(|ancestor| match reasons_of(ancestor) {
                Ok(reasons) => reasons.first().map(|reason| {
                    format!("`{task}` needs `{ancestor}`, which is not up to date: {reason}")
                }),
                Err(failure) => {
                    Some(format!("`{task}` needs `{ancestor}`, which is not up to date: {failure}"))
                }
            })?
        };
        let mut failure = Failure::new(ExitCode::Refused, stale);
        let allow = if self.options.allow_stale { "" } else { ", or go on with `--allow-stale`" };
        failure.hint = Some(format!("run `mp run +{task}`{allow}"));
        Some(failure)
    }

    /// Is there a result at all, of whatever ingredients, and whole?
    fn exists(&self, task: &TaskId, objects: bool) -> bool {
        let manifest = self.store.manifest(task.stage(), task.source());
        let manifest = manifest.ok().and_then(Found::good);
        manifest
            .is_some_and(|found| self.outputs(&found, objects).is_ok_and(|gone| gone.is_empty()))
    }
    fn has_manifest(&self, task: &TaskId) -> bool {
        let manifest = self.store.manifest(task.stage(), task.source());
        manifest.is_ok_and(|found| found.good().is_some())
    }
}
