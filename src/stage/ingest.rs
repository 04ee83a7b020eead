//! One input file, read once: hashed, split, parsed, checked and sorted into runs.
//!
//! Four kinds of threads work on a file: one reads and hashes slabs of whole lines, several
//! parse them, the calling one puts the results back in file order and cuts them into runs,
//! one sorts and writes the runs. Slabs and runs are handed round, so memory does not grow with
//! the file. The bytes made depend on the file and the rules alone.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use super::collect::{Collected, Collector, Runs};
use super::memory::Share;
use super::parse::{ParseResult, Work, parse_slabs};
use super::profile::FileFacts;
use super::stoppable::Stoppable;
use crate::contract::{Contract, Failure};
use crate::exit_code::ExitCode;
use crate::record::{CsvColumns, Rules, Source};
use crate::rows::{Chunk, Pool, RowsError, RowsWriter, RunBuffer, Sizes, SortSpace};
use crate::source::{FileRead, HashingReader, Lines, RawFile, Slab, SlabReader, open};
use crate::store::{Digest, Staged};
use crate::task::TaskError;
use crate::timings::{Phase, Timings};

/// What to do with a file of one source.
pub(super) struct Job<'j> {
    pub source: Source,
    pub rules: &'j Rules,
    /// Held against rows as they are accepted, unless `None`.
    pub contract: Option<&'j Contract>,
    pub sizes: &'j Sizes,
    pub share: Share,
    /// Rows validated at a time.
    pub chunk_rows: usize,
    pub timings: &'j Timings,
    pub cancel: &'j AtomicBool,
    /// Called with the bytes of the decompressed file and the rows done so far.
    pub progress: &'j (dyn Fn(u64, u64) + Sync),
}

/// What came of a file.
pub(super) struct Ingested {
    pub rows: Staged,
    pub rejects: Staged,
    pub sha256: Digest,
    pub bytes: u64,
    pub facts: FileFacts,
    pub chunks: u64,
    /// What breaks the contract.
    pub broken: Vec<Failure>,
}

