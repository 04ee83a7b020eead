//! A rows file: blocks, then an index of runs and blocks, then where the index begins.
//!
//! ```text
//! "MPROWS2\n"  block…  index  index offset (u64)  "MPROWS2\n"
//! index: rows, least and most timestamp, runs; for each run its blocks;
//!        for each block offset, length, rows, first hash, last hash
//! ```
//! All integers are 64 bits, little endian. It is written from front to back and read by
//! position. What the rows mean is not its business, nor whether the file is the right one.

use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::PackedBlock;
use super::pack::Input;
use super::{HashRange, RowsError};

const MAGIC: &[u8; 8] = b"MPROWS2\n";
const TAIL_BYTES: u64 = 16;

/// Where one block lies, and which hashes it spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockEntry {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) rows: u64,
    pub(super) first_hash: u64,
    pub(super) last_hash: u64,
}

/// What a rows file holds, in few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowsSummary {
    /// Number of rows.
    pub rows: u64,
    /// Smallest and largest timestamp in microseconds.
    pub timestamps_us: Option<(i64, i64)>,
}

impl RowsSummary {
    fn add(&mut self, block: &PackedBlock) {
        self.rows += block.rows;
        let (least, most) = self.timestamps_us.unwrap_or((block.least_us, block.most_us));
        self.timestamps_us = Some((least.min(block.least_us), most.max(block.most_us)));
    }
}

/// Writes a rows file, block by block.
#[derive(Debug)]
pub struct RowsWriter<W> {
    out: W,
    offset: u64,
    runs: Vec<Vec<BlockEntry>>,
    summary: RowsSummary,
}

impl<W: Write> RowsWriter<W> {
    /// Begins a file.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        let offset = MAGIC.len() as u64;
        Ok(RowsWriter { out, offset, runs: vec![], summary: RowsSummary::default() })
    }

    /// The blocks that follow are a run of their own.
    pub fn begin_run(&mut self) {
        self.runs.push(Vec::new());
    }

    /// Adds the next block of the run; empty ones are left out.
    pub fn write(&mut self, block: &PackedBlock) -> io::Result<()> {
        if block.rows == 0 {
            return Ok(());
        }
        if self.runs.is_empty() {
            self.begin_run();
        }
        self.out.write_all(&block.bytes)?;
        self.summary.add(block);
        let length = block.bytes.len() as u64;
        if let Some(run) = self.runs.last_mut() {
            run.push(BlockEntry {
                offset: self.offset,
                length,
                rows: block.rows,
                first_hash: block.first_hash,
                last_hash: block.last_hash,
            });
        }
        self.offset += length;
        Ok(())
    }

    /// Writes the index and hands back what it wrote to.
    pub fn finish(mut self) -> io::Result<(W, RowsSummary)> {
        self.runs.retain(|run| !run.is_empty());
        let (least, most) = self.summary.timestamps_us.unwrap_or((0, 0));
        let mut index = Vec::new();
        let mut put = |number: u64| index.extend_from_slice(&number.to_le_bytes());
        put(self.summary.rows);
        put(least as u64);
        put(most as u64);
        put(self.runs.len() as u64);
        for run in &self.runs {
            put(run.len() as u64);
            for block in run {
                put(block.offset);
                put(block.length);
                put(block.rows);
                put(block.first_hash);
                put(block.last_hash);
            }
        }
        put(self.offset);
        index.extend_from_slice(MAGIC);
        self.out.write_all(&index)?;
        Ok((self.out, self.summary))
    }
}

/// A rows file ready for reading, its index in memory (40 bytes a block).
///
/// Unless it is [kept open](RowsFile::keep_open), the file is opened anew whenever it is read: there
/// may be more files than a process may hold open.
#[derive(Debug)]
pub struct RowsFile {
    path: PathBuf,
    kept: Option<Arc<std::fs::File>>,
    summary: RowsSummary,
    runs: Vec<Vec<BlockEntry>>,
}

impl RowsFile {
    /// Opens a file and reads its index.
    pub fn open(path: &Path) -> Result<RowsFile, RowsError> {
        let length = fs_err::metadata(path)?.len();
        RowsFile::open_part(path, 0, length)
    }

