//! The typed settings that each stage may read: plain values, and nothing else of the program.
//!
//! A stage is given its own struct, so it cannot read a setting that is not in its key;
//! `entries()` names every one of them by its configuration key, as it enters the fingerprint.
//! Does not know files, environment, defaults or where a value came from (`config` does).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a stage has read: configuration key to value.
pub type Entries = BTreeMap<String, Value>;

/// What `extract` of one source reads.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractSettings {
    /// The name of the source: `prints`, `taps` or `payments`.
    pub source: String,
    /// Globs below the raw folder.
    pub files: Vec<String>,
    /// Whether a match may lie outside the raw folder.
    pub allow_outside: bool,
    /// Decimal text as written; matters to payments only.
    pub max_payment_amount: String,
    /// Rows older than as_of minus so many days are rejected.
    pub min_timestamp_days_ago: u32,
    /// The share of rejected rows above which the extract fails.
    pub max_reject_rate: f64,
    /// Whether the frame contract is checked.
    pub validate_schema: bool,
}

/// What `preprocess` of one source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreprocessSettings {
    /// The name of the source: `prints`, `taps` or `payments`.
    pub source: String,
    /// What becomes of duplicates.
    pub dedupe: Dedupe,
    /// Whether the frame contract is checked.
    pub validate_schema: bool,
}

/// What becomes of the rows of a source that repeat an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dedupe {
    /// They are left out.
    Drop,
    /// They stay, with `duplicate_flag`.
    Flag,
    /// They stay, as ordinary rows.
    Keep,
}

/// What `features` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeaturesSettings {
    /// The days up to the latest print whose prints become rows of Gold.
    pub target_window_days: u32,
    /// The days before a print that its lookbacks count.
    pub lookback_window_days: u32,
    /// Whether the frame contracts are checked.
    pub validate_schema: bool,
}

/// What `quality` reads.
#[derive(Debug, Clone, PartialEq)]
pub struct QualitySettings {
    /// The quality score below which the gate fails.
    pub min_data_quality_score: f64,
    /// The null share of a column above which the gate fails.
    pub max_null_percentage: f64,
    /// The share of duplicates above which the gate fails.
    pub max_duplicate_percentage: f64,
    /// Whether there is a gate at all.
    pub enable_quality_checks: bool,
    /// The rules by name; every known rule is there.
    pub rules: BTreeMap<String, RuleSetting>,
    /// Decimal text as written.
    pub max_payment_amount: String,
    /// Rows older than as_of minus so many days are out of the window.
    pub min_timestamp_days_ago: u32,
    /// The fewest records an ordinary user has.
    pub min_records_per_user: u64,
    /// The most records an ordinary user has.
    pub max_records_per_user: u64,
    /// Whether the frame contracts are checked.
    pub validate_schema: bool,
}

/// How one quality rule is applied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RuleSetting {
    /// What a broken rule means.
    pub severity: Severity,
    /// The limit of the rule's value.
    pub threshold: f64,
}

/// What a broken quality rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The rule is not applied.
    Off,
    /// It is reported.
    Warn,
    /// It is reported and fails the gate.
    Error,
}

/// What a run may use of the machine. Never part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Rows validated at a time.
    pub chunk_rows: usize,
    /// The promise about peak resident memory.
    pub memory_bytes: u64,
    /// Threads that compute.
    pub threads: usize,
}

/// Where the log goes and how it looks. Never part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: Level,
    /// Text or JSON lines.
    pub format: LogFormat,
    /// The folder of the log files, absolute.
    pub dir: std::path::PathBuf,
    /// The name of the log file in that folder.
    pub file: String,
    /// The size at which a log file is rotated.
    pub max_file_bytes: u64,
    /// How many rotated files are kept.
    pub backup_count: u32,
    /// Whether the log goes to stderr too.
    pub console: bool,
}

