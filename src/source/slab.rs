//! A stream of bytes to slabs of whole lines, in order.
//!
//! A slab is somewhat larger than its target and never larger than the longest line allowed:
//! a longer line comes alone, cut to its beginning and measured, its remainder read and dropped.
//! Knows line ends and the byte-order mark; does not know what a line means.

use std::io::{self, Read};

use crate::record::{MAX_LINE_BYTES, VISIBLE_BYTES};

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Whole lines of a file; the last line of the file may lack its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Slab {
    /// The lines with their ends, or the beginning of one line that is too long.
    pub bytes: Vec<u8>,
    /// Where in the (decompressed) file they stand; a byte-order mark counts.
    pub offset: u64,
    /// Set if the slab is the beginning of one line longer than [`MAX_LINE_BYTES`].
    pub long: Option<LongLine>,
}

/// What is known of a line that was too long to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongLine {
    /// Its whole length without its end.
    pub bytes: u64,
    /// It holds nothing but spaces, tabs and carriage returns.
    pub blank: bool,
}

/// How much of a line is held.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The longest line that is held whole, without its end.
    line: usize,
    /// How much is kept of a longer one.
    keep: usize,
}

/// Cuts a reader into slabs.
#[derive(Debug)]
pub struct SlabReader<R> {
    reader: R,
    target_bytes: usize,
    limits: Limits,
    /// Read and not yet handed out.
    pending: Vec<u8>,
    /// Where in the file `pending` begins.
    offset: u64,
    started: bool,
    at_end: bool,
}

/// What a look at the bytes from the start of a line shows.
enum Sight {
    /// One or more whole lines, none too long, up to this place.
    Lines { end: usize },
    /// The first line is too long.
    TooLong,
    /// The line may go on beyond the bytes at hand.
    Open,
    /// Nothing is left.
    End,
}

impl<R: Read> SlabReader<R> {
    /// Reads about `target_bytes` (at least 1, at most 1 GiB) at a time.
    pub fn new(reader: R, target_bytes: usize) -> SlabReader<R> {
        let limits = Limits { line: MAX_LINE_BYTES, keep: VISIBLE_BYTES };
        SlabReader::with_limits(reader, target_bytes, limits)
    }

    fn with_limits(reader: R, target_bytes: usize, limits: Limits) -> SlabReader<R> {
        SlabReader {
            reader,
            target_bytes: target_bytes.clamp(1, 1 << 30),
            limits,
            pending: Vec::new(),
            offset: 0,
            started: false,
            at_end: false,
        }
    }

    /// The reader, to ask it what it has seen.
    pub fn into_reader(self) -> R {
        self.reader
    }

    /// The next slab; `reuse` gives its memory for a later one. After an error, stop.
    pub fn next(&mut self, reuse: Vec<u8>) -> io::Result<Option<Slab>> {
        let mut bytes = std::mem::replace(&mut self.pending, reuse);
        self.pending.clear();
        if !self.started {
            self.start(&mut bytes)?;
        }
        let mut whole = 0;
        loop {
            match self.look(&bytes[whole..]) {
                Sight::Lines { end } => whole += end,
                Sight::Open if whole == 0 || bytes.len() < self.target_bytes => {
                    // At least as much again, so that long lines are not looked at too often.
                    let fill = self.target_bytes.saturating_sub(bytes.len());
                    let wanted = fill.max(if whole == 0 { bytes.len() } else { 0 }).max(1);
                    self.read(&mut bytes, wanted)?;
                }
                Sight::TooLong if whole == 0 => return self.long_line(bytes).map(Some),
                Sight::End if whole == 0 => return Ok(None),
                Sight::TooLong | Sight::Open | Sight::End => break,
            }
        }
        self.pending.extend_from_slice(&bytes[whole..]);
        bytes.truncate(whole);
        let slab = Slab { bytes, offset: self.offset, long: None };
        self.offset += whole as u64;
        Ok(Some(slab))
    }

