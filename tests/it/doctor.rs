//! `mp doctor`: what it finds on machines that lack something, and that it leaves no trace.

use std::path::Path;

use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::project::Project;

/// The check of that name.
#[track_caller]
fn check(outcome: &Outcome, name: &str) -> Value {
    let document = outcome.json("doctor");
    let checks = document["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name}: {outcome}")).clone()
}

#[track_caller]
fn assert_status(outcome: &Outcome, name: &str, status: &str) -> Value {
    let check = check(outcome, name);
    assert_eq!(check["status"], status, "{name}: {outcome}");
    assert_eq!(check.get("remedy").is_some(), status != "ok", "each with its remedy: {check}");
    check
}

/// A machine with these limits of its control group.
fn with_limits(project: Project, memory: &str, cpu: &str) -> Project {
    project.write("pod/proc/self/cgroup", "0::/\n");
    let mount = "30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    project.write("pod/proc/self/mountinfo", mount);
    project.write("pod/sys/fs/cgroup/memory.max", memory);
    project.write("pod/sys/fs/cgroup/cpu.max", cpu);
    let meminfo = "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n";
    project.write("pod/proc/meminfo", meminfo);
    let root = project.path("pod").display().to_string();
    project.with_env("MP_TEST_ROOT", &root)
}

#[test]
fn a_machine_that_lacks_nothing_is_fine_and_left_as_it_was() {
    let project = with_limits(Project::november(), "max\n", "max 100000\n");
    let before = project.snapshot();
    let outcome = project.mp(&["doctor"]).success();
    assert!(outcome.stdout.ends_with("nothing is wrong\n"), "{outcome}");
    let outcome = project.mp(&["doctor", "--json"]).success();
    for name in ["project", "airflow", "raw prints", "raw taps", "raw payments", "processed"] {
        assert_status(&outcome, name, "ok");
    }
    for name in ["output", "reports", "store", "logs", "locks", "space", "memory", "clock"] {
        assert_status(&outcome, name, "ok");
    }
    assert_eq!(outcome.json("doctor")["ok"], true);
    before.assert_same(&project.snapshot());
    assert!(!project.path("logs").exists(), "no folder is made");
}

#[test]
fn what_would_make_a_run_fail_is_exit_1() {
    let project = Project::november();
    std::fs::remove_file(project.path("data/raw/taps.json")).expect("removed");
    project.write("data/output", "a file where a folder should be");
    let outcome = project.mp(&["doctor", "--json"]).fails(1);
    assert!(assert_status(&outcome, "raw taps", "fail")["found"].to_string().contains("taps.json"));
    assert_status(&outcome, "output", "fail");
    assert_status(&outcome, "raw prints", "ok");
    let text = project.mp(&["doctor"]).fails(1);
    assert!(text.stdout.contains("FAIL  raw taps") && text.stdout.contains("→ "), "{text}");
}

#[test]
fn a_log_folder_that_cannot_be_written_is_a_warning() {
    let project = Project::november().with("logging.log_dir", json!("file/logs"));
    project.write("file", "");
    let outcome = project.mp(&["doctor", "--json"]).success();
    assert_status(&outcome, "logs", "warn");
}

#[test]
fn a_folder_without_the_right_to_write_is_found() {
    // Root may write anywhere but where the kernel itself says no.
    let project = Project::november().with("store.path", json!("/proc/mp"));
    let outcome = project.mp(&["doctor", "--json"]).fails(1);
    assert_status(&outcome, "store", "fail");
    assert_status(&outcome, "locks", "ok");
    assert_status(&outcome, "space", "ok");
}

/// Nobody but root may write what has this mode; root does not mind, so that mp runs as somebody else.
fn mp_as_a_user(project: &Project, args: &[&str]) -> Outcome {
    use std::os::unix::fs::{MetadataExt, chown};
    use std::os::unix::process::CommandExt;
    fn give(path: &Path) {
        chown(path, Some(65532), Some(65532)).expect("root may give");
        if path.is_dir() {
            let inner = std::fs::read_dir(path).expect("a folder");
            inner.for_each(|entry| give(&entry.expect("an entry").path()));
        }
    }
    let mut command = project.command(args);
    if std::fs::metadata(project.root()).expect("a folder").uid() == 0 {
        give(project.root());
    }
    let facts = std::fs::metadata(project.root()).expect("a folder");
    let (uid, gid) = (facts.uid(), facts.gid());
    if std::fs::metadata("/proc/self").expect("proc").uid() == 0 {
        command.uid(uid).gid(gid);
    }
    Outcome::new(format!("mp {}", args.join(" ")), command.output().expect("mp starts"))
}