/// Reads a file into `rows` and `rejects`.
pub(super) fn ingest(
    job: &Job<'_>,
    file: &RawFile,
    rows: Staged,
    rejects: Staged,
) -> Result<Ingested, TaskError> {
    let reader = open(&file.path, job.share.memory_bytes)?;
    let reader = Stoppable { inner: reader, cancel: job.cancel };
    let mut slabs = SlabReader::new(reader, job.share.slab_bytes(job.sizes));
    let header = header_of(job.source, &mut slabs, file)?;
    let Header { columns, lines_before: lines, blank_lines: blanks, rest: first } = header;
    let columns = columns.as_ref();
    let spare = Pool::default();
    std::thread::scope(|scope| {
        let (work_sender, work) = sync_channel::<Work>(job.share.threads);
        let (results_sender, results) = channel::<ParseResult>();
        let (buffer_sender, buffers) = channel::<Vec<u8>>();
        let work = Arc::new(Mutex::new(work));
        for _ in 0..job.share.slabs() {
            // The receiver lives as long as this scope.
            let _ = buffer_sender.send(Vec::new());
        }
        let parsers: Vec<ScopedJoinHandle<'_, Vec<Failure>>> = (0..job.share.threads)
            .map(|_| {
                let (work, results) = (Arc::clone(&work), results_sender.clone());
                let spare = &spare;
                scope.spawn(move || parse_slabs(job, columns, &work, &results, spare))
            })
            .collect();
        // Only the parsers hold these now: when they are gone, those at the other end notice.
        drop((work, results_sender));
        let (runs_sender, runs) = sync_channel::<RunBuffer>(0);
        let (empty_sender, empty) = channel::<RunBuffer>();
        for _ in 0..job.share.run_buffers() {
            let _ = empty_sender.send(RunBuffer::default());
        }
        let (sizes, spare) = (job.sizes, &spare);
        let sorter =
            scope.spawn(move || sort_runs(rows, &runs, &empty_sender, spare, sizes, job.timings));
        let reading =
            scope.spawn(move || read_slabs(slabs, first, &work_sender, &buffers, job.timings));

        let runs = Sorter { runs: runs_sender, empty };
        let mut collector = Collector::new(job, rejects, lines, blanks, runs);
        let collected = collect(&mut collector, &results, &buffer_sender);
        // Whoever still waits for a slab, a buffer or a run to sort sees that nobody is left.
        drop(buffer_sender);
        drop(results);
        let collected = collected.and_then(|()| collector.finish());
        // Without its other end the sorter would wait for ever.
        let collected =
            collected.map(|Collected { rejects, facts, chunks, .. }| (rejects, facts, chunks));
        let read = join(reading);
        let mut broken: Vec<Failure> = Vec::new();
        for parser in parsers {
            merge_failures(&mut broken, join(parser));
        }
        let sorted = join(sorter);
        // A reader that failed is the reason for whatever else failed; so is the sorter.
        let (sha256, bytes) = match read {
            Ok(read) => read,
            Err(ReadError::Failed(error)) => return Err(error),
            Err(ReadError::Abandoned) => (Digest::of_bytes(b""), 0),
        };
        let rows = sorted?;
        let (rejects, facts, chunks) = collected?;
        Ok(Ingested { rows, rejects, sha256, bytes, facts, chunks, broken })
    })
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A raw file while it is read. A line without end is read within one call, so the reader looks at the
/// flag too.
pub(super) type Input<'c> = Stoppable<'c, HashingReader>;

/// The header of a CSV file, and what of its slab comes after it.
#[derive(Default)]
pub(super) struct Header {
    pub columns: Option<CsvColumns>,
    pub lines_before: u64,
    pub blank_lines: u64,
    pub rest: Option<Work>,
}

/// Reads the header of a file whose format has one.
pub(super) fn header_of(
    source: Source,
    slabs: &mut SlabReader<Input<'_>>,
    file: &RawFile,
) -> Result<Header, TaskError> {
    match source {
        Source::Payments => read_header(slabs, file),
        Source::Prints | Source::Taps => Ok(Header::default()),
    }
}

fn read_header(slabs: &mut SlabReader<Input<'_>>, file: &RawFile) -> Result<Header, TaskError> {
    let unreadable = |what: String| {
        TaskError::new(ExitCode::Input, format!("`{}`: {what}", file.path.display()))
            .hint("the first line must name the columns pay_date,total,user_id,value_prop")
    };
    let (mut lines_before, mut blank_lines) = (0, 0);
    while let Some(slab) = next_slab(slabs, Vec::new())? {
        if slab.long.is_some() {
            return Err(unreadable("the header line is longer than 1 MiB".to_owned()));
        }
        let mut lines = Lines::new(&slab.bytes);
        let header = lines.find(|line| !line.bytes.is_empty());
        let Some(header) = header else {
            let count = Lines::new(&slab.bytes).count() as u64;
            lines_before += count;
            blank_lines += count;
            continue;
        };
        let columns =
            CsvColumns::from_header(header.bytes).map_err(|error| unreadable(error.to_string()))?;
        blank_lines += u64::from(header.index);
        let skip_lines = header.index + 1;
        let rest = Some(Work { sequence: 0, slab, skip_lines });
        return Ok(Header { columns: Some(columns), lines_before, blank_lines, rest });
    }
    Err(unreadable("there is no header line".to_owned()))
}

/// The next slab of a file.
pub(super) fn next_slab(
    slabs: &mut SlabReader<Input<'_>>,
    reuse: Vec<u8>,
) -> Result<Option<Slab>, TaskError> {
    slabs.next(reuse).map_err(|error| TaskError::new(ExitCode::Input, error.to_string()))
}

enum ReadError {
    Failed(TaskError),
    /// Nobody wants slabs any more: another thread failed.
    Abandoned,
}

impl From<TaskError> for ReadError {
    fn from(error: TaskError) -> ReadError {
        ReadError::Failed(error)
    }
}

/// The reading thread: slabs to the parsers, then the hash and the size of the file.
fn read_slabs(
    mut slabs: SlabReader<Input<'_>>,
    first: Option<Work>,
    work: &SyncSender<Work>,
    buffers: &Receiver<Vec<u8>>,
    timings: &Timings,
) -> Result<(Digest, u64), ReadError> {
    let mut sequence = 0;
    let mut reading = Duration::ZERO;
    if let Some(first) = first {
        work.send(first).map_err(|_| ReadError::Abandoned)?;
        sequence += 1;
    }
    loop {
        let buffer = buffers.recv().map_err(|_| ReadError::Abandoned)?;
        let began = Instant::now();
        let slab = next_slab(&mut slabs, buffer)?;
        reading += began.elapsed();
        let Some(slab) = slab else { break };
        let sent = work.send(Work { sequence, slab, skip_lines: 0 });
        sent.map_err(|_| ReadError::Abandoned)?;
        sequence += 1;
    }
    let FileRead { sha256, bytes, hashing } =
        slabs.into_reader().inner.finish().map_err(TaskError::from)?;
    timings.add_time(Phase::Hash, hashing);
    timings.add_time(Phase::Read, reading.saturating_sub(hashing));
    Ok((Digest::from(sha256), bytes))
}

/// The sorting thread: runs into the rows file.
fn sort_runs(
    rows: Staged,
    runs: &Receiver<RunBuffer>,
    empty: &Sender<RunBuffer>,
    spare: &Pool<Chunk>,
    sizes: &Sizes,
    timings: &Timings,
) -> Result<Staged, TaskError> {
    let mut writer = RowsWriter::new(rows).map_err(RowsError::from)?;
    let mut space = SortSpace::default();
    while let Ok(run) = runs.recv() {
        let free = |chunk| spare.put(chunk);
        timings.time(Phase::Sort, || run.write_sorted(&mut writer, &mut space, sizes, free))?;
        if empty.send(RunBuffer::default()).is_err() {
            break;
        }
    }
    Ok(writer.finish().map_err(RowsError::from)?.0)
}

/// Puts what the parsers made back in file order.
fn collect(
    collector: &mut Collector<'_, Staged, Sorter>,
    results: &Receiver<ParseResult>,
    buffers: &Sender<Vec<u8>>,
) -> Result<(), TaskError> {
    let mut early = std::collections::BTreeMap::new();
    let mut next = 0;
    while let Ok(result) = results.recv() {
        let parsed = result?;
        early.insert(parsed.sequence, parsed);
        while let Some(parsed) = early.remove(&next) {
            next += 1;
            let buffer = collector.add(parsed)?;
            // A reader that is done needs no buffer.
            let _ = buffers.send(buffer);
        }
    }
    Ok(())
}

/// The sorting thread, as the collector sees it.
struct Sorter {
    runs: SyncSender<RunBuffer>,
    empty: Receiver<RunBuffer>,
}

impl Runs for Sorter {
    // The sorter is gone only if it failed; it says why itself.
    fn empty(&mut self) -> Result<RunBuffer, TaskError> {
        self.empty.recv().map_err(|_| TaskError::cancelled())
    }

    fn sort(&mut self, run: RunBuffer) -> Result<(), TaskError> {
        self.runs.send(run).map_err(|_| TaskError::cancelled())
    }
}

/// Adds what one parser found to what others found.
fn merge_failures(all: &mut Vec<Failure>, more: Vec<Failure>) {
    for failure in more {
        let same = |known: &&mut Failure| {
            known.column == failure.column && known.expected == failure.expected
        };
        match all.iter_mut().find(same) {
            Some(known) => known.rows += failure.rows,
            None => all.push(failure),
        }
    }
}