    /// Skips the byte-order mark.
    fn start(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.started = true;
        self.read(bytes, BYTE_ORDER_MARK.len())?;
        if *bytes == BYTE_ORDER_MARK {
            bytes.clear();
            self.offset = BYTE_ORDER_MARK.len() as u64;
        }
        Ok(())
    }

    /// Appends so many bytes, or what is left.
    fn read(&mut self, bytes: &mut Vec<u8>, wanted: usize) -> io::Result<()> {
        bytes.reserve(wanted);
        let got = self.reader.by_ref().take(wanted as u64).read_to_end(bytes)?;
        self.at_end = got < wanted;
        Ok(())
    }

    /// Looks at one line that is as long as a line may be, or at all shorter ones within that
    /// length at once: only the first of them can be too long.
    fn look(&self, bytes: &[u8]) -> Sight {
        let max = self.limits.line;
        // The longest line with its end, `\r\n`.
        let window = &bytes[..bytes.len().min(max + 2)];
        if let Some(last) = memchr::memrchr(b'\n', window) {
            let alone = last > max && memchr::memchr(b'\n', &window[..last]).is_none();
            return match alone && window[max] != b'\r' {
                true => Sight::TooLong,
                false => Sight::Lines { end: last + 1 },
            };
        }
        let length = window.strip_suffix(b"\r").unwrap_or(window).len();
        match window.len() {
            _ if length > max && (self.at_end || window.len() == max + 2) => Sight::TooLong,
            _ if !self.at_end => Sight::Open,
            0 => Sight::End,
            end => Sight::Lines { end },
        }
    }

    /// Measures the line at the start of `bytes` to its end and keeps its beginning.
    fn long_line(&mut self, mut bytes: Vec<u8>) -> io::Result<Slab> {
        let mut measure = Measure::default();
        let mut end = memchr::memchr(b'\n', &bytes);
        measure.add(&bytes[..end.unwrap_or(bytes.len())]);
        if let Some(end) = end {
            self.pending.extend_from_slice(&bytes[end + 1..]);
        }
        while end.is_none() && !self.at_end {
            let mut more = std::mem::take(&mut self.pending);
            more.clear();
            self.read(&mut more, self.target_bytes)?;
            end = memchr::memchr(b'\n', &more);
            measure.add(&more[..end.unwrap_or(more.len())]);
            more.drain(..end.map_or(more.len(), |end| end + 1));
            self.pending = more;
        }
        bytes.truncate(self.limits.keep);
        let long = LongLine {
            bytes: measure.bytes - u64::from(measure.ends_with_return),
            blank: !measure.has_text,
        };
        let slab = Slab { bytes, offset: self.offset, long: Some(long) };
        self.offset += measure.bytes + u64::from(end.is_some());
        Ok(slab)
    }
}

/// A line read piece by piece.
#[derive(Default)]
struct Measure {
    bytes: u64,
    ends_with_return: bool,
    has_text: bool,
}

