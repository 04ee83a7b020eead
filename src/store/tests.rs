//! The store against a real folder: staging, objects, commits, failures, per-file results, what stays.

use std::fs::{FileTimes, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::json;
use serde_json::value::to_raw_value;

use super::clock::Moment;
use super::keep::Pruned;
use super::*;

struct Project {
    folder: tempfile::TempDir,
    store: Store,
}

fn layout(root: &Path) -> Layout {
    Layout {
        raw: root.join("raw"),
        processed: root.join("processed"),
        output: root.join("output"),
        reports: root.join("reports"),
        store: root.join(".mp"),
    }
}

fn project() -> Project {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(layout(folder.path()), 2);
    Project { folder, store }
}

fn take_lock(store: &Store, stage: &str, source: Option<&str>) -> Lock {
    store.lock(stage, source, Duration::ZERO, &AtomicBool::new(false), &mut |_| {}).unwrap()
}

fn staged(store: &Store, lock: &Lock, text: &str, mode: u32) -> StagedObject {
    let mut staged = store.stage(lock.owner(), mode).unwrap();
    staged.write_all(text.as_bytes()).unwrap();
    staged.finish().unwrap()
}

fn output(store: &Store, lock: &Lock, text: &str, publish: Option<Place>, mode: u32) -> NewOutput {
    let content = Content::New(staged(store, lock, text, mode));
    NewOutput { content, publish, mode, rows: Some(1), schema: None }
}

fn outcome(stage: &str, source: Option<&str>, setting: i64, outputs: Vec<NewOutput>) -> Outcome {
    let settings = [("key".to_owned(), json!(setting))].into();
    Outcome {
        stage: stage.to_owned(),
        source: source.map(str::to_owned),
        ingredients: Ingredients { stage_version: 1, settings, ..Ingredients::default() },
        outputs,
        remove: Vec::new(),
        counts: serde_json::Map::new(),
        extra: serde_json::Value::Null,
        warnings: Vec::new(),
        error: None,
        run: Stopwatch::start("test").facts(None),
    }
}

/// Commits Gold with that text under that setting.
fn commit_gold(store: &Store, setting: i64, text: &str) -> Manifest {
    let lock = take_lock(store, "features", None);
    let gold = output(store, &lock, text, Some(Place::gold()), MODE_READ_ONLY);
    store.commit(lock, outcome("features", None, setting, vec![gold])).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_of(&path)) } else { files.push(path) }
    }
    files
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    files(folder)
}

fn temporary(project: &Project) -> Vec<PathBuf> {
    let mut files = files(project.folder.path());
    files.retain(|path| path.extension().is_some_and(|extension| extension == "tmp"));
    files
}

fn later(hours: u64) -> SystemTime {
    Moment::now().system_time() + Duration::from_secs(hours * 3600)
}

#[test]
fn a_staged_file_knows_its_content_and_goes_on_drop() {
    let project = project();
    let lock = take_lock(&project.store, "features", None);
    let object = staged(&project.store, &lock, "text", MODE_PRIVATE);
    assert_eq!((object.digest(), object.bytes()), (digest("text"), 4));
    let facts = fs_err::metadata(object.path()).unwrap();
    assert_eq!(facts.permissions().mode() & 0o777, MODE_PRIVATE);
    assert_eq!(project.store.memo().digest(object.path()).unwrap().0, digest("text"));
    let age = Moment::now().system_time().duration_since(facts.modified().unwrap()).unwrap();
    assert!(age > Duration::from_secs(2), "the memo trusts it at once");
    drop(object);
    let unfinished = project.store.stage(lock.owner(), MODE_READ_ONLY).unwrap();
    assert_eq!(temporary(&project).len(), 1);
    drop(unfinished);
    assert!(temporary(&project).is_empty());
}

