//! All rows of one range of users, from many runs, sorted in memory.
//!
//! Faster than merging: each block is unpacked once into records, the records are sorted by hash,
//! and nothing is compared but the rows of one user. A range with more than may be held is
//! gathered in halves. Where that does not help, as with a single user who has too many rows, they
//! are merged row by row; the rows and their order are the same. Knows nothing of duplicates and
//! of what rows are for.

use super::cursor::Cursor;
use super::file::BlockEntry;
use super::interner::Interner;
use super::merge::Merge;
use super::record::{Record, UserText};
use super::sort::Sorter;
use super::unpack::{Unpacked, Unpacker};
use super::{HashRange, RowsError, RowsFile};

/// A rows file, and the number that its rows take if they do not carry one.
pub type NumberedFile = (RowsFile, Option<u32>);

/// One run of a file, and the number that its rows take if they do not carry one.
#[derive(Debug, Clone, Copy)]
pub struct Run<'f> {
    file: &'f RowsFile,
    run: usize,
    number: Option<u32>,
}

/// All runs of these files, in order.
pub fn runs_of(files: &[NumberedFile]) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    for (file, number) in files {
        runs.extend((0..file.runs()).map(|run| Run { file, run, number: *number }));
    }
    runs
}

/// A record, its hash and the keys to sort it by.
const ROW_BYTES: u64 = 88;
/// Rows that are sorted within the second cache of a processor.
const FEW_ROWS: u64 = 32 << 10;
/// Texts are held as they are packed, and named once more where they are numbered.
const PACKED_TIMES: u64 = 3;

/// What gathering a range takes, at most.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    blocks: usize,
    rows: u64,
    bytes: u64,
}

impl Need {
    /// What all runs need together.
    fn of(runs: &[Run<'_>], range: &HashRange) -> Need {
        let mut need = Need::default();
        runs.iter().for_each(|run| run.add_need(range, &mut need));
        need
    }
}

/// Working space of one gatherer.
#[derive(Debug, Default)]
pub struct Gatherer {
    bytes: Vec<u8>,
    unpacker: Unpacker,
    rows: Unpacked,
    /// The hashes of the rows, side by side: read more often than all else of them.
    hashes: Vec<u64>,
    sorter: Sorter,
    /// How the value props follow one another, of as many as there were.
    ranks: Vec<u32>,
}

impl<'f> Run<'f> {
    fn blocks_in(&self, range: &HashRange) -> &'f [BlockEntry] {
        self.file.blocks_in(self.run, range)
    }

    /// Adds what reading a range of it needs: every block that touches the range.
    fn add_need(&self, range: &HashRange, need: &mut Need) {
        for block in self.blocks_in(range) {
            need.blocks += 1;
            need.rows += block.rows;
            need.bytes += block.rows * ROW_BYTES + block.length * PACKED_TIMES;
        }
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        let mut need = Need::default();
        self.add_need(&HashRange::ALL, &mut need);
        need.rows
    }
}

