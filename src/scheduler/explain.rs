//! One task explained: each of its ingredients, then and now, and what follows from the difference.
//!
//! Looks at the same things as a plan of all tasks, so the two cannot disagree. Knows names, values and
//! digests; where a setting comes from is the configuration's to say.

use serde::Serialize;

use super::Scheduler;
use super::outlook::Outlook;
use super::plan::PlannedTask;
use super::reason::{Ingredient, IngredientKind, side_by_side};
use crate::dag::TaskId;
use crate::store::{Ingredients, MadeBy, Manifest};

/// Why a task is what it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    #[serde(flatten)]
    pub planned: PlannedTask,
    /// The run whose result stands under the published names.
    pub result: Option<MadeBy>,
    /// The run whose ingredients are the old ones of the list.
    pub against: Option<MadeBy>,
    /// Those that differ first.
    pub ingredients: Vec<Ingredient>,
    /// Whether a result of the ingredients as they are now is still kept.
    pub kept: Cached,
    /// The tasks that need this one, near or far, with what becomes of them.
    pub dependents: Vec<PlannedTask>,
    /// The tasks that do not, and to which nothing that changed here matters.
    pub independent: Vec<TaskId>,
}

/// What a task was made of in an earlier run.
#[derive(Debug, Clone, PartialEq)]
pub struct Then {
    pub made_by: MadeBy,
    pub ingredients: Ingredients,
}

impl Then {
    /// As its manifest says.
    pub fn of(result: &Manifest) -> Then {
        Then { made_by: result.made_by(), ingredients: result.ingredients.clone() }
    }
}

/// Is there a result of these ingredients in the store?
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Cached {
    /// There is, made by that run.
    Kept(MadeBy),
    /// There is none.
    NotKept,
    /// The ingredients are not known before these tasks have run.
    Unknown { before: Vec<TaskId> },
}

impl Scheduler<'_> {
    /// Explains a task that is selected; `against` stands in for its last good result.
    pub fn explain(&self, task: &TaskId, against: Option<Then>) -> Option<Explanation> {
        let foresight = self.foresee();
        let find = |wanted: &TaskId| foresight.outlooks.iter().find(|(task, _)| task == wanted);
        let (_, outlook) = find(task)?;
        let Outlook { planned, look, open, .. } = outlook;
        let look = look.as_ref().ok();
        let result = match look {
            Some(look) => look.previous.clone(),
            None => self.last_good(task),
        };
        let result = result.as_deref().map(Then::of);
        let old = against.as_ref().or(result.as_ref());
        let now = look.and_then(|look| look.ingredients.as_ref());
        let ingredients = match look {
            Some(_) => side_by_side(old.map(|old| &old.ingredients), now),
            None => self.settings_alone(task, old.map(|old| &old.ingredients)),
        };
        let kept = match now {
            Some(now) if open.is_empty() => self.kept_by(task, now),
            _ => Cached::Unknown { before: open.clone() },
        };
        let dependents = self.graph.descendants(task);
        let planned_of = |task: &TaskId| Some(find(task)?.1.planned.clone());
        let tasks = self.graph.tasks().iter();
        let follow = tasks.clone().filter(|other| dependents.contains(other));
        let independent = tasks.filter(|other| *other != task && !dependents.contains(other));
        Some(Explanation {
            planned: planned.clone(),
            result: result.as_ref().map(|result| result.made_by.clone()),
            against: old.map(|old| old.made_by.clone()),
            ingredients,
            kept,
            dependents: follow.filter_map(planned_of).collect(),
            independent: independent.cloned().collect(),
        })
    }

    /// The ingredients of a task that cannot be looked at: its settings may be why.
    fn settings_alone(&self, task: &TaskId, old: Option<&Ingredients>) -> Vec<Ingredient> {
        let now = self.runner.settings(task);
        let mut list = side_by_side(old, now.as_ref());
        for ingredient in &mut list {
            // What nobody could look at is not known to be another.
            if matches!(ingredient.kind, IngredientKind::Input | IngredientKind::AsOf) {
                (ingredient.differs, ingredient.new) = (false, None);
            }
        }
        list.sort_by_key(|ingredient| !ingredient.differs);
        list
    }

    fn kept_by(&self, task: &TaskId, ingredients: &Ingredients) -> Cached {
        let kept = self.store.kept_result(task.stage(), task.source(), ingredients);
        kept.ok().flatten().map_or(Cached::NotKept, |manifest| Cached::Kept(manifest.made_by()))
    }
}
