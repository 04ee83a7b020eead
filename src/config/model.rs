//! The valid configuration, with absolute folders, and the settings each part of the program reads.
//!
//! Built from values that have been checked; does not know layers or origins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{ConfigError, Problem};
use super::paths::{AS_OF, resolve};
use crate::as_of::AsOf;
use crate::settings::{
    Dedupe, ExtractSettings, FeaturesSettings, Level, LogFormat, LogSettings, PreprocessSettings,
    QualitySettings, Resources, RuleSetting,
};

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    project: PathBuf,
    as_of: AsOf,
    paths: Paths,
    values: Values,
}

/// The folders of a run: absolute, with `{as_of}` filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Raw files.
    pub raw: PathBuf,
    /// Silver and rejects.
    pub processed: PathBuf,
    /// Gold.
    pub output: PathBuf,
    /// Quality reports.
    pub reports: PathBuf,
    /// Objects and what else is kept between runs.
    pub store: PathBuf,
    /// Log files.
    pub logs: PathBuf,
}

impl Config {
    /// From checked values; `today` is the as_of where none is given.
    pub(super) fn build(
        project: &Path,
        flat: &BTreeMap<&'static str, Value>,
        today: NaiveDate,
    ) -> Result<Config, ConfigError> {
        let wrong = |what: String| ConfigError::from(Problem::general(what));
        let values: Values =
            serde_json::from_value(nested(flat)).map_err(|error| wrong(error.to_string()))?;
        let as_of = match &values.validation.as_of {
            Some(given) => AsOf::parse(given).map_err(|error| wrong(error.to_string()))?,
            None => AsOf::end_of_day(today)
                .ok_or_else(|| wrong(format!("the current date {today} has no next day")))?,
        };
        let paths = values.paths(project, &as_of);
        Ok(Config { project: project.to_owned(), as_of, paths, values })
    }

    /// The project folder, absolute.
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// The logical time of the run.
    pub fn as_of(&self) -> &AsOf {
        &self.as_of
    }

    /// The folders of the run.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The folders of a run for another as_of.
    pub fn paths_at(&self, as_of: &AsOf) -> Paths {
        self.values.paths(&self.project, as_of)
    }

    /// The folders that each as_of has of its own, absolute, with `{as_of}` as it was written.
    pub fn daily_folders(&self) -> Vec<PathBuf> {
        let Values { data_paths, quality, .. } = &self.values;
        let folders = [&data_paths.processed, &data_paths.output, &quality.quality_report_path];
        let daily = folders.into_iter().filter(|text| text.contains(AS_OF));
        daily.map(|text| self.project.join(text)).collect()
    }

    /// What `extract` of a source reads; `None` for an unknown source.
    pub fn extract(&self, source: &str) -> Option<ExtractSettings> {
        let Values { processing, validation, sources, .. } = &self.values;
        let Globs { files } = match source {
            "prints" => &sources.prints,
            "taps" => &sources.taps,
            "payments" => &sources.payments,
            _ => return None,
        };
        Some(ExtractSettings {
            source: source.to_owned(),
            files: files.clone(),
            allow_outside: sources.allow_outside,
            max_payment_amount: validation.business_rules.max_payment_amount.clone(),
            min_timestamp_days_ago: validation.business_rules.min_timestamp_days_ago,
            max_reject_rate: processing.max_reject_rate,
            validate_schema: processing.validate_schema,
        })
    }

    /// What `preprocess` of a source reads; `None` for an unknown source.
    pub fn preprocess(&self, source: &str) -> Option<PreprocessSettings> {
        let dedupe = self.values.preprocess.dedupe.get(source)?;
        Some(PreprocessSettings {
            source: source.to_owned(),
            dedupe: *dedupe,
            validate_schema: self.values.processing.validate_schema,
        })
    }

    /// What `features` reads.
    pub fn features(&self) -> FeaturesSettings {
        let processing = &self.values.processing;
        FeaturesSettings {
            target_window_days: processing.target_window_days,
            lookback_window_days: processing.lookback_window_days,
            validate_schema: processing.validate_schema,
        }
    }

