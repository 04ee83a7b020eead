//! Published files that were edited, truncated or deleted are noticed, and made good again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::project::Project;
use crate::snapshot::sha256_hex;
use crate::view::TASKS;

/// Every published artifact below the project, as the manifests name them, with its hash.
fn published(project: &Project) -> BTreeMap<PathBuf, String> {
    let data = project.path("data");
    let mut found = BTreeMap::new();
    for folder in ["processed", "processed/_rejects", "output", "quality_reports"] {
        for entry in std::fs::read_dir(data.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let hash = sha256_hex(&std::fs::read(&path).expect("a file"));
                found.insert(path, hash);
            }
        }
    }
    assert!(
        found.len() >= 9,
        "three of Silver, three of rejects, Gold, _SUCCESS, report: {found:#?}"
    );
    found
}

fn each_published_file_is_repaired(damage: impl Fn(&Path)) {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    for path in good.keys() {
        damage(path);
        let name = path.display();
        project.mp(&["status", "--exit-code"]).fails(1);
        let plan = project.mp(&["plan", "--exit-code"]).fails(1);
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(plan.stdout.contains(&file), "{name}: plan does not name it: {plan}");
        project.run_all();
        assert_eq!(published(&project), good, "after {name}");
    }
}

#[test]
fn a_deleted_file_is_repaired() {
    each_published_file_is_repaired(|path| std::fs::remove_file(path).expect("removed"));
}

#[test]
fn a_truncated_file_is_repaired() {
    each_published_file_is_repaired(|path| {
        let bytes = std::fs::metadata(path).expect("a file").len();
        let file = std::fs::File::options().write(true).open(path).expect("root may write");
        file.set_len(bytes / 2).expect("truncated");
    });
}

#[test]
fn a_file_edited_in_place_is_repaired() {
    each_published_file_is_repaired(|path| {
        let mut bytes = std::fs::read(path).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).expect("root may write");
    });
}

#[test]
fn a_file_replaced_by_another_is_repaired() {
    each_published_file_is_repaired(|path| {
        let beside = path.with_extension("new");
        std::fs::write(&beside, "something else").expect("written");
        std::fs::rename(beside, path).expect("renamed");
    });
}

#[test]
fn a_manifest_that_is_gone_or_torn_makes_its_task_run_again() {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    for task in TASKS {
        let path = project.view().manifest_path(task);
        std::fs::remove_file(&path).expect("removed");
        project.run_all();
        let text = std::fs::read_to_string(&path).expect("there again");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, &text[..text.len() / 2]).expect("written");
        project.run_all();
    }
    assert_eq!(published(&project), good);
}

#[test]
fn a_manifest_of_a_later_version_is_refused_and_not_overwritten() {
    let project = Project::november();
    project.run_all();
    let path = project.view().manifest_path("features");
    let text = std::fs::read_to_string(&path).expect("a manifest");
    let later = text.replace("\"manifest_version\": 1", "\"manifest_version\": 99");
    assert_ne!(later, text);
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, &later).expect("written");
    project.mp(&["run", "--all"]).fails(1).says(&["features.json", "99"]);
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), later);
}

#[test]
fn the_whole_store_may_be_deleted() {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    std::fs::remove_dir_all(project.path("data/.mp")).expect("removed");
    project.run_all();
    assert_eq!(published(&project), good);
    let gold = project.view().gold_path();
    std::fs::remove_file(gold).expect("removed");
    project.run_all();
    assert_eq!(published(&project), good);
}

#[test]
fn a_damaged_object_is_not_published() {
    let project = Project::november();
    project.run_all();
    let good = published(&project);
    damage_every_file(&project.path("data/.mp/objects"));
    std::fs::remove_file(project.view().gold_path()).expect("removed");
    project.mp(&["run", "--all"]).success();
    project.run_all();
    assert_eq!(published(&project), good);
}

/// Turns a byte in the middle of each file, by replacing the file.
fn damage_every_file(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            damage_every_file(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("a file");
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, bytes).expect("written");
    }
}

#[test]
fn what_a_killed_run_left_behind_is_cleared_away() {
    let project = Project::november();
    project.run_all();
    std::fs::remove_file(project.view().manifest_path("preprocess.prints")).expect("removed");
    for wait_ms in [0, 3, 10, 25, 60] {
        let mut child = project.command(&["run", "--all", "--force"]).spawn().expect("mp starts");
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        child.kill().expect("SIGKILL");
        child.wait().expect("ended");
        project.mp(&["run", "--all"]).success();
    }
    project.mp(&["run", "--all", "--force"]).success();
    project.run_all();
}
