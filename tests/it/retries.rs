//! Retries, time limits, going on after a failure, and failures that are remembered, through the
//! program.

use std::process::Stdio;

use serde_json::json;

use crate::events::Source;
use crate::project::Project;

/// A graph file with more keys for the stage extract.
fn graph(project: &Project, extract: &str) {
    project.write(
        "dags/carousel.yaml",
        format!(
            "version: 1\nname: carousel\nstages:\n  extract:\n    each: sources\n{extract}\
             \x20 preprocess: {{each: sources, needs: [extract]}}\n\
             \x20 features: {{needs: [preprocess]}}\n\
             \x20 quality: {{needs: [extract, preprocess, features]}}\n"
        ),
    );
}

fn without_taps() -> Project {
    let project = Project::november();
    std::fs::remove_file(project.path("data/raw/taps.json")).expect("removed");
    project
}

fn spoiled(source: Source) -> Project {
    let project = Project::november();
    let file = format!("data/raw/{}", source.default_file());
    let text = project.text(&file) + &"{\n".repeat(400);
    project.write(&file, text);
    project
}

fn count(text: &str, words: &str) -> usize {
    text.matches(words).count()
}

#[test]
fn a_file_that_comes_late_is_found_by_a_retry() {
    let project = Project::november();
    let (path, late) = (project.path("data/raw/taps.json"), project.path("late"));
    std::fs::rename(&path, &late).expect("moved");
    let args = ["run", "--all", "--retries", "50", "--retry-delay", "50ms", "-k"];
    let mut command = project.command(&args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = command.spawn().expect("mp");
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(run.stderr.take().expect("it")));
    let first =
        lines.find(|line| line.as_ref().expect("a line").contains("retrying in 50ms (1 of 50)"));
    assert!(first.is_some(), "it was tried again");
    std::fs::rename(&late, &path).expect("moved back");
    lines.for_each(drop);
    assert_eq!(run.wait().expect("its end").code(), Some(0));
    project.run_all();
}

#[test]
fn the_graph_file_says_how_often_and_the_flag_says_otherwise() {
    let project = without_taps();
    graph(&project, "    retries: 2\n    retry_delay: 1ms\n");
    let outcome = project.mp(&["extract", "--source", "taps"]).fails(3);
    outcome.says(&["retrying in 1ms (1 of 2): extract.taps: ", "retrying in 2ms (2 of 2)"]);
    let outcome = project.mp(&["extract", "--source", "taps", "--retries", "0"]).fails(3);
    assert_eq!(count(&outcome.stderr, "retrying"), 0, "{outcome}");
    let outcome = project.mp(&["run", "extract.taps", "--json"]).fails(3);
    assert_eq!(outcome.json("run")["tasks"][0]["retries"], 2);
}

#[test]
fn a_task_of_airflow_leaves_retries_to_airflow_unless_it_is_asked() {
    let project = without_taps();
    graph(&project, "    retries: 2\n    retry_delay: 1ms\n");
    let extract = ["extract", "--source", "taps", "--airflow"];
    let outcome = project.mp(&extract).fails(3);
    assert_eq!(count(&outcome.stderr, "retrying"), 0, "{outcome}");
    let outcome = project.mp(&[&extract[..], &["--retries", "1"]].concat()).fails(3);
    assert_eq!(count(&outcome.stderr, "retrying in 1ms (1 of 1)"), 1, "{outcome}");
}

#[test]
fn how_a_stage_is_tried_restales_nothing_and_is_not_in_the_dag_of_airflow() {
    let project = Project::november();
    graph(&project, "");
    project.run_all();
    let dag = project.mp(&["airflow", "dag", "--operator", "bash"]).success().stdout;
    graph(&project, "    retries: 7\n    retry_delay: 9m\n    timeout: 5h\n");
    project.mp(&["plan", "--exit-code"]).success();
    assert_eq!(project.mp(&["airflow", "dag", "--operator", "bash"]).success().stdout, dag);
}

#[test]
fn a_mistake_in_how_a_stage_is_tried_is_told_with_file_and_line() {
    let project = Project::november();
    for (keys, words) in [
        ("    retrys: 3\n", ["unknown field `retrys`", "did you mean `retries`?"]),
        (
            "    retry_delay: soon\n",
            ["`soon` is not a time such as `5s`", "stages.extract.retry_delay"],
        ),
        ("    timeout: 0s\n", ["`0s` is not a time such as `90s`", "stages.extract.timeout"]),
    ] {
        graph(&project, keys);
        project.mp(&["plan"]).fails(2).says(&words).says(&["dags/carousel.yaml", "line 6"]);
    }
    project.mp(&["run", "--task-timeout", "0s"]).fails(2).says(&["above zero"]);
    project.mp(&["run", "--retries", "101"]).fails(2).says(&["101"]);
}

#[test]
fn a_task_past_its_time_limit_is_stopped_and_its_failure_is_its_own() {
    let project = Project::november();
    // A single line of many seconds of reading, that takes no room.
    let raw = std::fs::File::create(project.path("data/raw/taps.json")).expect("a file");
    raw.set_len(200 << 30).expect("a long file");
    let args = ["run", "--all", "-k", "--jobs", "1", "--retries", "1", "--retry-delay", "0s"];
    let outcome = project.mp(&[&args[..], &["--task-timeout", "2s"]].concat()).fails(1);
    let words = "`extract.taps` was stopped: it took longer than its `timeout` of 2s";
    outcome.says(&["(1 of 1): extract.taps", words, "`--task-timeout`"]);
    assert!(project.view().manifest_path("preprocess.prints").exists(), "the others went on");
    let tmp = project.path("data/.mp/tmp");
    assert_eq!(tmp.read_dir().expect("tmp").count(), 0, "nothing is left of it");
    let failed = project.text("data/processed/_manifests/extract.taps.failed.json");
    assert!(failed.contains("took longer than"), "{failed}");
}

