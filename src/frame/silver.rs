//! The Silver tables, gathered from rows in user order, and the raw-canonical frame.

use polars::prelude::*;

use super::group::{Cells, Group};
use super::texts::{NumberedTextsBuilder, TextRuns};
use super::{ROW_GROUP_ROWS, ROW_GROUP_TEXT_BYTES};
use crate::contract::Measure;

/// Scores by the number of soft issues of a row.
static SCORES: [f64; 5] = [1.0, 0.75, 0.5, 0.25, 0.0];

/// Position or amount, by what the source carries.
enum Measures {
    Positions(Vec<u64>),
    Amounts(Vec<u64>),
}

impl Measures {
    fn new(measure: Measure) -> Measures {
        match measure {
            Measure::Position => Measures::Positions(Vec::new()),
            Measure::Amount => Measures::Amounts(Vec::new()),
        }
    }

    #[inline]
    fn push(&mut self, measure: u64) {
        let (Measures::Positions(values) | Measures::Amounts(values)) = self;
        values.push(measure);
    }

    fn take(&mut self) -> (&'static str, Cells) {
        match self {
            Measures::Positions(values) => ("position", Cells::Shifted(std::mem::take(values))),
            Measures::Amounts(values) => ("amount", Cells::Cents(std::mem::take(values))),
        }
    }
}

/// One event as Silver has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilverRow<'a> {
    /// Whose.
    pub user: &'a [u8],
    /// Whether the row before is of another user.
    pub first_of_user: bool,
    /// When, in microseconds.
    pub timestamp_us: i64,
    /// Which value prop, as a number of the caller.
    pub value_prop: u32,
    /// Position + 1, or 0 if there is none; or the amount in cents.
    pub measure: u64,
    /// Which file, as a number of the caller.
    pub file: u32,
    /// Where in the file.
    pub row_number: u64,
    /// Whether it repeats the row before.
    pub duplicate: bool,
    /// How many things were not quite right.
    pub soft_issues: u8,
}

/// Rows of a Silver table, gathered until they are a row group.
pub struct SilverFrame {
    processed_at_us: i64,
    timestamps: Vec<i64>,
    users: TextRuns,
    value_props: NumberedTextsBuilder,
    measures: Measures,
    files: NumberedTextsBuilder,
    row_numbers: Vec<i64>,
    duplicates: Vec<bool>,
    soft_issues: Vec<u8>,
}

impl SilverFrame {
    /// No row yet; every row will carry `processed_at_us`.
    pub fn new(measure: Measure, processed_at_us: i64) -> SilverFrame {
        SilverFrame {
            processed_at_us,
            timestamps: Vec::new(),
            users: TextRuns::default(),
            value_props: NumberedTextsBuilder::default(),
            measures: Measures::new(measure),
            files: NumberedTextsBuilder::default(),
            row_numbers: Vec::new(),
            duplicates: Vec::new(),
            soft_issues: Vec::new(),
        }
    }

    /// Whether the rows are a row group.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.timestamps.len() == ROW_GROUP_ROWS
            || self.users.texts.bytes() + self.value_props.bytes() >= ROW_GROUP_TEXT_BYTES
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Adds the next row in user order. The names of its value prop and of its file are asked
    /// for only if they are new; until the next [`SilverFrame::take`] a number must keep its name.
    #[inline]
    pub fn push<'n>(
        &mut self,
        row: &SilverRow<'_>,
        value_prop: impl FnOnce() -> &'n [u8],
        file: impl FnOnce() -> &'n str,
    ) {
        self.timestamps.push(row.timestamp_us);
        self.users.push_next(row.user, row.first_of_user);
        self.value_props.push(row.value_prop, value_prop);
        self.measures.push(row.measure);
        self.files.push(row.file, || file().as_bytes());
        self.row_numbers.push(row.row_number as i64);
        self.duplicates.push(row.duplicate);
        self.soft_issues.push(row.soft_issues.min(SCORES.len() as u8 - 1));
    }

    /// The rows so far; empty again.
    pub fn take(&mut self) -> Group {
        let rows = self.timestamps.len();
        let columns = vec![
            ("timestamp", Cells::Instants(std::mem::take(&mut self.timestamps))),
            ("user_id", Cells::TextRuns(std::mem::take(&mut self.users))),
            ("value_prop_id", Cells::Texts(self.value_props.take())),
            self.measures.take(),
            ("processed_at", Cells::SameInstant(self.processed_at_us)),
            ("source_file", Cells::Texts(self.files.take())),
            ("row_number", Cells::Numbering(std::mem::take(&mut self.row_numbers))),
            ("duplicate_flag", Cells::Flags(std::mem::take(&mut self.duplicates))),
            ("data_quality_score", Cells::Listed(&SCORES, std::mem::take(&mut self.soft_issues))),
        ];
        Group { rows, columns }
    }

    /// Takes the memory of a group that [`SilverFrame::take`] gave and nobody needs any more.
    pub fn reuse(&mut self, group: Group) {
        let mut spare = group.into_spare();
        self.timestamps = spare.integers();
        self.users = spare.runs();
        self.value_props.reuse(spare.texts());
        self.files.reuse(spare.texts());
        self.row_numbers = spare.integers();
        self.duplicates = spare.flags();
        self.soft_issues = spare.places();
        match &mut self.measures {
            Measures::Positions(values) | Measures::Amounts(values) => *values = spare.whole(),
        }
    }
}

/// Accepted rows before they are sorted, as a frame for the raw-canonical contract; made only
/// where a glance at them found something.
pub struct RawFrame {
    timestamps: Vec<i64>,
    users: Vec<String>,
    value_props: Vec<String>,
    measures: Measures,
}

impl RawFrame {
    /// No row yet.
    pub fn new(measure: Measure) -> RawFrame {
        RawFrame {
            timestamps: Vec::new(),
            users: Vec::new(),
            value_props: Vec::new(),
            measures: Measures::new(measure),
        }
    }

    /// Adds a row: user id, timestamp in microseconds, value prop, measure.
    pub fn push(&mut self, (user, timestamp_us, value_prop, measure): (&[u8], i64, &[u8], u64)) {
        self.timestamps.push(timestamp_us);
        self.users.push(String::from_utf8_lossy(user).into_owned());
        self.value_props.push(String::from_utf8_lossy(value_prop).into_owned());
        self.measures.push(measure);
    }

    /// The rows so far; empty again.
    pub fn take(&mut self) -> PolarsResult<DataFrame> {
        let rows = self.timestamps.len();
        let events = Group {
            rows,
            columns: vec![
                ("timestamp", Cells::Instants(std::mem::take(&mut self.timestamps))),
                self.measures.take(),
            ],
        };
        let mut frame = events.frame(0, rows)?;
        let users = Column::new("user_id".into(), std::mem::take(&mut self.users));
        let value_props =
            Column::new("value_prop_id".into(), std::mem::take(&mut self.value_props));
        frame.insert_column(1, users)?;
        frame.insert_column(2, value_props)?;
        Ok(frame)
    }
}
