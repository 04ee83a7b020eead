//! What an extract made of one raw file, as it stands in its manifest and in the store.
//!
//! Rows and rejects of small files lie end to end in objects that several files share. What a file is
//! made into does not depend on its neighbours there: its rows have a digest of their own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::profile::{Bounds, FileFacts};
use crate::exit_code::ExitCode;
use crate::store::{Digest, InputFact, Manifest};
use crate::task::TaskError;

/// Where something lies within an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub object: Digest,
    pub offset: u64,
    pub bytes: u64,
}

/// One input file in the manifest of an extract, for preprocess and for the next run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileResult {
    /// Path below the raw folder.
    pub name: String,
    pub sha256: Digest,
    pub bytes: u64,
    /// Of its rows file.
    pub rows: Digest,
    pub rows_at: Extent,
    /// `None` if no row was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects_at: Option<Extent>,
    pub facts: FileFacts,
}

impl FileResult {
    /// The result in a record that consists of these objects; one of another shape, or that names other
    /// objects, is as good as none.
    pub fn kept(facts: &RawValue, objects: &[Digest]) -> Option<FileResult> {
        let result: FileResult = serde_json::from_str(facts.get()).ok()?;
        let extents = std::iter::once(&result.rows_at).chain(&result.rejects_at);
        let is_there = extents.map(|extent| extent.object).all(|object| objects.contains(&object));
        is_there.then_some(result)
    }
}

/// The files in an extract's manifest.
pub(super) fn files_of(manifest: &Manifest) -> Result<Vec<FileResult>, TaskError> {
    listed(manifest)
}

fn listed<'m, T: Deserialize<'m>>(manifest: &'m Manifest) -> Result<Vec<T>, TaskError> {
    manifest.extra.get("files").map_err(|error| {
        let text =
            format!("the manifest of `{}` does not list its files: {error}", manifest.task());
        TaskError::new(ExitCode::Failure, text).hint("run it again with `--force`")
    })
}

/// The rows of each file in an extract's manifest, as inputs of preprocess.
pub(super) fn rows_of(manifest: &Manifest) -> Result<BTreeMap<String, InputFact>, TaskError> {
    #[derive(Deserialize)]
    struct Rows {
        name: String,
        rows: Digest,
        rows_at: Length,
    }
    #[derive(Deserialize)]
    struct Length {
        bytes: u64,
    }
    let files: Vec<Rows> = listed(manifest)?;
    let fact = |file: Rows| (file.name, InputFact { sha256: file.rows, bytes: file.rows_at.bytes });
    Ok(files.into_iter().map(fact).collect())
}

/// What a look at the raw files asks of a [`FileResult`].
#[derive(Debug, Deserialize)]
pub(super) struct KnownFile<'m> {
    #[serde(borrow)]
    pub name: Cow<'m, str>,
    pub sha256: Digest,
    pub bytes: u64,
    facts: KnownFacts,
}

#[derive(Debug, Deserialize)]
struct KnownFacts {
    bounds: Bounds,
}

impl KnownFile<'_> {
    /// Those in a manifest; none if it does not list them.
    pub fn all(manifest: &Manifest) -> Vec<KnownFile<'_>> {
        listed(manifest).unwrap_or_default()
    }

    /// The bounds for which the result holds.
    pub fn bounds(&self) -> &Bounds {
        &self.facts.bounds
    }
}
