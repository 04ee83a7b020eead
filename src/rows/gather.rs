//! All rows of one range of users, from many runs, sorted in memory.
//!
//! Faster than merging: each block is unpacked once into records, the records are sorted by hash,
//! and nothing is compared but the rows of one user. A range with more rows than may be held is
//! merged row by row instead, which only a single user with very many rows makes necessary; the
//! rows and their order are the same. Knows nothing of duplicates and of what rows are for.

use super::cursor::Cursor;
use super::file::BlockEntry;
use super::interner::Interner;
use super::merge::Merge;
use super::record::{Record, UserText};
use super::sort::Sorter;
use super::unpack::Unpacker;
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

/// Working space of one gatherer.
#[derive(Debug, Default)]
pub struct Gatherer {
    bytes: Vec<u8>,
    unpacker: Unpacker,
    records: Vec<Record>,
    /// User ids too long for their record.
    long: Vec<u8>,
    value_props: Interner,
    sorter: Sorter,
}

impl<'f> Run<'f> {
    fn blocks_in(&self, range: &HashRange) -> &'f [BlockEntry] {
        self.file.blocks_in(self.run, range)
    }

    /// How many rows it has at most in a range: those of every block that touches it.
    fn rows_near(&self, range: &HashRange) -> u64 {
        self.blocks_in(range).iter().map(|block| block.rows).sum()
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.rows_near(&HashRange::ALL)
    }
}

impl Gatherer {
    /// Gives every row of the range to `each`, in user order, with its user id and the names of
    /// the value props so far. More than `most_rows` rows are not held at once.
    pub fn each_row<E: From<RowsError>>(
        &mut self,
        runs: &[Run<'_>],
        range: HashRange,
        most_rows: u64,
        each: impl FnMut(&Record, &[u8], &Interner) -> Result<(), E>,
    ) -> Result<(), E> {
        self.value_props.clear();
        if runs.iter().map(|run| run.rows_near(&range)).sum::<u64>() > most_rows {
            return self.merge(runs, range, each);
        }
        self.load(runs, &range)?;
        self.sorted(each)
    }

    /// Unpacks all rows of the range.
    fn load(&mut self, runs: &[Run<'_>], range: &HashRange) -> Result<(), RowsError> {
        self.records.clear();
        self.long.clear();
        for run in runs {
            let blocks = run.blocks_in(range);
            run.file.read_blocks(blocks, &mut self.bytes)?;
            let mut at = 0;
            for block in blocks {
                let bytes = &self.bytes[at..at + block.length as usize];
                at += bytes.len();
                let start = self.records.len();
                let (records, long) = (&mut self.records, &mut self.long);
                let into = (records, long, &mut self.value_props);
                let unpacked = self.unpacker.unpack(bytes, run.number, into);
                if unpacked != Some(block.rows) {
                    return Err(run.file.damaged("bad block"));
                }
                self.cut(start, block, range);
            }
        }
        Ok(())
    }

    /// Removes the rows from `start` on that are outside the range: only a block at its border
    /// can have any.
    fn cut(&mut self, start: usize, block: &BlockEntry, range: &HashRange) {
        if !range.is_before_end(block.last_hash) {
            let rows = &self.records[start..];
            let end = rows.partition_point(|record| range.is_before_end(record.hash));
            self.records.truncate(start + end);
        }
        if block.first_hash < range.start {
            let rows = &self.records[start..];
            let before = rows.partition_point(|record| record.hash < range.start);
            self.records.drain(start..start + before);
        }
    }

    fn sorted<E>(
        &mut self,
        mut each: impl FnMut(&Record, &[u8], &Interner) -> Result<(), E>,
    ) -> Result<(), E> {
        let Gatherer { records, long, value_props, sorter, .. } = self;
        let ranks = value_props.ranks();
        sorter.each_in_order(records, long, &ranks, |record, user| each(record, user, value_props))
    }

    /// The same rows, a block of each run at a time.
    fn merge<E: From<RowsError>>(
        &mut self,
        runs: &[Run<'_>],
        range: HashRange,
        mut each: impl FnMut(&Record, &[u8], &Interner) -> Result<(), E>,
    ) -> Result<(), E> {
        let cursors = runs.iter().map(|run| Cursor::new(run.file, run.run, range, run.number));
        let mut merge = Merge::new(cursors.collect::<Result<_, _>>()?);
        while let Some(row) = merge.row() {
            let record = Record {
                hash: row.hash,
                user: UserText::default(),
                timestamp_us: row.timestamp_us,
                measure: row.measure,
                row_number: row.row_number,
                value_prop: self.value_props.number(row.value_prop),
                file: row.file,
                soft_issues: row.soft_issues,
            };
            each(&record, row.user, &self.value_props)?;
            merge.advance()?;
        }
        Ok(())
    }
}
