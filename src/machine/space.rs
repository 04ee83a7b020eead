//! The room that a file system has left. Does not know what it is for.

use std::io;
use std::path::Path;

/// What is left on the file system of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// For this user.
    pub free_bytes: u64,
    /// So many files can still be made; `None` where the file system does not count them.
    pub free_files: Option<u64>,
    /// It is mounted without the right to write.
    pub read_only: bool,
}

impl Space {
    /// Asks the file system of a folder that exists.
    pub fn of(folder: &Path) -> io::Result<Space> {
        let facts = rustix::fs::statvfs(folder)?;
        Ok(Space {
            free_bytes: facts.f_bavail.saturating_mul(facts.f_frsize),
            free_files: (facts.f_files > 0).then_some(facts.f_favail),
            read_only: facts.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_space_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::of(folder.path()).unwrap();
        assert!(space.free_bytes > 0 && !space.read_only);
        assert!(Space::of(&folder.path().join("missing")).is_err());
    }
}
