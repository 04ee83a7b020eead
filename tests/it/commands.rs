//! status, head, export, help and JSON output; what the commands say, not what they compute.

use std::process::Stdio;

use serde_json::json;

use crate::events::Source;
use crate::project::Project;
use crate::readers::Table;
use crate::view::TASKS;

fn done() -> Project {
    let project = Project::november();
    project.run_all();
    project
}

#[test]
fn plan_names_each_task_with_what_will_happen_and_why() {
    let project = Project::november();
    let plan = project.mp(&["plan"]).success();
    for task in TASKS {
        let line = plan.stdout.lines().find(|line| line.contains(task));
        let line = line.unwrap_or_else(|| panic!("{task} is missing: {plan}"));
        assert!(line.contains("run"), "{line}");
    }
    project.run_all();
    let plan = project.mp(&["plan"]).success();
    for task in TASKS {
        let line = plan.stdout.lines().find(|line| line.contains(task)).expect("a line");
        assert!(line.contains("up to date"), "{line}");
    }
}

#[test]
fn plan_is_a_dry_run() {
    let project = Project::november();
    let plan = project.mp(&["plan"]).success();
    let dry = project.mp(&["run", "--all", "--dry-run"]).success();
    assert_eq!(plan.stdout, dry.stdout);
}

#[test]
fn status_names_each_task_and_what_is_no_longer_up_to_date() {
    let project = done();
    let status = project.mp(&["status"]).success();
    for task in TASKS {
        assert!(status.stdout.contains(task), "{task}: {status}");
    }
    std::fs::remove_file(project.view().gold_path()).expect("removed");
    let status = project.mp(&["status"]).success();
    let line = status.stdout.lines().find(|line| line.contains("features")).expect("a line");
    assert!(!line.contains("up to date"), "{status}");
    project.mp(&["plan"]).success().prints(&["training_dataset.parquet"]);
}

#[test]
fn status_shows_a_failed_attempt_and_its_exit_code_and_hint() {
    let project = done();
    let text = project.text("data/raw/prints.json");
    project.write("data/raw/prints.json", text + &"{\n".repeat(400));
    project.mp(&["run", "--all"]).fails(4);
    let status = project.mp(&["status"]).success();
    assert!(status.stdout.contains("failed"), "{status}");
}

#[test]
fn status_says_what_plan_says_and_tells_the_last_failure_beside_it() {
    let project = done();
    project.mp(&["run", "--all", "--set", "processing.max_reject_rate=0"]).fails(4);
    let same = |args: &[&str], code: i32| {
        let with = |command: &'static str| [&[command, "--json"], args].concat();
        let asked = |command| {
            let mut command = with(command);
            command.push("--exit-code");
            project.mp(&command).fails(code).json(command[0])
        };
        let (status, plan) = (asked("status"), asked("plan"));
        assert_eq!(status["up_to_date"], plan["up_to_date"]);
        for (status, plan) in std::iter::zip(
            status["tasks"].as_array().expect("tasks"),
            plan["tasks"].as_array().expect("tasks"),
        ) {
            assert_eq!((&status["task"], &status["state"]), (&plan["task"], &plan["verdict"]));
        }
        status
    };
    let failed = same(&["--set", "processing.max_reject_rate=0"], 4);
    let failure = |status: &serde_json::Value| {
        let tasks = status["tasks"].as_array().expect("tasks").iter();
        tasks.filter(|task| !task["failure"].is_null()).count()
    };
    assert!(failure(&failed) > 0);
    let plan = project.mp(&["plan", "--json"]).success().json("plan");
    let code = if plan["up_to_date"] == true { 0 } else { 1 };
    let status = same(&[], code);
    assert!(failure(&status) > 0, "it is told all the same: {status:#}");
    project.mp(&["status"]).success().prints(&["last failure", "were rejected"]);
}

