//! The history: what is recorded of a run, `runs`, `show`, `diff` and `retry`.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::locks::hold;
use crate::project::Project;
use crate::view::TASKS;

const PANIC: &str = "MP_TEST_PANIC";

/// The runs as `mp runs --json` lists them.
fn runs(project: &Project) -> Vec<Value> {
    let document = project.mp(&["runs", "--json"]).success().json("runs");
    document["runs"].as_array().expect("runs").clone()
}

fn show(project: &Project, run: &str) -> Value {
    project.mp(&["show", run, "--json"]).success().json("show")
}

fn task<'r>(record: &'r Value, name: &str) -> &'r Value {
    let tasks = record["tasks"].as_array().expect("tasks");
    tasks.iter().find(|task| task["task"] == name).unwrap_or_else(|| panic!("{name}: {record:#}"))
}

/// `features setting processing.lookback_window_days 21 → 14` for each change.
fn changes(project: &Project, old: &str, new: &str) -> Vec<String> {
    let document = project.mp(&["diff", old, new, "--json"]).success().json("diff");
    let line = |place: &str, change: &Value| {
        let side = |name: &str| change.get(name).map_or("–".into(), Value::to_string);
        let (kind, name) = (&change["kind"], &change["name"]);
        format!("{place} {kind} {name} {} → {}", side("old"), side("new")).replace('"', "")
    };
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let mut lines: Vec<String> =
        list(&document["run"]).iter().map(|change| line("run", change)).collect();
    for task in list(&document["tasks"]) {
        let name = task["task"].as_str().expect("a name");
        lines.extend(list(&task["changes"]).iter().map(|change| line(name, change)));
    }
    assert_eq!(document["same"], lines.is_empty());
    lines
}

