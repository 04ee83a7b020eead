//! A quick look at plain values, before any frame is made of them.
//!
//! A glance only ever says that values surely keep the contract. Where it does not,
//! [`super::Inspection`] looks at the rows themselves and finds the words for what is wrong.

use polars::prelude::{DataType, TimeUnit};

use super::{Check, Contract};

/// Values of a column. They may be all of them in any order, or only the distinct ones, or no
/// more than the least and the largest: every check holds for all values if it holds for these.
#[derive(Debug, Clone, Copy)]
pub enum Values<'v> {
    /// Instants in microseconds.
    Instants(&'v [i64]),
    /// Integers.
    Integers(&'v [i64]),
    /// Numbers.
    Numbers(&'v [f64]),
    /// Booleans, whichever.
    Flags,
    /// There are nulls, of whatever type.
    Null,
}

impl Contract {
    /// Whether these values surely keep the rule of the column.
    pub fn keeps(&self, column: &str, values: Values<'_>) -> bool {
        let Some(rule) = self.columns.iter().find(|rule| rule.name == column) else { return false };
        let is_of_type = match values {
            Values::Instants(_) => {
                matches!(&rule.dtype, DataType::Datetime(TimeUnit::Microseconds, Some(_)))
            }
            Values::Integers(_) => rule.dtype == DataType::Int64,
            Values::Numbers(_) => rule.dtype == DataType::Float64,
            Values::Flags => rule.dtype == DataType::Boolean,
            Values::Null => rule.nullable,
        };
        is_of_type && rule.checks.iter().all(|check| check.is_kept_by(values))
    }

    /// Whether these texts surely keep the rule of the column.
    pub fn keeps_texts<'t>(&self, column: &str, mut texts: impl Iterator<Item = &'t [u8]>) -> bool {
        let Some(rule) = self.columns.iter().find(|rule| rule.name == column) else { return false };
        rule.dtype == DataType::String
            && match *rule.checks {
                [] => true,
                [Check::Identifier { max_chars }] => {
                    texts.all(|text| is_identifier(text, max_chars))
                }
                [Check::NotEmpty] => texts.all(|text| !text.is_empty()),
                _ => false,
            }
    }
}

impl Check {
    fn is_kept_by(&self, values: Values<'_>) -> bool {
        match (self, values) {
            (_, Values::Null) => true,
            (Check::IntegerBetween { min, max }, Values::Integers(values)) => {
                within(values, *min, *max)
            }
            (Check::TimeBetween { min, max }, Values::Instants(values)) => {
                within(values, *min, max.saturating_sub(1))
            }
            (Check::NumberBetween { min, max }, Values::Numbers(values)) => {
                values.iter().fold(true, |kept, value| kept & (min <= value) & (value <= max))
            }
            _ => false,
        }
    }
}

/// Without a branch for each value.
fn within(values: &[i64], min: i64, max: i64) -> bool {
    values.iter().fold(true, |kept, &value| kept & (min <= value) & (value <= max))
}

/// Whether the text is an identifier: at its ends there is nothing to trim, and it is not long.
#[inline]
fn is_identifier(text: &[u8], max_chars: usize) -> bool {
    if let [first, .., last] | [first @ last] = text
        && text.len() <= max_chars
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
    {
        return true;
    }
    std::str::from_utf8(text).is_ok_and(|text| Check::is_good_identifier(text, max_chars))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::{Bounds, Inspection, Measure, raw_canonical};
    use polars::prelude::*;

    fn contract() -> Contract {
        let bounds = Bounds { oldest_us: -5, as_of_us: 5, max_amount: 3.0 };
        raw_canonical(Measure::Amount, bounds)
    }

    proptest! {
        #[test]
        fn a_glance_says_what_an_inspection_finds(
            rows in proptest::collection::vec(
                (-7i64..9, "[ \u{85}aé\u{3000}]{0,3}", "a{99,101}|é{99,101}", 0u32..400),
                1..4,
            ),
        ) {
            let times: Vec<i64> = rows.iter().map(|row| row.0).collect();
            let users: Vec<&str> = rows.iter().map(|row| &*row.1).collect();
            let props: Vec<&str> = rows.iter().map(|row| &*row.2).collect();
            let amounts: Vec<f64> = rows.iter().map(|row| f64::from(row.3) / 100.0).collect();
            let contract = contract();
            let kept = contract.keeps("timestamp", Values::Instants(&times))
                & contract.keeps_texts("user_id", users.iter().map(|text| text.as_bytes()))
                & contract.keeps_texts("value_prop_id", props.iter().map(|text| text.as_bytes()))
                & contract.keeps("amount", Values::Numbers(&amounts));
            let zone = Some(TimeZone::UTC);
            let times = Int64Chunked::from_vec("timestamp".into(), times);
            let times = times.into_datetime(TimeUnit::Microseconds, zone).into_series();
            let columns = vec![
                times.into(),
                Column::new("user_id".into(), users),
                Column::new("value_prop_id".into(), props),
                Column::new("amount".into(), amounts),
            ];
            let mut inspection = Inspection::new(contract);
            inspection.add(&DataFrame::new(rows.len(), columns).unwrap()).unwrap();
            prop_assert_eq!(kept, inspection.finish().is_empty());
        }
    }

    #[test]
    fn what_is_no_column_or_of_another_type_is_not_waved_through() {
        let contract = contract();
        assert!(!contract.keeps("position", Values::Integers(&[])));
        assert!(!contract.keeps("amount", Values::Integers(&[])));
        assert!(!contract.keeps("amount", Values::Null));
        assert!(!contract.keeps("amount", Values::Numbers(&[f64::NAN])));
        assert!(!contract.keeps_texts("amount", std::iter::empty()));
        let positions =
            raw_canonical(Measure::Position, Bounds { oldest_us: 0, as_of_us: 1, max_amount: 1.0 });
        assert!(positions.keeps("position", Values::Null));
    }
}
