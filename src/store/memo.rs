//! The memo of file facts: (path, size, mtime, ctime, inode) → sha256, so that a file that did not
//! change is not hashed again.
//!
//! Whoever copies a file may give it whatever mtime it had, so of a file of somebody else the ctime counts
//! too: nobody sets that one. What only mp writes goes without, as each link that a commit makes moves it.
//!
//! It never decides what is true: an entry counts only when the file's mtime lies at least 2 s before
//! the moment at which its hashing began; otherwise a write in the same tick of the clock could hide
//! behind it. So must the ctime, but where it shows that its ticks are short. That moment is by the file system's clock: taken by ours, and moved by the difference
//! that the memo's own file shows when it is saved. The memo may be lost or deleted at any time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::atomic::{self, Owner};
use super::clock::{self, Moment};
use super::digest::Digest;
use super::error::StoreError;
use crate::fault;

/// The version written, and the newest that can be read.
pub(super) const MEMO_VERSION: u32 = 1;
const SETTLED_NS: i64 = 2_000_000_000;
/// Longer than a tick of a file system that tells times with more digits than these.
const TICK_NS: i64 = 100_000_000;
const COARSE_NS: i64 = 1_000_000;
/// Hashing less than this again, in fewer files, costs less than writing the memo, and a run that has
/// nothing to do does not touch the disk.
const WORTH_SAVING_BYTES: u64 = 4 << 20;
/// Opening so many files takes a millisecond.
const WORTH_SAVING_FILES: usize = 64;
const ATTEMPTS: usize = 3;
/// How often, and how far apart, the lock of the memo is asked for: a tenth of a second in all.
const TRIES: usize = 20;
const POLL: Duration = Duration::from_millis(5);

/// A file as `stat` shows it, and when that was.
#[derive(Debug, Clone, Copy)]
pub struct FileStamp {
    pub bytes: u64,
    pub mtime_ns: i64,
    pub inode: u64,
    /// `None`: the file is mp's own.
    ctime_ns: Option<i64>,
    seen_ns: i64,
}

impl FileStamp {
    /// Looks at a file that only mp writes.
    pub(super) fn of_our_own(path: &Path) -> io::Result<FileStamp> {
        FileStamp::of(path).map(|stamp| FileStamp { ctime_ns: None, ..stamp })
    }

    /// Looks at a file; to be taken before it is read.
    pub fn of(path: &Path) -> io::Result<FileStamp> {
        let seen_ns = Moment::now().nanos();
        let facts = fs_err::metadata(path)?;
        if !facts.is_file() {
            let text = format!("`{}` is no file", path.display());
            return Err(io::Error::new(io::ErrorKind::IsADirectory, text));
        }
        let nanos =
            |seconds: i64, nanos| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        let mtime_ns = nanos(facts.mtime(), facts.mtime_nsec());
        let ctime_ns = Some(nanos(facts.ctime(), facts.ctime_nsec()));
        Ok(FileStamp { bytes: facts.len(), mtime_ns, inode: facts.ino(), ctime_ns, seen_ns })
    }

    /// Does `stat` show no difference?
    pub fn same_file(&self, other: &FileStamp) -> bool {
        let same = self.bytes == other.bytes
            && self.mtime_ns == other.mtime_ns
            && self.inode == other.inode;
        same && self.changed_with(other.ctime_ns)
    }

    /// Was it last changed at that time, if that is a matter at all?
    fn changed_with(&self, ctime_ns: Option<i64>) -> bool {
        self.ctime_ns.is_none() || self.ctime_ns == ctime_ns
    }

