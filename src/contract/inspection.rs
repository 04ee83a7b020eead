//! Holding a contract against a table, frame by frame, and telling all that is wrong.

use std::fmt;

use polars::prelude::*;
use serde::Serialize;

use super::{ColumnRule, Contract};

/// Examples kept of each failure.
const EXAMPLES: usize = 5;
/// What is expected of neighbouring rows.
const NO_REPEATS: &str = "no two equal rows";

/// One way in which a table breaks its contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// The column, or the columns, concerned.
    pub column: String,
    /// What they should have been.
    pub expected: String,
    /// How many rows are not; 1 where the table itself is wrong.
    pub rows: u64,
    /// Up to five of them: row of the table, and the value unless it must not be shown.
    pub examples: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: expected {}, broken {} times", self.column, self.expected, self.rows)?;
        if !self.examples.is_empty() {
            write!(f, " ({})", self.examples.join(", "))?;
        }
        Ok(())
    }
}

/// A failure whose rows are still numbers, so that they can be counted on from other rows.
#[derive(Debug)]
struct Found {
    column: String,
    expected: String,
    rows: u64,
    examples: Vec<Example>,
}

#[derive(Debug)]
enum Example {
    /// This row, and its value if that may be shown.
    Row(u64, Option<String>),
    /// About this row.
    Near(u64),
    /// What the table as a whole looks like.
    Table(String),
}

impl Example {
    fn after(self, rows: u64) -> Example {
        match self {
            Example::Row(row, value) => Example::Row(row + rows, value),
            Example::Near(row) => Example::Near(row + rows),
            Example::Table(text) => Example::Table(text),
        }
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Example::Row(row, None) => write!(f, "row {row}"),
            Example::Row(row, Some(value)) => write!(f, "row {row}: {value}"),
            Example::Near(row) => write!(f, "near row {row}"),
            Example::Table(text) => f.write_str(text),
        }
    }
}

/// The columns that make a row unique, of the first and the last row that is not exempt.
#[derive(Debug)]
struct Ends {
    first: DataFrame,
    last: DataFrame,
}

/// A table under inspection, or some rows of one: what one thread finds can be joined to what
/// another finds of the rows before.
#[derive(Debug)]
pub struct Inspection {
    contract: Contract,
    rows: u64,
    ends: Option<Ends>,
    found: Vec<Found>,
}

impl Inspection {
    /// Begins with no frame seen.
    pub fn new(contract: Contract) -> Inspection {
        Inspection { contract, rows: 0, ends: None, found: Vec::new() }
    }

    /// Looks at the next frame of the table.
    pub fn add(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        let names: Vec<&str> =
            frame.columns().iter().map(|column| column.name().as_str()).collect();
        let list = || Example::Table(format!("found {}", names.join(", ")));
        let expected: Vec<&str> = self.contract.columns.iter().map(|rule| rule.name).collect();
        if self.contract.strict && names != expected && names.len() >= expected.len() {
            self.fail("columns", &format!("exactly {}", expected.join(", ")), 1, |_| vec![list()]);
        }
        let contract = self.contract.clone();
        for rule in &contract.columns {
            match frame.column(rule.name) {
                Ok(column) => self.add_column(rule, column)?,
                Err(_) => self.fail(rule.name, "a column of this name", 1, |_| vec![list()]),
            }
        }
        self.add_unique(frame)?;
        self.rows += frame.height() as u64;
        Ok(())
    }

    /// Takes note of rows that surely keep the contract, among themselves too. `ends` are the
    /// first and the last of those that must not be repeated, a frame of one row each.
    pub fn pass(&mut self, rows: u64, ends: Option<(DataFrame, DataFrame)>) -> PolarsResult<()> {
        if let Some((first, last)) = ends
            && let Some(key) = self.contract.unique.clone()
        {
            let (first, last) = (first.select(key.clone())?, last.select(key)?);
            self.join(Ends { first, last })?;
        }
        self.rows += rows;
        Ok(())
    }

    /// Adds what was found of the rows that follow.
    pub fn followed_by(&mut self, later: Inspection) -> PolarsResult<()> {
        if let Some(ends) = later.ends {
            self.join(ends)?;
        }
        let before = self.rows;
        for found in later.found {
            let examples = found.examples.into_iter().map(|example| example.after(before));
            self.fail(&found.column, &found.expected, found.rows, |_| examples.collect());
        }
        self.rows += later.rows;
        Ok(())
    }

    /// Everything found, in the order of the columns.
    pub fn finish(self) -> Vec<Failure> {
        let tell = |found: Found| Failure {
            column: found.column,
            expected: found.expected,
            rows: found.rows,
            examples: found.examples.iter().map(Example::to_string).collect(),
        };
        self.found.into_iter().map(tell).collect()
    }

