//! The artifacts that can be looked at, by the names that users give them.

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::frame::{ParquetRows, row_texts};
use crate::record::Source;
use crate::store::{Layout, Place};
use crate::task::TaskError;

/// An artifact with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Artifact {
    /// The training dataset.
    Gold,
    /// A Silver table.
    Silver(Source),
    /// The rejected rows of a source.
    Rejects(Source),
}

impl FromStr for Artifact {
    type Err = String;

    fn from_str(name: &str) -> Result<Artifact, String> {
        let rejects = name.strip_prefix("rejects:").and_then(Source::from_name);
        match (name, Source::from_name(name), rejects) {
            ("gold", _, _) => Ok(Artifact::Gold),
            (_, Some(source), _) => Ok(Artifact::Silver(source)),
            (_, _, Some(source)) => Ok(Artifact::Rejects(source)),
            _ => {
                let plain = Source::ALL.map(|source| source.name().to_owned());
                let rejects = Source::ALL.map(|source| format!("rejects:{source}"));
                let known = [&["gold".to_owned()][..], &plain, &rejects].concat();
                Err(format!("there are {}", known.join(", ")))
            }
        }
    }
}

impl std::fmt::Display for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Artifact::Gold => f.write_str("gold"),
            Artifact::Silver(source) => write!(f, "{source}"),
            Artifact::Rejects(source) => write!(f, "rejects:{source}"),
        }
    }
}

impl Artifact {
    /// Where it is published.
    pub fn path(self, layout: &Layout) -> PathBuf {
        layout.path(&match self {
            Artifact::Gold => Place::gold(),
            Artifact::Silver(source) => Place::silver(source.name()),
            Artifact::Rejects(source) => Place::rejects(source.name()),
        })
    }

    /// Calls `header` with the names of the columns and `row` with the values of each row, as
    /// text, until `limit` rows are given.
    pub fn read(
        self,
        layout: &Layout,
        limit: u64,
        header: &mut dyn FnMut(&[String]) -> Result<(), Error>,
        row: &mut dyn FnMut(&[String]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = self.path(layout);
        if !path.is_file() {
            let text = format!("there is no `{}` yet", path.display());
            return Err(Error::with_hint(ExitCode::Input, text, "`mp run --all` makes it"));
        }
        match self {
            Artifact::Rejects(_) => read_csv(&path, limit, header, row),
            Artifact::Gold | Artifact::Silver(_) => read_parquet(&path, limit, header, row),
        }
    }
}

fn read_parquet(
    path: &std::path::Path,
    limit: u64,
    header: &mut dyn FnMut(&[String]) -> Result<(), Error>,
    row: &mut dyn FnMut(&[String]) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |error: polars::prelude::PolarsError| {
        let failure = TaskError::from(error).failure;
        Error::new(failure.exit, format!("cannot read `{}`: {failure}", path.display()))
    };
    let mut rows = ParquetRows::open(path).map_err(failed)?;
    let (mut given, mut first) = (0, true);
    loop {
        let wanted = usize::try_from(limit - given).unwrap_or(usize::MAX);
        let frame = rows.next_rows(wanted.min(crate::frame::ROW_GROUP_ROWS)).map_err(failed)?;
        let Some(frame) = frame else { return Ok(()) };
        if first {
            let columns = frame.columns().iter();
            let names: Vec<String> = columns.map(|column| column.name().to_string()).collect();
            header(&names)?;
            first = false;
        }
        for index in 0..frame.height() {
            if given == limit {
                return Ok(());
            }
            row(&row_texts(&frame, index).map_err(failed)?)?;
            given += 1;
        }
        if given == limit {
            return Ok(());
        }
    }
}

fn read_csv(
    path: &std::path::Path,
    limit: u64,
    header: &mut dyn FnMut(&[String]) -> Result<(), Error>,
    row: &mut dyn FnMut(&[String]) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(ExitCode::Failure, format!("cannot read `{}`: {error}", path.display()))
    };
    let file = fs_err::File::open(path).map_err(|error| failed(&error))?;
    let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
    let texts = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
    header(&texts(reader.headers().map_err(|error| failed(&error))?))?;
    for (given, record) in reader.records().enumerate() {
        if given as u64 >= limit {
            break;
        }
        row(&texts(&record.map_err(|error| failed(&error))?))?;
    }
    Ok(())
}
