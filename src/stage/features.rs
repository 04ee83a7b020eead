//! features: Gold from the events of the three Silver tables.
//!
//! One sweep in user order: for each user and day the taps come first, then the prints are
//! written, then the day becomes part of the past. What happened on the day of a print or later
//! cannot reach it, because it is not counted yet.

use serde_json::{Map, Value, json};

use super::memory::Share;
use super::outcome::output;
use super::preprocess::events_of;
use super::sweep::{DAY_US, Sweep, day_of};
use super::tables::{Table, TableSpec};
use super::window::{Counts, Window};
use crate::contract::gold;
use crate::exit_code::ExitCode;
use crate::frame::{GoldFrame, GoldRow};
use crate::progress::Unit;
use crate::record::Source;
use crate::rows::{Emitter, HashRange, Interner, RowsFile, Sizes, in_order, split_by_hash};
use crate::settings::{FeaturesSettings, Resources};
use crate::store::{Ingredients, InputFact, MODE_READ_ONLY, Manifest, Place, Store};
use crate::task::{Product, TaskContext, TaskError, TaskId, Upstream};

/// Raised when the same input should give another result.
const VERSION: u32 = 1;
/// Rows of Gold handed over at a time.
const BATCH_ROWS: usize = 4096;

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
    upstream.get(&id).ok_or_else(|| {
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

/// The prints whose day is in `first_day..=last_day` become rows of Gold.
#[derive(Debug, Clone, Copy)]
struct Target {
    first_day: i64,
    last_day: i64,
}

/// Rows of Gold on their way, their texts end to end.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    rows: Vec<(i64, u32, u32, bool, Counts)>,
    clicked: u64,
}

impl Batch {
    fn push(&mut self, timestamp_us: i64, user: &[u8], prop: &[u8], clicked: bool, past: Counts) {
        self.text.extend_from_slice(user);
        self.text.extend_from_slice(prop);
        self.rows.push((timestamp_us, user.len() as u32, prop.len() as u32, clicked, past));
        self.clicked += u64::from(clicked);
    }

    fn each<E>(
        &self,
        value_props: &mut Interner,
        mut take: impl FnMut(&GoldRow<'_>, &mut Interner) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut text = &*self.text;
        for &(timestamp_us, user, prop, clicked, past) in &self.rows {
            let (user, rest) = text.split_at(user as usize);
            let (value_prop, rest) = rest.split_at(prop as usize);
            text = rest;
            let value_prop = value_props.number(value_prop);
            let Counts { prints, taps, payments, cents } = past;
            let row =
                GoldRow { timestamp_us, user, value_prop, clicked, prints, taps, payments, cents };
            take(&row, value_props)?;
        }
        Ok(())
    }
}

impl Features<'_> {
    /// What the next result would be made of.
    pub fn ingredients(&self, upstream: &Upstream) -> Result<Ingredients, TaskError> {
        let mut ingredients = Ingredients {
            stage_version: VERSION,
            settings: self.settings.entries(),
            ..Ingredients::default()
        };
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
        let target = Target { first_day, last_day };
        let parts = split_by_hash(&files, self.sizes.part_rows);

        context.progress.step("gold", 1, 1);
        let mut file = context.stage(MODE_READ_ONLY)?;
        let mut frame = GoldFrame::default();
        let contract = self
            .settings
            .validate_schema
            .then(|| gold(first_day.saturating_mul(DAY_US), (last_day + 1).saturating_mul(DAY_US)));
        let spec = TableSpec::new("Gold", frame.take(), contract)?;
        let mut table = Table::new(&mut file, &spec)?;
        let mut value_props = Interner::default();
        let (mut clicked, mut rows) = (0, 0);
        in_order(
            &parts,
            share.threads,
            |part, emitter| self.sweep_part(*part, &files, target, emitter),
            |batch: Batch| {
                context.check_cancelled()?;
                clicked += batch.clicked;
                rows += batch.rows.len() as u64;
                context.progress.advance(rows, None, Unit::Rows);
                batch.each(&mut value_props, |row, value_props| {
                    frame.push(row, || value_props.name(row.value_prop));
                    if frame.is_full() {
                        *value_props = Interner::default();
                        table.append(spec.encode(&frame.take())?)?;
                    }
                    Ok::<(), TaskError>(())
                })
            },
        )?;
        if !frame.is_empty() {
            table.append(spec.encode(&frame.take())?)?;
        }
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

    /// The rows of Gold of one range of users.
    fn sweep_part(
        &self,
        range: HashRange,
        [prints, taps, payments]: &[RowsFile; 3],
        target: Target,
        emitter: &Emitter<Batch, TaskError>,
    ) -> Result<(), TaskError> {
        let mut sweep = Sweep::new([prints, taps, payments], range)?;
        let mut window = Window::new(self.settings.lookback_window_days);
        let mut batch = Batch::default();
        let mut abandoned = false;
        while !abandoned && sweep.next_user() {
            window.begin_user();
            while let Some(day) = sweep.next_day() {
                window.begin_day(day);
                sweep.take_day(1, |tap| window.today(tap.value_prop).taps += 1)?;
                let in_target = (target.first_day..=target.last_day).contains(&day);
                sweep.take_day(0, |print| {
                    if in_target {
                        let past = window.before(print.value_prop);
                        let clicked = window.is_tapped_today(print.value_prop);
                        let (user, prop) = (print.user, print.value_prop);
                        batch.push(print.timestamp_us, user, prop, clicked, past);
                        if batch.rows.len() == BATCH_ROWS {
                            let full = std::mem::take(&mut batch);
                            abandoned |= emitter.emit(full).is_err();
                        }
                    }
                    window.today(print.value_prop).prints += 1;
                })?;
                sweep.take_day(2, |payment| {
                    let today = window.today(payment.value_prop);
                    today.payments += 1;
                    today.cents += i128::from(payment.measure);
                })?;
            }
        }
        // If nobody takes it, somebody else failed.
        let _ = emitter.emit(batch);
        Ok(())
    }
}

fn date_text(day: i64) -> String {
    day.checked_mul(DAY_US)
        .and_then(chrono::DateTime::from_timestamp_micros)
        .map_or_else(|| day.to_string(), |time| time.date_naive().to_string())
}
