//! `mp verify --repair` where it is hard: copies elsewhere or none at all, shared folders, links, lost manifests,
//! several at once. What comes back is the same, and nobody is told that all is well before it is.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::outcome::Outcome;
use crate::project::Project;
use crate::snapshot::{Snapshot, sha256_hex};
use crate::verify::{
    assert_well, finding, findings, flip_in_place, make_writable, objects, published, remove,
    repair, replace_with_flipped,
};
use crate::view::TASKS;

#[test]
fn what_cannot_be_had_again_does_not_stay_under_its_name() {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    let (gold, success) = (project.view().gold_path(), project.view().success_path());
    make_writable(&gold);
    std::fs::write(&gold, "junk").expect("written");
    let dry = project.mp(&["verify"]).fails(1);
    assert!(gold.exists() && success.exists(), "{dry}");
    for _ in 0..2 {
        project.mp(&["verify", "--repair"]).fails(1).prints(&["still to run: features"]);
        let outcome = project.mp(&["verify"]).fails(1).prints(&["still to run: features"]);
        assert!(!outcome.stdout.contains("all is well"), "{outcome}");
        assert!(!gold.exists() && !success.exists(), "nobody trains on it: {outcome}");
    }
    project.run_all();
    assert_eq!(published(&project), good);
    assert_well(&project);
}

#[test]
fn configurations_that_share_the_report_folder_do_not_damage_each_other() {
    let project = Project::november();
    project.run_all();
    let other =
        ["--set", "data_paths.output=data/out2", "--set", "processing.lookback_window_days=14"];
    project.mp(&[&["run", "--all"][..], &other].concat()).success();
    for of in [&[][..], &other] {
        for args in [&["verify"][..], &["verify", "--repair"]] {
            let before = Snapshot::of(&project.path("data")).without(".mp/memo");
            let outcome = project.mp(&[args, of].concat()).success();
            assert!(outcome.stdout.contains("all is well"), "{outcome}");
            before.assert_same(&Snapshot::of(&project.path("data")).without(".mp/memo"));
        }
    }
    // That of the other one is still told of, for it names the Gold that the report is about.
    let success = project.path("data/out2/_SUCCESS.json");
    let (theirs, ours) = (std::fs::read(&success).expect("one"), project.view().success_path());
    let before = std::fs::read(&ours).expect("one");
    for damage in [remove, replace_with_flipped] {
        damage(&success);
        let found = findings(&project.mp(&["verify", "--json"]).fails(1));
        assert_eq!(found.len(), 1, "{found:#?}");
        finding(&found, &success);
        repair(&project);
        assert_eq!(std::fs::read(&success).expect("one"), theirs);
        assert_eq!(std::fs::read(&ours).expect("one"), before);
    }
    assert_well(&project);
}

#[test]
fn days_that_share_the_report_folder_do_not_damage_each_other() {
    let project = Project::november()
        .with("data_paths.processed", json!("data/{as_of}/processed"))
        .with("data_paths.output", json!("data/{as_of}/output"));
    for day in ["2020-11-28", "2020-11-29"] {
        project.mp(&["run", "--all", "--as-of", day]).success();
    }
    let before = Snapshot::of(&project.path("data"));
    assert_well(&project);
    for day in [&[][..], &["--as-of", "2020-11-28"], &["--as-of", "2020-11-29"]] {
        let outcome = project.mp(&[&["verify", "--repair"][..], day].concat()).success();
        assert!(outcome.stdout.contains("all is well"), "{outcome}");
    }
    before.assert_same(&Snapshot::of(&project.path("data")));
    assert!(!project.path("data/2020-11-30").exists(), "no run ever made anything of that day");
}

