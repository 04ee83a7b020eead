//! Whose results a store holds: the folders of every run that committed to it.
//!
//! A store is shared by all `{as_of}` folders and by configurations that name other folders, and what
//! they publish must be known before anything of it is removed. A note is a file `homes/<hash>` with the
//! three folders, relative to the store where they lie near it, so that a project may be moved. It is a hint: without it
//! whoever looks must be told of the folders. Does not know which days a configuration means.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::atomic::{self, Owner};
use super::digest::Digest;
use super::error::StoreError;
use super::layout::{Layout, MANIFESTS};
use super::parsed::list;
use crate::fault;

/// The version written, and the newest that can be read.
const HOME_VERSION: u32 = 1;

/// The folders of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    home_version: u32,
    processed: PathBuf,
    output: PathBuf,
    reports: PathBuf,
}

impl Store {
    /// Notes the folders of this store, unless that was done before.
    pub(super) fn note_home(&self, owner: &Owner) -> Result<(), StoreError> {
        let layout = self.layout();
        let from = |folder: &Path| relative(&layout.store, folder);
        let note = Note {
            home_version: HOME_VERSION,
            processed: from(&layout.processed),
            output: from(&layout.output),
            reports: from(&layout.reports),
        };
        // Names that are no text cannot be noted; whoever looks must be told of them.
        let Ok(json) = serde_json::to_vec(&note) else { return Ok(()) };
        let path = layout.homes_dir().join(Digest::of_bytes(&json).short());
        if !path.is_file() {
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
        for path in list(&own.homes_dir())? {
            if let Some(note) = read(&path)? {
                homes.push(resolved(own, &note));
            }
        }
        let mut found = Vec::new();
        for home in homes {
            if has_manifests(&home) && !found.contains(&home) {
                found.push(home);
            }
        }
        Ok(found)
    }

    /// Notes of folders that are no longer there, and such that say nothing.
    pub(super) fn stale_homes(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut stale = Vec::new();
        for path in list(&self.layout().homes_dir())? {
            let is_there =
                read(&path)?.is_some_and(|note| has_manifests(&resolved(self.layout(), &note)));
            if !is_there {
                stale.push(path);
            }
        }
        Ok(stale)
    }
}

fn read(path: &Path) -> Result<Option<Note>, StoreError> {
    #[derive(Deserialize)]
    struct Version {
        home_version: u64,
    }
    let bytes = atomic::read_if_there(path)?.unwrap_or_default();
    let version = serde_json::from_slice::<Version>(&bytes).map_or(0, |found| found.home_version);
    if version > u64::from(HOME_VERSION) {
        let (path, what, known) = (path.to_owned(), "note of folders", HOME_VERSION);
        return Err(StoreError::Newer { path, what, found: version, known });
    }
    Ok(serde_json::from_slice(&bytes).ok())
}

fn resolved(own: &Layout, note: &Note) -> Layout {
    let at = |folder: &Path| normal(&own.store.join(folder));
    Layout {
        processed: at(&note.processed),
        output: at(&note.output),
        reports: at(&note.reports),
        ..own.clone()
    }
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

/// The path without `..`, as far as its words go: links are not followed, as they are not in `relative`.
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        for text in VERSIONS {
            fs_err::write(&path, text).unwrap();
            let note = read(&path).unwrap().unwrap();
            assert_eq!(note.output, Path::new("../2020-11-30/output"));
        }
        let newer = VERSIONS[VERSIONS.len() - 1].replacen("\":1", "\":99", 1);
        fs_err::write(&path, newer).unwrap();
        assert!(matches!(read(&path), Err(StoreError::Newer { found: 99, .. })));
        fs_err::write(&path, "torn").unwrap();
        assert_eq!(read(&path).unwrap(), None);
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
