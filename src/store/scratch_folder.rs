//! A folder for results that are computed once more: gone when it is dropped, found when a kill left it.
//!
//! Its lock says that somebody is at work in it. Does not know what is computed.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::clock::Moment;
use super::keep::is_old;
use super::layout::Layout;
use super::lock::{Lock, LockError};
use super::parsed::list;

/// A lock is made at once after its folder.
const UNLOCKED_GRACE: Duration = Duration::from_secs(60);
const PREFIX: &str = "mp-rebuild-";

/// A folder of its own for one computation.
#[derive(Debug)]
pub struct ScratchFolder {
    path: PathBuf,
    /// The folder around it goes too, if nobody else uses it.
    is_own_base: bool,
    _lock: Lock,
}

impl ScratchFolder {
    /// Where [`ScratchFolder::make`] makes one.
    pub fn place(base: &Path, run_id: &str) -> PathBuf {
        base.join(format!("{PREFIX}{run_id}"))
    }

    /// Makes one below `base`, and removes those there that killed processes left. With `is_own_base`
    /// `base` itself goes once it is empty; else it is the user's.
    pub fn make(base: &Path, run_id: &str, is_own_base: bool) -> Result<ScratchFolder, LockError> {
        for path in list(base)? {
            if is_left(&path) {
                fs_err::remove_dir_all(&path)?;
            }
        }
        let path = ScratchFolder::place(base, run_id);
        let lock = Layout::scratch_lock(&path);
        let lock = Lock::acquire(&lock, Duration::ZERO, &AtomicBool::new(false), &mut |_| {})?;
        Ok(ScratchFolder { path, is_own_base, _lock: lock })
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What stays is found by `mp gc` and by the next one.
        let _ = fs_err::remove_dir_all(&self.path);
        if self.is_own_base
            && let Some(base) = self.path.parent()
        {
            // Goes only if it is empty.
            let _ = fs_err::remove_dir(base);
        }
    }
}

/// Is that a scratch folder in which nobody works any more? One without a lock is just being made, or its
/// maker was killed before it had one.
pub(super) fn is_left(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let lock = Layout::scratch_lock(path);
    let is_deserted = || match lock.is_file() {
        true => Lock::held(&lock).is_none(),
        false => is_old(path, Moment::now().system_time(), UNLOCKED_GRACE),
    };
    name.starts_with(PREFIX) && is_deserted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_goes_and_one_that_was_left_goes_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("rebuild");
        let theirs = base.join("theirs");
        fs_err::create_dir_all(&theirs).unwrap();
        let left = base.join("mp-rebuild-1");
        fs_err::create_dir_all(&left).unwrap();
        fs_err::write(Layout::scratch_lock(&left), "").unwrap();
        let unlocked = ["mp-rebuild-old", "mp-rebuild-new"].map(|name| base.join(name));
        unlocked.iter().for_each(|path| fs_err::create_dir(path).unwrap());
        let then = std::time::SystemTime::now() - 2 * UNLOCKED_GRACE;
        std::fs::File::open(&unlocked[0]).unwrap().set_modified(then).unwrap();
        let first = ScratchFolder::make(&base, "2", true).unwrap();
        assert!(!unlocked[0].exists() && unlocked[1].exists());
        fs_err::remove_dir(&unlocked[1]).unwrap();
        assert!(first.path.is_dir() && theirs.is_dir() && !left.exists());
        let second = ScratchFolder::make(&base, "3", true).unwrap();
        assert!(first.path.is_dir() && !is_left(&first.path));
        drop((first, second));
        assert_eq!(list(&base).unwrap(), [theirs]);
    }
}
