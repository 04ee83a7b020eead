//! A disk that is full, may not be written or holds the wrong things, and inputs that go or change
//! during a run: the exit code, the message, the old results whole, and a next run that succeeds.
//!
//! Small disks are real ones (tmpfs), which want root. That every single write may be refused is shown
//! with the fault points.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::crash::{
    Published, assert_manifests_hold, copy_of, faulty, is_long, passes, run_faulty,
};
use crate::crash_points::{Scenario, chosen, first, replaced};
use crate::outcome::Outcome;
use crate::project::Project;

/// Room for everything: KiB, and files.
const ROOMY: u64 = 64 * 1024;
const MANY_FILES: u64 = 100_000;
/// Other results for the same raw files.
const OTHER: [&str; 4] = ["run", "--all", "--set", "processing.lookback_window_days=9"];

/// A small file system in a folder, gone on drop.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    #[track_caller]
    fn mounted(folder: PathBuf) -> Disk {
        std::fs::create_dir_all(&folder).expect("a folder");
        let disk = Disk { folder };
        disk.mount(&[
            "-t",
            "tmpfs",
            "-o",
            &format!("size={ROOMY}k,nr_inodes={MANY_FILES}"),
            "mp-it",
        ]);
        disk
    }

    #[track_caller]
    fn mount(&self, args: &[&str]) {
        let status = Command::new("mount").args(args).arg(&self.folder).status();
        let fine = status.expect("mount starts").success();
        assert!(fine, "a small disk is mounted for this test: run it as root, on Linux");
    }

    #[track_caller]
    fn resize(&self, kib: u64) {
        self.mount(&["-o", &format!("remount,size={kib}k")]);
    }

    #[track_caller]
    fn limit_files(&self, count: u64) {
        self.mount(&["-o", &format!("remount,nr_inodes={count}")]);
    }

    #[track_caller]
    fn read_only(&self, yes: bool) {
        self.mount(&["-o", if yes { "remount,ro" } else { "remount,rw" }]);
    }

    /// KiB or files in use.
    fn used(&self, what: &str) -> u64 {
        let mut command = Command::new("df");
        command.args([&format!("--output={what}"), "-k"]).arg(&self.folder);
        let output = command.output().expect("df starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folder below is removed with the project, or stays if this fails.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

/// A project all of whose data lies in one folder, which may be a disk of its own.
fn on_one_disk() -> Project {
    Project::november()
        .with("data_paths.processed", json!("disk/processed"))
        .with("data_paths.output", json!("disk/output"))
        .with("quality.quality_report_path", json!("disk/reports"))
        .with("store.path", json!("disk/store"))
        .with("logging.log_dir", json!("disk/logs"))
}

fn results_of(project: &Project, args: &[&str]) -> Published {
    project.mp(args).success();
    Published::of(project)
}

/// Done, or the disk was full and the run says so.
#[track_caller]
fn assert_done_or_full(outcome: &Outcome, when: &str) -> bool {
    assert!([0, 75].contains(&outcome.code), "{when}: {outcome}");
    if outcome.code == 75 {
        assert!(outcome.stderr.contains("free some disk space"), "{when}: {outcome}");
    }
    outcome.code == 75
}

#[track_caller]
fn assert_no_temporary_file(folder: &Path, when: &str) {
    let output = Command::new("find").arg(folder).args(["-name", ".*.tmp"]).output();
    let found = String::from_utf8(output.expect("find starts").stdout).expect("UTF-8");
    assert_eq!(found, "", "{when}: left behind");
}

/// `count` numbers from `from` to `to`, the last one not among them.
fn steps(from: u64, to: u64, count: u64) -> impl Iterator<Item = u64> {
    let count = if is_long() { count * 8 } else { count };
    (0..count).map(move |at| from + (to - from) * at / count)
}

/// Fills a disk to each of some limits with `args`, beginning with the results of `start`; then there is
/// room again.
fn filled(start: &[&str], args: &[&str], what: &str, limit: impl Fn(&Disk, u64)) {
    let reference = on_one_disk();
    let disk = Disk::mounted(reference.path("disk"));
    if !start.is_empty() {
        reference.mp(start).success();
    }
    let (before, from) = (Published::of(&reference), disk.used(what));
    let after = results_of(&reference, args);
    let to = disk.used(what);
    assert!(to > from, "{what}: {from} to {to}");
    let mut full = 0;
    for room in steps(from.max(1), to, 12) {
        let when = format!("{what} {room} of {to}");
        let project = on_one_disk();
        let disk = Disk::mounted(project.path("disk"));
        if !start.is_empty() {
            project.mp(start).success();
        }
        limit(&disk, room.max(disk.used(what)));
        full += u32::from(assert_done_or_full(&project.mp(args), &when));
        Published::of(&project).without_failures().assert_between(&before, &after, &when);
        assert_manifests_hold(&project, &when);
        assert_no_temporary_file(&disk.folder, &when);
        disk.resize(ROOMY);
        disk.limit_files(MANY_FILES);
        project.mp(args).success();
        Published::of(&project).assert_same(&after, &when);
        assert_no_temporary_file(&disk.folder, &when);
    }
    assert!(full >= 6, "{what}: only {full} of the disks were too small");
}

#[test]
fn a_disk_too_small_for_a_first_run_ends_it_with_75() {
    filled(&[], &["run", "--all"], "used", Disk::resize);
}

#[test]
fn a_disk_too_small_for_other_results_leaves_the_old_ones_whole() {
    filled(&["run", "--all"], &OTHER, "used", Disk::resize);
}

#[test]
fn a_disk_of_too_few_files_for_a_first_run_ends_it_with_75() {
    filled(&[], &["run", "--all"], "iused", Disk::limit_files);
}

#[test]
fn a_disk_of_too_few_files_for_other_results_leaves_the_old_ones_whole() {
    filled(&["run", "--all"], &OTHER, "iused", Disk::limit_files);
}

#[test]
fn gc_makes_room_on_a_disk_of_no_files_left_and_needs_none_on_a_read_only_one() {
    let project = on_one_disk();
    let disk = Disk::mounted(project.path("disk"));
    project.mp(&["run", "--all"]).success();
    disk.read_only(true);
    project.mp(&["gc", "--apply"]).success().prints(&["nothing to remove"]);
    disk.read_only(false);
    project.mp(&OTHER).success();
    disk.limit_files(disk.used("iused"));
    assert!(std::fs::write(disk.folder.join("one more"), "").is_err(), "the disk is full");
    project.mp(&["gc", "--keep-runs", "0", "--apply"]).success().prints(&["removed"]);
    disk.limit_files(MANY_FILES);
    project.mp(&["verify"]).success();
}

/// At these a refusal need not fail the run: they serve the memo, the clearing away and the notes too,
/// which may be done without.
const MAY_BE_REFUSED: [&str; 14] = [
    "awaited.read",
    "folder.sync",
    "history.begin",
    "history.end",
    "memo.lock",
    "memo.save",
    "prune.object",
    "prune.parsed",
    "prune.result",
    "remove",
    "temporary.create",
    "write.bytes",
    "write.rename",
    "write.sync",
];

/// Refuses a run each of some steps; the old results stay whole, and the next run succeeds.
fn refused(scenario: &Scenario, of_each: usize, how: &str, code: i32, words: &str) {
    let Scenario { name, start, args, .. } = scenario;
    let before = Published::of(start);
    let whole = copy_of(start);
    let (outcome, passes) = passes(&whole, args);
    outcome.success();
    let after = Published::of(&whole);
    for (point, nth) in chosen(&passes, of_each) {
        let when = format!("{name}, {how} at pass {nth} of `{point}`");
        let project = copy_of(start);
        let output = run_faulty(&project, args, &format!("{point}:{nth}={how}"));
        let outcome = Outcome::new(when.clone(), output);
        if outcome.code == 0 {
            assert!(MAY_BE_REFUSED.contains(&point.as_str()), "{when}: nobody noticed: {outcome}");
            Published::of(&project).assert_same(&after, &when);
        } else {
            assert_eq!(outcome.code, code, "{when}: {outcome}");
            assert!(outcome.stderr.contains(words), "{when}: {outcome}");
            let now = Published::of(&project).without_failures();
            now.assert_between(&before, &after, &when);
        }
        assert_manifests_hold(&project, &when);
        assert_no_temporary_file(project.root(), &when);
        project.mp(args).success();
        Published::of(&project).assert_same(&after, &when);
        assert_no_temporary_file(project.root(), &when);
    }
}

#[test]
fn a_first_run_refused_room_at_any_write_ends_with_75_and_the_next_succeeds() {
    refused(&first(), 2, "full", 75, "free some disk space");
}

#[test]
fn other_results_refused_room_at_any_write_leave_the_old_ones_whole() {
    refused(&replaced(), 2, "full", 75, "free some disk space");
}

#[test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    refused(&replaced(), 1, "quota", 75, "free some disk space");
}

#[test]
fn an_error_of_the_disk_fails_the_stage_and_leaves_the_old_results_whole() {
    refused(&replaced(), 1, "io", 1, "at the point");
}

#[test]
fn a_disk_that_stays_full_leaves_the_old_results_whole() {
    let Scenario { start, args, .. } = replaced();
    let before = Published::of(&start);
    let after = results_of(&copy_of(&start), &args);
    for point in ["temporary.create", "stage.bytes", "write.bytes", "publish.link"] {
        for nth in [1, 2, 4] {
            let when = format!("full from pass {nth} of `{point}` on");
            let project = copy_of(&start);
            let output = run_faulty(&project, &args, &format!("{point}:{nth}+=full"));
            let outcome = Outcome::new(when.clone(), output);
            assert!(assert_done_or_full(&outcome, &when), "{when}: nobody noticed: {outcome}");
            let now = Published::of(&project).without_failures();
            now.assert_between(&before, &after, &when);
            assert_manifests_hold(&project, &when);
            project.mp(&args).success();
            Published::of(&project).assert_same(&after, &when);
        }
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_with_a_hint() {
    let project = Project::november();
    project.mp(&["run", "--all"]).success();
    let before = Published::of(&project);
    let after = results_of(&copy_of(&project), &OTHER);
    let mp = project.command(&OTHER);
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -f 8; exec "$@""#, "sh"]).arg(mp.get_program());
    command.args(mp.get_args()).current_dir(project.root());
    let outcome = Outcome::new("mp within limits".to_owned(), command.output().expect("sh starts"));
    let outcome = outcome.fails(1).says(&["ulimit -f"]);
    assert!(!outcome.stderr.contains("panicked"), "{outcome}");
    let now = Published::of(&project).without_failures();
    now.assert_between(&before, &after, "within limits");
    assert_manifests_hold(&project, "within limits");
    project.mp(&OTHER).success();
    Published::of(&project).assert_same(&after, "without limits");
}

#[test]
fn a_folder_that_may_not_be_written_fails_the_stage_and_keeps_its_results() {
    for folder in ["data/processed", "data/output", "data/quality_reports", "data/.mp"] {
        let project = Project::november();
        let disk = Disk::mounted(project.path(folder));
        project.run_all();
        let before = Published::of(&project);
        disk.read_only(true);
        project.mp(&["run", "--all"]).success();
        let outcome = project.mp(&[&OTHER[..], &["--as-of", "2020-11-29"]].concat()).fails(1);
        let outcome = outcome.says(&[folder, "mp doctor"]);
        assert!(!outcome.stderr.contains("panicked"), "{outcome}");
        assert_manifests_hold(&project, folder);
        disk.read_only(false);
        project.mp(&["run", "--all"]).success();
        Published::of(&project).assert_same(&before, folder);
        project.run_all();
    }
}

#[test]
fn a_folder_in_the_place_of_a_file_is_named_and_stays() {
    let reference = Project::november();
    reference.run_all();
    let after = results_of(&reference, &[&OTHER[..], &["--as-of", "2020-11-29"]].concat());
    for place in [
        "data/output/training_dataset.parquet",
        "data/output/_SUCCESS.json",
        "data/output/_manifests/features.json",
        "data/output/_manifests/features.lock",
        "data/processed/prints.parquet",
        "data/quality_reports/quality_report.json",
    ] {
        let project = Project::november();
        project.run_all();
        let path = project.path(place);
        std::fs::remove_file(&path).expect("removed");
        project.write(&format!("{place}/mine"), "of the user");
        let args = [&OTHER[..], &["--as-of", "2020-11-29"]].concat();
        project.mp(&args).fails(1).says(&[place]);
        assert_eq!(project.text(&format!("{place}/mine")), "of the user");
        assert_no_temporary_file(&project.path("data"), place);
        std::fs::remove_dir_all(&path).expect("removed");
        project.mp(&args).success();
        Published::of(&project).assert_same(&after, place);
    }
}

/// A run that waits at a fault point until it is let go.
struct Held {
    child: Child,
    gate: PathBuf,
}

impl Held {
    fn at(project: &Project, point: &str, args: &[&str]) -> Held {
        let gate = project.path("gate");
        let mut command = project.command_of(&faulty(), args);
        command.env("MP_TEST_FAULT", format!("{point}=hold")).env("MP_TEST_FAULT_GATE", &gate);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("mp starts");
        while !gate.exists() {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "it never came to `{point}`");
            std::thread::sleep(Duration::from_millis(2));
        }
        Held { child, gate }
    }

    fn let_go(self) -> Outcome {
        std::fs::remove_file(&self.gate).expect("removed");
        let output: Output = self.child.wait_with_output().expect("ended");
        Outcome::new("mp, held on its way".to_owned(), output)
    }
}

const ONE_BY_ONE: [&str; 4] = ["run", "--all", "--jobs", "1"];

#[test]
fn a_file_removed_between_plan_and_run_is_a_missing_input() {
    let project = Project::november();
    project.run_all();
    let before = Published::of(&project);
    for name in ["prints.json", "taps.json", "pays.csv"] {
        let file = format!("data/raw/{name}");
        let text = project.text(&file);
        let held = Held::at(&project, "task.begin:1", &[&ONE_BY_ONE[..], &["--force"]].concat());
        std::fs::remove_file(project.path(&file)).expect("removed");
        held.let_go().fails(3).says(&[name]);
        Published::of(&project).without_failures().assert_same(&before, name);
        project.write(&file, text);
        project.run_all();
        Published::of(&project).assert_same(&before, name);
    }
}

#[test]
fn a_file_that_goes_while_it_is_read_is_a_missing_input() {
    let project = Project::november();
    project.run_all();
    let before = Published::of(&project);
    let text = project.text("data/raw/pays.csv");
    let args = [&ONE_BY_ONE[..], &["--force"]].concat();
    let held = Held::at(&project, "task.computed:1", &args);
    std::fs::remove_file(project.path("data/raw/pays.csv")).expect("removed");
    held.let_go().fails(3).says(&["pays.csv", "removed while it was being read"]);
    Published::of(&project).without_failures().assert_same(&before, "removed");
    project.write("data/raw/pays.csv", text);
    project.run_all();
    Published::of(&project).assert_same(&before, "there again");
}

#[test]
fn an_input_that_changes_during_the_run_is_not_committed() {
    let longer: &dyn Fn(&Project) = &|project| {
        let text = project.text("data/raw/pays.csv") + "2020-11-09,7.25,3,point\n";
        project.write("data/raw/pays.csv", text);
    };
    // As long as it was, under the same name.
    let replaced: &dyn Fn(&Project) = &|project| {
        let text = project.text("data/raw/pays.csv").replace("point", "paint");
        project.write("data/raw/other", text);
        let (from, to) = (project.path("data/raw/other"), project.path("data/raw/pays.csv"));
        std::fs::rename(from, to).expect("renamed");
    };
    for (what, change) in [("longer", longer), ("replaced", replaced)] {
        let project = Project::november();
        project.run_all();
        let before = Published::of(&project);
        let changed = Project::november();
        change(&changed);
        let after = results_of(&changed, &ONE_BY_ONE);
        assert_ne!(before, after);
        let args = [&ONE_BY_ONE[..], &["--force"]].concat();
        let held = Held::at(&project, "task.computed:1", &args);
        change(&project);
        let outcome = held.let_go().fails(1);
        outcome.says(&["pays.csv", "changed while it was being read", "once the file is complete"]);
        Published::of(&project).without_failures().assert_same(&before, what);
        project.mp(&ONE_BY_ONE).success();
        Published::of(&project).assert_same(&after, what);
    }
}
