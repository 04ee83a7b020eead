//! Failures of the data itself, which the same command would only meet again.
//!
//! A broken contract and a shut gate follow from the ingredients alone. While those of the last attempt
//! are still the ones of now, its manifest answers in place of another attempt; `--force` tries for real.
//! Does not know what a task computes.

use std::sync::Arc;

use super::Scheduler;
use crate::dag::TaskId;
use crate::exit_code::ExitCode;
use crate::store::Manifest;
use crate::task::{Failure, TaskError, Upstream};

/// A failure that need not be computed again.
#[derive(Debug)]
pub(super) struct Remembered {
    pub failure: Failure,
    /// What the attempt left.
    pub manifest: Arc<Manifest>,
}

impl Scheduler<'_> {
    /// What the next attempt would end with, if that is known. Another setting, input or as_of, a newer
    /// stage, and a file that the attempt left and that is gone since, all make it worth an attempt.
    pub(super) fn remembered(
        &self,
        task: &TaskId,
        upstream: &Upstream,
    ) -> Result<Option<Remembered>, TaskError> {
        if self.options.force || !self.options.cache {
            return Ok(None);
        }
        let Some(manifest) = self.store.failed_manifest(task.stage(), task.source())?.good() else {
            return Ok(None);
        };
        let of_the_data = [ExitCode::Contract, ExitCode::Quality];
        let exit = manifest
            .error
            .as_ref()
            .and_then(|error| of_the_data.into_iter().find(|exit| exit.code() == error.exit_code));
        let (Some(exit), Some(error)) = (exit, &manifest.error) else { return Ok(None) };
        if !self.graph.needs(task).iter().all(|need| upstream.contains_key(need)) {
            return Ok(None);
        }
        // Whatever is wrong with the input now, an attempt will say so.
        let Ok(now) = self.runner.ingredients(task, Some(&manifest), upstream) else {
            return Ok(None);
        };
        let same = now.fingerprint(task.stage(), task.source()) == manifest.fingerprint;
        if !same || !self.outputs(&manifest, false)?.is_empty() {
            return Ok(None);
        }
        let run = &manifest.run.id;
        let message = format!("{} (remembered from run {run})", error.message);
        let mut failure = Failure::new(exit, message);
        let known = "nothing that it depends on has changed since: `--force` computes it again";
        let hint = error.hint.iter().map(String::as_str).chain([known]);
        failure.hint = Some(hint.collect::<Vec<_>>().join("; "));
        Ok(Some(Remembered { failure, manifest }))
    }
}
