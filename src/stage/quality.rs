//! quality: counts what Silver and Gold hold, writes the report, opens or shuts the gate.
//!
//! The events are counted on one sweep in user order, Gold a row group at a time. Rejects and
//! rows after as_of come from the manifests of extract and preprocess, whose counts are inputs
//! like any other. How a count is judged is `report`'s.

use std::collections::BTreeSet;
use std::io::Write;

use polars::prelude::DataFrame;
use serde_json::{Map, Value, json};

use super::features::{needed, open_events, published};
use super::memory::Share;
use super::outcome::output;
use super::sweep::{DAY_US, Sweep};
use crate::as_of::AsOf;
use crate::contract::{Contract, Failure, Inspection, gold};
use crate::exit_code::ExitCode;
use crate::frame::ParquetRows;
use crate::progress::Unit;
use crate::record::{Decimal, Source};
use crate::report::{Extent, Measured, QualityReport};
use crate::rows::{Emitter, HashRange, RowsFile, Sizes, in_order, split_by_hash};
use crate::settings::{QualitySettings, Resources};
use crate::store::{Digest, Ingredients, InputFact, Manifest, NewOutput, Place};
use crate::task::{Product, TaskContext, TaskError, Upstream};

/// Raised when the same input should give another result.
const VERSION: u32 = 1;
const MODE: u32 = 0o644;

/// The quality task.
pub(super) struct Quality<'q> {
    pub settings: &'q QualitySettings,
    pub as_of: &'q AsOf,
    pub resources: &'q Resources,
    pub sizes: &'q Sizes,
}

/// What is counted of the events of a range of users.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Prints, taps, payments.
    rows: [u64; 3],
    without_position: [u64; 2],
    taps_with_print: u64,
    payments_with_tap: u64,
    above_max_amount: u64,
    outside_window: u64,
    odd_users: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        for (sum, more) in self.rows.iter_mut().zip(other.rows) {
            *sum += more;
        }
        for (sum, more) in self.without_position.iter_mut().zip(other.without_position) {
            *sum += more;
        }
        self.taps_with_print += other.taps_with_print;
        self.payments_with_tap += other.payments_with_tap;
        self.above_max_amount += other.above_max_amount;
        self.outside_window += other.outside_window;
        self.odd_users += other.odd_users;
    }
}

/// What is counted of Gold.
#[derive(Debug, Default)]
struct GoldTally {
    rows: u64,
    nulls: u64,
    repeated: u64,
    broken: Vec<Failure>,
}

fn share(part: u64, whole: u64, of_nothing: f64) -> f64 {
    if whole == 0 { of_nothing } else { part as f64 / whole as f64 }
}

fn count(manifest: &Manifest, name: &str) -> u64 {
    manifest.counts.get(name).and_then(Value::as_u64).unwrap_or(0)
}

