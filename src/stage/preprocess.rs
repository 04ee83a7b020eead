//! preprocess: the sorted rows of a source's files to one Silver table.
//!
//! A range of users is gathered from all runs and sorted, so equal events are neighbours:
//! duplicates are found without looking anything up. Rows at or after as_of are left out. Beside
//! the table stands its twin, the same events in mp's own format, from which features and quality
//! read.
//!
//! The worker that gathers a range makes its row groups too, so a row group ends where a range
//! does. The ranges follow from the number of the rows and of their packed bytes alone.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Map, json};

use super::file_result::{Extent, FileResult, files_of, rows_of};
use super::memory::Share;
use super::outcome::output;
use super::parse::measure_of;
use super::stoppable::Stoppable;
use super::tables::{FinishedGroup, Table, TableSpec, Written};
use crate::as_of::{AsOf, rfc3339};
use crate::contract::{Bounds, silver};
use crate::exit_code::ExitCode;
use crate::fault;
use crate::frame::{SilverFrame, SilverRow, amount_of_cents};
use crate::progress::Unit;
use crate::record::{Decimal, Source};
use crate::rows::{
    BlockBuilder, Effort, Emitter, Gatherer, HashRange, NumberedFile, PackedBlock, Pool, Record,
    RowsError, RowsFile, RowsWriter, Run, Sizes, in_order, merge_in_passes, runs_of,
};
use crate::settings::{Dedupe, PreprocessSettings, Resources};
use crate::store::{Digest, Ingredients, MODE_READ_ONLY, Manifest, Place, Scratch, Staged};
use crate::task::{Product, TaskContext, TaskError, TaskId, Upstream};
use crate::timings::{Phase, Timings};

/// Raised when the same input should give another result.
const VERSION: u32 = 4;

/// With more objects than this, each is opened whenever it is read: three sources may be at work, and a
/// process may often hold no more than 1,024 open.
const MOST_KEPT_OPEN: usize = 128;

/// The preprocess of one source.
pub(super) struct Preprocess<'p> {
    pub source: Source,
    pub settings: &'p PreprocessSettings,
    pub as_of: &'p AsOf,
    pub resources: &'p Resources,
    pub sizes: &'p Sizes,
}

/// The largest amount that Silver may hold where `limit` is the largest before rounding.
pub(super) fn largest_amount(limit: &Decimal) -> f64 {
    limit.largest_cents().map_or(f64::MAX, |cents| amount_of_cents(cents.into()))
}

/// The twin of a Silver table: its events, without duplicates, as a rows file.
pub(super) fn events_of(manifest: &Manifest) -> Result<Digest, TaskError> {
    manifest.extra.get("events").map_err(|error| {
        let text = format!("the manifest of `{}` names no events: {error}", manifest.task());
        TaskError::new(ExitCode::Failure, text).hint("run it again with `--force`")
    })
}

/// What one part of the merge counts.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    duplicates: u64,
    after_as_of: u64,
    latest_after_as_of_us: Option<i64>,
}

/// What was made of rows of one part, in order.
#[derive(Default)]
struct Batch {
    /// A row group of the table.
    group: Option<FinishedGroup>,
    rows: u64,
    /// The events among its rows.
    events: Vec<PackedBlock>,
    tally: Tally,
}

