//! Bytes to lines: each ends with `\n`, and one `\r` before that, or before the end of the last
//! line, belongs to the line end; any other `\r` is an ordinary byte.
//!
//! Does not know where in a file the bytes stand.

/// A line within a block of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Without its end.
    pub bytes: &'a [u8],
    /// Physical lines before it in the block.
    pub index: u32,
    /// Bytes before it in the block.
    pub offset: u32,
}

/// Iterates over the lines of a block of less than 4 GiB.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
    index: u32,
    offset: u32,
}

impl<'a> Lines<'a> {
    /// The lines of these bytes, the last of which may lack its end.
    pub fn new(bytes: &'a [u8]) -> Lines<'a> {
        Lines { rest: bytes, index: 0, offset: 0 }
    }

    /// The first line without its end, and how long it is with it.
    #[inline]
    pub fn first(bytes: &[u8]) -> (&[u8], usize) {
        let end = memchr::memchr(b'\n', bytes);
        let line = &bytes[..end.unwrap_or(bytes.len())];
        (line.strip_suffix(b"\r").unwrap_or(line), end.map_or(bytes.len(), |end| end + 1))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[inline]
    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (bytes, length) = Lines::first(self.rest);
        let found = Line { bytes, index: self.index, offset: self.offset };
        self.rest = &self.rest[length..];
        self.index += 1;
        self.offset = self.offset.wrapping_add(length as u32);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_carriage_return_belongs_to_the_line_end_and_no_more() {
        let lines: Vec<_> = Lines::new(b"a\r\n\nb\r\r\nc\rd\n\r").collect();
        let expected: [(&[u8], u32); 5] =
            [(b"a", 0), (b"", 3), (b"b\r", 4), (b"c\rd", 8), (b"", 12)];
        assert_eq!(lines.len(), expected.len());
        for (index, (line, (bytes, offset))) in lines.iter().zip(expected).enumerate() {
            assert_eq!(*line, Line { bytes, offset, index: index as u32 });
        }
        assert_eq!(Lines::new(b"").count(), 0);
    }
}
