//! The program is killed at each step of a commit, and the same command makes it good.
//!
//! Each scenario runs undisturbed once and notes the fault points that it passes. Then it is begun anew
//! and killed at one of them, while a reader of another library opens what is published.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::crash::{
    Published, assert_heals, assert_nothing_is_left_over, copy_of, files_below, is_long, passes,
    run_faulty,
};
use crate::crash_reader::Reader;
use crate::project::Project;
use crate::snapshot::sha256_hex;

const SIGKILL: i32 = 9;

/// All fault points: the scenario that passes them for certain, and what stands behind them.
pub const POINTS: [(&str, &str, &str); 38] = [
    ("awaited.note", "first", "a result is noted for those that will read it"),
    ("awaited.read", "first", "that note is let go"),
    ("commit.manifest", "first", "every name is published, the manifest is not"),
    ("commit.prepared", "first", "every file is there under a temporary name"),
    ("fail.note", "rejected", "the failed attempt is noted"),
    ("folder.sync", "first", "the names in a folder are made durable"),
    ("gc.remove", "garbage", "what nobody needs is removed"),
    ("history.begin", "first", "the record of a run is begun"),
    ("history.end", "first", "the record of a run is finished"),
    ("home.note", "first", "the folders of a store are noted"),
    ("lock.open", "first", "the file of a lock is made"),
    ("lock.sign", "first", "the holder of a lock says who it is"),
    ("lock.taken", "first", "a lock is taken, nothing is done under it"),
    ("memo.lock", "first", "the lock of the memo is made"),
    ("memo.save", "first", "the memo of file facts is written"),
    ("mend.aside", "damaged", "a damaged object is taken out of sight"),
    ("mend.rename", "damaged", "an object is there again from another copy"),
    ("object.rename", "first", "a staged object enters the store"),
    ("parsed.record", "first", "the result of a single file is recorded"),
    ("prune.object", "replaced", "an object is removed that nobody needs"),
    ("prune.parsed", "replaced", "the result of a single file is removed"),
    ("prune.result", "replaced", "a kept result is removed"),
    ("publish.copy", "copied", "an object is copied beside its name"),
    ("publish.link", "first", "an object is linked beside its name"),
    ("publish.rename", "first", "a published name is about to change"),
    ("publish.renamed", "first", "a published name has changed"),
    ("remove", "first", "a file is removed"),
    ("restore", "restored", "a kept result is made the truth again"),
    ("scratch.bytes", "spilled", "scratch space is written"),
    ("set_aside", "damaged", "a manifest is replaced by the reason why its task must run"),
    ("stage.bytes", "first", "a result is written"),
    ("stage.sync", "first", "a result is made durable"),
    ("task.begin", "first", "a task is looked at"),
    ("task.computed", "first", "a task is computed, its inputs not checked again"),
    ("temporary.create", "first", "a temporary file is made"),
    ("write.bytes", "first", "a manifest, record or note is written"),
    ("write.rename", "first", "a manifest, record or note takes its name"),
    ("write.sync", "first", "a manifest, record or note is made durable"),
];

/// Settings that a scenario begins with, and a command that is to be cut off.
pub struct Scenario {
    pub name: &'static str,
    /// As it is before the command.
    pub start: Project,
    pub args: Vec<&'static str>,
    /// How the command ends.
    pub code: i32,
}

/// One task after the other, so that the n-th pass of a point is the same one each time.
const RUN: [&str; 4] = ["run", "--all", "--jobs", "1"];

/// A month of events, with raw files that are old enough and large enough for the memo to remember.
fn month() -> Project {
    let project = Project::november();
    let blank = " ".repeat(1_000) + "\n";
    let text = project.text("data/raw/prints.json") + &blank.repeat(5_000);
    project.write("data/raw/prints.json", text);
    settle(&project);
    project
}

/// The memo trusts no file that was written just now.
fn settle(project: &Project) {
    let then = SystemTime::now() - Duration::from_secs(60);
    for name in ["prints.json", "taps.json", "pays.csv"] {
        let file = std::fs::File::open(project.path(&format!("data/raw/{name}"))).expect("a file");
        file.set_times(std::fs::FileTimes::new().set_modified(then)).expect("aged");
    }
    // Whatever its mtime, the ctime is of now.
    std::thread::sleep(Duration::from_millis(150));
}

/// Without the last lines of each raw file.
fn shorten(project: &Project) {
    for name in ["prints.json", "taps.json", "pays.csv"] {
        let name = format!("data/raw/{name}");
        let text = project.text(&name);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        project.write(&name, lines[..lines.len() - 20].join("\n"));
    }
    settle(project);
}

