//! What may be wrong with a file of the store or an artifact, and what was done about it: values and words.
//!
//! Does not look at the disk.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::census::Spot;
use super::digest::Digest;
use super::error::StoreError;
use crate::exit_code::ExitCode;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A published file.
    Artifact,
    Manifest,
    /// An object of the store.
    Object,
    /// A result that is kept to be restored.
    Result,
    /// The kept result of one raw file.
    FileResult,
    /// The note of folders that the store serves.
    Home,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Trouble {
    Missing,
    Changed {
        recorded: Digest,
        found: Digest,
    },
    Size {
        recorded: u64,
        found: u64,
    },
    /// Permissions in octal digits.
    Mode {
        recorded: String,
        found: String,
    },
    NotAFile,
    /// This user may not read it.
    Forbidden {
        detail: String,
    },
    /// The file system failed.
    Unreadable {
        detail: String,
    },
    /// Readable, but not what the run wrote.
    Edited {
        detail: String,
    },
    /// It says nothing.
    Torn {
        detail: String,
    },
    /// From a newer mp: not for this one to judge, nor to touch.
    Newer {
        detail: String,
    },
    /// Another process is at work on it.
    Busy {
        detail: String,
    },
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Missing => f.write_str("is missing"),
            Trouble::Changed { recorded, found } => {
                let (recorded, found) = (recorded.short(), found.short());
                write!(f, "is damaged: its content is {found}…, not {recorded}…")
            }
            Trouble::Size { recorded, found } => {
                write!(f, "is damaged: it has {found} bytes, not {recorded}")
            }
            Trouble::Mode { recorded, found } => {
                write!(f, "has the wrong mode: {found}, not {recorded}")
            }
            Trouble::NotAFile => f.write_str("is no file: something else has its name"),
            Trouble::Forbidden { detail } | Trouble::Unreadable { detail } => {
                write!(f, "cannot be read: {detail}")
            }
            Trouble::Edited { detail } => write!(f, "was edited: {detail}"),
            Trouble::Torn { detail } => write!(f, "cannot be read: {detail}"),
            Trouble::Newer { detail } => f.write_str(detail),
            Trouble::Busy { detail } => write!(f, "cannot be judged now: {detail}"),
        }
    }
}

/// What was done about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// Is all well with it now?
    pub mended: bool,
    /// It is gone, and its task runs again.
    pub to_run: bool,
    pub done: String,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    #[serde(serialize_with = "as_shown")]
    pub path: PathBuf,
    #[serde(flatten)]
    pub trouble: Trouble,
    /// Who needs it: tasks with the name that they publish, kept results. Empty: nobody.
    pub needed_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// Whose it is, if it is no matter of the store alone.
    #[serde(skip)]
    pub(super) spot: Option<Spot>,
    /// What kept it from being mended may be over soon.
    #[serde(skip)]
    pub(super) is_temporary: bool,
}

/// A path in a document; one that is no text, as people see it.
pub fn as_shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl Finding {
    /// Something about which nothing was done yet.
    pub(super) fn of(
        kind: FindingKind,
        path: &Path,
        trouble: Trouble,
        needed_by: Vec<String>,
        spot: Option<Spot>,
    ) -> Finding {
        let path = path.to_owned();
        Finding { kind, path, trouble, needed_by, remedy: None, spot, is_temporary: false }
    }

    /// What a newer mp wrote.
    pub(super) fn newer(error: &StoreError) -> Finding {
        let path = match error {
            StoreError::Newer { path, .. } => path.clone(),
            _ => PathBuf::new(),
        };
        let trouble = Trouble::Newer { detail: error.to_string() };
        let kind = FindingKind::Manifest;
        Finding::of(kind, &path, trouble, Vec::new(), None)
    }

    /// All is well with it now.
    pub(super) fn mended(&mut self, done: impl Into<String>) {
        self.remedy = Some(Remedy { mended: true, to_run: false, done: done.into() });
    }

    /// All will be well with it after the next run.
    pub(super) fn runs_again(&mut self, done: impl Into<String>) {
        self.remedy = Some(Remedy { mended: false, to_run: true, done: done.into() });
    }

    /// It is as it was, and this is why.
    pub(super) fn left(&mut self, why: impl Into<String>) {
        self.remedy = Some(Remedy { mended: false, to_run: false, done: why.into() });
    }

    /// It is as it was, for something failed.
    pub(super) fn left_by(&mut self, error: &StoreError) {
        self.left(error.to_string());
        self.is_temporary = error.exit_code() == ExitCode::Temporary;
    }

    /// Is it worth another try, without anything being changed before?
    pub fn is_temporary(&self) -> bool {
        self.is_temporary || matches!(self.trouble, Trouble::Busy { .. })
    }
}