impl Preprocess<'_> {
    fn extract_manifest<'u>(&self, upstream: &'u Upstream) -> Result<&'u Manifest, TaskError> {
        let id = TaskId::new("extract", Some(self.source.name()));
        id.ok().and_then(|id| upstream.get(&id)).map(|manifest| &**manifest).ok_or_else(|| {
            let text = format!("there is no result of `extract.{}`", self.source);
            TaskError::new(ExitCode::Refused, text)
                .hint(format!("run `mp extract --source {}`", self.source))
        })
    }

    /// What needs no look at upstream.
    pub fn settings_only(&self) -> Ingredients {
        Ingredients {
            stage_version: VERSION,
            settings: self.settings.entries(),
            as_of: Some(self.as_of.to_string()),
            ..Ingredients::default()
        }
    }

    /// What the next result would be made of.
    pub fn ingredients(&self, upstream: &Upstream) -> Result<Ingredients, TaskError> {
        let inputs = rows_of(self.extract_manifest(upstream)?)?;
        Ok(Ingredients { inputs, ..self.settings_only() })
    }

    /// Computes the task.
    pub fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError> {
        let manifest = self.extract_manifest(context.upstream)?;
        let files = files_of(manifest)?;
        let share = Share::of(self.resources, context.concurrency);
        let opened = self.open(&files, context)?;
        let total: u64 = opened.iter().map(|(file, _)| file.summary().rows).sum();
        let packed: u64 = files.iter().map(|file| file.rows_at.bytes).sum();
        // Long texts make a part of fewer rows.
        let rows = total.max(packed.div_ceil(self.sizes.part_bytes) * self.sizes.part_rows);
        let parts = HashRange::split_by_rows(rows, self.sizes.part_rows);
        let mut spills = Spills { context, scratch: Vec::new() };
        let most_bytes = share.gathered_bytes(self.sizes);
        let effort = Effort { fan_in: self.sizes.fan_in, threads: share.threads, most_bytes };
        let merged = spills.merge(opened, effort, self.sizes)?;
        let runs = runs_of(&merged);

        context.progress.step(self.source.name(), 1, 1);
        let names: Vec<&str> = files.iter().map(|file| &*file.name).collect();
        let mut table_file = context.stage(MODE_READ_ONLY)?;
        let spec = self.spec()?;
        let mut sink = Sink::new(context, &mut table_file, &spec, total)?;
        let spare = Pool::default();
        let space = || Space {
            gatherer: Gatherer::default(),
            events: BlockBuilder::bare(),
            last: LastRow::default(),
            frame: self.frame(),
        };
        in_order(
            &parts,
            share.threads,
            |&range, emitter| {
                let timings = context.timings;
                let part = Part { preprocess: self, names: &names, spec: &spec, timings, emitter };
                spare.with(space, |space| part.make(&runs, range, most_bytes, space))
            },
            |batch: Batch| sink.take(batch),
        )?;
        let Sunk { written, tally, events, event_rows } = sink.finish()?;
        let table = table_file.finish()?;
        let events = events.finish()?;

        let mut counts = Map::new();
        let rows_valid: u64 = files.iter().map(|file| file.facts.rows_valid).sum();
        counts.insert("rows_valid".into(), rows_valid.into());
        counts.insert("rows_silver".into(), written.rows.into());
        counts.insert("duplicates".into(), tally.duplicates.into());
        let dropped = if self.settings.dedupe == Dedupe::Drop { tally.duplicates } else { 0 };
        counts.insert("duplicates_dropped".into(), dropped.into());
        counts.insert("rows_after_as_of".into(), tally.after_as_of.into());
        if let Some(latest) = tally.latest_after_as_of_us {
            counts.insert("latest_after_as_of".into(), rfc3339(latest).into());
        }
        let extra = json!({ "events": events.digest() });
        let rows = Some(written.rows);
        let silver = Place::silver(self.source.name());
        Ok(Product {
            ingredients: self.ingredients(context.upstream)?,
            outputs: vec![
                output(table, Some(silver), rows, Some(written.schema)),
                output(events, None, Some(event_rows), None),
            ],
            counts,
            extra,
            ..Product::default()
        })
    }

    /// An empty row group.
    fn frame(&self) -> SilverFrame {
        SilverFrame::new(measure_of(self.source), self.as_of.micros())
    }

    /// The table to be written.
    fn spec(&self) -> Result<TableSpec, TaskError> {
        let as_of_us = self.as_of.micros();
        let bounds = Bounds { oldest_us: i64::MIN, as_of_us, max_amount: f64::MAX };
        let unique = self.settings.dedupe != Dedupe::Keep;
        let contract = silver(measure_of(self.source), bounds, unique);
        let contract = self.settings.validate_schema.then_some(contract);
        TableSpec::new("Silver", self.frame().take(), contract)
    }

    fn open(
        &self,
        files: &[FileResult],
        context: &TaskContext<'_>,
    ) -> Result<Vec<NumberedFile>, TaskError> {
        let objects: BTreeSet<Digest> = files.iter().map(|file| file.rows_at.object).collect();
        let mut opened: Vec<NumberedFile> = Vec::with_capacity(files.len());
        for (number, file) in files.iter().enumerate() {
            let Extent { object, offset, bytes } = file.rows_at;
            let path = context.store.layout().object(&object);
            let mut rows = RowsFile::open_part(&path, offset, bytes)?;
            if objects.len() <= MOST_KEPT_OPEN {
                rows.keep_open(opened.last().map(|(last, _)| last))?;
            }
            opened.push((rows, Some(number as u32)));
        }
        Ok(opened)
    }
}

