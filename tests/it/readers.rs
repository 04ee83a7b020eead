//! Parquet and CSV files as rows of text that can be compared.
//!
//! Money and scores have two decimals, times are UTC with six, null is the empty text (which no id
//! can be).

use std::cmp::Ordering;
use std::fs::File;
use std::path::Path;

use chrono::DateTime;
use polars::prelude::{AnyValue, ParquetReader, SerReader};
use xxhash_rust::xxh3::xxh3_64;

#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    /// As Polars names them; empty for a CSV file.
    pub types: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

pub const SILVER: [(&str, &str); 9] = [
    ("timestamp", "datetime[μs, UTC]"),
    ("user_id", "str"),
    ("value_prop_id", "str"),
    ("position", "i64"),
    ("processed_at", "datetime[μs, UTC]"),
    ("source_file", "str"),
    ("row_number", "i64"),
    ("duplicate_flag", "bool"),
    ("data_quality_score", "f64"),
];

pub const GOLD: [(&str, &str); 8] = [
    ("timestamp", "datetime[μs, UTC]"),
    ("user_id", "str"),
    ("value_prop_id", "str"),
    ("clicked", "bool"),
    ("prints_count_3w", "i64"),
    ("taps_count_3w", "i64"),
    ("payments_count_3w", "i64"),
    ("payments_amount_3w", "f64"),
];

impl Table {
    pub fn parquet(path: &Path) -> Table {
        let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let frame = ParquetReader::new(file).finish();
        let frame = frame.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let columns: Vec<String> = frame.columns().iter().map(|c| c.name().to_string()).collect();
        let types = frame.columns().iter().map(|c| c.dtype().to_string()).collect();
        let mut rows = vec![Vec::with_capacity(columns.len()); frame.height()];
        for column in frame.columns() {
            for (at, row) in rows.iter_mut().enumerate() {
                row.push(text(&column.get(at).expect("a value")));
            }
        }
        Table { columns, types, rows }
    }

    pub fn csv(path: &Path) -> Table {
        let mut reader = csv::Reader::from_path(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let columns = reader.headers().expect("a header").iter().map(str::to_owned).collect();
        let rows = reader
            .records()
            .map(|record| record.expect("a record").iter().map(str::to_owned).collect())
            .collect();
        Table { columns, types: vec![], rows }
    }

    pub fn at(&self, column: &str) -> usize {
        let found = self.columns.iter().position(|name| name == column);
        found.unwrap_or_else(|| panic!("no column {column} in {:?}", self.columns))
    }

    pub fn column(&self, name: &str) -> Vec<&str> {
        let at = self.at(name);
        self.rows.iter().map(|row| row[at].as_str()).collect()
    }

    pub fn without(mut self, column: &str) -> Table {
        let at = self.at(column);
        self.columns.remove(at);
        if !self.types.is_empty() {
            self.types.remove(at);
        }
        for row in &mut self.rows {
            row.remove(at);
        }
        self
    }

    /// The rows in an order that says nothing, to compare as multisets.
    pub fn sorted(mut self) -> Table {
        self.rows.sort();
        self
    }

    /// Exactly these columns and types, in this order.
    #[track_caller]
    pub fn assert_schema(&self, schema: &[(&str, &str)]) {
        let have: Vec<(&str, &str)> = self
            .columns
            .iter()
            .map(String::as_str)
            .zip(self.types.iter().map(String::as_str))
            .collect();
        assert_eq!(have, schema);
    }

    /// The user order, on as many of its columns as the table has.
    #[track_caller]
    pub fn assert_user_order(&self) {
        for pair in self.rows.windows(2) {
            let order = self.user_order(&pair[0], &pair[1]);
            assert_ne!(order, Ordering::Greater, "rows out of order: {pair:#?}");
        }
    }

    fn user_order(&self, a: &[String], b: &[String]) -> Ordering {
        let (user, time) = (self.at("user_id"), self.at("timestamp"));
        let hash = |row: &[String]| xxh3_64(row[user].as_bytes());
        let mut order = hash(a).cmp(&hash(b)).then_with(|| a[user].cmp(&b[user]));
        order = order.then_with(|| moment(&a[time]).cmp(&moment(&b[time])));
        for (at, name) in self.columns.iter().enumerate() {
            let (a, b) = (&a[at], &b[at]);
            order = order.then_with(|| match name.as_str() {
                "value_prop_id" | "source_file" => a.cmp(b),
                "position" | "row_number" => {
                    let key = |text: &str| text.parse::<i64>().ok();
                    key(a).cmp(&key(b))
                }
                "amount" => cents(a).cmp(&cents(b)),
                _ => Ordering::Equal,
            });
        }
        order
    }
}

fn moment(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
}

fn cents(text: &str) -> i64 {
    text.replace('.', "").parse().expect("money")
}

pub fn time_text(micros: i64) -> String {
    let time = DateTime::from_timestamp_micros(micros).expect("a time");
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn text(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::Boolean(value) => value.to_string(),
        AnyValue::Int64(value) => value.to_string(),
        AnyValue::Float64(value) => {
            let text = format!("{value:.2}");
            let nearest: f64 = text.parse().expect("a number");
            assert_eq!(
                nearest.to_bits(),
                value.to_bits(),
                "{value:?} is not the float next to {text}"
            );
            text
        }
        AnyValue::Datetime(micros, _, _) => time_text(*micros),
        AnyValue::DatetimeOwned(micros, _, _) => time_text(*micros),
        AnyValue::String(value) => (*value).to_owned(),
        AnyValue::StringOwned(value) => value.to_string(),
        other => panic!("no value of ours: {other:?}"),
    }
}