#[test]
fn scratch_space_is_written_read_and_gone() {
    let project = project();
    let lock = take_lock(&project.store, "features", None);
    let mut scratch = project.store.scratch(lock.owner()).unwrap();
    scratch.file_mut().write_all(b"spill").unwrap();
    scratch.file_mut().rewind().unwrap();
    let mut text = String::new();
    scratch.file_mut().read_to_string(&mut text).unwrap();
    assert_eq!(text, "spill");
    assert!(scratch.path().exists());
    drop(scratch);
    assert!(temporary(&project).is_empty());
}

#[test]
fn a_commit_shows_names_manifest_and_record() {
    let project = project();
    let (store, layout) = (&project.store, project.store.layout());
    let lock = take_lock(store, "extract", Some("prints"));
    let rows = output(store, &lock, "rows", None, MODE_READ_ONLY);
    let rejects = output(store, &lock, "rejects", Some(Place::rejects("prints")), MODE_PRIVATE);
    let made =
        store.commit(lock, outcome("extract", Some("prints"), 1, vec![rows, rejects])).unwrap();
    let Found::Good(read) = store.manifest("extract", Some("prints")).unwrap() else { panic!() };
    assert_eq!(*read, made);
    assert_eq!(made.outputs[0].place, Place::object(&digest("rows")));
    assert_eq!(layout.path(&made.outputs[0].place), layout.object(&digest("rows")));
    let facts = fs_err::metadata(layout.path(&Place::rejects("prints"))).unwrap();
    assert_eq!(facts.permissions().mode() & 0o777, 0o640);
    let object = fs_err::metadata(layout.object(&digest("rejects"))).unwrap();
    assert_eq!(facts.ino(), object.ino(), "a hard link");
    let kept = store.kept_result("extract", Some("prints"), &made.ingredients).unwrap();
    assert_eq!(kept, Some(made));
    assert!(temporary(&project).is_empty());
}

#[test]
fn a_name_is_replaced_whole_and_again_and_old_names_go() {
    let project = project();
    let (store, gold) = (&project.store, project.store.layout().path(&Place::gold()));
    commit_gold(store, 1, "one");
    let mut reader = fs_err::File::open(&gold).unwrap();
    commit_gold(store, 2, "two");
    assert_eq!(fs_err::read_to_string(&gold).unwrap(), "two");
    let mut old = String::new();
    reader.read_to_string(&mut old).unwrap();
    assert_eq!(old, "one", "who has it open reads on");
    commit_gold(store, 2, "two");
    assert_eq!(fs_err::read_to_string(&gold).unwrap(), "two");
    let lock = take_lock(store, "features", None);
    store.commit(lock, outcome("features", None, 3, Vec::new())).unwrap();
    assert!(!gold.exists(), "the new result does not publish it");
}

#[test]
fn an_object_of_another_mode_is_copied() {
    let project = project();
    let (store, gold) = (&project.store, project.store.layout().path(&Place::gold()));
    let lock = take_lock(store, "features", None);
    let object = store.put(staged(store, &lock, "text", MODE_READ_ONLY)).unwrap();
    store.publish(object, &gold, 0o600, lock.owner()).unwrap();
    let facts = fs_err::metadata(&gold).unwrap();
    assert_eq!(facts.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs_err::read_to_string(&gold).unwrap(), "text");
    let object = fs_err::metadata(store.layout().object(&object)).unwrap();
    assert_eq!(facts.modified().unwrap(), object.modified().unwrap());
    assert_ne!(facts.ino(), object.ino());
}