/// One range of users at work.
struct Part<'p> {
    preprocess: &'p Preprocess<'p>,
    /// The names of the source files.
    names: &'p [&'p str],
    spec: &'p TableSpec,
    timings: &'p Timings,
    emitter: &'p Emitter<Batch, TaskError>,
}

/// Working space for a part.
struct Space {
    gatherer: Gatherer,
    events: BlockBuilder,
    last: LastRow,
    frame: SilverFrame,
}

impl Part<'_> {
    /// Makes row groups and events of what is known by as_of, duplicates as the settings say.
    fn make(
        &self,
        runs: &[Run<'_>],
        range: HashRange,
        most_bytes: u64,
        space: &mut Space,
    ) -> Result<(), TaskError> {
        let Preprocess { settings, sizes, as_of, .. } = *self.preprocess;
        let as_of_us = as_of.micros();
        let Space { gatherer, events, last, frame } = space;
        events.forget_names();
        // Whether the next event, or row of the table, is the first of its user.
        let (mut first_event, mut first_row) = (true, true);
        let mut batch = Batch::default();
        let mut began = Instant::now();
        gatherer.each_row(runs, range, most_bytes, |row, user, is_first, names| {
            first_event |= is_first;
            first_row |= is_first;
            if row.timestamp_us >= as_of_us {
                batch.tally.after_as_of += 1;
                let latest = &mut batch.tally.latest_after_as_of_us;
                *latest = (*latest).max(Some(row.timestamp_us));
                return Ok(());
            }
            let duplicate = last.is_repeated_by(row, is_first);
            batch.tally.duplicates += u64::from(duplicate);
            if !duplicate || settings.dedupe == Dedupe::Keep {
                events.push(row, user, std::mem::take(&mut first_event), names);
                if events.is_full(sizes.event_block_rows, sizes) {
                    batch.events.push(events.take());
                }
            }
            if !duplicate || settings.dedupe != Dedupe::Drop {
                let silver = SilverRow {
                    user,
                    first_of_user: std::mem::take(&mut first_row),
                    timestamp_us: row.timestamp_us,
                    value_prop: row.value_prop,
                    measure: row.measure,
                    file: row.file,
                    row_number: row.row_number,
                    duplicate: duplicate && settings.dedupe == Dedupe::Flag,
                    soft_issues: row.soft_issues,
                };
                let name = || names.name(row.value_prop);
                frame.push(&silver, name, || self.names[row.file as usize]);
                if frame.is_full() {
                    self.timings.add(Phase::Gather, began);
                    self.emit(std::mem::take(&mut batch), frame)?;
                    began = Instant::now();
                }
            }
            Ok::<(), TaskError>(())
        })?;
        batch.events.push(events.take());
        self.timings.add(Phase::Gather, began);
        self.emit(batch, frame)
    }

    /// Hands on what was made, with the rows so far as a row group.
    fn emit(&self, mut batch: Batch, frame: &mut SilverFrame) -> Result<(), TaskError> {
        if !frame.is_empty() {
            batch.rows = frame.len() as u64;
            let group = frame.take();
            let encoded = self.timings.time(Phase::Encode, || self.spec.encode(&group));
            frame.reuse(group);
            batch.group = Some(encoded?);
        }
        // If nobody takes it, somebody else failed and has said why.
        self.emitter.emit(batch).map_err(|_| TaskError::cancelled())
    }
}

