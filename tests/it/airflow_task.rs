//! A task of Airflow: what comes last, what is left for Kubernetes and the sidecar, levels, groups,
//! ids, and how it is stopped.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::project::Project;
use crate::snapshot::sha256_hex;
use crate::view::TASKS;

/// The parts of `/` that a pod has: Airflow's folder and the file of Kubernetes.
fn in_a_pod(project: Project) -> Project {
    project.write("pod/airflow/xcom/.keep", "");
    project.write("pod/dev/termination-log", "");
    let root = project.path("pod").display().to_string();
    project.with_env("MP_TEST_ROOT", &root)
}

fn by_airflow(project: Project) -> Project {
    project
        .with_env("AIRFLOW_CTX_DAG_ID", "carousel")
        .with_env("AIRFLOW_CTX_TASK_ID", "extract_prints")
        .with_env("AIRFLOW_CTX_DAG_RUN_ID", "scheduled__2020-11-30T00:00:00+00:00")
        .with_env("AIRFLOW_CTX_TRY_NUMBER", "2")
}

/// Both streams as BashOperator has them: one after the other, in the order of writing.
fn merged(mut command: Command) -> (i32, String) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    command.stdout(writer.try_clone().expect("a pipe")).stderr(writer).stdin(Stdio::null());
    let mut child = command.spawn().expect("mp");
    // The command holds the writing ends.
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("UTF-8");
    (child.wait().expect("its end").code().expect("a code"), text)
}

/// The last line of all output, which is the only one on stdout.
#[track_caller]
fn document(outcome: &Outcome) -> Value {
    assert_eq!(outcome.stdout.lines().count(), 1, "one line on stdout: {outcome}");
    assert!(outcome.stdout.ends_with("}\n"), "{outcome}");
    assert!(outcome.stdout.len() < 2_000, "{}", outcome.stdout.len());
    outcome.json("airflow")
}

