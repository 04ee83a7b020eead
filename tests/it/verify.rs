//! `mp verify`: whatever is damaged is named, and `--repair` and the next run make it good to the byte.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::locks::hold;
use crate::outcome::Outcome;
use crate::project::Project;
use crate::snapshot::{Snapshot, sha256_hex};
use crate::view::TASKS;

/// The published files of a project by path, with their content.
pub fn published(project: &Project) -> BTreeMap<PathBuf, String> {
    let view = project.view();
    let folders =
        [view.processed.clone(), view.processed.join("_rejects"), view.output, view.reports];
    files_in(&folders)
}

fn files_in(folders: &[PathBuf]) -> BTreeMap<PathBuf, String> {
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), sha256_hex(&std::fs::read(&path).expect("a file")))).collect()
}

pub fn objects(project: &Project) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(project.path("data/.mp/objects")).expect("objects") {
        let folder = folder.expect("an entry").path();
        let files = std::fs::read_dir(folder).expect("a folder");
        found.extend(files.map(|entry| entry.expect("an entry").path()));
    }
    found.sort();
    found
}

pub fn flip_in_place(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 1,
        None => bytes.push(b'x'),
    }
    let mode = std::fs::metadata(path).expect("a file").permissions();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("chmod");
    std::fs::write(path, bytes).expect("written");
    std::fs::set_permissions(path, mode).expect("chmod");
}

/// The other names of the file keep the old content.
pub fn replace_with_flipped(path: &Path) {
    let beside = path.with_extension("beside");
    std::fs::copy(path, &beside).expect("copied");
    flip_in_place(&beside);
    std::fs::rename(beside, path).expect("renamed");
}

fn truncate(path: &Path) {
    let bytes = std::fs::read(path).expect("a file");
    let mode = std::fs::metadata(path).expect("a file").permissions();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("chmod");
    let cut = if bytes.is_empty() { &b"x"[..] } else { &bytes[..bytes.len() / 2] };
    std::fs::write(path, cut).expect("written");
    std::fs::set_permissions(path, mode).expect("chmod");
}

pub fn remove(path: &Path) {
    std::fs::remove_file(path).expect("removed");
}

pub fn make_writable(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("chmod");
}

fn replace_with_folder(path: &Path) {
    remove(path);
    std::fs::create_dir(path).expect("a folder");
}

/// A name, what is done to a file, and the `problem` by which it is found.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

const DAMAGES: [Damage; 6] = [
    ("a byte turned in place", flip_in_place, &["changed"]),
    ("another file in its place", replace_with_flipped, &["changed"]),
    ("cut off", truncate, &["size", "changed"]),
    ("gone", remove, &["missing"]),
    ("writable", make_writable, &["mode"]),
    ("a folder in its place", replace_with_folder, &["not_a_file"]),
];

#[track_caller]
pub fn findings(outcome: &Outcome) -> Vec<Value> {
    outcome.json("verify")["findings"].as_array().expect("findings").clone()
}

/// The finding about a path.
#[track_caller]
pub fn finding<'f>(found: &'f [Value], path: &Path) -> &'f Value {
    let path = path.to_string_lossy();
    let it = found.iter().find(|finding| finding["path"].as_str() == Some(&*path));
    it.unwrap_or_else(|| panic!("{path} is not among {found:#?}"))
}

#[track_caller]
pub fn assert_well(project: &Project) {
    let outcome = project.mp(&["verify"]).success();
    assert!(outcome.stdout.contains("all is well"), "{outcome}");
}

/// Repairs; all is well then, or something is to run again and whoever asked is told so.
#[track_caller]
pub fn repair(project: &Project) -> Outcome {
    let outcome = project.mp(&["verify", "--repair"]);
    let is_to_run = outcome.stdout.contains("still to run");
    let outcome = outcome.fails(i32::from(is_to_run));
    let is_well = ["all is well", "all mended"].iter().any(|text| outcome.stdout.contains(text));
    assert_ne!(is_well, is_to_run, "{outcome}");
    outcome
}

