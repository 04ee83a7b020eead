//! The user order: how rows of Silver and Gold follow one another.
//!
//! (h, user_id, timestamp, value_prop_id, position with null first | amount, source_file,
//! row_number), strings by bytes, h = XXH3-64 with seed 0 of the user_id. A measure is a number
//! whose natural order is that of the position or the amount.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64;

/// The hash that leads the order: XXH3-64, seed 0, of the id's UTF-8 bytes
/// (<https://github.com/Cyan4973/xxHash>).
#[inline]
pub fn hash_user(user_id: &[u8]) -> u64 {
    xxh3_64(user_id)
}

/// One row, borrowed from wherever it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// [`hash_user`] of the user.
    pub hash: u64,
    /// The user id, UTF-8.
    pub user: &'a [u8],
    /// Microseconds since 1970 UTC.
    pub timestamp_us: i64,
    /// The value prop id, UTF-8.
    pub value_prop: &'a [u8],
    /// Position + 1 with 0 for none, or the amount in cents.
    pub measure: u64,
    /// Which source file, counted in byte order of their names.
    pub file: u32,
    /// The row's number in its file, from 0.
    pub row_number: u64,
    /// Soft issues of the row, 0 to 4.
    pub soft_issues: u8,
}

impl RowRef<'_> {
    /// The user order.
    #[inline]
    pub fn user_order(&self, other: &RowRef<'_>) -> Ordering {
        self.hash
            .cmp(&other.hash)
            .then_with(|| self.user.cmp(other.user))
            .then_with(|| self.timestamp_us.cmp(&other.timestamp_us))
            .then_with(|| self.value_prop.cmp(other.value_prop))
            .then_with(|| self.measure.cmp(&other.measure))
            .then_with(|| self.file.cmp(&other.file))
            .then_with(|| self.row_number.cmp(&other.row_number))
    }
}
