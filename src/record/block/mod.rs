//! A block of whole lines to rows, at the speed of the machine.
//!
//! Most lines of a file are written alike and say the same few days and value propositions. So a
//! line is first held against what the lines before it looked like (`json`, `csv`), which finds
//! its end and its values in one go. That way only accepts: a line that is unusual in any way -
//! invalid, or valid in another form - goes to [`super::check_json`] or [`super::check_csv`],
//! which alone decide what is wrong with a row. Hence both ways must agree on every line that
//! the first one takes; the tests hold them against each other.
//!
//! Counts lines and bytes within its block; does not know files.

#[cfg(test)]
mod agreement;
mod csv;
mod json;
mod known;
#[cfg(test)]
mod tests;
mod values;
mod window;

use super::lines::Lines;
use super::{CsvColumns, Fault, Row, Rules, Scratch, Verdict};

/// Where a record stands in its block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Physical lines before it.
    pub line: u32,
    /// Records before it, valid or not.
    pub record: u32,
    /// Bytes before it.
    pub offset: u32,
}

/// A row that breaks rules.
#[derive(Debug)]
pub struct Rejection<'a> {
    /// The timestamp, if it could be read, within the bounds or not.
    pub timestamp_us: Option<i64>,
    /// Every broken rule, in the order of [`super::Code`].
    pub faults: Vec<Fault>,
    /// The line without its end.
    pub raw: &'a [u8],
}

/// A number below [`PropCode::LIMIT`] for a value proposition. A parser gives a text one number at
/// most, and a number to one text only, as long as it lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PropCode(u8);

impl PropCode {
    /// More than any number.
    pub const LIMIT: usize = 128;

    /// The number, counted from 0 in the order in which a parser gives them.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Takes the records of a block, in the order of its lines.
pub trait Sink {
    /// A valid row; `code` is that of its value proposition, if it has one.
    fn accept(&mut self, place: Place, row: Row<'_>, code: Option<PropCode>);

    /// A row that is not.
    fn reject(&mut self, place: Place, rejection: Rejection<'_>);
}

/// How much a block held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Physical lines, those that were skipped too.
    pub lines: u32,
    /// Lines that are no record.
    pub blank_lines: u32,
    /// Records, valid or not.
    pub records: u32,
}

/// Parses blocks of lines of one format; learns from each line how the next may look.
#[derive(Debug)]
pub struct BlockParser<'r> {
    format: Format<'r>,
    scratch: Scratch,
}

#[derive(Debug)]
enum Format<'r> {
    Json(json::Reader<'r>),
    Csv(csv::Reader<'r>),
}

/// A valid row that was read without a doubt.
struct Found<'a> {
    row: Row<'a>,
    code: Option<PropCode>,
    /// The place after the end of its line.
    end: usize,
}

/// The two ways of reading a line of some format.
trait Read {
    /// The row of the line that begins at a place, if that is a valid row of the usual kind.
    fn read<'a>(&mut self, text: &'a str, at: usize) -> Option<Found<'a>>;

    fn is_blank(&self, line: &[u8]) -> bool;

    /// Judges a line that is not blank.
    fn check<'a>(&self, line: &'a [u8], scratch: &'a mut Scratch) -> Verdict<'a>;

    /// Looks at a line, with its end, that [`Read::check`] has accepted.
    fn learn(&mut self, line: &[u8]);
}

impl<'r> BlockParser<'r> {
    /// For lines of JSON, or of CSV after a header with these columns.
    pub fn new(rules: &'r Rules, columns: Option<&'r CsvColumns>) -> BlockParser<'r> {
        let format = match columns {
            None => Format::Json(json::Reader::new(rules)),
            Some(columns) => Format::Csv(csv::Reader::new(rules, columns)),
        };
        BlockParser { format, scratch: Scratch::default() }
    }

    /// Hands the records of a block of less than 4 GiB to `sink`. The first `skip_lines` lines
    /// count and are nothing else; no line but the last may lack its end.
    pub fn parse(&mut self, block: &[u8], skip_lines: u32, sink: &mut impl Sink) -> Counts {
        let BlockParser { format, scratch } = self;
        match format {
            Format::Json(reader) => Pass { reader, scratch, sink }.block(block, skip_lines),
            Format::Csv(reader) => Pass { reader, scratch, sink }.block(block, skip_lines),
        }
    }
}

/// One block being parsed.
struct Pass<'p, R, S> {
    reader: &'p mut R,
    scratch: &'p mut Scratch,
    sink: &'p mut S,
}

impl<R: Read, S: Sink> Pass<'_, R, S> {
    fn block(&mut self, block: &[u8], skip_lines: u32) -> Counts {
        let mut counts = Counts::default();
        let mut at: usize = 0;
        while counts.lines < skip_lines && at < block.len() {
            at += Lines::first(&block[at..]).1;
            counts.lines += 1;
        }
        while at < block.len() {
            let text = whole_lines_of_text(&block[at..]);
            self.text(text, at, &mut counts);
            at += text.len();
            if at < block.len() {
                at += self.line(&block[at..], at, &mut counts);
            }
        }
        counts
    }

    /// Lines that are UTF-8.
    fn text(&mut self, text: &str, offset: usize, counts: &mut Counts) {
        let mut at = 0;
        while at < text.len() {
            match self.reader.read(text, at) {
                Some(Found { row, code, end }) => {
                    self.sink.accept(place(counts, offset + at), row, code);
                    counts.lines += 1;
                    counts.records += 1;
                    at = end;
                }
                None => at += self.line(&text.as_bytes()[at..], offset + at, counts),
            }
        }
    }

    /// The one line that `rest` begins with, the exact way. Returns its length with its end.
    #[inline(never)]
    fn line(&mut self, rest: &[u8], offset: usize, counts: &mut Counts) -> usize {
        let (line, length) = Lines::first(rest);
        let place = place(counts, offset);
        counts.lines += 1;
        if self.reader.is_blank(line) {
            counts.blank_lines += 1;
            return length;
        }
        counts.records += 1;
        match self.reader.check(line, self.scratch) {
            Verdict::Accepted(row) => {
                self.sink.accept(place, row, None);
                self.reader.learn(&rest[..length]);
            }
            Verdict::Rejected { timestamp_us, faults } => {
                self.sink.reject(place, Rejection { timestamp_us, faults, raw: line });
            }
        }
        length
    }
}

#[inline(always)]
fn place(counts: &Counts, offset: usize) -> Place {
    Place { line: counts.lines, record: counts.records, offset: offset as u32 }
}

/// As many lines from the start as are UTF-8.
fn whole_lines_of_text(block: &[u8]) -> &str {
    match simdutf8::compat::from_utf8(block) {
        Ok(text) => text,
        Err(error) => {
            let valid = &block[..error.valid_up_to()];
            let end = memchr::memrchr(b'\n', valid).map_or(0, |last| last + 1);
            simdutf8::basic::from_utf8(&valid[..end]).unwrap_or_default()
        }
    }
}
