//! Tables: columns of Silver and Gold, Parquet in and out, a row group at a time.
//!
//! Holds polars' side of things. Knows the columns' names and types, not where a value came from
//! nor where a file belongs.

mod gold;
mod parquet;
mod silver;
mod text;

pub use gold::{GoldFrame, GoldRow};
pub use parquet::{ParquetRows, TableWriter};
pub use silver::{RawFrame, SilverFrame};
pub use text::{csv_line, row_texts};

use polars::prelude::*;

/// Rows of a row group of every Parquet file; part of the bytes, so never a user's setting.
pub const ROW_GROUP_ROWS: usize = 1 << 16;
/// Bytes of ids after which a row group ends all the same: ids of 100 characters would make it
/// many times as large as usual ones do.
const ROW_GROUP_TEXT_BYTES: usize = 6 << 20;

fn instants(name: &'static str, micros: Vec<i64>) -> Column {
    Int64Chunked::from_vec(name.into(), micros)
        .into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
        .into_series()
        .into()
}

fn integers(name: &'static str, values: Vec<i64>) -> Column {
    Int64Chunked::from_vec(name.into(), values).into_series().into()
}

fn numbers(name: &'static str, values: Vec<f64>) -> Column {
    Float64Chunked::from_vec(name.into(), values).into_series().into()
}

fn flags(name: &'static str, values: &[bool]) -> Column {
    BooleanChunked::from_slice(name.into(), values).into_series().into()
}

/// A column of strings, filled value by value.
struct Strings {
    name: &'static str,
    builder: StringChunkedBuilder,
}

impl Strings {
    fn new(name: &'static str) -> Strings {
        Strings { name, builder: StringChunkedBuilder::new(name.into(), 0) }
    }

    #[inline]
    fn push(&mut self, value: &str) {
        self.builder.append_value(value);
    }

    /// The column so far; empty again.
    fn take(&mut self) -> Column {
        let empty = StringChunkedBuilder::new(self.name.into(), 0);
        std::mem::replace(&mut self.builder, empty).finish().into_series().into()
    }
}

/// Ids were checked when they were parsed; what is not UTF-8 here is damage made visible.
#[inline]
fn utf8(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Cents as a number of whole units, the nearest there is.
pub fn amount_of_cents(cents: i128) -> f64 {
    const EXACT: i128 = 1 << 53;
    if (-EXACT..=EXACT).contains(&cents) {
        return cents as f64 / 100.0;
    }
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100).parse().unwrap_or(f64::INFINITY)
}
