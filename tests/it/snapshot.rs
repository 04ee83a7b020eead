//! Every file below a folder with its content, time and inode, to see what a run touched.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    sha256: String,
    mtime_ns: i128,
    inode: u64,
    mode: u32,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    files: BTreeMap<String, Fact>,
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Snapshot {
    pub fn of(root: &Path) -> Snapshot {
        let mut files = BTreeMap::new();
        walk(root, "", &mut |name, path| {
            let meta = std::fs::symlink_metadata(path).expect("metadata");
            let content = std::fs::read(path).unwrap_or_default();
            let fact = Fact {
                sha256: sha256_hex(&content),
                mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
                inode: meta.ino(),
                mode: meta.mode() & 0o7777,
            };
            files.insert(name.to_owned(), fact);
        });
        Snapshot { files }
    }

    pub fn without(mut self, prefix: &str) -> Snapshot {
        self.files.retain(|name, _| !name.starts_with(prefix));
        self
    }

    pub fn only(mut self, prefix: &str) -> Snapshot {
        self.files.retain(|name, _| name.starts_with(prefix));
        self
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// Names that came, went or changed (content, time, inode or mode).
    pub fn changed(&self, later: &Snapshot) -> BTreeSet<String> {
        let names = self.files.keys().chain(later.files.keys());
        names.filter(|name| self.files.get(*name) != later.files.get(*name)).cloned().collect()
    }

    /// Names whose content came, went or changed.
    pub fn changed_content(&self, later: &Snapshot) -> BTreeSet<String> {
        let sha = |files: &BTreeMap<String, Fact>, name: &String| {
            files.get(name).map(|fact| fact.sha256.clone())
        };
        let names = self.files.keys().chain(later.files.keys());
        names.filter(|name| sha(&self.files, name) != sha(&later.files, name)).cloned().collect()
    }

    #[track_caller]
    pub fn assert_same(&self, later: &Snapshot) {
        let changed = self.changed(later);
        assert!(changed.is_empty(), "these files should not have been touched: {changed:#?}");
    }
}

fn walk(folder: &Path, prefix: &str, visit: &mut dyn FnMut(&str, &Path)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a type").is_dir() {
            walk(&entry.path(), &format!("{name}/"), visit);
        } else {
            visit(&name, &entry.path());
        }
    }
}
