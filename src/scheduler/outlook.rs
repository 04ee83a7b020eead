//! How a plan is made: the tasks in order, each with the results that it will find.
//!
//! Where what a task needs is up to date or comes back from the store, its result is known, and so
//! are the ingredients of those that need it. What a task that runs will give is not known: one with
//! no reason of its own but that runs unless its input turns out the same, and is not *certain*.
//! Tasks outside the selection stay as they are; where one of those is not up to date, what needs it
//! is blocked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Scheduler;
use super::freshness::Look;
use super::plan::{PlannedTask, Verdict};
use super::reason::Reason;
use crate::dag::TaskId;
use crate::exit_code::ExitCode;
use crate::store::{Found, Manifest};
use crate::task::{Failure, TaskError, Upstream};

/// A task as it will be when its turn comes.
pub(super) struct Outlook {
    pub planned: PlannedTask,
    /// Against the results that it will find, as far as they are known.
    pub look: Result<Look, TaskError>,
    /// What it needs and whose result is not known before that has run.
    pub open: Vec<TaskId>,
    /// The result that those that need it will find, if it is known.
    result: Option<Arc<Manifest>>,
    /// Whether its objects were looked for.
    objects: bool,
}

/// The tasks in the order of the graph.
pub(super) type Outlooks = Vec<(TaskId, Outlook)>;

/// All that is looked at, in the order in which it would run.
pub(super) struct Foresight {
    pub outlooks: Outlooks,
    /// Tasks whose objects are read by a dependent that runs.
    pub objects_needed: BTreeSet<TaskId>,
    /// Those of them whose dependent is not selected: another process will read them.
    pub awaited: BTreeSet<TaskId>,
}

