//! What `mp gc` meets that is not of its own making: processes that use the store, signals, links, damaged
//! notes, files of the user.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::gc::{all_listed, daily, done, listed};
use crate::outcome::Outcome;
use crate::project::Project;
use crate::snapshot::sha256_hex;
use crate::verify::objects;

const ALL: [&str; 4] = ["gc", "--keep-runs", "0", "--apply"];

fn start(project: &Project, args: &[&str]) -> Child {
    let mut command = project.command(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("mp starts")
}

fn finish(child: Child) -> Outcome {
    Outcome::new("mp".to_owned(), child.wait_with_output().expect("ended"))
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().expect("kill").success());
}

fn keep_lock(project: &Project) -> File {
    let path = project.path("data/.mp/keep.lock");
    File::options().read(true).write(true).open(path).expect("the lock of the store")
}

/// The store held alone, in the name of a process on another host.
fn alone(project: &Project) -> File {
    let holder = json!({"pid": 4_194_999, "host": "otherhost", "since": "2026-11-23T10:00:00Z"});
    project.write("data/.mp/keep.lock", holder.to_string());
    let file = keep_lock(project);
    file.lock().expect("locked");
    file
}

/// Is somebody waiting for the store, or about to?
fn until_it_waits(child: &mut Child) {
    std::thread::sleep(Duration::from_millis(400));
    assert!(child.try_wait().expect("its state").is_none(), "it waits");
}

#[test]
fn a_day_that_commits_while_gc_waits_keeps_its_results() {
    let project = daily(Project::november())
        .with("validation.business_rules.min_timestamp_days_ago", json!(10))
        .with("processing.max_reject_rate", json!(1));
    for day in ["2020-11-28", "2020-11-30"] {
        project.mp(&["run", "--all", "--as-of", day]).success();
    }
    // Something that makes it wait.
    let note = format!("data/.mp/awaited/extract.prints/{}-preprocess.prints", "0".repeat(16));
    project.write(&note, "torn");
    let lock = keep_lock(&project);
    lock.lock_shared().expect("shared");
    let mut gc = start(&project, &ALL);
    until_it_waits(&mut gc);
    project.mp(&["run", "--all", "--as-of", "2020-11-26"]).success();
    let before = objects(&project);
    drop(lock);
    finish(gc).success();
    assert!(!project.path(&note).exists(), "it did its work");
    assert_eq!(objects(&project), before);
    project.mp(&["verify"]).success();
    std::fs::remove_file(project.path("data/2020-11-26/processed/prints.parquet")).expect("gone");
    let plan = project.mp(&["plan", "--as-of", "2020-11-26", "--json"]).success().json("plan");
    let tasks = plan["tasks"].as_array().expect("tasks").iter();
    let verdicts: Vec<&Value> =
        tasks.filter(|task| task["task"] == "preprocess.prints").map(|t| &t["verdict"]).collect();
    assert_eq!(verdicts, [&json!("restore")]);
}

#[test]
fn a_store_that_two_projects_reach_by_different_names_knows_both() {
    let shared = tempfile::tempdir().expect("a folder");
    let (real, link) = (shared.path().join("real/x"), shared.path().join("link"));
    std::fs::create_dir_all(&real).expect("a folder");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    let with = |store: &Path| Project::november().with("store.path", json!(store.join(".mp")));
    let one = with(&real);
    let two = with(&link).with("processing.lookback_window_days", json!(14));
    one.mp(&["run", "--all"]).success();
    two.mp(&["run", "--all"]).success();
    for project in [&one, &two] {
        assert_eq!(all_listed(project, &["--keep-runs", "2"]), Vec::<Value>::new());
        assert_eq!(listed(project, &["--keep-runs", "0"]), Vec::<Value>::new());
        project.mp(&ALL).success();
    }
    for project in [&one, &two] {
        project.mp(&["verify"]).success();
        std::fs::remove_file(project.path("data/output/training_dataset.parquet")).expect("gone");
        let again = project.mp(&["run", "--all"]).success();
        assert!(again.stdout.contains("restored"), "{again}");
    }
}

#[test]
fn a_store_behind_a_link_knows_its_folders_after_the_project_was_moved() {
    let big = tempfile::tempdir().expect("a folder");
    let mut project = Project::november();
    std::fs::create_dir_all(big.path().join("deep/store")).expect("a folder");
    std::os::unix::fs::symlink(big.path().join("deep/store"), project.path("data/.mp"))
        .expect("a link");
    let keys = ["data_paths.processed", "data_paths.output", "quality.quality_report_path"];
    keys.iter().for_each(|key| project.set(key, json!(format!("data/other/{key}"))));
    project.run_all();
    keys.iter().for_each(|key| project.unset(key));
    project.run_all();
    let moved = crate::crash::copy_of(&project);
    std::fs::remove_dir_all(project.path("data")).expect("gone");
    assert_eq!(listed(&moved, &["--keep-runs", "0"]), Vec::<Value>::new());
    let facts = moved.mp(&["verify", "--json"]).success().json("verify");
    assert_eq!(facts["manifests"], json!(16), "{facts:#}");
}