    fn add_column(&mut self, rule: &ColumnRule, column: &Column) -> PolarsResult<()> {
        if *column.dtype() != rule.dtype {
            let found = column.dtype().to_string();
            self.fail(rule.name, &format!("type {}", rule.dtype), 1, |_| {
                vec![Example::Table(format!("found {found}"))]
            });
            return Ok(());
        }
        let first = self.rows;
        if !rule.nullable && column.null_count() > 0 {
            let nulls = column.is_null();
            self.fail(rule.name, "no null", column.null_count() as u64, |keep| {
                let rows = nulls.iter().enumerate().filter(|(_, null)| *null == Some(true));
                rows.take(keep).map(|(row, _)| Example::Row(first + row as u64, None)).collect()
            });
        }
        for check in &rule.checks {
            let broken = check.broken(column, EXAMPLES)?;
            if broken.rows > 0 {
                self.fail(rule.name, &check.to_string(), broken.rows, |keep| {
                    let examples = broken.examples.into_iter().take(keep);
                    let show = |(row, value)| {
                        Example::Row(first + row as u64, rule.shown.then_some(value))
                    };
                    examples.map(show).collect()
                });
            }
        }
        Ok(())
    }

    fn add_unique(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        let Some(key) = self.contract.unique.clone() else { return Ok(()) };
        let except = self.contract.unique_except;
        let mut wanted = key.iter().chain(except.as_slice());
        if wanted.any(|name| frame.column(name).is_err()) {
            return Ok(());
        }
        let kept = match except {
            Some(except) => {
                let exempt = frame.column(except)?.bool()?;
                let kept: BooleanChunked = exempt.iter().map(|flag| flag != Some(true)).collect();
                frame.select(key.clone())?.filter(&kept)?
            }
            None => frame.select(key.clone())?,
        };
        if kept.height() == 0 {
            return Ok(());
        }
        let last = kept.slice(kept.height() as i64 - 1, 1);
        self.join(Ends { first: kept.slice(0, 1), last })?;
        let equal = repeats(&kept, &key)?;
        let repeated = equal.sum().unwrap_or(0);
        if repeated > 0 {
            let first = self.rows;
            self.fail(&key.join(", "), NO_REPEATS, repeated.into(), |keep| {
                let rows = equal.iter().enumerate().filter(|(_, same)| *same == Some(true));
                let near = |(row, _): (usize, _)| Example::Near(first + row as u64 + 1);
                rows.take(keep).map(near).collect()
            });
        }
        Ok(())
    }

    /// Looks at the place where rows meet those before them.
    fn join(&mut self, next: Ends) -> PolarsResult<()> {
        let Some(before) = self.ends.take() else {
            self.ends = Some(next);
            return Ok(());
        };
        let both = before.last.vstack(&next.first)?;
        let key = self.contract.unique.clone().unwrap_or_default();
        if repeats(&both, &key)?.any() {
            let near = self.rows;
            self.fail(&key.join(", "), NO_REPEATS, 1, |_| vec![Example::Near(near)]);
        }
        self.ends = Some(Ends { first: before.first, last: next.last });
        Ok(())
    }

    /// Adds to the failure of the same column and expectation, or begins one.
    fn fail(
        &mut self,
        column: &str,
        expected: &str,
        rows: u64,
        examples: impl FnOnce(usize) -> Vec<Example>,
    ) {
        let same = |found: &&mut Found| found.column == column && found.expected == expected;
        if let Some(known) = self.found.iter_mut().find(same) {
            known.rows += rows;
            let room = EXAMPLES.saturating_sub(known.examples.len());
            known.examples.extend(examples(room).into_iter().take(room));
        } else {
            self.found.push(Found {
                column: column.to_owned(),
                expected: expected.to_owned(),
                rows,
                examples: examples(EXAMPLES),
            });
        }
    }
}