    /// The same for one that lies within a larger file.
    pub fn open_part(path: &Path, start: u64, length: u64) -> Result<RowsFile, RowsError> {
        let file = fs_err::File::open(path)?.into_parts().0;
        let name = path.display().to_string();
        let damaged = |what| RowsError::Damaged { path: name.clone(), what };
        let tail_at = length.checked_sub(TAIL_BYTES).ok_or_else(|| damaged("too short"))?;
        let mut tail = [0; TAIL_BYTES as usize];
        file.read_exact_at(&mut tail, start + tail_at)?;
        let (offset, magic) = tail.split_at(8);
        if magic != MAGIC {
            return Err(damaged("no end mark"));
        }
        let offset = Input::new(offset).u64().unwrap_or(u64::MAX);
        let bytes = tail_at.checked_sub(offset).ok_or_else(|| damaged("no index"))?;
        let mut index = vec![0; bytes as usize];
        file.read_exact_at(&mut index, start + offset)?;
        let (summary, mut runs) = read_index(&index, offset).ok_or_else(|| damaged("bad index"))?;
        runs.iter_mut().flatten().for_each(|block| block.offset += start);
        Ok(RowsFile { path: path.to_owned(), kept: None, summary, runs })
    }

    /// Holds the file open from here on, as is worth it for one of few; together with `beside`, if
    /// that lies within the same file.
    pub fn keep_open(&mut self, beside: Option<&RowsFile>) -> Result<(), RowsError> {
        let shared = beside.filter(|beside| beside.path == self.path);
        self.kept = match shared.and_then(|beside| beside.kept.clone()) {
            Some(file) => Some(file),
            None => Some(Arc::new(fs_err::File::open(&self.path)?.into_parts().0)),
        };
        Ok(())
    }

    /// What it holds.
    pub fn summary(&self) -> RowsSummary {
        self.summary
    }

    /// How many sorted runs it has.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The blocks of a run that may hold rows of the range.
    pub(super) fn blocks_in(&self, run: usize, range: &HashRange) -> &[BlockEntry] {
        let blocks = &self.runs[run];
        let start = blocks.partition_point(|block| block.last_hash < range.start);
        let end = range
            .end
            .map_or(blocks.len(), |end| blocks.partition_point(|block| block.first_hash < end));
        &blocks[start..end.max(start)]
    }

    /// Reads blocks that follow one another into `bytes`, replacing what is there.
    pub(super) fn read_blocks(
        &self,
        blocks: &[BlockEntry],
        bytes: &mut Vec<u8>,
    ) -> Result<(), RowsError> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        bytes.resize((last.offset + last.length - first.offset) as usize, 0);
        if let Some(file) = &self.kept {
            return Ok(file.read_exact_at(bytes, first.offset)?);
        }
        let file = fs_err::File::open(&self.path)?.into_parts().0;
        Ok(file.read_exact_at(bytes, first.offset)?)
    }

    /// Opens the file, for one who reads much of it.
    pub(super) fn open_blocks(&self) -> Result<fs_err::File, RowsError> {
        Ok(fs_err::File::open(&self.path)?)
    }

    /// What to say of a file that holds something else than it should.
    pub(super) fn damaged(&self, what: &'static str) -> RowsError {
        RowsError::Damaged { path: self.path.display().to_string(), what }
    }
}

fn read_index(index: &[u8], index_offset: u64) -> Option<(RowsSummary, Vec<Vec<BlockEntry>>)> {
    let input = &mut Input::new(index);
    let rows = input.u64().ok()?;
    let least = input.u64().ok()? as i64;
    let most = input.u64().ok()? as i64;
    let timestamps_us = (rows > 0).then_some((least, most));
    let mut runs = Vec::new();
    for _ in 0..input.u64().ok()? {
        let mut blocks = Vec::new();
        for _ in 0..input.u64().ok()? {
            let mut next = || input.u64().ok();
            let (offset, length, rows) = (next()?, next()?, next()?);
            let (first_hash, last_hash) = (next()?, next()?);
            // Blocks lie end to end, and readers count on it.
            let follows =
                blocks.last().is_none_or(|last: &BlockEntry| last.offset + last.length == offset);
            if offset.checked_add(length)? > index_offset || !follows {
                return None;
            }
            blocks.push(BlockEntry { offset, length, rows, first_hash, last_hash });
        }
        runs.push(blocks);
    }
    input.is_empty().then_some((RowsSummary { rows, timestamps_us }, runs))
}