impl Scheduler<'_> {
    /// Looks at the selected tasks and all that they need.
    pub(super) fn foresee(&self) -> Foresight {
        let mut looked_at: BTreeSet<TaskId> = self.selection.clone();
        looked_at.extend(self.selection.iter().flat_map(|task| self.graph.ancestors(task)));
        let order: Vec<&TaskId> =
            self.graph.tasks().iter().filter(|task| looked_at.contains(task)).collect();
        let awaited = self.awaited(&looked_at);
        let mut objects_needed = awaited.clone();
        let mut known = BTreeMap::new();
        // What runs again for its objects may need objects in turn.
        loop {
            self.look_ahead(&order, &objects_needed, &mut known);
            let before = objects_needed.len();
            for task in &order {
                if known.get(*task).is_some_and(|outlook| outlook.result.is_none()) {
                    let needs = self.graph.needs(task).into_iter();
                    objects_needed
                        .extend(needs.filter(|need| self.runner.reads_objects(task, need)));
                }
            }
            if objects_needed.len() == before {
                break;
            }
        }
        let in_order = order.into_iter().cloned();
        let outlooks = in_order.filter_map(|task| known.remove_entry(&task)).collect();
        Foresight { outlooks, objects_needed, awaited }
    }

    /// Looks at all tasks, or again at those for which something is another now.
    fn look_ahead(
        &self,
        order: &[&TaskId],
        objects_needed: &BTreeSet<TaskId>,
        known: &mut BTreeMap<TaskId, Outlook>,
    ) {
        let mut changed = BTreeSet::new();
        for task in order {
            let objects = objects_needed.contains(*task);
            let is_same = known.get(*task).is_some_and(|outlook| outlook.objects == objects);
            if is_same && !self.graph.needs(task).iter().any(|need| changed.contains(need)) {
                continue;
            }
            let outlook = self.outlook(task, objects, known);
            known.insert((*task).clone(), outlook);
            changed.insert((*task).clone());
        }
    }

    fn outlook(&self, task: &TaskId, objects: bool, known: &BTreeMap<TaskId, Outlook>) -> Outlook {
        let mut upstream = Upstream::new();
        let mut open = Vec::new();
        for need in self.graph.needs(task) {
            let Some(outlook) = known.get(&need) else { continue };
            let there = || match &outlook.look {
                Ok(look) => look.previous.clone(),
                Err(_) => self.last_good(&need),
            };
            if let Some(manifest) = outlook.result.clone().or_else(there) {
                upstream.insert(need.clone(), manifest);
            }
            if outlook.result.is_none() {
                open.push(need);
            }
        }
        let is_selected = self.selection.contains(task);
        let mut look = self.look_given(task, objects, upstream);
        if let Ok(look) = &mut look
            && is_selected
            && self.options.force
        {
            look.reasons.insert(0, Reason::Forced);
        }
        let planned = PlannedTask {
            task: task.clone(),
            verdict: Verdict::Run,
            certain: true,
            reasons: look.as_ref().map(|look| look.reasons.clone()).unwrap_or_default(),
            restored_from: None,
            blocked_by: None,
            error: None,
        };
        let mut outlook = Outlook { planned, look, open, result: None, objects };
        if is_selected {
            self.judge(&mut outlook, known);
        } else if let Ok(look) = &outlook.look
            && (self.options.allow_stale || (look.reasons.is_empty() && outlook.open.is_empty()))
        {
            outlook.result.clone_from(&look.previous);
        }
        outlook
    }

    /// Says what will become of a selected task.
    fn judge(&self, outlook: &mut Outlook, known: &BTreeMap<TaskId, Outlook>) {
        let Outlook { planned, look, open, result, .. } = outlook;
        let task = planned.task.clone();
        planned.blocked_by = self.first_that_cannot(&task, known);
        planned.error = self.refusal(&task, |ancestor| match known.get(ancestor) {
            Some(Outlook { look: Ok(look), .. }) => Ok(look.reasons.clone()),
            Some(Outlook { look: Err(error), .. }) => Err(error.failure.clone()),
            None => Ok(Vec::new()),
        });
        if planned.blocked_by.is_some() || planned.error.is_some() {
            planned.verdict = Verdict::Blocked;
            return;
        }
        let look = match look {
            Ok(look) => look,
            Err(error) => {
                (planned.verdict, planned.error) = (Verdict::Failed, Some(error.failure.clone()));
                return;
            }
        };
        if !open.is_empty() {
            // What changed upstream since the last run may change back with the next.
            // A failed attempt is no reason of its own where there is a good result.
            let passes = |reason: &Reason| {
                let failed = matches!(reason, Reason::PreviousAttemptFailed { .. });
                reason.is_of_an_input() || (failed && look.previous.is_some())
            };
            planned.certain = !look.reasons.iter().all(passes);
            for need in open {
                let reason = Reason::Upstream { task: need.clone() };
                if !planned.reasons.contains(&reason) {
                    planned.reasons.push(reason);
                }
            }
        } else if look.reasons.is_empty() {
            planned.verdict = Verdict::UpToDate;
            result.clone_from(&look.previous);
        } else if let Ok(Some(remembered)) = self.remembered(&task, &look.upstream) {
            // Its words are those of the attempt.
            let is_attempt =
                |reason: &Reason| matches!(reason, Reason::PreviousAttemptFailed { .. });
            planned.reasons.retain(|reason| !is_attempt(reason));
            (planned.verdict, planned.error) = (Verdict::Failed, Some(remembered.failure));
        } else {
            match self.kept(&task, look) {
                Ok(Some(manifest)) => {
                    planned.verdict = Verdict::Restore;
                    planned.restored_from = Some(manifest.made_by());
                    *result = Some(Arc::new(manifest));
                }
                Ok(None) => {}
                Err(error) => {
                    (planned.verdict, planned.error) = (Verdict::Failed, Some(error.failure));
                }
            }
        }
    }

    /// The selected task upstream, near or far, that keeps this one from running.
    fn first_that_cannot(
        &self,
        task: &TaskId,
        known: &BTreeMap<TaskId, Outlook>,
    ) -> Option<TaskId> {
        let ancestors = self.graph.ancestors(task);
        let is_root = |ancestor: &&TaskId| {
            ancestors.contains(ancestor)
                && self.selection.contains(ancestor)
                && known.get(ancestor).is_some_and(|outlook| {
                    let planned = &outlook.planned;
                    matches!(planned.verdict, Verdict::Failed | Verdict::Blocked)
                        && planned.blocked_by.is_none()
                })
        };
        self.graph.tasks().iter().find(is_root).cloned()
    }

    /// The selected tasks whose objects somebody outside the selection will read when it runs.
    fn awaited(&self, looked_at: &BTreeSet<TaskId>) -> BTreeSet<TaskId> {
        let will_run = |reader: &TaskId| {
            self.look(reader, false).is_ok_and(|look| {
                !look.reasons.is_empty() && !matches!(self.kept(reader, &look), Ok(Some(_)))
            })
        };
        let is_awaited = |task: &&TaskId| {
            self.last_good(task)
                .is_some_and(|found| found.outputs.iter().any(|output| !output.published))
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

    /// The last good manifest of a task, if it can be had.
    pub(super) fn last_good(&self, task: &TaskId) -> Option<Arc<Manifest>> {
        self.store.manifest(task.stage(), task.source()).ok().and_then(Found::good)
    }

    /// Is there a result at all, of whatever ingredients, and whole?
    fn exists(&self, task: &TaskId, objects: bool) -> bool {
        self.last_good(task)
            .is_some_and(|found| self.outputs(&found, objects).is_ok_and(|gone| gone.is_empty()))
    }
}
