//! One task against the disk: its manifest, its ingredients now, its outputs.
//!
//! A look decides nothing but lists reasons; no reason means up to date. Does not know the other tasks'
//! plans, and trusts only hashes.

use std::sync::Arc;

use super::Scheduler;
use super::reason::{Reason, difference};
use crate::dag::TaskId;
use crate::store::{Found, Ingredients, Manifest, Output};
use crate::task::{TaskError, Upstream};

/// What is known of a task at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    /// Its last good manifest.
    pub previous: Option<Arc<Manifest>>,
    /// The results of its needs, as far as there are any.
    pub upstream: Upstream,
    /// As they are now; unknown without a result of a need.
    pub ingredients: Option<Ingredients>,
    /// Why it is not up to date.
    pub reasons: Vec<Reason>,
}

impl Scheduler<'_> {
    /// Looks at a task. `objects`: a dependent will read its objects, so they must be there too.
    pub(super) fn look(&self, task: &TaskId, objects: bool) -> Result<Look, TaskError> {
        let mut upstream = Upstream::new();
        for need in self.graph.needs(task) {
            if let Some(manifest) = self.store.manifest(need.stage(), need.source())?.good() {
                upstream.insert(need, manifest);
            }
        }
        self.look_given(task, objects, upstream)
    }

    /// The same with the results of its needs as they are, or as they will be.
    pub(super) fn look_given(
        &self,
        task: &TaskId,
        objects: bool,
        upstream: Upstream,
    ) -> Result<Look, TaskError> {
        let mut reasons = Vec::new();
        let found = self.store.manifest(task.stage(), task.source())?;
        match &found {
            Found::Missing => reasons.push(Reason::NeverRun),
            Found::Unreadable(detail) => {
                reasons.push(Reason::ManifestUnreadable { detail: detail.clone() });
            }
            Found::Good(_) => {}
        }
        let mut look = Look { previous: found.good(), upstream, ingredients: None, reasons };
        let mut missing = self.graph.needs(task);
        missing.retain(|need| !look.upstream.contains_key(need));
        if missing.is_empty() {
            let previous = look.previous.as_deref();
            let ingredients = self.runner.ingredients(task, previous, &look.upstream)?;
            if let Some(previous) = previous {
                look.reasons = difference(&previous.ingredients, &ingredients);
                // A task that runs anyway makes its outputs anew, whatever became of them.
                if look.reasons.is_empty() {
                    look.reasons = self.outputs(previous, objects)?;
                }
            }
            look.ingredients = Some(ingredients);
        } else if look.previous.is_some() {
            look.reasons.extend(missing.into_iter().map(|task| Reason::Upstream { task }));
        }
        if !look.reasons.is_empty() {
            self.note_failed_attempt(task, &mut look.reasons)?;
        }
        Ok(look)
    }

    /// The kept result of the same ingredients, whole; none where the user wants it computed.
    pub(super) fn kept(&self, task: &TaskId, look: &Look) -> Result<Option<Manifest>, TaskError> {
        match &look.ingredients {
            Some(ingredients) if self.options.cache && !look.reasons.contains(&Reason::Forced) => {
                Ok(self.store.kept_result(task.stage(), task.source(), ingredients)?)
            }
            _ => Ok(None),
        }
    }

    /// The outputs that are not what the manifest says.
    pub(super) fn outputs(
        &self,
        manifest: &Manifest,
        objects: bool,
    ) -> Result<Vec<Reason>, TaskError> {
        let mut reasons = Vec::new();
        for output in manifest.outputs.iter().filter(|output| output.published || objects) {
            let path = self.store.layout().path(&output.place);
            if self.store.is(&path, &output.sha256)? {
                continue;
            }
            let Output { place, published, .. } = output;
            let name = place.path.clone();
            reasons.push(match published {
                false => Reason::ObjectGone { path: name },
                true if path.is_file() => Reason::OutputChanged { path: name },
                true => Reason::OutputMissing { path: name },
            });
        }
        Ok(reasons)
    }

    fn note_failed_attempt(
        &self,
        task: &TaskId,
        reasons: &mut Vec<Reason>,
    ) -> Result<(), TaskError> {
        let failed = self.store.failed_manifest(task.stage(), task.source())?.good();
        if let Some(error) = failed.as_ref().and_then(|manifest| manifest.error.as_ref()) {
            reasons.retain(|reason| *reason != Reason::NeverRun);
            reasons.push(Reason::PreviousAttemptFailed { message: error.message.clone() });
        }
        Ok(())
    }
}
