//! `mp gc`: what nobody needs is listed, and removed when asked to; what anybody needs never.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::events::{SOURCES, World};
use crate::locks::hold;
use crate::outcome::Outcome;
use crate::project::Project;
use crate::snapshot::{Snapshot, sha256_hex};
use crate::verify::objects;
use crate::view::check_no_temporary_files;

pub fn done() -> Project {
    let project = Project::november();
    project.run_all();
    project
}

/// Days in folders of their own.
pub fn daily(project: Project) -> Project {
    project
        .with("data_paths.processed", json!("data/{as_of}/processed"))
        .with("data_paths.output", json!("data/{as_of}/output"))
        .with("quality.quality_report_path", json!("data/{as_of}/reports"))
}

/// All that is listed, but for the records of runs.
#[track_caller]
pub fn listed(project: &Project, more: &[&str]) -> Vec<Value> {
    let mut garbage = all_listed(project, more);
    garbage.retain(|thing| thing["kind"] != "run");
    garbage
}

#[track_caller]
pub fn all_listed(project: &Project, more: &[&str]) -> Vec<Value> {
    let facts = project.mp(&[&["gc", "--json"], more].concat()).success().json("gc");
    facts["garbage"].as_array().expect("a list").clone()
}

fn kinds(garbage: &[Value]) -> BTreeSet<&str> {
    garbage.iter().map(|thing| thing["kind"].as_str().expect("a kind")).collect()
}

#[test]
fn after_a_run_there_is_nothing_to_remove_and_listing_touches_nothing() {
    let project = Project::november();
    let nothing = project.mp(&["gc"]).success();
    assert!(nothing.stdout.contains("nothing to remove: there is no store yet"), "{nothing}");
    project.mp(&["gc", "--apply"]).success();
    assert!(!project.path("data/.mp").exists(), "no store is made to look at");
    project.run_all();
    let before = Snapshot::of(project.root());
    assert_eq!(listed(&project, &[]), Vec::<Value>::new());
    assert_eq!(listed(&project, &["--keep-runs", "0"]), Vec::<Value>::new());
    assert_eq!(all_listed(&project, &["--keep-runs", "1"]), Vec::<Value>::new());
    before.assert_same(&Snapshot::of(project.root()));
}

#[test]
fn results_of_the_last_runs_stay_and_older_ones_go_when_asked_to() {
    let mut project = done();
    for lookback in [14, 10] {
        project.set("processing.lookback_window_days", json!(lookback));
        project.run_all();
    }
    assert_eq!(listed(&project, &[]), Vec::<Value>::new(), "what a run keeps, gc keeps");
    assert_eq!(listed(&project, &["--keep-runs", "3"]), Vec::<Value>::new());
    let all = project.snapshot();
    let of_two = listed(&project, &["--keep-runs", "2"]);
    assert_eq!(kinds(&of_two), ["object", "result"].into(), "{of_two:#?}");
    let of_one = all_listed(&project, &["--keep-runs", "1"]);
    assert_eq!(of_one.iter().filter(|thing| thing["kind"] == "run").count(), 2);
    assert!(of_one.len() > of_two.len());
    assert!(of_one.iter().all(|thing| thing["bytes"].as_u64() > Some(0)));
    let outcome = project.mp(&["gc", "--keep-runs", "1"]).success();
    outcome.prints(&[
        "to remove",
        "not of the last 1 runs",
        "nothing is deleted without `--apply`",
    ]);
    project.mp(&["gc", "--keep-runs", "1", "--apply", "--dry-run"]).success();
    all.assert_same(&project.snapshot());

    let applied = project.mp(&["gc", "--keep-runs", "1", "--apply", "--json"]).success().json("gc");
    assert_eq!(applied["garbage"], json!(of_one), "what was listed is what went");
    assert_eq!(all_listed(&project, &["--keep-runs", "1"]), Vec::<Value>::new());
    let runs = project.mp(&["runs", "--json"]).success().json("runs");
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1), "{runs:#}");
    project.mp(&["verify"]).success();
    project.mp(&["plan", "--exit-code"]).success();
    let before = project.view().runs();
    project.set("processing.lookback_window_days", json!(21));
    project.run_all();
    assert_eq!(project.view().ran_since(&before), ["features", "quality"]);
}

