//! features: Gold from the events of the three Silver tables.
//!
//! Each range of users is made into row groups by itself, then they are written in order. What a
//! row of Gold holds is `gold_rows`'.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::gold_rows::{Sink, Target, gold_rows};
use super::memory::Share;
use super::outcome::output;
use super::preprocess::events_of;
use super::sweep::{DAY_US, Sweep, day_of, first_us};
use super::tables::{FinishedGroup, Table, TableSpec};
use crate::contract::gold;
use crate::exit_code::ExitCode;
use crate::frame::{GoldFrame, GoldRow};
use crate::progress::Unit;
use crate::record::Source;
use crate::rows::{Emitter, HashRange, RowsFile, Sizes, in_order};
use crate::settings::{FeaturesSettings, Resources};
use crate::store::{Ingredients, InputFact, MODE_READ_ONLY, Manifest, Place, Store};
use crate::task::{Product, TaskContext, TaskError, TaskId, Upstream};
use crate::timings::{Phase, Timings};

/// Raised when the same input should give another result.
const VERSION: u32 = 3;

/// The features task.
pub(super) struct Features<'f> {
    pub settings: &'f FeaturesSettings,
    pub resources: &'f Resources,
    pub sizes: &'f Sizes,
}

/// The manifest of a task that this one needs.
pub(super) fn needed<'u>(
    upstream: &'u Upstream,
    stage: &str,
    source: Option<Source>,
) -> Result<&'u Manifest, TaskError> {
    let id = TaskId::new(stage, source.map(Source::name))
        .map_err(|error| TaskError::new(ExitCode::Internal, error.to_string()))?;
    upstream.get(&id).map(|manifest| &**manifest).ok_or_else(|| {
        TaskError::new(ExitCode::Refused, format!("there is no result of `{id}`"))
            .hint(format!("run `mp run {id}`"))
    })
}

/// A published file of an upstream task, as an input.
pub(super) fn published(
    manifest: &Manifest,
    place: &Place,
) -> Result<(String, InputFact), TaskError> {
    let output = manifest.outputs.iter().find(|output| output.published && output.place == *place);
    output
        .map(|output| {
            (place.path.clone(), InputFact { sha256: output.sha256, bytes: output.bytes })
        })
        .ok_or_else(|| {
            let text = format!("the manifest of `{}` does not name `{place}`", manifest.task());
            TaskError::new(ExitCode::Failure, text).hint("run it again with `--force`")
        })
}

/// Opens the events of the three Silver tables.
pub(super) fn open_events(upstream: &Upstream, store: &Store) -> Result<[RowsFile; 3], TaskError> {
    let open = |source: Source| {
        let digest = events_of(needed(upstream, "preprocess", Some(source))?)?;
        Ok::<_, TaskError>(RowsFile::open(&store.layout().object(&digest))?)
    };
    Ok([open(Source::Prints)?, open(Source::Taps)?, open(Source::Payments)?])
}

/// A row group of Gold, if there is one, ready to be written.
struct Piece {
    group: Option<FinishedGroup>,
    rows: u64,
    clicked: u64,
}

/// Rows of Gold until they are a row group, which is encoded and handed over.
struct Groups<'g> {
    spec: &'g TableSpec,
    emitter: &'g Emitter<Piece, TaskError>,
    timings: &'g Timings,
    /// Since when events are counted.
    began: Instant,
    frame: GoldFrame,
    rows: u64,
    clicked: u64,
}

/// Why a part ends early.
enum Stop {
    /// Nobody takes row groups any more: somebody else failed.
    Abandoned,
    Failed(TaskError),
}

impl<E: Into<TaskError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Failed(error.into())
    }
}

impl Groups<'_> {
    /// Hands over the rows so far, or that there are none.
    fn emit(&mut self) -> Result<(), Stop> {
        self.timings.add(Phase::Sweep, self.began);
        let group = match self.frame.is_empty() {
            true => None,
            false => {
                let group = self.frame.take();
                let encoded = self.timings.time(Phase::Encode, || self.spec.encode(&group));
                self.frame.reuse(group);
                Some(encoded?)
            }
        };
        let (rows, clicked) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.clicked));
        let emitted = self.emitter.emit(Piece { group, rows, clicked });
        self.began = Instant::now();
        emitted.map_err(|_| Stop::Abandoned)
    }
}

