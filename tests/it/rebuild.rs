//! `mp verify --rebuild`: the same bytes once more, or where they differ; never a word about damage when
//! only the inputs have changed.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::crash::files_below;
use crate::outcome::Outcome;
use crate::project::Project;
use crate::snapshot::Snapshot;

fn done() -> Project {
    let project = Project::november();
    project.run_all();
    project
}

/// Replaces what the manifest of a task records as the hash of a published file.
fn record(project: &Project, task: &str, name: &str, hash: &str) {
    let path = project.view().manifest_path(task);
    let mut manifest = project.view().manifest(task);
    let outputs = manifest["outputs"].as_array_mut().expect("outputs");
    let output = outputs.iter_mut().find(|output| output["path"] == name).expect("that output");
    output["sha256"] = json!(hash);
    std::fs::write(path, manifest.to_string()).expect("written");
}

#[test]
fn everything_computed_again_is_the_same_to_the_byte_and_nothing_is_touched() {
    let project = done();
    let before = Snapshot::of(&project.path("data"));
    let outcome = project.mp(&["verify", "--rebuild"]).success();
    let text = "the same to the byte: 9 artifacts";
    assert!(outcome.stdout.contains(text), "{outcome}");
    before.assert_same(&Snapshot::of(&project.path("data")));
    let facts = project.mp(&["verify", "--rebuild", "--json"]).success().json("verify");
    assert_eq!((&facts["mode"], &facts["ok"]), (&json!("rebuild"), &json!(true)));
    assert_eq!(facts["differences"], json!([]));
    assert!(!project.path("data/.mp/rebuild").exists());
}

#[test]
fn settings_and_as_of_are_those_of_the_manifests() {
    let mut project = Project::november()
        .with("processing.lookback_window_days", json!(14))
        .with("preprocess.dedupe.taps", json!("flag"))
        .with("validation.business_rules.max_payment_amount", json!(20.5))
        .with("processing.max_reject_rate", json!(1))
        .with("validation.business_rules.min_timestamp_days_ago", json!(10));
    project.run_all();
    let days_ago = "validation.business_rules.min_timestamp_days_ago";
    for (key, value) in [
        ("processing.lookback_window_days", json!(21)),
        ("preprocess.dedupe.taps", json!("drop")),
        ("validation.business_rules.max_payment_amount", json!(1_000_000)),
        (days_ago, json!(1825)),
        ("validation.as_of", json!("2020-11-20")),
    ] {
        project.set(key, value);
    }
    project.mp(&["plan", "--exit-code"]).fails(1);
    let outcome = project.mp(&["verify", "--rebuild"]).success();
    assert!(outcome.stdout.contains("as of 2020-12-01T00:00:00Z"), "{outcome}");
    project.mp(&["verify", "--rebuild", "extract"]).success();
    project.mp(&["verify", "--rebuild", "--as-of", "2020-11-20"]).fails(6).says(&["as_of"]);
}

#[test]
fn another_result_is_named_with_its_first_difference() {
    let mut project = done();
    project.set("processing.lookback_window_days", json!(1));
    project.run_all();
    let gold = project.view().gold_path();
    let other = std::fs::read(&gold).expect("Gold");
    project.set("processing.lookback_window_days", json!(21));
    project.run_all();
    std::fs::remove_file(&gold).expect("removed");
    std::fs::write(&gold, &other).expect("written");
    let hash = crate::snapshot::sha256_hex(&other);
    record(&project, "features", "training_dataset.parquet", &hash);
    let outcome = project.mp(&["verify", "--rebuild"]);
    let outcome = outcome.fails(6).says(&["`quality` is not up to date", "`mp run --all`"]);
    assert!(!outcome.stdout.contains("otherwise"), "{outcome}");
    let outcome = project.mp(&["verify", "--rebuild", "features"]).fails(1);
    outcome.prints(&[
        "training_dataset.parquet of features came out otherwise",
        "row ",
        "column `",
    ]);
    let facts = project.mp(&["verify", "--rebuild", "features", "--json"]).fails(1).json("verify");
    let difference = &facts["differences"][0];
    assert_eq!(
        (&difference["task"], &difference["recorded"]["sha256"]),
        (&json!("features"), &json!(hash))
    );
    assert!(difference["first_difference"].as_str().expect("one").contains("column `"));
}

#[test]
fn rows_that_are_packed_otherwise_are_noticed_too() {
    let project = done();
    let tiny = |args: &[&str]| project.mp_env(args, "MP_TEST_TINY", "1");
    let facts = tiny(&["verify", "--rebuild", "--json"]).fails(1).json("verify");
    let differences = facts["differences"].as_array().expect("differences");
    assert!(differences.iter().any(|it| it["published"] == json!(false)), "{facts:#}");
    let outcome = tiny(&["verify", "--rebuild"]).fails(1);
    assert!(outcome.stdout.contains("of extract.prints came out otherwise"), "{outcome}");
}

