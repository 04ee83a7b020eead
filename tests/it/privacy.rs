//! What must never reach a log or the terminal, and who may read the rejects.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde_json::json;

use crate::events::{Line, SOURCES, When, World};
use crate::project::Project;

/// Recognisable user ids and texts, in rows good and bad.
fn project() -> Project {
    let mut project = Project::empty()
        .with("processing.max_reject_rate", json!(1.0))
        .with("quality.enable_quality_checks", json!(false))
        .with("logging.level", json!("DEBUG"));
    let when = When::november(30);
    let secret = |n: usize| format!("user-secret-{n}");
    let mut prints: Vec<Line> =
        (0..30).map(|n| Line::shown(&when, Some(0), "point", &secret(n % 20))).collect();
    prints.push(Line::bad(r#"{"day": "2020-11-99 private-text", "user_id": "user-secret-77"}"#));
    prints.push(Line::bad("not JSON at all: private-text user-secret-78"));
    let payments = vec![
        Line::paid(&when, 100, "point", &secret(1)),
        Line::bad("2020-11-30,private-text,user-secret-79,point"),
        Line::bad("private-text,\"user-secret-80"),
    ];
    let taps = vec![Line::shown(&when, Some(0), "point", &secret(2))];
    project.write_world(&World::of(prints, taps, payments));
    project
}

#[track_caller]
fn assert_silent(text: &str, place: &str) {
    for word in ["user-secret", "private-text", "event_data"] {
        let line = text.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "{place} holds a raw line or a user id: {line:?}");
    }
}

fn logs(project: &Project) -> String {
    let entries = std::fs::read_dir(project.path("logs")).expect("the log folder");
    let texts = entries.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()));
    texts.map(|text| text.expect("UTF-8")).collect()
}

#[test]
fn no_log_line_holds_a_raw_line_or_a_user_id() {
    for format in ["text", "json"] {
        let mut project = project().with("logging.format", json!(format));
        let outcome = project.mp(&["run", "--all", "-v", "-v"]).success();
        assert_silent(&outcome.stderr, "stderr");
        assert_silent(&outcome.stdout, "stdout");
        project.set("processing.max_reject_rate", json!(0.0));
        let failed = project.mp(&["run", "--all", "-v"]).fails(4);
        assert_silent(&failed.stderr, "stderr of the failure");
        let records = std::fs::read_dir(project.path("data/.mp/runs")).expect("the history");
        for record in records {
            let path = record.expect("an entry").path();
            assert_silent(&std::fs::read_to_string(&path).expect("UTF-8"), "a record");
        }
        let logs = logs(&project);
        assert!(logs.lines().count() > 5, "there is a log");
        assert_silent(&logs, "the log");
    }
}

#[test]
fn manifests_and_reports_hold_no_user_id() {
    let project = project();
    project.run_all();
    let view = project.view();
    for task in crate::view::TASKS {
        assert_silent(&view.manifest(task).to_string(), task);
    }
    assert_silent(&view.report().to_string(), "the report");
}

#[test]
fn rejects_are_for_the_owner_and_group_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let mut project = project();
        let run = |project: &Project, code| {
            let script = format!("umask {umask}; exec \"$0\" \"$@\"");
            let plain = project.command(&["run", "--all", "-k"]);
            let mut command = Command::new("sh");
            command.arg("-c").arg(script).arg(plain.get_program()).args(plain.get_args());
            command.current_dir(project.root());
            for (name, value) in plain.get_envs() {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            let output = command.output().expect("sh runs");
            assert_eq!(output.status.code(), Some(code), "umask {umask}");
        };
        let mode =
            |path: std::path::PathBuf| std::fs::metadata(&path).expect("a file").mode() & 0o7777;
        run(&project, 0);
        for source in SOURCES {
            assert_eq!(mode(project.view().rejects_path(source)), 0o640, "umask {umask}");
        }
        project.set("processing.max_reject_rate", json!(0.0));
        run(&project, 4);
        let failed = project.path("data/processed/_rejects/prints.failed.csv");
        assert_eq!(mode(failed), 0o640, "umask {umask}");
    }
}

#[test]
fn rejects_in_the_store_are_for_the_owner_and_group_too() {
    let project = project();
    project.run_all();
    let mut folders = vec![project.path("data/.mp")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("a file");
            if bytes.windows(12).any(|window| window == b"private-text") {
                found += 1;
                let mode = std::fs::metadata(&path).expect("a file").mode();
                assert_eq!(mode & 0o007, 0, "{} is open to others", path.display());
            }
        }
    }
    assert!(found > 0, "the rejects are kept somewhere");
}
