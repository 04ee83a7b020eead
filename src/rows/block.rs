//! How the rows of a block lie in a file, in user order.
//!
//! ```text
//! rows (u32)  users  flags  unit of timestamps (u64)  timestamps  value props  value prop numbers
//! measures  files  row numbers
//! ```
//! Each user and each value prop of a block is kept once; a flag marks the first row of a user.
//! A block knows nothing of its neighbours nor of the file that it lies in. `build` packs one;
//! `unpack` reads all of its rows, `columns` what a sweep needs.

/// More rows than any block has: damaged bytes must not ask for all memory.
pub(super) const MAX_ROWS: usize = 1 << 20;

/// The flag of the first row of a user; the other bits are the soft issues.
pub(super) const NEW_USER: u8 = 0x80;

/// A timestamp to be packed: the order of u64 is to be that of i64, so the sign bit is flipped.
#[inline]
pub(super) fn packed_time(time: i64) -> u64 {
    time as u64 ^ (1 << 63)
}

/// The timestamp in microseconds, unless it is none; the other way round of [`packed_time`].
#[inline]
pub(super) fn time_of(packed: u64, unit_us: i64) -> Option<i64> {
    ((packed ^ (1 << 63)) as i64).checked_mul(unit_us)
}
