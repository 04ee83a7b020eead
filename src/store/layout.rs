//! Where everything lies: the one place that spells a path under the data folders.
//!
//! Folders come in absolute, with `{as_of}` already filled in. Does not look at the disk.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// The folder for manifests and locks, inside the home of their stage.
pub const MANIFESTS: &str = "_manifests";
/// The folder for rejected rows, inside `processed`.
pub const REJECTS: &str = "_rejects";

/// A folder that published names are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Folder {
    /// Silver and rejects.
    Processed,
    /// Gold and `_SUCCESS.json`.
    Output,
    /// The quality report.
    Reports,
    /// The store itself: objects that are not published.
    Store,
}

/// A name in one of the folders, the same on every machine: `/` between its parts, never absolute,
/// never upwards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawPlace")]
pub struct Place {
    pub folder: Folder,
    pub path: String,
}

/// The path of a place is empty, absolute or leads upwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path inside its folder")]
pub struct PlaceError(String);

#[derive(Deserialize)]
struct RawPlace {
    folder: Folder,
    path: String,
}

impl TryFrom<RawPlace> for Place {
    type Error = PlaceError;

    fn try_from(raw: RawPlace) -> Result<Place, PlaceError> {
        Place::checked(raw.folder, raw.path)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

impl Place {
    /// A place that somebody wrote down.
    pub(super) fn checked(folder: Folder, path: String) -> Result<Place, PlaceError> {
        let mut parts = Path::new(&path).components().peekable();
        let inside =
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)));
        if inside { Ok(Place { folder, path }) } else { Err(PlaceError(path)) }
    }

    /// Is it that object of the store?
    pub(super) fn is_object(&self, digest: &Digest) -> bool {
        let hex = self.path.strip_prefix("objects/").and_then(|path| path.split_once('/'));
        self.folder == Folder::Store
            && hex.is_some_and(|(two, hex)| {
                digest.is_written(hex) && hex.starts_with(two) && two.len() == 2
            })
    }

    /// Silver of a source.
    pub fn silver(source: &str) -> Place {
        Place { folder: Folder::Processed, path: format!("{source}.parquet") }
    }

    /// The rejected rows of a source.
    pub fn rejects(source: &str) -> Place {
        Place { folder: Folder::Processed, path: format!("{REJECTS}/{source}.csv") }
    }

    /// The rejected rows of a source's failed attempt.
    pub fn failed_rejects(source: &str) -> Place {
        Place { folder: Folder::Processed, path: format!("{REJECTS}/{source}.failed.csv") }
    }

    /// Gold.
    pub fn gold() -> Place {
        Place { folder: Folder::Output, path: "training_dataset.parquet".to_owned() }
    }

    /// What says that Gold passed its gate.
    pub fn success() -> Place {
        Place { folder: Folder::Output, path: "_SUCCESS.json".to_owned() }
    }

    /// The quality report.
    pub fn report() -> Place {
        Place { folder: Folder::Reports, path: "quality_report.json".to_owned() }
    }

    /// An object of the store, for outputs that are not published.
    pub fn object(digest: &Digest) -> Place {
        Place { folder: Folder::Store, path: object_name(digest) }
    }
}

fn object_name(digest: &Digest) -> String {
    let hex = digest.to_string();
    format!("objects/{}/{hex}", &hex[..2])
}

/// `extract.prints`, `features`: the name of a task's files.
pub fn task_name(stage: &str, source: Option<&str>) -> String {
    match source {
        Some(source) => format!("{stage}.{source}"),
        None => stage.to_owned(),
    }
}

/// The folders of one project for one as_of: absolute, `{as_of}` filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub raw: PathBuf,
    pub processed: PathBuf,
    pub output: PathBuf,
    pub reports: PathBuf,
    pub store: PathBuf,
}

impl Layout {
    /// The folder that holds a stage's outputs and manifests.
    pub fn home(&self, stage: &str) -> &Path {
        match stage {
            "features" => &self.output,
            "quality" => &self.reports,
            _ => &self.processed,
        }
    }

    /// A folder that places are relative to.
    pub fn folder(&self, folder: Folder) -> &Path {
        match folder {
            Folder::Processed => &self.processed,
            Folder::Output => &self.output,
            Folder::Reports => &self.reports,
            Folder::Store => &self.store,
        }
    }

    /// Where a place is on this machine.
    pub fn path(&self, place: &Place) -> PathBuf {
        self.folder(place.folder).join(&place.path)
    }

    fn beside_manifest(&self, stage: &str, source: Option<&str>, suffix: &str) -> PathBuf {
        let name = format!("{}{suffix}", task_name(stage, source));
        self.home(stage).join(MANIFESTS).join(name)
    }

    /// The manifest of a task.
    pub fn manifest(&self, stage: &str, source: Option<&str>) -> PathBuf {
        self.beside_manifest(stage, source, ".json")
    }

    /// What a task's failed attempt leaves.
    pub fn failed_manifest(&self, stage: &str, source: Option<&str>) -> PathBuf {
        self.beside_manifest(stage, source, ".failed.json")
    }