#[test]
fn damage_is_noticed_and_healed_by_the_same_content() {
    let project = project();
    let (store, gold) = (&project.store, project.store.layout().path(&Place::gold()));
    commit_gold(store, 1, "good");
    assert!(store.is(&gold, &digest("good")).unwrap());
    // In place, through the published name: the object is the same file.
    fs_err::set_permissions(&gold, Permissions::from_mode(0o644)).unwrap();
    fs_err::write(&gold, "evil").unwrap();
    assert!(!store.is(&gold, &digest("good")).unwrap());
    assert!(!store.verify(&digest("good")).unwrap());
    let ingredients = outcome("features", None, 1, Vec::new()).ingredients;
    assert_eq!(store.kept_result("features", None, &ingredients).unwrap(), None);
    commit_gold(store, 1, "good");
    assert!(store.is(&gold, &digest("good")).unwrap());
    assert!(store.verify(&digest("good")).unwrap());
    fs_err::remove_file(&gold).unwrap();
    assert!(!store.is(&gold, &digest("good")).unwrap());
    let kept = store.kept_result("features", None, &ingredients).unwrap().unwrap();
    store.restore(take_lock(store, "features", None), &kept).unwrap();
    assert!(store.is(&gold, &digest("good")).unwrap());
}

#[test]
fn what_is_restored_is_hashed_whatever_the_memo_says() {
    let project = project();
    let store = &project.store;
    commit_gold(store, 1, "good");
    let object = store.layout().object(&digest("good"));
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let rot = |text: &str| {
        fs_err::set_permissions(&object, Permissions::from_mode(0o644)).unwrap();
        fs_err::write(&object, text).unwrap();
        let file = fs_err::OpenOptions::new().write(true).open(&object).unwrap();
        file.file().set_modified(long_ago).unwrap();
    };
    rot("good");
    assert!(store.verify(&digest("good")).unwrap(), "from now on the memo knows it");
    rot("evil");
    let ingredients = outcome("features", None, 1, Vec::new()).ingredients;
    let kept = store.kept_result("features", None, &ingredients).unwrap();
    let kept = kept.expect("`stat` shows no difference");
    assert!(!store.is_intact(&kept).unwrap());
    rot("good");
    assert!(store.is_intact(&kept).unwrap());
}

#[test]
fn a_failed_attempt_leaves_the_good_result_and_the_next_success_removes_it() {
    let project = project();
    let (store, layout) = (&project.store, project.store.layout());
    let task = ("extract", Some("prints"));
    let commit = |text: &str| {
        let lock = take_lock(store, task.0, task.1);
        let place = Some(Place::rejects("prints"));
        let rejects = output(store, &lock, text, place, MODE_PRIVATE);
        store.commit(lock, outcome(task.0, task.1, 1, vec![rejects])).unwrap()
    };
    let good = commit("good");
    let lock = take_lock(store, task.0, task.1);
    let place = Some(Place::failed_rejects("prints"));
    let mut failed =
        outcome(task.0, task.1, 2, vec![output(store, &lock, "bad", place, MODE_PRIVATE)]);
    failed.error = Some(ErrorFact { exit_code: 4, message: "too many".to_owned(), hint: None });
    store.fail(lock, failed).unwrap();
    assert_eq!(store.manifest(task.0, task.1).unwrap().good().as_deref(), Some(&good));
    assert_eq!(fs_err::read_to_string(layout.path(&Place::rejects("prints"))).unwrap(), "good");
    let noted = store.failed_manifest(task.0, task.1).unwrap().good().unwrap();
    assert_eq!(noted.error.as_ref().unwrap().exit_code, 4);
    let failed_rejects = layout.path(&Place::failed_rejects("prints"));
    let mode = fs_err::metadata(&failed_rejects).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    commit("better");
    assert!(!failed_rejects.exists());
    assert_eq!(store.failed_manifest(task.0, task.1).unwrap(), Found::Missing);
}

#[test]
fn what_a_killed_run_left_goes_when_its_lock_is_taken() {
    let project = project();
    let store = &project.store;
    let lock = take_lock(store, "features", None);
    let tmp = store.layout().tmp_dir();
    let left = staged(store, &lock, "half", MODE_READ_ONLY);
    let copy = store.layout().path(&Place::gold()).with_file_name(left.path().file_name().unwrap());
    fs_err::create_dir_all(copy.parent().unwrap()).unwrap();
    fs_err::copy(left.path(), &copy).unwrap();
    leave(left);
    drop(lock);
    let other = take_lock(store, "quality", None);
    assert_eq!(files(&tmp).len(), 1, "another task's files are not touched");
    let _lock = take_lock(store, "features", None);
    assert!(files(&tmp).is_empty() && !copy.exists());
    drop(other);
}

