//! Results that are still kept are restored instead of computed, and the same bytes end the work early.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::events::{CSV_HEADER, Line, SOURCES, When, World};
use crate::outcome::Outcome;
use crate::project::Project;
use crate::snapshot::sha256_hex;
use crate::view::TASKS;

/// A project that has been run, and the id of that run.
fn done() -> (Project, String) {
    let project = Project::november();
    let run = project.mp(&["run", "--all", "--json"]).success().json("run");
    (project, run["run_id"].as_str().expect("an id").to_owned())
}

/// One word for each task: its verdict, or what became of it.
fn words(tasks: &Value, word: impl Fn(&Value) -> String) -> BTreeMap<String, String> {
    let tasks = tasks["tasks"].as_array().expect("tasks").iter();
    tasks.map(|task| (task["task"].as_str().expect("a name").to_owned(), word(task))).collect()
}

fn planned(project: &Project, more: &[&str]) -> BTreeMap<String, String> {
    let plan = project.mp(&[&["plan", "--json"], more].concat()).success().json("plan");
    words(&plan, |task| {
        let unless = if task["certain"] == true { "" } else { "?" };
        format!("{}{unless}", task["verdict"].as_str().expect("a verdict"))
    })
}

/// How each task ended; `restored` where it was.
fn ended(outcome: &Outcome) -> BTreeMap<String, String> {
    words(&outcome.json("run"), |task| match &task["restored"] {
        Value::Bool(true) => "restored".to_owned(),
        _ => task["state"].as_str().expect("a state").to_owned(),
    })
}

/// The tasks with that word.
fn with<'a>(words: &'a BTreeMap<String, String>, word: &str) -> Vec<&'a str> {
    words.iter().filter(|(_, found)| *found == word).map(|(task, _)| task.as_str()).collect()
}

fn artifacts(project: &Project) -> BTreeMap<PathBuf, String> {
    let view = project.view();
    let mut paths = vec![view.gold_path(), view.success_path(), view.report_path()];
    for source in SOURCES {
        paths.extend([view.silver_path(source), view.rejects_path(source)]);
    }
    let hash = |path: &PathBuf| sha256_hex(&std::fs::read(path).expect("an artifact"));
    paths.into_iter().map(|path| (path.clone(), hash(&path))).collect()
}

#[test]
fn a_setting_there_and_back_restores_the_whole_chain_from_the_run_that_made_it() {
    let (mut project, first) = done();
    let before = artifacts(&project);
    project.set("preprocess.dedupe.payments", json!("drop"));
    project.run_all();
    assert_ne!(artifacts(&project), before);
    project.set("preprocess.dedupe.payments", json!("keep"));

    let chain = ["features", "preprocess.payments", "quality"];
    let plan = project.mp(&["plan"]).success();
    assert_eq!(with(&planned(&project, &[]), "restore"), chain, "{plan}");
    assert_eq!(plan.stdout.matches("restore ").count(), 3, "{plan}");
    let view = project.view();
    let made = project.mp(&["plan", "--json"]).success().json("plan");
    for task in made["tasks"].as_array().expect("tasks") {
        if chain.contains(&task["task"].as_str().expect("a name")) {
            assert_eq!(task["restored_from"]["run_id"], *first, "{task}");
            let at = task["restored_from"]["ended_at"].as_str().expect("a time");
            assert!(plan.stdout.contains(&format!("from run {first} ({at})")), "{plan}");
        }
    }

    let run = project.mp(&["run", "--all"]).success();
    for task in chain {
        let line = format!("restored: {task} from run {first} ");
        assert!(run.stderr.contains(&line), "the log says so: {run}");
        assert_eq!(view.manifest(task)["run"]["id"], *first);
    }
    assert_eq!(run.stdout.matches(&format!("restored    from run {first} (")).count(), 3, "{run}");
    assert_eq!(artifacts(&project), before);
    assert!(planned(&project, &[]).values().all(|verdict| verdict == "up_to_date"));
}

#[test]
fn an_older_configuration_is_restored() {
    let (project, first) = done();
    let before = artifacts(&project);
    let args = ["run", "--all", "--set", "processing.target_window_days=3"];
    project.mp(&[&args[..], &["--set", "preprocess.dedupe.prints=keep"]].concat()).success();
    let run = project.mp(&["run", "--all", "--json"]).success();
    let ended = ended(&run);
    assert_eq!(with(&ended, "restored"), ["features", "preprocess.prints", "quality"]);
    assert_eq!(with(&ended, "done"), Vec::<&str>::new());
    let tasks = run.json("run");
    let tasks = tasks["tasks"].as_array().expect("tasks").iter();
    let from = tasks.filter_map(|task| task["restored_from"]["run_id"].as_str());
    assert!(from.into_iter().all(|run| run == first), "{run}");
    assert_eq!(artifacts(&project), before);
}

