//! The contracts of the tables that mp makes.

use polars::prelude::{DataType, TimeUnit, TimeZone};

use super::{Check, ColumnRule, Contract};

/// Most characters of a user id or a value prop.
const MAX_ID_CHARS: usize = 100;

/// What a row of a source carries beside time, user and value prop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// `position`: where in the carousel, if known.
    Position,
    /// `amount`: money spent.
    Amount,
}

/// The bounds that settings give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// First timestamp allowed, in microseconds.
    pub oldest_us: i64,
    /// First timestamp no longer allowed, in microseconds.
    pub as_of_us: i64,
    /// The largest amount.
    pub max_amount: f64,
}

/// The type of every instant: microseconds, UTC.
fn instant() -> DataType {
    DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
}

fn column(name: &'static str, dtype: DataType, checks: Vec<Check>) -> ColumnRule {
    ColumnRule { name, dtype, nullable: false, shown: name != "user_id", checks }
}

fn event_columns(min_us: i64, max_us: i64) -> Vec<ColumnRule> {
    let id = || vec![Check::Identifier { max_chars: MAX_ID_CHARS }];
    vec![
        column("timestamp", instant(), vec![Check::TimeBetween { min: min_us, max: max_us }]),
        column("user_id", DataType::String, id()),
        column("value_prop_id", DataType::String, id()),
    ]
}

fn measure_column(measure: Measure, max_amount: f64) -> ColumnRule {
    match measure {
        Measure::Position => ColumnRule {
            nullable: true,
            ..column(
                "position",
                DataType::Int64,
                vec![Check::IntegerBetween { min: 0, max: i64::MAX }],
            )
        },
        Measure::Amount => column(
            "amount",
            DataType::Float64,
            vec![Check::NumberBetween { min: 0.01, max: max_amount }],
        ),
    }
}

/// Rows as extract accepts them, before the as_of is known to matter; other columns may stand
/// beside these.
pub fn raw_canonical(measure: Measure, bounds: Bounds) -> Contract {
    let mut columns = event_columns(bounds.oldest_us, i64::MAX);
    columns.push(measure_column(measure, bounds.max_amount));
    Contract { name: "raw", strict: false, columns, unique: None, unique_except: None }
}

/// A Silver table; `unique` where equal events were dropped or flagged.
pub fn silver(measure: Measure, bounds: Bounds, unique: bool) -> Contract {
    let mut columns = event_columns(bounds.oldest_us, bounds.as_of_us);
    columns.push(measure_column(measure, bounds.max_amount));
    let as_of = Check::TimeBetween { min: bounds.as_of_us, max: bounds.as_of_us.saturating_add(1) };
    columns.extend([
        column("processed_at", instant(), vec![as_of]),
        column("source_file", DataType::String, vec![Check::NotEmpty]),
        column(
            "row_number",
            DataType::Int64,
            vec![Check::IntegerBetween { min: 0, max: i64::MAX }],
        ),
        column("duplicate_flag", DataType::Boolean, vec![]),
        column(
            "data_quality_score",
            DataType::Float64,
            vec![Check::NumberBetween { min: 0.0, max: 1.0 }],
        ),
    ]);
    let measure = columns[3].name;
    let mut key = vec!["timestamp", "user_id", "value_prop_id", measure];
    if !unique {
        key.extend(["source_file", "row_number"]);
    }
    Contract {
        name: "Silver",
        strict: true,
        columns,
        unique: Some(key),
        unique_except: unique.then_some("duplicate_flag"),
    }
}

/// The Gold table, its prints in the target window `start_us..end_us`.
pub fn gold(start_us: i64, end_us: i64) -> Contract {
    let mut columns = event_columns(start_us, end_us);
    let count = || vec![Check::IntegerBetween { min: 0, max: i64::MAX }];
    columns.extend([
        column("clicked", DataType::Boolean, vec![]),
        column("prints_count_3w", DataType::Int64, count()),
        column("taps_count_3w", DataType::Int64, count()),
        column("payments_count_3w", DataType::Int64, count()),
        column(
            "payments_amount_3w",
            DataType::Float64,
            vec![Check::NumberBetween { min: 0.0, max: f64::MAX }],
        ),
    ]);
    Contract { name: "Gold", strict: true, columns, unique: None, unique_except: None }
}
