//! Many small files: what is kept of them together is found again for each alone, and a look at them
//! that costs little misses nothing.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::events::Source;
use crate::project::Project;

const FILES: usize = 90;
const PRINTS: &str = "extract.prints";

/// The month with its prints in many files, written some time ago.
fn project() -> Project {
    let project = Project::november();
    let text = project.text("data/raw/prints.json");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for n in 0..FILES {
        let lines = &lines[n * lines.len() / FILES..(n + 1) * lines.len() / FILES];
        write(&project, &name(n), lines.concat(), 10);
    }
    std::fs::remove_file(project.path("data/raw/prints.json")).expect("removed");
    // Whatever their mtime, their ctime is of now.
    std::thread::sleep(Duration::from_millis(150));
    project.with("sources.prints.files", json!(["prints-*.json"]))
}

fn name(n: usize) -> String {
    format!("data/raw/prints-{n:03}.json")
}

/// Writes a file as it would be if it had been written so many seconds ago.
fn write(project: &Project, name: &str, text: impl AsRef<[u8]>, age_s: u64) {
    project.write(name, text);
    let file = std::fs::File::options().append(true).open(project.path(name)).expect("opened");
    file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).expect("aged");
}

/// (parsed, reused) files of the prints.
fn files(project: &Project) -> (u64, u64) {
    let view = project.view();
    (view.count(PRINTS, "files_parsed"), view.count(PRINTS, "files_reused"))
}

/// A file with another user in its first line, of the same length.
fn changed(text: &str) -> String {
    let at = text.find("\"user_id\": ").expect("a user") + "\"user_id\": ".len();
    let digit = if text[at..].starts_with('7') { '8' } else { '7' };
    format!("{}{digit}{}", &text[..at], &text[at + 1..])
}

#[test]
fn many_files_give_the_bytes_of_one_thread_and_of_tiny_runs() {
    let plain = project();
    plain.run_all();
    assert_eq!(files(&plain), (FILES as u64, 0));
    let bytes = plain.view().fingerprints();
    let rejects = plain.view().rejects(Source::Prints).rows;
    assert!(!rejects.is_empty());
    for other in [project().tiny(), project().with("processing.max_memory_mb", json!(128))] {
        for args in [&["--jobs", "1"][..], &["--force"]] {
            other.mp(&[&["run", "--all"], args].concat()).success();
            assert_eq!(other.view().rejects(Source::Prints).rows, rejects);
        }
    }
    let threads = project().with("processing.n_workers", json!(7));
    threads.run_all();
    assert_eq!(threads.view().fingerprints(), bytes);
    let one = project().with("processing.n_workers", json!(1));
    one.run_all();
    assert_eq!(one.view().fingerprints(), bytes);
}

#[test]
fn of_files_kept_together_only_the_changed_one_is_read_again() {
    let project = project();
    project.run_all();
    let text = project.text(&name(40));
    write(&project, &name(40), changed(&text), 5);
    project.run_all();
    assert_eq!(files(&project), (1, FILES as u64 - 1));
    std::fs::remove_file(project.path(&name(3))).expect("removed");
    project.run_all();
    assert_eq!(files(&project), (0, FILES as u64 - 1));
    // The same content under other names, twice over.
    project.write(&name(FILES), project.text(&name(4)));
    project.write(&name(FILES + 1), &text);
    project.run_all();
    assert_eq!(files(&project), (0, FILES as u64 + 1), "the old content of the changed file too");
    let incremental = project.view().fingerprints();
    std::fs::remove_dir_all(project.path("data/.mp")).expect("removed");
    project.mp(&["run", "--all", "--force"]).success();
    assert_eq!(files(&project), (FILES as u64 + 1, 0));
    assert_eq!(project.view().fingerprints(), incremental);
}

#[test]
fn the_same_content_under_several_names_is_kept_once() {
    let project = project().with("quality.enable_quality_checks", json!(false));
    for n in FILES..FILES + 5 {
        project.write(&name(n), project.text(&name(2)));
    }
    project.run_all();
    assert_eq!(files(&project), (FILES as u64, 5));
}

#[test]
fn a_file_that_holds_an_object_of_others_is_healed_when_it_is_needed() {
    let project = project();
    project.run_all();
    let extract = project.view().manifest(PRINTS);
    let outputs = extract["outputs"].as_array().expect("a list");
    let objects: Vec<&str> = outputs
        .iter()
        .filter(|output| output["published"] == false)
        .map(|output| output["path"].as_str().expect("a path"))
        .collect();
    assert_eq!(objects.len(), 2, "rows and rejects of all files: {objects:?}");
    std::fs::remove_file(project.path("data/.mp").join(objects[0])).expect("removed");
    let before = project.view().fingerprints();
    std::fs::remove_file(project.view().silver_path(Source::Prints)).expect("removed");
    let results = project.path("data/.mp/results");
    std::fs::remove_dir_all(results).expect("removed");
    project.run_all();
    assert_eq!(project.view().fingerprints(), before);
}

#[test]
fn a_change_within_two_seconds_is_noticed_among_many_files() {
    let project = project();
    project.run_all();
    // The memo is saved, and the files in it are old enough to be trusted.
    assert!(project.path("data/.mp/memo.json").exists());
    for age_s in [1, 0] {
        let text = project.text(&name(7));
        write(&project, &name(7), changed(&text), age_s);
        let before = project.view().runs();
        project.mp(&["run", "--all"]).success();
        assert!(project.view().ran_since(&before).contains(&PRINTS), "{age_s} seconds old");
        // The same length, the same inode, and the time of before.
        let path = project.path(&name(7));
        let time = path.metadata().and_then(|facts| facts.modified()).expect("a time");
        project.write(&name(7), changed(&project.text(&name(7))));
        let file = std::fs::File::options().append(true).open(&path).expect("opened");
        file.set_modified(time).expect("aged");
        let before = project.view().runs();
        project.mp(&["run", "--all"]).success();
        assert!(project.view().ran_since(&before).contains(&PRINTS), "{age_s} seconds old, again");
    }
}

#[test]
fn many_files_with_nothing_to_do_are_hashed_once_and_then_nothing_is_written() {
    let project = project();
    project.run_all();
    let memo = project.path("data/.mp/memo.json");
    std::fs::remove_file(&memo).expect("removed");
    project.mp(&["run", "--all"]).success();
    assert!(memo.exists(), "many small files are worth a memo");
    let before = project.snapshot();
    project.mp(&["run", "--all"]).success();
    before.assert_same(&project.snapshot());
}

#[test]
fn a_link_among_many_files_is_looked_at_and_one_that_leads_out_is_refused() {
    let project = project();
    project.run_all();
    let (inside, outside) = (project.path(&name(5)), project.path("elsewhere.json"));
    let link = project.path(&name(FILES));
    std::os::unix::fs::symlink(&inside, &link).expect("linked");
    let before = project.view().runs();
    project.mp(&["run", "--all"]).success();
    let ran = project.view().ran_since(&before);
    assert_eq!(ran, Vec::<&str>::new(), "a second name of the same file");
    std::fs::copy(&inside, &outside).expect("copied");
    std::fs::remove_file(&link).expect("removed");
    std::os::unix::fs::symlink(&outside, &link).expect("linked");
    project.mp(&["run", "--all"]).fails(3).says(&["outside"]);
}
