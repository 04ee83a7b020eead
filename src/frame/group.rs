//! A row group in memory: columns as they were gathered, not yet a frame and not yet bytes.
//!
//! What is known of a column - that its values are few, or stand in runs - is kept, so that
//! neither the contract nor the encoder has to find it out again.

use polars::prelude::*;

use super::amount_of_cents;
use super::texts::{NumberedTexts, TextRuns};
use crate::contract::{Contract, Inspection, Values};

/// Rows turned into a frame at a time, where a contract is broken.
const FRAME_ROWS: usize = 1 << 14;

/// Columns of one row group.
#[derive(Debug, Clone)]
pub struct Group {
    pub(super) rows: usize,
    pub(super) columns: Vec<(&'static str, Cells)>,
}

/// The values of a column, by what is known of them.
#[derive(Debug, Clone)]
pub(super) enum Cells {
    /// Instants in microseconds.
    Instants(Vec<i64>),
    /// The same instant in every row.
    SameInstant(i64),
    /// Integers that are likely to repeat.
    Integers(Vec<i64>),
    /// Integers that hardly ever repeat.
    Numbering(Vec<i64>),
    /// One more than the integer; 0 is null.
    Shifted(Vec<u64>),
    /// Numbers.
    Numbers(Vec<f64>),
    /// Numbers that are so many hundredths.
    Cents(Vec<u64>),
    /// Numbers by their place in a list.
    Listed(&'static [f64], Vec<u8>),
    /// True or false.
    Flags(Vec<bool>),
    /// Text whose equal values are neighbours.
    TextRuns(TextRuns),
    /// Text of which there are few.
    Texts(NumberedTexts),
}

/// The integer of a shifted one.
#[inline]
pub(super) fn unshifted(shifted: u64) -> Option<i64> {
    shifted.checked_sub(1).map(|value| value as i64)
}

impl Cells {
    /// The values of some rows as a column of a frame.
    fn column(&self, name: &'static str, start: usize, rows: usize) -> Column {
        let range = start..start + rows;
        let name = PlSmallStr::from_static(name);
        match self {
            Cells::Instants(values) => instants(name, values[range].to_vec()),
            Cells::SameInstant(value) => instants(name, vec![*value; rows]),
            Cells::Integers(values) | Cells::Numbering(values) => Column::new(name, &values[range]),
            Cells::Shifted(values) => {
                let values = values[range].iter().map(|&value| unshifted(value));
                Int64Chunked::from_iter_options(name, values).into_series().into()
            }
            Cells::Numbers(values) => Column::new(name, &values[range]),
            Cells::Cents(values) => {
                let values = values[range].iter().map(|&cents| amount_of_cents(cents.into()));
                Column::new(name, values.collect::<Vec<f64>>())
            }
            Cells::Listed(list, places) => {
                let values: Vec<f64> =
                    places[range].iter().map(|&place| list[usize::from(place)]).collect();
                Column::new(name, values)
            }
            Cells::Flags(values) => Column::new(name, &values[range]),
            Cells::TextRuns(runs) => {
                let texts = range.map(|row| runs.texts.text(runs.code(row)));
                StringChunked::from_iter_values(name, texts).into_series().into()
            }
            Cells::Texts(column) => {
                let texts =
                    column.codes[range].iter().map(|&code| column.texts.text(code as usize));
                StringChunked::from_iter_values(name, texts).into_series().into()
            }
        }
    }

    /// Whether values of the column surely keep the contract.
    fn keeps(&self, name: &str, contract: &Contract) -> bool {
        match self {
            Cells::Instants(values) => contract.keeps(name, Values::Instants(values)),
            Cells::SameInstant(value) => contract.keeps(name, Values::Instants(&[*value])),
            Cells::Integers(values) | Cells::Numbering(values) => {
                contract.keeps(name, Values::Integers(values))
            }
            Cells::Shifted(values) => {
                let given = || values.iter().filter(|&&value| value > 0);
                let ends = given().min().zip(given().max());
                let ends = ends.map(|(&min, &max)| [(min - 1) as i64, (max - 1) as i64]);
                let ends = ends.as_ref().map_or(&[][..], |ends| &ends[..]);
                let nulls = values.contains(&0);
                let kept = contract.keeps(name, Values::Integers(ends));
                kept && (!nulls || contract.keeps(name, Values::Null))
            }
            Cells::Numbers(values) => contract.keeps(name, Values::Numbers(values)),
            Cells::Cents(values) => {
                let ends = values.iter().min().zip(values.iter().max());
                let ends =
                    ends.map(|(&min, &max)| [min, max].map(|cents| amount_of_cents(cents.into())));
                let ends = ends.as_ref().map_or(&[][..], |ends| &ends[..]);
                contract.keeps(name, Values::Numbers(ends))
            }
            Cells::Listed(list, _) => contract.keeps(name, Values::Numbers(list)),
            Cells::Flags(_) => contract.keeps(name, Values::Flags),
            Cells::TextRuns(runs) => contract.keeps_texts(name, runs.texts.iter()),
            Cells::Texts(column) => contract.keeps_texts(name, column.texts.iter()),
        }
    }

