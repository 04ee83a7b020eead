//! A parsing thread: slabs of whole lines to rows, rejects and counts.
//!
//! Rows are held against the raw-canonical contract slab by slab. Does not know which slab came
//! before or comes next, nor what becomes of the rows.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};

use super::ingest::Job;
use super::profile::SlabFacts;
use super::rejects::Reject;
use crate::contract::{Contract, Failure, Inspection, Measure, Values};
use crate::frame::{RawFrame, amount_of_cents};
use crate::record::{
    BlockParser, CsvColumns, Place, PropCode, Rejection, Row, Sink, Source, too_long, visible,
};
use crate::rows::{Chunk, Pool};
use crate::source::Slab;
use crate::task::TaskError;
use crate::timings::Phase;

/// A slab on its way to a parser.
pub(super) struct Work {
    pub sequence: u64,
    pub slab: Slab,
    /// Lines at the start of the slab that are no records: those up to the header.
    pub skip_lines: u32,
}

/// What a parser made of a slab.
pub(super) struct Parsed {
    pub sequence: u64,
    pub slab: Slab,
    pub chunk: Chunk,
    pub rejects: Vec<Reject>,
    pub facts: SlabFacts,
}

pub(super) type ParseResult = Result<Parsed, TaskError>;

/// Parses slabs until there are no more. Returns what breaks the contract.
pub(super) fn parse_slabs(
    job: &Job<'_>,
    columns: Option<&CsvColumns>,
    work: &Mutex<Receiver<Work>>,
    results: &Sender<ParseResult>,
    spare: &Pool<Chunk>,
) -> Vec<Failure> {
    let mut parser = Parser::new(job, columns, spare);
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
    parser.finish()
}

/// What a row of a source carries beside time, user and value prop.
pub(super) fn measure_of(source: Source) -> Measure {
    match source {
        Source::Prints | Source::Taps => Measure::Position,
        Source::Payments => Measure::Amount,
    }
}

/// Parses slabs of one file, one after the other.
pub(super) struct Parser<'j> {
    job: &'j Job<'j>,
    lines: BlockParser<'j>,
    is_csv: bool,
    /// Chunks whose rows are written.
    spare: &'j Pool<Chunk>,
    /// As many rows as a slab has had, and a few more.
    usual_rows: usize,
    inspection: Option<Inspection>,
    frame: RawFrame,
}

impl<'j> Parser<'j> {
    /// For JSON Lines, or for CSV with these columns.
    pub fn new(job: &'j Job<'j>, columns: Option<&'j CsvColumns>, spare: &'j Pool<Chunk>) -> Self {
        Parser {
            job,
            lines: BlockParser::new(job.rules, columns),
            is_csv: columns.is_some(),
            spare,
            usual_rows: 0,
            inspection: job.contract.map(|contract| Inspection::new(contract.clone())),
            frame: RawFrame::new(measure_of(job.source)),
        }
    }

    /// What breaks the contract.
    pub fn finish(self) -> Vec<Failure> {
        self.inspection.map(Inspection::finish).unwrap_or_default()
    }

    /// Parses the next slab.
    pub fn parse(&mut self, work: Work) -> ParseResult {
        self.job.timings.time(Phase::Parse, || self.parse_slab(work))
    }

    fn parse_slab(&mut self, work: Work) -> ParseResult {
        let Work { sequence, slab, skip_lines } = work;
        let mut chunk = self.spare.take().unwrap_or_default();
        if slab.long.is_some() {
            return Ok(self.long_line(sequence, slab, chunk));
        }
        chunk.reserve(self.usual_rows);
        let mut taken = Taken {
            chunk,
            rejects: Vec::new(),
            facts: SlabFacts::default(),
            oldest_us: self.job.rules.oldest_us,
            slab_offset: slab.offset,
            is_csv: self.is_csv,
            numbers: [None; PropCode::LIMIT],
            times_us: [i64::MAX, i64::MIN],
        };
        let counts = self.lines.parse(&slab.bytes, skip_lines, &mut taken);
        let Taken { chunk, rejects, mut facts, times_us, .. } = taken;
        facts.lines = counts.lines.into();
        facts.blank_lines = counts.blank_lines.into();
        facts.records = counts.records.into();
        facts.accept(chunk.len() as u64, times_us[0]);
        facts.chunks = chunk.len().div_ceil(self.job.chunk_rows) as u64;
        self.usual_rows = self.usual_rows.max(chunk.len() + chunk.len() / 16);
        self.inspect(&chunk, times_us)?;
        Ok(Parsed { sequence, slab, chunk, rejects, facts })
    }

