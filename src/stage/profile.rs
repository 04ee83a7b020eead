//! What is counted of an input file while it is read.
//!
//! Besides the counts, the facts say for which bounds of the timestamp the result holds: moving
//! the bound changes nothing unless it passes the timestamp of a row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{Code, Fault};

/// What one parser counts in one slab.
#[derive(Debug, Clone, Default)]
pub(super) struct SlabFacts {
    /// Physical lines.
    pub lines: u64,
    /// Lines that are no rows.
    pub blank_lines: u64,
    /// Rows, good and bad.
    pub records: u64,
    /// Chunks validated.
    pub chunks: u64,
    accepted: u64,
    by_code: BTreeMap<&'static str, u64>,
    bounds: Bounds,
    out_of_bounds: u64,
}

/// The timestamps next to the bound, and the oldest of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Bounds {
    /// The oldest timestamp of any row that had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_us: Option<i64>,
    /// The newest that is older than the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_below_us: Option<i64>,
    /// The oldest that is not older than the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_above_us: Option<i64>,
}

impl Bounds {
    fn below(&mut self, timestamp_us: i64) {
        self.newest_below_us = self.newest_below_us.max(Some(timestamp_us));
        self.oldest_us = least(self.oldest_us, Some(timestamp_us));
    }

    fn above(&mut self, timestamp_us: i64) {
        self.oldest_above_us = least(self.oldest_above_us, Some(timestamp_us));
        self.oldest_us = least(self.oldest_us, Some(timestamp_us));
    }

    fn add(&mut self, other: &Bounds) {
        self.oldest_us = least(self.oldest_us, other.oldest_us);
        self.newest_below_us = self.newest_below_us.max(other.newest_below_us);
        self.oldest_above_us = least(self.oldest_above_us, other.oldest_above_us);
    }

    /// Whether the outcome would be the same with this bound.
    pub fn hold_for(&self, bound_us: i64) -> bool {
        self.newest_below_us.is_none_or(|below| below < bound_us)
            && self.oldest_above_us.is_none_or(|above| bound_us <= above)
    }
}

fn least(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl SlabFacts {
    /// Counts accepted rows, of which the oldest is from then.
    pub fn accept(&mut self, rows: u64, oldest_us: i64) {
        self.accepted += rows;
        if rows > 0 {
            self.bounds.above(oldest_us);
        }
    }

    /// Counts a rejected row; its timestamp if it had one.
    pub fn reject(&mut self, faults: &[Fault], timestamp_us: Option<i64>, bound_us: i64) {
        for fault in faults {
            *self.by_code.entry(fault.code.as_str()).or_default() += 1;
        }
        if faults.iter().any(|fault| fault.code == Code::TimestampOutOfBounds) {
            self.out_of_bounds += 1;
        }
        match timestamp_us {
            Some(timestamp) if timestamp < bound_us => self.bounds.below(timestamp),
            Some(timestamp) => self.bounds.above(timestamp),
            None => {}
        }
    }
}

/// What is known of a whole input file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct FileFacts {
    pub rows_read: u64,
    pub rows_valid: u64,
    pub rows_rejected: u64,
    pub blank_lines: u64,
    /// Rejected rows that are older than the bound, whatever else is wrong with them.
    pub rows_out_of_bounds: u64,
    /// How often each code occurred; a row may have several.
    pub rejects_by_code: BTreeMap<String, u64>,
    pub bounds: Bounds,
}

impl FileFacts {
    /// Adds the next slab of the file.
    pub fn add(&mut self, slab: &SlabFacts) {
        self.rows_read += slab.records;
        self.rows_valid += slab.accepted;
        self.rows_rejected += slab.records - slab.accepted;
        self.blank_lines += slab.blank_lines;
        self.rows_out_of_bounds += slab.out_of_bounds;
        for (code, count) in &slab.by_code {
            *self.rejects_by_code.entry((*code).to_owned()).or_default() += count;
        }
        self.bounds.add(&slab.bounds);
    }

    /// Adds another file.
    pub fn add_file(&mut self, other: &FileFacts) {
        self.rows_read += other.rows_read;
        self.rows_valid += other.rows_valid;
        self.rows_rejected += other.rows_rejected;
        self.blank_lines += other.blank_lines;
        self.rows_out_of_bounds += other.rows_out_of_bounds;
        for (code, count) in &other.rejects_by_code {
            *self.rejects_by_code.entry(code.clone()).or_default() += count;
        }
        self.bounds.add(&other.bounds);
    }
}
