//! The lock of a task: held while it runs, by one process and thread at a time.
//!
//! It is the kernel's, so a killed process leaves nothing to unlock. The file stays; what is written
//! in it only says who holds it now. Does not know what is done under it.

use std::fmt;
use std::fs::TryLockError;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::atomic::{self, Owner};
use super::clock::{self, Moment};
use super::error::StoreError;
use crate::exit_code::ExitCode;

const POLL: Duration = Duration::from_millis(50);
/// A holder has signed by then, or never will.
const SIGNED_WITHIN: Duration = Duration::from_secs(1);

/// Who holds a lock, as far as its file tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub host: String,
    /// RFC 3339.
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on host `{}` since {}", self.pid, self.host, self.since)
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else had it for the whole time that we waited.
    #[error("`{}` is locked by {}", path.display(), holder_text(holder.as_ref()))]
    Held { path: PathBuf, holder: Option<Holder> },
    /// The run is to stop.
    #[error("stopped while waiting for `{}`", path.display())]
    Cancelled { path: PathBuf },
    /// The lock file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn holder_text(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "a process that has not said who it is".to_owned(), Holder::to_string)
}

impl LockError {
    /// How a command ends for this.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            LockError::Held { .. } => ExitCode::Temporary,
            LockError::Cancelled { .. } => ExitCode::Interrupted,
            LockError::Store(error) => error.exit_code(),
        }
    }
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> LockError {
        LockError::Store(error.into())
    }
}

/// A held lock; given back on drop.
#[derive(Debug)]
pub struct Lock {
    /// Closing it gives the lock back.
    _file: fs_err::File,
    path: PathBuf,
    owner: Owner,
}

impl Lock {
    /// Takes a lock, waiting for it as long as `timeout`. `on_wait` hears once who holds it.
    pub fn acquire(
        path: &Path,
        timeout: Duration,
        cancel: &AtomicBool,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Lock, LockError> {
        fs_err::create_dir_all(atomic::parent(path)?)?;
        let mut options = fs_err::OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let began = Instant::now();
        let mut told = false;
        loop {
            match file.file().try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            let holder = read_holder(&mut file);
            // A holder has the lock a moment before it has signed.
            if !told && (holder.is_some() || began.elapsed() > POLL) {
                on_wait(&holder_text(holder.as_ref()));
                told = true;
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(LockError::Cancelled { path: path.to_owned() });
            }
            // Whoever cannot wait still wants to know for whom.
            let patience = if holder.is_some() { timeout } else { timeout.max(SIGNED_WITHIN) };
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(LockError::Held { path: path.to_owned(), holder });
            }
            thread::sleep(left.min(POLL));
        }
        sign(&mut file)?;
        let owner = Owner::of(fs_err::canonicalize(path)?.as_os_str().as_encoded_bytes());
        Ok(Lock { _file: file, path: path.to_owned(), owner })
    }

    /// Who holds a lock just now, in the words of whoever would not wait for it. Waits for nobody and
    /// keeps others out for no more than a moment.
    pub fn held(path: &Path) -> Option<LockError> {
        let mut file = fs_err::File::open(path).ok()?;
        match file.file().try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                Some(LockError::Held { path: path.to_owned(), holder })
            }
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    /// The file that is locked.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose temporary files are made under this lock.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }
}

fn read_holder(file: &mut fs_err::File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn sign(file: &mut fs_err::File) -> io::Result<()> {
    let holder =
        Holder { pid: std::process::id(), host: clock::host(), since: Moment::now().text() };
    let text = serde_json::to_string(&holder)? + "\n";
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(path: &Path, timeout_ms: u64) -> Result<Lock, LockError> {
        let timeout = Duration::from_millis(timeout_ms);
        Lock::acquire(path, timeout, &AtomicBool::new(false), &mut |_| {})
    }

    #[test]
    fn a_held_lock_says_who_and_since_when() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/task.lock");
        let held = take(&path, 0).unwrap();
        let mut heard = Vec::new();
        let error = Lock::acquire(
            &path,
            Duration::from_millis(120),
            &AtomicBool::new(false),
            &mut |text| heard.push(text.to_owned()),
        );
        let error = error.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Temporary);
        let pid = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&pid), "{error}");
        assert!(error.to_string().contains(" since 20"), "{error}");
        assert!(heard.len() == 1 && heard[0].contains(&pid));
        assert_eq!(Lock::held(&path).unwrap().to_string(), error.to_string());
        drop(held);
        assert!(Lock::held(&path).is_none() && Lock::held(folder.path()).is_none());
        take(&path, 0).unwrap();
        assert!(path.exists(), "the file is never deleted");
    }

    #[test]
    fn waiting_ends_when_the_lock_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.lock");
        let held = take(&path, 0).unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| take(&path, 10_000).map(drop));
            thread::sleep(Duration::from_millis(60));
            drop(held);
            waits.join().unwrap().unwrap();
        });
    }

    #[test]
    fn waiting_ends_when_the_run_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.lock");
        let _held = take(&path, 0).unwrap();
        let wait = Duration::from_secs(60);
        let error = Lock::acquire(&path, wait, &AtomicBool::new(true), &mut |_| {}).unwrap_err();
        assert!(matches!(error, LockError::Cancelled { .. }));
    }

    #[test]
    fn a_holder_that_cannot_be_read_is_no_reason_to_fail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.lock");
        let _held = take(&path, 0).unwrap();
        fs_err::write(&path, "{torn").unwrap();
        let error = take(&path, 0).unwrap_err();
        assert!(error.to_string().contains("has not said who it is"), "{error}");
    }
}
