//! Tables: columns of Silver and Gold, Parquet in and out, a row group at a time.
//!
//! Rows are gathered into a [`Group`], which is encoded on whatever thread has it and written in
//! order. Holds polars' side of things. Knows the columns' names and types, not where a value
//! came from nor where a file belongs.

mod dictionary;
mod encode;
mod encoding;
mod gold;
mod group;
mod read;
mod silver;
mod spare;
#[cfg(test)]
mod tests;
mod text;
mod texts;
mod write;

pub use encode::{EncodedGroup, GroupEncoder};
pub use gold::{GoldFrame, GoldRow};
pub use group::Group;
pub use read::ParquetRows;
pub use silver::{RawFrame, SilverFrame, SilverRow};
pub use text::{csv_line, row_texts};
pub use write::TableWriter;

/// Most rows of a row group of every Parquet file; part of the bytes, so never a user's setting.
pub const ROW_GROUP_ROWS: usize = 1 << 17;
/// Bytes of distinct ids after which a row group ends all the same: ids of 100 characters would
/// make it many times as large as usual ones do.
const ROW_GROUP_TEXT_BYTES: usize = 3 << 20;

/// Cents as a number of whole units, the nearest there is.
pub fn amount_of_cents(cents: i128) -> f64 {
    const EXACT: i128 = 1 << 53;
    if (-EXACT..=EXACT).contains(&cents) {
        return cents as i64 as f64 / 100.0;
    }
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100).parse().unwrap_or(f64::INFINITY)
}
