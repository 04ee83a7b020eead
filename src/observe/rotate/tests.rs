//! The rotating log: sizes, backups, moved and deleted files, several writers.

use std::io::Write;
use std::sync::Arc;

use super::*;

type Warnings = Arc<Mutex<Vec<String>>>;

fn writer(path: &Path, max_file_bytes: u64, backup_count: u32) -> (RotatingWriter, Warnings) {
    let warnings = Warnings::default();
    let heard = warnings.clone();
    let warn = Box::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()));
    let limits = Limits { max_file_bytes, backup_count };
    (RotatingWriter::open(path, limits, 17, warn), warnings)
}

fn log(mut writer: &RotatingWriter, record: &str) {
    writer.write_all(record.as_bytes()).unwrap();
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_default()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_rotated_before_a_record_that_would_pass_the_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs").join("pipeline.log");
    let (writer, warnings) = writer(&path, 10, 2);
    for record in ["aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "eeeeeeeeeeeeeee\n", "ffff\n"] {
        log(&writer, record);
    }
    assert_eq!(text(&path), "ffff\n");
    assert_eq!(text(backup(&path, 1)), "eeeeeeeeeeeeeee\n");
    assert_eq!(text(backup(&path, 2)), "cccc\ndddd\n");
    assert_eq!(names(path.parent().unwrap()).len(), 3);
    assert!(warnings.lock().unwrap().is_empty());
}

#[test]
fn without_backups_a_full_file_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipeline.log");
    let (writer, _) = writer(&path, 10, 0);
    for record in ["aaaa\n", "bbbb\n", "cccc\n"] {
        log(&writer, record);
    }
    assert_eq!(text(&path), "cccc\n");
    assert_eq!(names(dir.path()), ["pipeline.log"]);
}

#[test]
fn a_log_is_continued_and_a_lower_count_removes_what_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipeline.log");
    for number in 1..=5 {
        fs::write(backup(&path, number), number.to_string()).unwrap();
    }
    fs::write(&path, "old\n").unwrap();
    let (writer, _) = writer(&path, 10, 2);
    log(&writer, "new\n");
    assert_eq!(text(&path), "old\nnew\n");
    log(&writer, "newer\n");
    assert_eq!(names(dir.path()), ["pipeline.log", "pipeline.log.1", "pipeline.log.2"]);
    assert_eq!(text(backup(&path, 2)), "1");
}

#[test]
fn moved_deleted_and_truncated_files_are_no_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs").join("pipeline.log");
    let (writer, warnings) = writer(&path, 100, 2);
    log(&writer, "one\n");
    fs::rename(&path, dir.path().join("away")).unwrap();
    log(&writer, "two\n");
    assert_eq!(text(&path), "two\n");
    assert_eq!(text(dir.path().join("away")), "one\n");
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    log(&writer, "three\n");
    assert_eq!(text(&path), "three\n");
    fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    log(&writer, "four\n");
    assert_eq!(text(&path), "four\n");
    assert!(warnings.lock().unwrap().is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_is_one_warning() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let (writer, warnings) = writer(&dir.path().join("file").join("pipeline.log"), 10, 2);
    log(&writer, "one\n");
    log(&writer, "two\n");
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("cannot write the log in `"), "{}", warnings[0]);
    assert_eq!(writer.path(), None);
}

#[test]
fn a_backup_that_cannot_be_moved_loses_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipeline.log");
    // A folder with something in it is in the way of the first backup.
    fs::create_dir_all(backup(&path, 1).join("full")).unwrap();
    let (writer, warnings) = writer(&path, 4, 1);
    log(&writer, "one\n");
    log(&writer, "two\n");
    log(&writer, "three\n");
    assert_eq!(text(&path), "one\ntwo\nthree\n");
    assert_eq!(warnings.lock().unwrap().len(), 1);
}

#[test]
fn a_second_process_writes_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipeline.log");
    let (first, _) = writer(&path, 8, 1);
    let (second, _) = writer(&path, 8, 1);
    let (third, _) = writer(&path, 8, 1);
    for (writer, record) in [(&first, "1111\n"), (&second, "2222\n"), (&third, "3333\n")] {
        for _ in 0..3 {
            log(writer, record);
        }
    }
    assert_eq!(second.path(), Some(dir.path().join("pipeline.17.log")));
    assert_eq!(third.path(), Some(dir.path().join("pipeline.17-2.log")));
    for (name, record) in [
        ("pipeline.log", "1111\n"),
        ("pipeline.log.1", "1111\n"),
        ("pipeline.17.log", "2222\n"),
        ("pipeline.17.log.1", "2222\n"),
        ("pipeline.17-2.log", "3333\n"),
        ("pipeline.17-2.log.1", "3333\n"),
    ] {
        assert_eq!(text(dir.path().join(name)), record, "{name}");
    }
    assert_eq!(names(dir.path()).len(), 6);
    drop(first);
    let (next, _) = writer(&path, 8, 1);
    assert_eq!(next.path(), Some(path));
}

#[test]
fn logs_of_processes_that_are_gone_stay_in_the_number_of_backups() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipeline.log");
    for (age, pid) in [(4, 100), (3, 101), (2, 102), (1, 103)] {
        let log = dir.path().join(format!("pipeline.{pid}.log"));
        fs::write(backup(&log, 1), "older").unwrap();
        fs::write(&log, "log").unwrap();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age);
        fs::File::options().append(true).open(&log).unwrap().set_modified(time).unwrap();
    }
    fs::write(dir.path().join("pipeline.note.log"), "mine").unwrap();
    let alive = fs::File::open(dir.path().join("pipeline.100.log")).unwrap();
    alive.try_lock().unwrap();
    let (_writer, _) = writer(&path, 100, 1);
    assert_eq!(
        names(dir.path()),
        [
            "pipeline.100.log",
            "pipeline.100.log.1",
            "pipeline.103.log",
            "pipeline.103.log.1",
            "pipeline.log",
            "pipeline.note.log"
        ]
    );
}

proptest::proptest! {
    #[test]
    fn no_record_is_split_and_the_newest_ones_are_kept_in_order(
        sizes in proptest::collection::vec(1usize..30, 0..60),
        max_file_bytes in 1u64..60,
        backup_count in 0u32..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipeline.log");
        let (writer, warnings) = writer(&path, max_file_bytes, backup_count);
        let records: Vec<String> = sizes
            .iter()
            .enumerate()
            .map(|(number, &size)| format!("{number}{}\n", "x".repeat(size)))
            .collect();
        for record in &records {
            log(&writer, record);
        }
        let mut kept = String::new();
        for number in (1..=backup_count).rev() {
            kept += &text(backup(&path, number));
        }
        kept += &text(&path);
        let all = records.concat();
        assert!(all.ends_with(&kept));
        assert!(kept.is_empty() || kept.len() == all.len()
            || all.as_bytes()[all.len() - kept.len() - 1] == b'\n');
        for number in 0..=backup_count {
            let file = if number == 0 { path.clone() } else { backup(&path, number) };
            let text = text(file);
            assert!(text.len() as u64 <= max_file_bytes || text.lines().count() == 1);
        }
        assert!(warnings.lock().unwrap().is_empty());
    }
}