#[test]
fn a_data_folder_behind_a_link_is_one_home() {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let project = Project::november();
    let real = elsewhere.path().join("data");
    std::fs::rename(project.path("data"), &real)
        .or_else(|_| copy_all(&project.path("data"), &real))
        .expect("moved");
    let _ = std::fs::remove_dir_all(project.path("data"));
    std::os::unix::fs::symlink(&real, project.path("data")).expect("a link");
    project.mp(&["run", "--all"]).success();
    let facts = project.mp(&["verify", "--json"]).success().json("verify");
    assert_eq!(facts["manifests"], json!(8), "each is counted once: {facts:#}");
    assert_eq!(listed(&project, &["--keep-runs", "0"]), Vec::<Value>::new());
}

/// Where a rename is refused, as from one file system to another.
fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    let status = Command::new("cp").arg("-a").args([from, to]).status()?;
    assert!(status.success());
    Ok(())
}

#[test]
fn a_damaged_note_of_folders_stops_gc_until_a_commit_writes_it_again() {
    let mut project = done();
    let notes = project.path("data/.mp/homes");
    let notes: Vec<PathBuf> =
        notes.read_dir().expect("notes").map(|entry| entry.expect("one").path()).collect();
    let whole = std::fs::read(&notes[0]).expect("a note");
    for key in ["data_paths.processed", "data_paths.output", "quality.quality_report_path"] {
        project.set(key, json!(format!("data/other/{key}")));
    }
    for damage in [Vec::new(), b"junk".to_vec(), {
        let text = String::from_utf8(whole.clone()).expect("text");
        text.replace("processed\":\"../p", "processed\":\"../q").into_bytes()
    }] {
        assert_ne!(damage, whole);
        std::fs::write(&notes[0], damage).expect("damaged");
        let before = project.snapshot();
        for args in [&["gc"][..], &ALL] {
            project.mp(args).fails(1).says(&["homes", "is damaged", "--force", "hint:"]);
        }
        for args in [&["verify"][..], &["verify", "--repair"]] {
            project.mp(args).fails(1).prints(&["homes", "cannot be read", "--force"]);
        }
        before.assert_same(&project.snapshot());
    }
    for key in ["data_paths.processed", "data_paths.output", "quality.quality_report_path"] {
        project.unset(key);
    }
    project.mp(&["verify", "--repair"]).success();
    assert_eq!(std::fs::read(&notes[0]).expect("a note"), whole, "its folders are known");
    std::fs::write(&notes[0], "junk").expect("damaged");
    project.mp(&["run", "quality", "--force"]).success();
    assert_eq!(std::fs::read(&notes[0]).expect("a note"), whole);
    assert_eq!(listed(&project, &["--keep-runs", "0"]), Vec::<Value>::new());
}

#[test]
fn what_mp_did_not_make_hinders_nobody_and_stays() {
    let mut project = done();
    project.set("processing.lookback_window_days", json!(14));
    project.run_all();
    let folders = [
        "objects",
        "objects/ab",
        "objects/mine",
        "results",
        "results/features",
        "parsed",
        "parsed/prints",
        "parsed/prints/mine",
        "awaited",
        "awaited/extract.prints",
        "homes",
        "runs",
        "runs/inputs",
        "tmp",
        "rebuild",
        "rebuild/mine",
    ];
    let hash = sha256_hex(b"mine");
    let mut mine: Vec<String> = vec![
        format!("data/.mp/objects/mine/{hash}"),
        "data/.mp/results/features/copy.json".to_owned(),
        "data/.mp/runs/notes.json".to_owned(),
        "data/.mp/runs/.mine.tmp".to_owned(),
        "data/processed/_rejects/prints.october.failed.csv".to_owned(),
    ];
    mine.extend(folders.map(|folder| format!("data/.mp/{folder}/README")));
    let then = SystemTime::now() - Duration::from_secs(30 * 24 * 60 * 60);
    for name in &mine {
        project.write(name, "of the user");
        let times = std::fs::FileTimes::new().set_modified(then);
        let file = File::options().write(true).open(project.path(name)).expect("it");
        file.set_times(times).expect("old");
    }
    let listed = all_listed(&project, &["--keep-runs", "0"]);
    assert!(listed.iter().any(|thing| thing["kind"] == "object"), "{listed:#?}");
    for thing in &listed {
        let path = thing["path"].as_str().expect("a path");
        assert!(!mine.iter().any(|name| path.ends_with(name)), "{thing:#}");
    }
    project.mp(&ALL).success();
    // A run tidies up as well.
    project.mp(&["run", "--all", "--force"]).success();
    for name in &mine {
        assert_eq!(project.text(name), "of the user");
    }
}