/// Nothing is there yet.
pub fn first() -> Scenario {
    Scenario { name: "first", start: month(), args: RUN.to_vec(), code: 0 }
}

/// Every result is there, and another one takes its place; the old ones go.
pub fn replaced() -> Scenario {
    let start = month().with("store.keep", json!(1));
    start.run_all();
    shorten(&start);
    Scenario { name: "replaced", start, args: RUN.to_vec(), code: 0 }
}

/// The results of some time ago are still kept.
fn restored() -> Scenario {
    let start = month();
    start.run_all();
    start.run_all_with(&["--set", "processing.lookback_window_days=9"]);
    let away = ["--set", "preprocess.dedupe.prints=keep", "--set", "preprocess.dedupe.taps=keep"];
    start.mp(&[&["run", "--all"], &away[..]].concat()).success();
    Scenario { name: "restored", start, args: RUN.to_vec(), code: 0 }
}

/// Too many rows are rejected: the attempt is noted beside the good result.
fn rejected() -> Scenario {
    let start = month();
    start.run_all();
    let text = start.text("data/raw/taps.json") + &"{\n".repeat(400);
    start.write("data/raw/taps.json", text);
    Scenario { name: "rejected", start, args: RUN.to_vec(), code: 4 }
}

/// An attempt had failed; now its input is mended.
fn mended() -> Scenario {
    let scenario = rejected();
    scenario.start.mp(&RUN).fails(4);
    shorten(&scenario.start);
    let text = scenario.start.text("data/raw/taps.json").replace("{\n", "");
    scenario.start.write("data/raw/taps.json", text);
    let fine = ["--set", "processing.max_reject_rate=1.0"];
    Scenario { name: "mended", args: [&RUN[..], &fine].concat(), code: 0, ..scenario }
}

/// The gate shuts: the report is published, `_SUCCESS.json` goes.
fn shut() -> Scenario {
    let start = month();
    start.run_all();
    let args = [&RUN[..], &["--set", "quality.min_data_quality_score=1.0"]].concat();
    Scenario { name: "shut", start, args, code: 5 }
}

/// More runs of rows than are merged at once.
fn spilled() -> Scenario {
    Scenario { name: "spilled", start: Project::november().tiny(), args: RUN.to_vec(), code: 0 }
}

/// An object, an artifact and two manifests are damaged: from other copies all but one can be had again.
fn damaged() -> Scenario {
    let start = month();
    start.run_all();
    let silver = start.view().processed.join("prints.parquet");
    let digest = sha256_hex(&std::fs::read(silver).expect("silver"));
    let object = format!("data/.mp/objects/{}/{digest}", &digest[..2]);
    for damaged in [&object, "data/processed/_manifests/preprocess.taps.json"] {
        std::fs::remove_file(start.path(damaged)).expect("removed");
        start.write(damaged, "torn");
    }
    std::fs::remove_file(start.path("data/output/training_dataset.parquet")).expect("removed");
    let manifest = start.view().manifest_path("preprocess.payments");
    std::fs::write(manifest, "torn").expect("damaged");
    for kept in files_below(&start.path("data/.mp/results/preprocess.payments")) {
        std::fs::remove_file(kept).expect("removed");
    }
    Scenario { name: "damaged", start, args: vec!["verify", "--repair"], code: 1 }
}

/// There are results that nobody will want.
fn garbage() -> Scenario {
    let start = month();
    start.run_all_with(&["--set", "processing.lookback_window_days=9"]);
    start.run_all();
    start.mp(&["run", "--all", "--force"]).success();
    Scenario { name: "garbage", start, args: vec!["gc", "--keep-runs", "1", "--apply"], code: 0 }
}

/// The passes at which to kill: of each point all of them, or some.
pub fn chosen(passes: &[String], of_each: usize) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for name in passes {
        *counts.entry(name).or_default() += 1;
    }
    let mut chosen = Vec::new();
    for (name, count) in counts {
        let wanted = if is_long() { count } else { of_each.min(count) };
        // The first, the last, and between them at equal distances; the middle where only one is wanted.
        let nth = |at: usize| match wanted {
            1 => count.div_ceil(2),
            _ => 1 + at * (count - 1) / (wanted - 1),
        };
        chosen.extend((0..wanted).map(|at| (name.to_owned(), nth(at))));
    }
    chosen
}

/// Kills the scenario at points of each name and makes it good again.
fn killed_everywhere(scenario: &Scenario, of_each: usize) {
    killed_at(scenario, of_each, |_| true);
}

