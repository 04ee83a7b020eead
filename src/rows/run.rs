//! Gathering accepted rows in file order and sorting them, a run at a time.
//!
//! A [`Chunk`] is what one parser makes of one slab; a [`RunBuffer`] takes chunks in file order
//! until it has the rows of a run, and is then written out sorted. Until then rows are not copied:
//! the run is a list of chunks.

use std::io::Write;
use std::sync::Arc;

use super::build::{BlockBuilder, PackedBlock};
use super::file::RowsWriter;
use super::interner::Interner;
use super::order::hash_user;
use super::record::{Record, UserText};
use super::sort::Sorter;
use super::{RowsError, Sizes};

/// Rows that a bucket should have.
const BUCKET_ROWS: usize = 256;
/// A block ends after so many buckets: where any other run of as many rows has a block end too, so
/// that a range of users is whole blocks of all runs.
const BLOCK_BUCKETS: usize = 2;
/// More buckets than this are too many places to write to at once.
const MOST_BUCKETS_LOG2: u32 = 11;

/// Accepted rows in file order.
#[derive(Debug, Default)]
pub struct Chunk {
    records: Vec<Record>,
    /// User ids too long for their record.
    long: Vec<u8>,
    value_props: Interner,
}

impl Chunk {
    /// Makes room for so many rows, unless it was used before: then its room has proved right.
    pub fn reserve(&mut self, rows: usize) {
        if self.records.capacity() == 0 {
            self.records.reserve_exact(rows);
        }
    }

    /// The number of a value prop among those of the chunk.
    #[inline]
    pub fn value_prop(&mut self, name: &str) -> u32 {
        self.value_props.number(name.as_bytes())
    }

    /// Adds the next row of the file; `value_prop` is a [`Chunk::value_prop`].
    #[inline]
    pub fn push(
        &mut self,
        user: &str,
        timestamp_us: i64,
        value_prop: u32,
        measure: u64,
        row_number: u64,
        soft_issues: u8,
    ) {
        let user = user.as_bytes();
        self.records.push(Record {
            hash: hash_user(user),
            user: UserText::new(user, &mut self.long),
            timestamp_us,
            measure,
            row_number,
            value_prop,
            file: 0,
            soft_issues,
        });
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Forgets the rows; their room is kept.
    pub fn clear(&mut self) {
        self.records.clear();
        self.long.clear();
        self.value_props.clear();
    }

    /// The names of all value props of its rows.
    pub fn value_props(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.value_props.len() as u32).map(|number| self.value_props.name(number))
    }

    /// The user ids of its rows.
    pub fn users(&self) -> impl Iterator<Item = &[u8]> {
        self.records.iter().map(|record| record.user.get(&self.long))
    }

    /// The measures of its rows.
    pub fn measures(&self) -> impl Iterator<Item = u64> {
        self.records.iter().map(|record| record.measure)
    }

    /// User id, timestamp, value prop and measure of a row.
    pub fn values(&self, row: usize) -> (&[u8], i64, &[u8], u64) {
        let record = &self.records[row];
        let value_prop = self.value_props.name(record.value_prop);
        (record.user.get(&self.long), record.timestamp_us, value_prop, record.measure)
    }
}

/// Rows of a chunk that belong to a run.
#[derive(Debug)]
struct Piece {
    chunk: Arc<Chunk>,
    start: usize,
    end: usize,
    /// What to add to the row numbers of the chunk.
    first_row_number: u64,
    /// The run's numbers of the chunk's value props.
    numbers: Vec<u32>,
}

/// Rows of one run, waiting to be sorted.
#[derive(Debug, Default)]
pub struct RunBuffer {
    pieces: Vec<Piece>,
    rows: usize,
    value_props: Interner,
    /// Bytes of user ids too long for their record.
    long_bytes: usize,
}

