//! The memory of a row group that was encoded, for the next one.
//!
//! Columns of a hundred thousand rows grown anew for each row group cost a tenth of all time: the
//! system clears every page of them. Knows nothing of what a column is; one that is not there is made.

use super::group::{Cells, Group};
use super::texts::{NumberedTexts, TextRuns};

/// Empty columns with room, by kind.
#[derive(Debug, Default)]
pub(super) struct Spare {
    integers: Vec<Vec<i64>>,
    whole: Vec<Vec<u64>>,
    numbers: Vec<Vec<f64>>,
    flags: Vec<Vec<bool>>,
    places: Vec<Vec<u8>>,
    runs: Vec<TextRuns>,
    texts: Vec<NumberedTexts>,
}

impl Group {
    /// What its columns were kept in.
    pub(super) fn into_spare(self) -> Spare {
        let mut spare = Spare::default();
        for (_, cells) in self.columns {
            match cells {
                Cells::Instants(values) | Cells::Integers(values) | Cells::Numbering(values) => {
                    spare.integers.push(values);
                }
                Cells::Shifted(values) | Cells::Cents(values) => spare.whole.push(values),
                Cells::Numbers(values) => spare.numbers.push(values),
                Cells::Listed(_, places) => spare.places.push(places),
                Cells::Flags(flags) => spare.flags.push(flags),
                Cells::TextRuns(runs) => spare.runs.push(runs),
                Cells::Texts(column) => spare.texts.push(column),
                Cells::SameInstant(_) => {}
            }
        }
        spare
    }
}

fn emptied<T>(spare: &mut Vec<Vec<T>>) -> Vec<T> {
    let mut values = spare.pop().unwrap_or_default();
    values.clear();
    values
}

impl Spare {
    pub fn integers(&mut self) -> Vec<i64> {
        emptied(&mut self.integers)
    }

    pub fn whole(&mut self) -> Vec<u64> {
        emptied(&mut self.whole)
    }

    pub fn numbers(&mut self) -> Vec<f64> {
        emptied(&mut self.numbers)
    }

    pub fn flags(&mut self) -> Vec<bool> {
        emptied(&mut self.flags)
    }

    pub fn places(&mut self) -> Vec<u8> {
        emptied(&mut self.places)
    }

    pub fn runs(&mut self) -> TextRuns {
        let mut runs = self.runs.pop().unwrap_or_default();
        runs.clear();
        runs
    }

    pub fn texts(&mut self) -> NumberedTexts {
        self.texts.pop().unwrap_or_default()
    }
}