fn records(project: &Project) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(project.path("data/.mp/runs")).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn start(project: &Project, args: &[&str]) -> Child {
    let mut command = project.command(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("mp starts")
}

/// Waits until so many runs are recorded.
fn wait_for_records(project: &Project, count: usize) {
    let began = Instant::now();
    let ready = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    while records(project).iter().filter(|path| ready(path)).count() < count {
        assert!(began.elapsed() < Duration::from_secs(60), "no record appears");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_is_recorded_with_what_was_asked_and_what_came_of_it() {
    let mut project = Project::november();
    project.set("processing.lookback_window_days", json!(14));
    project.mp(&["run", "+features", "--set", "store.keep=2"]).success();
    let listed = &runs(&project)[0];
    assert_eq!(listed["status"], "ended");
    assert_eq!(listed["command"], "mp run +features");
    assert_eq!(listed["tasks"]["done"], 7);
    let record = show(&project, "latest");
    assert_eq!(record["run"], listed["run"]);
    assert_eq!(record["as_of"], "2020-12-01T00:00:00Z");
    assert_eq!(record["exit_code"], 0);
    let setting = &record["settings"]["processing.lookback_window_days"];
    assert_eq!(setting["value"], 14);
    assert!(setting["origin"].as_str().is_some_and(|text| text.starts_with("config/params.yaml:")));
    assert_eq!(record["settings"]["store.keep"], json!({"value": 2, "origin": "--set"}));
    assert_eq!(record["settings"]["processing.chunk_size"], json!({"value": 10_000}));
    for name in TASKS.into_iter().filter(|name| *name != "quality") {
        let (task, manifest) = (task(&record, name), project.view().manifest(name));
        assert_eq!(task["end"], "done");
        assert_eq!(task["reasons"], json!(["never run"]));
        for key in ["stage_version", "settings", "as_of", "inputs"] {
            assert_eq!(task["ingredients"][key], manifest[key], "{name}: {key}");
        }
        for key in ["fingerprint", "counts"] {
            assert_eq!(task[key], manifest[key], "{name}: {key}");
        }
        assert_eq!(manifest["run"]["id"], record["run"]);
    }
    let shown = project.mp(&["show"]).success();
    let run = record["run"].as_str().expect("an id");
    shown.prints(&[
        run,
        "mp run +features",
        "lookback_window_days: 14 (from config/params.yaml:",
        "features: done",
        "rejects",
        "timestamp.invalid 4",
        "training_dataset.parquet",
    ]);
}

#[test]
fn a_run_with_nothing_to_do_writes_nothing_but_the_log() {
    let project = Project::november();
    project.run_all();
    let before = project.snapshot();
    for args in [
        ["run", "--all"].as_slice(),
        &["features"],
        &["extract", "--json"],
        &["runs"],
        &["show"],
        &["diff", "latest", "latest"],
        &["retry"],
        &["run", "--all", "--dry-run"],
    ] {
        project.mp(args).success();
        before.assert_same(&project.snapshot());
    }
    assert_eq!(records(&project).len(), 1);
}

#[test]
fn what_failed_was_refused_or_restored_is_recorded() {
    let mut project = Project::november();
    project.mp(&["features"]).fails(6);
    let refused = show(&project, "latest");
    assert_eq!(refused["exit_code"], 6);
    assert_eq!(task(&refused, "features")["end"], "blocked");
    project.mp_env(&["run", "-k"], PANIC, "preprocess.taps").fails(70);
    let failed = show(&project, "latest");
    assert_eq!(task(&failed, "preprocess.taps")["error"]["exit_code"], 70);
    assert_eq!(task(&failed, "features")["end"], "blocked");
    assert_eq!(task(&failed, "features")["blocked_by"], "preprocess.taps");
    assert_eq!(task(&failed, "preprocess.prints")["end"], "done");
    project.run_all();
    let made = show(&project, "latest");
    project.set("processing.lookback_window_days", json!(3));
    project.run_all();
    project.set("processing.lookback_window_days", json!(21));
    project.run_all();
    let restored = show(&project, "latest");
    assert_eq!(task(&restored, "features")["end"], "restored");
    assert_eq!(task(&restored, "features")["made_by"], made["run"]);
    assert_eq!(task(&restored, "extract.taps")["end"], "up_to_date");
    assert_eq!(task(&restored, "extract.taps")["made_by"], failed["run"]);
    assert_eq!(runs(&project).len(), 5);
    let bad = project.mp(&["runs", "--failed", "--json"]).success().json("runs");
    assert_eq!(bad["runs"].as_array().map(Vec::len), Some(2));
    let one = project.mp(&["runs", "-n", "1"]).success();
    assert_eq!(one.stdout.lines().count(), 2, "a heading and a run: {one}");
}

#[test]
fn a_failed_gate_is_recorded_with_the_numbers_of_the_report() {
    let rules = json!({"payments_have_taps": {"severity": "error", "threshold": 0.99}});
    let project = Project::november().with("quality.rules", rules);
    project.mp(&["run", "--all"]).fails(5);
    let record = show(&project, "latest");
    let counts = &task(&record, "quality")["counts"];
    let report = project.view().report();
    assert_eq!(counts["passed"], false);
    assert_eq!(counts["quality_score"], report["quality_score"]);
    assert_eq!(counts["null_rates"], report["null_rates"]);
    let value = &report["rules"]["payments_have_taps"]["value"];
    assert_eq!(&counts["rules"]["payments_have_taps"], value);
}

#[test]
fn a_stopped_run_is_recorded_and_taken_up_again() {
    let project = Project::november();
    let lock = hold(&project, "extract.prints");
    let mut child = start(&project, &["run", "--all"]);
    wait_for_records(&project, 1);
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
    assert_eq!(child.wait().expect("ended").code(), Some(143));
    drop(lock);
    let record = show(&project, "latest");
    assert_eq!((&record["status"], &record["exit_code"]), (&json!("ended"), &json!(143)));
    assert_eq!(task(&record, "features")["end"], "cancelled");
    project.mp(&["retry"]).success().prints(&["retry of", "done"]);
    let retried = show(&project, "latest");
    assert_eq!(retried["asked"]["retry_of"], record["run"]);
    assert_eq!(task(&retried, "features")["end"], "done");
    project.mp(&["retry"]).success().prints(&["nothing to retry"]);
}

#[test]
fn a_killed_run_is_told_from_one_that_is_running() {
    let project = Project::november();
    let lock = hold(&project, "extract.prints");
    let mut child = start(&project, &["run", "--all"]);
    wait_for_records(&project, 1);
    assert_eq!(runs(&project)[0]["status"], "running");
    project.mp(&["runs"]).success().prints(&["running"]);
    project.mp(&["retry"]).success().prints(&["nothing to retry"]);
    child.kill().expect("SIGKILL");
    child.wait().expect("ended");
    assert_eq!(runs(&project)[0]["status"], "killed");
    project.mp(&["runs", "--failed"]).success().prints(&["killed"]);
    project.mp(&["show"]).success().prints(&["killed", "mp retry"]);
    drop(lock);
    project.mp(&["retry"]).success().prints(&["retry of"]);
    assert_eq!(task(&show(&project, "latest"), "quality")["end"], "done");
    project.run_all();
}

#[test]
fn of_two_runs_for_the_same_work_only_the_one_that_did_it_is_recorded() {
    let project = Project::november();
    let lock = hold(&project, "extract.prints");
    let args = ["extract", "--source", "prints"];
    let mut children = [start(&project, &args), start(&project, &args)];
    wait_for_records(&project, 2);
    drop(lock);
    for child in &mut children {
        assert!(child.wait().expect("ended").success());
    }
    assert_eq!(runs(&project).len(), 1);
    assert_eq!(runs(&project)[0]["tasks"]["done"], 1);
}

#[test]
fn torn_empty_and_foreign_records_are_skipped_with_a_warning() {
    let project = Project::november();
    project.run_all();
    let good = &records(&project)[0];
    let text = std::fs::read_to_string(good).expect("a record");
    let id = good.file_stem().expect("a name").to_string_lossy().into_owned();
    project.write("data/.mp/runs/29991231T000000.000000Z-1.json", &text[..text.len() / 2]);
    project.write("data/.mp/runs/29991231T000000.000000Z-2.json", "");
    project.write("data/.mp/runs/29991231T000000.000000Z-3.json", &text);
    project.write("data/.mp/runs/notes.json", "{\"mine\": true}");
    let names = ["000000Z-1.json", "000000Z-2.json", "000000Z-3.json", "notes.json"];
    let listed = project.mp(&["runs"]).success().says(&names);
    assert!(listed.stdout.contains(&id), "{listed}");
    let document = project.mp(&["runs", "--json"]).success().json("runs");
    assert_eq!(document["skipped"].as_array().map(Vec::len), Some(4));
    assert_eq!(show(&project, "latest")["run"], json!(id));
    let skipped = ["skipped: ", "000000Z-1.json", "000000Z-2.json"];
    project.mp(&["show"]).success().says(&skipped);
    project.mp(&["show", &id]).success();
    project.mp(&["diff", "latest", "latest"]).success().says(&skipped);
    project.mp(&["explain", "features", "--against", "latest"]).success().says(&skipped);
    project.mp(&["show", "29991231T000000.000000Z-1"]).fails(1).says(&["no record of a run"]);
    project.mp(&["retry"]).success();
    project.mp(&["run", "--all", "--force"]).success();
    project.mp(&["diff", "latest~1", "latest"]).success().prints(&["no difference"]);
}

#[test]
fn a_pipe_among_the_records_keeps_nobody_waiting() {
    let project = Project::november();
    project.run_all();
    let pipe = project.path("data/.mp/runs/29991231T000000.000000Z-1.json");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for args in
        [&["runs"][..], &["show"], &["diff", "latest", "latest"], &["retry"], &["run", "--all"]]
    {
        project.mp(args).success();
    }
    project.mp(&["runs"]).success().says(&["000000Z-1.json", "it is no file"]);
    project.mp(&["runs", "-n", "0"]).fails(2);
}

#[test]
fn retries_are_recorded_with_the_first_failure() {
    let project = Project::november();
    std::fs::remove_file(project.path("data/raw/taps.json")).expect("removed");
    let args = ["extract", "--source", "taps", "--retries", "2", "--retry-delay", "1ms"];
    project.mp(&args).fails(3);
    let record = show(&project, "latest");
    let taps = task(&record, "extract.taps");
    assert_eq!(taps["retries"], 2);
    assert_eq!(taps["first_error"], taps["error"]["message"]);
    project.mp(&["show"]).success().prints(&["retries   2; the first try failed: "]);
    let long = ["extract", "--retry-delay", "61m"];
    project.mp(&long).fails(2).says(&["at most 1h"]);
    let long = ["extract", "--task-timeout", "169h"];
    project.mp(&long).fails(2).says(&["at most 168h"]);
}

#[test]
fn a_run_is_found_by_its_id_the_beginning_of_it_and_counting_back() {
    let project = Project::november();
    project.mp(&["show"]).fails(2).says(&["no run is recorded", "mp run"]);
    for _ in 0..3 {
        project.mp(&["run", "--all", "--force"]).success();
    }
    let ids: Vec<String> =
        runs(&project).iter().map(|run| run["run"].as_str().expect("an id").to_owned()).collect();
    for (name, at) in [
        ("latest", 0),
        ("latest~0", 0),
        ("latest~2", 2),
        (ids[1].as_str(), 1),
        (&ids[2][..ids[2].len() - 1], 2),
    ] {
        assert_eq!(show(&project, name)["run"], json!(ids[at]), "{name}");
    }
    project.mp(&["show", "latest~3"]).fails(2).says(&["only 3 runs"]);
    project.mp(&["show", "2"]).fails(2).says(&["3 runs", &ids[2]]);
    let typo = ids[1].replace('T', "R");
    project.mp(&["show", &typo]).fails(2).says(&["did you mean", &ids[1]]);
    let error = project.mp(&["diff", "latest", "nope", "--json"]).fails(2).json("diff");
    assert_eq!(error["error"]["exit_code"], 2);
}

#[test]
fn the_same_twice_has_no_difference() {
    let project = Project::november();
    project.run_all();
    project.mp(&["run", "--all", "--force"]).success();
    assert_eq!(changes(&project, "latest~1", "latest"), Vec::<String>::new());
    project.mp(&["diff", "--exit-code"]).success().prints(&["no difference"]);
}

#[test]
fn a_difference_names_settings_rows_rejects_hashes_and_quality_and_nothing_else() {
    let mut project = Project::november();
    project.run_all();
    project.set("processing.lookback_window_days", json!(3));
    project.run_all();
    let found = changes(&project, "latest~1", "latest");
    let setting = "setting processing.lookback_window_days 21 → 3";
    assert!(found.contains(&format!("run {setting}")), "{found:#?}");
    assert!(found.contains(&format!("features {setting}")), "{found:#?}");
    let has = |found: &[String], begin: &str| found.iter().any(|line| line.starts_with(begin));
    assert!(has(&found, "features output training_dataset.parquet: sha256"), "{found:#?}");
    assert!(!has(&found, "extract") && !has(&found, "preprocess"), "{found:#?}");
    let shown = project.mp(&["diff", "--exit-code"]).fails(1);
    shown.prints(&["lookback_window_days  21 → 3  (default → config/params.yaml:"]);

    let prints = project.text("data/raw/prints.json");
    project.write("data/raw/prints.json", prints + "{\n{\n");
    project.run_all();
    let found = changes(&project, "latest~1", "latest");
    let rows = project.view().count("extract.prints", "rows_read");
    for line in [
        format!("extract.prints rows rows_read {} → {rows}", rows - 2),
        "quality quality rules.rejects".to_owned(),
        "extract.prints rejects json.malformed".to_owned(),
        "extract.prints input prints.json".to_owned(),
        "extract.prints output _rejects/prints.csv: rows".to_owned(),
    ] {
        assert!(has(&found, &line), "{line}: {found:#?}");
    }
    assert!(!has(&found, "run ") && !has(&found, "extract.taps"), "{found:#?}");
    assert!(!has(&found, "features"), "the valid rows are the same: {found:#?}");
    // From the first to the last it is both.
    assert!(changes(&project, "latest~2", "latest").len() > found.len());
}

#[test]
fn another_day_and_a_failure_are_differences_too() {
    let project = Project::november();
    project.run_all();
    project.mp(&["run", "--all", "--as-of", "2020-11-29"]).success();
    let found = changes(&project, "latest~1", "latest");
    assert_eq!(found[0], "run as_of as_of 2020-12-01T00:00:00Z → 2020-11-30T00:00:00Z");
    let late = "preprocess.prints rows rows_after_as_of 0 →";
    assert!(found.iter().any(|line| line.starts_with(late)), "{found:#?}");
    project.mp_env(&["run", "--force"], PANIC, "features").fails(70);
    let found = changes(&project, "latest~2", "latest");
    for line in ["features outcome outcome good → failed", "quality outcome outcome good → blocked"]
    {
        assert!(found.contains(&line.to_owned()), "{found:#?}");
    }
}

#[test]
fn runs_are_compared_when_their_results_are_long_gone() {
    let mut project = Project::november().with("store.keep", json!(1));
    project.run_all();
    project.set("processing.lookback_window_days", json!(3));
    project.run_all();
    let before = changes(&project, "latest~1", "latest");
    assert!(before.len() > 3);
    for folder in ["results", "objects", "parsed", "awaited"] {
        std::fs::remove_dir_all(project.path("data/.mp").join(folder)).expect("removed");
    }
    assert_eq!(changes(&project, "latest~1", "latest"), before);
}

#[test]
fn many_inputs_are_kept_once_for_all_runs() {
    let mut project = Project::november();
    let text = project.text("data/raw/prints.json");
    std::fs::remove_file(project.path("data/raw/prints.json")).expect("removed");
    let lines: Vec<&str> = text.lines().collect();
    for (at, lines) in lines.chunks(lines.len().div_ceil(120)).enumerate() {
        project.write(&format!("data/raw/prints-{at:03}.json"), lines.join("\n"));
    }
    project.set("sources.prints.files", json!(["prints-*.json"]));
    project.run_all();
    let kept = || records(&project).iter().filter(|path| path.is_file()).count();
    let lists = || std::fs::read_dir(project.path("data/.mp/runs/inputs")).expect("lists").count();
    let first = lists();
    project.mp(&["run", "--all", "--force"]).success();
    assert_eq!((kept(), lists()), (2, first), "the same list is kept once");
    assert_eq!(changes(&project, "latest~1", "latest"), Vec::<String>::new());
    for path in records(&project).iter().filter(|path| path.is_file()) {
        assert!(std::fs::metadata(path).expect("a file").len() < 40_000, "{}", path.display());
    }
    project.write("data/raw/prints-000.json", "");
    project.mp(&["run", "--all"]).success();
    let found = changes(&project, "latest~1", "latest");
    let inputs = found.iter().filter(|line| line.starts_with("extract.prints input")).count();
    assert_eq!(inputs, 1, "{found:#?}");
}

#[test]
fn retry_runs_what_failed_as_of_the_same_day_and_says_which_settings_are_others() {
    let mut project = Project::november();
    let args = ["run", "+features", "--as-of", "2020-11-29"];
    project.mp_env(&args, PANIC, "preprocess.taps").fails(70);
    let failed = show(&project, "latest");
    project.set("processing.lookback_window_days", json!(5));
    let run = failed["run"].as_str().expect("an id");
    let dry = project.mp(&["retry", "--dry-run"]).success();
    let header = format!("retry of {run}, as of 2020-11-29");
    let dry = dry.prints(&["preprocess.taps      run", &header]);
    dry.says(&["processing.lookback_window_days: 21 → 5"]);
    let dry = project.mp(&["retry", "--dry-run", "--json"]).success().json("plan");
    assert_eq!((&dry["retry_of"], &dry["as_of"]), (&failed["run"], &failed["as_of"]));
    assert_eq!(records(&project).len(), 1, "a dry run is no run");
    let before = project.view().runs();
    let outcome = project.mp(&["retry", "--json"]).success();
    assert!(outcome.stderr.contains("processing.lookback_window_days: 21 → 5"), "{outcome}");
    let document = outcome.json("retry");
    assert_eq!(document["retry_of"], failed["run"]);
    assert_eq!(document["as_of"], "2020-11-30T00:00:00Z");
    assert_eq!(project.view().ran_since(&before), ["features", "preprocess.taps"]);
    let record = show(&project, "latest");
    assert_eq!(record["asked"]["tasks"], failed["asked"]["tasks"]);
    assert_eq!(record["as_of_given"], "2020-11-29");
    let nothing = project.mp(&["retry", "--json"]).success().json("retry");
    assert_eq!((&nothing["retry_of"], &nothing["tasks"]), (&Value::Null, &json!([])));
    project.mp(&["retry", "--skip-exit-code", "99"]).fails(99);
}

#[test]
fn a_retry_that_fails_can_be_retried() {
    let project = Project::november();
    let taps = project.text("data/raw/taps.json");
    project.write("data/raw/taps.json", taps.clone() + &"{\n".repeat(400));
    project.mp(&["run", "--all", "-k"]).fails(4);
    project.mp(&["retry"]).fails(4);
    project.write("data/raw/taps.json", taps);
    let before = project.view().runs();
    project.mp(&["retry"]).success();
    let ran = project.view().ran_since(&before);
    assert_eq!(ran, ["extract.taps", "features", "preprocess.taps", "quality"]);
    project.mp(&["retry"]).success().prints(&["nothing to retry"]);
}

#[test]
fn what_a_later_run_has_mended_is_not_retried() {
    let project = Project::november();
    project.mp_env(&["run", "--as-of", "2020-11-28"], PANIC, "features").fails(70);
    project.mp(&["run", "--all"]).success();
    let before = project.snapshot();
    project.mp(&["retry"]).success().prints(&["nothing to retry"]);
    before.assert_same(&project.snapshot());
    // Who asks for that day gets it.
    let asked = project.mp(&["retry", "--as-of", "2020-11-28"]).success();
    assert!(asked.stdout.contains("as of 2020-11-28"), "{asked}");
}

/// A run with nothing to do, which leaves a record the first time and nothing more the second.
#[track_caller]
fn settles(project: &Project) {
    let before = runs(project).len();
    project.mp(&["run", "--all"]).success().prints(&["nothing to do"]);
    assert_eq!(runs(project).len(), before + 1);
    assert_eq!(runs(project)[0]["tasks"]["up_to_date"], 8);
    let snapshot = project.snapshot();
    project.mp(&["run", "--all"]).success().prints(&["nothing to do"]);
    project.mp(&["retry"]).success().prints(&["nothing to retry"]);
    snapshot.assert_same(&project.snapshot());
}

#[test]
fn what_a_run_with_nothing_to_do_finds_done_is_not_retried() {
    let project = Project::november();
    project.run_all();
    // Another day, which is blocked.
    project.mp(&["features", "--as-of", "2020-11-29"]).fails(6);
    settles(&project);
    // A failure that another setting had brought about.
    let rate = "processing.max_reject_rate=0";
    project.mp(&["extract", "--source", "prints", "--set", rate]).fails(4);
    settles(&project);
    // A killed run that computed everything once more.
    let lock = hold(&project, "extract.prints");
    let mut child = start(&project, &["run", "--all", "--force", "--jobs", "1"]);
    wait_for_records(&project, 6);
    child.kill().expect("SIGKILL");
    child.wait().expect("ended");
    drop(lock);
    settles(&project);
}

#[test]
fn a_retry_that_finds_everything_done_is_the_last_one() {
    let project = Project::november();
    project.run_all();
    let rate = "processing.max_reject_rate=0";
    project.mp(&["extract", "--source", "prints", "--set", rate]).fails(4);
    project.mp(&["retry", "--skip-exit-code", "99"]).fails(99).prints(&["nothing to do"]);
    project.mp(&["retry"]).success().prints(&["nothing to retry"]);
    let bad = project.mp(&["runs", "--failed", "--json"]).success().json("runs");
    assert_eq!(bad["runs"].as_array().map(Vec::len), Some(1), "99 is no failure: {bad:#}");
}

#[test]
fn days_in_folders_of_their_own_are_retried_each() {
    let project = Project::november()
        .with("data_paths.processed", json!("data/{as_of}/processed"))
        .with("data_paths.output", json!("data/{as_of}/output"))
        .with("quality.quality_report_path", json!("data/{as_of}/report"));
    project.mp_env(&["run", "--as-of", "2020-11-28"], PANIC, "features").fails(70);
    project.mp(&["run", "--as-of", "2020-11-29"]).success();
    project.mp(&["retry"]).success().prints(&["as of 2020-11-28"]);
    assert!(project.view_of("2020-11-28").gold_path().exists());
    project.mp(&["retry"]).success().prints(&["nothing to retry"]);
}

#[test]
fn a_forced_retry_computes_only_what_did_not_end_well() {
    let project = Project::november();
    project.mp_env(&["run", "--all", "--force"], PANIC, "quality").fails(70);
    let before = project.view().runs();
    project.mp(&["retry", "--force"]).success();
    assert_eq!(project.view().ran_since(&before), ["quality"]);
}

#[test]
fn a_history_that_cannot_be_written_fails_no_run() {
    let project = Project::november();
    project.write("data/.mp/runs", "a file where a folder should be");
    let outcome = project.mp(&["run", "--all"]).success();
    assert!(outcome.stderr.contains("not in the history"), "{outcome}");
    project.mp(&["run", "--all"]).success();
}

#[test]
fn the_newest_two_hundred_runs_are_kept() {
    let project = Project::november();
    project.mp(&["extract", "--source", "taps"]).success();
    let first = records(&project).remove(0);
    let text = std::fs::read_to_string(&first).expect("a record");
    let id = first.file_stem().expect("a name").to_string_lossy().into_owned();
    for day in 0..230 {
        let other = format!("2019{day:04}T000000.000000Z-1");
        project.write(&format!("data/.mp/runs/{other}.json"), text.replace(&id, &other));
    }
    project.mp(&["extract", "--source", "taps", "--force"]).success();
    let left = records(&project);
    assert_eq!(left.len(), 200);
    assert!(left.contains(&first) && left[0].ends_with("20190032T000000.000000Z-1.json"));
    let listed = project.mp(&["runs"]).success();
    assert_eq!(listed.stdout.lines().count(), 21, "twenty unless more are asked for");
}

#[test]
fn a_record_knows_the_task_of_airflow() {
    let project = Project::november().with_env("AIRFLOW_CTX_DAG_ID", "carousel");
    project.mp(&["extract", "--source", "taps"]).success();
    let record = project.mp(&["show", "--json", "--no-airflow"]).success().json("show");
    assert_eq!(record["airflow"], json!({"dag_id": "carousel"}));
    assert_eq!(record["asked"]["tasks"], json!(["extract.taps"]));
    // A task of Airflow too, with its one line as the last.
    let outcome = project.mp(&["retry"]).success();
    let last: Value = serde_json::from_str(outcome.stdout.trim_end()).expect("one line");
    assert_eq!((&last["schema"], &last["verdict"]), (&json!("mp/airflow/1"), &json!("up_to_date")));
}
