//! What can be wrong with raw files: not found, not allowed, not readable.
//!
//! Knows nothing of their rows.

use std::io;
use std::path::{Path, PathBuf};

use crate::exit_code::ExitCode;

/// A raw file, or a pattern for raw files, that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// The pattern is no glob.
    #[error("`{pattern}` is no pattern for files: {reason}")]
    BadPattern {
        /// As configured.
        pattern: String,
        /// Why not.
        reason: String,
    },
    /// Nothing is there.
    #[error("no file matches `{pattern}` in `{}`{}", folder.display(), found.why())]
    NoMatch {
        /// As configured.
        pattern: String,
        /// The raw folder.
        folder: PathBuf,
        /// What is there in its place.
        found: RawFolder,
    },
    /// What matches is something else than a regular file.
    #[error("`{}`, which `{pattern}` matches, is {kind}, not a regular file", path.display())]
    NoFile {
        /// As configured.
        pattern: String,
        /// What matches.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A matching file lies elsewhere.
    #[error("`{name}`, which `{pattern}` matches, lies outside the raw folder `{}`", folder.display())]
    Outside {
        /// As configured.
        pattern: String,
        /// The matching file, as seen from the raw folder.
        name: String,
        /// The raw folder.
        folder: PathBuf,
    },
    /// A name that cannot be written to a column of text.
    #[error("the name of `{}` is not UTF-8", path.display())]
    NameNotUtf8 {
        /// The file or folder.
        path: PathBuf,
    },
    /// The file or folder is there and cannot be read to its end.
    #[error("cannot read `{}`: {reason}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// What is found where the raw folder should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawFolder {
    /// The folder.
    There,
    /// Nothing.
    Missing,
    /// Something else.
    NoFolder,
}

impl RawFolder {
    fn why(self) -> &'static str {
        match self {
            RawFolder::There => "",
            RawFolder::Missing => ": there is no such folder",
            RawFolder::NoFolder => ": that is not a folder",
        }
    }
}

impl SourceError {
    /// How a command that meets this ends.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            SourceError::BadPattern { .. } => ExitCode::Usage,
            _ => ExitCode::Input,
        }
    }

    /// What to do about it, where that is not plain.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SourceError::Outside { .. } => {
                Some("copy the file into the raw folder, or set `sources.allow_outside: true`")
            }
            SourceError::NoMatch { .. } => {
                Some("check `data_paths.raw` and `sources.<name>.files`")
            }
            SourceError::NoFile { .. } => {
                Some("put a file there, or a link to one, or check `sources.<name>.files`")
            }
            _ => None,
        }
    }

    /// From an error of the file system or of a decompressor.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> SourceError {
        let text = error.to_string();
        // fs_err names the path too; once is enough.
        let reason = match text.split_once(&format!("`{}`: ", path.display())) {
            Some((_, cause)) => cause.to_owned(),
            None => text,
        };
        SourceError::Unreadable { path: path.to_owned(), reason }
    }
}
