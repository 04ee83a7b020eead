//! Holding a contract against a table, frame by frame, and telling all that is wrong.

use std::fmt;

use polars::prelude::*;
use serde::Serialize;

use super::{ColumnRule, Contract};

/// Examples kept of each failure.
const EXAMPLES: usize = 5;

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

/// A table under inspection.
#[derive(Debug)]
pub struct Inspection {
    contract: Contract,
    rows: u64,
    last: Option<DataFrame>,
    failures: Vec<Failure>,
}

impl Inspection {
    /// Begins with no frame seen.
    pub fn new(contract: Contract) -> Inspection {
        Inspection { contract, rows: 0, last: None, failures: Vec::new() }
    }

    /// Looks at the next frame of the table.
    pub fn add(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        let names: Vec<&str> =
            frame.columns().iter().map(|column| column.name().as_str()).collect();
        let expected: Vec<&str> = self.contract.columns.iter().map(|rule| rule.name).collect();
        if self.contract.strict && names != expected && names.len() >= expected.len() {
            self.fail("columns", &format!("exactly {}", expected.join(", ")), 1, |_| {
                vec![format!("found {}", names.join(", "))]
            });
        }
        let contract = self.contract.clone();
        for rule in &contract.columns {
            match frame.column(rule.name) {
                Ok(column) => self.add_column(rule, column)?,
                Err(_) => self.fail(rule.name, "a column of this name", 1, |_| {
                    vec![format!("found {}", names.join(", "))]
                }),
            }
        }
        if let Some(unique) = &contract.unique {
            self.add_unique(unique, contract.unique_except, frame)?;
        }
        self.rows += frame.height() as u64;
        Ok(())
    }

    /// Everything found, in the order of the columns.
    pub fn finish(self) -> Vec<Failure> {
        self.failures
    }

    fn add_column(&mut self, rule: &ColumnRule, column: &Column) -> PolarsResult<()> {
        if *column.dtype() != rule.dtype {
            let found = column.dtype().to_string();
            self.fail(rule.name, &format!("type {}", rule.dtype), 1, |_| {
                vec![format!("found {found}")]
            });
            return Ok(());
        }
        if !rule.nullable && column.null_count() > 0 {
            let first = self.rows;
            let nulls = column.is_null();
            self.fail(rule.name, "no null", column.null_count() as u64, |keep| {
                let rows = nulls.iter().enumerate().filter(|(_, null)| *null == Some(true));
                rows.take(keep).map(|(row, _)| format!("row {}", first + row as u64)).collect()
            });
        }
        for check in &rule.checks {
            let broken = check.broken(column, EXAMPLES)?;
            if broken.rows > 0 {
                let first = self.rows;
                self.fail(rule.name, &check.to_string(), broken.rows, |keep| {
                    let show = |(row, value): &(usize, String)| match rule.shown {
                        true => format!("row {}: {value}", first + *row as u64),
                        false => format!("row {}", first + *row as u64),
                    };
                    broken.examples.iter().take(keep).map(show).collect()
                });
            }
        }
        Ok(())
    }

    fn add_unique(
        &mut self,
        columns: &[&'static str],
        except: Option<&'static str>,
        frame: &DataFrame,
    ) -> PolarsResult<()> {
        let wanted = || columns.iter().chain(except.as_slice());
        if frame.height() == 0 || wanted().any(|name| frame.column(name).is_err()) {
            return Ok(());
        }
        let selected = frame.select(wanted().copied())?;
        let stacked = match self.last.take() {
            Some(mut last) => {
                last.vstack_mut(&selected)?;
                last.rechunk_mut();
                last
            }
            None => selected,
        };
        let carried = (stacked.height() - frame.height()) as u64;
        self.last = Some(stacked.slice(stacked.height() as i64 - 1, 1));
        let kept = match except {
            Some(except) => {
                let exempt = stacked.column(except)?.bool()?;
                let kept: BooleanChunked = exempt.iter().map(|flag| flag != Some(true)).collect();
                stacked.filter(&kept)?
            }
            None => stacked,
        };
        let pairs = kept.height().saturating_sub(1);
        let mut equal = BooleanChunked::full(PlSmallStr::EMPTY, true, pairs);
        for name in columns {
            let column = kept.column(name)?.as_materialized_series();
            let next = column.slice(1, pairs).equal_missing(&column.slice(0, pairs))?;
            equal = equal & next;
        }
        let repeated = equal.sum().unwrap_or(0);
        if repeated > 0 {
            let first = self.rows - carried;
            self.fail(&columns.join(", "), "no two equal rows", u64::from(repeated), |keep| {
                let rows = equal.iter().enumerate().filter(|(_, same)| *same == Some(true));
                let near = |(row, _): (usize, _)| format!("near row {}", first + row as u64 + 1);
                rows.take(keep).map(near).collect()
            });
        }
        Ok(())
    }

    /// Adds to the failure of the same column and expectation, or begins one.
    fn fail(
        &mut self,
        column: &str,
        expected: &str,
        rows: u64,
        examples: impl FnOnce(usize) -> Vec<String>,
    ) {
        let same =
            |failure: &&mut Failure| failure.column == column && failure.expected == expected;
        if let Some(known) = self.failures.iter_mut().find(same) {
            known.rows += rows;
            let room = EXAMPLES.saturating_sub(known.examples.len());
            known.examples.extend(examples(room).into_iter().take(room));
        } else {
            self.failures.push(Failure {
                column: column.to_owned(),
                expected: expected.to_owned(),
                rows,
                examples: examples(EXAMPLES),
            });
        }
    }
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
