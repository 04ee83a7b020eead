//! One input file, read once: hashed, split, parsed, checked and sorted into runs.
//!
//! Four kinds of threads work on a file: one reads and hashes slabs of whole lines, several
//! parse them, the calling one puts the results back in file order and cuts them into runs,
//! one sorts and writes the runs. Slabs and runs are handed round, so memory does not grow with
//! the file. The bytes made depend on the file and the rules alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::ScopedJoinHandle;

use super::memory::Share;
use super::profile::{FileFacts, SlabFacts};
use super::rejects::{Reject, RejectWriter};
use crate::contract::{Contract, Failure, Inspection, Measure, Values};
use crate::exit_code::ExitCode;
use crate::frame::{RawFrame, amount_of_cents};
use crate::record::{
    CsvColumns, Rules, Scratch, Source, Verdict, check_csv, check_json, json_line_is_blank,
    too_long, visible,
};
use crate::rows::{Chunk, RowsError, RowsWriter, RunBuffer, Sizes};
use crate::source::{HashingReader, Lines, RawFile, Slab, SlabReader, open};
use crate::store::{Digest, Staged};
use crate::task::TaskError;

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

/// A slab on its way to a parser.
struct Work {
    sequence: u64,
    slab: Slab,
    /// Lines at the start of the slab that are no records: those up to the header.
    skip_lines: u32,
}

/// What a parser made of a slab.
struct Parsed {
    sequence: u64,
    slab: Slab,
    chunk: Chunk,
    rejects: Vec<Reject>,
    facts: SlabFacts,
}

type ParseResult = Result<Parsed, TaskError>;

/// Reads a file into `rows` and `rejects`.
pub(super) fn ingest(
    job: &Job<'_>,
    file: &RawFile,
    rows: Staged,
    rejects: Staged,
) -> Result<Ingested, TaskError> {
    let reader = open(&file.path, job.share.memory_bytes)?;
    let mut slabs = SlabReader::new(reader, job.share.slab_bytes(job.sizes));
    let header = match job.source {
        Source::Payments => Some(read_header(&mut slabs, file)?),
        Source::Prints | Source::Taps => None,
    };
    let (columns, first, lines, blanks) = match header {
        Some(header) => {
            (Some(header.columns), header.rest, header.lines_before, header.blank_lines)
        }
        None => (None, None, 0, 0),
    };
    let columns = columns.as_ref();
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
                scope.spawn(move || parse_slabs(job, columns, &work, &results))
            })
            .collect();
        // Only the parsers hold these now: when they are gone, those at the other end notice.
        drop((work, results_sender));
        let (runs_sender, runs) = sync_channel::<RunBuffer>(0);
        let (empty_sender, empty) = channel::<RunBuffer>();
        for _ in 0..job.share.run_buffers() {
            let _ = empty_sender.send(RunBuffer::new(job.sizes));
        }
        let sizes = job.sizes;
        let sorter = scope.spawn(move || sort_runs(rows, &runs, &empty_sender, sizes));
        let reading = scope.spawn(move || read_slabs(slabs, first, &work_sender, &buffers));

        let mut collector = Collector::new(job, rejects, lines, blanks, runs_sender, empty);
        let collected = collector.collect(&results, &buffer_sender);
        // Whoever still waits for a slab, a buffer or a run to sort sees that nobody is left.
        drop(buffer_sender);
        drop(results);
        let collected = collected.and_then(|()| collector.finish());
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

/// The header of a CSV file, and what of its slab comes after it.
struct Header {
    columns: CsvColumns,
    lines_before: u64,
    blank_lines: u64,
    rest: Option<Work>,
}

fn read_header(slabs: &mut SlabReader<HashingReader>, file: &RawFile) -> Result<Header, TaskError> {
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
        return Ok(Header { columns, lines_before, blank_lines, rest });
    }
    Err(unreadable("there is no header line".to_owned()))
}

fn next_slab(
    slabs: &mut SlabReader<HashingReader>,
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
    mut slabs: SlabReader<HashingReader>,
    first: Option<Work>,
    work: &SyncSender<Work>,
    buffers: &Receiver<Vec<u8>>,
) -> Result<(Digest, u64), ReadError> {
    let mut sequence = 0;
    if let Some(first) = first {
        work.send(first).map_err(|_| ReadError::Abandoned)?;
        sequence += 1;
    }
    loop {
        let buffer = buffers.recv().map_err(|_| ReadError::Abandoned)?;
        let Some(slab) = next_slab(&mut slabs, buffer)? else { break };
        let sent = work.send(Work { sequence, slab, skip_lines: 0 });
        sent.map_err(|_| ReadError::Abandoned)?;
        sequence += 1;
    }
    let (sha256, bytes) = slabs.into_reader().finish().map_err(TaskError::from)?;
    Ok((Digest::from(sha256), bytes))
}