impl Sink for Groups<'_> {
    type Stop = Stop;

    fn row(&mut self, row: &GoldRow<'_>, value_prop: &[u8]) -> Result<(), Stop> {
        self.frame.push(row, || value_prop);
        self.rows += 1;
        self.clicked += u64::from(row.clicked);
        if self.frame.is_full() { self.emit() } else { Ok(()) }
    }

    fn renumbered(&mut self) -> Result<(), Stop> {
        // A frame knows a value prop by its number.
        self.emit()
    }
}

impl Features<'_> {
    /// What needs no look at upstream.
    pub fn settings_only(&self) -> Ingredients {
        Ingredients {
            stage_version: VERSION,
            settings: self.settings.entries(),
            ..Ingredients::default()
        }
    }

    /// What the next result would be made of.
    pub fn ingredients(&self, upstream: &Upstream) -> Result<Ingredients, TaskError> {
        let mut ingredients = self.settings_only();
        for source in Source::ALL {
            let manifest = needed(upstream, "preprocess", Some(source))?;
            let (path, fact) = published(manifest, &Place::silver(source.name()))?;
            ingredients.inputs.insert(path, fact);
        }
        Ok(ingredients)
    }

    /// Computes the task.
    pub fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError> {
        let share = Share::of(self.resources, context.concurrency);
        let files = open_events(context.upstream, context.store)?;
        let last_day = files[0].summary().timestamps_us.map(|(_, latest)| day_of(latest));
        let last_day = last_day.unwrap_or(i64::MIN / DAY_US);
        let first_day = last_day + 1 - i64::from(self.settings.target_window_days);
        let lookback_days = self.settings.lookback_window_days;
        let target = Target { first_day, last_day, lookback_days };
        // Row groups end where parts do, so parts must not depend on how the events are stored.
        let events = files.iter().map(|file| file.summary().rows).sum();
        let parts = HashRange::split_evenly(u64::div_ceil(events, self.sizes.sweep_rows));

        context.progress.step("gold", 1, 1);
        let mut file = context.stage(MODE_READ_ONLY)?;
        let contract = self
            .settings
            .validate_schema
            .then(|| gold(first_us(first_day), first_us(last_day.saturating_add(1))));
        let spec = TableSpec::new("Gold", GoldFrame::default().take(), contract)?;
        let mut table = Table::new(&mut file, &spec)?;
        let (mut clicked, mut rows) = (0, 0);
        in_order(
            &parts,
            share.threads,
            |part, emitter| sweep_part(*part, &files, target, &spec, context.timings, emitter),
            |piece: Piece| {
                context.check_cancelled()?;
                clicked += piece.clicked;
                rows += piece.rows;
                context.progress.advance(rows, None, Unit::Rows);
                let Some(group) = piece.group else { return Ok(()) };
                context.timings.time(Phase::Write, || table.append(group))
            },
        )?;
        let written = table.finish()?;
        let mut counts = Map::new();
        counts.insert("rows_gold".into(), written.rows.into());
        counts.insert("clicked".into(), clicked.into());
        let extra = match files[0].summary().rows {
            0 => Value::Null,
            _ => json!({ "target": [date_text(first_day), date_text(last_day)] }),
        };
        let gold_file = file.finish()?;
        Ok(Product {
            ingredients: self.ingredients(context.upstream)?,
            outputs: vec![output(
                gold_file,
                Some(Place::gold()),
                Some(written.rows),
                Some(written.schema),
            )],
            counts,
            extra,
            ..Product::default()
        })
    }
}

/// Makes the row groups of one range of users.
fn sweep_part(
    range: HashRange,
    files: &[RowsFile; 3],
    target: Target,
    spec: &TableSpec,
    timings: &Timings,
    emitter: &Emitter<Piece, TaskError>,
) -> Result<(), TaskError> {
    let began = Instant::now();
    let sweep = Sweep::new(files, range)?;
    let frame = GoldFrame::default();
    let mut groups = Groups { spec, emitter, timings, began, frame, rows: 0, clicked: 0 };
    match gold_rows(sweep, target, &mut groups).and_then(|()| groups.emit()) {
        Err(Stop::Failed(error)) => Err(error),
        Ok(()) | Err(Stop::Abandoned) => Ok(()),
    }
}

fn date_text(day: i64) -> String {
    day.checked_mul(DAY_US)
        .and_then(chrono::DateTime::from_timestamp_micros)
        .map_or_else(|| day.to_string(), |time| time.date_naive().to_string())
}
