//! preprocess: the sorted rows of a source's files to one Silver table.
//!
//! Runs are merged, so equal events are neighbours: duplicates are found without looking
//! anything up. Rows at or after as_of are left out. Beside the table stands its twin, the same
//! events in mp's own format, from which features and quality read.

use serde_json::{Map, Value, json};

use super::extract::{FileResult, files_of};
use super::ingest::measure_of;
use super::memory::Share;
use super::outcome::output;
use super::tables::{Table, TableSpec, Written};
use crate::as_of::{AsOf, rfc3339};
use crate::contract::{Bounds, silver};
use crate::exit_code::ExitCode;
use crate::frame::{SilverFrame, SilverRow, amount_of_cents};
use crate::progress::Unit;
use crate::record::{Decimal, Source};
use crate::rows::{
    Block, BlockBuilder, Cursor, Emitter, HashRange, Interner, Merge, RowRef, RowsError, RowsFile,
    RowsWriter, Sizes, in_order, merge_in_passes, split_by_hash,
};
use crate::settings::{Dedupe, PreprocessSettings, Resources};
use crate::store::{
    Digest, Ingredients, InputFact, MODE_READ_ONLY, Manifest, Place, Scratch, Staged,
};
use crate::task::{Product, TaskContext, TaskError, TaskId, Upstream};

