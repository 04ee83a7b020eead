//! Lines of CSV without quotes, and payments as they usually are.

use super::values::Values;
use super::window::{self, Window};
use super::{Found, Read};
use crate::record::csv_header::Column;
use crate::record::{CsvColumns, Row, Rules, Scratch, Verdict, amount, check_csv};

/// Reads lines by the columns of the header.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    values: Values<'r>,
    columns: &'r CsvColumns,
    /// The most whole cents that are surely within the bound.
    most_cents: u64,
}

impl<'r> Reader<'r> {
    pub fn new(rules: &'r Rules, columns: &'r CsvColumns) -> Reader<'r> {
        let most_cents = rules.max_amount.sure_cents();
        Reader { values: Values::new(rules), columns, most_cents }
    }

    /// The text of the field that begins at `at`, up to a comma or the end of the line, which is
    /// whichever comes first; moves on to that.
    #[inline(always)]
    fn field<'a>(text: &'a str, at: &mut usize) -> Option<&'a str> {
        let start = *at;
        while *at <= start + LONGEST_FIELD {
            let stops = window::either(window::at(text.as_bytes(), *at)?, b',', b'\n');
            *at += window::before(stops);
            if stops != 0 {
                return text.get(start..*at);
            }
        }
        None
    }
}

/// The longest field that is read here, in bytes, give or take a window.
const LONGEST_FIELD: usize = 512;

impl Read for Reader<'_> {
    #[inline(always)]
    fn read<'a>(&mut self, text: &'a str, start: usize) -> Option<Found<'a>> {
        let bytes = text.as_bytes();
        let mut at = start;
        let mut timestamp_us = 0;
        let mut cents = 0;
        let mut coerced = false;
        let mut trimmed = false;
        let mut user_id = "";
        let mut value_prop = "";
        let mut code = None;
        let last = self.columns.width() - 1;
        for (n, column) in self.columns.iter().enumerate() {
            let window = window::at(bytes, at)?;
            // A quoted field has a form of its own.
            if window[0] == b'"' {
                return None;
            }
            let begin = at;
            let stops = window::either(window, b',', b'\n');
            let mut length = window::before(stops);
            at += length;
            if stops == 0 {
                at = begin;
                length = Self::field(text, &mut at)?.len();
            }
            let stop = *bytes.get(at)?;
            if stop != if n == last { b'\n' } else { b',' } {
                return None;
            }
            if n == last && bytes.get(at - 1) == Some(&b'\r') {
                length = length.checked_sub(1)?;
            }
            at += 1;
            let field = text.get(begin..begin + length)?;
            match column {
                None => {}
                Some(Column::PayDate) => {
                    let day = match self.values.known_day(window, length) {
                        Some(day) => day,
                        None => self.values.day(field)?,
                    };
                    timestamp_us = day.micros;
                    coerced = day.coerced;
                }
                Some(Column::Total) => {
                    cents = match plain_cents(window, length) {
                        Some(cents) => cents,
                        None => amount::plain_cents(field)?,
                    };
                    if cents == 0 || cents > self.most_cents {
                        return None;
                    }
                }
                Some(Column::UserId) => {
                    let id = self.values.user(field)?;
                    trimmed |= id.trimmed;
                    user_id = id.text;
                }
                Some(Column::ValueProp) => {
                    let known = self.values.known_prop(window, length);
                    (value_prop, code) = match known {
                        Some(_) => (field, known),
                        None => {
                            let (id, code) = self.values.prop(field)?;
                            trimmed |= id.trimmed;
                            (id.text, code)
                        }
                    };
                }
            }
        }
        let soft_issues = u8::from(coerced) + u8::from(trimmed);
        let row = Row { timestamp_us, user_id, value_prop, measure: cents, soft_issues };
        Some(Found { row, code, end: at })
    }

    fn is_blank(&self, line: &[u8]) -> bool {
        line.is_empty()
    }

    fn check<'a>(&self, line: &'a [u8], scratch: &'a mut Scratch) -> Verdict<'a> {
        check_csv(line, self.columns, self.values.rules, scratch)
    }

    fn learn(&mut self, _: &[u8]) {}
}

/// The cents of `d.dd` with up to eight digits before the point, at the start of a window and
/// `length` bytes long.
#[inline(always)]
fn plain_cents(window: &Window, length: usize) -> Option<u64> {
    let whole = length.checked_sub(3)?;
    if !(1..=8).contains(&whole) {
        return None;
    }
    // All bytes are digits but for that before the last two, which is the point.
    let digits = window::digits(window) & window::first(length);
    if digits != window::first(length) ^ 1 << whole || window[whole] != b'.' {
        return None;
    }
    let number = eight_digits(window::word(window, 0)? << (64 - 8 * whole));
    let [tens, ones] = [window[whole + 1], window[whole + 2]].map(|digit| u64::from(digit & 15));
    Some(number * 100 + tens * 10 + ones)
}

/// The number that eight digits are, the first in the lowest byte; zero bytes count as `0`.
#[inline(always)]
fn eight_digits(word: u64) -> u64 {
    let word = word & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}
