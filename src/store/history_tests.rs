//! The history against a real folder, and every version of what the store writes for itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::awaited::{AWAITED_VERSION, awaited};
use super::manifest::InputFact;
use super::memo::{MEMO_VERSION, Memo};
use super::parsed::{PARSED_VERSION, Record as ParsedRecord};
use super::run_record::{RunRecord, RunStatus};
use super::{Digest, History, Layout, Skipped, Store, Wait};

const RUN: &str = include_str!("../../tests/versions/run.1.json");
const PARSED: [&str; PARSED_VERSION as usize] =
    [include_str!("../../tests/versions/parsed.1.json")];
const MEMO: [&str; MEMO_VERSION as usize] = [include_str!("../../tests/versions/memo.1.json")];
const AWAITED: [&str; AWAITED_VERSION as usize] = [include_str!("../../tests/versions/awaited.1")];

struct Project {
    _folder: tempfile::TempDir,
    store: Store,
}

fn project() -> Project {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let layout = Layout {
        raw: at("raw"),
        processed: at("processed"),
        output: at("output"),
        reports: at("reports"),
        store: at(".mp"),
    };
    Project { store: Store::open(layout, 2), _folder: folder }
}

/// A record of that id, whose first task has so many inputs.
fn record(id: &str, inputs: usize) -> RunRecord {
    let mut record: RunRecord = serde_json::from_str(RUN).unwrap();
    record.run = id.to_owned();
    record.tasks.truncate(1);
    let input = |n: usize| {
        (format!("{n}.json"), InputFact { sha256: Digest::of_bytes(id.as_bytes()), bytes: 1 })
    };
    let ingredients = record.tasks[0].ingredients.as_mut().unwrap();
    ingredients.inputs = (0..inputs).map(input).collect::<BTreeMap<_, _>>();
    record
}

fn ids(history: &History<'_>) -> Vec<String> {
    history.files().unwrap().into_iter().map(|file| file.id).collect()
}

fn lists(project: &Project) -> Vec<PathBuf> {
    super::parsed::list(&project.store.layout().run_inputs_dir()).unwrap()
}

#[test]
fn a_record_comes_back_whole_however_many_inputs_it_has() {
    let project = project();
    let history = project.store.history();
    for (id, inputs) in [("1", 3), ("2", 1_000)] {
        history.end(record(id, inputs), &Wait::none()).unwrap();
        assert_eq!(history.read(id).unwrap(), record(id, inputs));
    }
    assert_eq!(ids(&history), ["2", "1"], "the newest first");
    assert_eq!(lists(&project).len(), 1, "a short list stays in the record");
    let bytes = fs_err::metadata(&history.files().unwrap()[0].path).unwrap().len();
    assert!(bytes < 5_000, "a record of {bytes} bytes");
    fs_err::remove_file(&lists(&project)[0]).unwrap();
    let task = &history.read("2").unwrap().tasks[0];
    assert!(task.inputs_in.is_some(), "a list that is lost is known to be lost");
}

#[test]
fn a_run_is_running_as_long_as_its_process_holds_the_record() {
    let project = project();
    let history = project.store.history();
    let mut begun = record("1", 0);
    begun.status = RunStatus::Running;
    let running = history.begin(&begun).unwrap();
    assert_eq!(history.read("1").unwrap().status, RunStatus::Running);
    drop(running);
    assert_eq!(history.read("1").unwrap().status, RunStatus::Killed);
    let _running = history.begin(&begun).unwrap();
    history.end(record("1", 0), &Wait::none()).unwrap();
    assert_eq!(history.read("1").unwrap().status, RunStatus::Ended);
    assert!(history.remove("1").unwrap() && !history.remove("1").unwrap());
}

#[test]
fn the_oldest_records_go_with_the_lists_that_only_they_name() {
    let project = project();
    let history = project.store.history();
    for id in ["1", "2", "3"] {
        history.end(record(id, 100), &Wait::none()).unwrap();
    }
    let beyond = |keep: usize| -> Vec<String> {
        let gone = history.beyond(keep).unwrap();
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        gone.iter().map(name).collect()
    };
    assert!(beyond(3).is_empty());
    let gone = beyond(1);
    assert_eq!(gone[..2], ["2.json", "1.json"]);
    assert_eq!(gone.len(), 4, "and a list of each: {gone:?}");
    // What a run that was killed in the middle left.
    let left = project.store.layout().runs_dir().join(".0123456789abcdef-1-0.tmp");
    fs_err::write(&left, "{").unwrap();
    assert_eq!(beyond(3), [".0123456789abcdef-1-0.tmp"]);
    history.end(record("4", 0), &Wait::none()).unwrap();
    assert!(!left.exists());
}

#[test]
fn records_of_a_newer_version_and_of_live_runs_stay() {
    let project = project();
    let history = project.store.history();
    let mut begun = record("1", 0);
    begun.status = RunStatus::Running;
    let _running = history.begin(&begun).unwrap();
    history.end(record("2", 100), &Wait::none()).unwrap();
    assert_eq!(history.beyond(0).unwrap().len(), 2, "the record and its list");
    let newer = project.store.layout().runs_dir().join("0.json");
    fs_err::write(&newer, r#"{"record_version": 2}"#).unwrap();
    let gone = history.beyond(0).unwrap();
    assert_eq!(gone.len(), 1, "the newer record may name the list: {gone:?}");
    assert!(gone[0].ends_with("2.json"));
    assert!(matches!(history.read("0"), Err(Skipped::Store(_))));
}

#[test]
fn every_version_of_a_per_file_result_is_read_and_a_newer_one_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parsed.json");
    for text in PARSED {
        fs_err::write(&path, text).unwrap();
        assert_eq!(ParsedRecord::read(&path).unwrap().objects.len(), 2);
        assert!(!ParsedRecord::is_newer(&path).unwrap());
    }
    fs_err::write(&path, r#"{"parsed_version": 2}"#).unwrap();
    assert!(ParsedRecord::read(&path).is_none() && ParsedRecord::is_newer(&path).unwrap());
}

#[test]
fn every_version_of_the_memo_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memo.json");
    for text in MEMO {
        fs_err::write(&path, text).unwrap();
        assert!(Memo::load(path.clone()).knows("/data/raw/prints.json"));
    }
}

#[test]
fn every_version_of_a_note_is_read_and_a_newer_one_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0123456789abcdef-preprocess.prints");
    let over = |_: &Path| false;
    for text in AWAITED {
        fs_err::write(&path, text).unwrap();
        assert_eq!(awaited(folder.path(), over).unwrap().unwrap().len(), 1);
    }
    fs_err::write(&path, r#"{"awaited_version": 2}"#).unwrap();
    assert!(awaited(folder.path(), over).unwrap().is_none() && path.exists());
    fs_err::write(&path, "torn").unwrap();
    assert!(awaited(folder.path(), over).unwrap().unwrap().is_empty() && !path.exists());
}
