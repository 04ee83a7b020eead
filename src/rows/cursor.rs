//! Walking one sorted run, or one range of it, a block in memory at a time.

use super::block::Block;
use super::file::{BlockEntry, RowsFile};
use super::order::RowRef;
use super::{HashRange, RowsError};

/// Stands on one row of a run, or past its last.
#[derive(Debug)]
pub struct Cursor<'f> {
    file: &'f RowsFile,
    blocks: std::slice::Iter<'f, BlockEntry>,
    range: HashRange,
    /// Overrides the file number of the rows: a file of one input does not know its own.
    file_number: Option<u32>,
    block: Block,
    at: usize,
    bytes: Vec<u8>,
    numbers: Vec<u64>,
}

impl<'f> Cursor<'f> {
    /// Stands on the first row of the range.
    pub fn new(
        file: &'f RowsFile,
        run: usize,
        range: HashRange,
        file_number: Option<u32>,
    ) -> Result<Cursor<'f>, RowsError> {
        let mut cursor = Cursor {
            file,
            blocks: file.blocks_in(run, &range).iter(),
            range,
            file_number,
            block: Block::default(),
            at: 0,
            bytes: Vec::new(),
            numbers: Vec::new(),
        };
        cursor.next_block()?;
        while cursor.at < cursor.block.len() && cursor.block.hash(cursor.at) < range.start {
            cursor.at += 1;
            if cursor.at == cursor.block.len() {
                cursor.next_block()?;
            }
        }
        Ok(cursor)
    }

    fn next_block(&mut self) -> Result<(), RowsError> {
        self.at = 0;
        match self.blocks.next() {
            Some(entry) => {
                let (bytes, numbers) = (&mut self.bytes, &mut self.numbers);
                self.file.read_block(entry, &mut self.block, bytes, numbers)
            }
            None => {
                self.block = Block::default();
                Ok(())
            }
        }
    }

    /// The row it stands on; `None` past the last of the range.
    #[inline]
    pub fn row(&self) -> Option<RowRef<'_>> {
        if self.at >= self.block.len() || !self.range.is_before_end(self.block.hash(self.at)) {
            return None;
        }
        let mut row = self.block.row(self.at);
        row.file = self.file_number.unwrap_or(row.file);
        Some(row)
    }

    /// Steps to the next row.
    #[inline]
    pub fn advance(&mut self) -> Result<(), RowsError> {
        self.at += 1;
        if self.at >= self.block.len() { self.next_block() } else { Ok(()) }
    }
}
