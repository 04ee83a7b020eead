//! An older mp in the folders of a newer one: what it cannot understand it refuses or leaves as it is,
//! byte for byte.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::project::Project;
use crate::view::TASKS;

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// A file of a newer version, which must stay as it is.
struct Newer {
    path: PathBuf,
    text: String,
}

impl Newer {
    /// Raises the version that a file names, and makes it look old.
    fn of(path: PathBuf, version: &str) -> Newer {
        let old = std::fs::read_to_string(&path).expect("a file");
        let text = old.replacen(&format!("{version}\": 1"), &format!("{version}\": 99"), 1);
        let text = text.replacen(&format!("{version}\":1"), &format!("{version}\":99"), 1);
        assert_ne!(text, old, "{}", path.display());
        Newer::write(path, text)
    }

    fn write(path: PathBuf, text: String) -> Newer {
        // By another name: what is there may be a link to something else.
        let new = path.with_extension("new");
        std::fs::write(&new, &text).expect("written");
        std::fs::rename(&new, &path).expect("renamed");
        let file = std::fs::File::open(&path).expect("a file");
        let month = Duration::from_secs(31 * 24 * 3600);
        file.set_modified(SystemTime::now() - month).expect("aged");
        Newer { path, text }
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let now = std::fs::read_to_string(&self.path).unwrap_or_else(|_| "nothing".to_owned());
        assert_eq!(now, self.text, "{}", self.path.display());
    }
}

fn store(project: &Project, folder: &str) -> Vec<PathBuf> {
    files_below(&project.path("data/.mp").join(folder))
}

#[test]
fn a_newer_manifest_of_any_task_is_refused() {
    let project = Project::november();
    project.run_all();
    for task in TASKS {
        let good = std::fs::read(project.view().manifest_path(task)).expect("a manifest");
        let newer = Newer::of(project.view().manifest_path(task), "manifest_version");
        for args in [["run", "--all"], ["run", "--force"]] {
            project.mp(&args).fails(1).says(&[&format!("{task}.json"), "99", "newer mp"]);
            newer.assert_untouched();
        }
        std::fs::write(&newer.path, good).expect("written");
    }
    project.run_all();
}

#[test]
fn a_newer_manifest_of_a_failed_attempt_is_refused_whatever_would_replace_or_remove_it() {
    let mut project = Project::november();
    project.mp_env(&["run", "--all"], "MP_TEST_PANIC", "features").fails(70);
    let failed = project.view().failed_manifest_path("features");
    let newer = Newer::of(failed.clone(), "manifest_version");
    // A success would remove it, another failure would replace it.
    project.mp(&["run", "--all"]).fails(1).says(&["features.failed.json", "newer mp"]);
    newer.assert_untouched();
    project.mp_env(&["run", "--all"], "MP_TEST_PANIC", "features").fails(1);
    newer.assert_untouched();
    std::fs::remove_file(&failed).expect("removed");
    project.run_all();
    // What is up to date forgets the attempt that failed.
    let newer = Newer::write(failed, newer.text);
    project.mp(&["run", "--all"]).fails(1).says(&["features.failed.json", "newer mp"]);
    newer.assert_untouched();
    project.set("processing.lookback_window_days", json!(3));
    project.mp(&["run", "--all"]).fails(1);
    newer.assert_untouched();
}

#[test]
fn a_newer_kept_result_is_neither_restored_nor_replaced_nor_removed() {
    let mut project = Project::november();
    project.run_all();
    let kept: Vec<Newer> = store(&project, "results")
        .into_iter()
        .map(|path| Newer::of(path, "manifest_version"))
        .collect();
    assert_eq!(kept.len(), TASKS.len());
    let gold = project.read("data/output/training_dataset.parquet");
    for task in TASKS {
        std::fs::remove_file(project.view().manifest_path(task)).expect("removed");
    }
    let ran = project.mp(&["run", "--all"]).success();
    assert!(!ran.stdout.contains("restored"), "{ran}");
    assert_eq!(project.read("data/output/training_dataset.parquet"), gold);
    for days in 1..6 {
        project.set("processing.lookback_window_days", json!(days));
        project.mp(&["run", "--all"]).success();
    }
    kept.iter().for_each(Newer::assert_untouched);
}

#[test]
fn a_newer_result_of_a_file_is_neither_used_nor_replaced_nor_removed() {
    let mut project = Project::november();
    project.run_all();
    let parsed: Vec<Newer> = store(&project, "parsed")
        .into_iter()
        .map(|path| Newer::of(path, "parsed_version"))
        .collect();
    assert_eq!(parsed.len(), 3);
    let gold = project.read("data/output/training_dataset.parquet");
    project.mp(&["run", "--all", "--force"]).success();
    assert_eq!(project.read("data/output/training_dataset.parquet"), gold);
    for days in 1..6 {
        project.set("processing.lookback_window_days", json!(days));
        project.mp(&["run", "--all"]).success();
    }
    parsed.iter().for_each(Newer::assert_untouched);
}

#[test]
fn a_newer_memo_is_neither_believed_nor_replaced() {
    let project = Project::november();
    // So much, so old, that it would be remembered.
    let text = project.text("data/raw/prints.json");
    let raw = project.path("data/raw/prints.json");
    let lines = text.lines().count();
    let blank = format!("{}\n", " ".repeat(200)).repeat(30_000);
    std::fs::write(&raw, format!("{text}{blank}")).expect("written");
    let old = SystemTime::now() - Duration::from_secs(3_600);
    std::fs::File::open(&raw).and_then(|file| file.set_modified(old)).expect("aged");
    std::thread::sleep(Duration::from_millis(150));
    project.run_all();
    let memo = project.path("data/.mp/memo.json");
    assert!(memo.exists(), "{lines} lines and the blank ones are worth a memo");
    let newer = Newer::of(memo, "memo_version");
    project.mp(&["run", "--all", "--force"]).success();
    newer.assert_untouched();
    project.mp(&["plan"]).success();
    newer.assert_untouched();
}

#[test]
fn a_newer_note_is_not_touched_and_keeps_everything() {
    let mut project = Project::november();
    project.mp(&["extract"]).success();
    let notes: Vec<Newer> = store(&project, "awaited")
        .into_iter()
        .map(|path| Newer::write(path, r#"{"awaited_version": 2, "of": "others"}"#.to_owned()))
        .collect();
    assert_eq!(notes.len(), 3);
    project.mp(&["extract", "--force"]).success();
    project.mp(&["preprocess"]).success();
    project.mp(&["run", "--all"]).success();
    let results = store(&project, "results").len();
    for days in 1..6 {
        project.set("processing.lookback_window_days", json!(days));
        project.mp(&["run", "--all"]).success();
    }
    notes.iter().for_each(Newer::assert_untouched);
    assert!(store(&project, "results").len() >= results);
}

#[test]
fn a_newer_record_of_a_run_is_skipped_and_stays() {
    let project = Project::november();
    project.run_all();
    let runs = store(&project, "runs");
    assert_eq!(runs.len(), 1);
    let newer = Newer::of(runs[0].clone(), "record_version");
    let id = runs[0].file_stem().expect("a name").to_string_lossy().into_owned();
    let listed = project.mp(&["runs"]).success().says(&["newer mp", &id]);
    assert!(listed.stdout.contains("no run is recorded"), "{listed}");
    project.mp(&["show", &id]).fails(1).says(&["newer mp", "use the newer mp"]);
    project.mp(&["show", "latest"]).fails(2);
    project.mp(&["run", "--all", "--force"]).success();
    project.mp(&["show", "latest"]).success();
    project.mp(&["retry"]).success();
    newer.assert_untouched();
}
