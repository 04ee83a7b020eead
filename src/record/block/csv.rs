//! Lines of CSV without quotes, and payments as they usually are.
//!
//! Finds all commas of a line at once. Gives up on lines with a quote, as on all that is unusual.

use super::values::Values;
use super::window::{self, WIDTH, Window};
use super::{Found, Read};
use crate::record::csv_header::Column;
use crate::record::{CsvColumns, Row, Rules, Scratch, Verdict, amount, check_csv};

/// The most columns of a file whose lines are read here.
const MOST_COLUMNS: usize = 16;

/// The longest line that is read here, in bytes with its end.
const LONGEST: usize = 512;

/// Reads lines by the columns of the header.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    values: Values<'r>,
    columns: &'r CsvColumns,
    /// Where the columns stand that matter, if lines can be read here at all.
    places: Option<Places>,
    /// The most whole cents that are surely within the bound.
    most_cents: u64,
    /// Those of the line at hand; filled in place, since a copy would wait for them.
    fields: Fields,
}

/// Which field is which, counted from 0.
#[derive(Debug, Clone, Copy)]
struct Places {
    pay_date: usize,
    total: usize,
    user_id: usize,
    value_prop: usize,
    /// How many fields there are.
    width: usize,
}

impl Places {
    fn of(columns: &CsvColumns) -> Option<Places> {
        let width = columns.width();
        let place = |column| (0..width).find(|place| columns.at(*place) == Some(column));
        if width > MOST_COLUMNS {
            return None;
        }
        Some(Places {
            pay_date: place(Column::PayDate)?,
            total: place(Column::Total)?,
            user_id: place(Column::UserId)?,
            value_prop: place(Column::ValueProp)?,
            width,
        })
    }
}

impl<'r> Reader<'r> {
    pub fn new(rules: &'r Rules, columns: &'r CsvColumns) -> Reader<'r> {
        let most_cents = rules.max_amount.sure_cents();
        let (values, places) = (Values::new(rules), Places::of(columns));
        Reader { values, columns, places, most_cents, fields: Fields::default() }
    }
}

impl Read for Reader<'_> {
    #[inline(always)]
    fn read<'a>(&mut self, text: &'a str, at: usize) -> Option<Found<'a>> {
        let Reader { values, places, fields, .. } = self;
        let places = places.as_ref()?;
        let bytes = text.as_bytes().get(at..)?;
        let length = match fields.cut_short(bytes, places.width) {
            Some(length) => length,
            None => fields.cut_long(bytes, places.width)?,
        };

        let (begin, end) = fields.get(places.pay_date);
        let window = window::at(bytes, begin)?;
        let day = match values.same_day(window, *bytes.get(end)?) {
            Some((day, length)) if length == end - begin => day,
            _ => values.day(window, text.get(at + begin..at + end)?)?,
        };

        let (begin, end) = fields.get(places.total);
        let cents = match plain_cents(window::at(bytes, begin)?, end - begin) {
            Some(cents) => cents,
            None => amount::plain_cents(text.get(at + begin..at + end)?)?,
        };
        if cents == 0 || cents > self.most_cents {
            return None;
        }

        let (begin, end) = fields.get(places.user_id);
        let user_id = values.user(text.get(at + begin..at + end)?)?;

        let (begin, end) = fields.get(places.value_prop);
        let value_prop = text.get(at + begin..at + end)?;
        let (value_prop, code, trimmed) =
            match values.known_prop(window::at(bytes, begin)?, end - begin) {
                Some(code) => (value_prop, Some(code), false),
                None => {
                    let (id, code) = values.prop(value_prop)?;
                    (id.text, code, id.trimmed)
                }
            };

        let row = Row {
            timestamp_us: day.micros,
            user_id: user_id.text,
            value_prop,
            measure: cents,
            soft_issues: u8::from(day.coerced) + u8::from(user_id.trimmed || trimmed),
        };
        Some(Found { row, code, end: at + length })
    }

    fn is_blank(&self, line: &[u8]) -> bool {
        line.is_empty()
    }

    fn check<'a>(&self, line: &'a [u8], scratch: &'a mut Scratch) -> Verdict<'a> {
        check_csv(line, self.columns, self.values.rules, scratch)
    }

    fn learn(&mut self, _: &[u8]) {}
}

/// The fields of a line, by where they begin and end.
#[derive(Debug, Default)]
struct Fields {
    begins: [u32; MOST_COLUMNS],
    ends: [u32; MOST_COLUMNS],
}

impl Fields {
    /// Cuts the line at the start of `bytes` if it is shorter than two windows. Returns its
    /// length with its end.
    #[inline(always)]
    fn cut_short(&mut self, bytes: &[u8], width: usize) -> Option<usize> {
        let windows = bytes.first_chunk::<{ 2 * WIDTH }>()?.as_chunks::<WIDTH>().0;
        let both = |of: fn(&Window, u8) -> u32, byte| {
            u64::from(of(&windows[0], byte)) | u64::from(of(&windows[1], byte)) << WIDTH
        };
        let newlines = both(window::places, b'\n');
        // All bits up to that of the first end, or all.
        let line = newlines ^ newlines.wrapping_sub(1);
        let mut stops = (newlines | both(window::places, b',')) & line;
        if newlines == 0 || both(window::places, b'"') & line != 0 {
            return None;
        }
        let mut begin = 0;
        for (place_begin, place_end) in self.begins.iter_mut().zip(&mut self.ends).take(width) {
            let end = stops.trailing_zeros();
            stops &= stops.wrapping_sub(1);
            *place_begin = begin;
            *place_end = end;
            begin = end + 1;
        }
        // That many fields, and no more: the last stop is the end of the line.
        let length = newlines.trailing_zeros() + 1;
        (begin == length).then(|| self.end(bytes, width, length as usize))
    }

    /// Cuts a line that is at most [`LONGEST`].
    #[inline(never)]
    fn cut_long(&mut self, bytes: &[u8], width: usize) -> Option<usize> {
        let mut begin = 0;
        let mut count = 0;
        for start in (0..LONGEST).step_by(WIDTH) {
            let window = window::at(bytes, start)?;
            let mut stops = window::either(window, b',', b'\n');
            let newlines = window::places(window, b'\n');
            if window::places(window, b'"') & (newlines ^ newlines.wrapping_sub(1)) != 0 {
                return None;
            }
            while stops != 0 {
                let end = start + window::before(stops);
                stops &= stops - 1;
                if count == width {
                    return None;
                }
                (self.begins[count], self.ends[count]) = (begin, end as u32);
                begin = end as u32 + 1;
                count += 1;
                if bytes.get(end) == Some(&b'\n') {
                    return (count == width).then(|| self.end(bytes, width, end + 1));
                }
            }
        }
        None
    }

    /// Takes a carriage return from the last field of a line of `length` bytes with its end.
    #[inline(always)]
    fn end(&mut self, bytes: &[u8], width: usize, length: usize) -> usize {
        if length >= 2 && bytes.get(length - 2) == Some(&b'\r') {
            self.ends[width - 1] -= 1;
        }
        length
    }

    /// Where a field begins and ends.
    #[inline(always)]
    fn get(&self, place: usize) -> (usize, usize) {
        let place = place % MOST_COLUMNS;
        (self.begins[place] as usize, self.ends[place] as usize)
    }
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