impl Measure {
    fn add(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        self.bytes += piece.len() as u64;
        self.ends_with_return = *last == b'\r';
        self.has_text |= piece.iter().any(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Lines;

    const TINY: Limits = Limits { line: 5, keep: 3 };

    fn slabs(bytes: &[u8], target: usize, limits: Limits) -> Vec<Slab> {
        let mut reader = SlabReader::with_limits(bytes, target, limits);
        let mut slabs = Vec::new();
        while let Some(slab) = reader.next(b"left over".to_vec()).unwrap() {
            slabs.push(slab);
        }
        assert!(reader.next(Vec::new()).unwrap().is_none());
        slabs
    }

    /// Each line: its offset, its text (cut if too long), its length if too long, blankness.
    type Seen = Vec<(u64, Vec<u8>, Option<(u64, bool)>)>;

    fn seen(slabs: &[Slab]) -> Seen {
        let mut seen = Vec::new();
        for slab in slabs {
            match slab.long {
                Some(long) => {
                    let long = (long.bytes, long.blank);
                    seen.push((slab.offset, slab.bytes.clone(), Some(long)));
                }
                None => {
                    seen.extend(Lines::new(&slab.bytes).map(|line| {
                        (slab.offset + u64::from(line.offset), line.bytes.to_vec(), None)
                    }));
                }
            }
        }
        seen
    }

    fn naive(bytes: &[u8], limits: Limits) -> Seen {
        let skip = if bytes.starts_with(&BYTE_ORDER_MARK) { 3 } else { 0 };
        let mut offset = skip as u64;
        let mut seen = Vec::new();
        for piece in bytes[skip..].split_inclusive(|byte| *byte == b'\n') {
            let line = piece.strip_suffix(b"\n").unwrap_or(piece);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > limits.line {
                let blank = line.iter().all(|byte| b" \t\r".contains(byte));
                let long = Some((line.len() as u64, blank));
                seen.push((offset, line[..limits.keep].to_vec(), long));
            } else {
                seen.push((offset, line.to_vec(), None));
            }
            offset += piece.len() as u64;
        }
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn lines_are_those_of_a_naive_splitter_whatever_the_target(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "a", "bcd", "\n", "\r", "\r\n", " ", "\t", "     ", "xyzzy", "\u{feff}", "", "é",
            ]), 0..24),
            mark in any::<bool>(), target in 1_usize..40,
        ) {
            let text = format!("{}{}", if mark { "\u{feff}" } else { "" }, pieces.concat());
            let slabs = slabs(text.as_bytes(), target, TINY);
            prop_assert_eq!(seen(&slabs), naive(text.as_bytes(), TINY));
            let mut next = if mark || text.starts_with('\u{feff}') { 3 } else { 0 };
            for (n, slab) in slabs.iter().enumerate() {
                prop_assert!(!slab.bytes.is_empty());
                prop_assert!(slab.bytes.len() <= target.max(TINY.line + 2) * 2);
                prop_assert!(slab.long.is_some() || slab.offset == next);
                let last = n + 1 == slabs.len();
                prop_assert!(last || slab.long.is_some() || slab.bytes.ends_with(b"\n"));
                next = slab.offset + slab.bytes.len() as u64;
                if slab.long.is_some() && !last {
                    next = slabs[n + 1].offset;
                }
            }
        }
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole_with_any_end() {
        let limits = Limits { line: MAX_LINE_BYTES, keep: VISIBLE_BYTES };
        let line = "x".repeat(MAX_LINE_BYTES);
        for (text, long) in [
            (format!("{line}\r\n{line}\n{line}\r"), false),
            (format!("{line}\r\n{line}\n{line}"), false),
            (format!("{line}x\r\n{line}x\n{line}x\r"), true),
            (format!("{line}\r\r\n{line}\r\r\n{line}\r\r"), true),
        ] {
            for target in [1, 1 << 20, (1 << 20) + 1, (1 << 20) + 2, 3 << 20, 9 << 20] {
                let slabs = slabs(text.as_bytes(), target, limits);
                let seen = seen(&slabs);
                assert_eq!(seen, naive(text.as_bytes(), limits));
                assert!(seen.len() == 3 && seen.iter().all(|line| line.2.is_some() == long));
            }
        }
    }

    /// So many spaces and no line break.
    struct Spaces(u64);

    impl Read for Spaces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.0 as usize);
            buffer[..count].fill(b' ');
            self.0 -= count as u64;
            Ok(count)
        }
    }

    #[test]
    fn a_line_without_an_end_costs_no_memory() {
        let bytes = 300 << 20;
        let mut reader = SlabReader::new(Spaces(bytes), 1 << 20);
        let slab = reader.next(Vec::new()).unwrap().unwrap();
        assert_eq!(slab.long, Some(LongLine { bytes, blank: true }));
        assert_eq!(slab.bytes.len(), VISIBLE_BYTES);
        assert!(slab.bytes.capacity() + reader.pending.capacity() < 8 << 20);
        assert_eq!(reader.next(slab.bytes).unwrap(), None);
    }
}
