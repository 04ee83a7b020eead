//! Merging sorted runs into one, in passes when there are more than fit.
//!
//! A binary heap of cursors. What happens to the merged rows is the caller's business.

use std::cmp::Ordering;
use std::io::Write;

use super::block::BlockBuilder;
use super::cursor::Cursor;
use super::file::{RowsFile, RowsWriter};
use super::order::RowRef;
use super::{RowsError, Sizes};

/// Stands on the least row of several cursors.
#[derive(Debug)]
pub struct Merge<'f> {
    /// A heap: no cursor stands on a row below that of its parent, (index − 1) / 2.
    heap: Vec<Cursor<'f>>,
}

impl<'f> Merge<'f> {
    /// Merges what the cursors stand on and all that follows.
    pub fn new(cursors: Vec<Cursor<'f>>) -> Merge<'f> {
        let mut merge =
            Merge { heap: cursors.into_iter().filter(|cursor| cursor.row().is_some()).collect() };
        for index in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(index);
        }
        merge
    }

    /// The least row; `None` when all cursors are done.
    #[inline]
    pub fn row(&self) -> Option<RowRef<'_>> {
        self.heap.first().and_then(Cursor::row)
    }

    /// Steps to the next row.
    pub fn advance(&mut self) -> Result<(), RowsError> {
        if let Some(first) = self.heap.first_mut() {
            first.advance()?;
            if first.row().is_none() {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        Ok(())
    }

    fn sift_down(&mut self, mut index: usize) {
        loop {
            let left = 2 * index + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let mut least = left;
            if right < self.heap.len() && self.is_less(right, left) {
                least = right;
            }
            if !self.is_less(least, index) {
                return;
            }
            self.heap.swap(least, index);
            index = least;
        }
    }

    #[inline]
    fn is_less(&self, a: usize, b: usize) -> bool {
        match (self.heap[a].row(), self.heap[b].row()) {
            (Some(a), Some(b)) => a.user_order(&b) == Ordering::Less,
            (a, _) => a.is_some(),
        }
    }
}

/// Merges groups of `fan_in` runs into longer ones until at most `fan_in` are left.
///
/// `files` come with the number that their rows take, if they do not carry it. `spill` gives a
/// new place to write a longer run to, and `reopen` makes a written one readable; both places
/// are the caller's to remove. The result are the files to merge last.
pub fn merge_in_passes<W: Write>(
    mut files: Vec<(RowsFile, Option<u32>)>,
    fan_in: usize,
    sizes: &Sizes,
    mut spill: impl FnMut() -> Result<W, RowsError>,
    mut reopen: impl FnMut(W) -> Result<RowsFile, RowsError>,
) -> Result<Vec<(RowsFile, Option<u32>)>, RowsError> {
    let fan_in = fan_in.max(2);
    while files.iter().map(|(file, _)| file.runs()).sum::<usize>() > fan_in {
        let mut writer = RowsWriter::new(spill()?)?;
        let runs: Vec<(usize, usize)> = files
            .iter()
            .enumerate()
            .flat_map(|(index, (file, _))| (0..file.runs()).map(move |run| (index, run)))
            .collect();
        for group in runs.chunks(fan_in) {
            let cursors: Result<Vec<Cursor<'_>>, RowsError> = group
                .iter()
                .map(|&(index, run)| {
                    let (file, number) = &files[index];
                    Cursor::new(file, run, super::HashRange::ALL, *number)
                })
                .collect();
            writer.begin_run();
            write_run(Merge::new(cursors?), &mut writer, sizes)?;
        }
        files = vec![(reopen(writer.finish()?.0)?, None)];
    }
    Ok(files)
}

fn write_run<W: Write>(
    mut merge: Merge<'_>,
    writer: &mut RowsWriter<W>,
    sizes: &Sizes,
) -> Result<(), RowsError> {
    let mut builder = BlockBuilder::default();
    while let Some(row) = merge.row() {
        builder.push(&row);
        if builder.is_full(sizes) {
            builder.with_block(|block| writer.write(block))?;
        }
        merge.advance()?;
    }
    builder.with_block(|block| writer.write(block))?;
    Ok(())
}
