//! The lock of a task: held while it runs, by one process and thread at a time.
//!
//! It is the kernel's, so a killed process leaves nothing to unlock. The file stays; what is written
//! in it only says who holds it now, and decides nothing. A holder touches it from time to time, so that
//! others can tell it from one whose machine is gone. Does not know what is done under it.

use std::fs::TryLockError;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::atomic::{self, Owner};
use super::clock::{self, Moment};
use super::error::StoreError;
use super::holder::{BEAT, Heart, Holder, Life, Watch};
use crate::exit_code::ExitCode;
use crate::fault;

const POLL: Duration = Duration::from_millis(50);
/// So soon somebody asks again who would rather not wait.
const MOMENT: Duration = Duration::from_millis(5);
/// A holder has signed by then, or never will.
const SIGNED_WITHIN: Duration = Duration::from_secs(1);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else had it for the whole time that we waited.
    #[error("`{}` is locked by {}", path.display(), holder_text(holder.as_ref(), *life))]
    Held { path: PathBuf, holder: Option<Holder>, life: Life },
    /// The run is to stop.
    #[error("stopped while waiting for `{}`", path.display())]
    Cancelled { path: PathBuf },
    /// The lock file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn holder_text(holder: Option<&Holder>, life: Life) -> String {
    match holder {
        None => "a process that has not said who it is".to_owned(),
        Some(holder) => format!("{holder}{life}"),
    }
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

    /// What to do next, where that is clear.
    pub fn hint(&self) -> Option<String> {
        match self {
            LockError::Held { path, holder: Some(holder), life: Life::Silent { .. } } => {
                Some(format!(
                    "a file server frees the locks of a machine that is gone after a while; if `{}` is gone \
                     for good and this one stays, delete `{}`",
                    holder.host,
                    path.display()
                ))
            }
            LockError::Held { .. } => {
                Some("wait for it to end, or wait longer with `--lock-timeout`".to_owned())
            }
            LockError::Cancelled { .. } => None,
            LockError::Store(error) => error.hint(),
        }
    }
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> LockError {
        LockError::Store(error.into())
    }
}

/// What came of asking the kernel for a lock: `false` if somebody else has it.
pub(super) fn granted(path: &Path, asked: Result<(), TryLockError>) -> Result<bool, StoreError> {
    match asked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(StoreError::of_lock(path, error)),
    }
}

/// A held lock; given back on drop.
#[derive(Debug)]
pub struct Lock {
    /// Closing it gives the lock back.
    file: fs_err::File,
    /// Ends before the file is closed.
    heart: Option<Heart>,
    path: PathBuf,
    owner: Owner,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.heart = None;
        // What is written there now would name a holder that is none; nobody minds if it stays.
        let _ = self.file.file().set_len(0);
    }
}

impl Lock {
    /// Takes a lock, waiting for it as long as `timeout`. `on_wait` hears once who holds it.
    pub fn acquire(
        path: &Path,
        timeout: Duration,
        cancel: &AtomicBool,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<Lock, LockError> {
        Lock::acquire_with(path, timeout, cancel, on_wait, BEAT)
    }

    fn acquire_with(
        path: &Path,
        timeout: Duration,
        cancel: &AtomicBool,
        on_wait: &mut dyn FnMut(&str),
        beat: Duration,
    ) -> Result<Lock, LockError> {
        fs_err::create_dir_all(atomic::parent(path)?)?;
        let mut options = fs_err::OpenOptions::new();
        fault::point("lock.open")?;
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let began = Instant::now();
        let mut watch = Watch::of(path);
        let mut told = false;
        while !granted(path, file.file().try_lock())? {
            let holder = read_holder(&mut file);
            let life = holder.as_ref().map_or(Life::Unknown, |holder| watch.look(holder));
            // A holder has the lock a moment before it has signed.
            if !told && (holder.is_some() || began.elapsed() > POLL) {
                on_wait(&holder_text(holder.as_ref(), life));
                told = true;
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(LockError::Cancelled { path: path.to_owned() });
            }
            // Whoever cannot wait still wants to know for whom.
            let patience = if holder.is_some() { timeout } else { timeout.max(SIGNED_WITHIN) };
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(LockError::Held { path: path.to_owned(), holder, life });
            }
            thread::sleep(left.min(POLL));
        }
        fault::point("lock.sign")?;
        sign(&mut file, Some(beat))?;
        // Without it others only know less.
        let heart = Heart::start(&file, beat).ok();
        fault::point("lock.taken")?;
        let owner = Owner::of(fs_err::canonicalize(path)?.as_os_str().as_encoded_bytes());
        Ok(Lock { file, heart, path: path.to_owned(), owner })
    }

