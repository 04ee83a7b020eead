//! Merging sorted runs row by row, a block of each in memory.
//!
//! A binary heap of cursors. What happens to the merged rows is the caller's business.

use std::cmp::Ordering;

use super::RowsError;
use super::cursor::Cursor;
use super::order::RowRef;

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
