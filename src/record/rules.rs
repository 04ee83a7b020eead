//! The bounds that settings give to the row rules, and the rule of timestamps, which all
//! sources share.
//!
//! Does not know where the bounds come from, nor what is not known yet at the time of a run.

use super::amount::Decimal;
use super::code::Code;
use super::fault::{Fault, shown};
use super::timestamp::{self, NoTimestamp, Timestamp};

/// The bounds of the row rules.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Timestamps before this instant (microseconds since 1970) are out of bounds.
    pub oldest_us: i64,
    /// Amounts above this are too large.
    pub max_amount: Decimal,
}

impl Rules {
    /// The timestamp in a text, with the fault it has; it may have parsed and be out of bounds.
    #[inline]
    pub(super) fn timestamp(&self, text: &str, faults: &mut Vec<Fault>) -> Option<Timestamp> {
        let fault = match timestamp::parse(text) {
            Ok(timestamp) => {
                if timestamp.micros < self.oldest_us {
                    faults.push(Self::out_of_bounds(text));
                }
                return Some(timestamp);
            }
            Err(NoTimestamp::Blank) => {
                Fault::new(Code::TimestampMissing, "timestamp is missing or blank")
            }
            Err(NoTimestamp::Invalid) => {
                let detail = format!("timestamp `{}` is no accepted date or time", shown(text));
                Fault::new(Code::TimestampInvalid, detail)
            }
        };
        faults.push(fault);
        None
    }

    fn out_of_bounds(text: &str) -> Fault {
        // Not which instant that is: the outcome of a row may outlive the as_of it was found for.
        let detail = format!("timestamp `{}` is earlier than the oldest allowed", shown(text));
        Fault::new(Code::TimestampOutOfBounds, detail)
    }
}
