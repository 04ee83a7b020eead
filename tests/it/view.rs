//! The artifacts, manifests and reports in the folders of one as-of day, and what must always hold
//! between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::events::{SOURCES, Source};
use crate::project::Project;
use crate::readers::{GOLD, SILVER, Table};
use crate::snapshot::{Snapshot, sha256_hex};

pub struct View {
    pub processed: PathBuf,
    pub output: PathBuf,
    pub reports: PathBuf,
}

/// Every task of the graph.
pub const TASKS: [&str; 8] = [
    "extract.payments",
    "extract.prints",
    "extract.taps",
    "features",
    "preprocess.payments",
    "preprocess.prints",
    "preprocess.taps",
    "quality",
];

/// The `run` part of each manifest: it changes when, and only when, the task was run and committed.
pub type Runs = BTreeMap<&'static str, Value>;

impl View {
    fn home(&self, task: &str) -> &Path {
        match task {
            "features" => &self.output,
            "quality" => &self.reports,
            _ => &self.processed,
        }
    }

    pub fn manifest_path(&self, task: &str) -> PathBuf {
        self.home(task).join("_manifests").join(format!("{task}.json"))
    }

    pub fn manifest(&self, task: &str) -> Value {
        json_file(&self.manifest_path(task))
    }

    pub fn failed_manifest_path(&self, task: &str) -> PathBuf {
        self.home(task).join("_manifests").join(format!("{task}.failed.json"))
    }

    /// One number among the counts of a task.
    #[track_caller]
    pub fn count(&self, task: &str, name: &str) -> u64 {
        let manifest = self.manifest(task);
        let found = manifest["counts"][name].as_u64();
        found.unwrap_or_else(|| panic!("no count {name} of {task} in {:#}", manifest["counts"]))
    }

    pub fn runs(&self) -> Runs {
        let done = TASKS.into_iter().filter(|task| self.manifest_path(task).exists());
        done.map(|task| (task, self.manifest(task)["run"].clone())).collect()
    }

    /// The tasks that were committed since.
    pub fn ran_since(&self, before: &Runs) -> Vec<&'static str> {
        let now = self.runs();
        now.into_iter()
            .filter(|(task, run)| before.get(task) != Some(run))
            .map(|(t, _)| t)
            .collect()
    }

    pub fn silver_path(&self, source: Source) -> PathBuf {
        self.processed.join(format!("{}.parquet", source.name()))
    }

    pub fn gold_path(&self) -> PathBuf {
        self.output.join("training_dataset.parquet")
    }

    pub fn success_path(&self) -> PathBuf {
        self.output.join("_SUCCESS.json")
    }

    pub fn report_path(&self) -> PathBuf {
        self.reports.join("quality_report.json")
    }

    pub fn rejects_path(&self, source: Source) -> PathBuf {
        self.processed.join("_rejects").join(format!("{}.csv", source.name()))
    }

    /// Silver, its schema and order checked.
    pub fn silver(&self, source: Source) -> Table {
        let table = Table::parquet(&self.silver_path(source));
        let mut schema = SILVER;
        if source == Source::Payments {
            schema[3] = ("amount", "f64");
        }
        table.assert_schema(&schema);
        table.assert_user_order();
        table
    }

    /// Gold, its schema and order checked.
    pub fn gold(&self) -> Table {
        let table = Table::parquet(&self.gold_path());
        table.assert_schema(&GOLD);
        table.assert_user_order();
        assert!(table.rows.iter().flatten().all(|value| !value.is_empty()), "a null in Gold");
        table
    }

    pub fn rejects(&self, source: Source) -> Table {
        let table = Table::csv(&self.rejects_path(source));
        let columns = ["source_file", "line", "byte_offset", "error_codes", "errors", "raw"];
        assert_eq!(table.columns, columns);
        table
    }

    pub fn report(&self) -> Value {
        json_file(&self.report_path())
    }

    /// The bytes that must be the same for the same input, as hashes.
    pub fn fingerprints(&self) -> BTreeMap<String, String> {
        let mut files: BTreeMap<String, PathBuf> = SOURCES
            .into_iter()
            .flat_map(|source| {
                let name = source.name();
                [
                    (format!("silver {name}"), self.silver_path(source)),
                    (format!("rejects {name}"), self.rejects_path(source)),
                ]
            })
            .collect();
        files.insert("gold".to_owned(), self.gold_path());
        let hash = |path: PathBuf| sha256_hex(&std::fs::read(&path).expect("an artifact"));
        files.into_iter().map(|(name, path)| (name, hash(path))).collect()
    }

    /// What holds after every successful run of the whole graph.
    #[track_caller]
    pub fn check(&self, project: &Project) {
        for source in SOURCES {
            self.check_counts(source);
        }
        for task in TASKS {
            let manifest = self.manifest(task);
            assert_eq!(manifest["status"], "success", "{task}");
            assert_eq!(manifest["manifest_version"], 1, "{task}");
            assert!(!self.failed_manifest_path(task).exists(), "{task}: old failure not removed");
        }
        let gold = std::fs::read(self.gold_path()).expect("Gold");
        let success = json_file(&self.success_path()).to_string();
        assert!(success.contains(&sha256_hex(&gold)), "_SUCCESS.json does not name this Gold");
        check_no_temporary_files(project);
    }

    /// Rows in = rows out + rejected + duplicates dropped + not yet.
    #[track_caller]
    fn check_counts(&self, source: Source) {
        let name = source.name();
        let (extract, preprocess) = (format!("extract.{name}"), format!("preprocess.{name}"));
        let (read, valid) = (self.count(&extract, "rows_read"), self.count(&extract, "rows_valid"));
        let rejected = self.count(&extract, "rows_rejected");
        assert_eq!(read, valid + rejected, "{extract}: rows in and out");
        assert_eq!(self.rejects(source).rows.len() as u64, rejected, "{extract}: rejects file");
        let silver = self.silver(source).rows.len() as u64;
        let late = self.count(&preprocess, "rows_after_as_of");
        let dropped = self.count(&preprocess, "duplicates_dropped");
        assert_eq!(valid, silver + late + dropped, "{preprocess}: rows in and out");
    }
}

#[track_caller]
pub fn json_file(path: &Path) -> Value {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// No half-written file anywhere below `data/`, and nothing left in the store's workshop.
#[track_caller]
pub fn check_no_temporary_files(project: &Project) {
    let files = Snapshot::of(&project.path("data"));
    for name in files.names() {
        let last = name.rsplit('/').next().expect("a name");
        let temporary = last.starts_with(".tmp") || last.ends_with(".tmp") || last.ends_with("~");
        assert!(!temporary && !name.contains(".mp/tmp/"), "left behind: {name}");
    }
}