    /// A line that is too long to be held comes alone.
    fn long_line(&self, sequence: u64, slab: Slab, chunk: Chunk) -> Parsed {
        let mut facts = SlabFacts::default();
        facts.lines = 1;
        let mut rejects = Vec::new();
        match &slab.long {
            Some(long) if !long.blank || self.is_csv => {
                let faults = vec![too_long(self.job.source, long.bytes)];
                facts.reject(&faults, None, self.job.rules.oldest_us);
                facts.records = 1;
                let raw = visible(&slab.bytes);
                rejects.push(Reject { line: 0, byte_offset: slab.offset, faults, raw });
            }
            _ => facts.blank_lines = 1,
        }
        Parsed { sequence, slab, chunk, rejects, facts }
    }

    /// Holds accepted rows against the contract, `chunk_rows` at a time.
    fn inspect(&mut self, chunk: &Chunk, times_us: [i64; 2]) -> Result<(), TaskError> {
        let (Some(inspection), Some(contract)) = (&mut self.inspection, self.job.contract) else {
            return Ok(());
        };
        if surely_keeps(contract, self.job.source, chunk, times_us) {
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

/// What the records of one slab come to.
struct Taken {
    chunk: Chunk,
    rejects: Vec<Reject>,
    facts: SlabFacts,
    oldest_us: i64,
    slab_offset: u64,
    is_csv: bool,
    /// The chunk's numbers of the value props that the parser has a code for.
    numbers: [Option<u32>; PropCode::LIMIT],
    /// The oldest and the newest timestamp.
    times_us: [i64; 2],
}

impl Sink for Taken {
    #[inline]
    fn accept(&mut self, place: Place, row: Row<'_>, code: Option<PropCode>) {
        let chunk = &mut self.chunk;
        let value_prop = match code.map(|code| &mut self.numbers[code.index()]) {
            Some(Some(number)) => *number,
            Some(unknown) => *unknown.insert(chunk.value_prop(row.value_prop)),
            None => chunk.value_prop(row.value_prop),
        };
        let [oldest, newest] = self.times_us;
        self.times_us = [oldest.min(row.timestamp_us), newest.max(row.timestamp_us)];
        let row_number = if self.is_csv { place.record } else { place.line };
        let Row { user_id, timestamp_us, measure, soft_issues, .. } = row;
        chunk.push(user_id, timestamp_us, value_prop, measure, row_number.into(), soft_issues);
    }

    fn reject(&mut self, place: Place, rejection: Rejection<'_>) {
        let Rejection { timestamp_us, faults, raw } = rejection;
        self.facts.reject(&faults, timestamp_us, self.oldest_us);
        self.rejects.push(Reject {
            line: place.line,
            byte_offset: self.slab_offset + u64::from(place.offset),
            faults,
            raw: visible(raw),
        });
    }
}

/// Whether the rows keep the contract beyond doubt: then no frame is made of them.
fn surely_keeps(contract: &Contract, source: Source, chunk: &Chunk, times_us: [i64; 2]) -> bool {
    let (mut least, mut most, mut nulls) = (u64::MAX, u64::MIN, false);
    for measure in chunk.measures() {
        nulls |= measure == 0;
        if measure > 0 {
            (least, most) = (least.min(measure), most.max(measure));
        }
    }
    let given = least <= most;
    let measured = match measure_of(source) {
        Measure::Position => {
            let ends = [least, most].map(|measure| measure.wrapping_sub(1) as i64);
            (!nulls || contract.keeps("position", Values::Null))
                && (!given || contract.keeps("position", Values::Integers(&ends)))
        }
        Measure::Amount => {
            let ends = [least, most].map(|cents| amount_of_cents(cents.into()));
            !nulls && (!given || contract.keeps("amount", Values::Numbers(&ends)))
        }
    };
    chunk.is_empty()
        || measured
            && contract.keeps("timestamp", Values::Instants(&times_us))
            && contract.keeps_texts("user_id", chunk.users())
            && contract.keeps_texts("value_prop_id", chunk.value_props())
}
