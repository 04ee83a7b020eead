//! The runs whose results may be wanted again, newest first.
//!
//! Known by their records, and by the results themselves where a record is lost or was never written.
//! A record that cannot be read names no results; one of a newer version is an error.

use std::collections::{BTreeMap, BTreeSet};

use super::Store;
use super::census::Kept;
use super::digest::Digest;
use super::error::StoreError;
use super::history::Skipped;

/// A run and its good results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PastRun {
    /// Ids begin with the time.
    pub id: String,
    /// By task and fingerprint.
    pub results: BTreeSet<(String, Digest)>,
}

/// All runs that are known, the newest first.
pub(super) fn newest_first(store: &Store, kept: &[Kept]) -> Result<Vec<PastRun>, StoreError> {
    let mut runs = BTreeMap::<String, BTreeSet<(String, Digest)>>::new();
    for kept in kept {
        let result = (kept.manifest.task(), kept.manifest.fingerprint);
        runs.entry(kept.manifest.run.id.clone()).or_default().insert(result);
    }
    let history = store.history();
    for record in history.newest_first()? {
        let record = match record {
            Ok(record) => record,
            Err(Skipped::Unreadable { .. }) => continue,
            Err(Skipped::Store(error)) => return Err(error),
        };
        let good = record.tasks.into_iter().filter(|task| task.end.is_good());
        let results = good.filter_map(|task| Some((task.task, task.fingerprint?)));
        runs.entry(record.run).or_default().extend(results);
    }
    Ok(runs.into_iter().rev().map(|(id, results)| PastRun { id, results }).collect())
}