#[test]
fn a_raw_file_there_and_back_restores_the_chain_and_the_objects_that_others_need() {
    let (mut project, _) = done();
    let (before, raw) = (artifacts(&project), project.text("data/raw/pays.csv"));
    let header = format!("{CSV_HEADER}\n");
    let other = raw.replacen(&header, &format!("{header}2020-11-20,12.50,7,point\n"), 1);
    project.write("data/raw/pays.csv", &other);
    project.run_all();
    project.write("data/raw/pays.csv", &raw);
    let chain = ["extract.payments", "features", "preprocess.payments", "quality"];
    assert_eq!(with(&planned(&project, &[]), "restore"), chain);
    assert_eq!(with(&ended(&project.mp(&["run", "--all", "--json"]).success()), "restored"), chain);
    assert_eq!(artifacts(&project), before);
    // What those that come after read came back too: rows of extract, events of preprocess.
    project.set("preprocess.dedupe.payments", json!("drop"));
    let run = project.mp(&["run", "--all", "--json"]).success();
    assert_eq!(with(&ended(&run), "done"), ["features", "preprocess.payments", "quality"], "{run}");
}

#[test]
fn what_comes_back_is_known_so_what_follows_is_certain() {
    let (mut project, _) = done();
    project.set("processing.max_reject_rate", json!(0.03));
    let extracts = ["extract.payments", "extract.prints", "extract.taps"];
    let verdicts = planned(&project, &[]);
    assert_eq!(with(&verdicts, "run"), extracts);
    assert_eq!(with(&verdicts, "run?").len(), 5, "they may turn out the same");
    project.run_all();
    project.set("processing.max_reject_rate", json!(0.02));
    let verdicts = planned(&project, &[]);
    assert_eq!(with(&verdicts, "restore"), extracts);
    assert_eq!(with(&verdicts, "up_to_date").len(), 5, "{verdicts:?}");
    project.set("processing.lookback_window_days", json!(14));
    let verdicts = planned(&project, &[]);
    assert_eq!(
        (with(&verdicts, "run"), with(&verdicts, "run?")),
        (vec!["features"], vec!["quality"])
    );
}

#[test]
fn no_cache_computes_what_is_stale_and_leaves_what_is_not() {
    let (mut project, _) = done();
    let before = artifacts(&project);
    project.set("processing.max_reject_rate", json!(0.03));
    project.set("processing.lookback_window_days", json!(14));
    project.run_all();
    project.set("processing.max_reject_rate", json!(0.02));
    project.set("processing.lookback_window_days", json!(21));
    let due = ["extract.payments", "extract.prints", "extract.taps", "features"];
    assert_eq!(with(&planned(&project, &[]), "restore").len(), 5);
    let verdicts = planned(&project, &["--no-cache"]);
    assert_eq!((with(&verdicts, "run"), with(&verdicts, "restore")), (due.to_vec(), vec![]));
    let run = project.mp(&["run", "--all", "--no-cache", "--json"]).success();
    let ended = ended(&run);
    assert_eq!(with(&ended, "done"), [&due[..], &["quality"]].concat(), "{run}");
    assert_eq!(with(&ended, "up_to_date").len(), 3);
    assert_eq!(project.view().count("extract.taps", "files_parsed"), 1, "its file was read again");
    assert_eq!(artifacts(&project), before);
    let run = project.mp(&["run", "--all", "--no-cache"]).success();
    assert!(run.stdout.contains("nothing to do"), "{run}");
}

#[test]
fn folders_that_were_deleted_are_restored_without_a_computation() {
    let (project, _) = done();
    let before = artifacts(&project);
    for folder in ["data/processed", "data/output", "data/quality_reports"] {
        std::fs::remove_dir_all(project.path(folder)).expect("removed");
    }
    assert_eq!(with(&planned(&project, &[]), "restore"), TASKS);
    let run = project.mp(&["run", "--all", "--json"]).success();
    assert_eq!(with(&ended(&run), "restored"), TASKS);
    assert_eq!(artifacts(&project), before);
}

