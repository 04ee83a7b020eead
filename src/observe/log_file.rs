//! One log file that this process alone writes: opened, locked, told apart from what lies under
//! its name now.
//!
//! The kernel's lock is on the log file itself: whoever holds it owns the name, a kill leaves
//! nothing behind, and a file that nobody holds belongs to a process that is gone. Does not know
//! when to rotate.

use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// A log file, open and locked.
pub(super) struct LogFile {
    file: fs::File,
    path: PathBuf,
    identity: (u64, u64),
}

/// Why a log file was not opened.
pub(super) enum OpenError {
    /// Another process writes it.
    Taken,
    /// It cannot be written at all.
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Io(error)
    }
}

fn identity(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

impl LogFile {
    /// Opens for appending, creating it and its folder.
    pub fn open(path: &Path) -> Result<LogFile, OpenError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = fs::OpenOptions::new().append(true).create(true).open(path)?;
        // A file system without locks cannot tell who writes what: then the name is as good as
        // taken, for two writers would rotate each other's files away.
        file.try_lock().map_err(|_| OpenError::Taken)?;
        let log = LogFile { identity: identity(&file.metadata()?), file, path: path.to_owned() };
        // Its last owner may have rotated it away just before the lock was ours.
        if log.bytes().is_none() { Err(OpenError::Taken) } else { Ok(log) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size as it is now; `None` when it no longer lies under its name.
    pub fn bytes(&self) -> Option<u64> {
        let facts = fs::metadata(&self.path).ok()?;
        (identity(&facts) == self.identity).then_some(facts.len())
    }

    /// Appends a whole record in one call.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.file.write_all(record)
    }

    /// Empties it.
    pub fn truncate(&mut self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

/// Whether no process writes this file; it stays locked until the answer is dropped.
pub(super) fn lock_of_the_dead(path: &Path) -> Option<fs::File> {
    let file = fs::File::open(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}