    /// The lock of a task.
    pub fn lock_file(&self, stage: &str, source: Option<&str>) -> PathBuf {
        self.beside_manifest(stage, source, ".lock")
    }

    /// All that a failed attempt of a task may leave, and its next success removes.
    pub fn failed_files(&self, stage: &str, source: Option<&str>) -> Vec<PathBuf> {
        let rejects = source.filter(|_| stage == "extract").map(Place::failed_rejects);
        let rejects = rejects.map(|place| self.path(&place));
        std::iter::once(self.failed_manifest(stage, source)).chain(rejects).collect()
    }

    /// An object, by content.
    pub fn object(&self, digest: &Digest) -> PathBuf {
        self.store.join(object_name(digest))
    }

    /// All objects, in folders by the first two digits.
    pub fn objects_dir(&self) -> PathBuf {
        self.store.join("objects")
    }

    /// Files that nobody may see yet.
    pub fn tmp_dir(&self) -> PathBuf {
        self.store.join("tmp")
    }

    /// Every folder in which a commit makes temporary names.
    pub fn written_folders(&self) -> BTreeSet<PathBuf> {
        let homes = [&self.processed, &self.output, &self.reports];
        let below = homes.into_iter().flat_map(|home| Layout::written_below(home));
        below.chain([self.tmp_dir()]).collect()
    }

    /// Those of them that lie in a home.
    pub fn written_below(home: &Path) -> [PathBuf; 3] {
        [home.to_owned(), home.join(MANIFESTS), home.join(REJECTS)]
    }

    /// Results by task and fingerprint: copies of manifests.
    pub fn results_dir(&self) -> PathBuf {
        self.store.join("results")
    }

    /// Notes about results that are still to be read, by task.
    pub fn awaited_dir(&self) -> PathBuf {
        self.store.join("awaited")
    }

    /// Results of single input files, by source and content.
    pub fn parsed_dir(&self) -> PathBuf {
        self.store.join("parsed")
    }

    /// Records of runs.
    pub fn runs_dir(&self) -> PathBuf {
        self.store.join("runs")
    }

    /// Lists of inputs that several records share.
    pub fn run_inputs_dir(&self) -> PathBuf {
        self.runs_dir().join("inputs")
    }

    /// Whose results the store holds.
    pub fn homes_dir(&self) -> PathBuf {
        self.store.join("homes")
    }

    /// Where results are computed again to be compared.
    pub fn rebuild_dir(&self) -> PathBuf {
        self.store.join("rebuild")
    }

    /// Folders of its own for results that are computed again, in a scratch folder; raw files are read
    /// where they are.
    pub fn scratch(&self, scratch: &Path) -> Layout {
        Layout {
            raw: self.raw.clone(),
            processed: scratch.join("processed"),
            output: scratch.join("output"),
            reports: scratch.join("reports"),
            store: scratch.join("store"),
        }
    }

    /// Held as long as a scratch folder is in use.
    pub fn scratch_lock(scratch: &Path) -> PathBuf {
        scratch.join("in-use.lock")
    }

    /// File facts that spare hashing.
    pub fn memo_file(&self) -> PathBuf {
        self.store.join("memo.json")
    }

    /// Held shared while tasks run and alone while old results are removed.
    pub fn keep_lock(&self) -> PathBuf {
        self.store.join("keep.lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let at = |name: &str| PathBuf::from("/p").join(name);
        Layout {
            raw: at("raw"),
            processed: at("processed"),
            output: at("output"),
            reports: at("reports"),
            store: at("store"),
        }
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let layout = layout();
        let text = |path: PathBuf| path.display().to_string();
        let task = Some("prints");
        assert_eq!(
            text(layout.manifest("extract", task)),
            "/p/processed/_manifests/extract.prints.json"
        );
        assert_eq!(text(layout.manifest("features", None)), "/p/output/_manifests/features.json");
        assert_eq!(
            text(layout.failed_manifest("quality", None)),
            "/p/reports/_manifests/quality.failed.json"
        );
        assert_eq!(
            text(layout.path(&Place::failed_rejects("taps"))),
            "/p/processed/_rejects/taps.failed.csv"
        );
        assert_eq!(layout.failed_files("extract", task).len(), 2);
        assert_eq!(layout.failed_files("preprocess", task).len(), 1);
        let hex = Digest::of_bytes(b"").to_string();
        assert_eq!(
            text(layout.object(&Digest::of_bytes(b""))),
            format!("/p/store/objects/e3/{hex}")
        );
    }

    #[test]
    fn a_place_never_leaves_its_folder() {
        let read = |path: &str| {
            serde_json::from_value::<Place>(
                serde_json::json!({"folder": "processed", "path": path}),
            )
        };
        assert!(read("_rejects/prints.csv").is_ok());
        for path in ["", "/etc/passwd", "../x", "a/../../x", "./x"] {
            assert!(read(path).is_err(), "{path}");
        }
    }
}
