//! Walking one sorted run, or one range of it, a block in memory at a time.

use super::file::{BlockEntry, RowsFile};
use super::order::RowRef;
use super::unpack::{Unpacked, Unpacker};
use super::{HashRange, RowsError};

/// Stands on one row of a run, or past its last.
#[derive(Debug)]
pub struct Cursor<'f> {
    file: &'f RowsFile,
    blocks: std::slice::Iter<'f, BlockEntry>,
    range: HashRange,
    /// Overrides the file number of the rows: a file of one input does not know its own.
    file_number: Option<u32>,
    block: Unpacked,
    at: usize,
    bytes: Vec<u8>,
    unpacker: Unpacker,
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
            block: Unpacked::default(),
            at: 0,
            bytes: Vec::new(),
            unpacker: Unpacker::default(),
        };
        cursor.next_block()?;
        while cursor.block.records.get(cursor.at).is_some_and(|row| row.hash < range.start) {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    fn next_block(&mut self) -> Result<(), RowsError> {
        self.at = 0;
        self.block.clear();
        let Some(entry) = self.blocks.next() else { return Ok(()) };
        self.file.read_blocks(std::slice::from_ref(entry), &mut self.bytes)?;
        let rows = self.unpacker.unpack(&self.bytes, self.file_number, &mut self.block);
        if rows == Some(entry.rows) { Ok(()) } else { Err(self.file.damaged("bad block")) }
    }

    /// The row it stands on; `None` past the last of the range.
    #[inline]
    pub fn row(&self) -> Option<RowRef<'_>> {
        let record = self.block.records.get(self.at)?;
        self.range.is_before_end(record.hash).then(|| RowRef {
            hash: record.hash,
            user: record.user.get(&self.block.long),
            timestamp_us: record.timestamp_us,
            value_prop: self.block.value_props.name(record.value_prop),
            measure: record.measure,
            file: record.file,
            row_number: record.row_number,
            soft_issues: record.soft_issues,
        })
    }

    /// Steps to the next row.
    #[inline]
    pub fn advance(&mut self) -> Result<(), RowsError> {
        self.at += 1;
        if self.at >= self.block.records.len() { self.next_block() } else { Ok(()) }
    }
}
