//! Every key of the configuration: name, default, what is allowed, environment variable.
//!
//! The order is that of `config/params.yaml`. Does not know files or values in force.

use super::kind::{Kind, Rule};

/// One key.
#[derive(Debug)]
pub struct Key {
    /// The path from the top, with dots.
    pub name: &'static str,
    /// As YAML.
    pub default: &'static str,
    /// What is allowed.
    pub kind: Kind,
    /// Its own environment variable, where it has one besides `MP__SECTION__KEY`.
    pub env: Option<&'static str>,
}

const fn key(name: &'static str, default: &'static str, kind: Kind) -> Key {
    Key { name, default, kind, env: None }
}

const fn named(name: &'static str, env: &'static str, default: &'static str, kind: Kind) -> Key {
    Key { name, default, kind, env: Some(env) }
}

const FOLDER: Kind = Kind::Folder { as_of: false };
const AS_OF_FOLDER: Kind = Kind::Folder { as_of: true };
const DAYS: Kind = Kind::Integer { min: 1, max: 36_500 };
const COUNT: Kind = Kind::Integer { min: 0, max: Kind::NO_LIMIT };
const POSITIVE: Kind = Kind::Integer { min: 1, max: Kind::NO_LIMIT };
const MEGABYTES: Kind = Kind::Integer { min: 128, max: Kind::NO_LIMIT };
const SEVERITY: Kind = Kind::Choice(&["off", "warn", "error"]);
const DEDUPE: Kind = Kind::Choice(&["drop", "flag", "keep"]);
const FORMAT: Kind = Kind::Choice(&["text", "json"]);
const LEVEL: Kind = Kind::Choice(&["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR"]);
const ENCODING: Kind = Kind::Choice(&["utf-8"]);

/// All keys.
pub const KEYS: &[Key] = &[
    named("data_paths.raw", "MP_RAW_DATA_PATH", "data/raw", FOLDER),
    named("data_paths.processed", "MP_PROCESSED_DATA_PATH", "data/processed", AS_OF_FOLDER),
    named("data_paths.output", "MP_OUTPUT_DATA_PATH", "data/output", AS_OF_FOLDER),
    named("processing.chunk_size", "MP_CHUNK_SIZE", "10000", POSITIVE),
    named("processing.max_memory_mb", "MP_MAX_MEMORY_MB", "1024", MEGABYTES),
    named("processing.target_window_days", "MP_TARGET_WINDOW_DAYS", "7", DAYS),
    named("processing.lookback_window_days", "MP_LOOKBACK_WINDOW_DAYS", "21", DAYS),
    key("processing.encoding", "utf-8", ENCODING),
    named("processing.validate_schema", "MP_VALIDATE_SCHEMA", "true", Kind::Bool),
    key("processing.parallel_processing", "true", Kind::Bool),
    key("processing.n_workers", "0", Kind::Integer { min: 0, max: 1024 }),
    key("processing.max_reject_rate", "0.02", Kind::Share),
    named("quality.min_data_quality_score", "MP_MIN_QUALITY_SCORE", "0.8", Kind::Share),
    named("quality.max_null_percentage", "MP_MAX_NULL_PCT", "0.1", Kind::Share),
    key("quality.max_duplicate_percentage", "0.1", Kind::Share),
    key("quality.enable_quality_checks", "true", Kind::Bool),
    key("quality.quality_report_path", "data/quality_reports", AS_OF_FOLDER),
    key("quality.rules.taps_have_prints.severity", "warn", SEVERITY),
    key("quality.rules.taps_have_prints.threshold", "0.95", Kind::Share),
    key("quality.rules.payments_have_taps.severity", "off", SEVERITY),
    key("quality.rules.payments_have_taps.threshold", "0.95", Kind::Share),
    key("quality.rules.max_payment_amount.severity", "error", SEVERITY),
    key("quality.rules.max_payment_amount.threshold", "0", COUNT),
    key("quality.rules.timestamps_in_window.severity", "error", SEVERITY),
    key("quality.rules.timestamps_in_window.threshold", "0", COUNT),
    key("quality.rules.records_per_user.severity", "warn", SEVERITY),
    key("quality.rules.records_per_user.threshold", "0", COUNT),
    key("quality.rules.rows_after_as_of.severity", "warn", SEVERITY),
    key("quality.rules.rows_after_as_of.threshold", "0.01", Kind::Share),
    key("quality.rules.rejects.severity", "warn", SEVERITY),
    key("quality.rules.rejects.threshold", "0.005", Kind::Share),
    key("quality.rules.gold_not_empty.severity", "error", SEVERITY),
    key("quality.rules.gold_not_empty.threshold", "1", COUNT),
    key("quality.rules.gold_contract.severity", "error", SEVERITY),
    key("quality.rules.gold_contract.threshold", "0", COUNT),
    named("logging.level", "MP_LOG_LEVEL", "INFO", LEVEL),
    key("logging.format", "text", FORMAT),
    named("logging.log_dir", "MP_LOG_DIR", "logs", FOLDER),
    key("logging.log_file", "pipeline.log", Kind::FileName),
    key("logging.max_file_size_mb", "10", POSITIVE),
    key("logging.backup_count", "5", Kind::Integer { min: 0, max: 1_000_000 }),
    key("logging.enable_console", "true", Kind::Bool),
    named("validation.as_of", "MP_AS_OF", "null", Kind::AsOf),
    key("validation.business_rules.max_payment_amount", "1000000", Kind::Amount),
    key("validation.business_rules.min_timestamp_days_ago", "1825", DAYS),
    key(MIN_RECORDS, "1", COUNT),
    key(MAX_RECORDS, "10000", COUNT),
    key("sources.prints.files", "[prints.json]", Kind::Globs),
    key("sources.taps.files", "[taps.json]", Kind::Globs),
    key("sources.payments.files", "[pays.csv]", Kind::Globs),
    key("sources.allow_outside", "false", Kind::Bool),
    key("preprocess.dedupe.prints", "drop", DEDUPE),
    key("preprocess.dedupe.taps", "drop", DEDUPE),
    key("preprocess.dedupe.payments", "keep", DEDUPE),
    key("store.path", "data/.mp", FOLDER),
    key("store.keep", "3", POSITIVE),
];

