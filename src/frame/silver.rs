//! The Silver tables and the raw-canonical frame, built from rows in user order.

use polars::prelude::*;

use super::{
    ROW_GROUP_ROWS, ROW_GROUP_TEXT_BYTES, Strings, amount_of_cents, flags, instants, integers,
    numbers, utf8,
};
use crate::contract::Measure;
use crate::rows::RowRef;

/// Position or amount, by what the source carries.
enum MeasureColumn {
    Positions(Vec<Option<i64>>),
    Amounts(Vec<f64>),
}

impl MeasureColumn {
    fn new(measure: Measure) -> MeasureColumn {
        match measure {
            Measure::Position => MeasureColumn::Positions(Vec::new()),
            Measure::Amount => MeasureColumn::Amounts(Vec::new()),
        }
    }

    #[inline]
    fn push(&mut self, measure: u64) {
        match self {
            MeasureColumn::Positions(values) => {
                values.push(measure.checked_sub(1).map(|position| position as i64));
            }
            MeasureColumn::Amounts(values) => values.push(amount_of_cents(measure.into())),
        }
    }

    fn take(&mut self) -> Column {
        match self {
            MeasureColumn::Positions(values) => {
                let column = Int64Chunked::from_slice_options("position".into(), values);
                values.clear();
                column.into_series().into()
            }
            MeasureColumn::Amounts(values) => numbers("amount", std::mem::take(values)),
        }
    }
}

/// Time, user, value prop and measure: what raw and Silver frames share.
struct EventColumns {
    timestamps: Vec<i64>,
    users: Strings,
    value_props: Strings,
    measures: MeasureColumn,
}

impl EventColumns {
    fn new(measure: Measure) -> EventColumns {
        EventColumns {
            timestamps: Vec::new(),
            users: Strings::new("user_id"),
            value_props: Strings::new("value_prop_id"),
            measures: MeasureColumn::new(measure),
        }
    }

    #[inline]
    fn push(&mut self, timestamp_us: i64, user: &[u8], value_prop: &[u8], measure: u64) {
        self.timestamps.push(timestamp_us);
        self.users.push(&utf8(user));
        self.value_props.push(&utf8(value_prop));
        self.measures.push(measure);
    }

    fn take(&mut self) -> Vec<Column> {
        vec![
            instants("timestamp", std::mem::take(&mut self.timestamps)),
            self.users.take(),
            self.value_props.take(),
            self.measures.take(),
        ]
    }
}

/// Accepted rows before they are sorted, for the raw-canonical contract.
pub struct RawFrame(EventColumns);

impl RawFrame {
    /// No row yet.
    pub fn new(measure: Measure) -> RawFrame {
        RawFrame(EventColumns::new(measure))
    }

    /// Adds a row: user id, timestamp in microseconds, value prop, measure.
    #[inline]
    pub fn push(&mut self, (user, timestamp_us, value_prop, measure): (&[u8], i64, &[u8], u64)) {
        self.0.push(timestamp_us, user, value_prop, measure);
    }

    /// The rows so far; empty again.
    pub fn take(&mut self) -> PolarsResult<DataFrame> {
        let rows = self.0.timestamps.len();
        DataFrame::new(rows, self.0.take())
    }
}

/// Rows of a Silver table, gathered until they are a row group.
pub struct SilverFrame {
    processed_at_us: i64,
    events: EventColumns,
    source_files: Strings,
    row_numbers: Vec<i64>,
    duplicates: Vec<bool>,
    scores: Vec<f64>,
    text_bytes: usize,
}

impl SilverFrame {
    /// No row yet; every row will carry `processed_at_us`.
    pub fn new(measure: Measure, processed_at_us: i64) -> SilverFrame {
        SilverFrame {
            processed_at_us,
            events: EventColumns::new(measure),
            source_files: Strings::new("source_file"),
            row_numbers: Vec::new(),
            duplicates: Vec::new(),
            scores: Vec::new(),
            text_bytes: 0,
        }
    }

    /// Whether the rows are a row group.
    pub fn is_full(&self) -> bool {
        self.row_numbers.len() == ROW_GROUP_ROWS || self.text_bytes >= ROW_GROUP_TEXT_BYTES
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.row_numbers.is_empty()
    }

    /// Adds the next row in user order, from the file of this name.
    #[inline]
    pub fn push(&mut self, row: &RowRef<'_>, source_file: &str, duplicate: bool) {
        self.events.push(row.timestamp_us, row.user, row.value_prop, row.measure);
        self.text_bytes += row.user.len() + row.value_prop.len();
        self.source_files.push(source_file);
        self.row_numbers.push(row.row_number as i64);
        self.duplicates.push(duplicate);
        self.scores.push(1.0 - 0.25 * f64::from(row.soft_issues));
    }

    /// The rows so far as a frame; empty again.
    pub fn take(&mut self) -> PolarsResult<DataFrame> {
        let rows = self.row_numbers.len();
        self.text_bytes = 0;
        let mut columns = self.events.take();
        columns.push(instants("processed_at", vec![self.processed_at_us; rows]));
        columns.push(self.source_files.take());
        columns.push(integers("row_number", std::mem::take(&mut self.row_numbers)));
        columns.push(flags("duplicate_flag", &self.duplicates));
        self.duplicates.clear();
        columns.push(numbers("data_quality_score", std::mem::take(&mut self.scores)));
        DataFrame::new(rows, columns)
    }
}