#[test]
fn a_file_in_place_of_a_folder_of_the_store_is_named() {
    let project = done();
    for folder in ["objects", "homes", "results", "parsed", "awaited"] {
        let (path, aside) = (project.path(&format!("data/.mp/{folder}")), project.path("aside"));
        std::fs::rename(&path, &aside).expect("moved");
        std::fs::write(&path, "a file").expect("written");
        for args in [&["gc"][..], &ALL] {
            project.mp(args).fails(1).says(&[&format!(".mp/{folder}`"), "Not a directory"]);
        }
        std::fs::remove_file(&path).expect("removed");
        std::fs::rename(&aside, &path).expect("moved back");
    }
    project.mp(&["verify"]).success();
}

#[test]
fn a_killed_check_of_a_folder_is_found_once_it_is_old() {
    let project = done();
    let probe = "data/output/.mp-doctor-A6Vh3L";
    project.write(probe, "");
    project.write("data/output/.mp-doctor-notes.txt", "of the user");
    assert_eq!(listed(&project, &[]), Vec::<Value>::new(), "it may be at work");
    let then = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    let file = File::options().write(true).open(project.path(probe)).expect("it");
    file.set_times(std::fs::FileTimes::new().set_modified(then)).expect("old");
    let garbage = listed(&project, &[]);
    assert_eq!(garbage.len(), 1, "{garbage:#?}");
    project.mp(&["gc", "--apply"]).success();
    assert!(!project.path(probe).exists());
    assert!(project.path("data/output/.mp-doctor-notes.txt").exists());
}

#[test]
fn a_signal_stops_gc_between_two_things_and_the_next_one_goes_on() {
    const MANY: usize = 40_000;
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let stopped = (0..20).find_map(|_| {
            let project = done();
            let live = objects(&project);
            for number in 0..MANY {
                let hash = sha256_hex(&number.to_be_bytes());
                let folder = project.path(&format!("data/.mp/objects/{}", &hash[..2]));
                std::fs::create_dir_all(&folder).expect("a folder");
                std::fs::write(folder.join(hash), "").expect("an object");
            }
            let mut garbage = objects(&project).into_iter().filter(|path| !live.contains(path));
            let first = garbage.next().expect("garbage");
            let gc = start(&project, &["gc", "--apply", "-q"]);
            while first.exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
            signal(&gc, name);
            let outcome = finish(gc);
            (outcome.code != 0).then_some((project, live, outcome))
        });
        let (project, live, outcome) = stopped.expect("a signal that came in time");
        let left = objects(&project).len() - live.len();
        let outcome = outcome.fails(code);
        outcome.prints(&[
            &format!("stopped: {} removed", MANY - left),
            &format!("{left} are left"),
            "`mp gc --apply` goes on",
        ]);
        project.mp(&["gc", "--apply"]).success();
        assert_eq!(objects(&project), live);
        project.mp(&["verify"]).success();
    }
}

#[test]
fn who_waits_for_the_store_says_so_once_and_no_longer_than_asked() {
    let project = done();
    let busy = ["in use by process 4194999 on host `otherhost`", "--lock-timeout"];
    let lock = alone(&project);
    for args in [&["run", "--all", "--force"][..], &["verify"]] {
        let waiting = [args, &["--lock-timeout", "1s"]].concat();
        let outcome = project.mp(&waiting).fails(75).says(&busy);
        assert_eq!(outcome.stderr.matches("waiting for process 4194999").count(), 1, "{outcome}");
        let at_once = [args, &["--lock-timeout", "0s"]].concat();
        let outcome = project.mp(&at_once).fails(75).says(&busy);
        assert!(!outcome.stderr.contains("waiting for"), "{outcome}");
        for (name, code) in [("-INT", 130), ("-TERM", 143)] {
            let mut child = start(&project, &[args, &["--lock-timeout", "1h"]].concat());
            until_it_waits(&mut child);
            signal(&child, name);
            let outcome = finish(child).fails(code);
            assert_eq!(outcome.stderr.matches("waiting for").count(), 1, "{outcome}");
        }
    }
    let mut child = start(&project, &["run", "quality", "--force", "--lock-timeout", "1h"]);
    until_it_waits(&mut child);
    drop(lock);
    finish(child).success();
    project.run_all();
}

#[test]
fn gc_says_once_for_whom_it_waits() {
    let mut project = done();
    project.set("processing.lookback_window_days", json!(14));
    project.run_all();
    let lock = keep_lock(&project);
    lock.lock_shared().expect("shared");
    let before = objects(&project);
    let outcome = project.mp(&[&ALL[..], &["--lock-timeout", "1s"]].concat()).fails(75);
    assert_eq!(outcome.stderr.matches("waiting for a process that").count(), 1, "{outcome}");
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = start(&project, &[&ALL[..], &["--lock-timeout", "1h"]].concat());
        until_it_waits(&mut child);
        signal(&child, name);
        finish(child).fails(code).says(&["stopped before anything was removed"]);
    }
    assert_eq!(objects(&project), before);
    drop(lock);
    project.mp(&ALL).success();
    let text = project.text("data/.mp/keep.lock");
    assert_eq!(text, "", "who had the store for itself is no longer named");
}
