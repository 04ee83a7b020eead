//! A log file that stays below a size: whole records go in, old files become `.1`, `.2` and so on.
//!
//! Several processes may log to the same folder at once. Each writes a file of its own, for two
//! writers would rotate each other's files away: the first gets `pipeline.log`, any other
//! `pipeline.<pid>.log`, told apart by the kernel's lock on the file. Files of further processes
//! that are gone are kept like backups: the newest few.
//!
//! A log is never worth a failure. What cannot be written is said once, through `warn`, and the
//! program goes on; a file that was moved or deleted is made anew. Does not know what a record
//! says.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fs_err as fs;

use super::log_file::{LogFile, OpenError, lock_of_the_dead};
use super::names::{Names, backup};

/// How large a log may grow and how many old ones stay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A file is rotated before a record that would make it larger than this.
    pub max_file_bytes: u64,
    /// How many backups stay; with none a full file is emptied.
    pub backup_count: u32,
}

/// Says that the log cannot be written.
pub(super) type Warn = Box<dyn Fn(&str) + Send>;

/// The log of this process.
pub(super) struct RotatingWriter {
    state: Mutex<State>,
}

struct State {
    names: Names,
    pid: u32,
    limits: Limits,
    warn: Warn,
    warned: bool,
    log: Option<LogFile>,
}

impl RotatingWriter {
    /// The log at `path`, or beside it when another process writes that one.
    pub fn open(path: &Path, limits: Limits, pid: u32, warn: Warn) -> RotatingWriter {
        let names = Names::of(path);
        let mut state = State { names, pid, limits, warn, warned: false, log: None };
        state.open();
        state.remove_logs_of_the_dead();
        RotatingWriter { state: Mutex::new(state) }
    }

    /// The file that is written now.
    pub fn path(&self) -> Option<PathBuf> {
        self.lock().log.as_ref().map(|log| log.path().to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, record: &[u8]) {
        let bytes = match self.log.as_ref().map(LogFile::bytes) {
            Some(Some(bytes)) => bytes,
            // Not open yet, or moved, or deleted.
            _ => {
                self.log = None;
                self.open();
                self.log.as_ref().and_then(LogFile::bytes).unwrap_or(0)
            }
        };
        if bytes > 0 && bytes.saturating_add(record.len() as u64) > self.limits.max_file_bytes {
            self.rotate();
        }
        let written = self.log.as_mut().map_or(Ok(()), |log| log.append(record));
        self.note(written);
    }

    fn open(&mut self) {
        let mut result = Err(io::Error::other("all its names are taken"));
        for path in self.names.candidates(self.pid) {
            match LogFile::open(&path) {
                Ok(log) => result = Ok(log),
                Err(OpenError::Taken) => continue,
                Err(OpenError::Io(error)) => result = Err(error),
            }
            break;
        }
        match result {
            Ok(log) => self.log = Some(log),
            Err(error) => self.note(Err(error)),
        }
    }

    /// Makes room. Where that fails the old file grows: better a large log than none.
    fn rotate(&mut self) {
        let Some(mut log) = self.log.take() else { return };
        let moved = if self.limits.backup_count == 0 {
            log.truncate()
        } else {
            self.move_backups(log.path())
        };
        match (moved, self.limits.backup_count) {
            (Ok(()), 1..) => {
                drop(log);
                self.open();
            }
            (moved, _) => {
                self.log = Some(log);
                self.note(moved);
            }
        }
    }

    fn move_backups(&self, path: &Path) -> io::Result<()> {
        let oldest = self.limits.backup_count;
        // The count may have been higher in an earlier run.
        let mut number = oldest;
        while fs::remove_file(backup(path, number)).is_ok() {
            number += 1;
        }
        for number in (1..oldest).rev() {
            missing_is_fine(fs::rename(backup(path, number), backup(path, number + 1)))?;
        }
        missing_is_fine(fs::rename(path, backup(path, 1)))
    }

    fn note(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        if !std::mem::replace(&mut self.warned, true) {
            let folder = self.names.folder().display();
            (self.warn)(&format!("cannot write the log in `{folder}`, going on without: {error}"));
        }
    }

    /// Removes the oldest logs of further processes that are gone, beyond the number of backups.
    fn remove_logs_of_the_dead(&self) {
        let mut dead: Vec<(SystemTime, String)> = Vec::new();
        for name in self.further_logs() {
            let path = self.names.folder().join(&name);
            let modified = fs::metadata(&path).and_then(|facts| facts.modified());
            if let (Ok(modified), Some(_)) = (modified, lock_of_the_dead(&path)) {
                dead.push((modified, name));
            }
        }
        dead.sort_unstable();
        let excess = dead.len().saturating_sub(self.limits.backup_count as usize);
        for (_, name) in &dead[..excess] {
            let path = self.names.folder().join(name);
            let Some(_lock) = lock_of_the_dead(&path) else { continue };
            let mut number = 1;
            while fs::remove_file(backup(&path, number)).is_ok() {
                number += 1;
            }
            // Whoever cannot remove it now will try again in the next run.
            let _ = fs::remove_file(&path);
        }
    }

    fn further_logs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.names.folder()) else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| self.names.further_process(name).as_ref() == Some(name))
            .collect()
    }
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes one record at a time, whole, and never fails. For an `Arc` of it this makes a
/// `MakeWriter` of `tracing`.
impl io::Write for &RotatingWriter {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.lock().write(record);
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
