//! The checks on single values of a column.
//!
//! Each is one pass over one column; nulls are the business of nullability, not of a check.

use polars::prelude::*;

use crate::as_of::rfc3339;

/// What every value of a column must fulfil.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// Text: not only white space, nothing to trim, at most this many characters.
    Identifier {
        /// The most characters (Unicode scalar values).
        max_chars: usize,
    },
    /// Text: not empty.
    NotEmpty,
    /// Integers in `min..=max`.
    IntegerBetween {
        /// The least.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// Finite numbers in `min..=max`.
    NumberBetween {
        /// The least.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// Instants, in microseconds, in `min..max`.
    TimeBetween {
        /// The first allowed.
        min: i64,
        /// The first no longer allowed.
        max: i64,
    },
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Check::Identifier { max_chars } => {
                write!(f, "trimmed text of 1 to {max_chars} characters")
            }
            Check::NotEmpty => f.write_str("text that is not empty"),
            Check::IntegerBetween { min, max: i64::MAX } => write!(f, "at least {min}"),
            Check::IntegerBetween { min, max } => write!(f, "from {min} to {max}"),
            Check::NumberBetween { min, max } => write!(f, "a number from {min} to {max}"),
            Check::TimeBetween { min, max } => {
                write!(f, "from {} to before {}", rfc3339(*min), rfc3339(*max))
            }
        }
    }
}

impl Check {
    /// Whether text is an identifier.
    pub(super) fn is_good_identifier(text: &str, max_chars: usize) -> bool {
        let fits = text.len() <= max_chars || text.chars().count() <= max_chars;
        fits && !text.is_empty() && text.trim().len() == text.len()
    }

    /// Rows of the column that break it: how many, and the first few with their values.
    ///
    /// The column must be of the type that the check is for.
    pub(super) fn broken(&self, column: &Column, keep: usize) -> PolarsResult<Broken> {
        let mut broken = Broken { rows: 0, keep, examples: Vec::new() };
        match self {
            Check::Identifier { max_chars } => {
                for (row, text) in column.str()?.iter().enumerate() {
                    let is_good = |text: &str| Check::is_good_identifier(text, *max_chars);
                    broken.add(row, text.filter(|text| !is_good(text)));
                }
            }
            Check::NotEmpty => {
                for (row, text) in column.str()?.iter().enumerate() {
                    broken.add(row, text.filter(|text| text.is_empty()));
                }
            }
            Check::IntegerBetween { min, max } => {
                let range = *min..=*max;
                let values = column.i64()?;
                if !all_within(values.min(), values.max(), &range) {
                    for (row, value) in values.iter().enumerate() {
                        broken.add(row, value.filter(|value| !range.contains(value)));
                    }
                }
            }
            Check::NumberBetween { min, max } => {
                let range = *min..=*max;
                for (row, value) in column.f64()?.iter().enumerate() {
                    broken.add(row, value.filter(|value| !range.contains(value)));
                }
            }
            Check::TimeBetween { min, max } => {
                let range = *min..=max.saturating_sub(1);
                let values = column.datetime()?.physical();
                if !all_within(values.min(), values.max(), &range) {
                    for (row, value) in values.iter().enumerate() {
                        let outside = value.filter(|value| !range.contains(value));
                        broken.add(row, outside.map(rfc3339));
                    }
                }
            }
        }
        Ok(broken)
    }
}

fn all_within(min: Option<i64>, max: Option<i64>, range: &std::ops::RangeInclusive<i64>) -> bool {
    min.is_none_or(|min| range.contains(&min)) && max.is_none_or(|max| range.contains(&max))
}

/// Which rows of a frame break a check.
#[derive(Debug, Default)]
pub(super) struct Broken {
    pub(super) rows: u64,
    keep: usize,
    pub(super) examples: Vec<(usize, String)>,
}

impl Broken {
    #[inline]
    fn add(&mut self, row: usize, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.rows += 1;
            if self.examples.len() < self.keep {
                self.examples.push((row, value.to_string()));
            }
        }
    }
}
