//! What makes a task run again, and what must not.

use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::events::{Line, Source, When, World};
use crate::project::Project;
use crate::view::TASKS;

/// A project that has been run.
fn done() -> Project {
    let project = Project::november();
    project.run_all();
    project
}

/// Runs everything again; the tasks that were committed by it.
#[track_caller]
fn rerun(project: &Project) -> Vec<&'static str> {
    let before = project.view().runs();
    project.run_all();
    project.view().ran_since(&before)
}

#[track_caller]
fn nothing_reruns(project: &Project) {
    assert_eq!(rerun(project), Vec::<&str>::new());
}

#[test]
fn the_first_run_runs_every_task_and_the_second_none() {
    let project = Project::november();
    let outcome = project.mp(&["run", "--all"]).success();
    assert_eq!(project.view().runs().keys().copied().collect::<Vec<_>>(), TASKS);
    assert!(!outcome.stdout.contains("nothing to do"), "{outcome}");
    let before = project.snapshot();
    let outcome = project.mp(&["run", "--all"]).success();
    assert!(outcome.all().contains("up to date"), "{outcome}");
    before.assert_same(&project.snapshot());
}

#[test]
fn run_without_selectors_is_run_all() {
    let project = Project::november();
    project.mp(&["run"]).success();
    nothing_reruns(&project);
}

#[test]
fn the_lookback_re_runs_features_and_quality_only_and_plan_names_the_key_with_both_values() {
    let mut project = done();
    project.set("processing.lookback_window_days", json!(14));
    let plan = project.mp(&["plan"]).success();
    let line = plan.stdout.lines().find(|line| line.contains("lookback_window_days"));
    let line = line.unwrap_or_else(|| panic!("no such line: {plan}"));
    let (old, new) = (line.find("21"), line.find("14"));
    assert!(old.is_some() && new.is_some() && old < new, "old, then new value: {line}");
    assert_eq!(rerun(&project), ["features", "quality"]);
}

#[test]
fn a_setting_of_the_quality_stage_re_runs_quality_only() {
    let mut project = done();
    project.set("validation.thresholds.max_records_per_user", json!(9_999));
    assert_eq!(rerun(&project), ["quality"]);
}

#[test]
fn the_dedupe_of_one_source_re_runs_its_preprocess_and_what_follows() {
    let mut project = done();
    project.set("preprocess.dedupe.payments", json!("drop"));
    assert_eq!(rerun(&project), ["features", "preprocess.payments", "quality"]);
}

#[test]
fn the_largest_payment_is_a_setting_of_payments_alone() {
    let mut project = done();
    project.set("validation.business_rules.max_payment_amount", json!(999_999));
    let ran = rerun(&project);
    assert!(ran.contains(&"extract.payments") && ran.contains(&"quality"), "{ran:?}");
    assert!(!ran.contains(&"extract.prints") && !ran.contains(&"features"), "{ran:?}");
}

#[test]
fn upstream_that_gives_the_same_bytes_stops_the_work_there() {
    let mut project = done();
    project.set("processing.max_reject_rate", json!(0.03));
    let ran = rerun(&project);
    assert!(!ran.contains(&"features"), "no accepted row changed: {ran:?}");
}

#[test]
fn touching_a_raw_file_re_runs_nothing() {
    let project = done();
    for name in ["prints.json", "taps.json", "pays.csv"] {
        let file = std::fs::File::options().append(true).open(project.path("data/raw").join(name));
        let later = SystemTime::now() + Duration::from_secs(60);
        file.and_then(|file| file.set_modified(later)).expect("touched");
    }
    nothing_reruns(&project);
}

#[test]
fn rewriting_a_raw_file_with_the_same_bytes_re_runs_nothing() {
    let project = done();
    let bytes = project.read("data/raw/pays.csv");
    std::fs::remove_file(project.path("data/raw/pays.csv")).expect("removed");
    project.write("data/raw/pays.csv", bytes);
    nothing_reruns(&project);
}

