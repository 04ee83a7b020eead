//! What can be done in a folder: found out by doing it, with a file that is gone afterwards.
//!
//! Rights alone do not tell: root is let through and then the mount is read-only. Does not know
//! which folders matter.

use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::time::SystemTime;

const PREFIX: &str = ".mp-doctor-";

/// What came of writing a file.
#[derive(Debug)]
pub struct Writable {
    /// The time that the file system gave the file.
    pub modified: Option<SystemTime>,
}

/// Whether locks of a file system keep others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locks {
    /// They do.
    Work,
    /// A second lock on a locked file was given.
    KeepNobodyOut,
}

/// The folder itself or, where it does not exist yet, the first above it that does. What is no
/// folder counts as one that is there: using it will say what is wrong.
pub fn nearest_folder(folder: &Path) -> &Path {
    folder.ancestors().find(|above| above.symlink_metadata().is_ok()).unwrap_or(folder)
}

/// Writes a file into a folder that exists.
pub fn try_write(folder: &Path) -> io::Result<Writable> {
    let file = probe(folder)?;
    io::Write::write_all(&mut file.as_file(), b"mp doctor was here\n")?;
    file.as_file().sync_all()?;
    let modified = file.as_file().metadata().and_then(|facts| facts.modified()).ok();
    file.close()?;
    Ok(Writable { modified })
}

/// Locks a file in a folder that exists, and then tries to lock it once more.
pub fn try_locks(folder: &Path) -> io::Result<Locks> {
    let file = probe(folder)?;
    let unlocked = |error: TryLockError| io::Error::other(error.to_string());
    file.as_file().try_lock().map_err(unlocked)?;
    let second = fs_err::File::open(file.path())?;
    match second.file().try_lock() {
        Err(TryLockError::WouldBlock) => Ok(Locks::Work),
        Ok(()) => Ok(Locks::KeepNobodyOut),
        Err(error @ TryLockError::Error(_)) => Err(unlocked(error)),
    }
}

fn probe(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_can_be_used_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert!(try_write(folder.path()).unwrap().modified.is_some());
        assert_eq!(try_locks(folder.path()).unwrap(), Locks::Work);
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs_err::write(&file, "").unwrap();
        assert!(try_write(&file).is_err());
        assert!(try_locks(&file).is_err());
        assert_eq!(nearest_folder(&folder.path().join("a/b/c")), folder.path());
        assert_eq!(nearest_folder(&file.join("x")), file);
    }
}
