//! Where two files of the same name first differ, in words: rows of tables, lines of text.
//!
//! Does not know which of the two is right.

use std::io::{BufRead, BufReader};
use std::path::Path;

use polars::prelude::PolarsError;

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::frame::{ParquetRows, row_texts};

/// So many rows are compared at a time.
const ROWS: usize = 1 << 13;

/// The first difference; `None` where there is none that anybody could see.
pub(super) fn first_difference(before: &Path, now: &Path) -> Result<Option<String>, Error> {
    if before.extension().is_some_and(|extension| extension == "parquet") {
        let failed = |error: PolarsError| {
            Error::new(ExitCode::Failure, format!("cannot compare `{}`: {error}", before.display()))
        };
        return rows(before, now).map(Some).map_err(failed);
    }
    let failed = |error: std::io::Error| {
        Error::new(ExitCode::Failure, format!("cannot compare `{}`: {error}", before.display()))
    };
    lines(before, now).map_err(failed)
}

fn rows(before: &Path, now: &Path) -> Result<String, PolarsError> {
    let (mut before, mut now) = (ParquetRows::open(before)?, ParquetRows::open(now)?);
    if before.rows() != now.rows() {
        return Ok(format!("it had {} rows and has {} now", before.rows(), now.rows()));
    }
    let mut at = 0;
    while let (Some(old), Some(new)) = (before.next_rows(ROWS)?, now.next_rows(ROWS)?) {
        if old.schema() != new.schema() {
            return Ok("its columns are others now".to_owned());
        }
        for index in 0..old.height() {
            let (was, is) = (row_texts(&old, index)?, row_texts(&new, index)?);
            let differs = was.iter().zip(&is).position(|(was, is)| was != is);
            if let Some(column) = differs {
                let name = old.columns().get(column).map(|it| it.name().to_string());
                let (row, name) = (at + index, name.unwrap_or_default());
                let (was, is) = (&was[column], &is[column]);
                return Ok(format!("row {row}, column `{name}`: it was {was} and is {is} now"));
            }
        }
        at += old.height();
    }
    Ok("every row is the same: only the way they are written differs".to_owned())
}

/// Lines may hold what nobody should read here, so only their number is told.
fn lines(before: &Path, now: &Path) -> std::io::Result<Option<String>> {
    let open = |path| fs_err::File::open(path).map(BufReader::new);
    let (mut before, mut now) = (open(before)?, open(now)?);
    let (mut was, mut is) = (Vec::new(), Vec::new());
    for line in 1_u64.. {
        was.clear();
        is.clear();
        before.read_until(b'\n', &mut was)?;
        now.read_until(b'\n', &mut is)?;
        if was != is {
            return Ok(Some(format!("line {line} is the first that differs")));
        }
        if was.is_empty() {
            break;
        }
    }
    Ok(None)
}