/// `cp -p`, `rsync --inplace -t` and `tar` give a file the mtime that it had elsewhere.
#[test]
fn a_raw_file_of_another_content_and_the_same_size_and_mtime_re_runs_what_reads_it() {
    let project = Project::november();
    // Enough to be worth remembering.
    let text = project.text("data/raw/taps.json") + &"\n".repeat(5 << 20);
    let changed = text.replacen("\"user_id\": 10", "\"user_id\": 20", 1);
    let path = project.path("data/raw/taps.json");
    let over = |text: &str| {
        project.write("data/raw/taps.json", text);
        let file = std::fs::File::options().append(true).open(&path);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        file.and_then(|file| file.set_modified(long_ago)).expect("touched");
        std::os::unix::fs::MetadataExt::ino(&path.metadata().expect("a file"))
    };
    let inode = over(&text);
    project.mp(&["run", "--all"]).success();
    // No file is trusted that was written just now.
    std::thread::sleep(Duration::from_millis(200));
    project.run_all();
    assert!(project.text("data/.mp/memo.json").contains("taps.json"), "it is remembered");
    nothing_reruns(&project);
    assert_eq!(over(&changed), inode);
    std::thread::sleep(Duration::from_millis(200));
    let line = project.mp(&["plan"]).success();
    line.prints(&["input `taps.json` changed"]);
    assert!(rerun(&project).contains(&"extract.taps"));
}

#[test]
fn one_byte_of_the_taps_re_runs_the_taps_and_what_follows() {
    let project = done();
    let text = project.text("data/raw/taps.json");
    let changed = text.replacen("\"user_id\": 10", "\"user_id\": 20", 1);
    assert_eq!(text.len(), changed.len());
    assert_ne!(text, changed);
    project.write("data/raw/taps.json", changed);
    let plan = project.mp(&["plan"]).success();
    assert!(plan.stdout.contains("taps.json"), "the reason names the file: {plan}");
    let ran = rerun(&project);
    assert_eq!(ran, ["extract.taps", "features", "preprocess.taps", "quality"]);
}

#[test]
fn a_change_of_one_byte_within_the_same_second_is_noticed() {
    let project = Project::november();
    project.mp(&["run", "--all"]).success();
    for digit in ["5", "6", "7"] {
        let text = project.text("data/raw/taps.json");
        let at = text.find("\"user_id\": 10").expect("a user") + "\"user_id\": 10".len();
        let changed = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
        project.write("data/raw/taps.json", changed);
        let before = project.view().runs();
        project.mp(&["run", "--all"]).success();
        let ran = project.view().ran_since(&before);
        assert!(text[at..].starts_with(digit) || ran.contains(&"extract.taps"), "{ran:?}");
    }
}

#[test]
fn how_the_program_works_is_no_reason_to_run_again() {
    let mut project = done();
    let before = project.view().runs();
    for (key, value) in [
        ("processing.chunk_size", json!(17)),
        ("processing.max_memory_mb", json!(256)),
        ("processing.n_workers", json!(1)),
        ("processing.parallel_processing", json!(false)),
        ("logging.level", json!("DEBUG")),
        ("logging.format", json!("json")),
        ("logging.log_file", json!("other.log")),
        ("store.keep", json!(2)),
    ] {
        project.set(key, value);
        project.mp(&["run", "--all"]).success();
        assert_eq!(project.view().ran_since(&before), Vec::<&str>::new(), "{key}");
    }
    project.mp(&["run", "--all", "--jobs", "1", "-v"]).success();
    assert_eq!(project.view().ran_since(&before), Vec::<&str>::new(), "--jobs");
}

#[test]
fn another_place_is_no_reason_to_run_again() {
    let project = done();
    let before = project.view().runs();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let copy = elsewhere.path().join("copy");
    let status = Command::new("cp").arg("-a").arg(project.root()).arg(&copy).status();
    assert!(status.expect("cp runs").success());
    let folder = copy.to_str().expect("UTF-8");
    project.mp(&["run", "--all", "--project", folder]).success();
    for (task, run) in &before {
        let moved = project.view().manifest_path(task);
        let moved = copy.join(moved.strip_prefix(project.root()).expect("inside"));
        assert_eq!(crate::view::json_file(&moved)["run"], *run, "{task}");
    }
}

