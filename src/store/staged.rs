//! Files that nobody may see yet: results while they are written, and scratch space.
//!
//! Both lie in the store's `tmp` under their owner's name and are removed on drop; what a kill
//! leaves is removed when the owner's lock is taken again. Does not know what is written.

use std::fs::{FileTimes, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::atomic::{Owner, TemporaryPath};
use super::digest::{Digest, Hashing};
use super::error::StoreError;
use super::write_behind::WriteBehind;
use crate::fault;

/// The mode of nearly every object: nobody writes into it again.
pub const MODE_READ_ONLY: u32 = 0o444;
/// The mode of rejected rows, which hold raw lines.
pub const MODE_PRIVATE: u32 = 0o640;

const BUFFER_BYTES: usize = 256 * 1024;
/// More than the 2 s that the memo wants between a file's mtime and its hashing.
const BACKDATED: Duration = Duration::from_secs(3);

/// A result being written: buffered, hashed and counted on the way.
#[derive(Debug)]
pub struct Staged {
    sink: BufWriter<HashedFile>,
    path: TemporaryPath,
    mode: u32,
}

#[derive(Debug)]
struct HashedFile {
    file: fs_err::File,
    hashing: Hashing,
    behind: WriteBehind,
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fault::point("stage.bytes")?;
        let written = self.file.write(bytes)?;
        self.hashing.update(&bytes[..written]);
        self.behind.reached(self.file.file(), self.hashing.bytes());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Staged {
    pub(super) fn create(tmp: &Path, owner: &Owner, mode: u32) -> Result<Staged, StoreError> {
        let (file, path) = owner.create(tmp)?;
        let (hashing, behind) = (Hashing::default(), WriteBehind::default());
        let sink = HashedFile { file, hashing, behind };
        let sink = BufWriter::with_capacity(BUFFER_BYTES, sink);
        Ok(Staged { sink, path: TemporaryPath::new(path), mode })
    }

    /// Everything is written: makes it durable and says what it is.
    pub fn finish(self) -> Result<StagedObject, StoreError> {
        let HashedFile { file, hashing, .. } =
            self.sink.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.set_permissions(Permissions::from_mode(self.mode))?;
        // The memo trusts a file only when its mtime lies 2 s before its hashing: a later write
        // could otherwise fall into the same tick of the clock. Here nobody else can have written,
        // so the mtime may be moved back, and the next run need not hash the file again.
        let written = file.metadata()?.modified()?;
        if let Some(earlier) = written.checked_sub(BACKDATED) {
            file.file().set_times(FileTimes::new().set_modified(earlier))?;
        }
        fault::point("stage.sync")?;
        file.sync_all()?;
        Ok(StagedObject {
            digest: hashing.finish(),
            bytes: hashing.bytes(),
            mode: self.mode,
            path: self.path,
        })
    }
}

/// A result that is complete but not in the store yet; removed on drop.
#[derive(Debug)]
pub struct StagedObject {
    digest: Digest,
    bytes: u64,
    mode: u32,
    path: TemporaryPath,
}

impl StagedObject {
    /// The SHA-256 of the content.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The length of the content.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The permissions of the file.
    pub const fn mode(&self) -> u32 {
        self.mode
    }

    /// Where it can be read until it is put into the store.
    pub fn path(&self) -> &Path {
        self.path.path()
    }
}

/// Scratch space: a file to write and read again, gone on drop.
#[derive(Debug)]
pub struct Scratch {
    file: fs_err::File,
    path: TemporaryPath,
}

impl Scratch {
    pub(super) fn create(tmp: &Path, owner: &Owner) -> io::Result<Scratch> {
        let (file, path) = owner.create(tmp)?;
        Ok(Scratch { file, path: TemporaryPath::new(path) })
    }

    /// Open for reading and writing.
    pub const fn file_mut(&mut self) -> &mut fs_err::File {
        &mut self.file
    }

    /// Where it is, to open it once more.
    pub fn path(&self) -> &Path {
        self.path.path()
    }
}
