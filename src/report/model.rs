//! The report and the numbers that go into it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rules::{RuleOutcome, RuleStatus, judge};
use super::score::{round4, score};
use crate::settings::QualitySettings;

/// One table: its rows and what is missing or repeated in them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Extent {
    /// Rows of the table.
    pub rows: u64,
    /// The largest null share of any column.
    pub null_rate: f64,
    /// Duplicates found ÷ rows before deduplication; Gold: repeated whole rows ÷ rows.
    pub duplicate_rate: f64,
}

/// Everything that was counted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// The instant of the run.
    pub as_of: String,
    /// `prints`, `taps`, `payments`, `gold`.
    pub tables: BTreeMap<&'static str, Extent>,
    /// The value of each rule by name.
    pub rules: BTreeMap<&'static str, f64>,
    /// SHA-256 of Gold.
    pub gold_sha256: String,
    /// Ways in which Gold breaks its contract, in words.
    pub gold_contract: Vec<String>,
}

/// The report, in the order in which it is written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityReport {
    /// The instant of the run.
    pub as_of: String,
    /// SHA-256 of the Gold that was judged.
    pub gold_sha256: String,
    /// Rows of each table.
    pub row_counts: BTreeMap<&'static str, u64>,
    /// The largest null share of any column of each table.
    pub null_rates: BTreeMap<&'static str, f64>,
    /// The share of duplicates of each table.
    pub duplicate_rates: BTreeMap<&'static str, f64>,
    /// Kept from the first version.
    pub business_rules: BTreeMap<&'static str, f64>,
    /// The weighted score, 0 to 1.
    pub quality_score: f64,
    /// The limits of `passes`.
    pub thresholds: BTreeMap<&'static str, f64>,
    /// What is within its limit.
    pub passes: BTreeMap<&'static str, bool>,
    /// The rules with their verdicts.
    pub rules: BTreeMap<String, RuleOutcome>,
    /// Ways in which Gold breaks its contract.
    pub gold_contract: Vec<String>,
    /// Whether failures count: `quality.enable_quality_checks`.
    pub gate_enabled: bool,
    /// Nothing failed that fails the gate.
    pub passed: bool,
}

impl QualityReport {
    /// Judges what was counted.
    pub fn new(measured: Measured, settings: &QualitySettings) -> QualityReport {
        let of = |table: &str| measured.tables.get(table).copied().unwrap_or_default();
        let taps_have_prints = measured.rules.get("taps_have_prints").copied().unwrap_or(1.0);
        let quality_score = score(&of("prints"), &of("gold"), taps_have_prints);
        let passes: BTreeMap<&'static str, bool> = [
            ("prints_nulls", of("prints").null_rate <= settings.max_null_percentage),
            ("prints_dups", of("prints").duplicate_rate <= settings.max_duplicate_percentage),
            ("gold_nulls", of("gold").null_rate <= settings.max_null_percentage),
            ("score", quality_score >= settings.min_data_quality_score),
        ]
        .into();
        let rules: BTreeMap<String, RuleOutcome> = measured
            .rules
            .iter()
            .filter_map(|(name, value)| {
                let setting = settings.rules.get(*name)?;
                Some(((*name).to_owned(), judge(name, *value, setting)))
            })
            .collect();
        let passed = passes.values().all(|pass| *pass)
            && rules.values().all(|rule| rule.status != RuleStatus::Failed);
        let column = |value: fn(&Extent) -> f64| {
            measured.tables.iter().map(|(name, extent)| (*name, value(extent))).collect()
        };
        QualityReport {
            row_counts: measured.tables.iter().map(|(name, table)| (*name, table.rows)).collect(),
            null_rates: column(|table| table.null_rate),
            duplicate_rates: column(|table| table.duplicate_rate),
            business_rules: [("taps_have_prints_rate", taps_have_prints)].into(),
            quality_score,
            thresholds: [
                ("max_null_pct", settings.max_null_percentage),
                ("max_dup_pct", settings.max_duplicate_percentage),
                ("min_quality_score", round4(settings.min_data_quality_score)),
            ]
            .into(),
            passes,
            rules,
            gold_contract: measured.gold_contract,
            gate_enabled: settings.enable_quality_checks,
            passed,
            as_of: measured.as_of,
            gold_sha256: measured.gold_sha256,
        }
    }

    /// The report as it is written: indented JSON, a newline at its end.
    pub fn to_json(&self) -> String {
        // Strings, finite numbers and maps with string keys always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// What fails the gate, in words.
    pub fn failures(&self) -> Vec<String> {
        let passes = self.passes.iter().filter(|(_, pass)| !**pass);
        let mut failures: Vec<String> = passes.map(|(name, _)| self.describe_pass(name)).collect();
        let failed = self.rules.iter().filter(|(_, rule)| rule.status == RuleStatus::Failed);
        failures.extend(failed.map(|(name, rule)| rule.describe(name)));
        failures
    }

    /// What is only worth a warning, in words.
    pub fn warnings(&self) -> Vec<String> {
        let warned = self.rules.iter().filter(|(_, rule)| rule.status == RuleStatus::Warned);
        warned.map(|(name, rule)| rule.describe(name)).collect()
    }

    fn describe_pass(&self, name: &str) -> String {
        let (value, limit) = match name {
            "prints_nulls" => (self.null_rates.get("prints"), "max_null_pct"),
            "prints_dups" => (self.duplicate_rates.get("prints"), "max_dup_pct"),
            "gold_nulls" => (self.null_rates.get("gold"), "max_null_pct"),
            _ => (Some(&self.quality_score), "min_quality_score"),
        };
        let word = if name == "score" { "below" } else { "above" };
        let value = value.copied().unwrap_or_default();
        let limit_value = self.thresholds.get(limit).copied().unwrap_or_default();
        format!("{name}: {} is {word} {limit} {limit_value}", round4(value))
    }
}