#[test]
fn head_shows_rows_of_each_artifact() {
    let project = done();
    for (artifact, column) in [
        ("gold", "payments_amount_3w"),
        ("prints", "position"),
        ("taps", "position"),
        ("payments", "amount"),
        ("rejects:prints", "error_codes"),
    ] {
        let three = project.mp(&["head", artifact, "-n", "3"]).success().prints(&[column]);
        let one = project.mp(&["head", artifact, "-n", "1"]).success().prints(&[column]);
        assert!(three.stdout.lines().count() > one.stdout.lines().count(), "{artifact}: {three}");
    }
}

#[test]
fn head_shows_the_first_rows_as_they_stand_in_the_file() {
    let project = done();
    let gold = project.view().gold();
    let head = project.mp(&["head", "gold", "-n", "2"]).success();
    let mut lines = head.stdout.lines();
    for row in &gold.rows[..2] {
        let (user, prop) = (&row[1], &row[2]);
        let found = lines.any(|line| line.contains(user.as_str()) && line.contains(prop.as_str()));
        assert!(found, "{row:?} in {head}");
    }
}

#[test]
fn head_of_an_unknown_or_missing_artifact_is_an_error_that_says_what_there_is() {
    let project = Project::november();
    project.mp(&["head", "golf"]).fails(2).says(&["gold"]);
    let outcome = project.mp(&["head", "gold"]).fails(3);
    assert!(outcome.stderr.contains("mp run"), "what to do next: {outcome}");
}

#[test]
fn export_replaces_no_artifact_no_raw_file_and_no_device() {
    let project = done();
    for target in ["data/output/training_dataset.parquet", "data/raw/prints.json", "data/.mp/x.csv"]
    {
        let before = std::fs::read(project.path(target)).ok();
        let outcome = project.mp(&["export", "gold", "--csv", target]).fails(2);
        assert!(outcome.stderr.contains("raw files or artifacts"), "{}", outcome.stderr);
        assert_eq!(std::fs::read(project.path(target)).ok(), before);
    }
    project.mp(&["export", "gold", "--csv", "/dev/null"]).success();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    std::fs::write(project.path("target.csv"), "old").unwrap();
    std::os::unix::fs::symlink("target.csv", project.path("link.csv")).unwrap();
    project.mp(&["export", "gold", "--csv", "link.csv"]).success();
    assert!(project.path("link.csv").is_symlink());
    assert!(Table::csv(&project.path("target.csv")).rows.len() > 1);
}

#[test]
fn a_dry_run_of_export_and_synth_writes_nothing() {
    let project = done();
    project.mp(&["export", "gold", "--csv", "x.csv", "--dry-run"]).success();
    project.mp(&["synth", "made", "--prints", "10", "--dry-run"]).success();
    assert!(!project.path("x.csv").exists() && !project.path("made").exists());
}

#[test]
fn arguments_that_make_no_sense_are_a_document_too_where_one_was_asked_for() {
    let project = done();
    for arguments in [&["run", "--all", "features", "--json"][..], &["head", "x", "--json"]] {
        let outcome = project.mp(arguments).fails(2);
        let document: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(document["schema"], format!("mp/{}/1", arguments[0]));
        assert_eq!(document["error"]["exit_code"], 2);
    }
}

#[test]
fn export_writes_the_whole_artifact_as_csv() {
    let project = done();
    for artifact in ["gold", "prints", "taps", "payments"] {
        project.mp(&["export", artifact, "--csv", "x.csv"]).success();
        let csv = Table::csv(&project.path("x.csv"));
        let table = match artifact {
            "gold" => project.view().gold(),
            "prints" => project.view().silver(Source::Prints),
            "taps" => project.view().silver(Source::Taps),
            _ => project.view().silver(Source::Payments),
        };
        assert_eq!(csv.columns, table.columns);
        assert_eq!(csv.rows.len(), table.rows.len());
        for name in ["user_id", "value_prop_id"] {
            assert_eq!(csv.column(name), table.column(name), "{artifact}");
        }
        let money = |t: &Table, name: &str| -> Vec<f64> {
            t.column(name).iter().map(|text| text.parse().expect("a number")).collect()
        };
        for name in ["amount", "payments_amount_3w", "data_quality_score"] {
            if table.columns.iter().any(|column| column == name) {
                assert_eq!(money(&csv, name), money(&table, name), "{artifact} {name}");
            }
        }
    }
}

