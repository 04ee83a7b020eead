//! What quality counts of Gold: nulls, rows that repeat, broken checks of the contract.
//!
//! Row groups are looked at on any thread and joined in order. Knows nothing of how Gold came to
//! be, nor what the report makes of it.

use polars::prelude::{AnyValue, DataFrame, PolarsResult};

use crate::contract::{Contract, Failure, Inspection};

/// What is counted of Gold.
#[derive(Debug)]
pub(super) struct GoldTally {
    inspection: Inspection,
    nulls: Vec<u64>,
    repeated: u64,
    /// The first row and the last.
    ends: Option<[Row; 2]>,
}

type Row = Vec<AnyValue<'static>>;

impl GoldTally {
    /// Nothing seen yet.
    pub fn new(contract: &Contract) -> GoldTally {
        GoldTally {
            nulls: vec![0; contract.columns.len()],
            inspection: Inspection::new(contract.clone()),
            repeated: 0,
            ends: None,
        }
    }

    /// What there is in some rows.
    pub fn of(frame: &DataFrame, contract: &Contract) -> PolarsResult<GoldTally> {
        let mut tally = GoldTally::new(contract);
        tally.inspection.add(frame)?;
        let columns = || contract.columns.iter().flat_map(|rule| frame.column(rule.name));
        for (nulls, rule) in tally.nulls.iter_mut().zip(&contract.columns) {
            *nulls = frame.column(rule.name).map_or(0, |column| column.null_count() as u64);
        }
        // In user order, equal rows are neighbours.
        let whole_rows = Contract {
            name: "repeated rows",
            strict: false,
            columns: Vec::new(),
            unique: Some(contract.columns.iter().map(|rule| rule.name).collect()),
            unique_except: None,
        };
        let mut repeats = Inspection::new(whole_rows);
        repeats.add(frame)?;
        tally.repeated = repeats.finish().iter().map(|failure| failure.rows).sum();
        if let Some(last) = frame.height().checked_sub(1) {
            // Copies: a slice would keep the whole frame.
            let row = |index: usize| -> PolarsResult<Row> {
                columns().map(|column| Ok(column.get(index)?.into_static())).collect()
            };
            tally.ends = Some([row(0)?, row(last)?]);
        }
        Ok(tally)
    }

    /// Adds what was found of the rows that follow.
    pub fn followed_by(&mut self, later: GoldTally) -> PolarsResult<()> {
        self.inspection.followed_by(later.inspection)?;
        for (sum, more) in self.nulls.iter_mut().zip(later.nulls) {
            *sum += more;
        }
        self.repeated += later.repeated;
        self.ends = match (self.ends.take(), later.ends) {
            (Some([first, last]), Some([next, later])) => {
                self.repeated += u64::from(last == next);
                Some([first, later])
            }
            (one, other) => one.or(other),
        };
        Ok(())
    }

    /// The most nulls of any column.
    pub fn nulls(&self) -> u64 {
        self.nulls.iter().copied().max().unwrap_or(0)
    }

    /// Rows that are the row before all over again.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Broken checks of the contract.
    pub fn broken(self) -> Vec<Failure> {
        self.inspection.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::gold;
    use polars::prelude::*;

    fn frame(users: &[&str], counts: &[Option<i64>]) -> DataFrame {
        let rows = users.len();
        let zone = Some(TimeZone::UTC);
        let times = Int64Chunked::from_vec("timestamp".into(), vec![1; rows]);
        let mut columns: Vec<Column> = vec![
            times.into_datetime(TimeUnit::Microseconds, zone).into_series().into(),
            Column::new("user_id".into(), users),
            Column::new("value_prop_id".into(), vec!["v"; rows]),
            Column::new("clicked".into(), vec![true; rows]),
        ];
        for name in ["prints_count_3w", "taps_count_3w", "payments_count_3w"] {
            columns.push(Column::new(name.into(), counts));
        }
        columns.push(Column::new("payments_amount_3w".into(), vec![0.5; rows]));
        DataFrame::new(rows, columns).unwrap()
    }

    #[test]
    fn row_groups_are_joined_as_if_they_were_one() {
        let users = ["a", "a", "b ", "b ", "b ", "c", "d", "d"];
        let counts = [Some(1), Some(1), Some(1), None, None, Some(-1), Some(2), Some(3)];
        let whole = frame(&users, &counts);
        let contract = gold(0, 2);
        let told = |tally: GoldTally| {
            let counted = (tally.nulls(), tally.repeated());
            let broken = tally.broken();
            let mut lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
            lines.sort();
            (counted, lines)
        };
        let wanted = told(GoldTally::of(&whole, &contract).unwrap());
        assert_eq!(wanted.0, (2, 2));
        assert_eq!(wanted.1.len(), 7);
        for cut in 0..=8_usize {
            for other in cut..=8 {
                let mut joined = GoldTally::new(&contract);
                for (start, end) in [(0, cut), (cut, other), (other, 8)] {
                    let part = whole.slice(start as i64, end - start);
                    joined.followed_by(GoldTally::of(&part, &contract).unwrap()).unwrap();
                }
                assert_eq!(told(joined), wanted, "cut at {cut} and {other}");
            }
        }
    }
}