/// The same at the points with some names alone.
fn killed_at(scenario: &Scenario, of_each: usize, is_wanted: impl Fn(&str) -> bool) {
    let Scenario { name, start, args, code } = scenario;
    let env = |project: Project| match *name {
        "spilled" => project.tiny(),
        _ => project,
    };
    let mut reader = Reader::start();
    let (before, seen_before) = (Published::of(start), reader.look(start));
    let whole = env(copy_of(start));
    let (outcome, passes) = passes(&whole, args);
    outcome.fails(*code);
    let (after, seen_after) = (Published::of(&whole), reader.look(&whole));
    // Of garbage nothing is published.
    assert_eq!(before == after, *name == "garbage", "{name}: what happens");
    let passed: BTreeSet<&str> = passes.iter().map(String::as_str).collect();
    for (point, of, _) in POINTS.iter().filter(|(_, of, _)| of == name) {
        assert!(passed.contains(point), "the scenario `{of}` does not pass `{point}`");
    }
    let kills = chosen(&passes, of_each).into_iter().filter(|(point, _)| is_wanted(point));
    let kills: Vec<_> = kills.collect();
    for (at, (point, nth)) in kills.iter().enumerate() {
        let when = format!("{name}, killed at pass {nth} of `{point}`");
        let project = env(copy_of(start));
        reader.watch(&project);
        let output = run_faulty(&project, args, &format!("{point}:{nth}=kill"));
        assert_eq!(output.status.signal(), Some(SIGKILL), "{when}: {output:?}");
        Published::of(&project).assert_between(&before, &after, &when);
        assert_heals(&project, args, *code, &after, &when);
        reader.stop().assert_only(&seen_before, &seen_after, &when);
        if at == kills.len() / 2 && *code == 0 && *name == "first" {
            assert_nothing_is_left_over(&project);
        }
    }
    println!("{name}: {} passes, killed at {} of them", passes.len(), kills.len());
}

#[test]
fn a_first_run_killed_at_any_step_is_made_good() {
    killed_everywhere(&first(), 2);
}

#[test]
fn a_run_that_replaces_results_killed_at_any_step_is_made_good() {
    killed_everywhere(&replaced(), 2);
}

#[test]
fn a_restore_killed_at_any_step_is_made_good() {
    killed_everywhere(&restored(), 1);
}

#[test]
fn a_failing_attempt_killed_at_any_step_is_noted_by_the_next() {
    killed_everywhere(&rejected(), 1);
}

#[test]
fn a_success_after_a_failure_killed_at_any_step_is_made_good() {
    killed_everywhere(&mended(), 1);
}

#[test]
fn a_gate_that_shuts_killed_at_any_step_is_shut_by_the_next() {
    killed_everywhere(&shut(), 1);
}

#[test]
fn a_repair_killed_at_any_step_is_finished_by_the_next() {
    killed_everywhere(&damaged(), 2);
}

#[test]
fn a_collection_killed_at_any_step_is_finished_by_the_next() {
    let garbage = garbage();
    killed_everywhere(&garbage, 3);
    let whole = copy_of(&garbage.start);
    whole.mp(&garbage.args).success();
    whole.mp(&["plan", "--exit-code"]).success();
    assert_eq!(whole.mp(&["gc", "--keep-runs", "1", "--json"]).json("gc")["garbage"], json!([]));
}

#[test]
fn a_run_that_spills_killed_at_any_step_is_made_good() {
    killed_at(&spilled(), 3, |point| point == "scratch.bytes");
}

#[test]
fn a_copy_killed_at_any_step_is_made_good() {
    let start = month();
    let reference = copy_of(&start);
    reference.mp(&RUN).success();
    let after = Published::of(&reference);
    for nth in [1, 2, 5, 9] {
        // Shared memory is a file system of its own: nothing can be linked from there.
        let store = tempfile::Builder::new().prefix("mp-it-").tempdir_in("/dev/shm");
        let store = store.expect("a folder in /dev/shm");
        let setting = format!("store.path={}", store.path().display());
        let args = [&RUN[..], &["--set", &setting]].concat();
        let (project, when) = (copy_of(&start), format!("killed at copy {nth}"));
        let output = run_faulty(&project, &args, &format!("publish.copy:{nth}=kill"));
        assert_eq!(output.status.signal(), Some(SIGKILL), "{when}: {output:?}");
        Published::of(&project).assert_between(&Published::default(), &after, &when);
        assert_heals(&project, &args, 0, &after, &when);
    }
}

#[test]
fn every_fault_point_of_the_source_is_in_the_table() {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("source");
            for rest in text.split("fault::point(\"").skip(1) {
                found.insert(rest.split('"').next().expect("a name").to_owned());
            }
        }
    }
    let table: BTreeSet<String> = POINTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(found, table);
}
