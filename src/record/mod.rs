//! One raw row: what a print, a tap or a payment must look like, and what is wrong with one
//! that does not.
//!
//! Takes the bytes of a line, or of a block of lines, and the bounds of the rules, gives rows or
//! all their faults. Knows nothing of files, settings, or the time of a run; does no IO.
//!
//! Lines of JSON go through `json_fast` first, which understands the usual ones and gives up on
//! the rest; `json` (serde_json) decides those. Both find the same [`event::Event`], and one
//! place applies the rules to it. For many lines use [`BlockParser`], which is several times as
//! fast and finds the same.

mod amount;
mod block;
mod code;
mod csv;
mod csv_header;
mod event;
mod fault;
mod identifier;
mod json;
mod json_fast;
mod lines;
mod payment;
mod rules;
mod source;
#[cfg(test)]
mod tests;
mod timestamp;

pub use amount::Decimal;
pub use block::{BlockParser, Place, PropCode, Rejection, Sink};
pub use code::Code;
pub use csv_header::CsvColumns;
pub use fault::{Fault, VISIBLE_BYTES, too_long, visible};
pub use lines::Lines;
pub use rules::Rules;
pub use source::Source;

/// The longest line that may be a row, in bytes without the line end.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// A valid row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub timestamp_us: i64,
    /// Trimmed.
    pub user_id: &'a str,
    /// Trimmed.
    pub value_prop: &'a str,
    /// Prints and taps: the position plus one, 0 if there is none. Payments: cents.
    pub measure: u64,
    /// How many things were mended: timestamp coerced, an identifier trimmed, position absent,
    /// amount rounded.
    pub soft_issues: u8,
}

/// What the rules say of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No rule is broken.
    Accepted(Row<'a>),
    /// At least one is.
    Rejected {
        /// The timestamp, if it could be read, within the bounds or not.
        timestamp_us: Option<i64>,
        /// Every broken rule, in the order of [`Code`].
        faults: Vec<Fault>,
    },
}

/// Buffers for text that cannot be borrowed from its line; use one for many lines.
#[derive(Debug, Default)]
pub struct Scratch {
    texts: [String; 4],
}

/// Judges a line of JSON, given without its end. A blank line is no row: ask
/// [`json_line_is_blank`] first.
#[inline]
pub fn check_json<'a>(line: &'a [u8], rules: &Rules, scratch: &'a mut Scratch) -> Verdict<'a> {
    if line.len() <= MAX_LINE_BYTES
        && let Some(event) = json_fast::read(line)
        && let verdict @ Verdict::Accepted(_) = event.judge(rules)
    {
        return verdict;
    }
    check_json_slowly(line, rules, scratch)
}

/// What [`check_json`] comes to without its fast reader, by serde_json.
pub(crate) fn check_json_slowly<'a>(
    line: &'a [u8],
    rules: &Rules,
    scratch: &'a mut Scratch,
) -> Verdict<'a> {
    if line.len() > MAX_LINE_BYTES {
        return malformed(too_long(Source::Prints, line.len() as u64));
    }
    match json::read(line, scratch) {
        Ok(event) => event.judge(rules),
        Err(why) => malformed(Fault::new(Code::JsonMalformed, fault::shown(&why))),
    }
}

/// Whether a line of JSON is no row at all: nothing but spaces, tabs and carriage returns.
pub fn json_line_is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

/// Judges a line of CSV after the header, given without its end. A line of zero bytes is no row.
#[inline]
pub fn check_csv<'a>(
    line: &'a [u8],
    columns: &CsvColumns,
    rules: &Rules,
    scratch: &'a mut Scratch,
) -> Verdict<'a> {
    if line.len() > MAX_LINE_BYTES {
        return malformed(too_long(Source::Payments, line.len() as u64));
    }
    match csv::read(line, columns, scratch) {
        Ok(payment) => payment.judge(rules),
        Err(why) => malformed(Fault::new(Code::CsvMalformed, why)),
    }
}

/// Nothing else is known of a malformed row.
fn malformed<'a>(fault: Fault) -> Verdict<'a> {
    Verdict::Rejected { timestamp_us: None, faults: vec![fault] }
}
