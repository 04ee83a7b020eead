//! Cutting the space of user hashes into ranges of about equally many rows.
//!
//! Where the cuts lie follows from the number of ranges alone, so it is the same for any number of
//! threads and any memory limit. A user is never cut in two.

/// As many as a full run has blocks: narrower ranges would unpack each block more than once.
const MOST_PARTS: u64 = 512;

/// The users whose hash lies in `start..end`; without an end, all from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRange {
    /// First hash that belongs to it.
    pub start: u64,
    /// First hash that does not.
    pub end: Option<u64>,
}

impl HashRange {
    /// Every user.
    pub const ALL: HashRange = HashRange { start: 0, end: None };

    /// Ranges of equal width with `part_rows` rows or fewer, as long as there are no more than
    /// `MOST_PARTS`. A block of a full run lies in one of them only.
    pub fn split_by_rows(rows: u64, part_rows: u64) -> Vec<HashRange> {
        let parts = rows.div_ceil(part_rows.max(1)).clamp(1, MOST_PARTS);
        HashRange::split_evenly(parts.next_power_of_two())
    }

    /// So many ranges of equal width, at least one, that together hold every user once: hashes
    /// are spread evenly.
    pub fn split_evenly(parts: u64) -> Vec<HashRange> {
        let parts = u128::from(parts.max(1));
        let start = |part: u128| ((part << 64) / parts) as u64;
        let range = |part| HashRange {
            start: start(part),
            end: (part + 1 < parts).then(|| start(part + 1)),
        };
        (0..parts).map(range).collect()
    }

    /// Its lower and its upper half, unless it has but one hash.
    pub fn halves(&self) -> Option<(HashRange, HashRange)> {
        let end = self.end.map_or(1 << 64, u128::from);
        let middle = ((u128::from(self.start) + end) / 2) as u64;
        let upper = HashRange { start: middle, end: self.end };
        (middle > self.start).then_some((HashRange { start: self.start, end: Some(middle) }, upper))
    }

    /// Whether a hash lies before the end.
    #[inline]
    pub fn is_before_end(&self, hash: u64) -> bool {
        self.end.is_none_or(|end| hash < end)
    }
}