#[test]
fn gc_beside_a_run_lists_at_once_and_deletes_nothing() {
    let mut project = done();
    project.set("processing.lookback_window_days", json!(14));
    project.run_all();
    let lock = hold(&project, "preprocess.prints");
    let mut command = project.command(&["run", "preprocess.prints", "--force"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("mp starts");
    let keep = ["--keep-runs", "0"];
    let in_use = |project: &Project| {
        let facts = project.mp(&[&["gc", "--json"][..], &keep].concat()).success().json("gc");
        !facts["in_use_by"].as_array().expect("who").is_empty()
    };
    while !in_use(&project) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = objects(&project);
    let apply = [&["gc", "--apply", "--lock-timeout", "0s"][..], &keep].concat();
    project.mp(&apply).fails(75).says(&["in use by process 4194999", "otherhost", "hint:"]);
    let listing = project.mp(&[&["gc"][..], &keep].concat()).success();
    assert!(listing.stdout.contains("in use by process 4194999"), "{listing}");
    assert_eq!(objects(&project), before);
    drop(lock);
    let args = "run preprocess.prints --force".to_owned();
    Outcome::new(args, child.wait_with_output().expect("ended")).success();
    project.mp(&apply).success();
    assert!(objects(&project).len() < before.len(), "results of the first run went");
    project.mp(&["verify"]).success();
}

#[test]
fn what_a_killed_run_left_is_found_and_goes() {
    let mut project = done();
    let mut found = BTreeSet::new();
    for (round, wait_ms) in [0, 2, 4, 6, 8, 10, 14, 18, 24, 30, 40].into_iter().enumerate() {
        project.set("processing.lookback_window_days", json!(5 + round));
        project.set("preprocess.dedupe.prints", json!(["drop", "flag"][round % 2]));
        let mut command = project.command(&["run", "--all", "--force"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("mp starts");
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().expect("SIGKILL");
        child.wait().expect("ended");
        let garbage = listed(&project, &[]);
        found.extend(kinds(&garbage).into_iter().map(str::to_owned));
        project.mp(&["gc", "--apply"]).success();
        assert_eq!(listed(&project, &[]), Vec::<Value>::new());
        check_no_temporary_files(&project);
        project.mp(&["run", "--all"]).success();
        project.mp(&["verify"]).success();
    }
    project.run_all();
}

#[test]
fn a_file_that_a_killed_run_was_writing_goes_and_one_that_is_being_written_stays() {
    let project = done();
    let lock = project.view().manifest_path("features").with_extension("lock");
    let real = std::fs::canonicalize(lock).expect("a lock");
    let owner = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(real.as_os_str().as_encoded_bytes()));
    let names = [
        format!("data/output/.{owner}-123-0.tmp"),
        format!("data/output/_manifests/.{owner}-123-1.tmp"),
        format!("data/.mp/tmp/.{owner}-123-2.tmp"),
    ];
    names.iter().for_each(|name| project.write(name, "half"));
    project.write("data/output/.mine.tmp", "not of mp");
    let held = hold_in(&project, "data/output/_manifests/features.lock");
    assert_eq!(listed(&project, &[]), Vec::<Value>::new(), "somebody is at work");
    drop(held);
    let garbage = listed(&project, &[]);
    assert_eq!((garbage.len(), kinds(&garbage)), (3, ["temporary"].into()));
    assert!(garbage[0]["why"].as_str().expect("why").contains("process 123"));
    project.mp(&["gc", "--apply"]).success();
    assert!(names.iter().all(|name| !project.path(name).exists()));
    assert!(project.path("data/output/.mine.tmp").exists());
}

fn hold_in(project: &Project, path: &str) -> std::fs::File {
    let options = std::fs::File::options().read(true).write(true).open(project.path(path));
    let file = options.expect("a lock file");
    file.lock().expect("locked");
    file
}

#[test]
fn notes_torn_records_and_old_failures_go() {
    let mut project = done();
    project.set("processing.max_reject_rate", json!(0));
    project.mp(&["run", "--all"]).fails(4);
    let failed = project.view().failed_manifest_path("extract.prints");
    let rejects = project.path("data/processed/_rejects/prints.failed.csv");
    assert!(listed(&project, &[]).is_empty(), "the failure stands");
    let text = std::fs::read(&failed).expect("a failed manifest");
    let rows = std::fs::read(&rejects).expect("failed rejects");
    project.set("processing.max_reject_rate", json!(0.02));
    project.mp(&["run", "--all", "--force"]).success();
    assert!(!failed.exists());
    std::fs::write(&failed, text).expect("written");
    std::fs::write(&rejects, rows).expect("written");
    project.write("data/processed/_rejects/taps.failed.csv", "of nobody");
    project.write("data/.mp/awaited/extract.prints/0123456789abcdef-preprocess.prints", "torn");
    let note = "0".repeat(64);
    project.write("data/.mp/awaited/extract.prints/fedcba9876543210-preprocess.prints", note);
    project.write(&format!("data/.mp/results/features/{}.json", "0".repeat(64)), "{");
    let home = r#"{"home_version":1,"processed":"../x","output":"../x","reports":"../x"}"#;
    project.write(&format!("data/.mp/homes/{}", &sha256_hex(home.as_bytes())[..16]), home);
    let garbage = listed(&project, &[]);
    let all = ["failed", "note", "result"].into();
    assert_eq!((garbage.len(), kinds(&garbage)), (7, all), "{garbage:#?}");
    project.mp(&["gc", "--apply"]).success();
    assert!(listed(&project, &[]).is_empty() && !failed.exists() && !rejects.exists());
    project.run_all();
}

#[test]
fn a_day_keeps_its_results_as_long_as_it_has_its_folder() {
    let mut project = daily(Project::november())
        .with("validation.business_rules.min_timestamp_days_ago", json!(10))
        .with("processing.max_reject_rate", json!(1));
    let days = ["2020-11-28", "2020-11-29", "2020-11-30"];
    for day in days {
        project.mp(&["run", "--all", "--as-of", day]).success();
    }
    assert_eq!(listed(&project, &["--keep-runs", "0"]), Vec::<Value>::new(), "all are current");
    // Another configuration knows nothing of those folders; the store does.
    for key in ["data_paths.processed", "data_paths.output", "quality.quality_report_path"] {
        project.set(key, json!(format!("data/other/{key}")));
    }
    assert_eq!(listed(&project, &["--keep-runs", "0"]), Vec::<Value>::new(), "still current");
    std::fs::remove_dir_all(project.path("data/2020-11-28")).expect("removed");
    assert_eq!(kinds(&listed(&project, &[])), ["note"].into());
    let garbage = listed(&project, &["--keep-runs", "0"]);
    assert_eq!(kinds(&garbage), ["file_result", "note", "object", "result"].into(), "{garbage:#?}");
    project.mp(&["gc", "--keep-runs", "0", "--apply"]).success();
    let mut project = daily(project);
    for day in &days[1..] {
        project.mp(&["verify", "--as-of", day]).success();
        project.mp(&["plan", "--exit-code", "--as-of", day]).success();
        project.set("preprocess.dedupe.prints", json!("keep"));
        let plan = project.mp(&["plan", "--as-of", day, "--json"]).success().json("plan");
        let extracts = plan["tasks"].as_array().expect("tasks").iter();
        let mut extracts =
            extracts.filter(|task| task["task"].as_str().unwrap().starts_with("extract"));
        assert!(
            extracts.all(|task| task["verdict"] == "up_to_date"),
            "its rows are there: {plan:#}"
        );
        project.set("preprocess.dedupe.prints", json!("drop"));
    }
}

#[test]
fn what_is_deleted_frees_what_is_said() {
    let mut project = done();
    project.set("processing.lookback_window_days", json!(14));
    project.run_all();
    let garbage = listed(&project, &["--keep-runs", "0"]);
    assert!(garbage.iter().all(|thing| thing["frees_bytes"] == thing["bytes"]), "{garbage:#?}");
    // A second name of one of them outside the store holds its bytes.
    let object = garbage.iter().find(|thing| thing["kind"] == "object").expect("an object");
    std::fs::hard_link(object["path"].as_str().expect("a path"), project.path("mine"))
        .expect("linked");
    let garbage = listed(&project, &["--keep-runs", "0"]);
    let again = garbage.iter().find(|thing| thing["path"] == object["path"]).expect("it");
    assert_eq!(again["frees_bytes"], json!(0));
}

#[test]
fn the_store_of_a_newer_mp_is_left_alone() {
    let mut project = done();
    project.set("processing.lookback_window_days", json!(14));
    project.run_all();
    for (name, text) in [
        ("results/a-new-stage/record.json", r#"{"manifest_version": 99}"#),
        ("awaited/extract.taps/0123-preprocess.taps", r#"{"awaited_version": 99}"#),
        ("homes/0123", r#"{"home_version": 99}"#),
    ] {
        let path = format!("data/.mp/{name}");
        project.write(&path, text);
        let before = project.snapshot();
        for apply in [&["gc"][..], &["gc", "--keep-runs", "0", "--apply"]] {
            project.mp(apply).fails(1).says(&["version 99", "use the newer mp"]);
        }
        before.assert_same(&project.snapshot());
        std::fs::remove_file(project.path(&path)).expect("removed");
    }
    project.mp(&["gc", "--keep-runs", "0", "--apply"]).success();
}

/// What a user does between two looks at the store.
#[derive(Clone, Debug)]
enum Step {
    Run { day: usize, lookback: i64, flag: bool, bound: i64 },
    Fail { day: usize },
    Forget { day: usize },
}

const DAYS: [&str; 3] = ["2020-11-28", "2020-11-29", "2020-11-30"];

fn step() -> impl Strategy<Value = Step> {
    let run = (0..3_usize, 19..22_i64, any::<bool>(), prop_oneof![Just(1825), Just(10)]);
    prop_oneof![
        8 => run.prop_map(|(day, lookback, flag, bound)| Step::Run { day, lookback, flag, bound }),
        1 => (0..3_usize).prop_map(|day| Step::Fail { day }),
        1 => (0..3_usize).prop_map(|day| Step::Forget { day }),
    ]
}

/// The tasks that are not up to date, day by day.
fn to_do(project: &Project) -> Vec<BTreeSet<String>> {
    let of_day = |day: &&str| {
        let plan = project.mp(&["plan", "--json", "--as-of", day]).success().json("plan");
        let tasks = plan["tasks"].as_array().expect("tasks").iter();
        let tasks = tasks.filter(|task| task["verdict"] != "up_to_date");
        tasks.map(|task| task["task"].as_str().expect("a name").to_owned()).collect()
    };
    DAYS.iter().map(of_day).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_was_run_gc_takes_nothing_that_a_manifest_names(
        steps in proptest::collection::vec(step(), 1..7),
        keep in 1..4_u64,
        keep_runs in proptest::option::of(0..4_usize),
    ) {
        let mut project = daily(Project::empty())
            .with("store.keep", json!(keep))
            .with("quality.enable_quality_checks", json!(false))
            .with("processing.max_reject_rate", json!(1));
        project.write_world(&World::november(2, true));
        for step in steps {
            match step {
                Step::Run { day, lookback, flag, bound } => {
                    let dedupe = if flag { "flag" } else { "drop" };
                    project.set("processing.lookback_window_days", json!(lookback));
                    project.set("preprocess.dedupe.prints", json!(dedupe));
                    project.set("validation.business_rules.min_timestamp_days_ago", json!(bound));
                    project.mp(&["run", "--all", "--as-of", DAYS[day]]).success();
                }
                Step::Fail { day } => {
                    let args = ["run", "--all", "--as-of", DAYS[day], "--force"];
                    let rate = ["--set", "processing.max_reject_rate=0"];
                    project.mp(&[&args[..], &rate].concat()).fails(4);
                }
                Step::Forget { day } => {
                    let _ = std::fs::remove_dir_all(project.path(&format!("data/{}", DAYS[day])));
                }
            }
        }
        let before = to_do(&project);
        let artifacts = |project: &Project| Snapshot::of(&project.path("data")).without(".mp/");
        let files = artifacts(&project);
        let keep_runs = keep_runs.map(|runs| runs.to_string());
        let mut args = vec!["gc", "--apply"];
        args.extend(keep_runs.iter().flat_map(|runs| ["--keep-runs", runs]));
        project.mp(&args).success();
        files.assert_same(&artifacts(&project));
        project.mp(&["verify"]).success();
        prop_assert_eq!(to_do(&project), before);
        args.retain(|arg| *arg != "--apply");
        let again = project.mp(&args).success();
        prop_assert!(again.stdout.contains("nothing to remove"), "{}", again);
        for day in DAYS {
            project.mp(&["run", "--all", "--as-of", day]).success();
        }
        prop_assert_eq!(to_do(&project), vec![BTreeSet::new(); 3]);
        for source in SOURCES {
            prop_assert!(project.view_of(DAYS[0]).silver_path(source).exists());
        }
    }
}
