//! Parquet, a row group at a time.
//!
//! The writer's settings are pinned here: same rows, same bytes. Whoever writes
//! says where a row group ends: each frame is one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::*;

use super::ROW_GROUP_ROWS;

/// Remembers why writing failed, which the Parquet writer only tells in words.
struct Remembering<W> {
    out: W,
    failure: Failure,
}

type Failure = Arc<Mutex<Option<io::Error>>>;

impl<W> Remembering<W> {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            told
        })
    }
}

impl<W: Write> Write for Remembering<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }
}

/// Writes one table.
pub struct TableWriter<W: Write> {
    writer: BatchedWriter<Remembering<W>>,
    failure: Failure,
    rows: u64,
    schema: Vec<(String, String)>,
}

impl<W: Write> TableWriter<W> {
    /// Begins a file with the columns of `empty`, a frame without rows.
    pub fn new(out: W, empty: &DataFrame) -> PolarsResult<TableWriter<W>> {
        let level = polars::polars_utils::compression::ZstdLevel::try_new(1)?;
        let failure = Failure::default();
        let out = Remembering { out, failure: Arc::clone(&failure) };
        let writer = ParquetWriter::new(out)
            .with_compression(ParquetCompression::Zstd(Some(level)))
            .with_statistics(StatisticsOptions::default())
            .with_row_group_size(Some(ROW_GROUP_ROWS))
            .with_data_page_size(Some(1 << 20))
            .set_parallel(false)
            .batched(empty.schema())?;
        let fields = empty.schema().iter();
        let schema = fields.map(|(name, dtype)| (name.to_string(), dtype.to_string())).collect();
        Ok(TableWriter { writer, failure, rows: 0, schema })
    }

    /// Writes the next row group.
    pub fn write(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        self.rows += frame.height() as u64;
        if frame.height() == 0 {
            return Ok(());
        }
        let written = self.writer.write_batch(frame);
        written.map_err(|error| self.reason(error))
    }

    /// Writes the footer; returns the number of rows and the columns with their types.
    pub fn finish(self) -> PolarsResult<(u64, Vec<(String, String)>)> {
        self.writer.finish().map_err(|error| self.reason(error))?;
        Ok((self.rows, self.schema))
    }

    /// The operating system's own error, if it was one.
    fn reason(&self, error: PolarsError) -> PolarsError {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(error, PolarsError::from)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_as_such_wherever_it_is_met() {
        let frame = DataFrame::new(2, vec![Column::new("a".into(), &[1i64, 2])]).unwrap();
        let mut failures = 0;
        for room in (4..2_000).step_by(7) {
            let mut table = TableWriter::new(Full(room), &frame.slice(0, 0)).unwrap();
            let Err(error) = table.write(&frame).and_then(|()| table.finish()) else { break };
            let PolarsError::IO { error, .. } = error else { panic!("{error:?}") };
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            failures += 1;
        }
        assert!(failures > 10);
    }
}
