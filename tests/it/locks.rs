//! Two programs at once: one works, the other waits or says who holds the lock; nothing is damaged.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::json;

use crate::events::SOURCES;
use crate::outcome::Outcome;
use crate::project::Project;

fn start(project: &Project, args: &[&str]) -> Child {
    let mut command = project.command(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("mp starts")
}

fn finish(child: Child, args: &[&str]) -> Outcome {
    Outcome::new(format!("mp {}", args.join(" ")), child.wait_with_output().expect("ended"))
}

/// The lock of a task, held by this test in the name of another program on another host.
pub fn hold(project: &Project, task: &str) -> File {
    let folder = project.view().processed.join("_manifests");
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(format!("{task}.lock"));
    let holder = json!({"pid": 4_194_999, "host": "otherhost", "since": "2026-11-23T10:00:00Z"});
    std::fs::write(&path, holder.to_string()).expect("written");
    let file = File::options().read(true).write(true).open(path).expect("a lock file");
    file.lock().expect("locked");
    file
}

#[test]
fn a_lock_that_is_held_ends_the_run_with_75_and_names_pid_host_and_since_when() {
    let project = Project::november();
    let lock = hold(&project, "extract.prints");
    let outcome = project.mp(&["run", "--all", "-k", "--lock-timeout", "0s"]).fails(75);
    outcome.says(&["4194999", "otherhost", "2026-11-23", "extract.prints"]);
    assert!(project.view().manifest_path("preprocess.taps").exists(), "the others went on");
    assert!(!project.view().manifest_path("extract.prints").exists());
    drop(lock);
    project.run_all();
}

/// The kernel's answers for a lock that the file system does not have: ENOLCK and EOPNOTSUPP.
const REFUSALS: [u32; 2] = [37, 95];

/// Does something while every lock is refused, to this thread and all that it starts.
fn without_locks<T: Send>(errno: u32, work: impl FnOnce() -> T + Send) -> T {
    let flock = if cfg!(target_arch = "x86_64") { 73 } else { 32 };
    let arch = std::env::consts::ARCH.try_into().expect("an architecture with filters");
    let (allow, refuse) = (SeccompAction::Allow, SeccompAction::Errno(errno));
    let rules = BTreeMap::from([(flock, Vec::new())]);
    let filter = SeccompFilter::new(rules, allow, refuse, arch).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    std::thread::scope(|scope| {
        let work = scope.spawn(move || {
            seccompiler::apply_filter(&program).expect("the kernel takes filters");
            work()
        });
        work.join().expect("no panic")
    })
}

#[test]
fn a_file_system_that_refuses_locks_is_named_as_one() {
    for errno in REFUSALS {
        let project = Project::november();
        let outcome =
            without_locks(errno, || project.mp(&["extract", "--source", "taps"])).fails(1);
        outcome.says(&["refuses locks", "network file systems", "NFS 4", "`mp doctor`"]);
        assert!(!project.view().manifest_path("extract.taps").exists(), "nothing is done unlocked");
        let doctor = without_locks(errno, || project.mp(&["doctor"])).fails(1);
        doctor.prints(&["locks", "do not work"]);
        project.run_all();
        for args in [["plan", "--exit-code"], ["status", "--exit-code"], ["run", "--all"]] {
            without_locks(errno, || project.mp(&args)).success();
        }
    }
}

#[test]
fn a_holder_on_another_machine_that_gives_no_sign_of_life_is_named_as_such() {
    let project = Project::november();
    let _lock = hold(&project, "extract.taps");
    let path = project.path("data/processed/_manifests/extract.taps.lock");
    let holder = json!({
        "pid": 7, "host": "otherhost", "since": "2026-11-23T10:00:00Z", "beat_ms": 100,
    });
    std::fs::write(path, holder.to_string()).expect("written");
    let extract = ["extract", "--source", "taps", "--lock-timeout"];
    let outcome = project.mp(&[&extract[..], &["1s"]].concat()).fails(75);
    outcome.says(&["`otherhost`", "no sign of life for ", "delete `", "extract.taps.lock`"]);
    let outcome = project.mp(&[&extract[..], &["0s"]].concat()).fails(75);
    outcome.says(&["`otherhost`", "whose last sign of life is of 20"]);
}

#[test]
fn a_run_waits_for_the_lock_and_then_works() {
    let project = Project::november();
    let lock = hold(&project, "extract.prints");
    let args = ["run", "--all", "--lock-timeout", "60s"];
    let child = start(&project, &args);
    std::thread::sleep(Duration::from_millis(700));
    assert!(!project.view().manifest_path("extract.prints").exists(), "it waits");
    drop(lock);
    let outcome = finish(child, &args).success();
    assert!(outcome.stderr.contains("otherhost"), "it said whom it waits for: {outcome}");
    project.run_all();
}

#[test]
fn the_lock_timeout_is_kept() {
    let project = Project::november();
    let _lock = hold(&project, "extract.taps");
    let start = Instant::now();
    project.mp(&["extract", "--source", "taps", "--lock-timeout", "1s"]).fails(75);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(950) && waited < Duration::from_secs(20), "{waited:?}");
    project.mp(&["run", "--lock-timeout", "soon"]).fails(2).says(&["soon"]);
}

