//! What is really in files: hashed from their first byte to their last, several at a time.
//!
//! Asks no memo: it is there to find what no time stamp shows. A file with several names is read once.
//! Does not know what should be in a file.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::digest::{Digest, Hashing};

const READ_BUFFER_BYTES: usize = 1 << 20;

/// What a name turned out to stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Missing,
    /// A folder, a pipe, a device.
    NotAFile,
    /// The right to read it is missing; the mode tells why.
    Forbidden {
        error: String,
    },
    /// The file system failed.
    Unreadable {
        error: String,
    },
    File(FileSeen),
}

/// A file and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileSeen {
    pub sha256: Digest,
    pub bytes: u64,
    pub mode: u32,
}

impl Seen {
    /// Is it a file with that content?
    pub fn is(&self, digest: &Digest) -> bool {
        matches!(self, Seen::File(file) if file.sha256 == *digest)
    }

    fn of_error(error: &io::Error) -> Seen {
        use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        match error.kind() {
            NotFound | NotADirectory => Seen::Missing,
            PermissionDenied => Seen::Forbidden { error: error.to_string() },
            _ => Seen::Unreadable { error: error.to_string() },
        }
    }
}

/// Hears how many bytes are done and how many there are.
pub type OnBytes<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The work was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// Looks into one file.
pub(super) fn look(path: &Path) -> Seen {
    read(path, &AtomicBool::new(false), &|_| {}).unwrap_or(Seen::Missing)
}

/// Looks into all of them, the largest first, so many at a time; gives the bytes that were hashed too.
pub(super) fn look_at_all(
    paths: impl IntoIterator<Item = PathBuf>,
    threads: usize,
    cancel: &AtomicBool,
    on_bytes: OnBytes<'_>,
) -> Result<(BTreeMap<PathBuf, Seen>, u64), Stopped> {
    let mut seen = BTreeMap::new();
    // By device and inode: a file that is linked under several names is one file.
    let mut files = BTreeMap::<(u64, u64), (u64, Vec<PathBuf>)>::new();
    for path in paths {
        match fs_err::metadata(&path) {
            Err(error) => {
                seen.insert(path, Seen::of_error(&error));
            }
            Ok(facts) if !facts.is_file() => {
                seen.insert(path, Seen::NotAFile);
            }
            Ok(facts) => {
                let file = files.entry((facts.dev(), facts.ino())).or_default();
                file.0 = facts.len();
                file.1.push(path);
            }
        }
    }
    let mut files: Vec<(u64, Vec<PathBuf>)> = files.into_values().collect();
    files.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
    let total: u64 = files.iter().map(|(bytes, _)| bytes).sum();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let found = Mutex::new(seen);
    let work = || {
        while let Some((_, names)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(first) = names.first() else { continue };
            let on_read = |bytes: u64| {
                let done = done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
                on_bytes(done.min(total), total);
            };
            let Some(seen) = read(first, cancel, &on_read) else { return };
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.extend(names.iter().map(|name| (name.clone(), seen.clone())));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, files.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    if cancel.load(Ordering::Relaxed) {
        return Err(Stopped);
    }
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((found, total))
}

/// Reads a file to its end; `None` if it is to stop.
fn read(path: &Path, cancel: &AtomicBool, on_read: &dyn Fn(u64)) -> Option<Seen> {
    match fs_err::metadata(path) {
        Err(error) => return Some(Seen::of_error(&error)),
        // Opening a pipe would wait for whoever writes to it.
        Ok(facts) if !facts.is_file() => return Some(Seen::NotAFile),
        Ok(_) => {}
    }
    let mut hashing = Hashing::default();
    let hashed = (|| {
        let mut file = fs_err::File::open(path)?;
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Some(file.metadata()?.mode() & 0o7777)),
                Ok(n) => {
                    hashing.update(&buffer[..n]);
                    on_read(n as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })();
    let mode = match hashed {
        Err(error) => return Some(Seen::of_error(&error)),
        Ok(mode) => mode?,
    };
    let (sha256, bytes) = (hashing.finish(), hashing.bytes());
    Some(Seen::File(FileSeen { sha256, bytes, mode }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_under_a_name_is_told_and_a_file_with_two_names_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs_err::write(at("file"), vec![7; 3 << 20]).unwrap();
        fs_err::hard_link(at("file"), at("link")).unwrap();
        fs_err::create_dir(at("folder")).unwrap();
        let most = AtomicU64::new(0);
        let on_bytes = |done, total| {
            assert_eq!(total, 3 << 20);
            most.fetch_max(done, Ordering::Relaxed);
        };
        let names = ["file", "link", "folder", "gone"].map(at);
        let (seen, bytes) = look_at_all(names, 2, &AtomicBool::new(false), &on_bytes).unwrap();
        assert_eq!(bytes, 3 << 20);
        assert_eq!(most.into_inner(), 3 << 20);
        assert!(seen[&at("file")].is(&Digest::of_bytes(&vec![7; 3 << 20])));
        assert_eq!(seen[&at("file")], seen[&at("link")]);
        assert_eq!((&seen[&at("folder")], &seen[&at("gone")]), (&Seen::NotAFile, &Seen::Missing));
    }

    #[test]
    fn looking_stops_when_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "text").unwrap();
        let stopped = look_at_all([path], 2, &AtomicBool::new(true), &|_, _| {});
        assert_eq!(stopped, Err(Stopped));
    }
}
