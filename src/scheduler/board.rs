//! Who may go next: tasks wait for what they need, a failure blocks what waits for it.
//!
//! Plain bookkeeping under one lock, generic over nothing and without effects of its own. Does not know what a
//! task does.

use std::collections::{BTreeMap, BTreeSet};

use crate::dag::{Graph, TaskId};

/// Where every selected task stands.
#[derive(Debug)]
pub(super) struct Board {
    /// What a task still waits for: all selected tasks upstream of it, near or far.
    waiting: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// In the order of the graph.
    ready: Vec<TaskId>,
    running: BTreeSet<TaskId>,
}

/// How a task left the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    /// Those that wait for it may go on.
    Well,
    /// Those that wait for it never run.
    Badly,
    /// It never began; those that wait for it wait until the end.
    Unbegun,
}

impl Board {
    pub(super) fn new(graph: &Graph, selection: &BTreeSet<TaskId>) -> Board {
        let selected = graph.tasks().iter().filter(|task| selection.contains(task));
        let waits_for = |task: &TaskId| -> BTreeSet<TaskId> {
            graph.ancestors(task).intersection(selection).cloned().collect()
        };
        let all: Vec<(TaskId, BTreeSet<TaskId>)> =
            selected.map(|task| (task.clone(), waits_for(task))).collect();
        let (ready, waiting): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, waits_for)| waits_for.is_empty());
        let ready = ready.into_iter().map(|(task, _)| task).collect();
        Board { waiting: waiting.into_iter().collect(), ready, running: BTreeSet::new() }
    }

    /// The next task to run, if one may.
    pub(super) fn next(&mut self) -> Option<TaskId> {
        if self.ready.is_empty() {
            return None;
        }
        let task = self.ready.remove(0);
        self.running.insert(task.clone());
        Some(task)
    }

    /// Nothing runs, and nothing will.
    pub(super) fn is_over(&self) -> bool {
        self.ready.is_empty() && self.running.is_empty()
    }

    /// A running task is done; returns those that are blocked by it for good.
    pub(super) fn left(&mut self, graph: &Graph, task: &TaskId, how: Leaves) -> Vec<TaskId> {
        self.running.remove(task);
        if how == Leaves::Unbegun {
            return Vec::new();
        }
        let waits: Vec<TaskId> = self
            .waiting
            .iter()
            .filter(|(_, waits_for)| waits_for.contains(task))
            .map(|(waiting, _)| waiting.clone())
            .collect();
        if how == Leaves::Badly {
            waits.iter().for_each(|task| {
                self.waiting.remove(task);
            });
            return waits;
        }
        for waiting in waits {
            if let Some(waits_for) = self.waiting.get_mut(&waiting) {
                waits_for.remove(task);
                if waits_for.is_empty() {
                    self.waiting.remove(&waiting);
                    self.ready.push(waiting);
                }
            }
        }
        let place = |task: &TaskId| graph.tasks().iter().position(|other| other == task);
        self.ready.sort_by_key(place);
        Vec::new()
    }

    /// Nothing more is to begin: all that has not begun leaves.
    pub(super) fn clear(&mut self) -> Vec<TaskId> {
        let waiting = std::mem::take(&mut self.waiting).into_keys();
        std::mem::take(&mut self.ready).into_iter().chain(waiting).collect()
    }

    /// How many tasks may run at the same time as this one, itself included: those planned to run that
    /// neither need it nor are needed by it. One that is only looked at takes no share.
    pub(super) fn concurrency(
        &self,
        graph: &Graph,
        task: &TaskId,
        planned: &BTreeSet<TaskId>,
    ) -> usize {
        let (before, after) = (graph.ancestors(task), graph.descendants(task));
        let others = self.waiting.keys().chain(&self.ready).chain(&self.running);
        let beside = others.filter(|other| {
            *other != task
                && planned.contains(*other)
                && !before.contains(*other)
                && !after.contains(*other)
        });
        1 + beside.count()
    }
}