    /// What `quality` reads.
    pub fn quality(&self) -> QualitySettings {
        let Values { processing, quality, validation, .. } = &self.values;
        QualitySettings {
            min_data_quality_score: quality.min_data_quality_score,
            max_null_percentage: quality.max_null_percentage,
            max_duplicate_percentage: quality.max_duplicate_percentage,
            enable_quality_checks: quality.enable_quality_checks,
            rules: quality.rules.clone(),
            max_payment_amount: validation.business_rules.max_payment_amount.clone(),
            min_timestamp_days_ago: validation.business_rules.min_timestamp_days_ago,
            min_records_per_user: validation.thresholds.min_records_per_user,
            max_records_per_user: validation.thresholds.max_records_per_user,
            validate_schema: processing.validate_schema,
        }
    }

    /// What a run may use, on a machine of so many cores.
    pub fn resources(&self, cores: usize) -> Resources {
        let processing = &self.values.processing;
        let threads = match processing.n_workers {
            _ if !processing.parallel_processing => 1,
            0 => cores.max(1),
            workers => workers,
        };
        Resources {
            chunk_rows: processing.chunk_size,
            memory_bytes: processing.max_memory_mb.saturating_mul(MIB),
            threads,
        }
    }

    /// Where the log goes.
    pub fn logging(&self) -> LogSettings {
        let logging = &self.values.logging;
        LogSettings {
            level: logging.level,
            format: logging.format,
            dir: self.paths.logs.clone(),
            file: logging.log_file.clone(),
            max_file_bytes: logging.max_file_size_mb.saturating_mul(MIB),
            backup_count: logging.backup_count,
            console: logging.enable_console,
        }
    }

    /// How many results of each task are kept.
    pub fn store_keep(&self) -> usize {
        self.values.store.keep
    }
}

const MIB: u64 = 1 << 20;

/// `a.b.c: 1` as `{a: {b: {c: 1}}}`.
pub(super) fn nested(flat: &BTreeMap<&'static str, Value>) -> Value {
    let mut root = Map::new();
    for (name, value) in flat {
        insert(&mut root, name, value);
    }
    Value::Object(root)
}

fn insert(section: &mut Map<String, Value>, path: &str, value: &Value) {
    match path.split_once('.') {
        None => {
            section.insert(path.to_owned(), value.clone());
        }
        Some((name, rest)) => {
            let below = section.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = below {
                insert(map, rest, value);
            }
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Values {
    data_paths: DataPaths,
    processing: Processing,
    quality: Quality,
    logging: Logging,
    validation: Validation,
    sources: Sources,
    preprocess: Preprocess,
    store: Store,
}

impl Values {
    fn paths(&self, project: &Path, as_of: &AsOf) -> Paths {
        let at = |text: &str| resolve(project, text, as_of);
        Paths {
            raw: at(&self.data_paths.raw),
            processed: at(&self.data_paths.processed),
            output: at(&self.data_paths.output),
            reports: at(&self.quality.quality_report_path),
            store: at(&self.store.path),
            logs: at(&self.logging.log_dir),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct DataPaths {
    raw: String,
    processed: String,
    output: String,
}

/// `encoding` is checked, and then known.
#[derive(Debug, Clone, Deserialize)]
struct Processing {
    chunk_size: usize,
    max_memory_mb: u64,
    target_window_days: u32,
    lookback_window_days: u32,
    validate_schema: bool,
    parallel_processing: bool,
    n_workers: usize,
    max_reject_rate: f64,
}

#[derive(Debug, Clone, Deserialize)]
struct Quality {
    min_data_quality_score: f64,
    max_null_percentage: f64,
    max_duplicate_percentage: f64,
    enable_quality_checks: bool,
    quality_report_path: String,
    rules: BTreeMap<String, RuleSetting>,
}

#[derive(Debug, Clone, Deserialize)]
struct Logging {
    level: Level,
    format: LogFormat,
    log_dir: String,
    log_file: String,
    max_file_size_mb: u64,
    backup_count: u32,
    enable_console: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Validation {
    as_of: Option<String>,
    business_rules: BusinessRules,
    thresholds: Thresholds,
}

#[derive(Debug, Clone, Deserialize)]
struct BusinessRules {
    max_payment_amount: String,
    min_timestamp_days_ago: u32,
}

#[derive(Debug, Clone, Deserialize)]
struct Thresholds {
    min_records_per_user: u64,
    max_records_per_user: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Sources {
    prints: Globs,
    taps: Globs,
    payments: Globs,
    allow_outside: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Globs {
    files: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Preprocess {
    dedupe: BTreeMap<String, Dedupe>,
}

#[derive(Debug, Clone, Deserialize)]
struct Store {
    path: String,
    keep: usize,
}
