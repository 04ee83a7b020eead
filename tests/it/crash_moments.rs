//! The program as it is shipped is killed at random moments of a run, and the same command makes it good.
//!
//! 20 times in the usual tests, 500 times in the long ones (`MP_TEST_LONG=1`). Every other time it is a
//! first run, else one that replaces results. A reader of another library opens what is published all the
//! while. What it was killed at is told at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::crash::{Published, assert_heals, assert_nothing_is_left_over, copy_of, is_long};
use crate::crash_reader::{Reader, Sight};
use crate::events::Dice;
use crate::project::Project;

const PRINTS: &str = "1600000";
const KILLS: u32 = 20;
const KILLS_LONG: u32 = 500;
const SIGKILL: i32 = 9;

/// A run that is to be killed, and the states before and after it.
struct Kind {
    name: &'static str,
    start: Project,
    args: Vec<String>,
    before: (Published, Sight),
    after: (Published, Sight),
    takes: Duration,
}

impl Kind {
    fn new(name: &'static str, start: Project, raw: &Path, reader: &mut Reader) -> Kind {
        let setting = format!("data_paths.raw={}", raw.display());
        let args = ["run", "--all", "--set", &setting].map(str::to_owned).to_vec();
        let before = (Published::of(&start), reader.look(&start));
        let whole = copy_of(&start);
        reader.watch(&whole);
        let began = Instant::now();
        whole.mp(&words(&args)).success();
        let takes = began.elapsed();
        reader.stop();
        let after = (Published::of(&whole), reader.look(&whole));
        assert_ne!(before.0, after.0, "{name}: nothing happens");
        Kind { name, start, args, before, after, takes }
    }
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// Raw files of a seed, in a folder of their own.
fn raw(folder: &TempDir, seed: &str) -> std::path::PathBuf {
    let path = folder.path().join(seed);
    let project = Project::empty();
    let out = path.to_str().expect("UTF-8");
    project.mp(&["synth", out, "--prints", PRINTS, "--seed", seed]).success();
    path
}

/// The tasks that were at work when the log ends.
fn at_work(log: &str) -> BTreeSet<String> {
    let mut tasks = BTreeSet::new();
    for line in log.lines() {
        if let Some((_, task)) = line.split_once("start: ") {
            tasks.insert(task.split_whitespace().next().unwrap_or_default().to_owned());
        }
        if let Some((_, task)) = line.split_once("done: ") {
            tasks.remove(task.split_whitespace().next().unwrap_or_default());
        }
    }
    tasks
}

/// What lies about after a kill, in words for the tally.
fn leftovers(project: &Project) -> &'static str {
    let in_folder = |folder: &str| {
        let entries = std::fs::read_dir(project.path(folder)).into_iter().flatten();
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".tmp"))
    };
    let homes = ["data/processed", "data/output", "data/quality_reports"];
    let in_homes = homes.iter().any(|home| {
        ["", "/_manifests", "/_rejects"].iter().any(|below| in_folder(&format!("{home}{below}")))
    });
    match (in_homes, in_folder("data/.mp/tmp")) {
        (true, _) => "in a commit",
        (false, true) => "with staged files",
        (false, false) => "between files",
    }
}

#[test]
fn a_run_killed_at_any_moment_is_made_good_by_the_same_command() {
    let folder = tempfile::Builder::new().prefix("mp it ").tempdir().expect("a folder");
    let (old, new) = (raw(&folder, "1"), raw(&folder, "2"));
    let mut reader = Reader::start();
    let first = Kind::new("first", Project::empty(), &old, &mut reader);
    let start = copy_of(&first.start);
    start.mp(&words(&first.args)).success();
    let replaced = Kind::new("replaced", start, &new, &mut reader);
    let kinds = [first, replaced];

    let kills = if is_long() { KILLS_LONG } else { KILLS };
    let (mut dice, mut tally) = (Dice(20_201_130), BTreeMap::<String, u32>::new());
    let (mut landed, mut passes) = (0, 0);
    for number in 0..kills {
        let kind = &kinds[number as usize % kinds.len()];
        let project = copy_of(&kind.start);
        // One moment in each of as many equal parts of the run as there are kills of its kind.
        let part = f64::from(number / 2) + dice.below(1_000_000) as f64 / 1e6;
        let moment = kind.takes.mul_f64(part / f64::from(kills.div_ceil(2)));
        let when = format!("{} run, killed after {moment:?} of {:?}", kind.name, kind.takes);
        reader.watch(&project);
        let log = project.path("stderr");
        let mut command = project.command(&words(&kind.args));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).expect("a file"));
        let mut child = command.spawn().expect("mp starts");
        std::thread::sleep(moment);
        child.kill().expect("SIGKILL");
        let status = child.wait().expect("ended");
        if status.signal() == Some(SIGKILL) {
            landed += 1;
            let text = std::fs::read_to_string(&log).expect("a log");
            let tasks: Vec<String> = at_work(&text).into_iter().collect();
            let tasks = if tasks.is_empty() { "no task".to_owned() } else { tasks.join(", ") };
            *tally.entry(format!("{tasks}, {}", leftovers(&project))).or_default() += 1;
        } else {
            assert!(status.success(), "{when}: {status}");
        }
        Published::of(&project).assert_between(&kind.before.0, &kind.after.0, &when);
        assert_heals(&project, &words(&kind.args), 0, &kind.after.0, &when);
        let sight = reader.stop();
        sight.assert_only(&kind.before.1, &kind.after.1, &when);
        passes += sight.passes;
        project.mp(&[&["plan", "--exit-code"], &words(&kind.args)[2..]].concat()).success();
        if number + 2 >= kills {
            project.write("config/params.yaml", settings(&kind.args));
            assert_nothing_is_left_over(&project);
        }
    }
    let lengths: Vec<Duration> = kinds.iter().map(|kind| kind.takes).collect();
    println!(
        "{kills} kills of runs of {lengths:?}: {landed} before the end; {passes} passes of the reader"
    );
    for (what, count) in tally {
        println!("{count:4}  {what}");
    }
    // A machine that became faster than it was when the runs were timed makes some come too late.
    assert!(landed * 2 > kills, "only {landed} of {kills} kills came before the end");
}

/// The one setting of these runs as a configuration file.
fn settings(args: &[String]) -> String {
    let (_, raw) = args[3].split_once('=').expect("a setting");
    format!("validation: {{as_of: 2020-11-30}}\ndata_paths: {{raw: \"{raw}\"}}\n")
}
