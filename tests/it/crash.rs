//! Programs that the crash tests need besides mp, and the state of a project to compare.
//!
//! `tests/run` builds both: mp with its fault points (`src/fault.rs`), and a reader of another library.
//! A test that does not find them fails and says how to build them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::outcome::Outcome;
use crate::project::Project;
use crate::snapshot::sha256_hex;
use crate::view::{check_no_temporary_files, json_file};

/// Older than everything that the store takes for young.
const AGED: Duration = Duration::from_secs(2 * 60 * 60);

/// Are the long variants wanted?
pub fn is_long() -> bool {
    std::env::var_os("MP_TEST_LONG").is_some_and(|value| value != "0")
}

/// `target/<host>/release`, where cargo has put mp.
fn release() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_mp")).parent();
    folder.expect("a folder").to_owned()
}

/// mp with its fault points, built from the sources as they are.
pub fn faulty() -> PathBuf {
    let path = release().join("examples/mp-fault-points");
    newer_than_sources(&path, "src");
    path
}

/// The reader of another library.
pub fn reader() -> PathBuf {
    let release = release();
    let mut above = release.ancestors().skip(1);
    let host = above.next().and_then(Path::file_name).expect("target/<host>/release");
    let target = above.next().expect("target").join("reader");
    let path = target.join(host).join("release/parquet-reader");
    newer_than_sources(&path, "tests/reader/src");
    path
}

#[track_caller]
fn newer_than_sources(program: &Path, sources: &str) {
    let how = "build it with `tests/run --build`";
    let built = std::fs::metadata(program).and_then(|facts| facts.modified());
    let Ok(built) = built else { panic!("there is no `{}`: {how}", program.display()) };
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(sources)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let changed = path.metadata().and_then(|facts| facts.modified()).expect("a file");
            let (program, path) = (program.display(), path.display());
            assert!(changed <= built, "`{program}` is older than `{path}`: {how}");
        }
    }
}

/// A copy of a project as it is, in a folder of its own.
pub fn copy_of(project: &Project) -> Project {
    let copy = Project::empty();
    let status = Command::new("cp")
        .args(["-a", "--reflink=auto", "--"])
        .arg(project.root().join("."))
        .arg(copy.root())
        .status();
    assert!(status.expect("cp starts").success(), "cp");
    // The memo trusts no file that was written just now.
    std::thread::sleep(Duration::from_millis(150));
    copy
}

/// What became of a process that a fault was planned for.
pub fn run_faulty(project: &Project, args: &[&str], fault: &str) -> Output {
    let mut command = project.command_of(&faulty(), args);
    command.env("MP_TEST_FAULT", fault).stdin(Stdio::null());
    command.output().expect("mp starts")
}

/// An undisturbed run of the program with fault points, and the points that it passed in their order.
pub fn passes(project: &Project, args: &[&str]) -> (Outcome, Vec<String>) {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut command = project.command_of(&faulty(), args);
    command.env("MP_TEST_FAULT_LOG", log.path()).stdin(Stdio::null());
    let output = command.output().expect("mp starts");
    let text = std::fs::read_to_string(log.path()).expect("the log");
    let outcome = Outcome::new(format!("mp {}", args.join(" ")), output);
    (outcome, text.lines().map(str::to_owned).collect())
}

/// Everything that a user can see of the results: artifacts by hash, manifests without their `run` part.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Published(BTreeMap<PathBuf, String>);

impl Published {
    pub fn of(project: &Project) -> Published {
        let view = project.view();
        let mut files = BTreeMap::new();
        for home in [&view.processed, &view.output, &view.reports] {
            for folder in [home.clone(), home.join("_manifests"), home.join("_rejects")] {
                let Ok(entries) = std::fs::read_dir(&folder) else { continue };
                for entry in entries {
                    let path = entry.expect("an entry").path();
                    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                    // Temporary files and locks are not for users.
                    if !path.is_file() || name.starts_with('.') || name.ends_with(".lock") {
                        continue;
                    }
                    let below = path.strip_prefix(project.root()).expect("inside").to_owned();
                    files.insert(below, content(&path));
                }
            }
        }
        Published(files)
    }

    /// Without the notes of failed attempts, which lie beside the results.
    pub fn without_failures(mut self) -> Published {
        self.0.retain(|path, _| !path.to_string_lossy().contains(".failed."));
        self
    }

    /// The run was cut off: each file is whole, as it was or as it will be, and none is missing that was
    /// there and will be.
    #[track_caller]
    pub fn assert_between(&self, before: &Published, after: &Published, when: &str) {
        for (path, content) in &self.0 {
            let known = [before.0.get(path), after.0.get(path)];
            let path = path.display();
            assert!(known.contains(&Some(content)), "{when}: `{path}` is neither old nor new");
        }
        for path in before.0.keys().filter(|path| after.0.contains_key(*path)) {
            assert!(self.0.contains_key(path), "{when}: `{}` is gone", path.display());
        }
    }

