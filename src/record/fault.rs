//! One broken rule of one row, in plain words, and raw text made fit to show.
//!
//! Knows nothing of the rules; it only keeps what is shown short, on one line and in UTF-8.

use std::fmt::Write;

use super::MAX_LINE_BYTES;
use super::code::Code;
use super::source::Source;

/// The longest part of an offending value that is shown, in characters.
const SHOWN_CHARS: usize = 120;

/// The longest raw line that is kept in a rejects file.
pub const VISIBLE_BYTES: usize = 64 << 10;

/// A broken rule, with the offending value in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which rule.
    pub code: Code,
    /// What was wrong, never with a line break.
    pub detail: String,
}

impl Fault {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Fault {
        Fault { code, detail: detail.into() }
    }
}

/// The fault of a line of `bytes` bytes (without its end), longer than any row may be.
pub fn too_long(source: Source, bytes: u64) -> Fault {
    let code = match source {
        Source::Prints | Source::Taps => Code::JsonMalformed,
        Source::Payments => Code::CsvMalformed,
    };
    Fault::new(code, format!("the line has {bytes} bytes, at most {MAX_LINE_BYTES} are allowed"))
}

/// The text without anything that could break a line or hide, cut to a readable length.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(SHOWN_CHARS) + 4);
    for (n, c) in text.chars().enumerate() {
        if n == SHOWN_CHARS {
            out.push('…');
            break;
        }
        match c {
            '"' | '\'' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// A raw line as text: bytes that are no UTF-8 become `\xNN`; at most [`VISIBLE_BYTES`] long.
pub fn visible(raw: &[u8]) -> String {
    let raw = &raw[..raw.len().min(VISIBLE_BYTES)];
    let mut out = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        let fits = chunk.valid().floor_char_boundary(VISIBLE_BYTES - out.len());
        out.push_str(&chunk.valid()[..fits]);
        for byte in chunk.invalid() {
            if fits < chunk.valid().len() || out.len() + 4 > VISIBLE_BYTES {
                return out;
            }
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_bytes_become_visible_and_text_stays_as_it_is() {
        assert_eq!(visible(b"a\xffb\xe2\x82"), "a\\xFFb\\xE2\\x82");
        assert_eq!(visible("ñ \r \\x".as_bytes()), "ñ \r \\x");
        assert_eq!(visible(b""), "");
    }

    #[test]
    fn a_long_line_is_cut_at_64_kib_and_never_inside_a_character() {
        for start in 0..4 {
            let line = "x".repeat(start) + &"€".repeat(40_000);
            let seen = visible(line.as_bytes());
            assert!(line.starts_with(&seen), "no escape may appear at the cut");
            assert!(seen.len() > VISIBLE_BYTES - 3 && seen.len() <= VISIBLE_BYTES);
            // The same from no more than the first 64 KiB, as a slab keeps them.
            assert_eq!(visible(&line.as_bytes()[..VISIBLE_BYTES]), seen);
        }
        assert_eq!(visible(&vec![0xff; 100_000]).len(), VISIBLE_BYTES);
    }

    #[test]
    fn shown_values_are_short_and_hold_no_line_break() {
        assert_eq!(shown("a\nb\u{2028}\"'\\"), "a\\nb\\u{2028}\"'\\\\");
        let long = shown(&"é\r".repeat(1000));
        assert!(long.ends_with('…') && !long.contains('\r'));
    }
}
