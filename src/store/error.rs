//! What may go wrong in the store, and how a command ends for it.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::exit_code::ExitCode;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Never overwritten: whoever wrote it knows more.
    #[error("`{}` has {what} version {found}, from a newer mp than this one (which knows {known})", path.display())]
    Newer { path: PathBuf, what: &'static str, found: u64, known: u32 },
    /// A folder has the name that a file is to have.
    #[error("`{}` is a folder, but a file of that name is to be published", path.display())]
    InTheWay { path: PathBuf },
    /// As some network file systems do.
    #[error("the file system of `{}` refuses locks: {error}", path.display())]
    NoLocks { path: PathBuf, error: io::Error },
    /// Another process has the store for itself, and the wait for it is over.
    #[error("the store is in use by {by}")]
    InUse { by: String },
    /// The note of some folders says nothing, so nobody knows who needs what.
    #[error("`{}` is damaged: whose results the store holds cannot be told", path.display())]
    HomeNote { path: PathBuf },
    /// Nothing is removed where nobody can be kept out.
    #[error("locks like `{}` keep nobody out: nothing is deleted", path.display())]
    NoLocksKept { path: PathBuf },
    /// An object that was counted on is missing or not what its name says.
    #[error("the object `{}` is missing or damaged", path.display())]
    Object { path: PathBuf },
}

impl StoreError {
    /// Of a lock that could not be asked for.
    pub fn of_lock(path: &Path, error: io::Error) -> StoreError {
        let refused = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS].map(Errno::raw_os_error);
        match error.raw_os_error() {
            Some(code) if refused.contains(&code) => {
                StoreError::NoLocks { path: path.to_owned(), error }
            }
            _ => StoreError::Io(io::Error::new(
                error.kind(),
                format!("cannot lock `{}`: {error}", path.display()),
            )),
        }
    }

    /// No room left, or no more allowed: worth a retry after cleaning up.
    fn is_disk_full(&self) -> bool {
        matches!(self, StoreError::Io(error) if is_disk_full(error))
    }

    /// How a command ends for this.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            StoreError::Io(error) if is_temporary(error) => ExitCode::Temporary,
            StoreError::InUse { .. } => ExitCode::Temporary,
            _ => ExitCode::Failure,
        }
    }

    /// What to do next, where that is clear.
    pub fn hint(&self) -> Option<String> {
        match self {
            _ if self.is_disk_full() => Some("free some disk space and run again".to_owned()),
            StoreError::Newer { .. } => Some("use the newer mp".to_owned()),
            StoreError::InTheWay { .. } => Some("move the folder away".to_owned()),
            StoreError::NoLocks { .. } | StoreError::NoLocksKept { .. } => Some(
                "some network file systems have no locks, or are mounted without: put the data folders on \
                 a local disk or on NFS 4; `mp doctor` tries their locks"
                    .to_owned(),
            ),
            StoreError::InUse { .. } => {
                Some("wait for it to end, or wait longer with `--lock-timeout`".to_owned())
            }
            StoreError::HomeNote { .. } => Some(
                "run a task with `--force` with each configuration that uses this store, which writes its \
                 note again; if it is damaged still, its folders are gone or no longer known: deleting the note \
                 lets go of what is kept for them"
                    .to_owned(),
            ),
            StoreError::Object { .. } => Some("run again with `--force`".to_owned()),
            StoreError::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Some("allow larger files (`ulimit -f unlimited`) and run again".to_owned())
            }
            StoreError::Io(error) if is_refused(error) => {
                let hint = "let the user of this process write there: `mp doctor` says what is in its \
                            way, and what to do";
                Some(hint.to_owned())
            }
            StoreError::Io(_) => None,
        }
    }
}

/// The user of this process may not, or nobody may.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// No room left on the device, or the quota is used up.
fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn is_temporary(error: &io::Error) -> bool {
    use io::ErrorKind::{
        HostUnreachable, NetworkDown, NetworkUnreachable, StaleNetworkFileHandle, TimedOut,
    };
    let unreachable =
        [HostUnreachable, NetworkDown, NetworkUnreachable, StaleNetworkFileHandle, TimedOut];
    is_disk_full(error) || unreachable.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_temporary_and_a_missing_file_is_not() {
        let full = StoreError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(full.is_disk_full() && full.hint().is_some());
        assert_eq!(full.exit_code(), ExitCode::Temporary);
        let gone = StoreError::from(io::Error::from(io::ErrorKind::NotFound));
        assert!(!gone.is_disk_full() && gone.hint().is_none());
        assert_eq!(gone.exit_code(), ExitCode::Failure);
    }

    #[test]
    fn who_may_not_is_sent_to_the_doctor() {
        let refused = StoreError::from(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(refused.hint().unwrap().contains("mp doctor"));
        assert_eq!(refused.exit_code(), ExitCode::Failure);
    }
}