impl RunBuffer {
    /// Takes rows of `chunk` from `start` on, adding `first_row_number` to their numbers, until
    /// the run is full. Returns the first row that was not taken.
    pub fn fill(
        &mut self,
        chunk: &Arc<Chunk>,
        start: usize,
        first_row_number: u64,
        sizes: &Sizes,
    ) -> usize {
        const UNKNOWN: u32 = u32::MAX;
        let room = sizes.run_rows.saturating_sub(self.rows);
        let names = chunk.value_props.len() as u32;
        let text = self.text_bytes() + chunk.long.len() + chunk.value_props.text_bytes();
        let mut numbers = Vec::new();
        let end;
        if start == 0 && text < sizes.run_text_bytes && chunk.len() <= room {
            // All of it, as nearly always.
            let number = |name| self.value_props.number(chunk.value_props.name(name));
            numbers.extend((0..names).map(number));
            self.long_bytes += chunk.long.len();
            end = chunk.len();
        } else {
            numbers.resize(names as usize, UNKNOWN);
            let mut row = start;
            while row < chunk.len() && row - start < room && !self.has_its_text(sizes) {
                let record = &chunk.records[row];
                let number = &mut numbers[record.value_prop as usize];
                if *number == UNKNOWN {
                    *number = self.value_props.number(chunk.value_props.name(record.value_prop));
                }
                if !record.user.is_inline() {
                    self.long_bytes += record.user.get(&chunk.long).len();
                }
                row += 1;
            }
            end = row;
        }
        self.rows += end - start;
        let chunk = Arc::clone(chunk);
        self.pieces.push(Piece { chunk, start, end, first_row_number, numbers });
        end
    }

    fn text_bytes(&self) -> usize {
        self.long_bytes + self.value_props.text_bytes()
    }

    fn has_its_text(&self, sizes: &Sizes) -> bool {
        self.text_bytes() >= sizes.run_text_bytes
    }

    /// Whether the run has its rows.
    pub fn is_full(&self, sizes: &Sizes) -> bool {
        self.rows >= sizes.run_rows || self.has_its_text(sizes)
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Sorts the rows and writes them as one run. What the chunks took is handed back for others,
    /// as far as no other run has rows of them.
    pub fn write_sorted<W: Write>(
        self,
        writer: &mut RowsWriter<W>,
        space: &mut SortSpace,
        sizes: &Sizes,
        mut free: impl FnMut(Chunk),
    ) -> Result<(), RowsError> {
        self.scatter(space);
        let ranks = self.value_props.ranks();
        writer.begin_run();
        let SortSpace { ends, records, long, sorter, builder, packed, .. } = space;
        builder.forget_names();
        let mut start = 0;
        for (bucket, &end) in (1..).zip(&*ends) {
            let rows = &records[start..end];
            let hashes = rows.iter().map(|record| record.hash);
            sorter.each_in_order(rows, hashes, long, &ranks, |row, user, is_first| {
                builder.push(row, user, is_first, &self.value_props);
                if builder.is_full(sizes.block_rows, sizes) {
                    builder.take_into(packed);
                    writer.write(packed)?;
                }
                Ok::<(), RowsError>(())
            })?;
            start = end;
            if bucket % BLOCK_BUCKETS == 0 || bucket == ends.len() {
                builder.take_into(packed);
                writer.write(packed)?;
            }
        }
        for piece in self.pieces {
            if let Some(mut chunk) = Arc::into_inner(piece.chunk) {
                chunk.clear();
                free(chunk);
            }
        }
        Ok(())
    }

    /// Copies the rows into buckets of neighbouring hashes, small enough for the first cache:
    /// one write to a far place for each row instead of several reads.
    fn scatter(&self, space: &mut SortSpace) {
        let SortSpace { ends, records, long, .. } = space;
        let bits = (self.rows / BUCKET_ROWS).checked_ilog2().unwrap_or(0).min(MOST_BUCKETS_LOG2);
        // Two shifts, for one by 64 bits is none.
        let bucket_of = |record: &Record| (record.hash >> 1 >> (63 - bits)) as usize;
        let rows_of = |piece: &Piece| piece.start..piece.end;
        ends.clear();
        ends.resize(1 << bits, 0);
        for piece in &self.pieces {
            for record in &piece.chunk.records[rows_of(piece)] {
                ends[bucket_of(record)] += 1;
            }
        }
        let mut start = 0;
        for end in &mut *ends {
            start += std::mem::replace(end, start);
        }
        long.clear();
        if records.len() < self.rows {
            records.resize(self.rows, Record::NONE);
        }
        for piece in &self.pieces {
            let chunk = &piece.chunk;
            for record in &chunk.records[rows_of(piece)] {
                let user = match record.user.is_inline() {
                    true => record.user,
                    false => UserText::new(record.user.get(&chunk.long), long),
                };
                let place = &mut ends[bucket_of(record)];
                records[*place] = Record {
                    user,
                    row_number: record.row_number + piece.first_row_number,
                    value_prop: piece.numbers[record.value_prop as usize],
                    ..*record
                };
                *place += 1;
            }
        }
    }
}

/// Working space of one sorter.
#[derive(Debug, Default)]
pub struct SortSpace {
    /// Where the buckets end.
    ends: Vec<usize>,
    records: Vec<Record>,
    /// User ids too long for their record.
    long: Vec<u8>,
    sorter: Sorter,
    builder: BlockBuilder,
    packed: PackedBlock,
}