    /// Whether two rows have the same value.
    #[inline]
    fn same(&self, one: usize, other: usize) -> bool {
        match self {
            Cells::Instants(values) | Cells::Integers(values) | Cells::Numbering(values) => {
                values[one] == values[other]
            }
            Cells::SameInstant(_) => true,
            Cells::Shifted(values) | Cells::Cents(values) => values[one] == values[other],
            Cells::Numbers(values) => values[one] == values[other],
            Cells::Listed(list, places) => {
                list[usize::from(places[one])] == list[usize::from(places[other])]
            }
            Cells::Flags(values) => values[one] == values[other],
            Cells::TextRuns(runs) => runs.code(one) == runs.code(other),
            Cells::Texts(column) => {
                let text = |row: usize| column.texts.get(column.codes[row] as usize);
                column.codes[one] == column.codes[other] || text(one) == text(other)
            }
        }
    }
}

fn instants(name: PlSmallStr, micros: Vec<i64>) -> Column {
    Int64Chunked::from_vec(name, micros)
        .into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
        .into_series()
        .into()
}

impl Group {
    /// Some of its rows as a frame.
    pub fn frame(&self, start: usize, rows: usize) -> PolarsResult<DataFrame> {
        let columns = self.columns.iter().map(|(name, cells)| cells.column(name, start, rows));
        DataFrame::new(rows, columns.collect())
    }

    /// Holds a contract against it, as if no row came before.
    pub fn inspect(&self, contract: &Contract) -> PolarsResult<Inspection> {
        let mut inspection = Inspection::new(contract.clone());
        if let Some(ends) = self.surely_keeps(contract) {
            let ends = match (&contract.unique, ends) {
                (Some(_), Some((first, last))) => {
                    Some((self.frame(first, 1)?, self.frame(last, 1)?))
                }
                _ => None,
            };
            inspection.pass(self.rows as u64, ends)?;
            return Ok(inspection);
        }
        for start in (0..self.rows).step_by(FRAME_ROWS) {
            inspection.add(&self.frame(start, FRAME_ROWS.min(self.rows - start))?)?;
        }
        Ok(inspection)
    }

    /// Whether it keeps the contract beyond doubt; then also the first and the last row that
    /// must not be repeated.
    #[expect(clippy::option_option, reason = "no answer, and the answer that there is no such row")]
    fn surely_keeps(&self, contract: &Contract) -> Option<Option<(usize, usize)>> {
        let names = self.columns.iter().map(|(name, _)| *name);
        let kept = names.eq(contract.columns.iter().map(|rule| rule.name))
            && self.columns.iter().all(|(name, cells)| cells.keeps(name, contract));
        if !kept {
            return None;
        }
        let Some(unique) = &contract.unique else { return Some(None) };
        let exempt = contract.unique_except.and_then(|name| self.cells(name));
        let rows: Option<Vec<u32>> = match exempt {
            Some(Cells::Flags(flags)) if flags.contains(&true) => {
                let rows = flags.iter().enumerate().filter(|(_, flag)| !**flag);
                Some(rows.map(|(row, _)| row as u32).collect())
            }
            _ => None,
        };
        let count = rows.as_ref().map_or(self.rows, Vec::len);
        let row = |place: usize| rows.as_ref().map_or(place, |rows| rows[place] as usize);
        // Those whose values so far are those of the row before; what differs most comes last
        // in a key, and is looked at first.
        let mut like: Option<Vec<u32>> = None;
        for name in unique.iter().rev() {
            let cells = self.cells(name)?;
            let repeats = |place: &u32| cells.same(row(*place as usize - 1), row(*place as usize));
            match &mut like {
                Some(like) => like.retain(repeats),
                None => like = Some((1..count as u32).filter(repeats).collect()),
            }
        }
        if like.is_some_and(|like| !like.is_empty()) {
            return None;
        }
        Some((count > 0).then(|| (row(0), row(count - 1))))
    }

    fn cells(&self, name: &str) -> Option<&Cells> {
        self.columns.iter().find(|(known, _)| *known == name).map(|(_, cells)| cells)
    }
}