    /// Keeps others from taking a lock that exists, without writing anything; for who shares it. `on_wait`
    /// hears once who holds it, if that takes more than a moment.
    pub(super) fn keep_others_out(
        path: &Path,
        timeout: Duration,
        cancel: &AtomicBool,
        on_wait: &mut dyn FnMut(&str),
    ) -> Result<KeptOut, LockError> {
        let file = fs_err::File::open(path)?;
        let began = Instant::now();
        let mut told = false;
        loop {
            if granted(path, file.file().try_lock_shared())? {
                return Ok(KeptOut { _file: file });
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(LockError::Cancelled { path: path.to_owned() });
            }
            let left = timeout.saturating_sub(began.elapsed());
            if let Some(held) = Lock::held(path) {
                if left.is_zero() {
                    return Err(held);
                }
                if let LockError::Held { holder, life, .. } = &held
                    && !told
                    && began.elapsed() >= POLL
                {
                    on_wait(&holder_text(holder.as_ref(), *life));
                    told = true;
                }
            }
            thread::sleep(left.clamp(MOMENT, POLL));
        }
    }

    /// Who holds a lock just now, in the words of whoever would not wait for it. Waits for nobody and
    /// keeps others out for no more than a moment.
    pub fn held(path: &Path) -> Option<LockError> {
        let mut file = fs_err::File::open(path).ok()?;
        match file.file().try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                let mut watch = Watch::of(path);
                let life = holder.as_ref().map_or(Life::Unknown, |holder| watch.look(holder));
                Some(LockError::Held { path: path.to_owned(), holder, life })
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

/// As long as this is held, nobody takes the lock.
#[derive(Debug)]
pub(super) struct KeptOut {
    /// Closing it lets others in.
    _file: fs_err::File,
}

fn read_holder(file: &mut fs_err::File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Writes into the file of a lock who holds it, and how often it gives a sign of life.
pub(super) fn sign(file: &mut fs_err::File, beat: Option<Duration>) -> io::Result<()> {
    let holder = Holder {
        pid: std::process::id(),
        host: clock::host(),
        since: Moment::now().text(),
        beat_ms: beat.and_then(|beat| u64::try_from(beat.as_millis()).ok()),
    };
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
    fn the_file_names_nobody_once_the_lock_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.lock");
        drop(take(&path, 0).unwrap());
        assert_eq!(fs_err::read(&path).unwrap(), b"");
    }

    /// Says that the holder of a lock is on another machine.
    fn move_away(path: &Path) {
        let text = fs_err::read_to_string(path).unwrap();
        let mut holder: Holder = serde_json::from_str(&text).unwrap();
        holder.host = "elsewhere".to_owned();
        fs_err::write(path, serde_json::to_string(&holder).unwrap()).unwrap();
    }

    #[test]
    fn a_live_holder_on_another_machine_is_told_from_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.lock");
        let (never, beat) = (AtomicBool::new(false), Duration::from_millis(100));
        let mut held =
            Lock::acquire_with(&path, Duration::ZERO, &never, &mut |_| {}, beat).unwrap();
        move_away(&path);
        let error = take(&path, 1_000).unwrap_err();
        assert!(matches!(error, LockError::Held { life: Life::Beats, .. }), "{error}");
        assert!(error.to_string().contains("host `elsewhere`") && error.hint().is_some());
        held.heart = None;
        let error = take(&path, 1_000).unwrap_err();
        assert!(matches!(error, LockError::Held { life: Life::Silent { .. }, .. }), "{error}");
        assert!(error.to_string().contains("no sign of life for "), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("`elsewhere`") && hint.contains("task.lock"), "{hint}");
        drop(held);
        take(&path, 0).unwrap();
    }

    #[test]
    fn a_file_system_that_refuses_locks_is_named_as_one() {
        for errno in [rustix::io::Errno::NOLCK, rustix::io::Errno::OPNOTSUPP] {
            let asked = Err(TryLockError::Error(errno.into()));
            let error = granted(Path::new("a/task.lock"), asked).unwrap_err();
            assert!(
                error.to_string().starts_with("the file system of `a/task.lock` refuses locks: ")
            );
            assert_eq!(error.exit_code(), ExitCode::Failure);
            assert!(error.hint().unwrap().contains("local disk"));
        }
        let asked = Err(TryLockError::Error(rustix::io::Errno::IO.into()));
        assert!(matches!(granted(Path::new("x"), asked), Err(StoreError::Io(_))));
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
