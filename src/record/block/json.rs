//! Lines of JSON that look like one before, but for their values.
//!
//! The lines of a log are printed by one statement: between the values stand the same bytes. A
//! [`Template`] keeps those of a line that was accepted. A line with the same bytes between
//! values of the same kinds has the same structure, so nothing else needs to be looked at.

use super::values::Values;
use super::window::{self, WIDTH, Window};
use super::{Found, Read};
use crate::record::event::{Event, Given};
use crate::record::{
    MAX_LINE_BYTES, Row, Rules, Scratch, Verdict, check_json, json_fast, json_line_is_blank,
};

/// How many templates are tried for a line.
const TEMPLATES: usize = 4;

/// The longest line that a template is made of; few are longer, and bytes are copied.
const LONGEST_TEMPLATE: usize = 1 << 10;

/// The longest string that is read by template, in bytes, give or take a window.
const LONGEST_STRING: usize = 512;

// What is read by template is never too long for a line.
const _: () = assert!(LONGEST_TEMPLATE + 4 * (LONGEST_STRING + WIDTH) < MAX_LINE_BYTES);

/// What learning from a line costs, in other lines that pay for it: where no two lines look
/// alike, few are learned from.
const LEARNING_COSTS: u32 = 16;
const MOST_CREDIT: u32 = 16 * LEARNING_COSTS;

/// Reads lines by the templates of lines before them.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    values: Values<'r>,
    /// The one that was right last comes first.
    templates: Vec<Template>,
    credit: u32,
}

impl<'r> Reader<'r> {
    pub fn new(rules: &'r Rules) -> Reader<'r> {
        Reader { values: Values::new(rules), templates: Vec::new(), credit: MOST_CREDIT }
    }

    /// Tries the templates that were not right last.
    #[inline(never)]
    fn read_otherwise<'a>(&mut self, text: &'a str, at: usize) -> Option<Found<'a>> {
        for n in 1..self.templates.len() {
            if let Some(found) = self.templates[n].read(text, at, &mut self.values) {
                self.templates.swap(0, n);
                return Some(found);
            }
        }
        None
    }
}

impl Read for Reader<'_> {
    #[inline(always)]
    fn read<'a>(&mut self, text: &'a str, at: usize) -> Option<Found<'a>> {
        let found = match self.templates.first()?.read(text, at, &mut self.values) {
            Some(found) => found,
            None => self.read_otherwise(text, at)?,
        };
        self.credit = MOST_CREDIT.min(self.credit + 1);
        Some(found)
    }

    fn is_blank(&self, line: &[u8]) -> bool {
        json_line_is_blank(line)
    }

    fn check<'a>(&self, line: &'a [u8], scratch: &'a mut Scratch) -> Verdict<'a> {
        check_json(line, self.values.rules, scratch)
    }

    fn learn(&mut self, line: &[u8]) {
        if self.credit < LEARNING_COSTS {
            self.credit += 1;
            return;
        }
        self.credit -= LEARNING_COSTS;
        let Some(template) = Template::of(line) else { return };
        // Lines of a known layout come here too, for their values or as the last of a block.
        if !self.templates.contains(&template) {
            self.templates.insert(0, template);
            self.templates.truncate(TEMPLATES);
        }
    }
}

/// The bytes of a line but for its values, from its start to its end, `\n`.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    pieces: Vec<Piece>,
}

/// Up to a window of bytes that are always the same, and what comes after them.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    bytes: Window,
    /// A bit for each byte that does not matter.
    any: u32,
    length: usize,
    then: Value,
}

/// The kinds of values a template knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// None: more bytes that are always the same, or the end of the line.
    Nothing,
    /// The inside of the string `day`.
    Day,
    /// The inside of the string `user_id`.
    UserString,
    /// The integer `user_id`.
    UserInteger,
    /// The inside of the string `value_prop`.
    Prop,
    /// The integer or `null` `position`.
    Position,
}

impl Template {
    /// The template of a line with its end, if it is one that the fast reader understands.
    fn of(line: &[u8]) -> Option<Template> {
        let body = line.strip_suffix(b"\n")?;
        if line.len() > LONGEST_TEMPLATE {
            return None;
        }
        let mut values = places(body, &json_fast::read(body)?)?;
        values.sort_unstable_by_key(|(start, ..)| *start);
        let mut pieces = Vec::new();
        let mut at = 0;
        for (start, end, value) in values.into_iter().chain([(line.len(), 0, Value::Nothing)]) {
            let constant = line.get(at..start)?;
            for chunk in constant.chunks(WIDTH) {
                let mut bytes = [0; WIDTH];
                bytes[..chunk.len()].copy_from_slice(chunk);
                let any = !window::first(chunk.len());
                pieces.push(Piece { bytes, any, length: chunk.len(), then: Value::Nothing });
            }
            pieces.last_mut()?.then = value;
            at = end;
        }
        Some(Template { pieces })
    }