    /// Looks at the same file again.
    fn again(&self, path: &Path) -> io::Result<FileStamp> {
        if self.ctime_ns.is_some() { FileStamp::of(path) } else { FileStamp::of_our_own(path) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    mtime_ns: i64,
    inode: u64,
    /// Of a file of somebody else; earlier builds of mp did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ctime_ns: Option<i64>,
    sha256: Digest,
    /// When the hashing began.
    hashed_at_ns: i64,
}

impl Entry {
    fn is_settled(&self) -> bool {
        let before = |time_ns, margin_ns| time_ns <= self.hashed_at_ns.saturating_sub(margin_ns);
        let is_past = |ctime_ns: i64| {
            before(ctime_ns, if ctime_ns % COARSE_NS == 0 { SETTLED_NS } else { TICK_NS })
        };
        before(self.mtime_ns, SETTLED_NS) && self.ctime_ns.is_none_or(is_past)
    }

    fn is_of(&self, stamp: &FileStamp) -> bool {
        let same = self.bytes == stamp.bytes
            && self.mtime_ns == stamp.mtime_ns
            && self.inode == stamp.inode;
        same && stamp.changed_with(self.ctime_ns)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct MemoFile {
    memo_version: u32,
    files: BTreeMap<String, Entry>,
}

impl MemoFile {
    /// Whatever is wrong with it, it is as good as empty.
    fn read(path: &Path) -> MemoFile {
        let bytes = fs_err::read(path).unwrap_or_default();
        let memo = serde_json::from_slice::<MemoFile>(&bytes).unwrap_or_default();
        if memo.memo_version == MEMO_VERSION { memo } else { MemoFile::default() }
    }

    /// Is it of a newer version, which is not to be touched?
    fn is_newer(path: &Path) -> bool {
        #[derive(Deserialize)]
        struct Version {
            memo_version: u64,
        }
        let bytes = fs_err::read(path).unwrap_or_default();
        let version = serde_json::from_slice::<Version>(&bytes).ok();
        version.is_some_and(|found| found.memo_version > u64::from(MEMO_VERSION))
    }
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<String, Entry>,
    /// Learnt since the memo was loaded.
    fresh: BTreeMap<String, Entry>,
    /// Of those that are not saved yet.
    fresh_bytes: u64,
    fresh_files: usize,
    /// What was known and turned out not to be so.
    wrong: BTreeSet<String>,
    /// Folders without links: there may be thousands of files in one.
    folders: HashMap<PathBuf, PathBuf>,
}

impl State {
    /// The path with no link on the way to it; paths that are no text are never remembered. A
    /// file with several names is several files: more work, and no harm.
    fn key(&mut self, path: &Path) -> Option<String> {
        let (folder, name) = (path.parent()?, path.file_name()?);
        if !self.folders.contains_key(folder) {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            self.folders.insert(folder.to_owned(), fs_err::canonicalize(here).ok()?);
        }
        self.folders.get(folder)?.join(name).to_str().map(str::to_owned)
    }
}

/// File facts, shared by all threads of a run.
#[derive(Debug)]
pub struct Memo {
    file: PathBuf,
    state: Mutex<State>,
    /// Set when whoever waits for a digest is to stop.
    stop: Arc<AtomicBool>,
}

impl Memo {
    /// Loads the memo; a missing or damaged one is empty.
    pub fn load(file: PathBuf) -> Memo {
        let known = MemoFile::read(&file).files;
        Memo { file, state: Mutex::new(State { known, ..State::default() }), stop: Arc::default() }
    }

    /// Once this is set no file is hashed to its end.
    pub(super) fn stop(&self) -> &Arc<AtomicBool> {
        &self.stop
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the maps whole: each change is one insertion.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest of a file that only mp writes, hashed only if need be.
    pub fn digest(&self, path: &Path) -> io::Result<(Digest, FileStamp)> {
        self.digest_of(path, FileStamp::of_our_own(path)?)
    }

    /// The digest of a file that somebody has looked at a moment ago, hashed only if need be.
    pub fn digest_of(&self, path: &Path, seen: FileStamp) -> io::Result<(Digest, FileStamp)> {
        let mut stamp = seen;
        for _ in 0..ATTEMPTS {
            if let Some(digest) = self.known(path, &stamp) {
                return Ok((digest, stamp));
            }
            let (digest, bytes) = Digest::of_file(path, &self.stop)?;
            let after = stamp.again(path)?;
            // Written to or replaced while it was hashed: the digest is of something that never was.
            if bytes == stamp.bytes && stamp.same_file(&after) {
                self.remember(path, &stamp, digest);
                return Ok((digest, stamp));
            }
            stamp = after;
        }
        let text = format!("`{}` keeps changing while it is read", path.display());
        Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
    }

    /// Is there an entry of that path, whatever became of the file?
    #[cfg(test)]
    pub(super) fn knows(&self, path: &str) -> bool {
        self.state().known.contains_key(path)
    }

    /// The digest of a file if it need not be hashed.
    fn known(&self, path: &Path, stamp: &FileStamp) -> Option<Digest> {
        let mut state = self.state();
        let key = state.key(path)?;
        let entry = state.fresh.get(&key).or_else(|| state.known.get(&key))?;
        (entry.is_of(stamp) && entry.is_settled()).then_some(entry.sha256)
    }

    /// A file was hashed elsewhere; the stamp was taken before its first byte was read.
    pub fn remember(&self, path: &Path, stamp: &FileStamp, sha256: Digest) {
        let mut state = self.state();
        let Some(key) = state.key(path) else { return };
        let &FileStamp { bytes, mtime_ns, inode, ctime_ns, seen_ns: hashed_at_ns } = stamp;
        let entry = Entry { bytes, mtime_ns, inode, ctime_ns, sha256, hashed_at_ns };
        // One that can never be trusted would only take room.
        if entry.is_settled() {
            state.fresh.insert(key, entry);
            state.fresh_bytes = state.fresh_bytes.saturating_add(bytes);
            state.fresh_files += 1;
        }
    }

    /// What is known of a file is not so: somebody changed it and nothing that `stat` shows.
    pub fn forget(&self, path: &Path) {
        let mut state = self.state();
        let Some(key) = state.key(path) else { return };
        let is_known = state.known.remove(&key).is_some() | state.fresh.remove(&key).is_some();
        if is_known {
            state.wrong.insert(key);
        }
    }

    /// Writes down what was learnt, merged with what other processes wrote, if it is worth it.
    pub fn save(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let is_little =
            state.fresh_bytes < WORTH_SAVING_BYTES && state.fresh_files < WORTH_SAVING_FILES;
        if is_little && state.wrong.is_empty() {
            return Ok(());
        }
        let folder = atomic::parent(&self.file)?;
        fs_err::create_dir_all(folder)?;
        fault::point("memo.lock")?;
        let lock_path = self.file.with_extension("lock");
        let lock =
            fs_err::OpenOptions::new().create(true).truncate(true).write(true).open(&lock_path)?;
        // Whoever reads the memo next hashes a little more: no reason to wait long, or to fail.
        let has_lock = (0..TRIES).any(|_| match lock.file().try_lock() {
            Err(TryLockError::WouldBlock) => {
                thread::sleep(POLL);
                false
            }
            tried => tried.is_ok(),
        });
        if !has_lock {
            return Ok(());
        }
        // Truncating and writing the lock's file gives it the file system's time of now.
        let skew_ns = {
            let before = Moment::now().nanos();
            lock.file().set_len(1)?;
            clock::nanos(lock.metadata()?.modified()?).saturating_sub(before).min(0)
        };
        if MemoFile::is_newer(&self.file) {
            return Ok(());
        }
        let mut memo = MemoFile::read(&self.file);
        memo.memo_version = MEMO_VERSION;
        memo.files.retain(|path, _| !state.wrong.contains(path));
        for (path, entry) in &state.fresh {
            let hashed_at_ns = entry.hashed_at_ns.saturating_add(skew_ns);
            memo.files.insert(path.clone(), Entry { hashed_at_ns, ..*entry });
        }
        // Of those learnt just now only a few can be gone: they go another time.
        memo.files.retain(|path, entry| {
            entry.is_settled() && (state.fresh.contains_key(path) || Path::new(path).exists())
        });
        let json = serde_json::to_vec(&memo).map_err(io::Error::from)?;
        let owner = Owner::of(self.file.as_os_str().as_encoded_bytes());
        owner.sweep(folder)?;
        fault::point("memo.save")?;
        atomic::write(&self.file, &json, &owner, folder)?;
        (state.fresh_bytes, state.fresh_files) = (0, 0);
        state.wrong.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    fn peek(memo: &Memo, path: &Path) -> Option<Digest> {
        memo.known(path, &FileStamp::of_our_own(path).unwrap())
    }

    fn at(path: &Path, time: SystemTime) {
        let file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
        file.file().set_times(FileTimes::new().set_modified(time)).unwrap();
    }

    fn file(folder: &Path, bytes: &[u8], age_s: u64) -> PathBuf {
        let path = folder.join("file");
        fs_err::write(&path, bytes).unwrap();
        at(&path, Moment::now().system_time() - Duration::from_secs(age_s));
        path
    }

    #[test]
    fn a_file_that_settled_is_hashed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), b"one", 3);
        let memo = Memo::load(folder.path().join("memo.json"));
        assert_eq!(peek(&memo, &path), None);
        let (digest, stamp) = memo.digest(&path).unwrap();
        assert_eq!((digest, stamp.bytes), (Digest::of_bytes(b"one"), 3));
        assert_eq!(peek(&memo, &path), Some(digest));
    }

    #[test]
    fn a_file_written_just_now_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), b"one", 1);
        let memo = Memo::load(folder.path().join("memo.json"));
        memo.digest(&path).unwrap();
        assert_eq!(peek(&memo, &path), None);
        // The same size, the same inode, the same mtime: the case that the rule is for.
        let time = fs_err::metadata(&path).unwrap().modified().unwrap();
        fs_err::write(&path, b"two").unwrap();
        at(&path, time);
        assert_eq!(memo.digest(&path).unwrap().0, Digest::of_bytes(b"two"));
    }

