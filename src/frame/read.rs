//! Parquet read again, as frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::prelude::*;
use polars_parquet::read::RowGroupMetadata;

/// Reads a table frame by frame, or any rows of it.
pub struct ParquetRows {
    path: PathBuf,
    at: usize,
    rows: usize,
    /// All but the row groups.
    metadata: FileMetadata,
    /// Where each row group begins, and what its footer says.
    groups: Vec<(usize, RowGroupMetadata)>,
}

impl ParquetRows {
    /// Opens a file and reads its footer.
    pub fn open(path: &Path) -> PolarsResult<ParquetRows> {
        let file = fs_err::File::open(path)?.into_parts().0;
        let mut reader = ParquetReader::new(file);
        let mut metadata = reader.get_metadata()?.as_ref().clone();
        let mut rows = 0;
        let groups = std::mem::take(&mut metadata.row_groups).into_iter().map(|group| {
            let start = rows;
            rows += group.num_rows();
            (start, group)
        });
        let groups = groups.collect();
        Ok(ParquetRows { path: path.to_owned(), at: 0, rows, metadata, groups })
    }

    /// Number of rows in the whole file.
    pub fn rows(&self) -> u64 {
        self.rows as u64
    }

    /// Where each row group begins and how many rows it has. A file without rows has one all the
    /// same, so that its columns are seen.
    pub fn row_groups(&self) -> Vec<(usize, usize)> {
        if self.rows == 0 {
            return vec![(0, 1)];
        }
        self.groups.iter().map(|(start, group)| (*start, group.num_rows())).collect()
    }

    /// The rows from `start` on, so many or as many as there are.
    ///
    /// The reader of polars decodes every row group before `start` too, so it is shown none but
    /// those that have some of the rows.
    pub fn frame(&self, start: usize, rows: usize) -> PolarsResult<DataFrame> {
        let end = start.saturating_add(rows);
        let first = self.groups.partition_point(|(at, group)| at + group.num_rows() <= start);
        let after = self.groups.partition_point(|(at, _)| *at < end);
        let groups = self.groups.get(first..after).unwrap_or_default();
        let before = groups.first().map_or(0, |(at, _)| start - at);
        let mut metadata = self.metadata.clone();
        metadata.num_rows = groups.iter().map(|(_, group)| group.num_rows()).sum();
        metadata.row_groups = groups.iter().map(|(_, group)| group.clone()).collect();
        // Opened anew, so that no more of the file is mapped than these rows.
        let file = fs_err::File::open(&self.path)?.into_parts().0;
        let mut reader = ParquetReader::new(file)
            .with_slice(Some((before, rows)))
            .read_parallel(ParallelStrategy::None);
        reader.set_metadata(Arc::new(metadata));
        reader.finish()
    }

    /// The next rows, wherever row groups end, at most `limit`; `None` after the last. A file
    /// without rows gives one empty frame.
    pub fn next_rows(&mut self, limit: usize) -> PolarsResult<Option<DataFrame>> {
        if self.at >= self.rows.max(1) {
            return Ok(None);
        }
        let length = limit.min((self.rows - self.at.min(self.rows)).max(1));
        let frame = self.frame(self.at, length)?;
        self.at += length;
        Ok(Some(frame))
    }
}
