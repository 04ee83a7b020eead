//! A kept result or a kept result of a file that is damaged is none: it is told, computed again and
//! replaced.

use std::path::PathBuf;

use serde_json::Value;

use crate::crash::files_below;
use crate::project::Project;

const PARSED: &str = "data/.mp/parsed/prints";
const RESULTS: &str = "data/.mp/results/extract.prints";
const REPORT: &str = "data/quality_reports/quality_report.json";

fn text(path: &PathBuf) -> String {
    std::fs::read_to_string(path).expect("text")
}

fn write(path: &PathBuf, text: &str) {
    std::fs::remove_file(path).expect("removed");
    std::fs::write(path, text).expect("written");
}

/// Forgets the result of the prints, so that it is made of the results of single files.
fn forget_prints(project: &Project) {
    std::fs::remove_file(project.view().manifest_path("extract.prints")).expect("removed");
    std::fs::remove_dir_all(project.path(RESULTS)).expect("removed");
}

/// As builds of mp wrote it that knew no checksum.
fn without_checksum(text: &str) -> String {
    let at = text.rfind(",\"checksum\"").expect("a checksum");
    text[..at].to_owned() + "}"
}

/// With another first digit of the object that the rows lie in.
fn elsewhere(text: &str) -> String {
    let key = "\"rows_at\":{\"object\":\"";
    let at = text.find(key).expect("rows") + key.len();
    let digit = if text[at..].starts_with('a') { "b" } else { "a" };
    let mut damaged = text.to_owned();
    damaged.replace_range(at..=at, digit);
    damaged
}

#[test]
fn status_says_what_plan_says_of_a_manifest_that_was_edited() {
    let project = Project::november();
    project.run_all();
    let manifest = project.view().manifest_path("features");
    let edited = text(&manifest).replace("\"rows\": ", "\"rows\": 9");
    write(&manifest, &edited);
    let status = project.mp(&["status", "--json"]).json("status");
    let plan = project.mp(&["plan", "--json"]).json("plan");
    let of = |document: &Value, key: &str| {
        let tasks = document["tasks"].as_array().expect("tasks").iter();
        let mut features = tasks.filter(|task| task["task"] == "features");
        features.next().expect("features")[key].clone()
    };
    assert_eq!(of(&status, "state"), "restore", "{status:#}");
    assert_eq!(of(&status, "state"), of(&plan, "verdict"));
}

#[test]
fn a_damaged_result_of_a_file_is_told_and_computed_again() {
    let project = Project::november();
    project.run_all();
    let gold = std::fs::read(project.view().gold_path()).expect("gold");
    let record = &files_below(&project.path(PARSED))[0];
    let good = text(record);
    write(record, &elsewhere(&good));
    forget_prints(&project);
    let outcome = project.mp(&["verify"]).fails(1);
    assert!(outcome.stdout.contains(".mp/parsed/prints/"), "{outcome}");
    project.run_all();
    assert_eq!(text(record), good, "it is replaced");
    assert_eq!(std::fs::read(project.view().gold_path()).expect("gold"), gold);
    project.mp(&["verify"]).success();
}

#[test]
fn a_result_of_a_file_that_names_an_object_of_somebody_else_is_none() {
    let project = Project::november();
    project.run_all();
    let record = &files_below(&project.path(PARSED))[0];
    let good = text(record);
    write(record, &elsewhere(&without_checksum(&good)));
    forget_prints(&project);
    project.run_all();
    assert_eq!(text(record), good);
}

#[test]
fn a_result_of_a_file_without_a_checksum_is_read() {
    let project = Project::november();
    project.run_all();
    for record in files_below(&project.path(PARSED)) {
        let plain = without_checksum(&text(&record));
        write(&record, &plain);
    }
    forget_prints(&project);
    project.mp(&["verify"]).success();
    project.run_all();
    assert_eq!(project.view().count("extract.prints", "files_reused"), 1);
}

#[test]
fn a_kept_result_with_another_count_is_not_restored() {
    let project = Project::november();
    project.run_all();
    let rejected = project.view().count("extract.prints", "rows_rejected");
    let kept = files_below(&project.path(RESULTS));
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    let good = text(kept);
    project.run_all_with(&["--set", "processing.max_reject_rate=0.03"]);
    let line = format!("\"rows_rejected\": {rejected}");
    let damaged = good.replacen(&line, "\"rows_rejected\": 90", 1);
    assert_ne!(damaged, good);
    write(kept, &damaged);
    let outcome = project.mp(&["verify"]).fails(1);
    assert!(outcome.stdout.contains("checksum"), "{outcome}");
    let run = project.mp(&["run", "--all", "--json"]).success().json("run");
    let tasks = run["tasks"].as_array().expect("tasks");
    let prints = tasks.iter().find(|task| task["task"] == "extract.prints").expect("prints");
    assert_eq!((&prints["state"], &prints["restored"]), (&Value::from("done"), &false.into()));
    assert_eq!(project.view().count("extract.prints", "rows_rejected"), rejected);
    assert!(project.text(REPORT).contains("rejects"));
    assert!(text(kept).contains(&line), "it is replaced");
    project.mp(&["verify"]).success();
}

#[test]
fn a_manifest_in_force_with_another_count_is_as_good_as_none() {
    let project = Project::november();
    project.run_all();
    let path = project.view().manifest_path("extract.prints");
    let rejected = project.view().count("extract.prints", "rows_rejected");
    let line = format!("\"rows_rejected\": {rejected}");
    let damaged = text(&path).replacen(&line, "\"rows_rejected\": 90", 1);
    write(&path, &damaged);
    let plan = project.mp(&["plan"]).success();
    plan.prints(&["its manifest cannot be read: its checksum is wrong"]);
    project.run_all();
    assert_eq!(project.view().count("extract.prints", "rows_rejected"), rejected);
    project.mp(&["verify"]).success();
}