#[test]
fn without_keep_going_nothing_begins_after_a_failure() {
    let project = spoiled(Source::Payments);
    let outcome = project.mp(&["run", "--all", "--jobs", "1"]).fails(4);
    assert_eq!(count(&outcome.stderr, "start: "), 1, "{outcome}");
    let words =
        ["1 failed, 3 blocked, 4 not begun", "`--keep-going`", "extract.taps         not begun"];
    outcome.prints(&words);
    let outcome = project.mp(&["run", "--all", "-k", "--force"]).fails(4);
    outcome.prints(&["4 done, 1 failed, 3 blocked"]);
    let document = project.mp(&["run", "--jobs", "1", "--force", "--json"]).fails(4).json("run");
    let states: Vec<_> =
        document["tasks"].as_array().expect("tasks").iter().map(|task| &task["state"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "not_begun").count(), 4, "{document:#}");
}

#[test]
fn what_is_up_to_date_is_told_so_after_a_failure_too() {
    let project = Project::november();
    project.run_all();
    let text = project.text("data/raw/pays.csv") + &"x\n".repeat(400);
    project.write("data/raw/pays.csv", text);
    let outcome = project.mp(&["run", "--all", "--jobs", "1"]).fails(4);
    outcome.prints(&["1 failed, 3 blocked", "4 up to date"]);
}

#[test]
fn a_failure_of_the_data_is_told_again_at_once_until_something_changes() {
    let project = spoiled(Source::Prints);
    let extract = ["extract", "--source", "prints"];
    let first = project.mp(&extract).fails(4);
    assert_eq!(count(&first.stderr, "start: "), 1, "{first}");
    // But that it was asked for, which the history keeps.
    let snapshot = || project.snapshot().without("data/.mp/runs/");
    let before = snapshot();
    let again = project.mp(&extract).fails(4);
    assert_eq!(count(&again.stderr, "start: "), 0, "nothing is computed: {again}");
    again.says(&[
        "rows of prints were rejected",
        "(remembered from run ",
        "`--force` computes it again",
    ]);
    before.assert_same(&snapshot());
    let document = project.mp(&["run", "extract.prints", "--json"]).fails(4).json("run");
    assert!(document["tasks"][0]["remembered"].is_string(), "{document:#}");
    assert_eq!(document["tasks"][0]["counts"]["rows_read"], json!(1304), "{document:#}");
    project
        .mp(&["plan"])
        .fails(4)
        .prints(&["extract.prints       failed ", "(remembered from run "]);
    project.mp(&["status"]).success().prints(&["(remembered from run "]);
    // As a task of Airflow it ends the same way, so Airflow does not try again either.
    let airflow = project.mp(&[&extract[..], &["--airflow"]].concat()).fails(4);
    assert!(airflow.stdout.contains("\"retryable\":false"), "{airflow}");
    for changed in
        [&["--force"][..], &["--no-cache"], &["--set", "processing.max_reject_rate=0.01"]]
    {
        let outcome = project.mp(&[&extract[..], changed].concat());
        assert!(!outcome.stderr.contains("remembered"), "{changed:?}: {outcome}");
    }
}

#[test]
fn another_day_is_another_failure_where_it_matters() {
    let project = Project::november();
    let extract = |day| project.mp(&["extract", "--source", "taps", "--as-of", day]).fails(4);
    extract("2026-01-01");
    extract("2026-01-01").says(&["(remembered from run ", "before 2026-01-01"]);
    let outcome = extract("2026-01-02").says(&["before 2026-01-02"]);
    assert!(!outcome.stderr.contains("remembered"), "{outcome}");
    // Rows that are no rows are none on any day.
    let project = spoiled(Source::Taps);
    project.mp(&["extract", "--source", "taps"]).fails(4);
    let outcome = project.mp(&["extract", "--source", "taps", "--as-of", "2020-11-29"]).fails(4);
    outcome.says(&["(remembered from run "]);
}

#[test]
fn a_repaired_file_is_read_and_a_lost_reject_file_is_made_again() {
    let project = spoiled(Source::Prints);
    let extract = ["extract", "--source", "prints"];
    project.mp(&extract).fails(4);
    std::fs::remove_file(project.path("data/processed/_rejects/prints.failed.csv")).expect("it");
    let outcome = project.mp(&extract).fails(4);
    assert!(!outcome.stderr.contains("remembered"), "{outcome}");
    assert!(project.path("data/processed/_rejects/prints.failed.csv").exists());
    let text = project.text("data/raw/prints.json");
    project.write("data/raw/prints.json", text.trim_end_matches("{\n"));
    project.mp(&extract).success();
    project.run_all();
}

#[test]
fn a_gate_that_is_shut_is_told_again_and_opens_with_another_rule() {
    let rules = json!({"payments_have_taps": {"severity": "error", "threshold": 0.99}});
    let mut project = Project::november().with("quality.rules", rules);
    project.mp(&["run", "--all"]).fails(5);
    let again = project.mp(&["run", "--all"]).fails(5);
    let again = again.says(&["payments_have_taps", "(remembered from run "]);
    assert_eq!(count(&again.stderr, "start: "), 0, "{again}");
    std::fs::remove_file(project.view().report_path()).expect("the report");
    let outcome = project.mp(&["quality"]).fails(5);
    assert!(!outcome.stderr.contains("remembered"), "the report is made again: {outcome}");
    project.set("quality.rules", json!({}));
    project.run_all();
}
