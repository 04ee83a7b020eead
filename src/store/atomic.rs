//! Whole files or none: write beside, sync, rename, sync the folder.
//!
//! Knows temporary names and nothing of what the files mean.

use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault;

/// The mode of the store's own JSON files.
const MODE_USUAL: u32 = 0o644;

/// Whose a temporary file is: what a killed run leaves is found by it when its lock is taken again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// The owner named by some text, such as the path of a lock.
    pub fn of(text: &[u8]) -> Owner {
        Owner(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text)))
    }

    /// A temporary name that no other process or thread uses now.
    fn name(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!(".{}-{}-{count}.tmp", self.0, process::id())
    }

    /// Did this owner make a temporary file of that name?
    pub(super) fn made(&self, name: &str) -> bool {
        name.starts_with(&format!(".{}-", self.0)) && name.ends_with(".tmp")
    }

    /// The process that made a temporary file of that name, if the name is one of ours.
    pub(super) fn pid_in(name: &str) -> Option<u32> {
        let mut parts = name.strip_prefix('.')?.strip_suffix(".tmp")?.split('-');
        let owner = parts.next()?;
        let pid = parts.next()?.parse().ok()?;
        let is_count = parts.next()?.parse::<u64>().is_ok() && parts.next().is_none();
        let is_owner = owner.len() == 16 && owner.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_owner && is_count).then_some(pid)
    }

    /// A new temporary file in a folder, which is made if need be; readable by its owner alone.
    pub(super) fn create(&self, folder: &Path) -> io::Result<(fs_err::File, PathBuf)> {
        fs_err::create_dir_all(folder)?;
        let path = folder.join(self.name());
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        options.options_mut().mode(0o600);
        fault::point("temporary.create")?;
        Ok((options.open(&path)?, path))
    }

    /// A temporary name in a folder, for a link or a copy to appear under.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(self.name())
    }

    /// Is there a temporary file of any owner in a folder?
    pub(super) fn any_left(folder: &Path) -> io::Result<bool> {
        let Some(entries) = entries(folder)? else { return Ok(false) };
        for entry in entries {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".tmp")) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes what this owner left in a folder; the caller holds its lock.
    pub(super) fn sweep(&self, folder: &Path) -> io::Result<()> {
        let Some(entries) = entries(folder)? else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| self.made(name)) {
                remove_if_there(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// What is in a folder; `None` where there is no folder: whoever wants to write there will say so.
fn entries(folder: &Path) -> io::Result<Option<fs_err::ReadDir>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs_err::read_dir(folder) {
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        entries => entries.map(Some),
    }
}

/// A temporary path that is removed on drop.
#[derive(Debug)]
pub(super) struct TemporaryPath(PathBuf);

impl TemporaryPath {
    pub(super) const fn new(path: PathBuf) -> TemporaryPath {
        TemporaryPath(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// It was renamed: there is nothing under this name any more.
    fn renamed(mut self) {
        self.0.clear();
    }
}

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // Nothing to tell it to; if it stays, the next taker of the lock removes it.
            let _ = remove_if_there(&self.0);
        }
    }
}

/// A whole and durable file that has all but its name.
#[derive(Debug)]
pub(super) struct Written<'p> {
    temporary: TemporaryPath,
    path: &'p Path,
}

impl<'p> Written<'p> {
    /// Writes it; `tmp` is on the same file system. All that takes room happens here.
    pub(super) fn new(
        path: &'p Path,
        bytes: &[u8],
        owner: &Owner,
        tmp: &Path,
    ) -> io::Result<Written<'p>> {
        fs_err::create_dir_all(parent(path)?)?;
        let (mut file, temporary) = owner.create(tmp)?;
        let temporary = TemporaryPath::new(temporary);
        fault::point("write.bytes")?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(MODE_USUAL))?;
        fault::point("write.sync")?;
        file.sync_all()?;
        Ok(Written { temporary, path })
    }

    /// Makes it visible in place of what was there. The name is durable once its folder is synced.
    pub(super) fn appear(self) -> io::Result<()> {
        fault::point("write.rename")?;
        fs_err::rename(self.temporary.path(), self.path)?;
        self.temporary.renamed();
        Ok(())
    }
}

/// Writes a whole file under its name, or leaves what was there. `tmp` is on the same file system.
pub(super) fn write(path: &Path, bytes: &[u8], owner: &Owner, tmp: &Path) -> io::Result<()> {
    Written::new(path, bytes, owner, tmp)?.appear()?;
    sync_dir(parent(path)?)
}

/// Writes a whole file under its name and keeps it locked: it is never seen without the lock. Not made
/// durable.
pub(super) fn write_held(
    path: &Path,
    bytes: &[u8],
    owner: &Owner,
    tmp: &Path,
) -> io::Result<fs_err::File> {
    let (mut file, temporary) = owner.create(tmp)?;
    let written = (|| {
        fault::point("write.bytes")?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(MODE_USUAL))?;
        file.file().lock()?;
        fault::point("write.rename")?;
        fs_err::rename(&temporary, path)
    })();
    if written.is_err() {
        // The write's own error says more than that of the clean-up.
        let _ = remove_if_there(&temporary);
    }
    written.map(|()| file)
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(folder: &Path) -> io::Result<()> {
    fault::point("folder.sync")?;
    fs_err::File::open(folder)?.sync_all()
}

/// The folder of a file.
pub(super) fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| {
        let text = format!("`{}` is in no folder", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Removes a file; that there is none is fine. True if there was one.
pub(super) fn remove_if_there(path: &Path) -> io::Result<bool> {
    fault::point("remove")?;
    match fs_err::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Reads a file; `None` if there is none.
pub(super) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