/// For each row but the first, whether it repeats the one before.
fn repeats(frame: &DataFrame, key: &[&'static str]) -> PolarsResult<BooleanChunked> {
    let pairs = frame.height().saturating_sub(1);
    let mut equal = BooleanChunked::full(PlSmallStr::EMPTY, true, pairs);
    for name in key {
        let column = frame.column(name)?.as_materialized_series().rechunk();
        let next = column.slice(1, pairs).equal_missing(&column.slice(0, pairs))?;
        equal = equal & next;
    }
    Ok(equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Check;

    fn contract(strict: bool) -> Contract {
        Contract {
            name: "numbers",
            strict,
            columns: vec![
                ColumnRule {
                    name: "id",
                    dtype: DataType::String,
                    nullable: false,
                    shown: false,
                    checks: vec![Check::Identifier { max_chars: 3 }],
                },
                ColumnRule {
                    name: "count",
                    dtype: DataType::Int64,
                    nullable: false,
                    shown: true,
                    checks: vec![Check::IntegerBetween { min: 0, max: 9 }],
                },
            ],
            unique: Some(vec!["id", "count"]),
            unique_except: None,
        }
    }

    fn frame(ids: &[&str], counts: &[Option<i64>]) -> DataFrame {
        let ids = Column::new("id".into(), ids);
        let counts = Column::new("count".into(), counts);
        DataFrame::new(ids.len(), vec![ids, counts]).unwrap()
    }

    #[test]
    fn a_good_table_passes_in_any_number_of_frames() {
        let mut inspection = Inspection::new(contract(true));
        inspection.add(&frame(&["a", "b"], &[Some(1), Some(1)])).unwrap();
        inspection.add(&frame(&["b"], &[Some(2)])).unwrap();
        inspection.add(&frame(&[], &[])).unwrap();
        assert_eq!(inspection.finish(), []);
    }

    #[test]
    fn all_failures_come_together_with_counts_and_examples() {
        let mut inspection = Inspection::new(contract(true));
        inspection.add(&frame(&["a", " b"], &[Some(-1), None])).unwrap();
        let many: Vec<Option<i64>> = (10..20).map(Some).collect();
        inspection.add(&frame(&["abcd"; 10], &many)).unwrap();
        let failures = inspection.finish();
        let lines: Vec<String> = failures.iter().map(Failure::to_string).collect();
        assert_eq!(
            lines,
            [
                "`id`: expected trimmed text of 1 to 3 characters, broken 11 times \
                 (row 1, row 2, row 3, row 4, row 5)",
                "`count`: expected no null, broken 1 times (row 1)",
                "`count`: expected from 0 to 9, broken 11 times \
                 (row 0: -1, row 2: 10, row 3: 11, row 4: 12, row 5: 13)",
            ]
        );
    }

    #[test]
    fn equal_neighbours_are_found_across_frames() {
        let mut inspection = Inspection::new(contract(true));
        inspection.add(&frame(&["a", "b"], &[Some(1), Some(2)])).unwrap();
        inspection.add(&frame(&["b", "c"], &[Some(2), Some(2)])).unwrap();
        let failures = inspection.finish();
        assert_eq!(failures.len(), 1);
        assert_eq!((failures[0].rows, &*failures[0].examples[0]), (1, "near row 2"));
    }

    #[test]
    fn rows_looked_at_apart_are_told_as_rows_of_one_table() {
        let frames = [
            frame(&["a", "b"], &[Some(1), None]),
            frame(&["b", "b "], &[None, Some(12)]),
            frame(&["b ", "abcd", "b"], &[Some(12), Some(-1), Some(1)]),
            frame(&["b"], &[Some(1)]),
        ];
        let mut whole = Inspection::new(contract(true));
        let mut joined = Inspection::new(contract(true));
        for frame in &frames[..3] {
            whole.add(frame).unwrap();
            let mut apart = Inspection::new(contract(true));
            apart.add(frame).unwrap();
            joined.followed_by(apart).unwrap();
        }
        whole.add(&frames[3]).unwrap();
        let mut apart = Inspection::new(contract(true));
        apart.pass(1, Some((frames[3].clone(), frames[3].clone()))).unwrap();
        joined.followed_by(apart).unwrap();
        let [whole, joined] = [whole, joined].map(|inspection| {
            let mut failures = inspection.finish();
            failures.sort_by(|one, other| one.expected.cmp(&other.expected));
            failures
        });
        assert_eq!(whole, joined);
        let repeated = whole.iter().find(|failure| failure.column == "id, count").unwrap();
        assert_eq!(repeated.examples, ["near row 2", "near row 4", "near row 7"]);
    }

    #[test]
    fn a_strict_contract_wants_no_other_column_and_a_tolerant_one_does_not_care() {
        let mut wide = frame(&["a"], &[Some(1)]);
        wide.with_column(Column::new("more".into(), &[1i64])).unwrap();
        for (strict, expected) in [(true, 1), (false, 0)] {
            let mut inspection = Inspection::new(contract(strict));
            inspection.add(&wide).unwrap();
            assert_eq!(inspection.finish().len(), expected);
        }
    }

    #[test]
    fn a_missing_column_and_a_wrong_type_are_named() {
        let mut inspection = Inspection::new(contract(true));
        let ids = Column::new("id".into(), &[1i64]);
        inspection.add(&DataFrame::new(1, vec![ids]).unwrap()).unwrap();
        let failures = inspection.finish();
        assert_eq!(failures[0].expected, "type str");
        assert_eq!(failures[1].column, "count");
    }
}
