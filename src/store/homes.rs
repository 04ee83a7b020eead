//! Whose results a store holds: the folders of every run that committed to it.
//!
//! A store is shared by all `{as_of}` folders and by configurations that name other folders, and what
//! they publish must be known before anything of it is removed. A note is a file `homes/<hash>` with the
//! three folders, relative to the store where they lie near it, so that a project may be moved. Where links
//! lead to the store it has them twice: by the words of the paths, for who moves the project with its link,
//! and with all links followed, for who reaches the store by another name. The name is the hash of what is in it, so damage shows. Does not know which days a configuration means.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::atomic::{self, Owner};
use super::digest::Digest;
use super::error::StoreError;
use super::layout::{Layout, MANIFESTS};
use super::parsed::{is_short, list};
use crate::fault;

/// The version written, and the newest that can be read.
const HOME_VERSION: u32 = 1;

/// The folders of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    home_version: u32,
    #[serde(flatten)]
    folders: Folders,
    /// With all links followed, where that is not the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    followed: Option<Folders>,
}

/// The way from the store to each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Folders {
    processed: PathBuf,
    output: PathBuf,
    reports: PathBuf,
}

impl Folders {
    fn from(layout: &Layout, form: impl Fn(&Path) -> PathBuf) -> Folders {
        let store = form(&layout.store);
        let from = |folder: &Path| relative(&store, &form(folder));
        Folders {
            processed: from(&layout.processed),
            output: from(&layout.output),
            reports: from(&layout.reports),
        }
    }

    fn seen_from(&self, own: &Layout, store: &Path) -> Layout {
        let at = |folder: &Path| real(&normal(&store.join(folder)));
        Layout {
            processed: at(&self.processed),
            output: at(&self.output),
            reports: at(&self.reports),
            ..own.clone()
        }
    }
}

impl Store {
    /// Notes the folders of this store, unless that was done before and is still there whole.
    pub(super) fn note_home(&self, owner: &Owner) -> Result<(), StoreError> {
        let layout = self.layout();
        let folders = Folders::from(layout, Path::to_owned);
        let followed = Some(Folders::from(layout, real)).filter(|followed| *followed != folders);
        let note = Note { home_version: HOME_VERSION, folders, followed };
        // Names that are no text cannot be noted; whoever looks must be told of them.
        let Ok(json) = serde_json::to_vec(&note) else { return Ok(()) };
        let path = layout.homes_dir().join(Digest::of_bytes(&json).short());
        let found = atomic::read_if_there(&path)?.unwrap_or_default();
        if found != json && !is_newer(&found) {
            fault::point("home.note")?;
            atomic::write(&path, &json, owner, &layout.tmp_dir())?;
        }
        Ok(())
    }

    /// The folders of everybody that uses this store: its own, those in `known` and those that were
    /// noted, each once, as far as there is a manifest folder in them.
    pub fn homes(&self, known: &[Layout]) -> Result<Vec<Layout>, StoreError> {
        let own = self.layout();
        let mut homes = vec![own.clone()];
        homes.extend(known.iter().cloned());
        for (_, note) in self.home_notes()? {
            homes.extend(note.iter().flat_map(|note| readings(own, note)));
        }
        let (mut found, mut places) = (Vec::new(), BTreeSet::new());
        for home in homes {
            let place = [&home.processed, &home.output, &home.reports].map(|at| real(at));
            if has_manifests(&home) && places.insert(place) {
                found.push(home);
            }
        }
        Ok(found)
    }

    /// Notes of folders that are no longer there.
    pub(super) fn stale_homes(&self) -> Result<Vec<PathBuf>, StoreError> {
        let own = self.layout();
        let mut notes = self.home_notes()?;
        notes.retain(|(_, note)| {
            note.as_ref().is_some_and(|note| !readings(own, note).iter().any(has_manifests))
        });
        Ok(notes.into_iter().map(|(path, _)| path).collect())
    }

    /// Notes that are damaged: it cannot be known whose results they stand for.
    pub(super) fn damaged_homes(&self) -> Result<Vec<PathBuf>, StoreError> {
        let damaged = self.home_notes()?.into_iter().filter(|(_, note)| note.is_none());
        Ok(damaged.map(|(path, _)| path).collect())
    }

