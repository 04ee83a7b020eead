//! Where the time of a task goes: seconds of all its threads, by kind of work.
//!
//! Threads work side by side and wait for each other, so the sum is not the time that the task
//! takes. Enters no result.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Raw files from the disk or its cache, decompressed and cut into whole lines.
    Read,
    /// SHA-256 of raw files.
    Hash,
    /// Lines to rows: parsing, row rules, contract.
    Parse,
    /// Runs of rows: sorted, packed, hashed, written.
    Sort,
    /// Ranges of users: read, unpacked, sorted, duplicates found, events packed.
    Gather,
    /// Prints, taps and payments of each user: counted.
    Sweep,
    /// Row groups: columns, contract, Parquet, compression.
    Encode,
    /// Artifacts: hashed and written.
    Write,
    /// Gold: read back and held against its contract.
    Check,
}

impl Phase {
    const ALL: [Phase; 9] = [
        Phase::Read,
        Phase::Hash,
        Phase::Parse,
        Phase::Sort,
        Phase::Gather,
        Phase::Sweep,
        Phase::Encode,
        Phase::Write,
        Phase::Check,
    ];

    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Read => "read",
            Phase::Hash => "hash",
            Phase::Parse => "parse",
            Phase::Sort => "sort",
            Phase::Gather => "gather",
            Phase::Sweep => "sweep",
            Phase::Encode => "encode",
            Phase::Write => "write",
            Phase::Check => "check",
        }
    }
}

/// What the threads of one task took.
#[derive(Debug, Default)]
pub struct Timings([AtomicU64; Phase::ALL.len()]);

impl Timings {
    /// Does some work and counts it.
    #[inline]
    pub fn time<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        self.add(phase, began);
        result
    }

    /// Counts work that began then and has just ended.
    pub fn add(&self, phase: Phase, began: Instant) {
        self.add_time(phase, began.elapsed());
    }

    /// Counts work that took so long.
    pub fn add_time(&self, phase: Phase, took: Duration) {
        self.0[phase as usize].fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Seconds of each kind that there was any of, to the millisecond.
    pub fn seconds(&self) -> BTreeMap<String, f64> {
        let nanos = |phase: Phase| self.0[phase as usize].load(Ordering::Relaxed);
        let millis = |phase| (nanos(phase) as f64 / 1e6).round();
        let phases = Phase::ALL.into_iter().filter(|&phase| millis(phase) > 0.0);
        phases.map(|phase| (phase.name().to_owned(), millis(phase) / 1e3)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_work_has_its_own_sum() {
        let timings = Timings::default();
        assert_eq!(timings.time(Phase::Parse, || 7), 7);
        timings.add_time(Phase::Sort, Duration::from_micros(2_600));
        timings.add_time(Phase::Write, Duration::from_micros(4_000));
        let seconds = timings.seconds();
        assert_eq!((seconds["sort"], seconds["write"]), (0.003, 0.004));
        assert!(Phase::ALL.iter().enumerate().all(|(index, phase)| *phase as usize == index));
    }
}