/// The last row that was not a duplicate.
#[derive(Debug, Default)]
struct LastRow {
    timestamp_us: i64,
    value_prop: u32,
    measure: u64,
}

impl LastRow {
    /// Whether the row repeats the last one; if not, it is the last one now. The first row of a
    /// user repeats none.
    #[inline]
    fn is_repeated_by(&mut self, row: &Record, is_first: bool) -> bool {
        if !is_first
            && self.timestamp_us == row.timestamp_us
            && self.value_prop == row.value_prop
            && self.measure == row.measure
        {
            return true;
        }
        self.timestamp_us = row.timestamp_us;
        self.value_prop = row.value_prop;
        self.measure = row.measure;
        false
    }
}

/// Where row groups and events go, in order: the table and its twin.
struct Sink<'s> {
    context: &'s TaskContext<'s>,
    table: Table<'s>,
    events: RowsWriter<Staged>,
    tally: Tally,
    done: u64,
    total: u64,
}

/// What is there when all rows are taken.
struct Sunk {
    written: Written,
    tally: Tally,
    events: Staged,
    event_rows: u64,
}

impl<'s> Sink<'s> {
    fn new(
        context: &'s TaskContext<'s>,
        table_file: &'s mut Staged,
        spec: &TableSpec,
        total: u64,
    ) -> Result<Sink<'s>, TaskError> {
        let table = Table::new(table_file, spec)?;
        let events = RowsWriter::new(context.stage(MODE_READ_ONLY)?).map_err(RowsError::from)?;
        let (tally, done) = (Tally::default(), 0);
        Ok(Sink { context, table, events, tally, done, total })
    }

    fn take(&mut self, batch: Batch) -> Result<(), TaskError> {
        self.context.check_cancelled()?;
        let began = Instant::now();
        let tally = &batch.tally;
        self.tally.duplicates += tally.duplicates;
        self.tally.after_as_of += tally.after_as_of;
        let latest = &mut self.tally.latest_after_as_of_us;
        *latest = (*latest).max(tally.latest_after_as_of_us);
        for block in &batch.events {
            self.events.write(block)?;
        }
        if let Some(group) = batch.group {
            self.table.append(group)?;
        }
        self.done += batch.rows;
        self.context.timings.add(Phase::Write, began);
        self.context.progress.advance(self.done, Some(self.total), Unit::Rows);
        Ok(())
    }

    fn finish(self) -> Result<Sunk, TaskError> {
        let written = self.table.finish()?;
        let (events, summary) = self.events.finish()?;
        Ok(Sunk { written, tally: self.tally, events, event_rows: summary.rows })
    }
}

/// Longer runs made of shorter ones, on disk until the task is done.
struct Spills<'c> {
    context: &'c TaskContext<'c>,
    scratch: Vec<Scratch>,
}

impl Spills<'_> {
    fn merge(
        &mut self,
        files: Vec<NumberedFile>,
        effort: Effort,
        sizes: &Sizes,
    ) -> Result<Vec<NumberedFile>, TaskError> {
        let context = self.context;
        let scratch = &mut self.scratch;
        let spill = || {
            let scratch = SpillFile(context.scratch()?);
            let spill = Stoppable { inner: scratch, cancel: context.cancel };
            Ok(std::io::BufWriter::with_capacity(1 << 18, spill))
        };
        let reopen = |writer: std::io::BufWriter<Stoppable<'_, SpillFile>>| {
            let SpillFile(file) =
                writer.into_inner().map_err(std::io::IntoInnerError::into_error)?.inner;
            let opened = RowsFile::open(file.path())?;
            scratch.push(file);
            Ok(opened)
        };
        let merged = merge_in_passes(files, effort, sizes, spill, reopen);
        context.check_cancelled()?;
        Ok(merged?)
    }
}

/// A scratch file that is written to.
struct SpillFile(Scratch);

impl std::io::Write for SpillFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        fault::point("scratch.bytes")?;
        self.0.file_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.file_mut().flush()
    }
}