/// Raised when the same input should give another result.
const VERSION: u32 = 1;

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
    let digest = manifest.extra.get("events").cloned().unwrap_or(Value::Null);
    serde_json::from_value(digest).map_err(|error| {
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

/// Rows of one part, in order.
struct Batch {
    rows: Block,
    /// The events among them, if those are not all rows.
    events: Option<Block>,
    packed: Vec<u8>,
    tally: Tally,
}

impl Preprocess<'_> {
    fn extract_manifest<'u>(&self, upstream: &'u Upstream) -> Result<&'u Manifest, TaskError> {
        let id = TaskId::new("extract", Some(self.source.name()));
        id.ok().and_then(|id| upstream.get(&id)).ok_or_else(|| {
            let text = format!("there is no result of `extract.{}`", self.source);
            TaskError::new(ExitCode::Refused, text)
                .hint(format!("run `mp extract --source {}`", self.source))
        })
    }

    /// What the next result would be made of.
    pub fn ingredients(&self, upstream: &Upstream) -> Result<Ingredients, TaskError> {
        let files = files_of(self.extract_manifest(upstream)?)?;
        let inputs = files
            .into_iter()
            .map(|file| (file.name, InputFact { sha256: file.rows, bytes: file.rows_bytes }));
        Ok(Ingredients {
            stage_version: VERSION,
            settings: self.settings.entries(),
            as_of: Some(self.as_of.to_string()),
            inputs: inputs.collect(),
        })
    }

    /// Computes the task.
    pub fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError> {
        let manifest = self.extract_manifest(context.upstream)?;
        let files = files_of(manifest)?;
        let share = Share::of(self.resources, context.concurrency);
        let opened = self.open(&files, context)?;
        let parts = split_by_hash(opened.iter().map(|(file, _)| file), self.sizes.part_rows);
        let total = opened.iter().map(|(file, _)| file.summary().rows).sum();
        let mut spills = Spills { context, scratch: Vec::new() };
        let fan_in = share.fan_in(self.sizes);
        let merged = spills.merge(opened, fan_in, self.sizes)?;

        context.progress.step(self.source.name(), 1, 1);
        let names: Vec<&str> = files.iter().map(|file| &*file.name).collect();
        let mut table_file = context.stage(MODE_READ_ONLY)?;
        let mut sink = Sink::new(self, context, &mut table_file, names, total)?;
        in_order(
            &parts,
            share.threads,
            |part, emitter| self.merge_part(*part, &merged, emitter),
            |batch: Batch| sink.take(&batch),
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

    fn open(
        &self,
        files: &[FileResult],
        context: &TaskContext<'_>,
    ) -> Result<Vec<(RowsFile, Option<u32>)>, TaskError> {
        let open = |(number, file): (usize, &FileResult)| {
            let path = context.store.layout().object(&file.rows);
            Ok((RowsFile::open(&path)?, Some(number as u32)))
        };
        files.iter().enumerate().map(open).collect()
    }

    /// Merges one range of users: what is known by as_of, duplicates as the settings say.
    fn merge_part(
        &self,
        range: HashRange,
        files: &[(RowsFile, Option<u32>)],
        emitter: &Emitter<Batch, TaskError>,
    ) -> Result<(), TaskError> {
        let mut cursors = Vec::new();
        for (file, number) in files {
            for run in 0..file.runs() {
                cursors.push(Cursor::new(file, run, range, *number)?);
            }
        }
        let mut merge = Merge::new(cursors);
        let mut builder = BlockBuilder::default();
        let mut tally = Tally::default();
        let mut last = LastRow::default();
        let as_of_us = self.as_of.micros();
        while let Some(mut row) = merge.row() {
            if row.timestamp_us >= as_of_us {
                tally.after_as_of += 1;
                tally.latest_after_as_of_us =
                    tally.latest_after_as_of_us.max(Some(row.timestamp_us));
            } else {
                let duplicate = last.is_repeated_by(&row);
                tally.duplicates += u64::from(duplicate);
                row.duplicate = duplicate && self.settings.dedupe == Dedupe::Flag;
                if !duplicate || self.settings.dedupe != Dedupe::Drop {
                    builder.push(&row);
                }
            }
            if builder.is_full(self.sizes) {
                let batch = Batch::of(builder.take(), std::mem::take(&mut tally));
                if emitter.emit(batch).is_err() {
                    return Ok(());
                }
            }
            merge.advance()?;
        }
        // If nobody takes it, somebody else failed.
        let _ = emitter.emit(Batch::of(builder.take(), tally));
        Ok(())
    }
}

impl Batch {
    fn of(rows: Block, tally: Tally) -> Batch {
        let events = rows.without_duplicates();
        let mut packed = Vec::new();
        events.as_ref().unwrap_or(&rows).encode(&mut packed, false);
        Batch { rows, events, packed, tally }
    }
}

/// The last row that was not a duplicate, kept while the merge goes on.
#[derive(Debug, Default)]
struct LastRow {
    known: bool,
    hash: u64,
    user: Vec<u8>,
    timestamp_us: i64,
    value_prop: Vec<u8>,
    measure: u64,
}

impl LastRow {
    /// Whether the row repeats the last one; if not, it is the last one now.
    #[inline]
    fn is_repeated_by(&mut self, row: &RowRef<'_>) -> bool {
        let last = RowRef {
            hash: self.hash,
            user: &self.user,
            timestamp_us: self.timestamp_us,
            value_prop: &self.value_prop,
            measure: self.measure,
            ..*row
        };
        if self.known && row.is_duplicate_of(&last) {
            return true;
        }
        self.known = true;
        if self.hash != row.hash || self.user != row.user {
            self.hash = row.hash;
            self.user.clear();
            self.user.extend_from_slice(row.user);
        }
        self.timestamp_us = row.timestamp_us;
        self.value_prop.clear();
        self.value_prop.extend_from_slice(row.value_prop);
        self.measure = row.measure;
        false
    }
}

/// Where merged rows go, in order: the table and its twin.
struct Sink<'s> {
    context: &'s TaskContext<'s>,
    names: Vec<&'s str>,
    frame: SilverFrame,
    value_props: Interner,
    spec: TableSpec,
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
        preprocess: &Preprocess<'_>,
        context: &'s TaskContext<'s>,
        table_file: &'s mut Staged,
        names: Vec<&'s str>,
        total: u64,
    ) -> Result<Sink<'s>, TaskError> {
        let measure = measure_of(preprocess.source);
        let as_of_us = preprocess.as_of.micros();
        let mut frame = SilverFrame::new(measure, as_of_us);
        let bounds = Bounds { oldest_us: i64::MIN, as_of_us, max_amount: f64::MAX };
        let unique = preprocess.settings.dedupe != Dedupe::Keep;
        let contract = preprocess.settings.validate_schema.then(|| silver(measure, bounds, unique));
        let spec = TableSpec::new("Silver", frame.take(), contract)?;
        let table = Table::new(table_file, &spec)?;
        let events = RowsWriter::new(context.stage(MODE_READ_ONLY)?).map_err(RowsError::from)?;
        let (tally, done) = (Tally::default(), 0);
        let value_props = Interner::default();
        Ok(Sink { context, names, frame, value_props, spec, table, events, tally, done, total })
    }

    fn take(&mut self, batch: &Batch) -> Result<(), TaskError> {
        self.context.check_cancelled()?;
        let tally = &batch.tally;
        self.tally.duplicates += tally.duplicates;
        self.tally.after_as_of += tally.after_as_of;
        let latest = &mut self.tally.latest_after_as_of_us;
        *latest = (*latest).max(tally.latest_after_as_of_us);
        let events = batch.events.as_ref().unwrap_or(&batch.rows);
        self.events.write_encoded(events, &batch.packed)?;
        for index in 0..batch.rows.len() {
            let row = batch.rows.row(index);
            let value_prop = self.value_props.number(row.value_prop);
            let silver = SilverRow {
                user: row.user,
                timestamp_us: row.timestamp_us,
                value_prop,
                measure: row.measure,
                file: row.file,
                row_number: row.row_number,
                duplicate: row.duplicate,
                soft_issues: row.soft_issues,
            };
            let name = || self.value_props.name(value_prop);
            self.frame.push(&silver, name, || self.names[row.file as usize]);
            if self.frame.is_full() {
                self.value_props = Interner::default();
                self.table.append(self.spec.encode(&self.frame.take())?)?;
            }
        }
        self.done += batch.rows.len() as u64;
        self.context.progress.advance(self.done, Some(self.total), Unit::Rows);
        Ok(())
    }

    fn finish(mut self) -> Result<Sunk, TaskError> {
        if !self.frame.is_empty() {
            self.table.append(self.spec.encode(&self.frame.take())?)?;
        }
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
        files: Vec<(RowsFile, Option<u32>)>,
        fan_in: usize,
        sizes: &Sizes,
    ) -> Result<Vec<(RowsFile, Option<u32>)>, TaskError> {
        let context = self.context;
        let scratch = &mut self.scratch;
        let spill = || {
            let scratch = context
                .scratch()
                .map_err(|error| RowsError::Io(std::io::Error::other(error.to_string())))?;
            Ok(std::io::BufWriter::with_capacity(1 << 18, SpillFile(scratch)))
        };
        let reopen = |writer: std::io::BufWriter<SpillFile>| {
            let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            let opened = RowsFile::open(file.0.path())?;
            scratch.push(file.0);
            Ok(opened)
        };
        Ok(merge_in_passes(files, fan_in, sizes, spill, reopen)?)
    }
}

/// A scratch file that is written to.
struct SpillFile(Scratch);

impl std::io::Write for SpillFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.file_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.file_mut().flush()
    }
}