#[test]
fn what_is_as_it_should_be_is_said_to_be_and_not_touched() {
    let project = Project::november();
    let nothing = project.mp(&["verify"]).success();
    assert!(nothing.stdout.contains("nothing to verify yet"), "{nothing}");
    assert!(!project.path("data/.mp").exists(), "no store is made to look at");
    project.run_all();
    let before = project.snapshot();
    assert_well(&project);
    let outcome = project.mp(&["verify", "--repair"]).success();
    assert!(outcome.stdout.contains("all is well"), "{outcome}");
    let facts = project.mp(&["verify", "--json"]).success().json("verify");
    assert_eq!(
        (&facts["ok"], &facts["artifacts"], &facts["manifests"]),
        (&json!(true), &json!(9), &json!(8))
    );
    assert_eq!(facts["objects"], json!(objects(&project).len()));
    before.assert_same(&project.snapshot());
}

#[test]
fn every_damage_of_every_artifact_is_named_and_made_good_to_the_byte() {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    assert_eq!(good.len(), 9);
    for path in good.keys() {
        for (what, damage, problems) in DAMAGES {
            let name = path.display();
            damage(path);
            let found = findings(&project.mp(&["verify", "--json"]).fails(1));
            let one = finding(&found, path);
            let problem = one["problem"].as_str().expect("a problem");
            assert!(problems.contains(&problem), "{name}, {what}: {one:#}");
            assert!(!one["needed_by"].as_array().expect("tasks").is_empty(), "{one:#}");
            let outcome = repair(&project);
            let is_to_run = outcome.stdout.contains("still to run");
            assert_eq!(path.exists(), !is_to_run, "{name}, {what}: {outcome}");
            project.mp(&["run", "--all"]).success();
            assert_eq!(published(&project), good, "{name}, {what}");
            assert_well(&project);
        }
    }
    project.run_all();
}

#[test]
fn every_damage_of_every_object_is_named_and_nothing_is_lost_by_it() {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    for path in objects(&project) {
        for (what, damage, problems) in DAMAGES {
            let name = path.display();
            if !path.exists() {
                // Let go by the last repair, as it may be; made again.
                project.mp(&["run", "--all", "--force"]).success();
            }
            damage(&path);
            let found = findings(&project.mp(&["verify", "--json"]).fails(1));
            let one = finding(&found, &path);
            let problem = one["problem"].as_str().expect("a problem");
            assert!(problems.contains(&problem), "{name}, {what}: {one:#}");
            assert!(!one["needed_by"].as_array().expect("who").is_empty(), "{one:#}");
            repair(&project);
            project.mp(&["run", "--all"]).success();
            assert_eq!(published(&project), good, "{name}, {what}");
            assert_well(&project);
        }
    }
    project.run_all();
}

#[test]
fn an_artifact_with_a_whole_object_needs_no_run_and_one_without_says_why_it_runs() {
    let project = Project::november();
    project.run_all();
    let gold = project.view().gold_path();
    remove(&gold);
    let outcome = project.mp(&["verify", "--repair"]).success();
    assert!(outcome.stdout.contains("published again from its object"), "{outcome}");
    project.mp(&["plan", "--exit-code"]).success();

    flip_in_place(&gold);
    let outcome = repair(&project);
    assert!(outcome.stdout.contains("still to run: features, with `mp run --all`"), "{outcome}");
    let plan = project.mp(&["plan", "--exit-code"]).fails(1);
    let line = plan.stdout.lines().find(|line| line.starts_with("features")).expect("features");
    assert!(line.contains("set aside") && line.contains("training_dataset.parquet"), "{plan}");
    let facts = project.mp(&["verify", "--json"]).fails(1).json("verify");
    assert_eq!((&facts["ok"], &facts["findings"]), (&json!(false), &json!([])), "{facts:#}");
    assert_eq!(facts["to_run"][0]["task"], "features", "{facts:#}");
    let before = project.view().runs();
    project.run_all();
    assert_eq!(project.view().ran_since(&before), ["features"], "quality sees the same bytes");
    assert_well(&project);
}

