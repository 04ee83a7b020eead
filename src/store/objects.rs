//! Content-addressed objects: put in, publish under a name, check.
//!
//! Knows files by what is in them. Does not know which task made one or who still needs it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Store;
use super::atomic::{self, Owner, TemporaryPath};
use super::digest::Digest;
use super::error::StoreError;
use super::memo::FileStamp;
use super::staged::StagedObject;
use crate::fault;

/// An object under a temporary name beside the one it is to have; removed on drop.
#[derive(Debug)]
pub(super) struct Prepared {
    temporary: TemporaryPath,
    target: PathBuf,
    digest: Digest,
}

impl Store {
    /// Moves a staged object into the store. What is there under its name is replaced: it should be
    /// the same, and if it was damaged it is healed.
    pub fn put(&self, object: StagedObject) -> Result<Digest, StoreError> {
        let digest = object.digest();
        let target = self.layout().object(&digest);
        let folder = atomic::parent(&target)?;
        fs_err::create_dir_all(folder)?;
        fault::point("object.rename")?;
        fs_err::rename(object.path(), &target)?;
        atomic::sync_dir(folder)?;
        self.remember(&target, digest)?;
        Ok(digest)
    }

    /// Puts an object beside a name, where only a rename is left to be done: a hard link where the modes
    /// agree and the file system allows it, else a copy. All that takes room happens here.
    pub(super) fn prepare(
        &self,
        digest: Digest,
        target: PathBuf,
        mode: u32,
        owner: &Owner,
    ) -> Result<Prepared, StoreError> {
        let object = self.layout().object(&digest);
        if target.is_dir() {
            return Err(StoreError::InTheWay { path: target });
        }
        let folder = atomic::parent(&target)?;
        fs_err::create_dir_all(folder)?;
        let temporary = TemporaryPath::new(owner.path(folder));
        let there = fs_err::metadata(&object)?.permissions().mode() & 0o777;
        fault::point("publish.link")?;
        let linked = there == mode && fs_err::hard_link(&object, temporary.path()).is_ok();
        if !linked {
            copy(&object, temporary.path(), mode)?;
        }
        Ok(Prepared { temporary, target, digest })
    }

    /// Makes a prepared object visible, whole or not at all.
    pub(super) fn appear(&self, prepared: Prepared) -> Result<(), StoreError> {
        let Prepared { temporary, target, digest } = prepared;
        fault::point("publish.rename")?;
        fs_err::rename(temporary.path(), &target)?;
        // Renaming one link of a file onto another does nothing and leaves both names.
        drop(temporary);
        fault::point("publish.renamed")?;
        atomic::sync_dir(atomic::parent(&target)?)?;
        self.remember(&target, digest)?;
        Ok(())
    }

    /// Both at once.
    pub fn publish(
        &self,
        digest: Digest,
        target: &Path,
        mode: u32,
        owner: &Owner,
    ) -> Result<(), StoreError> {
        self.appear(self.prepare(digest, target.to_owned(), mode, owner)?)
    }

    /// Is there an object of that name? Says nothing about what is in it.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.layout().object(digest).is_file()
    }

    /// Is the object there, and is it what its name says? Hashed, unless the memo knows the file.
    pub fn verify(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.is(&self.layout().object(digest), digest)?)
    }

    /// Does that file exist with that content? Hashed, unless the memo knows the file.
    pub fn is(&self, path: &Path, digest: &Digest) -> io::Result<bool> {
        match self.memo().digest(path) {
            Ok((found, _)) => Ok(found == *digest),
            // What cannot be read cannot be the right one as far as anybody can tell.
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remember(&self, path: &Path, digest: Digest) -> io::Result<()> {
        let stamp = FileStamp::of_our_own(path)?;
        self.memo().remember(path, &stamp, digest);
        Ok(())
    }
}

/// Missing, or forbidden, or a folder or a file stands where the path wants the other.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | PermissionDenied)
}

/// Copies an object, its time with it: the name appears with the mode and durable.
pub(super) fn copy(object: &Path, target: &Path, mode: u32) -> io::Result<()> {
    let modified = fs_err::metadata(object)?.modified()?;
    fault::point("publish.copy")?;
    fs_err::copy(object, target)?;
    // `copy` takes the object's mode along, which may forbid writing: widened only now.
    fs_err::set_permissions(target, Permissions::from_mode(0o600))?;
    let file = fs_err::OpenOptions::new().write(true).open(target)?;
    file.file().set_times(std::fs::FileTimes::new().set_modified(modified))?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}
