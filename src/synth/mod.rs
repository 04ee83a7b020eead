//! A seeded generator of raw files: prints, taps and payments as a carousel would log them.
//!
//! Sessions show a user three or four value propositions, taps follow prints, few users do most of
//! everything, days come in order. The same options give the same bytes on every machine. Memory
//! does not grow with the number of rows or users. Does not know how rows are read: which rules
//! its bad rows break is written beside each of them, and a test holds both together.

mod calendar;
mod digits;
mod dirt;
mod event;
mod output;
mod payment;
mod people;
mod props;
mod rng;
mod rows;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::Serialize;

use crate::exit_code::ExitCode;
use calendar::Calendar;

/// More users than any table of ids could hold.
const MOST_USERS: u64 = 1_000_000_000;
/// The last day, if none is given.
const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2020, 11, 30).expect("a day of the calendar");
const MOST_ROWS: u64 = 100_000_000_000;

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthOptions {
    /// The folder for the three files; made if missing.
    pub out: PathBuf,
    /// Lines of `prints.json`.
    pub prints: u64,
    /// Lines of `taps.json`, at most half the prints; a tenth of the prints if not given.
    pub taps: Option<u64>,
    /// Records of `pays.csv`; one and a half for each print if not given.
    pub payments: Option<u64>,
    /// How many users there are (not all of them need occur); a fifth of the prints if not given.
    pub users: Option<u64>,
    /// How many days the rows are spread over.
    pub days: u32,
    /// The last of these days.
    pub end: NaiveDate,
    /// Another seed, other data.
    pub seed: u64,
    /// The share of rows that a row rule rejects, 0 to 0.3. As many again have a soft issue, and as
    /// many prints and taps stand there twice.
    pub dirty: f64,
    /// Whether files of the same names may be replaced.
    pub force: bool,
}

impl SynthOptions {
    /// The usual month, November 2020, with `prints` prints.
    pub fn new(out: PathBuf, prints: u64) -> SynthOptions {
        SynthOptions {
            out,
            prints,
            taps: None,
            payments: None,
            users: None,
            days: 30,
            end: LAST_DAY,
            seed: 42,
            dirty: 0.002,
            force: false,
        }
    }
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SynthSummary {
    /// The seed that was used.
    pub seed: u64,
    /// How many users there are.
    pub users: u64,
    /// The first and the last day, `2020-11-01`.
    pub first_day: String,
    /// The last day.
    pub last_day: String,
    /// Prints, taps and payments, by the name of the source.
    pub files: BTreeMap<&'static str, FileSummary>,
}

/// One file that was generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSummary {
    /// Its name in the folder.
    pub file: String,
    /// Rows, whatever their state; a header is none.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Rows that a row rule rejects.
    pub bad: u64,
    /// Rows with a soft issue.
    pub soft: u64,
    /// Rows that repeat the one before.
    pub duplicates: u64,
    /// How often each code is broken, for the usual bounds.
    pub codes: BTreeMap<String, u64>,
}

/// Nothing was generated; no file has changed.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// An option is out of range.
    #[error("`{option}` is {given}, but must be {expected}")]
    Option {
        /// Its name on the command line.
        option: &'static str,
        /// What was given.
        given: String,
        /// What would do.
        expected: String,
    },
    /// A file is there already.
    #[error("`{path}` exists already (`--force` replaces it)")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file or the folder cannot be written.
    #[error("cannot write `{path}`: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SynthError {
    fn write(path: &Path, source: io::Error) -> SynthError {
        SynthError::Write { path: path.to_owned(), source }
    }

    fn option(name: &'static str, given: impl ToString, expected: impl ToString) -> SynthError {
        let (given, expected) = (given.to_string(), expected.to_string());
        SynthError::Option { option: name, given, expected }
    }

    /// How a command ends with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            SynthError::Option { .. } | SynthError::Exists { .. } => ExitCode::Usage,
            SynthError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                ExitCode::Temporary
            }
            SynthError::Write { .. } => ExitCode::Failure,
        }
    }
}

/// The options with every default filled in, checked.
struct Plan {
    prints: u64,
    taps: u64,
    payments: u64,
    users: u64,
    calendar: Calendar,
}

fn check(options: &SynthOptions) -> Result<Plan, SynthError> {
    let prints = options.prints;
    if prints > MOST_ROWS {
        return Err(SynthError::option("--prints", prints, format!("at most {MOST_ROWS}")));
    }
    let taps = options.taps.unwrap_or(prints / 10);
    if taps > prints / 2 {
        return Err(SynthError::option("--taps", taps, "at most half the prints"));
    }
    let payments = options.payments.unwrap_or(prints + prints / 2);
    if payments > MOST_ROWS {
        return Err(SynthError::option("--payments", payments, format!("at most {MOST_ROWS}")));
    }
    let users = options.users.unwrap_or((prints / 5).clamp(1, MOST_USERS));
    if users == 0 || users > MOST_USERS {
        return Err(SynthError::option("--users", users, format!("1 to {MOST_USERS}")));
    }
    if !(0.0..=dirt::MOST).contains(&options.dirty) {
        return Err(SynthError::option("--dirty", options.dirty, format!("0 to {}", dirt::MOST)));
    }
    let calendar = Calendar::ending(options.end, options.days).ok_or_else(|| {
        let expected = format!("1 or more, back to 1970 at most from {}", options.end);
        SynthError::option("--days", options.days, expected)
    })?;
    Ok(Plan { prints, taps, payments, users, calendar })
}

/// Writes `prints.json`, `taps.json` and `pays.csv`.
///
/// The files appear when all of them are whole, and take no other file's place unless `force` says
/// so. `progress` is told now and then how many rows of how many are written.
pub fn generate(
    options: &SynthOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SynthSummary, SynthError> {
    let plan = check(options)?;
    let out = &options.out;
    fs_err::create_dir_all(out).map_err(|source| SynthError::write(out, source))?;
    for name in [rows::PRINTS_FILE, rows::TAPS_FILE, rows::PAYMENTS_FILE] {
        let path = out.join(name);
        if !options.force && path.symlink_metadata().is_ok() {
            return Err(SynthError::Exists { path });
        }
    }
    let files = rows::write(options, &plan, progress)?;
    let day = |day: Option<&calendar::Day>| day.map(|day| day.text.clone()).unwrap_or_default();
    Ok(SynthSummary {
        seed: options.seed,
        users: plan.users,
        first_day: day(plan.calendar.days().first()),
        last_day: day(plan.calendar.days().last()),
        files,
    })
}
