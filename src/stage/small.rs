//! One small input file, read by one thread into memory, so that several are read at once.
//!
//! What it makes is, byte for byte, what `ingest` makes of the same file. Does not know where that
//! goes.

use std::time::{Duration, Instant};

use super::collect::{Collected, Collector, Runs};
use super::ingest::{Header, Job, header_of, next_slab};
use super::parse::{Parser, Work};
use super::profile::FileFacts;
use super::stoppable::Stoppable;
use crate::contract::Failure;
use crate::rows::{Chunk, Pool, RowsError, RowsWriter, RunBuffer, SortSpace};
use crate::source::{FileRead, RawFile, SlabReader, open};
use crate::store::Digest;
use crate::task::TaskError;
use crate::timings::Phase;

/// What came of a small file.
pub(super) struct SmallFile {
    pub rows: Vec<u8>,
    pub rejects: Vec<u8>,
    pub sha256: Digest,
    pub bytes: u64,
    pub facts: FileFacts,
    pub chunks: u64,
    /// What breaks the contract.
    pub broken: Vec<Failure>,
}

/// Working space of one reader.
#[derive(Default)]
pub(super) struct SmallSpace {
    sort: SortSpace,
    slab: Vec<u8>,
}

/// Reads a file; `None` if there is more than so many bytes in it, decompressed.
pub(super) fn ingest_small(
    job: &Job<'_>,
    file: &RawFile,
    most_bytes: u64,
    spare: &Pool<Chunk>,
    space: &mut SmallSpace,
) -> Result<Option<SmallFile>, TaskError> {
    let SmallSpace { sort, slab: buffer } = space;
    let reader = open(&file.path, job.share.memory_bytes)?;
    let reader = Stoppable { inner: reader, cancel: job.cancel };
    let mut slabs = SlabReader::new(reader, job.share.slab_bytes(job.sizes));
    let header = header_of(job.source, &mut slabs, file)?;
    let Header { columns, lines_before, blank_lines, rest: mut first } = header;
    let mut parser = Parser::new(job, columns.as_ref(), spare);
    let writer = RowsWriter::new(Vec::new()).map_err(RowsError::from)?;
    let runs = SortHere { job, writer, space: sort, spare };
    let mut collector = Collector::new(job, Vec::new(), lines_before, blank_lines, runs);
    let mut reading = Duration::ZERO;
    loop {
        let work = match first.take() {
            Some(work) => work,
            None => {
                let began = Instant::now();
                let slab = next_slab(&mut slabs, std::mem::take(buffer))?;
                reading += began.elapsed();
                let Some(slab) = slab else { break };
                Work { sequence: 0, slab, skip_lines: 0 }
            }
        };
        if work.slab.offset + work.slab.bytes.len() as u64 > most_bytes {
            return Ok(None);
        }
        *buffer = collector.add(parser.parse(work)?)?;
    }
    let FileRead { sha256, bytes, hashing } =
        slabs.into_reader().inner.finish().map_err(TaskError::from)?;
    job.timings.add_time(Phase::Hash, hashing);
    job.timings.add_time(Phase::Read, reading.saturating_sub(hashing));
    let Collected { rejects, facts, chunks, runs } = collector.finish()?;
    let rows = runs.writer.finish().map_err(RowsError::from)?.0;
    let (sha256, broken) = (Digest::from(sha256), parser.finish());
    Ok(Some(SmallFile { rows, rejects, sha256, bytes, facts, chunks, broken }))
}

/// Sorts each run where it is.
struct SortHere<'s> {
    job: &'s Job<'s>,
    writer: RowsWriter<Vec<u8>>,
    space: &'s mut SortSpace,
    spare: &'s Pool<Chunk>,
}

impl Runs for SortHere<'_> {
    fn empty(&mut self) -> Result<RunBuffer, TaskError> {
        Ok(RunBuffer::default())
    }

    fn sort(&mut self, run: RunBuffer) -> Result<(), TaskError> {
        let SortHere { job, writer, space, spare } = self;
        let free = |chunk| spare.put(chunk);
        let sorted = || run.write_sorted(writer, space, job.sizes, free);
        Ok(job.timings.time(Phase::Sort, sorted)?)
    }
}
