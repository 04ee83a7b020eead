//! Columns of text as they are gathered: each distinct text once, and which row has which.
//!
//! Texts are known by number or stand in runs of equal ones, so nothing is hashed.

/// Bytes before each text, which hold its length.
const LENGTH: usize = 4;

/// Texts one after the other, as a Parquet dictionary page has them: each after its length.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    plain: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    /// Adds a text. Ids were checked when they were parsed; what is not UTF-8 here is damage made
    /// visible.
    pub fn push(&mut self, bytes: &[u8]) {
        let text = match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => String::from_utf8_lossy(bytes),
        };
        self.plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(text.as_bytes());
        self.ends.push(self.plain.len() as u32);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// All of them, each after its length in four bytes.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Bytes of all of them, without their lengths.
    pub fn bytes(&self) -> usize {
        self.plain.len() - LENGTH * self.ends.len()
    }

    /// The bytes of the text of that number.
    #[inline]
    pub fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.plain[start + LENGTH..self.ends[number] as usize]
    }

    /// The text of that number.
    pub fn text(&self, number: usize) -> &str {
        std::str::from_utf8(self.get(number)).unwrap_or_default()
    }

    /// The bytes of all of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|number| self.get(number))
    }

    /// Forgets all of them; their room is kept.
    fn clear(&mut self) {
        self.plain.clear();
        self.ends.clear();
    }

    /// The last one's bytes.
    #[inline]
    fn last(&self) -> Option<&[u8]> {
        self.len().checked_sub(1).map(|last| self.get(last))
    }
}

/// A column whose equal texts are neighbours.
#[derive(Debug, Clone, Default)]
pub(super) struct TextRuns {
    pub texts: Texts,
    /// For each text, the row after its last.
    pub ends: Vec<u32>,
}

impl TextRuns {
    /// The text of the next row.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_next(bytes, self.texts.last() != Some(bytes));
    }

    /// The text of the next row, which is another than that of the row before, or is not.
    #[inline]
    pub fn push_next(&mut self, bytes: &[u8], is_another: bool) {
        match self.ends.last_mut() {
            Some(end) if !is_another => *end += 1,
            last => {
                let end = last.map_or(0, |end| *end);
                self.texts.push(bytes);
                self.ends.push(end + 1);
            }
        }
    }

    /// Forgets all rows; their room is kept.
    pub fn clear(&mut self) {
        self.texts.clear();
        self.ends.clear();
    }

    /// Number of the text of that row.
    pub fn code(&self, row: usize) -> usize {
        self.ends.partition_point(|&end| end as usize <= row)
    }

    /// The runs: number of the text, and how many rows have it.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let lengths = self.ends.iter().zip(starts).map(|(end, start)| end - start);
        lengths.enumerate().map(|(code, length)| (code as u32, length))
    }
}

/// A column of texts that the one who pushes knows by number.
#[derive(Debug, Clone, Default)]
pub(super) struct NumberedTexts {
    pub texts: Texts,
    /// For each row, the number of its text here: texts are numbered as they appear.
    pub codes: Vec<u32>,
}

/// Gathers [`NumberedTexts`].
#[derive(Debug, Default)]
pub(super) struct NumberedTextsBuilder {
    column: NumberedTexts,
    /// For each number of the caller, one more than that of the text here; 0 if it is not here.
    known: Vec<u32>,
    /// The numbers of the caller that are here.
    used: Vec<u32>,
}

impl NumberedTextsBuilder {
    /// The text of the next row, which is only asked for if it is new here.
    #[inline]
    pub fn push<'n>(&mut self, number: u32, text: impl FnOnce() -> &'n [u8]) {
        let known = self.known.get(number as usize).copied().unwrap_or(0);
        let code = if known > 0 { known - 1 } else { self.add(number, text()) };
        self.column.codes.push(code);
    }

    fn add(&mut self, number: u32, text: &[u8]) -> u32 {
        let code = self.column.texts.len() as u32;
        if self.known.len() <= number as usize {
            self.known.resize(number as usize + 1, 0);
        }
        self.known[number as usize] = code + 1;
        self.used.push(number);
        self.column.texts.push(text);
        code
    }

    /// Bytes of distinct text so far.
    pub fn bytes(&self) -> usize {
        self.column.texts.bytes()
    }

    /// Takes the memory of a column that [`NumberedTextsBuilder::take`] gave; there must be no row.
    pub fn reuse(&mut self, mut column: NumberedTexts) {
        column.texts.clear();
        column.codes.clear();
        self.column = column;
    }

    /// The column so far; empty again, and no number is known any more.
    pub fn take(&mut self) -> NumberedTexts {
        for number in self.used.drain(..) {
            self.known[number as usize] = 0;
        }
        std::mem::take(&mut self.column)
    }
}