const MIN_RECORDS: &str = "validation.thresholds.min_records_per_user";
const MAX_RECORDS: &str = "validation.thresholds.max_records_per_user";

/// What must hold between two keys.
pub const RULES: &[Rule] = &[Rule::AtMost(MIN_RECORDS, MAX_RECORDS)];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether keys stand below this path; the empty path is the whole document.
pub fn is_section(path: &str) -> bool {
    path.is_empty() || sections().any(|section| section == path)
}

fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter().flat_map(|key| key.name.match_indices('.').map(|(dot, _)| &key.name[..dot]))
}

/// The known key or section that an unknown path most likely means.
pub fn did_you_mean(path: &str) -> Option<&'static str> {
    let similar = strsim::normalized_damerau_levenshtein;
    let (parent, last) = split(path);
    let known = || KEYS.iter().map(|key| key.name).chain(sections());
    let score = |name: &'static str| {
        let (its_parent, its_last) = split(name);
        let (by_last, by_path) = (similar(last, its_last), similar(path, name));
        let near = if its_parent == parent { by_last >= 0.5 } else { by_last >= 0.75 };
        let score = by_last + by_path + if its_parent == parent { 0.5 } else { 0.0 };
        (near || by_path >= 0.8).then_some((score, name))
    };
    known().filter_map(score).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_or_section_is_recognised() {
        for (wrong, right) in [
            ("processing.chunk_sise", "processing.chunk_size"),
            ("processing.chunksize", "processing.chunk_size"),
            ("proccessing", "processing"),
            ("chunk_size", "processing.chunk_size"),
            ("as_of", "validation.as_of"),
            ("proccessing.chunk_size", "processing.chunk_size"),
            ("quality.rules.rejekts", "quality.rules.rejects"),
            ("quality.rules.rejects.treshold", "quality.rules.rejects.threshold"),
            ("quality.rules.rejekts.severity", "quality.rules.rejects.severity"),
            ("sources.print.files", "sources.prints.files"),
            ("log_dir", "logging.log_dir"),
            ("data_path", "data_paths"),
        ] {
            assert_eq!(did_you_mean(wrong), Some(right), "{wrong}");
        }
        for far in ["zzz", "processing.xyzzy", "", "quality.rules.nothing_like_it"] {
            assert_eq!(did_you_mean(far), None, "{far}");
        }
    }

    #[test]
    fn sections_are_what_keys_stand_below() {
        for section in ["", "processing", "quality.rules", "quality.rules.rejects", "sources.taps"]
        {
            assert!(is_section(section), "{section}");
        }
        for other in ["proc", "processing.", "processing.chunk_size", "."] {
            assert!(!is_section(other), "{other}");
        }
    }
}