/// Every line on stderr begins with a level, but for the markers of groups; those are balanced.
#[track_caller]
fn assert_levels_and_groups(stderr: &str) -> Vec<String> {
    let (mut open, mut groups) = (false, Vec::new());
    for line in stderr.lines() {
        if let Some(group) = line.strip_prefix("::group::") {
            assert!(!open, "a group in a group: {stderr}");
            groups.push(group.to_owned());
            open = true;
        } else if line == "::endgroup::" {
            assert!(open, "the end of no group: {stderr}");
            open = false;
        } else {
            let level = line.split(' ').next().unwrap_or_default();
            assert!(["DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "{line:?} in {stderr}");
        }
    }
    assert!(!open, "a group without an end: {stderr}");
    groups
}

#[test]
fn the_document_is_the_last_line_of_all_output() {
    let project = by_airflow(Project::november());
    let (code, text) = merged(project.command(&["run", "--all"]));
    assert_eq!(code, 0, "{text}");
    let last = text.lines().last().expect("a line");
    let document: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(document["verdict"], "done");
    assert!(text.ends_with("}\n") && last.len() < 2_000, "{text}");
    project.write("data/raw/prints.json", "{}\n");
    let (code, text) = merged(project.command(&["run", "--all"]));
    assert_eq!(code, 4, "{text}");
    let mut lines = text.lines().rev();
    let document: Value = serde_json::from_str(lines.next().expect("a line")).expect("JSON");
    assert_eq!(document["exit_code"], 4);
    let reason = lines.next().expect("a line");
    assert!(reason.starts_with("ERROR extract.prints: ") && reason.ends_with(" mp-exit=4"));
}

#[test]
fn the_document_says_what_came_of_the_tasks() {
    let project = Project::november();
    let document = document(&project.mp(&["run", "--all", "--airflow"]).success());
    assert_eq!(document["task"], "run");
    assert_eq!(document["exit_code"], 0);
    assert_eq!(document["retryable"], false);
    assert_eq!(document["as_of"], "2020-12-01T00:00:00Z");
    assert!(document["seconds"].is_f64() && document.get("reason").is_none());
    let tasks = document["tasks"].as_object().expect("tasks");
    assert_eq!(tasks.keys().cloned().collect::<Vec<_>>(), sorted(&TASKS));
    assert!(tasks.values().all(|verdict| verdict == "done"));
    let view = project.view();
    assert_eq!(document["rows"], view.count("features", "rows_gold"));
    let rejects: u64 = ["extract.prints", "extract.taps", "extract.payments"]
        .iter()
        .map(|task| view.count(task, "rows_rejected"))
        .sum();
    assert_eq!(document["rejects"], rejects);
    let artifacts = document["artifacts"].as_object().expect("artifacts");
    for (path, sha256) in artifacts {
        let output = Command::new("sha256sum").arg(project.path(path)).output().expect("sha256sum");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(text.split(' ').next(), sha256.as_str(), "{path}");
    }
    assert!(artifacts.contains_key("data/output/training_dataset.parquet"), "{artifacts:?}");
}

fn sorted(tasks: &[&str]) -> Vec<String> {
    let mut tasks: Vec<String> = tasks.iter().map(|task| (*task).to_owned()).collect();
    tasks.sort();
    tasks
}

#[test]
fn a_single_task_is_called_by_its_name_and_up_to_date_is_success() {
    let project = by_airflow(Project::november());
    let first = document(&project.mp(&["extract", "--source", "taps"]).success());
    assert_eq!((&first["task"], &first["verdict"]), (&json!("extract.taps"), &json!("done")));
    assert_eq!(first["rows"], project.view().count("extract.taps", "rows_valid"));
    let again = document(&project.mp(&["extract", "--source", "taps"]).success());
    assert_eq!(again["verdict"], "up_to_date");
    assert_eq!((&again["rows"], &again["artifacts"]), (&first["rows"], &first["artifacts"]));
    let skip = ["extract", "--source", "taps", "--skip-exit-code", "99"];
    let skipped = document(&project.mp(&skip).fails(99));
    assert_eq!((&skipped["verdict"], &skipped["exit_code"]), (&json!("up_to_date"), &json!(99)));
    assert_eq!(project.mp(&skip).stderr.matches("mp-exit").count(), 0, "no failure");
}

#[test]
fn the_mode_is_asked_for_or_comes_from_airflow() {
    let project = by_airflow(Project::november());
    let outcome = project.mp(&["run", "--all", "--no-airflow"]).success();
    assert!(outcome.stdout.contains("8 tasks: 8 done"), "{outcome}");
    assert!(!outcome.stderr.contains("::group::"), "{outcome}");
    document(&project.mp(&["run"]).success());
    // Whoever asks for another document on stdout has it alone.
    assert_eq!(
        project.mp(&["run", "--json"]).success().json("run")["tasks"][0]["state"],
        "up_to_date"
    );
    let both = project.mp(&["run", "--airflow", "--json"]).fails(2);
    assert!(both.stderr.contains("cannot be used with"), "{both}");
    // What is no run has a result of its own.
    let plan = project.mp(&["plan"]).success();
    assert!(plan.stdout.ends_with("8 tasks are up to date\n"), "{plan}");
    let dry = project.mp(&["run", "--dry-run"]).success();
    assert!(dry.stdout.ends_with("8 tasks are up to date\n"), "{dry}");
    let project = Project::november().with_env("AIRFLOW_CTX_DAG_ID", "");
    assert!(project.mp(&["run"]).success().stdout.contains("8 tasks: 8 done"));
}

#[test]
fn lines_begin_with_their_level_and_each_task_is_a_group() {
    for format in ["text", "json"] {
        let project = by_airflow(Project::november()).with("logging.format", json!(format));
        let outcome = project.mp(&["run", "--all", "-v"]).success();
        let mut groups = assert_levels_and_groups(&outcome.stderr);
        groups.sort();
        assert_eq!(groups, sorted(&TASKS), "{outcome}");
        let again = project.mp(&["run", "--all", "--jobs", "1"]).success();
        assert_eq!(assert_levels_and_groups(&again.stderr).len(), 8, "{again}");
        project.write("data/raw/taps.json", "nothing\n");
        let failed = project.mp(&["run", "--all"]).fails(4);
        assert_levels_and_groups(&failed.stderr);
        assert!(failed.stderr.contains("\nERROR ❌ failed: extract.taps"), "{failed}");
    }
}

#[test]
fn quiet_leaves_the_reason() {
    let project = by_airflow(Project::november());
    assert_eq!(project.mp(&["run", "-q"]).success().stderr, "");
    project.write("data/raw/taps.json", "nothing\n");
    let failed = project.mp(&["run", "-q"]).fails(4);
    assert_levels_and_groups(&failed.stderr);
    assert!(failed.stderr.ends_with("mp-exit=4\n"), "{failed}");
}

#[test]
fn a_failure_is_left_for_kubernetes_and_the_sidecar() {
    let project = in_a_pod(Project::november());
    let done = project.mp(&["run", "--airflow"]).success();
    assert_eq!(project.text("pod/airflow/xcom/return.json"), done.stdout);
    assert_eq!(project.text("pod/dev/termination-log"), "", "no word of a success");
    std::fs::remove_file(project.path("data/raw/taps.json")).expect("removed");
    let failed = project.mp(&["run", "--airflow"]).fails(3);
    let found = document(&failed);
    assert_eq!(project.text("pod/airflow/xcom/return.json"), failed.stdout);
    assert_eq!((&found["verdict"], &found["retryable"]), (&json!("failed"), &json!(true)));
    assert_eq!(found["tasks"]["extract.taps"], "failed");
    assert_eq!(found["tasks"]["features"], "blocked");
    let word = project.text("pod/dev/termination-log");
    assert!(word.starts_with("extract.taps: ") && word.ends_with(" mp-exit=3"), "{word}");
    assert!(failed.stderr.ends_with(&format!("ERROR {word}\n")), "{failed}");
    let left: Vec<_> = std::fs::read_dir(project.path("pod/airflow/xcom")).expect("it").collect();
    assert_eq!(left.len(), 2, "return.json and .keep");
}

#[test]
fn a_mistake_in_the_configuration_is_told_in_the_same_way() {
    let mistakes: [(&[&str], i32, &str); 5] = [
        (&["features", "--set", "processing.chunk_sise=1"], 2, "features"),
        (&["extract", "--source", "taps", "--as-of", "soon"], 2, "extract.taps"),
        (&["run", "featres"], 2, "run"),
        (&["quality", "--no-such-flag"], 2, "quality"),
        (&["extract", "--source", "clicks"], 2, "extract.clicks"),
    ];
    for (args, code, task) in mistakes {
        let project = in_a_pod(by_airflow(Project::november()));
        let failed = project.mp(args).fails(code);
        let found = document(&failed);
        assert_eq!(project.text("pod/airflow/xcom/return.json"), failed.stdout, "{args:?}");
        assert_eq!(found["task"], task);
        assert_eq!((&found["exit_code"], &found["retryable"]), (&json!(code), &json!(false)));
        let reason = found["reason"].as_str().expect("a reason");
        let word = project.text("pod/dev/termination-log");
        assert_eq!(word, format!("{reason} mp-exit={code}"));
        assert!(failed.stderr.ends_with(&format!("ERROR {word}\n")), "{failed}");
        assert_levels_and_groups(&failed.stderr);
    }
}

#[test]
fn other_commands_tell_why_they_failed_and_print_no_document() {
    let project = in_a_pod(by_airflow(Project::november()));
    let failed = project.mp(&["head", "gold"]).fails(3);
    assert_eq!(failed.stdout, "");
    assert!(failed.stderr.ends_with(" mp-exit=3\n"), "{failed}");
    assert!(project.text("pod/dev/termination-log").ends_with(" mp-exit=3"));
    assert!(!project.path("pod/airflow/xcom/return.json").exists());
}

#[test]
fn what_somebody_typed_is_cut() {
    let project = by_airflow(Project::november());
    let failed = project.mp(&["extract", "--source", &"x".repeat(3_000)]).fails(2);
    let told = document(&failed);
    assert!(told["task"].as_str().expect("a name").starts_with("extract.xxx"), "{told}");
    assert_levels_and_groups(&failed.stderr);
    for line in failed.stderr.lines() {
        assert!(line.len() < 1_100, "{line}");
    }
}

#[test]
fn without_a_command_the_reason_says_so() {
    let project = in_a_pod(by_airflow(Project::november()));
    let failed = project.mp(&[]).fails(2);
    let last = failed.stderr.lines().last().expect("a line");
    assert_eq!(last, "ERROR no command is given mp-exit=2");
    assert_eq!(project.text("pod/dev/termination-log"), "no command is given mp-exit=2");
    assert!(failed.stderr.contains("Usage: mp"), "{failed}");
}

#[test]
fn a_panic_is_a_failure_with_a_document() {
    let project = in_a_pod(by_airflow(Project::november()).with_env("MP_TEST_PANIC", "features"));
    let failed = project.mp(&["run"]).fails(70);
    assert_eq!(document(&failed)["retryable"], false);
    assert_levels_and_groups(&failed.stderr);
    assert!(project.text("pod/dev/termination-log").ends_with(" mp-exit=70"));
}

#[test]
fn word_that_cannot_be_left_is_a_warning() {
    let project = by_airflow(Project::november());
    project.write("pod/airflow/xcom/return.json/in-the-way", "");
    std::fs::create_dir_all(project.path("pod/dev/termination-log")).expect("a folder");
    let root = project.path("pod").display().to_string();
    let project = project.with_env("MP_TEST_ROOT", &root);
    let outcome = project.mp(&["run"]).success();
    document(&outcome);
    assert!(outcome.stderr.contains("WARN cannot write `"), "{outcome}");
    assert_levels_and_groups(&outcome.stderr);
}

#[test]
fn ids_are_in_logs_and_history_and_in_no_fingerprint() {
    let project = Project::november();
    project.mp(&["run"]).success();
    let view = project.view();
    let before: BTreeMap<&str, Value> =
        TASKS.iter().map(|task| (*task, view.manifest(task)["fingerprint"].clone())).collect();
    assert!(view.manifest("features")["run"].get("airflow").is_none());
    let project = by_airflow(project);
    let outcome = project.mp(&["run", "--force"]).success();
    let ids = json!({
        "dag_id": "carousel", "task_id": "extract_prints", "try_number": "2",
        "run_id": "scheduled__2020-11-30T00:00:00+00:00",
    });
    for task in TASKS {
        let manifest = view.manifest(task);
        assert_eq!(manifest["run"]["airflow"], ids, "{task}");
        assert_eq!(manifest["fingerprint"], before[task], "{task}");
    }
    let log = project.text("logs/pipeline.log");
    for text in [&outcome.stderr, &log] {
        for id in
            ["carousel", "extract_prints", "scheduled__2020-11-30T00:00:00+00:00", "try=\"2\""]
        {
            assert!(text.contains(id), "{id} in {text}");
        }
    }
    let other = project.with_env("AIRFLOW_CTX_TRY_NUMBER", "3");
    assert_eq!(document(&other.mp(&["run"]).success())["verdict"], "up_to_date");
}

#[test]
fn a_limit_of_the_container_takes_the_place_of_the_built_in_promise() {
    let mount = "30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    let project = in_a_pod(Project::november());
    project.write("pod/proc/self/cgroup", "0::/\n");
    project.write("pod/proc/self/mountinfo", mount);
    project.write("pod/sys/fs/cgroup/memory.max", "536870912\n");
    let fine = project.mp(&["run", "--airflow"]).success();
    assert!(!fine.stderr.contains("WARN the") && !fine.stderr.contains("max_memory_mb"), "{fine}");
    let asked = ["run", "--airflow", "--set", "processing.max_memory_mb=2048"];
    let warned = project.mp(&asked).success();
    let said =
        "WARN processing.max_memory_mb is 2048, but the memory limit of this container is 512 MiB";
    assert!(warned.stderr.contains(said), "{warned}");
}

/// A run that takes long enough to be stopped in the middle.
fn long_run() -> Project {
    let project = in_a_pod(by_airflow(Project::empty()));
    let synth = ["synth", "data/raw", "--prints", "1500000", "--taps", "150000", "--no-airflow"];
    project.mp(&synth).success();
    project
}

/// A pipe that is full: nobody reads from it and nobody closes it.
fn stuck_pipe() -> (std::os::unix::net::UnixStream, Stdio) {
    let (reader, mut writer) = std::os::unix::net::UnixStream::pair().expect("a pipe");
    writer.set_nonblocking(true).expect("not blocking");
    while std::io::Write::write(&mut writer, &[b'x'; 4096]).is_ok() {}
    while std::io::Write::write(&mut writer, b"x").is_ok() {}
    writer.set_nonblocking(false).expect("blocking");
    (reader, Stdio::from(std::os::fd::OwnedFd::from(writer)))
}

#[test]
fn sigterm_ends_a_run_whose_output_nobody_reads() {
    let project = by_airflow(Project::november());
    let ((_out, stdout), (_err, stderr)) = (stuck_pipe(), stuck_pipe());
    let command = &mut project.command(&["run", "--all"]);
    let mut child = command.stdout(stdout).stderr(stderr).spawn().expect("mp");
    std::thread::sleep(Duration::from_millis(700));
    assert!(child.try_wait().expect("its state").is_none(), "it did not wait for its reader");
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.expect("kill").success());
    let began = Instant::now();
    wait_until(|| child.try_wait().expect("its state").is_some());
    let took = began.elapsed();
    assert_eq!(child.wait().expect("its end").code(), Some(143));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn sigterm_ends_a_run_soon_and_leaves_no_part_of_an_artifact() {
    let project = long_run();
    let mut child = project
        .command(&["run", "--all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mp");
    // In the middle of its first task, on a machine of any speed.
    let tmp = project.path("data/.mp/tmp");
    wait_until(|| std::fs::read_dir(&tmp).is_ok_and(|mut files| files.next().is_some()));
    assert!(child.try_wait().expect("its state").is_none(), "over before it was stopped");
    let began = Instant::now();
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.expect("kill").success());
    let output = child.wait_with_output().expect("its end");
    let took = began.elapsed();
    let outcome = Outcome::new("mp run --all".to_owned(), output).fails(143);
    assert!(took < Duration::from_secs(5), "{took:?}");
    let found = document(&outcome);
    assert_eq!((&found["verdict"], &found["retryable"]), (&json!("stopped"), &json!(true)));
    assert!(outcome.stderr.ends_with("ERROR stopped by SIGTERM mp-exit=143\n"), "{outcome}");
    assert_eq!(project.text("pod/dev/termination-log"), "stopped by SIGTERM mp-exit=143");
    assert_eq!(project.text("pod/airflow/xcom/return.json"), outcome.stdout);
    let files = files(&project.path("data"));
    let below = |path: &&PathBuf, folder: &str| path.to_string_lossy().contains(folder);
    // The files that were read to their end before the signal are kept, each whole.
    for object in files.iter().filter(|path| below(path, "/.mp/objects/")) {
        let bytes = std::fs::read(object).expect("an object");
        let name = object.file_name().expect("its name").to_string_lossy();
        assert_eq!(sha256_hex(&bytes), name);
    }
    let artifact = |path: &&PathBuf| {
        let elsewhere = ["/raw/", "/.mp/runs/", "/.mp/objects/", "/.mp/parsed/"];
        let own = [".lock", "memo.json"];
        !elsewhere.iter().any(|folder| below(path, folder))
            && !own.iter().any(|end| path.to_string_lossy().ends_with(end))
    };
    let left: Vec<&PathBuf> = files.iter().filter(artifact).collect();
    // Of a task that had not ended there is nothing.
    let done = found["tasks"].as_object().expect("tasks").values().any(|state| state == "done");
    assert!(done || left.is_empty(), "{}: {left:?}", found["tasks"]);
    assert!(!left.iter().any(|path| below(path, "/.mp/tmp/")), "{left:?}");
    let repaired = document(&project.mp(&["run", "--all"]).success());
    assert_eq!(repaired["verdict"], "done");
    project.view().manifest("quality");
}

fn wait_until(mut met: impl FnMut() -> bool) {
    let began = Instant::now();
    while !met() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("it").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn two_copies_of_one_task_at_once_are_safe() {
    let project = by_airflow(Project::november());
    let spawn = || {
        let mut command = project.command(&["run", "--all"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mp")
    };
    let both = [spawn(), spawn()];
    for child in both {
        let output = child.wait_with_output().expect("its end");
        let outcome = Outcome::new("mp run --all".to_owned(), output).success();
        document(&outcome);
        assert_levels_and_groups(&outcome.stderr);
    }
    project.view().check(&project);
    assert_eq!(document(&project.mp(&["run"]).success())["verdict"], "up_to_date");
}
