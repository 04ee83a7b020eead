//! quality: counts what Silver and Gold hold, writes the report, opens or shuts the gate.
//!
//! The events are counted on one sweep in user order, Gold by row groups. Rejects and
//! rows after as_of come from the manifests of extract and preprocess, whose counts are inputs
//! like any other. How a count is judged is `report`'s.

use std::io::Write;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::features::{needed, open_events, published};
use super::gold_tally::GoldTally;
use super::memory::Share;
use super::outcome::output;
use super::sweep::DAY_US;
use super::tally::{Limits, Tally};
use crate::as_of::AsOf;
use crate::contract::{Failure, gold};
use crate::exit_code::ExitCode;
use crate::frame::ParquetRows;
use crate::progress::Unit;
use crate::record::{Decimal, Source};
use crate::report::{Extent, Measured, QualityReport};
use crate::rows::{Emitter, HashRange, Sizes, in_order};
use crate::settings::{QualitySettings, Resources};
use crate::store::{Digest, Ingredients, InputFact, Manifest, NewOutput, Place};
use crate::task::{Product, TaskContext, TaskError, Upstream};
use crate::timings::Phase;

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

fn share(part: u64, whole: u64, of_nothing: f64) -> f64 {
    if whole == 0 { of_nothing } else { part as f64 / whole as f64 }
}

fn count(manifest: &Manifest, name: &str) -> u64 {
    manifest.counts.get(name).and_then(Value::as_u64).unwrap_or(0)
}

impl Quality<'_> {
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
        let mut ingredients = self.settings_only();
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
        let gold = self.count_gold(features, context)?;
        let rows_gold = gold.0;
        let gold_sha256 = published(features, &Place::gold())?.1.sha256;

        let measured = self.measured(context.upstream, &tally, gold, gold_sha256)?;
        let report = QualityReport::new(measured, self.settings);
        let report_json = report.to_json();
        let mut outputs = vec![self.staged(&report_json, Place::report(), context)?];
        let mut counts = Map::new();
        counts.insert("quality_score".into(), report.quality_score.into());
        counts.insert("rows_gold".into(), rows_gold.into());
        counts.insert("passed".into(), report.passed.into());
        // For whoever compares two runs: the report of one of them may be gone.
        counts.insert("null_rates".into(), json!(report.null_rates));
        counts.insert("duplicate_rates".into(), json!(report.duplicate_rates));
        let rules = report.rules.iter().map(|(name, rule)| (name.clone(), json!(rule.value)));
        counts.insert("rules".into(), Value::Object(rules.collect()));

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
        (rows_gold, gold): (u64, GoldTally),
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
            rows: rows_gold,
            null_rate: share(gold.nulls(), rows_gold, 0.0),
            duplicate_rate: share(gold.repeated(), rows_gold, 0.0),
        };
        let broken = gold.broken();
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
            ("gold_not_empty", rows_gold as f64),
            ("gold_contract", broken.len() as f64),
        ];
        Ok(Measured {
            as_of: self.as_of.to_string(),
            tables,
            rules: rules.into(),
            gold_sha256: gold_sha256.to_string(),
            gold_contract: broken.iter().map(Failure::to_string).collect(),
        })
    }

    fn count_events(&self, context: &TaskContext<'_>) -> Result<Tally, TaskError> {
        let files = open_events(context.upstream, context.store)?;
        let threads = Share::of(self.resources, context.concurrency).threads;
        let total: u64 = files.iter().map(|file| file.summary().rows).sum();
        let parts = HashRange::split_evenly(total.div_ceil(self.sizes.sweep_rows));
        let limits = self.limits()?;
        let mut tally = Tally::default();
        in_order(
            &parts,
            threads,
            |part, emitter: &Emitter<Tally, TaskError>| {
                // If nobody takes it, somebody else failed.
                let found =
                    context.timings.time(Phase::Sweep, || Tally::of(&files, *part, &limits));
                let _ = emitter.emit(found?);
                Ok(())
            },
            |part| {
                context.check_cancelled()?;
                tally.add(&part);
                context.progress.advance(tally.events(), Some(total), Unit::Rows);
                Ok(())
            },
        )?;
        Ok(tally)
    }

    fn limits(&self) -> Result<Limits, TaskError> {
        let days = i64::from(self.settings.min_timestamp_days_ago);
        let as_of_us = self.as_of.micros();
        let max_cents = Decimal::parse(&self.settings.max_payment_amount)
            .map_err(|error| TaskError::new(ExitCode::Usage, error.to_string()))?
            .largest_cents()
            .unwrap_or(u64::MAX);
        let settings = self.settings;
        Ok(Limits {
            window_us: as_of_us.saturating_sub(days * DAY_US)..as_of_us,
            max_cents,
            records_per_user: settings.min_records_per_user..=settings.max_records_per_user,
        })
    }

    fn count_gold(
        &self,
        features: &Manifest,
        context: &TaskContext<'_>,
    ) -> Result<(u64, GoldTally), TaskError> {
        let threads = Share::of(self.resources, context.concurrency).threads;
        let table = ParquetRows::open(&context.store.layout().path(&Place::gold()))?;
        let (start, end) = target_bounds(features);
        let contract = gold(start, end);
        let mut tally = GoldTally::new(&contract);
        let mut rows = 0;
        in_order(
            &table.row_groups(),
            threads,
            |&(start, length), emitter: &Emitter<(usize, GoldTally), TaskError>| {
                let began = Instant::now();
                let frame = table.frame(start, length)?;
                let found = GoldTally::of(&frame, &contract)?;
                context.timings.add(Phase::Check, began);
                // If nobody takes it, somebody else failed.
                let _ = emitter.emit((frame.height(), found));
                Ok(())
            },
            |(more, found)| {
                context.check_cancelled()?;
                rows += more as u64;
                context.progress.advance(rows, Some(table.rows()), Unit::Rows);
                Ok(tally.followed_by(found)?)
            },
        )?;
        Ok((rows, tally))
    }
}

/// The target window of Gold as instants, from the manifest of features.
fn target_bounds(features: &Manifest) -> (i64, i64) {
    let target: Vec<String> = features.extra.get("target").unwrap_or_default();
    let date = |index: usize| {
        let text = target.get(index)?;
        let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
    };
    match (date(0), date(1)) {
        (Some(first), Some(last)) => (first, last.saturating_add(DAY_US)),
        _ => (i64::MIN, i64::MAX),
    }
}
