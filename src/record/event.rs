//! The row rules of a print or a tap, applied to the values found in its line.
//!
//! Does not know how they were found: both readers of JSON hand over the same [`Event`].

use super::code::Code;
use super::fault::{Fault, shown};
use super::identifier::{Id, IdField, USER_ID, VALUE_PROP};
use super::rules::Rules;
use super::{Row, Verdict};

/// What a line gives for one field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Given<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// `null`, as written: its text is a part of the line.
    Null(&'a str),
    /// A string, unescaped.
    Text(&'a str),
    /// An integer literal, as written.
    Integer(&'a str),
    /// Any other JSON value, as written.
    Other(&'a str),
}

/// The fields of a print or tap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub day: Given<'a>,
    pub user_id: Given<'a>,
    pub value_prop: Given<'a>,
    pub position: Given<'a>,
}

impl<'a> Event<'a> {
    /// Applies every rule, in the order of the codes.
    #[inline]
    pub fn judge(&self, rules: &Rules) -> Verdict<'a> {
        let mut faults = Vec::new();
        let timestamp = match self.day {
            Given::Text(text) => rules.timestamp(text, &mut faults),
            Given::Absent | Given::Null(_) => rules.timestamp("", &mut faults),
            Given::Integer(raw) | Given::Other(raw) => {
                let detail = format!("timestamp `{}` is not a string", shown(raw));
                faults.push(Fault::new(Code::TimestampInvalid, detail));
                None
            }
        };
        let user_id = match self.user_id {
            Given::Text(text) | Given::Integer(text) => USER_ID.check(text, &mut faults),
            other => no_id(USER_ID, other, "a string or an integer", &mut faults),
        };
        let value_prop = match self.value_prop {
            Given::Text(text) => VALUE_PROP.check(text, &mut faults),
            other => no_id(VALUE_PROP, other, "a string", &mut faults),
        };
        let measure = measure(self.position, &mut faults);
        match (timestamp, user_id, value_prop, measure) {
            (Some(timestamp), Some(user_id), Some(value_prop), Some(measure))
                if faults.is_empty() =>
            {
                let ids_trimmed = user_id.trimmed || value_prop.trimmed;
                Verdict::Accepted(Row {
                    timestamp_us: timestamp.micros,
                    user_id: user_id.text,
                    value_prop: value_prop.text,
                    measure,
                    soft_issues: u8::from(timestamp.coerced)
                        + u8::from(ids_trimmed)
                        + u8::from(measure == 0),
                })
            }
            _ => Verdict::Rejected { timestamp_us: timestamp.map(|time| time.micros), faults },
        }
    }
}

#[cold]
fn no_id<'a>(
    field: IdField,
    given: Given<'_>,
    wanted: &str,
    faults: &mut Vec<Fault>,
) -> Option<Id<'a>> {
    faults.push(match given {
        Given::Absent | Given::Null(_) => field.missing(),
        Given::Text(raw) | Given::Integer(raw) | Given::Other(raw) => field.wrong_type(raw, wanted),
    });
    None
}

/// The position plus one; 0 if there is none.
#[inline]
fn measure(position: Given<'_>, faults: &mut Vec<Fault>) -> Option<u64> {
    let raw = match position {
        Given::Absent | Given::Null(_) => return Some(0),
        Given::Integer(raw) | Given::Text(raw) | Given::Other(raw) => raw,
    };
    let number = match position {
        Given::Integer(raw) => raw.parse::<i64>().ok(),
        _ => None,
    };
    let (code, why) = match number {
        None => (Code::PositionType, "is not an integer of 64 bits"),
        Some(number) => match u64::try_from(number) {
            Ok(number) => return Some(number + 1),
            Err(_) => (Code::PositionNegative, "is below 0"),
        },
    };
    faults.push(Fault::new(code, format!("position `{}` {why}", shown(raw))));
    None
}