impl Gatherer {
    /// Gives every row of the range to `each`, in user order, with its user id, whether it is the
    /// first row of that user, and the names of the value props so far. About `most_bytes` are held at once: a range that needs more is
    /// gathered in halves.
    pub fn each_row<E: From<RowsError>>(
        &mut self,
        runs: &[Run<'_>],
        range: HashRange,
        most_bytes: u64,
        mut each: impl FnMut(&Record, &[u8], bool, &Interner) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rows.clear();
        self.ranks.clear();
        self.gather(runs, range, most_bytes, &mut each)
    }

    fn gather<E: From<RowsError>>(
        &mut self,
        runs: &[Run<'_>],
        range: HashRange,
        most_bytes: u64,
        each: &mut impl FnMut(&Record, &[u8], bool, &Interner) -> Result<(), E>,
    ) -> Result<(), E> {
        let need = Need::of(runs, &range);
        if need.bytes <= most_bytes && need.rows <= FEW_ROWS {
            self.load(runs, &range, need.rows)?;
            return self.sorted(each);
        }
        let halves = range.halves();
        if need.bytes <= most_bytes {
            // Halves that have blocks of their own are as soon unpacked, and sooner sorted.
            let halved = halves.iter().flat_map(|(lower, upper)| [lower, upper]);
            let rows: u64 = halved.map(|half| Need::of(runs, half).rows).sum();
            if halves.is_none() || rows > need.rows + need.rows / 16 {
                self.load(runs, &range, need.rows)?;
                return self.sorted(each);
            }
        }
        // Where each run has hardly more than a block, halves would need no less.
        let worth_halving = need.blocks > 2 * runs.len() || need.bytes <= most_bytes;
        let Some((lower, upper)) = halves.filter(|_| worth_halving) else {
            return self.merge(runs, range, each);
        };
        self.gather(runs, lower, most_bytes, each)?;
        self.gather(runs, upper, most_bytes, each)
    }

    /// Unpacks all rows of the range.
    fn load(&mut self, runs: &[Run<'_>], range: &HashRange, rows: u64) -> Result<(), RowsError> {
        self.rows.records.clear();
        self.rows.records.reserve_exact(rows as usize);
        self.hashes.clear();
        self.hashes.reserve_exact(rows as usize);
        self.rows.long.clear();
        for run in runs {
            let blocks = run.blocks_in(range);
            run.file.read_blocks(blocks, &mut self.bytes)?;
            let mut at = 0;
            for block in blocks {
                let bytes = &self.bytes[at..at + block.length as usize];
                at += bytes.len();
                let start = self.rows.records.len();
                let unpacked = self.unpacker.unpack(bytes, run.number, &mut self.rows);
                if unpacked != Some(block.rows) {
                    return Err(run.file.damaged("bad block"));
                }
                self.cut(start, block, range);
                // Now, while they are near.
                self.hashes.extend(self.rows.records[start..].iter().map(|record| record.hash));
            }
        }
        Ok(())
    }

    /// Removes the rows from `start` on that are outside the range: only a block at its border
    /// can have any.
    fn cut(&mut self, start: usize, block: &BlockEntry, range: &HashRange) {
        if !range.is_before_end(block.last_hash) {
            let rows = &self.rows.records[start..];
            let end = rows.partition_point(|record| range.is_before_end(record.hash));
            self.rows.records.truncate(start + end);
        }
        if block.first_hash < range.start {
            let rows = &self.rows.records[start..];
            let before = rows.partition_point(|record| record.hash < range.start);
            self.rows.records.drain(start..start + before);
        }
    }

    fn sorted<E>(
        &mut self,
        each: &mut impl FnMut(&Record, &[u8], bool, &Interner) -> Result<(), E>,
    ) -> Result<(), E> {
        let Gatherer { rows, hashes, sorter, ranks, .. } = self;
        let Unpacked { records, long, value_props } = rows;
        if ranks.len() != value_props.len() {
            *ranks = value_props.ranks();
        }
        let hashes = hashes.iter().copied();
        sorter.each_in_order(records, hashes, long, ranks, |record, user, is_first| {
            each(record, user, is_first, value_props)
        })
    }

    /// The same rows, a block of each run at a time.
    fn merge<E: From<RowsError>>(
        &mut self,
        runs: &[Run<'_>],
        range: HashRange,
        each: &mut impl FnMut(&Record, &[u8], bool, &Interner) -> Result<(), E>,
    ) -> Result<(), E> {
        let cursors = runs.iter().map(|run| Cursor::new(run.file, run.run, range, run.number));
        let mut merge = Merge::new(cursors.collect::<Result<_, _>>()?);
        let mut last: Option<Vec<u8>> = None;
        while let Some(row) = merge.row() {
            let record = Record {
                hash: row.hash,
                user: UserText::default(),
                timestamp_us: row.timestamp_us,
                measure: row.measure,
                row_number: row.row_number,
                value_prop: self.rows.value_props.number(row.value_prop),
                file: row.file,
                soft_issues: row.soft_issues,
            };
            let is_first = last.as_deref() != Some(row.user);
            if is_first {
                let mut user = last.take().unwrap_or_default();
                user.clear();
                user.extend_from_slice(row.user);
                last = Some(user);
            }
            each(&record, row.user, is_first, &self.rows.value_props)?;
            merge.advance()?;
        }
        Ok(())
    }
}