    /// All notes; without what they say where they are damaged.
    fn home_notes(&self) -> Result<Vec<(PathBuf, Option<Note>)>, StoreError> {
        let mut notes = Vec::new();
        for path in list(&self.layout().homes_dir())? {
            if !path.is_file() {
                continue;
            }
            let bytes = atomic::read_if_there(&path)?.unwrap_or_default();
            let note = read(&path, &bytes)?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // What has another name is not of ours.
            if is_short(name) {
                let is_whole = Digest::of_bytes(&bytes).short() == name;
                notes.push((path, note.filter(|_| is_whole)));
            }
        }
        Ok(notes)
    }
}

fn version(bytes: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Version {
        home_version: u64,
    }
    serde_json::from_slice::<Version>(bytes).map_or(0, |found| found.home_version)
}

fn is_newer(bytes: &[u8]) -> bool {
    version(bytes) > u64::from(HOME_VERSION)
}

fn read(path: &Path, bytes: &[u8]) -> Result<Option<Note>, StoreError> {
    if is_newer(bytes) {
        let (path, what, known) = (path.to_owned(), "note of folders", HOME_VERSION);
        return Err(StoreError::Newer { path, what, found: version(bytes), known });
    }
    Ok(serde_json::from_slice(bytes).ok())
}

/// What a note may mean: seen from the store by its name, and from where that leads. Notes of earlier builds
/// have one form, and did not say which.
fn readings(own: &Layout, note: &Note) -> Vec<Layout> {
    let stores = [own.store.clone(), real(&own.store)];
    let forms = std::iter::once(&note.folders).chain(&note.followed);
    forms.flat_map(|form| stores.each_ref().map(|store| form.seen_from(own, store))).collect()
}

fn has_manifests(home: &Layout) -> bool {
    [&home.processed, &home.output, &home.reports].iter().any(|at| at.join(MANIFESTS).is_dir())
}

/// The way from a folder to another; absolute where they have nothing but the root in common.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (mut here, mut there) = (from.components().peekable(), to.components().peekable());
    let mut shared = 0;
    while here.peek().is_some() && here.peek() == there.peek() {
        here.next();
        there.next();
        shared += 1;
    }
    if shared < 2 {
        return to.to_owned();
    }
    here.map(|_| Component::ParentDir).chain(there).collect()
}

/// The path with all links followed, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| Some((above, fs_err::canonicalize(above).ok()?)));
    match found {
        Some((above, real)) => match path.strip_prefix(above) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => path.to_owned(),
    }
}

/// The path without `..`, as far as its words go: of a real path there is nothing else to follow.
fn normal(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As each version writes it.
    const VERSIONS: [&str; HOME_VERSION as usize] =
        [include_str!("../../tests/versions/home.1.json")];

    #[test]
    fn a_note_of_each_version_is_read_and_a_newer_one_is_an_error() {
        let path = PathBuf::from("note");
        for text in VERSIONS {
            let note = read(&path, text.as_bytes()).unwrap().unwrap();
            assert_eq!(note.folders.output, Path::new("../2020-11-30/output"));
        }
        let newer = VERSIONS[VERSIONS.len() - 1].replacen("\":1", "\":99", 1);
        let found = read(&path, newer.as_bytes());
        assert!(matches!(found, Err(StoreError::Newer { found: 99, .. })));
        assert_eq!(read(&path, b"torn").unwrap(), None);
    }

    #[test]
    fn a_real_path_follows_links_as_far_as_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let base = fs_err::canonicalize(folder.path()).unwrap();
        fs_err::create_dir_all(base.join("real/x")).unwrap();
        fs_err::os::unix::fs::symlink(base.join("real/x"), base.join("link")).unwrap();
        assert_eq!(real(&base.join("link")), base.join("real/x"));
        assert_eq!(real(&base.join("link/none/yet")), base.join("real/x/none/yet"));
    }

    #[test]
    fn the_way_there_leads_there() {
        for (from, to, way) in [
            ("/p/data/.mp", "/p/data/processed", "../processed"),
            ("/p/.mp", "/p/data/2020-11-30/output", "../data/2020-11-30/output"),
            ("/p/.mp", "/q/output", "/q/output"),
            ("/p/a/b/.mp", "/p/out", "../../../out"),
        ] {
            let (from, to) = (Path::new(from), Path::new(to));
            assert_eq!(relative(from, to), Path::new(way));
            assert_eq!(normal(&from.join(relative(from, to))), to);
        }
    }
}