/// A parsing thread: slabs to rows and rejects. Returns what breaks the contract.
fn parse_slabs(
    job: &Job<'_>,
    columns: Option<&CsvColumns>,
    work: &Mutex<Receiver<Work>>,
    results: &Sender<ParseResult>,
) -> Vec<Failure> {
    let mut parser = Parser {
        job,
        columns,
        scratch: Scratch::default(),
        inspection: job.contract.map(|contract| Inspection::new(contract.clone())),
        frame: RawFrame::new(measure_of(job.source)),
    };
    loop {
        let next = work.lock().map(|work| work.recv());
        let Ok(Ok(next)) = next else { break };
        if job.cancel.load(Ordering::Relaxed) {
            let _ = results.send(Err(TaskError::cancelled()));
            break;
        }
        if results.send(parser.parse(next)).is_err() {
            break;
        }
    }
    parser.inspection.map(Inspection::finish).unwrap_or_default()
}

/// What a row of a source carries beside time, user and value prop.
pub(super) fn measure_of(source: Source) -> Measure {
    match source {
        Source::Prints | Source::Taps => Measure::Position,
        Source::Payments => Measure::Amount,
    }
}

struct Parser<'j> {
    job: &'j Job<'j>,
    columns: Option<&'j CsvColumns>,
    scratch: Scratch,
    inspection: Option<Inspection>,
    frame: RawFrame,
}

impl Parser<'_> {
    fn parse(&mut self, work: Work) -> ParseResult {
        let Work { sequence, slab, skip_lines } = work;
        let mut parsed = Parsed {
            sequence,
            slab,
            chunk: Chunk::default(),
            rejects: Vec::new(),
            facts: SlabFacts::default(),
        };
        if let Some(long) = &parsed.slab.long {
            parsed.facts.lines = 1;
            if long.blank && self.columns.is_none() {
                parsed.facts.blank_lines = 1;
            } else {
                let faults = vec![too_long(self.job.source, long.bytes)];
                let reject = Reject {
                    line: 0,
                    byte_offset: parsed.slab.offset,
                    faults,
                    raw: visible(&parsed.slab.bytes),
                };
                parsed.facts.reject(&reject.faults, None, self.job.rules.oldest_us);
                parsed.facts.records = 1;
                parsed.rejects.push(reject);
            }
            return Ok(parsed);
        }
        self.parse_lines(&mut parsed, skip_lines);
        self.inspect(&parsed.chunk)?;
        Ok(parsed)
    }

    fn parse_lines(&mut self, parsed: &mut Parsed, skip_lines: u32) {
        let facts = &mut parsed.facts;
        let oldest_us = self.job.rules.oldest_us;
        for line in Lines::new(&parsed.slab.bytes) {
            facts.lines += 1;
            if line.index < skip_lines {
                continue;
            }
            let blank = match self.columns {
                Some(_) => line.bytes.is_empty(),
                None => json_line_is_blank(line.bytes),
            };
            if blank {
                facts.blank_lines += 1;
                continue;
            }
            let (verdict, number) = match self.columns {
                Some(columns) => {
                    let rules = self.job.rules;
                    let verdict = check_csv(line.bytes, columns, rules, &mut self.scratch);
                    (verdict, facts.records)
                }
                None => {
                    let verdict = check_json(line.bytes, self.job.rules, &mut self.scratch);
                    (verdict, u64::from(line.index))
                }
            };
            facts.records += 1;
            match verdict {
                Verdict::Accepted(row) => {
                    facts.accept(row.timestamp_us);
                    parsed.chunk.push(
                        row.user_id,
                        row.timestamp_us,
                        row.value_prop,
                        row.measure,
                        number,
                        row.soft_issues,
                    );
                }
                Verdict::Rejected { timestamp_us, faults } => {
                    facts.reject(&faults, timestamp_us, oldest_us);
                    parsed.rejects.push(Reject {
                        line: line.index,
                        byte_offset: parsed.slab.offset + u64::from(line.offset),
                        faults,
                        raw: visible(line.bytes),
                    });
                }
            }
        }
        facts.chunks = parsed.chunk.len().div_ceil(self.job.chunk_rows) as u64;
    }

    /// Holds accepted rows against the contract, `chunk_rows` at a time.
    fn inspect(&mut self, chunk: &Chunk) -> Result<(), TaskError> {
        let Some(inspection) = &mut self.inspection else { return Ok(()) };
        if self.job.contract.is_some_and(|contract| surely_keeps(contract, self.job.source, chunk))
        {
            return Ok(inspection.pass(chunk.len() as u64, None)?);
        }
        for start in (0..chunk.len()).step_by(self.job.chunk_rows) {
            let end = chunk.len().min(start.saturating_add(self.job.chunk_rows));
            (start..end).for_each(|row| self.frame.push(chunk.values(row)));
            inspection.add(&self.frame.take()?)?;
        }
        Ok(())
    }
}