#[test]
fn an_object_that_nobody_names_is_looked_at_too() {
    let project = Project::november();
    project.run_all();
    let name = "0".repeat(64);
    project.write(&format!("data/.mp/objects/00/{name}"), "not what its name says");
    let outcome = project.mp(&["verify"]).fails(1);
    assert!(
        outcome.stdout.contains(&name) && outcome.stdout.contains("nobody needs it"),
        "{outcome}"
    );
    project.mp(&["verify", "--repair"]).success();
    assert!(!project.path(&format!("data/.mp/objects/00/{name}")).exists());
    assert_well(&project);
}

/// What is done to a manifest.
type Edit = fn(&str) -> String;

const EDITS: [(&str, Edit); 4] = [
    ("torn", |text| text[..text.len() / 2].to_owned()),
    ("empty", |_| String::new()),
    ("another setting", |text| text.replacen("\"stage_version\": ", "\"stage_version\": 9", 1)),
    ("another count", |text| text.replacen("\"counts\": {", "\"counts\": {\n    \"more\": 1,", 1)),
];

#[test]
fn an_edited_or_torn_manifest_is_named_and_made_good() {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    for task in TASKS {
        for (what, edit) in EDITS {
            let path = project.view().manifest_path(task);
            let text = std::fs::read_to_string(&path).expect("a manifest");
            let edited = edit(&text);
            assert_ne!(edited, text, "{task}, {what}");
            std::fs::write(&path, edited).expect("written");
            let found = findings(&project.mp(&["verify", "--json"]).fails(1));
            assert_eq!(finding(&found, &path)["kind"], "manifest", "{task}, {what}");
            repair(&project);
            project.mp(&["run", "--all"]).success();
            assert_eq!(published(&project), good, "{task}, {what}");
            assert_well(&project);
            assert_eq!(project.view().manifest(task)["counts"]["more"], Value::Null);
        }
    }
}

#[test]
fn a_torn_manifest_without_a_kept_result_is_set_aside() {
    let project = Project::november();
    project.run_all();
    std::fs::remove_dir_all(project.path("data/.mp")).expect("removed");
    assert_well(&project);
    project.mp(&["plan", "--exit-code"]).success();
    let path = project.view().manifest_path("features");
    truncate(&path);
    let outcome = repair(&project);
    assert!(outcome.stdout.contains("set aside: features runs again"), "{outcome}");
    project.run_all();
    assert_well(&project);
}

#[test]
fn what_a_newer_mp_wrote_is_refused_and_nothing_is_touched() {
    let project = Project::november();
    project.run_all();
    let path = project.view().manifest_path("quality");
    let text = std::fs::read_to_string(&path).expect("a manifest");
    let newer = text.replace("\"manifest_version\": 1", "\"manifest_version\": 99");
    std::fs::write(&path, newer).expect("written");
    remove(&project.view().gold_path());
    let before = project.snapshot();
    for args in [["verify", "--json"], ["verify", "--repair"]] {
        let outcome = project.mp(&args).fails(1);
        assert!(outcome.stdout.contains("99"), "{outcome}");
    }
    before.assert_same(&project.snapshot());
}

