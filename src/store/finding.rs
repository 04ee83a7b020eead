//! What may be wrong with a file of the store or an artifact, and what was done about it: values and words.
//!
//! Does not look at the disk.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::census::Spot;
use super::digest::Digest;
use super::error::StoreError;

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
    /// Is all well now, or will be after the next run?
    pub mended: bool,
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
}

/// A path in a document; one that is no text, as people see it.
pub fn as_shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl Finding {
    /// What a newer mp wrote.
    pub(super) fn newer(error: &StoreError) -> Finding {
        let path = match error {
            StoreError::Newer { path, .. } => path.clone(),
            _ => PathBuf::new(),
        };
        let trouble = Trouble::Newer { detail: error.to_string() };
        let kind = FindingKind::Manifest;
        Finding { kind, path, trouble, needed_by: Vec::new(), remedy: None, spot: None }
    }

    /// All is well with it now, or will be after the next run.
    pub(super) fn mended(&mut self, done: impl Into<String>) {
        self.remedy = Some(Remedy { mended: true, done: done.into() });
    }

    /// It is as it was, and this is why.
    pub(super) fn left(&mut self, why: impl Into<String>) {
        self.remedy = Some(Remedy { mended: false, done: why.into() });
    }
}
