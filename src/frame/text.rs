//! Values as text, for people and for CSV: money with two decimals, times in UTC.

use polars::prelude::*;

use crate::as_of::rfc3339;

/// Columns that hold money.
const MONEY: [&str; 2] = ["amount", "payments_amount_3w"];

/// The values of one row of a frame, in the order of its columns; null is empty.
pub fn row_texts(frame: &DataFrame, row: usize) -> PolarsResult<Vec<String>> {
    let text = |column: &Column| {
        Ok(match column.get(row)? {
            AnyValue::Null => String::new(),
            AnyValue::String(text) => text.to_owned(),
            AnyValue::StringOwned(text) => text.to_string(),
            AnyValue::Float64(value) if MONEY.contains(&column.name().as_str()) => {
                format!("{value:.2}")
            }
            AnyValue::Float64(value) => value.to_string(),
            AnyValue::Datetime(micros, TimeUnit::Microseconds, _)
            | AnyValue::DatetimeOwned(micros, TimeUnit::Microseconds, _) => rfc3339(micros),
            other => other.to_string(),
        })
    };
    frame.columns().iter().map(text).collect()
}

/// One line of CSV without its end, quoted where it must be.
pub fn csv_line(values: &[String]) -> String {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    let written = writer.write_record(values).ok();
    let bytes = written.and_then(|()| writer.into_inner().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()
}