#[test]
fn a_changed_input_is_no_damage() {
    let project = done();
    let text = project.text("data/raw/prints.json");
    project.write("data/raw/prints.json", format!("{text}{text}"));
    let outcome = project.mp(&["verify", "--rebuild"]).fails(6);
    outcome.says(&[
        "`extract.prints` is not up to date",
        "`prints.json` changed",
        "`mp run --all`",
    ]);
    project.mp(&["verify", "--rebuild", "extract.taps"]).success();
    std::fs::remove_file(project.path("data/raw/prints.json")).expect("removed");
    project.mp(&["verify", "--rebuild"]).fails(3).says(&["prints.json"]);
    project.mp(&["verify"]).success();
}

#[test]
fn without_a_result_there_is_nothing_to_compare() {
    let project = Project::november();
    project.mp(&["verify", "--rebuild"]).fails(6).says(&["never run", "`mp run --all`"]);
    assert!(!project.path("data/.mp").exists());
}

#[test]
fn damage_on_disk_is_told_and_does_not_keep_it_from_comparing() {
    let project = done();
    let gold = project.view().gold_path();
    std::fs::remove_file(&gold).expect("removed");
    std::fs::remove_dir_all(project.path("data/.mp")).expect("removed");
    let missing = "training_dataset.parquet is missing";
    for (junk, text) in [(None, missing), (Some("j"), "training_dataset.parquet is damaged")] {
        if let Some(junk) = junk {
            std::fs::write(&gold, junk).expect("written");
        }
        let outcome = project.mp(&["verify", "--rebuild"]).fails(1);
        let outcome = outcome.prints(&[text, "came out as recorded", "mp verify --repair"]);
        assert!(!outcome.stdout.contains("the same to the byte"), "{outcome}");
        let facts = project.mp(&["verify", "--rebuild", "--json"]).fails(1).json("verify");
        assert_eq!((&facts["ok"], &facts["differences"]), (&json!(false), &json!([])));
        assert_eq!(facts["damaged"][0]["path"], json!(gold.to_str()), "{facts:#}");
        project.mp(&["verify", "--rebuild", "extract"]).success();
    }
}

#[test]
fn of_an_attempt_that_failed_it_is_not_said_that_it_never_ran() {
    let project = Project::november().with("quality.min_data_quality_score", json!(1));
    project.mp(&["run", "--all"]).fails(5);
    let outcome = project.mp(&["verify", "--rebuild"]).fails(6);
    let outcome = outcome.says(&["its last attempt failed: the quality gate is shut"]);
    assert!(!outcome.stderr.contains("never run"), "{outcome}");
}

#[test]
fn what_a_shut_gate_took_away_is_no_damage() {
    let project = done();
    let shut = ["run", "--all", "--set", "quality.min_data_quality_score=1"];
    project.mp(&shut).fails(5);
    project.mp(&["verify", "--rebuild"]).success();
}

#[test]
fn the_scratch_folder_may_be_elsewhere_but_not_among_the_data() {
    let project = done();
    project.mp(&["verify", "--rebuild", "--scratch", "data/raw/x"]).fails(2);
    project.mp(&["verify", "--scratch", "scratch"]).fails(2);
    // What a killed one left there goes with the next.
    project.write("scratch/mp-rebuild-1/in-use.lock", "");
    project.write("scratch/mine", "kept");
    project.mp(&["verify", "--rebuild", "--scratch", "scratch"]).success();
    assert_eq!(Snapshot::of(&project.path("scratch")).names(), ["mine"].into());
    std::fs::create_dir(project.path("empty")).expect("a folder");
    for (folder, is_mine) in [("empty", true), ("new", false)] {
        project.mp(&["verify", "--rebuild", "--scratch", folder]).success();
        assert_eq!(project.path(folder).exists(), is_mine, "{folder}");
    }
    let outcome = project.mp(&["verify", "--rebuild", "--dry-run"]).success();
    assert!(outcome.stdout.contains("would compute 8 tasks"), "{outcome}");
}

fn signal(pid: u32, name: &str) {
    let killed = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    assert!(killed.expect("kill").success());
}

#[test]
fn ctrl_c_leaves_no_scratch_folder_and_kill_one_that_gc_finds() {
    let project = done();
    let rebuild = project.path("data/.mp/rebuild");
    for (name, code) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut command = project.command(&["verify", "--rebuild"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("mp starts");
        // From then on it is found whatever happens.
        while !files_below(&rebuild).iter().any(|path| path.ends_with("in-use.lock")) {
            std::thread::sleep(Duration::from_micros(100));
        }
        // It stands still, so that it cannot be done before the signal comes.
        for name in ["STOP", name, "CONT"] {
            signal(child.id(), name);
        }
        let output = child.wait_with_output().expect("ended");
        assert_eq!(output.status.code(), code, "{name}");
        if let Some(code) = code {
            Outcome::new(format!("SIG{name}"), output).fails(code).says(&["stopped"]);
            assert!(!rebuild.exists(), "{name}");
        }
    }
    let outcome = project.mp(&["gc"]).success();
    assert!(outcome.stdout.contains("mp-rebuild-"), "{outcome}");
    project.mp(&["gc", "--apply"]).success();
    assert!(!rebuild.exists());
}