#[test]
fn a_manifest_of_another_task_or_a_torn_one_is_no_manifest() {
    let project = project();
    let (store, layout) = (&project.store, project.store.layout());
    commit_gold(store, 1, "one");
    let path = layout.manifest("features", None);
    let text = fs_err::read_to_string(&path).unwrap();
    let other = layout.manifest("quality", None);
    fs_err::create_dir_all(other.parent().unwrap()).unwrap();
    fs_err::write(&other, &text).unwrap();
    assert!(matches!(store.manifest("quality", None).unwrap(), Found::Unreadable(_)));
    fs_err::write(&path, &text[..100]).unwrap();
    assert!(matches!(store.manifest("features", None).unwrap(), Found::Unreadable(_)));
    fs_err::write(&path, r#"{"manifest_version": 7}"#).unwrap();
    assert!(matches!(store.manifest("features", None), Err(StoreError::Newer { .. })));
}

#[test]
fn a_kept_object_that_is_gone_cannot_be_committed() {
    let project = project();
    let store = &project.store;
    let lock = take_lock(store, "features", None);
    let content = Content::Kept { digest: digest("gone"), bytes: 4 };
    let output =
        NewOutput { content, publish: Some(Place::gold()), mode: 0o444, rows: None, schema: None };
    let result = store.commit(lock, outcome("features", None, 1, vec![output]));
    assert!(matches!(result, Err(StoreError::Object { .. })));
    assert_eq!(store.manifest("features", None).unwrap(), Found::Missing);
}

fn parsed_key(text: &str) -> ParsedKey {
    ParsedKey { sha256: digest(text), bytes: 5, settings: digest("settings") }
}

/// Keeps results of files that were made together: their rows and what was rejected.
fn keep_parsed(store: &Store, lock: &Lock, files: &[(&str, i64)], rows: &str, rejects: &str) {
    let parsed = |&(file, facts): &(&str, i64)| ParsedFile {
        key: parsed_key(file),
        facts: to_raw_value(&facts).unwrap(),
    };
    let objects =
        vec![staged(store, lock, rows, MODE_READ_ONLY), staged(store, lock, rejects, MODE_PRIVATE)];
    let files = files.iter().map(parsed).collect();
    store.keep_parsed("prints", objects, files, lock.owner()).unwrap();
}

/// The facts of a file's results.
fn found(store: &Store, file: &str) -> Vec<String> {
    let index = store.parsed("prints").unwrap();
    let found = index.find(&parsed_key(file)).unwrap();
    found.into_iter().map(|(facts, _)| facts.get().to_owned()).collect()
}

#[test]
fn a_file_that_was_seen_is_found_by_content() {
    let project = project();
    let store = &project.store;
    assert!(found(store, "file").is_empty());
    assert!(!store.parsed("prints").unwrap().has_size(5));
    let lock = take_lock(store, "extract", Some("prints"));
    keep_parsed(store, &lock, &[("file", 7), ("beside", 1)], "rows", "rejects");
    keep_parsed(store, &lock, &[("file", 7), ("beside", 1)], "rows", "rejects");
    assert_eq!(found(store, "file"), ["7"]);
    assert_eq!(found(store, "beside"), ["1"]);
    keep_parsed(store, &lock, &[("file", 8)], "rows", "others");
    assert_eq!(found(store, "file").len(), 2);
    assert!(store.parsed("prints").unwrap().has_size(5));
    assert!(!store.parsed("taps").unwrap().has_size(5));
    assert!(found(store, "other").is_empty());
    fs_err::remove_file(store.layout().object(&digest("rejects"))).unwrap();
    assert_eq!(found(store, "file"), ["8"], "a result that is not whole is none");
    assert!(found(store, "beside").is_empty());
    for path in files(&store.layout().parsed_dir()) {
        fs_err::write(path, "torn").unwrap();
    }
    assert!(found(store, "file").is_empty());
}

#[test]
fn the_newest_results_stay_and_what_they_name() {
    let project = project();
    let (store, layout) = (&project.store, project.store.layout());
    for setting in 1..=4 {
        commit_gold(store, setting, &format!("gold {setting}"));
    }
    let before = fs_err::read_to_string(layout.path(&Place::gold())).unwrap();
    let pruned = store.prune().unwrap();
    assert_eq!((pruned.results, pruned.objects), (2, 2));
    for setting in 1..=4 {
        let text = format!("gold {setting}");
        assert_eq!(store.contains(&digest(&text)), setting > 2, "{text}");
    }
    assert_eq!(fs_err::read_to_string(layout.path(&Place::gold())).unwrap(), before);
    assert_eq!(store.prune().unwrap(), Pruned::default());
}

#[test]
fn what_is_still_to_be_read_stays_until_it_is_read_replaced_or_given_up() {
    let project = project();
    let store = &project.store;
    let (task, reader) = (("features", None), ("quality", None));
    let await_it = |store: &Store, fingerprint| {
        let lock = take_lock(store, task.0, task.1);
        store.await_reader(task, reader, &fingerprint, lock.owner()).unwrap();
    };
    let of_day = |day: &str| {
        let mut layout = layout(project.folder.path());
        layout.output = layout.output.join(day);
        Store::open(layout, 2)
    };
    let days = ["a", "b", "c"].map(of_day);
    let made: Vec<Manifest> =
        (1..=6).map(|setting| commit_gold(store, setting, &format!("gold {setting}"))).collect();
    for (day, made) in days.iter().zip(&made) {
        await_it(day, made.fingerprint);
        assert!(day.is_awaited(task, reader, &made.fingerprint).unwrap());
    }
    let left = |hours| {
        store.prune_at(later(hours)).unwrap();
        let kept = |setting: &i32| store.contains(&digest(&format!("gold {setting}")));
        (1..=6).filter(kept).collect::<Vec<i32>>()
    };
    assert_eq!(left(0), [1, 2, 3, 5, 6]);
    days[0].has_read(task, reader, &made[1].fingerprint).unwrap();
    assert_eq!(left(0), [1, 2, 3, 5, 6], "it read another result");
    days[0].has_read(task, reader, &made[0].fingerprint).unwrap();
    assert_eq!(left(0), [2, 3, 5, 6], "read");
    await_it(&days[1], made[4].fingerprint);
    assert_eq!(left(0), [3, 5, 6], "replaced");
    assert_eq!(left(6 * 24), [3, 5, 6]);
    assert_eq!(left(8 * 24), [5, 6], "given up");
    assert!(files(&store.layout().awaited_dir()).is_empty());
}

#[test]
fn nothing_goes_while_somebody_uses_the_store() {
    let project = project();
    let store = &project.store;
    (1..=4).for_each(|setting| drop(commit_gold(store, setting, &format!("gold {setting}"))));
    let (one, two) = (store.in_use(&Wait::none()).unwrap(), store.in_use(&Wait::none()).unwrap());
    assert_eq!(store.prune().unwrap(), Pruned::default());
    drop((one, two));
    assert_eq!(store.prune().unwrap().results, 2);
}

#[test]
fn what_nobody_named_goes_only_once_it_is_old() {
    let project = project();
    let store = &project.store;
    let lock = take_lock(store, "extract", Some("prints"));
    keep_parsed(store, &lock, &[("file", 1)], "rows", "rows");
    let rows = digest("rows");
    let orphan = store.put(staged(store, &lock, "orphan", MODE_READ_ONLY)).unwrap();
    leave(staged(store, &lock, "killed", MODE_READ_ONLY));
    assert_eq!(store.prune().unwrap(), Pruned::default());
    let half_an_hour = Moment::now().system_time() + Duration::from_secs(1800);
    let pruned = store.prune_at(half_an_hour).unwrap();
    assert_eq!(pruned, Pruned { results: 0, parsed: 0, objects: 1 });
    assert!(store.contains(&rows) && !store.contains(&orphan));
    assert!(temporary(&project).is_empty());
    let pruned = store.prune_at(later(2)).unwrap();
    assert_eq!(pruned, Pruned { results: 0, parsed: 1, objects: 1 });
    assert!(files(&store.layout().parsed_dir()).is_empty());
}

#[test]
fn a_per_file_result_lives_as_long_as_a_kept_result_names_it() {
    let project = project();
    let store = &project.store;
    for day in 1..=3 {
        let lock = take_lock(store, "extract", Some("prints"));
        let rows = output(store, &lock, &format!("rows {day}"), None, MODE_READ_ONLY);
        let (file, beside) = (format!("file {day}"), format!("beside {day}"));
        let both = [(&*file, day), (&*beside, day)];
        keep_parsed(store, &lock, &both, &format!("rows {day}"), "rejects");
        store.commit(lock, outcome("extract", Some("prints"), day, vec![rows])).unwrap();
    }
    assert_eq!(store.prune_at(later(24)).unwrap(), Pruned { results: 1, parsed: 1, objects: 1 });
    for day in 1..=3 {
        for file in [format!("file {day}"), format!("beside {day}")] {
            assert_eq!(found(store, &file).len(), usize::from(day > 1), "{file}");
        }
    }
    assert!(store.contains(&digest("rejects")), "others of its objects live with it");
}

#[test]
fn the_store_of_a_newer_mp_is_left_alone() {
    let project = project();
    let store = &project.store;
    (1..=4).for_each(|setting| drop(commit_gold(store, setting, &format!("gold {setting}"))));
    let name = format!("a-new-stage/{}.json", digest("anything"));
    let record = store.layout().results_dir().join(name);
    fs_err::create_dir_all(record.parent().unwrap()).unwrap();
    fs_err::write(&record, r#"{"manifest_version": 2}"#).unwrap();
    assert_eq!(store.prune_at(later(24)).unwrap(), Pruned::default());
    fs_err::write(&record, "torn").unwrap();
    assert_eq!(store.prune_at(later(24)).unwrap().results, 2);
    assert!(!record.exists());
}

#[test]
fn opening_and_looking_touches_nothing() {
    let project = project();
    let store = &project.store;
    assert_eq!(store.manifest("features", None).unwrap(), Found::Missing);
    assert!(!store.verify(&digest("nothing")).unwrap());
    assert!(found(store, "file").is_empty());
    store.memo().save().unwrap();
    assert!(files(project.folder.path()).is_empty());
    assert_eq!(fs_err::read_dir(project.folder.path()).unwrap().count(), 0);
}

#[test]
fn several_as_of_share_objects_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let of_day = |day: &str| {
        let mut layout = layout(folder.path());
        layout.output = layout.output.join(day);
        Store::open(layout, 3)
    };
    let (one, two) = (of_day("2020-11-25"), of_day("2020-11-28"));
    commit_gold(&one, 1, "gold");
    let manifest = one.layout().manifest("features", None);
    let before = fs_err::metadata(&manifest).unwrap();
    let old = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    fs_err::File::open(&manifest).unwrap().file().set_times(old).unwrap();
    let _held = take_lock(&one, "features", None);
    commit_gold(&two, 1, "gold");
    let after = fs_err::metadata(&manifest).unwrap();
    assert_eq!(before.ino(), after.ino());
    assert_eq!(after.modified().unwrap(), SystemTime::UNIX_EPOCH);
    assert_eq!(fs_err::read_to_string(one.layout().path(&Place::gold())).unwrap(), "gold");
    assert_eq!(files(&one.layout().objects_dir()).len(), 1);
}

/// What a kill leaves: nothing is dropped, so nothing is tidied.
#[expect(clippy::mem_forget, reason = "a killed process drops nothing")]
fn leave<T>(thing: T) {
    std::mem::forget(thing);
}
