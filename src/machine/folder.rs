//! What can be done in a folder: found out by doing it, with a file that is gone afterwards.
//!
//! Rights alone do not tell: root is let through and then the mount is read-only. For what lies deeper,
//! where there may be thousands of folders, the kernel is asked. Does not know which folders matter.

use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const PREFIX: &str = ".mp-doctor-";

/// What came of writing a file.
#[derive(Debug)]
pub struct Writable {
    /// The time that the file system gave the file.
    pub modified: Option<SystemTime>,
    /// The user and the group that files of this process belong to there.
    pub owner: (u32, u32),
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
    let facts = file.as_file().metadata()?;
    file.close()?;
    Ok(Writable { modified: facts.modified().ok(), owner: (facts.uid(), facts.gid()) })
}

/// The first folder, or file of the kind that is written to, that this process may not use: `folder`
/// itself, what it holds and, if asked, all that lies deeper. What is not there is no hindrance.
pub fn first_refused(
    folder: &Path,
    deeper: bool,
    is_written: &dyn Fn(&Path) -> bool,
) -> Option<(PathBuf, io::Error)> {
    use rustix::fs::Access;
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    if let Some(error) = refusal(folder, all) {
        return Some((folder.to_owned(), error));
    }
    let entries = fs_err::read_dir(folder).ok()?;
    let mut entries: Vec<_> = entries.flatten().collect();
    // Always the same one is named.
    entries.sort_by_key(fs_err::DirEntry::path);
    entries.iter().find_map(|entry| {
        let path = entry.path();
        let kind = entry.file_type().ok()?;
        if kind.is_dir() && deeper {
            first_refused(&path, deeper, is_written)
        } else if kind.is_file() && is_written(&path) {
            let error = refusal(&path, Access::READ_OK | Access::WRITE_OK)?;
            Some((path, error))
        } else {
            None
        }
    })
}

/// Why the kernel would refuse it.
fn refusal(path: &Path, access: rustix::fs::Access) -> Option<io::Error> {
    let flags = rustix::fs::AtFlags::EACCESS;
    match rustix::fs::accessat(rustix::fs::CWD, path, access, flags) {
        Ok(()) => None,
        Err(error) => Some(io::Error::from(error)).filter(|e| e.kind() != io::ErrorKind::NotFound),
    }
}

/// The same as [`try_locks_of`] with a file of its own, in a folder that exists.
pub fn try_locks(folder: &Path) -> io::Result<Locks> {
    try_locks_of(probe(folder)?.path())
}

/// Locks a file, which is made only if it is not there, and then tries to lock it once more. Whoever
/// holds it already keeps it.
pub fn try_locks_of(file: &Path) -> io::Result<Locks> {
    let mut options = fs_err::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let (first, second) = (options.open(file)?, options.open(file)?);
    match first.file().try_lock_shared() {
        Ok(()) => {}
        // This process is kept out.
        Err(TryLockError::WouldBlock) => return Ok(Locks::Work),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    match second.file().try_lock() {
        Err(TryLockError::WouldBlock) => Ok(Locks::Work),
        Ok(()) => Ok(Locks::KeepNobodyOut),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Is that the name of a file with which something was tried? One that stays was left by a kill.
pub fn is_probe(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
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
        let name = probe(folder.path()).unwrap().path().file_name().unwrap().to_owned();
        assert!(is_probe(name.to_str().unwrap()) && !is_probe(".mp-doctor-notes.txt"));
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
