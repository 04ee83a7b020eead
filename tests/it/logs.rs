//! The log file and the lines on stderr.

use serde_json::{Value, json};

use crate::project::Project;

fn log_text(project: &Project) -> String {
    let entries = std::fs::read_dir(project.path("logs")).expect("the log folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "a log file");
    paths.iter().map(|path| std::fs::read_to_string(path).expect("UTF-8")).collect()
}

#[test]
fn a_run_leaves_a_log_that_names_each_task() {
    let project = Project::november();
    project.mp(&["run", "--all"]).success();
    let log = log_text(&project);
    for task in crate::view::TASKS {
        assert!(log.contains(task), "{task} in {log}");
    }
}

#[test]
fn the_json_log_is_one_object_a_line() {
    let project = Project::november().with("logging.format", json!("json"));
    project.mp(&["run", "--all"]).success();
    let log = log_text(&project);
    assert!(log.lines().count() > 5);
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(value.is_object() && !value["level"].is_null(), "{line}");
    }
}

#[test]
fn the_log_goes_where_the_settings_say() {
    let project = Project::november()
        .with("logging.log_dir", json!("var/log"))
        .with("logging.log_file", json!("mp.txt"));
    project.mp(&["run", "--all"]).success();
    assert!(!project.path("logs").exists());
    let names: Vec<String> = std::fs::read_dir(project.path("var/log"))
        .expect("the log folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("mp")), "{names:?}");
}

#[test]
fn the_level_decides_what_is_logged() {
    let mut project = Project::november().with("logging.level", json!("ERROR"));
    project.mp(&["run", "--all"]).success();
    let entries = std::fs::read_dir(project.path("logs")).into_iter().flatten();
    let bytes: u64 = entries.map(|e| e.and_then(|e| e.metadata()).expect("a file").len()).sum();
    assert_eq!(bytes, 0, "nothing went wrong");
    project.set("logging.level", json!("INFO"));
    project.mp(&["run", "--all", "--force"]).success();
    assert!(!log_text(&project).is_empty());
}

#[test]
fn a_console_that_is_switched_off_stays_quiet_but_for_errors() {
    let project = Project::november().with("logging.enable_console", json!(false));
    let outcome = project.mp(&["run", "--all"]).success();
    assert_eq!(outcome.stderr, "");
    assert!(!log_text(&project).is_empty(), "the file is written all the same");
    let outcome = project.mp(&["run", "featres"]).fails(2);
    assert!(outcome.stderr.contains("featres"), "{outcome}");
}
