//! All selected tasks: which are up to date, which are restored, which run, which cannot, and why.
//!
//! A plan computes nothing. How a plan is made is in `outlook.rs`; this is what it says.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Scheduler;
use super::freshness::Look;
use super::outlook::Foresight;
use super::reason::Reason;
use crate::dag::TaskId;
use crate::exit_code::ExitCode;
use crate::store::MadeBy;
use crate::task::Failure;

/// What will become of a task; the same words wherever one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    UpToDate,
    /// The result of the same ingredients is still kept and becomes the truth again.
    Restore,
    Run,
    /// What it needs fails, or is not up to date and not selected.
    Blocked,
    /// It cannot even be looked at, or would fail as it did before.
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
    /// The run whose result comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<MadeBy>,
    /// The task upstream that cannot run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl PlannedTask {
    /// Why, in words for the user, one thing each.
    pub fn why(&self) -> Vec<String> {
        self.why_with(usize::MAX)
    }

    /// The same with so many reasons of its own at most: where many files changed, they are many.
    pub fn why_with(&self, most: usize) -> Vec<String> {
        let mut why: Vec<String> = self.error.iter().map(ToString::to_string).collect();
        why.extend(self.blocked_by.iter().map(|task| format!("by {task}")));
        let upstream = self.reasons.iter().filter_map(|reason| match reason {
            Reason::Upstream { task } => Some(format!("`{task}`")),
            _ => None,
        });
        let upstream: Vec<String> = upstream.collect();
        let own = || self.reasons.iter().filter(|why| !matches!(why, Reason::Upstream { .. }));
        why.extend(own().take(most).map(Reason::to_string));
        if let Some(more @ 1..) = own().count().checked_sub(most) {
            why.push(format!("and {more} more"));
        }
        match upstream.len() {
            0 => {}
            1 => why.push(format!("{} is not up to date", upstream.concat())),
            _ => why.push(format!("{} are not up to date", upstream.join(", "))),
        }
        if !self.certain {
            why.push("unless its input turns out the same".to_owned());
        }
        if let Some(made) = &self.restored_from {
            why.push(format!("from {made}"));
        }
        why
    }
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
    /// What was seen of each task if there is nothing to do: a run need not look again.
    #[serde(skip)]
    pub(super) looks: BTreeMap<TaskId, Look>,
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

impl Scheduler<'_> {
    /// Looks at the selected tasks and all that they need.
    pub fn plan(&self) -> Plan {
        let foresight = self.foresee();
        let selected = foresight.outlooks.iter().filter(|(task, _)| self.selection.contains(task));
        let tasks = selected.map(|(_, outlook)| outlook.planned.clone()).collect();
        let Foresight { objects_needed, awaited, .. } = foresight;
        let mut plan = Plan { tasks, objects_needed, awaited, looks: BTreeMap::new() };
        if plan.is_up_to_date() {
            let outlooks = foresight.outlooks.into_iter();
            plan.looks =
                outlooks.filter_map(|(task, seen)| Some((task, seen.look.ok()?))).collect();
        }
        plan
    }
}