#[test]
fn the_command_that_is_told_makes_again_what_is_gone() {
    let mut project = Project::november();
    project.unset("validation.as_of");
    let root = project.root().to_str().expect("text").to_owned();
    let given = ["--project", &root, "--set", "processing.lookback_window_days=14"];
    project.mp(&[&["run", "--all", "--as-of", "2020-11-30"][..], &given].concat()).success();
    let good = published(&project);
    flip_in_place(&project.view().gold_path());
    let outcome = project.mp(&[&["verify", "--repair"][..], &given].concat()).fails(1);
    let line = outcome.stdout.lines().find(|line| line.starts_with("still to run")).expect("one");
    let command = line.split('`').nth(1).expect("a command").to_owned();
    let json = project.mp(&[&["verify", "--json"][..], &given].concat()).fails(1).json("verify");
    assert_eq!(json["to_run"][0]["command"], json!(command));
    let command = command.replacen("mp ", concat!(env!("CARGO_BIN_EXE_mp"), " "), 1);
    let mut shell = project.command_of(Path::new("sh"), &["-c", &command]);
    let outcome = Outcome::new(command, shell.current_dir("/").output().expect("a shell"));
    outcome.success();
    assert_eq!(published(&project), good);
    project.mp(&[&["verify"][..], &given].concat()).success();
}

#[test]
fn what_one_task_fails_on_does_not_keep_others_from_being_mended() {
    let project = Project::november();
    project.run_all();
    let view = project.view();
    let taps = view.silver_path(crate::events::Source::Taps);
    for blocked in [view.manifest_path("extract.prints"), view.failed_manifest_path("features")] {
        if blocked.exists() {
            remove(&blocked);
        }
        std::fs::create_dir_all(blocked.join("something of somebody")).expect("a folder");
        let gold = view.gold_path();
        remove(&taps);
        remove(&gold);
        let found = findings(&project.mp(&["verify", "--repair", "--json"]).fails(1));
        let left = finding(&found, &blocked);
        assert_eq!(left["remedy"]["mended"], json!(false), "{left:#}");
        for path in [&taps, &gold] {
            assert_eq!(finding(&found, path)["remedy"]["mended"], json!(true), "{found:#?}");
            assert!(path.exists(), "{found:#?}");
        }
        std::fs::remove_dir_all(&blocked).expect("removed");
        repair(&project);
        assert_well(&project);
    }
}

