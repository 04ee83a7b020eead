//! Parquet read again, as frames.

use std::path::{Path, PathBuf};

use polars::prelude::*;

/// Reads a table frame by frame.
pub struct ParquetRows {
    path: PathBuf,
    at: usize,
    row_group: usize,
    rows: usize,
    metadata: FileMetadataRef,
}

impl ParquetRows {
    /// Opens a file and reads its footer.
    pub fn open(path: &Path) -> PolarsResult<ParquetRows> {
        let file = fs_err::File::open(path)?.into_parts().0;
        let mut reader = ParquetReader::new(file);
        let metadata = reader.get_metadata()?.clone();
        Ok(ParquetRows {
            path: path.to_owned(),
            at: 0,
            row_group: 0,
            rows: metadata.num_rows,
            metadata,
        })
    }

    /// Number of rows in the whole file.
    pub fn rows(&self) -> u64 {
        self.rows as u64
    }

    /// The next row group; `None` after the last. A file without rows gives one empty frame, so
    /// that its columns are seen.
    pub fn next_frame(&mut self) -> PolarsResult<Option<DataFrame>> {
        let row_group = self.metadata.row_groups.get(self.row_group);
        let rows = if let Some(row_group) = row_group { row_group.num_rows() } else { 1 };
        self.row_group += 1;
        self.next_rows(rows)
    }

    /// The next rows, wherever row groups end, at most `limit`; not to be mixed with
    /// [`ParquetRows::next_frame`].
    pub fn next_rows(&mut self, limit: usize) -> PolarsResult<Option<DataFrame>> {
        if self.at >= self.rows.max(1) {
            return Ok(None);
        }
        let length = limit.min((self.rows - self.at.min(self.rows)).max(1));
        // Opened anew, so that no more of the file is mapped than one row group.
        let file = fs_err::File::open(&self.path)?.into_parts().0;
        let mut reader = ParquetReader::new(file)
            .with_slice(Some((self.at, length)))
            .read_parallel(ParallelStrategy::None);
        reader.set_metadata(self.metadata.clone());
        let frame = reader.finish()?;
        self.at += length;
        Ok(Some(frame))
    }
}
