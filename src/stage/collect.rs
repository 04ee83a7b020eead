//! What was made of the slabs of one file, in file order: rejects, runs of rows, counts.
//!
//! Does not know who sorts a run, nor where rejects are written to.

use std::io::Write;
use std::sync::Arc;

use super::ingest::Job;
use super::parse::Parsed;
use super::profile::FileFacts;
use super::rejects::RejectWriter;
use crate::record::Source;
use crate::rows::RunBuffer;
use crate::task::TaskError;

/// Where the runs of a file go.
pub(super) trait Runs {
    /// Room for another run.
    fn empty(&mut self) -> Result<RunBuffer, TaskError>;
    /// Takes the next run of the file.
    fn sort(&mut self, run: RunBuffer) -> Result<(), TaskError>;
}

/// Takes what is made of a file, slab by slab.
pub(super) struct Collector<'j, W: Write, R> {
    job: &'j Job<'j>,
    rejects: RejectWriter<W>,
    facts: FileFacts,
    lines: u64,
    bytes: u64,
    chunks: u64,
    run: Option<RunBuffer>,
    runs: R,
}

/// What came of a file.
pub(super) struct Collected<W, R> {
    pub rejects: W,
    pub facts: FileFacts,
    pub chunks: u64,
    pub runs: R,
}

impl<'j, W: Write, R: Runs> Collector<'j, W, R> {
    /// Begins after the header of the file, if there is one.
    pub fn new(job: &'j Job<'j>, rejects: W, lines: u64, blank_lines: u64, runs: R) -> Self {
        let facts = FileFacts { blank_lines, ..FileFacts::default() };
        let rejects = RejectWriter::new(rejects);
        Collector { job, rejects, facts, lines, bytes: 0, chunks: 0, run: None, runs }
    }

    /// Takes what was made of the next slab; its buffer can be used again.
    pub fn add(&mut self, parsed: Parsed) -> Result<Vec<u8>, TaskError> {
        for reject in &parsed.rejects {
            self.rejects.write(reject, self.lines)?;
        }
        let first_row_number = match self.job.source {
            Source::Payments => self.facts.rows_read,
            Source::Prints | Source::Taps => self.lines,
        };
        let chunk = Arc::new(parsed.chunk);
        let mut taken = 0;
        while taken < chunk.len() {
            let mut run = match self.run.take() {
                Some(run) => run,
                None => self.runs.empty()?,
            };
            taken = run.fill(&chunk, taken, first_row_number, self.job.sizes);
            if run.is_full(self.job.sizes) {
                self.runs.sort(run)?;
            } else {
                self.run = Some(run);
            }
        }
        self.lines += parsed.facts.lines;
        self.chunks += parsed.facts.chunks;
        self.bytes = parsed.slab.offset + parsed.slab.bytes.len() as u64;
        self.facts.add(&parsed.facts);
        (self.job.progress)(self.bytes, self.facts.rows_read);
        Ok(parsed.slab.bytes)
    }

    /// The file is at its end.
    pub fn finish(mut self) -> Result<Collected<W, R>, TaskError> {
        if let Some(run) = self.run.take().filter(|run| !run.is_empty()) {
            self.runs.sort(run)?;
        }
        let Collector { rejects, facts, chunks, runs, .. } = self;
        Ok(Collected { rejects: rejects.finish()?, facts, chunks, runs })
    }
}