/// Whether the rows keep the contract beyond doubt: then no frame is made of them.
fn surely_keeps(contract: &Contract, source: Source, chunk: &Chunk) -> bool {
    let rows = || (0..chunk.len()).map(|row| chunk.values(row));
    let (mut times, mut measures) = ([i64::MAX, i64::MIN], [u64::MAX, u64::MIN]);
    let mut nulls = false;
    for (_, time, _, measure) in rows() {
        times = [times[0].min(time), times[1].max(time)];
        nulls |= measure == 0;
        if measure > 0 {
            measures = [measures[0].min(measure), measures[1].max(measure)];
        }
    }
    let given = measures[0] <= measures[1];
    let measured = match measure_of(source) {
        Measure::Position => {
            let ends = measures.map(|measure| measure.wrapping_sub(1) as i64);
            (!nulls || contract.keeps("position", Values::Null))
                && (!given || contract.keeps("position", Values::Integers(&ends)))
        }
        Measure::Amount => {
            let ends = measures.map(|cents| amount_of_cents(cents.into()));
            !nulls && (!given || contract.keeps("amount", Values::Numbers(&ends)))
        }
    };
    chunk.is_empty()
        || measured
            && contract.keeps("timestamp", Values::Instants(&times))
            && contract.keeps_texts("user_id", rows().map(|row| row.0))
            && contract.keeps_texts("value_prop_id", rows().map(|row| row.2))
}

/// The sorting thread: runs into the rows file.
fn sort_runs(
    rows: Staged,
    runs: &Receiver<RunBuffer>,
    empty: &Sender<RunBuffer>,
    sizes: &Sizes,
) -> Result<Staged, TaskError> {
    let mut writer = RowsWriter::new(rows).map_err(RowsError::from)?;
    while let Ok(mut run) = runs.recv() {
        run.write_sorted(&mut writer, sizes)?;
        if empty.send(run).is_err() {
            break;
        }
    }
    Ok(writer.finish().map_err(RowsError::from)?.0)
}

/// Puts what the parsers made back in file order.
struct Collector<'j> {
    job: &'j Job<'j>,
    rejects: RejectWriter<Staged>,
    facts: FileFacts,
    lines: u64,
    bytes: u64,
    chunks: u64,
    run: Option<RunBuffer>,
    runs: SyncSender<RunBuffer>,
    empty: Receiver<RunBuffer>,
}

impl<'j> Collector<'j> {
    fn new(
        job: &'j Job<'j>,
        rejects: Staged,
        lines: u64,
        blank_lines: u64,
        runs: SyncSender<RunBuffer>,
        empty: Receiver<RunBuffer>,
    ) -> Collector<'j> {
        let facts = FileFacts { blank_lines, ..FileFacts::default() };
        let rejects = RejectWriter::new(rejects);
        Collector { job, rejects, facts, lines, bytes: 0, chunks: 0, run: None, runs, empty }
    }

    fn collect(
        &mut self,
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
                self.add(&parsed)?;
                // A reader that is done needs no buffer.
                let _ = buffers.send(parsed.slab.bytes);
            }
        }
        Ok(())
    }

    fn add(&mut self, parsed: &Parsed) -> Result<(), TaskError> {
        for reject in &parsed.rejects {
            self.rejects.write(reject, self.lines)?;
        }
        let first_row_number = match self.job.source {
            Source::Payments => self.facts.rows_read,
            Source::Prints | Source::Taps => self.lines,
        };
        let mut taken = 0;
        while taken < parsed.chunk.len() {
            let mut run = match self.run.take() {
                Some(run) => run,
                // The sorter is gone only if it failed; it says why itself.
                None => self.empty.recv().map_err(|_| TaskError::cancelled())?,
            };
            taken = run.fill(&parsed.chunk, taken, first_row_number, self.job.sizes);
            if run.is_full(self.job.sizes) {
                self.runs.send(run).map_err(|_| TaskError::cancelled())?;
            } else {
                self.run = Some(run);
            }
        }
        self.lines += parsed.facts.lines;
        self.chunks += parsed.facts.chunks;
        self.bytes = parsed.slab.offset + parsed.slab.bytes.len() as u64;
        self.facts.add(&parsed.facts);
        (self.job.progress)(self.bytes, self.facts.rows_read);
        Ok(())
    }

    fn finish(self) -> Result<(Staged, FileFacts, u64), TaskError> {
        if let Some(run) = self.run.filter(|run| !run.is_empty()) {
            self.runs.send(run).map_err(|_| TaskError::cancelled())?;
        }
        Ok((self.rejects.finish()?, self.facts, self.chunks))
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
