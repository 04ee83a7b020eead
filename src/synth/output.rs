//! One raw file being written: a buffer, a temporary file beside the target, counts.
//!
//! A file appears under its name only when it is whole. Knows bytes and the schedule of troubles;
//! a [`Row`] knows what a line looks like.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::dirt::{Dirt, Kind};
use super::{FileSummary, SynthError};

const BUFFER_BYTES: usize = 1 << 20;
/// More than any line is long.
const LINE_BYTES: usize = 4 << 10;

/// A row that can be written in every condition; each ends with a line break.
pub(super) trait Row {
    /// As it should be.
    fn clean(&self, line: &mut Vec<u8>);
    /// Broken in the way whose turn it is; returns the codes of the rules it breaks.
    fn bad(&self, turn: u64, line: &mut Vec<u8>) -> &'static [&'static str];
    /// With the soft issue whose turn it is.
    fn soft(&self, turn: u64, line: &mut Vec<u8>);
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// A row that the rules accept.
    Good,
    /// A row that the rules reject.
    Bad,
}

/// A raw file being written.
pub(super) struct Output {
    target: PathBuf,
    file: NamedTempFile,
    buffer: Vec<u8>,
    dirt: Dirt,
    total: u64,
    summary: FileSummary,
}

impl Output {
    /// Starts `name` in `folder`, to hold `total` rows.
    pub fn create(folder: &Path, name: &str, total: u64, dirt: Dirt) -> Result<Output, SynthError> {
        let target = folder.join(name);
        let file = tempfile::Builder::new()
            .prefix(".mp-synth-")
            // As for any new file: what the user's umask leaves of it.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|source| SynthError::write(&target, source))?;
        let summary = FileSummary {
            file: name.to_owned(),
            rows: 0,
            bytes: 0,
            bad: 0,
            soft: 0,
            duplicates: 0,
            codes: BTreeMap::new(),
        };
        let buffer = Vec::with_capacity(BUFFER_BYTES + LINE_BYTES);
        Ok(Output { target, file, buffer, dirt, total, summary })
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.summary.rows
    }

    /// Rows still to be written.
    pub fn rows_left(&self) -> u64 {
        self.total - self.summary.rows
    }

    /// Writes a line that is no row.
    pub fn header(&mut self, line: &[u8]) -> Result<(), SynthError> {
        self.buffer.extend_from_slice(line);
        self.flush_if_full()
    }

    /// Writes a row, spoilt if its turn has come, and perhaps once more.
    pub fn row(&mut self, row: &impl Row) -> Result<Written, SynthError> {
        let start = self.buffer.len();
        let mut written = Written::Good;
        match self.dirt.take(self.summary.rows) {
            None | Some((Kind::Double, _)) => row.clean(&mut self.buffer),
            Some((Kind::Soft, turn)) => {
                row.soft(turn, &mut self.buffer);
                self.summary.soft += 1;
            }
            Some((Kind::Bad, turn)) => {
                for code in row.bad(turn, &mut self.buffer) {
                    *self.summary.codes.entry((*code).to_owned()).or_default() += 1;
                }
                self.summary.bad += 1;
                written = Written::Bad;
            }
        }
        self.summary.rows += 1;
        if self.dirt.peek(self.summary.rows) == Some(Kind::Double)
            && written == Written::Good
            && self.rows_left() > 0
        {
            self.dirt.take(self.summary.rows);
            self.buffer.extend_from_within(start..);
            self.summary.rows += 1;
            self.summary.duplicates += 1;
        }
        self.flush_if_full()?;
        Ok(written)
    }

    fn flush_if_full(&mut self) -> Result<(), SynthError> {
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands all bytes to the operating system.
    pub fn flush(&mut self) -> Result<(), SynthError> {
        self.file
            .write_all(&self.buffer)
            .map_err(|source| SynthError::write(&self.target, source))?;
        self.summary.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Gives the flushed file its name; only with `force` may it take the place of another.
    pub fn publish(self, force: bool) -> Result<FileSummary, SynthError> {
        let named = match force {
            true => self.file.persist(&self.target),
            false => self.file.persist_noclobber(&self.target),
        };
        match named {
            Ok(_) => Ok(self.summary),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(SynthError::Exists { path: self.target })
            }
            Err(error) => Err(SynthError::write(&self.target, error.error)),
        }
    }
}
