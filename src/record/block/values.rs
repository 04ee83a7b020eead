//! The values that both formats have, with what is known of them from lines before.
//!
//! Accepts or gives up, as the readers of lines do. Does not know how a line is written, but for
//! the bounds of a value.

use super::PropCode;
use super::known::Known;
use super::window::{self, WIDTH, Window};
use crate::record::Rules;
use crate::record::identifier::{Id, USER_ID, VALUE_PROP};
use crate::record::timestamp;

/// A timestamp within the bounds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Day {
    pub micros: i64,
    pub coerced: bool,
}

/// The timestamp of the line before, which is nearly always that of this one too.
#[derive(Debug)]
struct Last {
    text: Window,
    length: usize,
    day: Day,
}

/// Judges values and remembers them.
#[derive(Debug)]
pub(super) struct Values<'r> {
    pub rules: &'r Rules,
    /// The days that were seen, and the last of them.
    days: Known<Day>,
    last: Last,
    props: Known<PropCode>,
    next_code: u8,
}

impl<'r> Values<'r> {
    pub fn new(rules: &'r Rules) -> Values<'r> {
        // No line has that: there is no byte behind a whole window.
        let last = Last { text: [0; WIDTH], length: WIDTH, day: Day::default() };
        Values { rules, days: Known::new(), last, props: Known::new(), next_code: 0 }
    }

    /// The timestamp that a window begins with, and its length, if it is that of the line before
    /// and followed by `end`, which no timestamp holds.
    #[inline(always)]
    pub fn same_day(&self, window: &Window, end: u8) -> Option<(Day, usize)> {
        let Last { text, length, day } = &self.last;
        let same = window::equal(window, text) | !window::first(*length);
        (same == u32::MAX && window.get(*length) == Some(&end)).then_some((*day, *length))
    }

    /// The code of the value proposition of the first `length` bytes of a window.
    #[inline(always)]
    pub fn known_prop(&self, window: &Window, length: usize) -> Option<PropCode> {
        self.props.find(window, length)
    }

    /// The timestamp in a text at which a window begins.
    #[inline(never)]
    pub fn day(&mut self, window: &Window, text: &str) -> Option<Day> {
        let day = match self.days.find(window, text.len()) {
            Some(day) => day,
            None => self.other_day(text)?,
        };
        if text.len() < WIDTH {
            self.last = Last { text: *window, length: text.len(), day };
        }
        Some(day)
    }

    fn other_day(&mut self, text: &str) -> Option<Day> {
        let found = timestamp::parse(text).ok()?;
        if found.micros < self.rules.oldest_us {
            return None;
        }
        let day = Day { micros: found.micros, coerced: found.coerced };
        self.days.keep(text.as_bytes(), day, true);
        Some(day)
    }

    #[inline(never)]
    pub fn prop<'a>(&mut self, text: &'a str) -> Option<(Id<'a>, Option<PropCode>)> {
        let id = VALUE_PROP.check(text, &mut Vec::new())?;
        let code = PropCode(self.next_code);
        let has_code = !id.trimmed
            && code.index() < PropCode::LIMIT
            && self.props.keep(text.as_bytes(), code, false);
        self.next_code += u8::from(has_code);
        Some((id, has_code.then_some(code)))
    }

    #[inline(always)]
    pub fn user<'a>(&self, text: &'a str) -> Option<Id<'a>> {
        match text.as_bytes() {
            // Nothing to trim and not too long, as nearly always.
            [one] if one.is_ascii_graphic() => Some(Id { text, trimmed: false }),
            [first, .., last]
                if first.is_ascii_graphic() && last.is_ascii_graphic() && text.len() <= 100 =>
            {
                Some(Id { text, trimmed: false })
            }
            _ => USER_ID.check(text, &mut Vec::new()),
        }
    }
}