/// The levels of the log, from the most to the least talkative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Everything.
    Trace,
    /// What a developer wants to know.
    Debug,
    /// What a user wants to know.
    Info,
    /// What went wrong without harm.
    #[serde(alias = "WARNING")]
    Warn,
    /// What failed.
    Error,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl ExtractSettings {
    /// What the stage has read, by key. The amount bound is read for payments only.
    pub fn entries(&self) -> Entries {
        let mut entries = entries([
            ("sources.allow_outside", json!(self.allow_outside)),
            (
                "validation.business_rules.min_timestamp_days_ago",
                json!(self.min_timestamp_days_ago),
            ),
            ("processing.max_reject_rate", number(self.max_reject_rate)),
            ("processing.validate_schema", json!(self.validate_schema)),
        ]);
        // Files are taken in the order of their names, each once, whatever the order of the globs.
        let globs: BTreeSet<&String> = self.files.iter().collect();
        entries.insert(format!("sources.{}.files", self.source), json!(globs));
        if self.source == "payments" {
            entries.insert(AMOUNT.to_owned(), json!(self.max_payment_amount));
        }
        entries
    }
}

impl PreprocessSettings {
    /// What the stage has read, by key.
    pub fn entries(&self) -> Entries {
        let mut entries = entries([("processing.validate_schema", json!(self.validate_schema))]);
        entries.insert(format!("preprocess.dedupe.{}", self.source), json!(self.dedupe));
        entries
    }
}

impl FeaturesSettings {
    /// What the stage has read, by key.
    pub fn entries(&self) -> Entries {
        entries([
            ("processing.target_window_days", json!(self.target_window_days)),
            ("processing.lookback_window_days", json!(self.lookback_window_days)),
            ("processing.validate_schema", json!(self.validate_schema)),
        ])
    }
}

impl QualitySettings {
    /// What the stage has read, by key.
    pub fn entries(&self) -> Entries {
        let mut entries = entries([
            ("quality.min_data_quality_score", number(self.min_data_quality_score)),
            ("quality.max_null_percentage", number(self.max_null_percentage)),
            ("quality.max_duplicate_percentage", number(self.max_duplicate_percentage)),
            ("quality.enable_quality_checks", json!(self.enable_quality_checks)),
            (AMOUNT, json!(self.max_payment_amount)),
            (
                "validation.business_rules.min_timestamp_days_ago",
                json!(self.min_timestamp_days_ago),
            ),
            ("validation.thresholds.min_records_per_user", json!(self.min_records_per_user)),
            ("validation.thresholds.max_records_per_user", json!(self.max_records_per_user)),
            ("processing.validate_schema", json!(self.validate_schema)),
        ]);
        for (name, rule) in &self.rules {
            entries.insert(format!("quality.rules.{name}.severity"), json!(rule.severity));
            entries.insert(format!("quality.rules.{name}.threshold"), number(rule.threshold));
        }
        entries
    }
}

const AMOUNT: &str = "validation.business_rules.max_payment_amount";

fn entries<const N: usize>(pairs: [(&str, Value); N]) -> Entries {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A whole number is written as one: `0 → 1` says more than `0.0 → 1.0`.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && (0.0..=EXACT).contains(&value) {
        json!(value as u64)
    } else {
        json!(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(source: &str) -> ExtractSettings {
        ExtractSettings {
            source: source.to_owned(),
            files: vec!["a.json".to_owned()],
            allow_outside: false,
            max_payment_amount: "999.99".to_owned(),
            min_timestamp_days_ago: 1825,
            max_reject_rate: 0.02,
            validate_schema: true,
        }
    }

    #[test]
    fn the_amount_bound_is_in_the_key_of_payments_only() {
        assert_eq!(extract("payments").entries().get(AMOUNT), Some(&json!("999.99")));
        assert_eq!(extract("prints").entries().get(AMOUNT), None);
        assert_eq!(extract("taps").entries().get(AMOUNT), None);
        assert!(extract("taps").entries().contains_key("sources.taps.files"));
    }

    #[test]
    fn whole_numbers_are_written_without_a_fraction() {
        assert_eq!(number(1.0).to_string(), "1");
        assert_eq!(number(0.005).to_string(), "0.005");
    }
}
