//! Parquet read again, as frames.

use std::path::{Path, PathBuf};

use polars::prelude::*;

/// Reads a table frame by frame, or any rows of it.
pub struct ParquetRows {
    path: PathBuf,
    at: usize,
    rows: usize,
    metadata: FileMetadataRef,
}

impl ParquetRows {
    /// Opens a file and reads its footer.
    pub fn open(path: &Path) -> PolarsResult<ParquetRows> {
        let file = fs_err::File::open(path)?.into_parts().0;
        let mut reader = ParquetReader::new(file);
        let metadata = reader.get_metadata()?.clone();
        Ok(ParquetRows { path: path.to_owned(), at: 0, rows: metadata.num_rows, metadata })
    }

    /// Number of rows in the whole file.
    pub fn rows(&self) -> u64 {
        self.rows as u64
    }

    /// Where each row group begins and how many rows it has. A file without rows has one all the
    /// same, so that its columns are seen.
    pub fn row_groups(&self) -> Vec<(usize, usize)> {
        let mut start = 0;
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for group in &self.metadata.row_groups {
            groups.push((start, group.num_rows()));
            start += group.num_rows();
        }
        if start == 0 { vec![(0, 1)] } else { groups }
    }

    /// The rows from `start` on, so many or as many as there are.
    pub fn frame(&self, start: usize, rows: usize) -> PolarsResult<DataFrame> {
        // Opened anew, so that no more of the file is mapped than one row group.
        let file = fs_err::File::open(&self.path)?.into_parts().0;
        let mut reader = ParquetReader::new(file)
            .with_slice(Some((start, rows)))
            .read_parallel(ParallelStrategy::None);
        reader.set_metadata(self.metadata.clone());
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