impl Quality<'_> {
    /// What the next result would be made of.
    pub fn ingredients(&self, upstream: &Upstream) -> Result<Ingredients, TaskError> {
        let mut ingredients = Ingredients {
            stage_version: VERSION,
            settings: self.settings.entries(),
            as_of: Some(self.as_of.to_string()),
            ..Ingredients::default()
        };
        for source in Source::ALL {
            let preprocess = needed(upstream, "preprocess", Some(source))?;
            let (path, fact) = published(preprocess, &Place::silver(source.name()))?;
            ingredients.inputs.insert(path, fact);
            let extract = needed(upstream, "extract", Some(source))?;
            let counts = json!({
                "rows_read": count(extract, "rows_read"),
                "rows_rejected": count(extract, "rows_rejected"),
                "rows_after_as_of": count(preprocess, "rows_after_as_of"),
                "duplicates": count(preprocess, "duplicates"),
            });
            let text = counts.to_string();
            let fact =
                InputFact { sha256: Digest::of_bytes(text.as_bytes()), bytes: text.len() as u64 };
            ingredients.inputs.insert(format!("counts of {source}"), fact);
        }
        let (path, fact) = published(needed(upstream, "features", None)?, &Place::gold())?;
        ingredients.inputs.insert(path, fact);
        Ok(ingredients)
    }

    /// Computes the task; an error with exit 5 where the gate is shut, which publishes the
    /// report all the same.
    pub fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError> {
        let ingredients = self.ingredients(context.upstream)?;
        context.progress.step("events", 1, 2);
        let tally = self.count_events(context)?;
        context.progress.step("gold", 2, 2);
        let features = needed(context.upstream, "features", None)?;
        let gold_tally = self.count_gold(features, context)?;
        let gold_sha256 = published(features, &Place::gold())?.1.sha256;

        let measured = self.measured(context.upstream, &tally, &gold_tally, gold_sha256)?;
        let report = QualityReport::new(measured, self.settings);
        let report_json = report.to_json();
        let mut outputs = vec![self.staged(&report_json, Place::report(), context)?];
        let mut counts = Map::new();
        counts.insert("quality_score".into(), report.quality_score.into());
        counts.insert("rows_gold".into(), gold_tally.rows.into());
        counts.insert("passed".into(), report.passed.into());

        if !report.passed && self.settings.enable_quality_checks {
            let failures = report.failures();
            let text = format!("the quality gate is shut: {}", failures.join("; "));
            let hint = format!("see `{}`", context.store.layout().path(&Place::report()).display());
            let mut error = TaskError::new(ExitCode::Quality, text).hint(hint);
            error.leaves.outputs = outputs;
            error.leaves.remove = vec![Place::success()];
            error.leaves.ingredients = Some(ingredients);
            error.leaves.counts = counts;
            error.leaves.warnings = report.warnings();
            return Err(error);
        }
        let success = json!({
            "gold_sha256": gold_sha256,
            "as_of": self.as_of.to_string(),
            "report_sha256": Digest::of_bytes(report_json.as_bytes()),
        });
        let success = serde_json::to_string_pretty(&success).unwrap_or_default() + "\n";
        outputs.push(self.staged(&success, Place::success(), context)?);
        Ok(Product {
            ingredients,
            outputs,
            counts,
            warnings: report.warnings(),
            ..Product::default()
        })
    }

    fn staged(
        &self,
        text: &str,
        place: Place,
        context: &TaskContext<'_>,
    ) -> Result<NewOutput, TaskError> {
        let mut staged = context.stage(MODE)?;
        staged.write_all(text.as_bytes())?;
        Ok(output(staged.finish()?, Some(place), None, None))
    }

    fn measured(
        &self,
        upstream: &Upstream,
        tally: &Tally,
        gold: &GoldTally,
        gold_sha256: Digest,
    ) -> Result<Measured, TaskError> {
        let mut tables = std::collections::BTreeMap::new();
        let (mut rejects, mut after_as_of, mut known) = (0.0_f64, 0, 0);
        for (index, source) in Source::ALL.into_iter().enumerate() {
            let extract = needed(upstream, "extract", Some(source))?;
            let preprocess = needed(upstream, "preprocess", Some(source))?;
            let rejected = count(extract, "rows_rejected");
            rejects = rejects.max(share(rejected, count(extract, "rows_read"), 0.0));
            let after = count(preprocess, "rows_after_as_of");
            let valid = count(preprocess, "rows_valid");
            after_as_of += after;
            known += valid;
            let without = tally.without_position.get(index).copied().unwrap_or(0);
            let before_dedupe = valid.saturating_sub(after);
            let extent = Extent {
                rows: count(preprocess, "rows_silver"),
                null_rate: share(without, tally.rows[index], 0.0),
                duplicate_rate: share(count(preprocess, "duplicates"), before_dedupe, 0.0),
            };
            tables.insert(source.name(), extent);
        }
        let gold_extent = Extent {
            rows: gold.rows,
            null_rate: share(gold.nulls, gold.rows, 0.0),
            duplicate_rate: share(gold.repeated, gold.rows, 0.0),
        };
        tables.insert("gold", gold_extent);
        let [_, taps, payments] = tally.rows;
        let rules = [
            ("taps_have_prints", share(tally.taps_with_print, taps, 1.0)),
            ("payments_have_taps", share(tally.payments_with_tap, payments, 1.0)),
            ("max_payment_amount", tally.above_max_amount as f64),
            ("timestamps_in_window", tally.outside_window as f64),
            ("records_per_user", tally.odd_users as f64),
            ("rows_after_as_of", share(after_as_of, known, 0.0)),
            ("rejects", rejects),
            ("gold_not_empty", gold.rows as f64),
            ("gold_contract", gold.broken.len() as f64),
        ];
        Ok(Measured {
            as_of: self.as_of.to_string(),
            tables,
            rules: rules.into(),
            gold_sha256: gold_sha256.to_string(),
            gold_contract: gold.broken.iter().map(Failure::to_string).collect(),
        })
    }

    fn count_events(&self, context: &TaskContext<'_>) -> Result<Tally, TaskError> {
        let files = open_events(context.upstream, context.store)?;
        let threads = Share::of(self.resources, context.concurrency).threads;
        let parts = split_by_hash(&files, self.sizes.sweep_rows);
        let total: u64 = files.iter().map(|file| file.summary().rows).sum();
        let max_cents = Decimal::parse(&self.settings.max_payment_amount)
            .map_err(|error| TaskError::new(ExitCode::Usage, error.to_string()))?
            .largest_cents()
            .unwrap_or(u64::MAX);
        let mut tally = Tally::default();
        in_order(
            &parts,
            threads,
            |part, emitter| self.sweep_part(*part, &files, max_cents, emitter),
            |part: Tally| {
                context.check_cancelled()?;
                tally.add(&part);
                context.progress.advance(tally.rows.iter().sum(), Some(total), Unit::Rows);
                Ok::<(), TaskError>(())
            },
        )?;
        Ok(tally)
    }

    fn sweep_part(
        &self,
        range: HashRange,
        [prints, taps, payments]: &[RowsFile; 3],
        max_cents: u64,
        emitter: &Emitter<Tally, TaskError>,
    ) -> Result<(), TaskError> {
        let days = i64::from(self.settings.min_timestamp_days_ago);
        let window = self.as_of.micros().saturating_sub(days * DAY_US)..self.as_of.micros();
        let records = self.settings.min_records_per_user..=self.settings.max_records_per_user;
        let mut sweep = Sweep::new([prints, taps, payments], range)?;
        let mut tally = Tally::default();
        let (mut shown, mut tapped) = (BTreeSet::<Vec<u8>>::new(), BTreeSet::<Vec<u8>>::new());
        while sweep.next_user() {
            let before: u64 = tally.rows.iter().sum();
            while sweep.next_day().is_some() {
                shown.clear();
                tapped.clear();
                let outside = |time: i64| u64::from(!window.contains(&time));
                sweep.take_day(0, |print| {
                    tally.rows[0] += 1;
                    tally.without_position[0] += u64::from(print.measure == 0);
                    tally.outside_window += outside(print.timestamp_us);
                    if !shown.contains(print.value_prop) {
                        shown.insert(print.value_prop.to_vec());
                    }
                })?;
                sweep.take_day(1, |tap| {
                    tally.rows[1] += 1;
                    tally.without_position[1] += u64::from(tap.measure == 0);
                    tally.outside_window += outside(tap.timestamp_us);
                    tally.taps_with_print += u64::from(shown.contains(tap.value_prop));
                    if !tapped.contains(tap.value_prop) {
                        tapped.insert(tap.value_prop.to_vec());
                    }
                })?;
                sweep.take_day(2, |payment| {
                    tally.rows[2] += 1;
                    tally.outside_window += outside(payment.timestamp_us);
                    tally.above_max_amount += u64::from(payment.measure > max_cents);
                    tally.payments_with_tap += u64::from(tapped.contains(payment.value_prop));
                })?;
            }
            let of_user = tally.rows.iter().sum::<u64>() - before;
            tally.odd_users += u64::from(!records.contains(&of_user));
        }
        // If nobody takes it, somebody else failed.
        let _ = emitter.emit(tally);
        Ok(())
    }

    fn count_gold(
        &self,
        features: &Manifest,
        context: &TaskContext<'_>,
    ) -> Result<GoldTally, TaskError> {
        let path = context.store.layout().path(&Place::gold());
        let mut rows = ParquetRows::open(&path)?;
        let total = rows.rows();
        let (start, end) = target_bounds(features);
        let contract = gold(start, end);
        let names: Vec<&'static str> = contract.columns.iter().map(|rule| rule.name).collect();
        // Whole rows are looked at; in user order, equal rows are neighbours.
        let repeats = Contract {
            name: "repeated rows",
            strict: false,
            columns: Vec::new(),
            unique: Some(names.clone()),
            unique_except: None,
        };
        let mut inspection = Inspection::new(contract);
        let mut repeated = Inspection::new(repeats);
        let mut tally = GoldTally { rows: total, ..GoldTally::default() };
        let mut nulls = vec![0; names.len()];
        while let Some(frame) = rows.next_frame()? {
            context.check_cancelled()?;
            inspection.add(&frame)?;
            repeated.add(&frame)?;
            for (sum, name) in nulls.iter_mut().zip(&names) {
                *sum += nulls_in(&frame, name);
            }
        }
        context.progress.advance(total, Some(total), Unit::Rows);
        tally.nulls = nulls.into_iter().max().unwrap_or(0);
        tally.repeated = repeated.finish().iter().map(|failure| failure.rows).sum();
        tally.broken = inspection.finish();
        Ok(tally)
    }
}

fn nulls_in(frame: &DataFrame, column: &str) -> u64 {
    frame.column(column).map_or(0, |column| column.null_count() as u64)
}

/// The target window of Gold as instants, from the manifest of features.
fn target_bounds(features: &Manifest) -> (i64, i64) {
    let date = |index: usize| {
        let text = features.extra.get("target")?.get(index)?.as_str()?;
        let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
    };
    match (date(0), date(1)) {
        (Some(first), Some(last)) => (first, last.saturating_add(DAY_US)),
        _ => (i64::MIN, i64::MAX),
    }
}