#[test]
fn a_kept_result_that_is_damaged_is_computed_again() {
    let (mut project, _) = done();
    let before = artifacts(&project);
    let gold = project.view().manifest("features")["outputs"][0]["sha256"].clone();
    let gold = gold.as_str().expect("a hash").to_owned();
    project.set("processing.lookback_window_days", json!(14));
    project.run_all();
    project.set("processing.lookback_window_days", json!(21));
    let object = project.path("data/.mp/objects").join(&gold[..2]).join(&gold);
    let mut bytes = std::fs::read(&object).expect("the object of the first Gold");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&object, bytes).expect("root may write");
    assert_eq!(with(&planned(&project, &[]), "run"), ["features"]);
    let run = project.mp(&["run", "--all", "--json"]).success();
    let ended = ended(&run);
    assert_eq!(
        (with(&ended, "done"), with(&ended, "restored")),
        (vec!["features"], vec!["quality"])
    );
    assert_eq!(artifacts(&project), before);
}

#[test]
fn a_result_that_is_no_longer_kept_is_computed() {
    let (mut project, _) = done();
    project.set("store.keep", json!(1));
    for days in [14, 21] {
        project.set("processing.lookback_window_days", json!(days));
        assert_eq!(with(&planned(&project, &[]), "run"), ["features"]);
        project.run_all();
        // What is old enough to be removed is removed after a commit.
        assert_eq!(
            std::fs::read_dir(project.path("data/.mp/results/features")).expect("kept").count(),
            1
        );
        project.set("processing.lookback_window_days", json!(7));
        project.run_all();
    }
}

#[test]
fn a_kept_result_whose_rows_are_too_old_by_now_is_not_restored() {
    let line = |day| Line::shown(&When::november(day), Some(0), "point", "1");
    let (first, other) = (vec![line(1), line(30)], vec![line(29), line(30), line(30)]);
    let world = |prints| World::of(prints, vec![line(30)], vec![]);
    let mut project = Project::empty()
        .with("validation.business_rules.min_timestamp_days_ago", json!(30))
        .with("processing.max_reject_rate", json!(1.0))
        .with("quality.enable_quality_checks", json!(false));
    project.write_world(&world(first.clone()));
    project.run_all();
    let manifest = project.view().manifest("extract.prints");
    assert_eq!(
        (&manifest["as_of"], &manifest["counts"]["rows_rejected"]),
        (&json!(null), &json!(0))
    );
    project.set("validation.as_of", json!("2020-12-01"));
    project.write_world(&world(other));
    project.run_all();
    assert_eq!(project.view().manifest("extract.prints")["as_of"], json!(null));
    project.write_world(&world(first));
    assert!(with(&planned(&project, &[]), "run").contains(&"extract.prints"));
    project.run_all();
    assert_eq!(project.view().count("extract.prints", "rows_rejected"), 1);
}

#[test]
fn input_that_changes_no_row_ends_the_work_after_extract() {
    for (name, change) in [
        ("a blank line", (|text: String| text + "\n") as fn(String) -> String),
        ("a field that nobody reads", |text| text.replacen("{\"day\"", "{\"note\": 1, \"day\"", 1)),
        ("another order of fields", |text| {
            let (line, rest) = text.split_once('\n').expect("a line");
            let fields: Value = serde_json::from_str(line).expect("JSON");
            let user = &fields["user_id"];
            let (day, data) = (&fields["day"], &fields["event_data"]);
            format!("{{\"user_id\": {user}, \"event_data\": {data}, \"day\": {day}}}\n{rest}")
        }),
    ] {
        let (project, _) = done();
        let before = artifacts(&project);
        let text = project.text("data/raw/taps.json");
        let changed = change(text.clone());
        assert_ne!(text, changed);
        project.write("data/raw/taps.json", changed);
        let verdicts = planned(&project, &[]);
        assert_eq!(with(&verdicts, "run"), ["extract.taps"], "{name}");
        assert_eq!(with(&verdicts, "run?"), ["features", "preprocess.taps", "quality"], "{name}");
        let plan = project.mp(&["plan"]).success();
        assert_eq!(plan.stdout.matches("unless its input turns out the same").count(), 3, "{plan}");
        let run = project.mp(&["run", "--all", "--json"]).success();
        let ended = ended(&run);
        assert_eq!(with(&ended, "done"), ["extract.taps"], "{name}: {run}");
        assert_eq!(with(&ended, "up_to_date").len(), 7, "{name}");
        assert_eq!(artifacts(&project), before, "{name}");
        let explained = project.mp(&["explain", "preprocess.taps", "--json"]).success();
        assert_eq!(explained.json("explain")["verdict"], "up_to_date", "{name}: {explained}");
    }
}
