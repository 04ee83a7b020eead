//! What is to be tried again: the newest run with a task that failed, was blocked or was stopped and has
//! not ended well since.
//!
//! A run of the same folders that ended later and ended a task well has settled it, whatever its as_of: to
//! go back would take newer artifacts away. Runs of other folders settle nothing. A run with nothing to do
//! is recorded where it settles something.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{RunRecord, RunStatus};

/// A run that is to be taken up again.
#[derive(Debug, Clone, PartialEq)]
pub struct Again {
    pub record: RunRecord,
    /// Its tasks that have not ended well, in the order of its record.
    pub tasks: Vec<String>,
}

/// The run to take up again, of all runs or of those as of that instant; the records come newest first, as
/// they began.
pub fn what_to_retry(
    records: impl IntoIterator<Item = RunRecord>,
    as_of: Option<&str>,
) -> Option<Again> {
    let mut settled = BTreeMap::<BTreeMap<String, String>, BTreeSet<String>>::new();
    let of_interest = |record: &RunRecord| as_of.is_none_or(|as_of| record.as_of == as_of);
    let mut records: Vec<RunRecord> = records.into_iter().filter(of_interest).collect();
    records.sort_by(|a, b| last_sign(b).cmp(last_sign(a)));
    for record in records {
        let settled = settled.entry(record.folders.clone()).or_default();
        let mut tasks = left_undone(&record);
        tasks.retain(|task| !settled.contains(task));
        if !tasks.is_empty() {
            return Some(Again { record, tasks });
        }
        let good = record.tasks.into_iter().filter(|task| task.end.is_good());
        settled.extend(good.map(|task| task.task));
    }
    None
}

/// Does a run of these folders that finds these tasks up to date settle what an earlier one left undone?
/// The records come newest first and are read only as far as need be.
pub fn settles(
    records: impl IntoIterator<Item = RunRecord>,
    folders: &BTreeMap<String, String>,
    tasks: &[String],
) -> bool {
    let mut open: BTreeSet<&str> = tasks.iter().map(String::as_str).collect();
    let mut records = records.into_iter();
    while !open.is_empty() {
        let Some(record) = records.next() else { return false };
        if record.folders != *folders {
            continue;
        }
        if left_undone(&record).iter().any(|task| open.contains(task.as_str())) {
            return true;
        }
        let good = record.tasks.iter().filter(|task| task.end.is_good());
        good.for_each(|task| {
            open.remove(task.task.as_str());
        });
    }
    false
}

/// When it ended; of one that never said so, when it began.
fn last_sign(record: &RunRecord) -> &str {
    record.ended_at.as_deref().unwrap_or(&record.started_at)
}

