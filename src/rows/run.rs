//! Gathering accepted rows in file order and sorting them, a run at a time.
//!
//! A [`Chunk`] is what one parser makes of one slab; a [`RunBuffer`] takes chunks in file order
//! until it has the rows of a run, and is then written out sorted.

use std::io::Write;

use super::block::BlockBuilder;
use super::file::RowsWriter;
use super::interner::Interner;
use super::order::{RowRef, hash_user};
use super::{RowsError, Sizes};

/// More than the ids of one row have: 100 characters of up to 4 bytes, twice.
const ROW_TEXT_BYTES: usize = 1024;

/// Accepted rows in file order, column by column.
#[derive(Debug, Default)]
pub struct Chunk {
    hashes: Vec<u64>,
    user_text: Vec<u8>,
    user_ends: Vec<u32>,
    timestamps_us: Vec<i64>,
    value_prop_of: Vec<u32>,
    value_props: Interner,
    measures: Vec<u64>,
    row_numbers: Vec<u64>,
    soft_issues: Vec<u8>,
}

impl Chunk {
    /// Adds the next row of the file.
    #[inline]
    pub fn push(
        &mut self,
        user: &str,
        timestamp_us: i64,
        value_prop: &str,
        measure: u64,
        row_number: u64,
        soft_issues: u8,
    ) {
        self.hashes.push(hash_user(user.as_bytes()));
        self.user_text.extend_from_slice(user.as_bytes());
        self.user_ends.push(self.user_text.len() as u32);
        self.timestamps_us.push(timestamp_us);
        self.value_prop_of.push(self.value_props.number(value_prop.as_bytes()));
        self.measures.push(measure);
        self.row_numbers.push(row_number);
        self.soft_issues.push(soft_issues);
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.timestamps_us.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.timestamps_us.is_empty()
    }

    /// User id, timestamp, value prop and measure of a row.
    pub fn values(&self, row: usize) -> (&[u8], i64, &[u8], u64) {
        (
            self.user(row),
            self.timestamps_us[row],
            self.value_props.name(self.value_prop_of[row]),
            self.measures[row],
        )
    }

    #[inline]
    fn user(&self, row: usize) -> &[u8] {
        text(&self.user_text, &self.user_ends, row)
    }
}

/// Rows of one run, waiting to be sorted.
#[derive(Debug)]
pub struct RunBuffer {
    rows: Chunk,
    mapped: Vec<Option<u32>>,
}

impl RunBuffer {
    /// An empty run. Room for all of it is set aside at once: it costs nothing until it is used,
    /// while growing would for a moment take twice as much.
    pub fn new(sizes: &Sizes) -> RunBuffer {
        let rows = Chunk {
            hashes: Vec::with_capacity(sizes.run_rows),
            user_text: Vec::with_capacity(sizes.run_text_bytes + ROW_TEXT_BYTES),
            user_ends: Vec::with_capacity(sizes.run_rows),
            timestamps_us: Vec::with_capacity(sizes.run_rows),
            value_prop_of: Vec::with_capacity(sizes.run_rows),
            value_props: Interner::default(),
            measures: Vec::with_capacity(sizes.run_rows),
            row_numbers: Vec::with_capacity(sizes.run_rows),
            soft_issues: Vec::with_capacity(sizes.run_rows),
        };
        RunBuffer { rows, mapped: Vec::new() }
    }

    /// Takes rows of `chunk` from `start` on, adding `first_row_number` to their numbers, until
    /// the run is full. Returns the first row that was not taken.
    pub fn fill(
        &mut self,
        chunk: &Chunk,
        start: usize,
        first_row_number: u64,
        sizes: &Sizes,
    ) -> usize {
        self.mapped.clear();
        self.mapped.resize(chunk.value_props.len(), None);
        for row in start..chunk.len() {
            if self.is_full(sizes) {
                return row;
            }
            let user = chunk.user(row);
            self.rows.hashes.push(chunk.hashes[row]);
            self.rows.user_text.extend_from_slice(user);
            self.rows.user_ends.push(self.rows.user_text.len() as u32);
            let code = chunk.value_prop_of[row];
            let code = *self.mapped[code as usize]
                .get_or_insert_with(|| self.rows.value_props.number(chunk.value_props.name(code)));
            self.rows.value_prop_of.push(code);
            self.rows.timestamps_us.push(chunk.timestamps_us[row]);
            self.rows.measures.push(chunk.measures[row]);
            self.rows.row_numbers.push(first_row_number + chunk.row_numbers[row]);
            self.rows.soft_issues.push(chunk.soft_issues[row]);
        }
        chunk.len()
    }

    /// Whether the run has its rows.
    pub fn is_full(&self, sizes: &Sizes) -> bool {
        let text_bytes = self.rows.user_text.len() + self.rows.value_props.text_bytes();
        self.rows.len() >= sizes.run_rows || text_bytes >= sizes.run_text_bytes
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Sorts the rows, writes them as one run and is empty again.
    pub fn write_sorted<W: Write>(
        &mut self,
        writer: &mut RowsWriter<W>,
        sizes: &Sizes,
    ) -> Result<(), RowsError> {
        let rows = &self.rows;
        let mut order: Vec<(u64, u32)> = rows.hashes.iter().copied().zip(0..).collect();
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| self.row(a.1 as usize).user_order(&self.row(b.1 as usize)))
        });
        writer.begin_run();
        let mut builder = BlockBuilder::default();
        for (_, row) in order {
            builder.push(&self.row(row as usize));
            if builder.is_full(sizes) {
                builder.with_block(|block| writer.write(block))?;
            }
        }
        builder.with_block(|block| writer.write(block))?;
        self.clear();
        Ok(())
    }

    #[inline]
    fn row(&self, row: usize) -> RowRef<'_> {
        let rows = &self.rows;
        RowRef {
            hash: rows.hashes[row],
            user: rows.user(row),
            timestamp_us: rows.timestamps_us[row],
            value_prop: rows.value_props.name(rows.value_prop_of[row]),
            measure: rows.measures[row],
            file: 0,
            row_number: rows.row_numbers[row],
            soft_issues: rows.soft_issues[row],
            duplicate: false,
        }
    }

    fn clear(&mut self) {
        let rows = &mut self.rows;
        rows.hashes.clear();
        rows.user_text.clear();
        rows.user_ends.clear();
        rows.timestamps_us.clear();
        rows.value_prop_of.clear();
        rows.value_props.clear();
        rows.measures.clear();
        rows.row_numbers.clear();
        rows.soft_issues.clear();
    }
}

#[inline]
fn text<'a>(bytes: &'a [u8], ends: &[u32], index: usize) -> &'a [u8] {
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &bytes[start..ends[index] as usize]
}