#[test]
fn a_later_as_of_re_runs_preprocess_but_reads_no_raw_file_again() {
    let mut project = done();
    project.set("validation.as_of", json!("2020-12-02"));
    let before = project.view().runs();
    project.run_all();
    let ran = project.view().ran_since(&before);
    assert!(ran.contains(&"preprocess.prints"), "processed_at is as_of: {ran:?}");
    assert!(!ran.contains(&"extract.prints"), "no row is older than the bound: {ran:?}");
}

#[test]
fn as_of_enters_extract_only_where_a_row_is_older_than_the_bound() {
    let when = When::november(1);
    let shown = |n: i64| Line::shown(&when, Some(n), "point", "1");
    let mut project = Project::empty()
        .with("validation.business_rules.min_timestamp_days_ago", json!(30))
        .with("processing.max_reject_rate", json!(1.0))
        .with("quality.enable_quality_checks", json!(false));
    let late = Line::shown(&When::november(30), Some(0), "point", "1");
    project.write_world(&World::of(
        vec![shown(0), shown(1), late.clone()],
        vec![late],
        vec![Line::paid(&When::november(29), 100, "point", "1")],
    ));
    project.run_all();
    assert_eq!(project.view().count("extract.prints", "rows_rejected"), 0, "exactly at the bound");
    project.set("validation.as_of", json!("2020-12-01"));
    let ran = rerun(&project);
    assert!(ran.contains(&"extract.prints") && !ran.contains(&"extract.taps"), "{ran:?}");
    assert_eq!(project.view().count("extract.prints", "rows_rejected"), 2);
    project.set("validation.as_of", json!("2020-11-30"));
    project.run_all();
    assert_eq!(project.view().silver(Source::Prints).rows.len(), 3);
}

#[test]
fn a_raw_file_that_comes_or_goes_re_runs_its_source() {
    let project = Project::november().with("sources.taps.files", json!(["taps*.json"]));
    project.run_all();
    let late = Line::shown(&When::november(30), Some(0), "point", "1001");
    project.write("data/raw/taps-more.json", late.text);
    assert!(rerun(&project).starts_with(&["extract.taps"]));
    std::fs::remove_file(project.path("data/raw/taps-more.json")).expect("removed");
    let ran = rerun(&project);
    assert!(ran.contains(&"extract.taps"), "{ran:?}");
}

#[test]
fn force_runs_the_selected_tasks_and_no_other() {
    let project = done();
    let before = project.view().runs();
    project.mp(&["run", "features", "--force"]).success();
    let ran = project.view().ran_since(&before);
    assert_eq!(ran, ["features"]);
}

#[test]
fn selectors_choose_what_runs() {
    let project = Project::november();
    project.mp(&["run", "+preprocess.taps"]).success();
    let ran: Vec<_> = project.view().runs().into_keys().collect();
    assert_eq!(ran, ["extract.taps", "preprocess.taps"]);
    project.mp(&["run", "+features"]).success();
    assert!(!project.view().manifest_path("quality").exists());
    assert!(project.view().manifest_path("features").exists());
    project.mp(&["run", "extract.prints+"]).success();
    assert!(project.view().manifest_path("quality").exists());
    project.mp(&["run", "featres"]).fails(2).says(&["featres", "features"]);
}

#[test]
fn a_dry_run_and_a_plan_touch_nothing() {
    let project = Project::november();
    let before = project.snapshot();
    let plan = project.mp(&["plan"]).success();
    project.mp(&["run", "--all", "--dry-run"]).success();
    project.mp(&["status"]).success();
    assert_eq!(before.changed_content(&project.snapshot()).len(), 0, "{plan}");
    for task in TASKS {
        assert!(plan.stdout.contains(task), "{task}: {plan}");
    }
}

#[test]
fn the_memo_may_be_deleted_or_damaged_at_any_time() {
    let project = done();
    let store = project.path("data/.mp");
    for entry in std::fs::read_dir(&store).expect("the store") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::write(&path, "{ damaged").expect("written");
        }
    }
    let before = project.view().runs();
    project.mp(&["run", "--all"]).success();
    assert_eq!(project.view().ran_since(&before), Vec::<&str>::new());
}