#[test]
fn a_failed_attempt_beside_a_good_result_is_no_damage() {
    let mut project = Project::november();
    project.run_all();
    project.set("quality.min_data_quality_score", json!(1));
    project.mp(&["run", "--all"]).fails(5);
    assert!(!project.view().success_path().exists());
    assert_well(&project);
    project.set("quality.min_data_quality_score", json!(0.5));
    project.set("processing.max_reject_rate", json!(0));
    project.mp(&["run", "--all"]).fails(4);
    assert_well(&project);
    let failed: Vec<PathBuf> = published(&project)
        .into_keys()
        .filter(|path| path.to_string_lossy().ends_with(".failed.csv"))
        .collect();
    assert!(!failed.is_empty());
    for path in &failed {
        replace_with_flipped(path);
    }
    let found = findings(&project.mp(&["verify", "--json"]).fails(1));
    failed.iter().for_each(|path| assert_eq!(finding(&found, path)["kind"], "artifact"));
    project.mp(&["verify", "--repair"]).success();
    assert_well(&project);
    project.set("processing.max_reject_rate", json!(0.5));
    project.run_all();
    assert_well(&project);
}

#[test]
fn results_that_were_let_go_are_no_damage() {
    let project = Project::november()
        .with("store.keep", json!(1))
        .with("preprocess.dedupe.prints", json!("drop"))
        .with("validation.business_rules.min_timestamp_days_ago", json!(10))
        .with("processing.max_reject_rate", json!(1))
        .with("data_paths.processed", json!("data/{as_of}/processed"))
        .with("data_paths.output", json!("data/{as_of}/output"))
        .with("quality.quality_report_path", json!("data/{as_of}/reports"));
    for day in ["2020-11-28", "2020-11-29", "2020-11-30"] {
        project.mp(&["run", "--all", "--as-of", day]).success();
    }
    let facts = project.mp(&["verify", "--json"]).success().json("verify");
    assert_eq!(facts["artifacts"], json!(27), "of three days: {facts:#}");
    assert_ne!(facts["objects_not_kept"], json!(0), "{facts:#}");
}

#[test]
fn every_day_is_looked_at_or_the_one_that_is_asked_for() {
    let project = Project::november()
        .with("data_paths.processed", json!("data/{as_of}/processed"))
        .with("data_paths.output", json!("data/{as_of}/output"))
        .with("quality.quality_report_path", json!("data/{as_of}/reports"));
    for day in ["2020-11-29", "2020-11-30"] {
        project.mp(&["run", "--all", "--as-of", day]).success();
    }
    // The store knows whose it is; so do the folders, should it be lost.
    for lose_notes in [false, true] {
        if lose_notes {
            std::fs::remove_dir_all(project.path("data/.mp/homes")).expect("removed");
        }
        flip_in_place(&project.view_of("2020-11-29").gold_path());
        project.mp(&["verify", "--as-of", "2020-11-30", "quality"]).success();
        project.mp(&["verify", "--as-of", "2020-11-29", "quality"]).success();
        project.mp(&["verify", "--as-of", "2020-11-29", "features"]).fails(1);
        project.mp(&["verify", "features"]).fails(1);
        let outcome = repair(&project);
        let command = "`mp run --all --as-of 2020-11-29`";
        assert!(outcome.stdout.contains(command), "{outcome}");
        project.mp(&["run", "--all", "--as-of", "2020-11-29"]).success();
        assert_well(&project);
    }
}

#[test]
fn folders_of_another_configuration_in_the_same_store_are_looked_at() {
    let project = Project::november();
    project.run_all();
    let other = ["--set", "data_paths.output=data/elsewhere"];
    project.mp(&[&["run", "--all"][..], &other].concat()).success();
    std::fs::remove_file(project.path("data/elsewhere/training_dataset.parquet")).expect("removed");
    let outcome = project.mp(&["verify"]).fails(1);
    assert!(outcome.stdout.contains("data/elsewhere/training_dataset.parquet"), "{outcome}");
    project.mp(&["verify", "--repair"]).success();
    assert!(project.path("data/elsewhere/training_dataset.parquet").exists());
}