#[test]
fn what_is_up_to_date_needs_no_lock() {
    let project = Project::november();
    project.run_all();
    let _lock = hold(&project, "extract.prints");
    project.mp(&["run", "--all", "--lock-timeout", "0s"]).success();
    project.mp(&["status"]).success();
    project.mp(&["plan"]).success();
}

#[test]
fn a_lock_file_that_nobody_holds_stops_nobody() {
    let project = Project::november();
    drop(hold(&project, "extract.prints"));
    project.mp(&["run", "--all", "--lock-timeout", "0s"]).success();
}

#[test]
fn of_two_runs_at_once_one_works_and_the_other_waits() {
    for _ in 0..3 {
        let project = Project::november();
        let args = ["run", "--all"];
        let children = [start(&project, &args), start(&project, &args)];
        for child in children {
            finish(child, &args).success();
        }
        let before = project.view().runs();
        project.run_all();
        assert_eq!(project.view().ran_since(&before), Vec::<&str>::new(), "no damage");
    }
}

#[test]
fn of_two_impatient_runs_at_once_each_succeeds_or_says_who_holds_the_lock() {
    for _ in 0..3 {
        let project = Project::november();
        let args = ["run", "--all", "--lock-timeout", "0s"];
        let children = [start(&project, &args), start(&project, &args)];
        for child in children {
            let outcome = finish(child, &args);
            assert!([0, 75].contains(&outcome.code), "{outcome}");
            if outcome.code == 75 {
                assert!(outcome.stderr.contains("locked by process "), "{outcome}");
            }
        }
        project.run_all();
    }
}

#[test]
fn three_extracts_of_three_sources_at_once_all_work() {
    let project = Project::november();
    let args = |source: &'static str| ["extract", "--source", source, "--lock-timeout", "0s"];
    let children = SOURCES.map(|source| (source, start(&project, &args(source.name()))));
    for (source, child) in children {
        finish(child, &args(source.name())).success();
    }
    let before = project.view().runs();
    assert_eq!(before.len(), 3);
    project.run_all();
    assert!(!project.view().ran_since(&before).iter().any(|task| task.starts_with("extract")));
}

#[test]
fn runs_of_two_days_at_once_share_one_store() {
    let project = Project::november()
        .with("data_paths.processed", json!("data/{as_of}/processed"))
        .with("data_paths.output", json!("data/{as_of}/output"))
        .with("quality.quality_report_path", json!("data/{as_of}/reports"));
    let args = |day: &'static str| ["run", "--all", "--as-of", day];
    let days = ["2020-11-28", "2020-11-29", "2020-11-30"];
    let children = days.map(|day| (day, start(&project, &args(day))));
    for (day, child) in children {
        finish(child, &args(day)).success();
    }
    for day in days {
        project.run_all_with(&["--as-of", day]);
    }
}

#[test]
fn a_raw_file_that_changes_during_the_run_is_never_committed_half_and_half() {
    let project = Project::november();
    let text = project.text("data/raw/prints.json");
    let lines: Vec<&str> = text.lines().collect();
    let args = ["run", "--all"];
    for keep in [500, 700, 900] {
        let child = start(&project, &args);
        std::thread::sleep(Duration::from_millis(keep / 50));
        project.write("data/raw/prints.json", lines[..keep as usize].join("\n"));
        let outcome = finish(child, &args);
        assert!([0, 1, 3, 75].contains(&outcome.code), "{outcome}");
        project.run_all();
        assert_eq!(project.view().count("extract.prints", "rows_read"), keep);
    }
}
