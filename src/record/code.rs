//! The codes of broken row rules, in the order in which a row reports them.
//!
//! Knows their names only; the rules themselves are in `event`, `payment` and their helpers.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal,)*) => {
        /// A broken row rule. The order of the variants is the order of the report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every code, in order.
            #[cfg(test)]
            const ALL: &'static [Code] = &[$(Code::$code,)*];

            /// The public name, as in the rejects file.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$code => $name,)*
                }
            }
        }
    };
}

codes! {
    /// Not exactly one JSON object, or too long, or a known key given twice.
    JsonMalformed = "json.malformed",
    /// Not a record of the header's width, or too long, or badly quoted.
    CsvMalformed = "csv.malformed",
    /// Absent, null, empty or blank.
    TimestampMissing = "timestamp.missing",
    /// Not a date or time in an accepted format.
    TimestampInvalid = "timestamp.invalid",
    /// Older than the bound.
    TimestampOutOfBounds = "timestamp.out_of_bounds",
    /// Absent or null; empty in CSV.
    UserIdMissing = "user_id.missing",
    /// Neither a string nor an integer literal.
    UserIdType = "user_id.type",
    /// Only white space.
    UserIdBlank = "user_id.blank",
    /// More than 100 characters.
    UserIdTooLong = "user_id.too_long",
    /// Absent or null; empty in CSV.
    ValuePropMissing = "value_prop.missing",
    /// Not a string.
    ValuePropType = "value_prop.type",
    /// Only white space.
    ValuePropBlank = "value_prop.blank",
    /// More than 100 characters.
    ValuePropTooLong = "value_prop.too_long",
    /// Not an integer of 64 bits.
    PositionType = "position.type",
    /// Below 0.
    PositionNegative = "position.negative",
    /// Empty or blank.
    AmountMissing = "amount.missing",
    /// Not a decimal number.
    AmountInvalid = "amount.invalid",
    /// Above the bound, before rounding.
    AmountTooLarge = "amount.too_large",
    /// Not above zero, before or after rounding.
    AmountNotPositive = "amount.not_positive",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unlike_and_the_order_is_the_declared_one() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), 19);
        assert!(Code::ALL.is_sorted());
    }
}