#[test]
fn selectors_choose_whose_files_are_looked_at() {
    let project = Project::november();
    project.run_all();
    flip_in_place(&project.view().gold_path());
    for fine in ["quality", "+preprocess", "extract.prints"] {
        project.mp(&["verify", fine]).success();
    }
    for bad in ["features", "+quality", "features+"] {
        let outcome = project.mp(&["verify", bad]).fails(1);
        assert!(outcome.stdout.contains("training_dataset.parquet"), "{outcome}");
    }
    project.mp(&["verify", "nothing"]).fails(2);
}

#[test]
fn a_damaged_kept_result_is_never_restored() {
    let mut project = Project::november();
    project.run_all();
    let (gold, good) = (project.view().gold_path(), published(&project));
    let object = project.path("data/.mp/objects");
    let hash = sha256_hex(&std::fs::read(&gold).expect("Gold"));
    project.set("processing.lookback_window_days", json!(14));
    project.run_all();
    flip_in_place(&object.join(&hash[..2]).join(&hash));
    let outcome = project.mp(&["verify", "--repair"]).success();
    assert!(outcome.stdout.contains(&hash), "{outcome}");
    assert!(
        !outcome.stdout.contains("still to run"),
        "nothing that is published needs it: {outcome}"
    );
    assert_well(&project);
    project.set("processing.lookback_window_days", json!(21));
    project.run_all();
    assert_eq!(published(&project), good);
    assert_well(&project);
}

#[test]
fn damage_in_a_task_that_another_process_runs_cannot_be_judged() {
    let project = Project::november();
    project.run_all();
    remove(&project.view().silver_path(crate::events::Source::Taps));
    let lock = hold(&project, "preprocess.taps");
    for repair in [&["verify"][..], &["verify", "--repair"]] {
        let outcome = project.mp(&[repair, &["--lock-timeout", "0s"]].concat()).fails(75);
        let outcome = outcome.prints(&["otherhost", "1 could not be judged: "]);
        assert!(!outcome.stdout.contains("as they should be"), "{outcome}");
    }
    drop(lock);
    project.mp(&["verify"]).fails(1);
    let lock = hold(&project, "preprocess.prints");
    project.mp(&["verify", "--repair", "--lock-timeout", "0s"]).success();
    drop(lock);
    assert_well(&project);
}

#[test]
fn beside_a_run_nothing_is_taken_for_damage() {
    let mut project = Project::november();
    project.run_all();
    for round in 0..6 {
        project.set("processing.lookback_window_days", json!(10 + round));
        let mut child = project.command(&["run", "--all", "--force"]).spawn().expect("mp starts");
        while child.try_wait().expect("a child").is_none() {
            project.mp(&["verify", "-q"]).success();
            project.mp(&["verify", "--repair", "-q"]).success();
        }
        assert!(child.wait().expect("ended").success());
    }
    project.run_all();
    assert_well(&project);
}

#[test]
fn damage_that_no_time_stamp_shows_is_found_and_not_believed_away_again() {
    let project = Project::empty();
    project.mp(&["synth", "data/raw", "--prints", "100000", "--end", "2020-11-30"]).success();
    project.mp(&["run", "--all"]).success();
    assert!(project.path("data/.mp/memo.json").exists(), "there is enough to be remembered");
    let gold = project.view().gold_path();
    let modified = std::fs::metadata(&gold).expect("Gold").modified().expect("a time");
    flip_in_place(&gold);
    let file = std::fs::File::open(&gold).expect("Gold");
    file.set_times(std::fs::FileTimes::new().set_modified(modified)).expect("set");
    project.mp(&["plan", "--exit-code"]).success();
    project.mp(&["verify"]).fails(1);
    project.mp(&["plan", "--exit-code"]).fails(1);
    repair(&project);
    project.mp(&["run", "--all"]).success();
    assert_well(&project);
}

#[test]
fn a_dry_repair_changes_nothing() {
    let project = Project::november();
    project.run_all();
    remove(&project.view().gold_path());
    let before = Snapshot::of(project.root());
    project.mp(&["verify", "--repair", "--dry-run"]).fails(1);
    before.assert_same(&Snapshot::of(project.root()));
}