    #[track_caller]
    pub fn assert_same(&self, other: &Published, when: &str) {
        let names: BTreeSet<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        let differs = names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name));
        let differs: Vec<&PathBuf> = differs.collect();
        assert!(differs.is_empty(), "{when}: not what it should be: {differs:#?}");
    }
}

/// The hash of a file; of a manifest, without what tells of the run that made it and what that one found
/// done already.
fn content(path: &Path) -> String {
    let in_manifests = path.parent().is_some_and(|folder| folder.ends_with("_manifests"));
    let bytes = std::fs::read(path).expect("a file");
    let manifest = serde_json::from_slice::<Value>(&bytes).ok().filter(|_| in_manifests);
    let Some(mut manifest) = manifest else { return sha256_hex(&bytes) };
    manifest.as_object_mut().expect("an object").retain(|key, _| key != "run" && key != "checksum");
    if let Some(counts) = manifest["counts"].as_object_mut() {
        counts.retain(|name, _| !name.starts_with("files_"));
    }
    // A hint may name a file with its whole path, and a copy of a project lies elsewhere.
    if let Some(error) = manifest["error"].as_object_mut() {
        error.remove("hint");
    }
    sha256_hex(manifest.to_string().as_bytes())
}

/// The published files are those that the manifests name: no task is between two results.
#[track_caller]
pub fn assert_manifests_hold(project: &Project, when: &str) {
    let view = project.view();
    for task in crate::view::TASKS {
        if !view.manifest_path(task).exists() {
            continue;
        }
        for output in view.manifest(task)["outputs"].as_array().expect("outputs") {
            let folder = match output["folder"].as_str().expect("a folder") {
                "processed" => &view.processed,
                "output" => &view.output,
                "reports" => &view.reports,
                _ => continue,
            };
            let path = folder.join(output["path"].as_str().expect("a path"));
            let found = std::fs::read(&path).map(|bytes| sha256_hex(&bytes)).unwrap_or_default();
            let path = path.display();
            assert_eq!(found, output["sha256"].as_str().expect("a hash"), "{when}: `{path}`");
        }
    }
}

/// The same command again ends as it should, with the results that it should have; whatever else was
/// left goes with the next `mp gc`, and all that is there is whole.
#[track_caller]
pub fn assert_heals(project: &Project, args: &[&str], code: i32, after: &Published, when: &str) {
    let again = project.mp(args);
    assert_eq!(again.code, code, "{when}: the same command again: {again}");
    Published::of(project).assert_same(after, when);
    let settings: Vec<&str> = settings(args).collect();
    project.mp(&[&["gc", "--apply"], &settings[..]].concat()).success();
    check_no_temporary_files(project);
    assert_objects_are_named(project);
    // After a repair something may be to run again.
    let code = if args.first() == Some(&"verify") { code } else { 0 };
    project.mp(&[&["verify"], &settings[..]].concat()).fails(code);
    Published::of(project).assert_same(after, when);
}

/// `--set KEY=VALUE`, as often as it is among the arguments.
fn settings<'a>(args: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    args.windows(2).filter(|pair| pair[0] == "--set").flatten().copied()
}

/// Once they are old, the next commit removes all objects that nobody names.
#[track_caller]
pub fn assert_nothing_is_left_over(project: &Project) {
    let then = SystemTime::now() - AGED;
    for path in objects(project) {
        let times = std::fs::FileTimes::new().set_modified(then);
        File::open(path).and_then(|file| file.set_times(times)).expect("aged");
    }
    project.mp(&["run", "--all", "--force"]).success();
    assert_objects_are_named(project);
    check_no_temporary_files(project);
}

#[track_caller]
fn assert_objects_are_named(project: &Project) {
    let named = named_objects(project);
    for path in objects(project) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(named.contains(&name), "nobody needs `{}`", path.display());
    }
}

fn objects(project: &Project) -> Vec<PathBuf> {
    files_below(&project.path("data/.mp/objects"))
}

/// What the records of results and of single files name, and the notes of failed attempts.
fn named_objects(project: &Project) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let view = project.view();
    let homes = [&view.processed, &view.output, &view.reports].map(|home| home.join("_manifests"));
    let notes = homes.iter().flat_map(|home| files_below(home));
    let notes = notes.filter(|path| path.to_string_lossy().ends_with(".failed.json"));
    for path in files_below(&project.path("data/.mp/results")).into_iter().chain(notes) {
        let record = json_file(&path);
        let outputs = record["outputs"].as_array().expect("outputs").clone();
        named.extend(
            outputs.iter().filter_map(|output| output["sha256"].as_str().map(str::to_owned)),
        );
    }
    for path in files_below(&project.path("data/.mp/parsed")) {
        let record = json_file(&path);
        let objects = record["objects"].as_array().map(Vec::as_slice).unwrap_or_default().to_vec();
        named.extend(objects.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    named
}

pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
