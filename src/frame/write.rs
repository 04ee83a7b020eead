//! Encoded row groups into a Parquet file.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::*;
use polars_parquet::write::{
    CompressionOptions, DynIter, DynStreamingIterator, FileWriter, StatisticsOptions, Version,
    WriteOptions, fallible_streaming_iterator,
};

use super::encode::{EncodedGroup, GroupEncoder};

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
    writer: FileWriter<Remembering<W>>,
    failure: Failure,
    rows: u64,
    schema: Vec<(String, String)>,
}

impl<W: Write> TableWriter<W> {
    /// Begins a file of what `encoder` encodes.
    pub fn new(out: W, encoder: &GroupEncoder) -> TableWriter<W> {
        let failure = Failure::default();
        let out = Remembering { out, failure: Arc::clone(&failure) };
        // Only what the footer says of the file as a whole; pages come as they are.
        let options = WriteOptions {
            statistics: StatisticsOptions::default(),
            version: Version::V1,
            compression: CompressionOptions::Zstd(None),
            data_page_size: None,
        };
        let (arrow, parquet) = (encoder.arrow.clone(), encoder.parquet.clone());
        let writer = FileWriter::new_with_parquet_schema(out, arrow, parquet, options);
        let fields = encoder.schema.iter();
        let schema = fields.map(|(name, dtype)| (name.to_string(), dtype.to_string())).collect();
        TableWriter { writer, failure, rows: 0, schema }
    }

    /// Writes the next row group.
    pub fn write(&mut self, group: &EncodedGroup) -> PolarsResult<()> {
        self.rows += group.rows as u64;
        if group.rows == 0 {
            return Ok(());
        }
        let columns = group.columns.iter().map(|pages| {
            let pages = pages.iter().map(PolarsResult::Ok);
            Ok(DynStreamingIterator::new(fallible_streaming_iterator::convert(pages)))
        });
        let written = self.writer.write(group.rows as u64, DynIter::new(columns));
        written.map_err(|error| self.reason(error))
    }

    /// Writes the footer; returns the number of rows and the columns with their types.
    pub fn finish(mut self) -> PolarsResult<(u64, Vec<(String, String)>)> {
        self.writer.end(None).map_err(|error| self.reason(error))?;
        Ok((self.rows, self.schema))
    }

    /// The operating system's own error, if it was one.
    fn reason(&self, error: PolarsError) -> PolarsError {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(error, PolarsError::from)
    }
}