#[test]
fn what_another_user_has_made_deeper_down_is_found_and_a_run_says_where_to_ask() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::november();
    project.run_all();
    let mode = |path: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(project.path(path), mode).expect("a mode");
    };
    let fine = mp_as_a_user(&project, &["doctor", "--json"]).success();
    assert_status(&fine, "processed", "ok");
    assert_status(&fine, "store", "ok");
    // As they are for a user that did not make them.
    for (path, check, theirs, ours) in [
        ("data/processed/_manifests/extract.taps.lock", "processed", 0o444, 0o644),
        ("data/processed/_manifests", "processed", 0o555, 0o755),
        ("data/processed/_rejects", "processed", 0o555, 0o755),
        ("data/output/_manifests/features.lock", "output", 0o444, 0o644),
        ("data/.mp/keep.lock", "store", 0o444, 0o644),
        ("data/.mp/tmp", "store", 0o555, 0o755),
        ("data/.mp/objects", "store", 0o555, 0o755),
        ("data/.mp/results/extract.taps", "store", 0o555, 0o755),
    ] {
        mode(path, theirs);
        let outcome = mp_as_a_user(&project, &["doctor", "--json"]).fails(1);
        let check = assert_status(&outcome, check, "fail");
        assert!(check["found"].to_string().contains(path), "{check}");
        assert!(check["remedy"].to_string().contains("chown -R "), "{check}");
        mode(path, ours);
    }
    mode("data/processed/_manifests/extract.taps.lock", 0o444);
    let failed = mp_as_a_user(&project, &["extract", "--source", "taps", "--force"]).fails(1);
    failed.says(&["extract.taps.lock", "Permission denied", "hint: ", "mp doctor"]);
}

#[test]
fn a_lock_that_is_held_is_named_with_its_holder() {
    let project = Project::november();
    let none = project.mp(&["doctor", "--json"]).success();
    assert_eq!(assert_status(&none, "held locks", "ok")["found"], "none");
    let lock = crate::locks::hold(&project, "extract.taps");
    let outcome = project.mp(&["doctor", "--json"]).success();
    let found = assert_status(&outcome, "held locks", "warn")["found"].to_string();
    let words =
        ["extract.taps: ", "locked by process 4194999 on host `otherhost` since 2026-11-23"];
    assert!(words.iter().all(|word| found.contains(word)), "{found}");
    drop(lock);
    let outcome = project.mp(&["doctor", "--json"]).success();
    assert_status(&outcome, "held locks", "ok");
}

#[test]
fn memory_is_held_against_the_limit_of_the_container() {
    let limit = |mib: u64| format!("{}\n", mib << 20);
    let project = with_limits(Project::november(), &limit(512), "50000 100000\n");
    let outcome = project.mp(&["doctor", "--json"]).success();
    let found = assert_status(&outcome, "memory", "ok")["found"].clone();
    assert_eq!(found, "a run takes up to 448 MiB, limit of the container: 512 MiB");
    let asked = ["doctor", "--json", "--set", "processing.max_memory_mb=2048"];
    assert_status(&project.mp(&asked).success(), "memory", "warn");
    let project = with_limits(Project::november(), &limit(64), "max 100000\n");
    assert_status(&project.mp(&["doctor", "--json"]).fails(1), "memory", "fail");
}

#[test]
fn more_threads_than_processors_are_a_warning() {
    let project = with_limits(Project::november(), "max\n", "150000 100000\n");
    let many = project.mp(&["doctor", "--json", "--jobs", "8"]).success();
    let found = assert_status(&many, "processors", "warn")["found"].clone();
    assert_eq!(found, "8 threads, limit of the container: 1.5");
    assert_status(&project.mp(&["doctor", "--json", "--jobs", "2"]).success(), "processors", "ok");
}

#[test]
fn what_airflow_should_have_said_is_missed() {
    let project = Project::november().with_env("AIRFLOW_CTX_DAG_ID", "carousel");
    let outcome = project.mp(&["doctor", "--json"]).success();
    let found = assert_status(&outcome, "airflow", "warn")["found"].to_string();
    for name in ["AIRFLOW_CTX_TASK_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TRY_NUMBER"] {
        assert!(found.contains(name), "{found}");
    }
    let root = project.root().display().to_string();
    let project = project
        .with_env("AIRFLOW_CTX_TASK_ID", "t")
        .with_env("AIRFLOW_CTX_DAG_RUN_ID", "r")
        .with_env("AIRFLOW_CTX_TRY_NUMBER", "1");
    let outcome = project.mp(&["doctor", "--project", &root]).success();
    assert!(!outcome.stdout.contains("warn  airflow"), "{outcome}");
    let outcome = project.mp(&["doctor"]).success();
    assert!(outcome.stdout.contains("MP_PROJECT"), "{outcome}");
}

#[test]
fn an_as_of_that_is_yet_to_come_is_a_warning() {
    let project = Project::november();
    let outcome = project.mp(&["doctor", "--json", "--as-of", "2999-01-01"]).success();
    assert_status(&outcome, "clock", "warn");
}

#[test]
fn a_configuration_that_is_wrong_is_wrong_here_too() {
    let project = Project::november();
    let failed = project.mp(&["doctor", "--set", "processing.chunk_sise=1"]).fails(2);
    assert!(failed.stderr.contains("chunk_size"), "{failed}");
}