#[test]
fn repairs_at_once_do_not_trip_over_each_other() {
    let mut project = Project::november();
    for round in 0..6 {
        for days in [7, 8, 9, 10] {
            project.set("processing.lookback_window_days", json!(days + round));
            project.mp(&["run", "--all"]).success();
        }
        objects(&project).iter().for_each(|path| remove(path));
        let start = || {
            let mut command = project.command(&["verify", "--repair"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mp starts")
        };
        let children: Vec<_> = (0..6).map(|_| start()).collect();
        for child in children {
            let output = child.wait_with_output().expect("ended");
            Outcome::new("mp verify --repair".to_owned(), output).success();
        }
        assert_well(&project);
    }
}

#[test]
fn nobody_is_told_that_all_is_well_while_another_repair_sets_a_task_aside() {
    let project = Project::november();
    let gold = project.view().gold_path();
    for _ in 0..8 {
        project.run_all();
        make_writable(&gold);
        std::fs::write(&gold, "junk").expect("written");
        let start = || {
            let mut command = project.command(&["verify", "--repair"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mp starts")
        };
        let children: Vec<_> = (0..5).map(|_| start()).collect();
        for child in children {
            let output = child.wait_with_output().expect("ended");
            Outcome::new("mp verify --repair".to_owned(), output).fails(1);
        }
    }
}

#[test]
fn what_a_link_leads_to_is_not_touched_and_never_an_object() {
    let project = Project::november();
    project.run_all();
    let (gold, mine) = (project.view().gold_path(), project.path("mine.parquet"));
    let hash = sha256_hex(&std::fs::read(&gold).expect("Gold"));
    std::fs::copy(&gold, &mine).expect("copied");
    remove(&gold);
    std::os::unix::fs::symlink(&mine, &gold).expect("linked");
    let object = project.path("data/.mp/objects").join(&hash[..2]).join(&hash);
    remove(&object);
    let before = Snapshot::of(project.root()).only("mine");
    repair(&project);
    assert!(object.symlink_metadata().expect("an object").is_file(), "a file, not a link");
    before.assert_same(&Snapshot::of(project.root()).only("mine"));

    make_writable(&mine);
    let before = Snapshot::of(project.root()).only("mine");
    let found = findings(&project.mp(&["verify", "--json"]).fails(1));
    assert_eq!(finding(&found, &gold)["problem"], "mode");
    repair(&project);
    before.assert_same(&Snapshot::of(project.root()).only("mine"));
    assert!(gold.symlink_metadata().expect("Gold").is_file(), "a file of its own");
    assert_well(&project);
    project.run_all();
}

#[test]
fn a_lost_manifest_is_missed_and_had_again_from_what_is_kept_of_it() {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    for task in TASKS {
        let path = project.view().manifest_path(task);
        let text = std::fs::read(&path).expect("a manifest");
        remove(&path);
        let found = findings(&project.mp(&["verify", "--json"]).fails(1));
        let one = finding(&found, &path);
        assert_eq!((&one["kind"], &one["problem"]), (&json!("manifest"), &json!("missing")));
        project.mp(&["verify", "--repair"]).success().prints(&["all mended"]);
        assert_eq!(std::fs::read(&path).expect("a manifest"), text, "{task}");
        project.mp(&["plan", "--exit-code"]).success();
        assert_well(&project);
    }
    assert_eq!(published(&project), good);
    // Whatever it is that lies there, nothing that is kept tells of it.
    remove(&project.view().manifest_path("features"));
    replace_with_flipped(&project.view().gold_path());
    repair(&project).prints(&["still to run: features"]);
    assert!(!project.view().success_path().exists());
    project.run_all();
    assert_eq!(published(&project), good);
    assert_well(&project);
}

#[test]
fn a_first_attempt_that_fails_is_no_lost_manifest() {
    let project = Project::november().with("quality.min_data_quality_score", json!(1));
    project.mp(&["run", "--all"]).fails(5);
    assert_well(&project);
    let project = Project::november().with("processing.max_reject_rate", json!(0));
    project.mp(&["run", "--all"]).fails(4);
    assert_well(&project);
}

#[test]
fn an_object_is_had_again_from_what_another_day_publishes() {
    let project = Project::november()
        .with("data_paths.processed", json!("data/{as_of}/processed"))
        .with("data_paths.output", json!("data/{as_of}/output"))
        .with("quality.quality_report_path", json!("data/{as_of}/reports"));
    for day in ["2020-11-28", "2020-11-29"] {
        project.mp(&["run", "--all", "--as-of", day]).success();
    }
    let gold = std::fs::read(project.view_of("2020-11-29").gold_path()).expect("Gold");
    let hash = sha256_hex(&gold);
    let object = project.path("data/.mp/objects").join(&hash[..2]).join(&hash);
    replace_with_flipped(&object);
    let outcome = project.mp(&["verify", "--repair", "--as-of", "2020-11-28"]).success();
    assert!(outcome.stdout.contains("taken again from"), "{outcome}");
    assert_eq!(std::fs::read(&object).expect("an object"), gold);
    assert_well(&project);
}

#[test]
fn the_help_fills_its_lines_however_wide_the_terminal_is() {
    let project = Project::empty();
    for command in ["verify", "gc"] {
        for columns in [60, 80, 100] {
            let help = project.mp_env(&[command, "--help"], "COLUMNS", &columns.to_string());
            let help = help.success();
            let lines: Vec<&str> = help.stdout.lines().collect();
            for pair in lines.windows(2) {
                let is_text = |line: &str| !line.is_empty() && !line.starts_with(' ');
                let next = pair[1].split(' ').next().unwrap_or_default();
                let is_ragged = is_text(pair[0])
                    && is_text(pair[1])
                    && pair[0].chars().count() + 1 + next.chars().count() <= columns;
                assert!(!is_ragged && pair[0].chars().count() <= columns, "{}\n{help}", pair[0]);
            }
        }
    }
}