    #[inline(always)]
    fn read<'a>(&self, text: &'a str, start: usize, values: &mut Values<'_>) -> Option<Found<'a>> {
        let bytes = text.as_bytes();
        let mut at = start;
        let mut timestamp_us = 0;
        let mut measure = 0;
        let mut coerced = false;
        let mut trimmed = false;
        let mut user_id = "";
        let mut value_prop = "";
        let mut code = None;
        for piece in &self.pieces {
            if window::equal(window::at(bytes, at)?, &piece.bytes) | piece.any != u32::MAX {
                return None;
            }
            at += piece.length;
            match piece.then {
                Value::Nothing => {}
                Value::Day => {
                    let window = window::at(bytes, at)?;
                    let day = match values.same_day(window, b'"') {
                        Some((day, length)) => {
                            at += length;
                            day
                        }
                        None => values.day(window, string(text, &mut at)?)?,
                    };
                    timestamp_us = day.micros;
                    coerced = day.coerced;
                }
                Value::Prop => {
                    let window = window::at(bytes, at)?;
                    let length = window::before(window::places(window, b'"'));
                    let known = values.known_prop(window, length);
                    (value_prop, code) = match known {
                        Some(_) => {
                            let start = at;
                            at += length;
                            (text.get(start..at)?, known)
                        }
                        None => {
                            let (id, code) = values.prop(string(text, &mut at)?)?;
                            trimmed |= id.trimmed;
                            (id.text, code)
                        }
                    };
                }
                Value::UserInteger => {
                    let length = integer(window::at(bytes, at)?)?;
                    user_id = text.get(at..at + length)?;
                    at += length;
                }
                Value::UserString => {
                    let id = values.user(string(text, &mut at)?)?;
                    trimmed |= id.trimmed;
                    user_id = id.text;
                }
                Value::Position => {
                    let window = window::at(bytes, at)?;
                    let length;
                    (measure, length) = position(window)?;
                    at += length;
                }
            }
        }
        let soft_issues = u8::from(coerced) + u8::from(trimmed) + u8::from(measure == 0);
        let row = Row { timestamp_us, user_id, value_prop, measure, soft_issues };
        Some(Found { row, code, end: at })
    }
}

/// Where the values of a line stand in it.
fn places(line: &[u8], event: &Event<'_>) -> Option<Vec<(usize, usize, Value)>> {
    let place = |text: &str, value| {
        // The text is a part of the line.
        let start = text.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
        let end = start + text.len();
        (line.get(start..end)? == text.as_bytes()).then_some((start, end, value))
    };
    let mut places = Vec::with_capacity(4);
    match event.day {
        Given::Text(text) => places.push(place(text, Value::Day)?),
        _ => return None,
    }
    match event.value_prop {
        Given::Text(text) => places.push(place(text, Value::Prop)?),
        _ => return None,
    }
    match event.user_id {
        Given::Text(text) => places.push(place(text, Value::UserString)?),
        Given::Integer(text) => places.push(place(text, Value::UserInteger)?),
        _ => return None,
    }
    match event.position {
        Given::Absent => {}
        Given::Integer(text) | Given::Null(text) => places.push(place(text, Value::Position)?),
        _ => return None,
    }
    Some(places)
}

/// A string without escapes, from behind its opening quote; moves on to its closing one.
#[inline(always)]
fn string<'a>(text: &'a str, at: &mut usize) -> Option<&'a str> {
    let start = *at;
    while *at <= start + LONGEST_STRING {
        let stops = window::string_stops(window::at(text.as_bytes(), *at)?);
        *at += window::before(stops);
        if stops != 0 {
            let string = text.get(start..*at)?;
            return (text.as_bytes().get(*at) == Some(&b'"')).then_some(string);
        }
    }
    None
}

/// The length of an integer that is not negative.
#[inline(always)]
fn integer(window: &Window) -> Option<usize> {
    let length = window::before(!window::digits(window));
    let usual = length > 0 && length < WIDTH && (window[0] != b'0' || length == 1);
    usual.then_some(length)
}

/// The position plus one, or 0 for `null`, and the length of its text.
#[inline(always)]
fn position(window: &Window) -> Option<(u64, usize)> {
    if window[0].is_ascii_digit() && !window[1].is_ascii_digit() {
        return Some((u64::from(window[0] - b'0') + 1, 1));
    }
    other_position(window)
}

fn other_position(window: &Window) -> Option<(u64, usize)> {
    if window.starts_with(b"null") {
        return Some((0, 4));
    }
    let length = integer(window).filter(|length| *length <= 18)?;
    let number = window[..length].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
    Some((number + 1, length))
}
