//! One task against the disk: its manifest, its ingredients now, its outputs.
//!
//! A look decides nothing but lists reasons; no reason means up to date. Does not know the other tasks'
//! plans, and trusts only hashes.

use super::Scheduler;
use super::reason::{Reason, difference};
use crate::dag::TaskId;
use crate::store::{Found, Ingredients, Manifest, Output};
use crate::task::{TaskError, Upstream};

/// What is known of a task at one moment.
#[derive(Debug)]
pub(super) struct Look {
    /// Its last good manifest.
    pub previous: Option<Manifest>,
    /// The last good manifests of its needs, as far as there are any.
    pub upstream: Upstream,
    /// As they are now; unknown without a last good manifest or one of a need.
    pub ingredients: Option<Ingredients>,
    /// Why it is not up to date.
    pub reasons: Vec<Reason>,
}

impl Scheduler<'_> {
    /// Looks at a task. `objects`: a dependent will read its objects, so they must be there too.
    pub(super) fn look(&self, task: &TaskId, objects: bool) -> Result<Look, TaskError> {
        let mut reasons = Vec::new();
        let found = self.store.manifest(task.stage(), task.source())?;
        match &found {
            Found::Missing => reasons.push(Reason::NeverRun),
            Found::Unreadable(detail) => {
                reasons.push(Reason::ManifestUnreadable { detail: detail.clone() });
            }
            Found::Good(_) => {}
        }
        let mut look =
            Look { previous: found.good(), upstream: Upstream::new(), ingredients: None, reasons };
        for need in self.graph.needs(task) {
            match self.store.manifest(need.stage(), need.source())?.good() {
                Some(manifest) => {
                    look.upstream.insert(need, manifest);
                }
                None if look.previous.is_some() => {
                    look.reasons.push(Reason::Upstream { task: need });
                }
                None => {}
            }
        }
        if let Some(previous) = look.previous.as_ref().filter(|_| look.reasons.is_empty()) {
            let ingredients = self.runner.ingredients(task, previous, &look.upstream)?;
            look.reasons = difference(&previous.ingredients, &ingredients);
            look.ingredients = Some(ingredients);
            // A task that runs anyway makes its outputs anew, whatever became of them.
            if look.reasons.is_empty() {
                look.reasons = self.outputs(previous, objects)?;
            }
        }
        if !look.reasons.is_empty() {
            self.note_failed_attempt(task, &mut look.reasons)?;
        }
        Ok(look)
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
        if let Some(error) = failed.and_then(|manifest| manifest.error) {
            reasons.retain(|reason| *reason != Reason::NeverRun);
            reasons.push(Reason::PreviousAttemptFailed { message: error.message });
        }
        Ok(())
    }
}
