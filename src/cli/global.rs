//! The flags that every command takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::airflow_mode::AirflowMode;
use crate::dag::{LONGEST_DELAY, LONGEST_TIMEOUT, time_of};

/// Flags that stand before or after any command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// A configuration file over config/params.yaml; may be repeated, later wins
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Set one key; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The project folder [default: $MP_PROJECT, else the current folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// What may be known: a date (its end) or an RFC 3339 timestamp [default: $MP_AS_OF, else
    /// validation.as_of, else today]
    #[arg(long, global = true, value_name = "DATE")]
    pub as_of: Option<String>,
    /// Threads, and tasks that run at once [default: processing.n_workers]
    #[arg(long, global = true, value_name = "N")]
    pub jobs: Option<u64>,
    /// Compute the selected tasks even if they are up to date
    #[arg(long, global = true, value_name = "true|false", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(hide_possible_values = true, action = ArgAction::Set)]
    pub force: bool,
    /// Compute what is not up to date even where its result is still kept
    #[arg(long, global = true)]
    pub no_cache: bool,
    /// Only tell what would be done
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// End as a task of Airflow: logs with levels, then one JSON line as the last of all output; on
    /// by itself where AIRFLOW_CTX_DAG_ID is set
    #[arg(long, global = true, overrides_with = "no_airflow", conflicts_with = "json")]
    pub airflow: bool,
    /// Not as a task of Airflow, even if it is one
    #[arg(long, global = true, overrides_with = "airflow")]
    pub no_airflow: bool,
    /// The contract with Airflow, if this process is a task of it.
    #[arg(skip)]
    pub mode: Option<AirflowMode>,
    /// How long to wait for a task that another process runs (60s, 2m, 0s)
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub lock_timeout: Duration,
    /// Only errors on stderr
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
    /// More in the log; may be repeated
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// Whether this is a task of Airflow, if the user says.
    pub fn is_airflow_task(&self) -> Option<bool> {
        match (self.airflow, self.no_airflow) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }
}

/// Reads `60s`, `2m`, `1h`, `500ms` or a plain number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    time_of(text).ok_or_else(|| "expected a time like 60s, 500ms, 2m or 1h".to_owned())
}

/// The same up to the longest time between two tries.
pub(super) fn delay(text: &str) -> Result<Duration, String> {
    let time = time_of(text).filter(|time| *time <= LONGEST_DELAY);
    time.ok_or_else(|| "expected a time like 60s, 500ms or 2m, at most 1h".to_owned())
}

/// The same above zero, up to the longest time for one try.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let time = time_of(text).filter(|time| !time.is_zero() && *time <= LONGEST_TIMEOUT);
    time.ok_or_else(|| "expected a time above zero like 60s, 10m or 1h, at most 168h".to_owned())
}