#[test]
fn json_output_is_one_document_under_its_schema_name() {
    let project = Project::november();
    project.mp(&["plan", "--json"]).success().json("plan");
    for stage in ["extract", "preprocess", "features", "quality"] {
        project.mp(&[stage, "--json"]).success().json(stage);
    }
    let run = project.mp(&["run", "--all", "--json"]).success().json("run");
    let text = run.to_string();
    for task in TASKS {
        assert!(text.contains(task), "{task}: {run:#}");
    }
    project.mp(&["plan", "--json"]).success().json("plan");
    project.mp(&["status", "--json"]).success().json("status");
    project.mp(&["graph", "--json"]).success().json("graph");
    let head = project.mp(&["head", "gold", "-n", "2", "--json"]).success().json("head");
    assert_eq!(head["rows"].as_array().map(Vec::len), Some(2), "{head:#}");
    project.mp(&["export", "gold", "--csv", "gold.csv", "--json"]).success().json("export");
    project.mp(&["synth", "raw", "--prints", "20", "--json"]).success().json("synth");
    project.mp(&["config", "show", "--json"]).success().json("config-show");
    project.mp(&["config", "check", "--json"]).success().json("config-check");
}

#[test]
fn errors_in_json_mode_are_a_document_too() {
    let project = Project::november();
    let outcome = project.mp(&["features", "--json"]).fails(6);
    let document = outcome.json("features");
    assert!(document.to_string().contains("mp run +features"), "{document:#}");
}

#[test]
fn stdout_carries_the_result_and_stderr_the_rest() {
    let project = done();
    for args in [["head", "gold"], ["config", "show"], ["graph", "-v"]] {
        let outcome = project.mp(&args).success();
        assert!(!outcome.stdout.is_empty(), "{outcome}");
    }
    let quiet = project.mp(&["run", "--all", "--force", "-q"]).success();
    assert_eq!(quiet.stderr, "", "quiet");
}

#[test]
fn progress_lines_tell_what_goes_on_where_there_is_no_terminal() {
    let project = Project::november();
    let outcome = project.mp(&["run", "--all"]).success();
    for sign in ["🚀 start:", "📈 [", "✅ done:", "(duration: "] {
        assert!(outcome.stderr.contains(sign), "{sign}: {outcome}");
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let project = Project::empty();
    for command in [
        "extract",
        "preprocess",
        "features",
        "quality",
        "run",
        "plan",
        "status",
        "runs",
        "show",
        "diff",
        "retry",
        "graph",
        "config show",
        "config check",
        "synth",
        "head",
        "export",
        "verify",
        "gc",
    ] {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = project.mp(&args).success();
        assert!(help.stdout.to_lowercase().contains("example"), "{help}");
        assert!(help.stdout.contains(&format!("mp {command}")), "{help}");
        let main = project.mp(&["--help"]).success();
        let first = command.split(' ').next().expect("a word");
        assert!(main.stdout.contains(first), "{first}: {main}");
    }
}

#[test]
fn a_closed_stdout_is_no_panic() {
    let project = done();
    for args in [
        ["head", "prints", "-n", "1000"].as_slice(),
        &["config", "show"],
        &["graph"],
        &["status"],
        &["plan", "--json"],
        &["--help"],
    ] {
        let mut command = project.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("mp starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ended");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        assert_ne!(output.status.code(), Some(70), "{args:?}: {stderr}");
        assert_ne!(output.status.code(), Some(101), "{args:?}: {stderr}");
    }
}

#[test]
fn a_log_folder_that_cannot_be_written_is_a_warning() {
    let project = Project::november().with("logging.log_dir", json!("no-folder"));
    project.write("no-folder", "a file");
    let outcome = project.mp(&["run", "--all"]).success();
    assert!(outcome.stderr.contains("no-folder"), "{outcome}");
}
