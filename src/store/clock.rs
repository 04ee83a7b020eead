//! The one clock of the store: for the `run` part of manifests, lock holders and the memo.
//!
//! Nothing that enters a result may ask it.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};

use super::manifest::RunFacts;

/// A moment of wall-clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(DateTime<Utc>);

impl Moment {
    /// Now.
    #[expect(clippy::disallowed_methods, reason = "the one place that may: see the header")]
    pub fn now() -> Moment {
        Moment(SystemTime::now().into())
    }

    /// As the file system told it.
    pub fn of(time: SystemTime) -> Moment {
        Moment(time.into())
    }

    /// RFC 3339 in UTC, to the millisecond.
    pub fn text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// Fit for names, to the microsecond: `20201201T000000.000000Z`.
    pub fn compact(self) -> String {
        self.0.format("%Y%m%dT%H%M%S%.6fZ").to_string()
    }

    /// Nanoseconds since 1970, as [`nanos`] gives them.
    pub fn nanos(self) -> i64 {
        nanos(self.0.into())
    }

    /// As the file system has it.
    pub fn system_time(self) -> SystemTime {
        self.0.into()
    }
}

/// A name for one run of the program.
pub fn new_run_id() -> String {
    format!("{}-{}", Moment::now().compact(), std::process::id())
}

/// Takes the time of one task.
#[derive(Debug, Clone)]
pub struct Stopwatch {
    run_id: String,
    started: Moment,
    instant: Instant,
}

impl Stopwatch {
    /// The task begins.
    pub fn start(run_id: &str) -> Stopwatch {
        Stopwatch { run_id: run_id.to_owned(), started: Moment::now(), instant: Instant::now() }
    }

    /// How long it takes so far.
    pub fn seconds(&self) -> f64 {
        // Whole milliseconds: more digits would only look exact.
        self.instant.elapsed().as_millis() as f64 / 1000.0
    }

    /// The task ends now.
    pub fn facts(&self, chunks: Option<u64>) -> RunFacts {
        RunFacts {
            id: self.run_id.clone(),
            started_at: self.started.text(),
            ended_at: Moment::now().text(),
            seconds: self.seconds(),
            chunks,
            mp_version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host(),
            pid: std::process::id(),
            // Whoever commits knows.
            airflow: BTreeMap::new(),
        }
    }
}

/// Nanoseconds since 1970; what lies beyond 292 years is cut to that.
pub fn nanos(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    }
}

/// The name of this machine, for people who look for a process.
pub fn host() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| fs_err::read_to_string(path).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        let moment = Moment((UNIX_EPOCH + Duration::from_micros(1_500_001)).into());
        assert_eq!(moment.text(), "1970-01-01T00:00:01.500Z");
        assert_eq!(moment.compact(), "19700101T000001.500001Z");
        assert_eq!(moment.nanos(), 1_500_001_000);
        assert_eq!(nanos(UNIX_EPOCH - Duration::from_nanos(5)), -5);
        assert!(!host().is_empty());
    }
}
