//! Who holds a lock: what its file says, and what can be known of whether that is still so.
//!
//! On this machine the process is there or not. Of another machine nobody can know more than that the
//! holder touched the file lately: it does so every [`BEAT`], and whoever waits looks on. Nothing here
//! decides who has the lock; that is the kernel's to say.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use serde::{Deserialize, Serialize};

use super::clock::{self, Moment};

/// How often a holder gives a sign of life.
pub(super) const BEAT: Duration = Duration::from_secs(10);
/// A holder that missed so many is silent.
const MISSED: u32 = 3;

/// Who holds a lock, as far as its file tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub host: String,
    /// RFC 3339.
    pub since: String,
    /// How often it touches the file, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat_ms: Option<u64>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on host `{}` since {}", self.pid, self.host, self.since)
    }
}

/// What is known of a holder beyond its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Nothing, or what goes without saying.
    Unknown,
    /// No process of that number is seen on this machine.
    NotSeen,
    /// It touched the file while we looked on.
    Beats,
    /// It touched the file then, by the clock of the file system, and we have not looked on for long.
    LastBeat(SystemTime),
    /// It did not touch the file for that long, several times longer than it does while it lives.
    Silent { watched: Duration },
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Life::Unknown => Ok(()),
            Life::NotSeen => f.write_str(
                ", which is not seen here: it is in another container, or gone and the lock with a process \
                 that it started",
            ),
            Life::Beats => f.write_str(", which is alive"),
            Life::LastBeat(time) => {
                write!(f, ", whose last sign of life is of {}", Moment::of(*time).text())
            }
            Life::Silent { watched } => write!(
                f,
                ", which has given no sign of life for {:.1}s: its machine may be gone",
                watched.as_secs_f64()
            ),
        }
    }
}

/// Looks on while a lock is held.
pub(super) struct Watch {
    path: PathBuf,
    host: String,
    began: Instant,
    first: Option<SystemTime>,
    beats: bool,
}

impl Watch {
    pub(super) fn of(path: &Path) -> Watch {
        let (path, host) = (path.to_owned(), clock::host());
        Watch { path, host, began: Instant::now(), first: None, beats: false }
    }

    /// What can be said of a holder now.
    pub(super) fn look(&mut self, holder: &Holder) -> Life {
        if holder.host == self.host {
            let here = Path::new("/proc").join(holder.pid.to_string()).exists();
            return if here { Life::Unknown } else { Life::NotSeen };
        }
        let Some(beat) = holder.beat_ms.map(Duration::from_millis) else { return Life::Unknown };
        let Some(touched) = touched(&self.path) else { return Life::Unknown };
        let first = *self.first.get_or_insert(touched);
        self.beats |= touched != first;
        let watched = self.began.elapsed();
        if self.beats {
            Life::Beats
        } else if watched >= beat.saturating_mul(MISSED) {
            Life::Silent { watched }
        } else {
            Life::LastBeat(touched)
        }
    }
}

/// When a file was touched last. Opened anew: a network file system may keep an old answer until then.
fn touched(path: &Path) -> Option<SystemTime> {
    fs_err::File::open(path).ok()?.metadata().ok()?.modified().ok()
}

/// Touches the file of a held lock until it is dropped.
#[derive(Debug)]
pub(super) struct Heart {
    beating: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    pub(super) fn start(file: &fs_err::File, beat: Duration) -> io::Result<Heart> {
        let file = file.file().try_clone()?;
        let (beating, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("lock".to_owned()).spawn(move || {
            while ended.recv_timeout(beat) == Err(RecvTimeoutError::Timeout) {
                let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
                let now =
                    Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
                // A sign that is not given harms nobody.
                let _ = rustix::fs::futimens(&file, &now);
            }
        })?;
        Ok(Heart { beating: Some(beating), thread: Some(thread) })
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.beating = None;
        if let Some(thread) = self.thread.take() {
            // It cannot panic; and if it did, the lock would be given back all the same.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, host: &str, beat_ms: Option<u64>) -> Holder {
        let (host, since) = (host.to_owned(), "2026-11-23T10:00:00Z".to_owned());
        Holder { pid, host, since, beat_ms }
    }

    #[test]
    fn of_a_holder_on_this_machine_it_is_known_whether_it_is_there() {
        let mut watch = Watch::of(Path::new("/no/such/file"));
        let here = clock::host();
        assert_eq!(watch.look(&holder(std::process::id(), &here, Some(1))), Life::Unknown);
        // Greater than any process number of the kernel.
        assert_eq!(watch.look(&holder(4_194_999, &here, Some(1))), Life::NotSeen);
    }

    #[test]
    fn of_a_holder_that_gives_no_signs_nothing_is_known() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watch = Watch::of(file.path());
        assert_eq!(watch.look(&holder(1, "elsewhere", None)), Life::Unknown);
    }

    #[test]
    fn whoever_does_not_wait_hears_when_the_last_sign_was() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watch = Watch::of(file.path());
        let life = watch.look(&holder(1, "elsewhere", Some(10_000)));
        assert!(matches!(life, Life::LastBeat(_)), "{life:?}");
        assert!(life.to_string().starts_with(", whose last sign of life is of 20"), "{life}");
    }
}
