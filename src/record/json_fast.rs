//! A line of JSON to the fields of an event, for lines that look the way nearly all lines look:
//! the known keys in any order, plain strings, integers, null, white space anywhere.
//!
//! Reads every byte of what it accepts and gives up on all else: escapes, unknown or repeated
//! keys, other kinds of values, anything odd. What it gives up on, `json` decides.

use super::event::{Event, Given};

/// The fields of a line that was understood to its last byte.
pub(super) fn read(line: &[u8]) -> Option<Event<'_>> {
    let mut cursor = Cursor { rest: line };
    let mut event = Event::default();
    let mut has_event_data = false;
    cursor.skip_space();
    cursor.eat(b'{')?;
    loop {
        cursor.skip_space();
        if cursor.eat_word(b"\"day\"").is_some() {
            cursor.colon()?;
            event.day = once(event.day, cursor.string()?)?;
        } else if cursor.eat_word(b"\"user_id\"").is_some() {
            cursor.colon()?;
            event.user_id = once(event.user_id, cursor.string_or_integer()?)?;
        } else if cursor.eat_word(b"\"event_data\"").is_some() {
            cursor.colon()?;
            if std::mem::replace(&mut has_event_data, true) {
                return None;
            }
            event_data(&mut cursor, &mut event)?;
        } else {
            return None;
        }
        if cursor.comma_or_end()? {
            break;
        }
    }
    cursor.skip_space();
    cursor.rest.is_empty().then_some(event)
}

fn event_data<'a>(cursor: &mut Cursor<'a>, event: &mut Event<'a>) -> Option<()> {
    cursor.eat(b'{')?;
    loop {
        cursor.skip_space();
        if cursor.eat_word(b"\"position\"").is_some() {
            cursor.colon()?;
            event.position = once(event.position, cursor.null_or_integer()?)?;
        } else if cursor.eat_word(b"\"value_prop\"").is_some() {
            cursor.colon()?;
            event.value_prop = once(event.value_prop, cursor.string()?)?;
        } else {
            return None;
        }
        if cursor.comma_or_end()? {
            return Some(());
        }
    }
}

/// The value, if the field had none before.
fn once<'a>(before: Given<'a>, value: Given<'a>) -> Option<Given<'a>> {
    (before == Given::Absent).then_some(value)
}

/// What is left of the line. A step that fails ends the reading, but for `eat_word`.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        (*first == byte).then_some(())
    }

    #[inline]
    fn eat_word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    #[inline]
    fn colon(&mut self) -> Option<()> {
        self.skip_space();
        self.eat(b':')?;
        self.skip_space();
        Some(())
    }

    /// After a value: `,` is false, `}` is true.
    #[inline]
    fn comma_or_end(&mut self) -> Option<bool> {
        self.skip_space();
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        match first {
            b',' => Some(false),
            b'}' => Some(true),
            _ => None,
        }
    }

    /// A string without escapes and control characters.
    #[inline]
    fn string(&mut self) -> Option<Given<'a>> {
        self.eat(b'"')?;
        let end = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.eat(b'"')?;
        simdutf8::basic::from_utf8(text).ok().map(Given::Text)
    }

    /// An integer literal; what may follow it is checked by whoever reads on.
    #[inline]
    fn integer(&mut self) -> Option<Given<'a>> {
        let sign = usize::from(self.rest.first() == Some(&b'-'));
        let digits = self.rest.get(sign..)?;
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 || (count > 1 && digits[0] == b'0') {
            return None;
        }
        self.ascii(sign + count).map(Given::Integer)
    }

    #[inline]
    fn string_or_integer(&mut self) -> Option<Given<'a>> {
        match self.rest.first()? {
            b'"' => self.string(),
            _ => self.integer(),
        }
    }

    #[inline]
    fn null_or_integer(&mut self) -> Option<Given<'a>> {
        match self.rest.starts_with(b"null") {
            true => self.ascii(4).map(Given::Null),
            false => self.integer(),
        }
    }

    /// The next bytes, which are ASCII.
    #[inline]
    fn ascii(&mut self, count: usize) -> Option<&'a str> {
        let (text, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }
}