/// The tasks that did not end well; of a run that was killed nobody knows, so it is all of them.
fn left_undone(record: &RunRecord) -> Vec<String> {
    match record.status {
        RunStatus::Running => Vec::new(),
        RunStatus::Killed => record.asked.tasks.clone(),
        RunStatus::Ended => {
            let bad = record.tasks.iter().filter(|task| !task.end.is_good());
            bad.map(|task| task.task.clone()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A run of these tasks, each with how it ended.
    fn record(folder: &str, as_of: &str, status: &str, tasks: &[(&str, &str)]) -> RunRecord {
        let names: Vec<&str> = tasks.iter().map(|(task, _)| *task).collect();
        let task = |(task, end): &(&str, &str)| json!({"task": task, "end": end, "seconds": 0.1});
        let ended = if status == "ended" { tasks } else { &[] };
        serde_json::from_value(json!({
            "record_version": 1, "run": "r", "status": status, "as_of": as_of, "as_of_given": as_of,
            "asked": {"command": "run", "selectors": [], "tasks": names, "force": false,
                      "allow_stale": false},
            "mp_version": "0.1.0", "host": "h", "pid": 1, "started_at": "s", "seconds": 1.0,
            "folders": {"output": folder}, "settings": {},
            "tasks": ended.iter().map(task).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    fn again(records: &[RunRecord], as_of: Option<&str>) -> Option<(String, Vec<String>)> {
        let again = what_to_retry(records.to_vec(), as_of)?;
        Some((again.record.as_of, again.tasks))
    }

    #[test]
    fn what_did_not_end_well_is_retried() {
        let tasks = [("a", "done"), ("b", "failed"), ("c", "blocked"), ("d", "cancelled")];
        let found = again(&[record("o", "1", "ended", &tasks)], None);
        assert_eq!(found, Some(("1".into(), vec!["b".into(), "c".into(), "d".into()])));
        let good = [("a", "done"), ("b", "up_to_date"), ("c", "restored")];
        assert_eq!(again(&[record("o", "1", "ended", &good)], None), None);
        assert_eq!(again(&[], None), None);
    }

    #[test]
    fn a_later_run_of_the_same_folders_settles_a_task() {
        let failed = record("o", "1", "ended", &[("a", "failed"), ("b", "blocked")]);
        let mended = record("o", "1", "ended", &[("a", "done")]);
        let found = again(&[mended.clone(), failed.clone()], None);
        assert_eq!(found, Some(("1".into(), vec!["b".into()])));
        let rest = record("o", "2", "ended", &[("b", "done")]);
        assert_eq!(again(&[rest.clone(), mended, failed.clone()], None), None);
        let elsewhere = record("other", "2", "ended", &[("a", "done"), ("b", "done")]);
        assert!(again(&[elsewhere, failed.clone()], None).is_some());
        assert!(again(&[failed.clone(), rest], None).is_some(), "an earlier one settles nothing");
    }

    #[test]
    fn a_killed_run_is_retried_and_a_running_one_is_not() {
        let killed = record("o", "1", "killed", &[("a", ""), ("b", "")]);
        assert_eq!(again(&[killed], None), Some(("1".into(), vec!["a".into(), "b".into()])));
        assert_eq!(again(&[record("o", "1", "running", &[("a", "")])], None), None);
    }

    #[test]
    fn a_run_that_began_before_and_ended_after_settles_a_task() {
        let at = |record: RunRecord, began: &str, ended: &str| RunRecord {
            started_at: began.to_owned(),
            ended_at: Some(ended.to_owned()),
            ..record
        };
        let failed = at(record("o", "1", "ended", &[("a", "failed")]), "2", "3");
        let long = at(record("o", "1", "ended", &[("a", "done")]), "1", "4");
        assert_eq!(again(&[failed.clone(), long.clone()], None), None);
        assert!(again(&[failed, at(long, "1", "2")], None).is_some());
    }

    #[test]
    fn a_run_with_nothing_to_do_settles_what_an_earlier_one_left_undone() {
        let settle = |records: &[RunRecord], tasks: &[&str]| {
            let folders = [("output".to_owned(), "o".to_owned())].into();
            let tasks: Vec<String> = tasks.iter().map(|task| (*task).to_owned()).collect();
            settles(records.to_vec(), &folders, &tasks)
        };
        let failed = record("o", "1", "ended", &[("a", "failed"), ("b", "done")]);
        assert!(settle(std::slice::from_ref(&failed), &["a", "b"]));
        assert!(!settle(std::slice::from_ref(&failed), &["b"]));
        let killed = record("o", "1", "killed", &[("a", ""), ("b", "")]);
        assert!(settle(&[record("other", "1", "ended", &[("b", "done")]), killed.clone()], &["b"]));
        let mended = record("o", "2", "ended", &[("a", "up_to_date"), ("b", "done")]);
        assert!(!settle(&[mended, failed, killed], &["a", "b"]));
        assert!(!settle(&[], &["a"]));
    }

    #[test]
    fn one_day_may_be_asked_for() {
        let one = record("o", "1", "ended", &[("a", "failed")]);
        let two = record("o", "2", "ended", &[("a", "failed")]);
        assert_eq!(again(&[two.clone(), one.clone()], None).unwrap().0, "2");
        assert_eq!(again(&[two, one], Some("1")).unwrap().0, "1");
    }
}