    #[test]
    fn any_difference_in_stat_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), b"one", 10);
        let memo = Memo::load(folder.path().join("memo.json"));
        memo.digest(&path).unwrap();
        file(folder.path(), b"two", 9);
        assert_eq!(memo.digest(&path).unwrap().0, Digest::of_bytes(b"two"));
        let time = fs_err::metadata(&path).unwrap().modified().unwrap();
        let other = folder.path().join("other");
        fs_err::write(&other, b"six").unwrap();
        at(&other, time);
        fs_err::rename(&other, &path).unwrap();
        assert_eq!(memo.digest(&path).unwrap().0, Digest::of_bytes(b"six"));
    }

    #[test]
    fn the_file_of_somebody_else_is_known_by_its_ctime_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), b"one", 10);
        let memo = Memo::load(folder.path().join("memo.json"));
        // As if it had been hashed long after it was written.
        let seen = |path: &Path| {
            let stamp = FileStamp::of(path).unwrap();
            FileStamp { seen_ns: stamp.seen_ns + 10 * SETTLED_NS, ..stamp }
        };
        let coarse = FileStamp { ctime_ns: Some(SETTLED_NS), seen_ns: SETTLED_NS, ..seen(&path) };
        let coarse = FileStamp { mtime_ns: 0, ..coarse };
        memo.remember(&path, &coarse, Digest::of_bytes(b"one"));
        assert_eq!(memo.known(&path, &coarse), None, "within the tick of a coarse clock");
        let fine = FileStamp { seen_ns: seen(&path).ctime_ns.unwrap(), ..seen(&path) };
        memo.remember(&path, &fine, Digest::of_bytes(b"one"));
        assert_eq!(memo.known(&path, &seen(&path)), None, "written a moment ago, be its mtime old");
        memo.remember(&path, &seen(&path), Digest::of_bytes(b"one"));
        assert_eq!(memo.known(&path, &seen(&path)), Some(Digest::of_bytes(b"one")));
        let other = FileStamp { ctime_ns: seen(&path).ctime_ns.map(|ns| ns + 1), ..seen(&path) };
        assert_eq!(memo.known(&path, &other), None);
        assert!(!seen(&path).same_file(&other));
        // What an earlier mp noted of it says nothing of the ctime.
        memo.remember(&path, &FileStamp::of_our_own(&path).unwrap(), Digest::of_bytes(b"one"));
        assert_eq!(memo.known(&path, &seen(&path)), None);
        assert!(peek(&memo, &path).is_some(), "it is enough for a file of mp's own");
    }

    #[test]
    fn little_is_not_saved_and_much_is_merged() {
        let folder = tempfile::tempdir().unwrap();
        let at_path = folder.path().join("memo.json");
        let small = Memo::load(at_path.clone());
        small.digest(&file(folder.path(), b"one", 10)).unwrap();
        small.save().unwrap();
        assert!(!at_path.exists());
        let many: Vec<PathBuf> =
            (0..WORTH_SAVING_FILES).map(|n| folder.path().join(format!("many {n}"))).collect();
        for path in &many {
            fs_err::write(path, "").unwrap();
            at(path, UNIX_EPOCH);
            small.digest(path).unwrap();
        }
        small.save().unwrap();
        let memo = Memo::load(at_path.clone());
        assert!(many.iter().all(|path| peek(&memo, path).is_some()));
        fs_err::remove_file(&at_path).unwrap();

        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let (memo_a, memo_b) = (Memo::load(at_path.clone()), Memo::load(at_path.clone()));
        for (path, memo) in [(&a, &memo_a), (&b, &memo_b)] {
            fs_err::write(path, vec![7; WORTH_SAVING_BYTES as usize]).unwrap();
            at(path, UNIX_EPOCH);
            memo.digest(path).unwrap();
        }
        memo_a.save().unwrap();
        memo_b.save().unwrap();
        let memo = Memo::load(at_path.clone());
        assert!(peek(&memo, &a).is_some() && peek(&memo, &b).is_some());
        fs_err::remove_file(&a).unwrap();
        memo_b.state().fresh_bytes = WORTH_SAVING_BYTES;
        memo_b.save().unwrap();
        assert_eq!(MemoFile::read(&at_path).files.len(), 1);
    }

    #[test]
    fn whoever_cannot_have_the_lock_of_the_memo_goes_on_without_saving() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), &vec![7; WORTH_SAVING_BYTES as usize], 10);
        let memo = Memo::load(folder.path().join("memo.json"));
        memo.digest(&path).unwrap();
        let held = fs_err::File::create(folder.path().join("memo.lock")).unwrap();
        held.file().lock().unwrap();
        memo.save().unwrap();
        assert!(!folder.path().join("memo.json").exists());
        drop(held);
        memo.save().unwrap();
        assert!(folder.path().join("memo.json").exists());
    }

    #[test]
    fn a_damaged_memo_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let at_path = folder.path().join("memo.json");
        for damage in ["", "{", "[]", r#"{"memo_version":2,"files":{}}"#, "\u{0}"] {
            fs_err::write(&at_path, damage).unwrap();
            assert!(Memo::load(at_path.clone()).state().known.is_empty());
        }
    }
}
