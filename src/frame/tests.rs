//! Tables written and read again: values, statistics, sameness of bytes, failures.

use std::io::{self, Write};

use polars::prelude::*;
use proptest::prelude::*;

use super::*;
use crate::contract::{Bounds, Inspection, Measure, silver};

/// Owned rows of a Silver table.
#[derive(Debug, Clone)]
struct Row {
    user: String,
    timestamp_us: i64,
    value_prop: String,
    measure: u64,
    file: u32,
    row_number: u64,
    duplicate: bool,
    soft_issues: u8,
}

const FILES: [&str; 3] = ["a.json", "b/ü.json", "c"];
const AS_OF: i64 = 1_700_000_000_000_000;

fn push(frame: &mut SilverFrame, names: &mut Vec<String>, row: &Row, first_of_user: bool) {
    let known = names.iter().position(|name| *name == row.value_prop);
    let number = known.unwrap_or_else(|| {
        names.push(row.value_prop.clone());
        names.len() - 1
    });
    let silver = SilverRow {
        user: row.user.as_bytes(),
        first_of_user,
        timestamp_us: row.timestamp_us,
        value_prop: number as u32,
        measure: row.measure,
        file: row.file,
        row_number: row.row_number,
        duplicate: row.duplicate,
        soft_issues: row.soft_issues,
    };
    frame.push(&silver, || names[number].as_bytes(), || FILES[row.file as usize]);
}

fn group_of(measure: Measure, rows: &[Row]) -> Group {
    let mut frame = SilverFrame::new(measure, AS_OF);
    let mut names = Vec::new();
    let mut group = || {
        for (index, row) in rows.iter().enumerate() {
            let first_of_user = index == 0 || rows[index - 1].user != row.user;
            push(&mut frame, &mut names, row, first_of_user);
        }
        let group = frame.take();
        frame.reuse(group.clone());
        group
    };
    let first = group();
    let again = group();
    assert_eq!(first.frame(0, first.rows).unwrap(), again.frame(0, again.rows).unwrap());
    again
}

/// The frame as it was before there were groups: value by value.
fn plain_frame(measure: Measure, rows: &[Row]) -> DataFrame {
    let instant = |name: &str, values: Vec<i64>| -> Column {
        let values = Int64Chunked::from_vec(name.into(), values);
        values.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_series().into()
    };
    let column = |name: &str, values: Vec<&str>| Column::new(name.into(), values);
    let measures: Column = match measure {
        Measure::Position => {
            let values: Vec<Option<i64>> = rows
                .iter()
                .map(|row| row.measure.checked_sub(1).map(|position| position as i64))
                .collect();
            Column::new("position".into(), values)
        }
        Measure::Amount => {
            let values: Vec<f64> =
                rows.iter().map(|row| amount_of_cents(row.measure.into())).collect();
            Column::new("amount".into(), values)
        }
    };
    let numbers: Vec<i64> = rows.iter().map(|row| row.row_number as i64).collect();
    let flags: Vec<bool> = rows.iter().map(|row| row.duplicate).collect();
    let scores: Vec<f64> = rows.iter().map(|row| 1.0 - 0.25 * f64::from(row.soft_issues)).collect();
    let columns = vec![
        instant("timestamp", rows.iter().map(|row| row.timestamp_us).collect()),
        column("user_id", rows.iter().map(|row| &*row.user).collect()),
        column("value_prop_id", rows.iter().map(|row| &*row.value_prop).collect()),
        measures,
        instant("processed_at", vec![AS_OF; rows.len()]),
        column("source_file", rows.iter().map(|row| FILES[row.file as usize]).collect()),
        Column::new("row_number".into(), numbers),
        Column::new("duplicate_flag".into(), flags),
        Column::new("data_quality_score".into(), scores),
    ];
    DataFrame::new(rows.len(), columns).unwrap()
}

fn bytes_of(groups: &[Group]) -> Vec<u8> {
    let encoder = GroupEncoder::new(&groups[0]).unwrap();
    let mut bytes = Vec::new();
    let mut table = TableWriter::new(&mut bytes, &encoder);
    for group in groups {
        table.write(&encoder.encode(group).unwrap()).unwrap();
    }
    table.finish().unwrap();
    bytes
}

fn read(bytes: &[u8]) -> DataFrame {
    ParquetReader::new(io::Cursor::new(bytes)).finish().unwrap()
}

fn measure() -> impl Strategy<Value = Measure> {
    prop_oneof![Just(Measure::Position), Just(Measure::Amount)]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop_oneof!["[a-c]{1,2}", "\\PC{1,5}", "ü{90,100}"],
        prop_oneof![0i64..3, any::<i64>()],
        prop_oneof!["[xy]", "\\PC{0,4}"],
        prop_oneof![0u64..4, 0u64..500, any::<u64>().prop_map(|value| value >> 1)],
        0u32..3,
        prop_oneof![0u64..40, any::<u64>().prop_map(|value| value >> 1)],
        (any::<bool>(), 0u8..5, 1usize..30),
    );
    let row = row.prop_map(|(user, timestamp_us, value_prop, measure, file, row_number, rest)| {
        let (duplicate, soft_issues, times) = rest;
        let row = Row {
            user,
            timestamp_us,
            value_prop,
            measure,
            file,
            row_number,
            duplicate,
            soft_issues,
        };
        vec![row; times]
    });
    proptest::collection::vec(row, 0..60).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_pushed_is_read_again(measure in measure(), rows in rows(), cut in 0usize..500) {
        let (front, back) = rows.split_at(cut.min(rows.len()));
        let groups = [group_of(measure, front), group_of(measure, back)];
        let back = read(&bytes_of(&groups));
        let plain = plain_frame(measure, &rows);
        prop_assert_eq!(back.schema(), plain.schema());
        prop_assert!(back.equals_missing(&plain), "{:?}\n{:?}", back, plain);
    }

    #[test]
    fn a_group_breaks_a_contract_as_its_frame_does(
        measure in measure(),
        mut rows in rows(),
        unique in any::<bool>(),
        tame in any::<bool>(),
    ) {
        if tame {
            for (number, row) in rows.iter_mut().enumerate() {
                row.timestamp_us %= 1000;
                row.measure = 1 + row.measure % 1000;
                row.row_number = number as u64;
                row.user = format!("u{}", row.user.len());
                row.value_prop = "p".into();
                row.timestamp_us = if number % 50 == 0 { row.timestamp_us } else { number as i64 };
            }
        }
        let bounds = Bounds { oldest_us: i64::MIN, as_of_us: AS_OF, max_amount: f64::MAX };
        let contract = silver(measure, bounds, unique);
        let mut plain = Inspection::new(contract.clone());
        plain.add(&plain_frame(measure, &rows)).unwrap();
        let group = group_of(measure, &rows).inspect(&contract).unwrap();
        prop_assert_eq!(group.finish(), plain.finish());
    }
}

fn simple(number: usize) -> Row {
    Row {
        user: format!("user {}", number / 9),
        timestamp_us: 86_400_000_000 * (number as i64 * 7 % 50),
        value_prop: "prop".into(),
        measure: number as u64 % 5,
        file: 0,
        row_number: number as u64 * 7919 % 1_000_003,
        duplicate: false,
        soft_issues: 0,
    }
}

#[test]
fn a_large_group_comes_back_and_has_the_same_bytes_on_every_thread() {
    for measure in [Measure::Position, Measure::Amount] {
        let rows: Vec<Row> = (0..20_000).map(simple).collect();
        let group = group_of(measure, &rows);
        let bytes = bytes_of(std::slice::from_ref(&group));
        assert!(read(&bytes).equals_missing(&plain_frame(measure, &rows)));
        let others: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let write = || scope.spawn(|| bytes_of(std::slice::from_ref(&group)));
            let threads: Vec<_> = (0..3).map(|_| write()).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(others.iter().all(|other| *other == bytes));
    }
}

#[test]
fn numbers_far_apart_come_back_as_deltas_of_any_width() {
    for shift in [0, 3, 7, 20, 40, 63] {
        let mut state = 1u64;
        let mut rows: Vec<Row> = (0..1000).map(simple).collect();
        for row in &mut rows {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            row.row_number = state >> 1 >> shift;
        }
        for count in [1, 2, 129, 130, 1000] {
            let bytes = bytes_of(&[group_of(Measure::Amount, &rows[..count])]);
            assert!(read(&bytes).equals_missing(&plain_frame(Measure::Amount, &rows[..count])));
        }
    }
}

#[test]
fn there_may_be_more_value_props_than_two_bytes_number() {
    let mut frame = GoldFrame::default();
    let names: Vec<String> = (0..70_000).map(|number| format!("prop {number}")).collect();
    for number in (0..70_000u32).chain(0..30_000).rev() {
        let row = GoldRow {
            timestamp_us: 5,
            user: b"u",
            value_prop: number,
            clicked: number % 3 == 0,
            prints: number.into(),
            taps: 0,
            payments: 1 << 40,
            cents: 1 << 60,
        };
        frame.push(&row, || names[number as usize].as_bytes());
    }
    let back = read(&bytes_of(&[frame.take()]));
    let props = back.column("value_prop_id").unwrap().str().unwrap();
    let expected = (0..70_000).chain(0..30_000).rev().map(|number| Some(&*names[number]));
    assert!(props.iter().eq(expected));
    let sums = back.column("payments_amount_3w").unwrap().f64().unwrap();
    assert!(sums.iter().all(|sum| sum == Some((1u64 << 60) as f64 / 100.0)));
    assert!(frame.is_empty());
}

#[test]
fn a_row_group_ends_at_its_rows_or_at_its_text() {
    let mut frame = SilverFrame::new(Measure::Amount, 0);
    let mut names = Vec::new();
    for number in 0..ROW_GROUP_ROWS {
        assert!(!frame.is_full());
        push(&mut frame, &mut names, &simple(number), true);
    }
    assert!(frame.is_full());
    frame.take();
    let mut rows = 0;
    while !frame.is_full() {
        push(&mut frame, &mut names, &Row { user: format!("{rows:0100}"), ..simple(rows) }, true);
        rows += 1;
    }
    assert_eq!(rows, (3usize << 20).div_ceil(100));
}

#[test]
fn an_empty_table_has_its_columns() {
    for measure in [Measure::Position, Measure::Amount] {
        let group = group_of(measure, &[]);
        let back = read(&bytes_of(&[group.clone(), group]));
        assert_eq!(back.schema(), plain_frame(measure, &[]).schema());
        assert_eq!(back.height(), 0);
    }
}

#[test]
fn the_footer_tells_ends_and_nulls_of_every_column() {
    let mut rows: Vec<Row> = (0..1000).map(simple).collect();
    rows[7].soft_issues = 1;
    rows[8].duplicate = true;
    let bytes = bytes_of(&[group_of(Measure::Position, &rows)]);
    let mut reader = ParquetReader::new(io::Cursor::new(&bytes));
    let metadata = reader.get_metadata().unwrap().clone();
    let plain = plain_frame(Measure::Position, &rows);
    let statistics = metadata.row_groups[0].parquet_columns().iter().map(|column| {
        let column = column.statistics(&metadata.footer_buf).unwrap().unwrap();
        use polars_parquet::parquet::statistics::Statistics as S;
        match column {
            S::Int64(s) => (s.null_count, format!("{:?} {:?}", s.min_value, s.max_value)),
            S::Double(s) => (s.null_count, format!("{:?} {:?}", s.min_value, s.max_value)),
            S::Boolean(s) => (s.null_count, format!("{:?} {:?}", s.min_value, s.max_value)),
            S::Binary(s) => {
                let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
                let (min, max) = (Some(text(s.min_value)), Some(text(s.max_value)));
                (s.null_count, format!("{min:?} {max:?}"))
            }
            other => panic!("{other:?}"),
        }
    });
    let expected = plain.columns().iter().map(|column| {
        let nulls = Some(column.null_count() as i64);
        let column = column.to_physical_repr();
        let text = match column.dtype() {
            DataType::Int64 => {
                let values = column.i64().unwrap();
                format!("{:?} {:?}", values.min(), values.max())
            }
            DataType::Float64 => {
                let values = column.f64().unwrap();
                format!("{:?} {:?}", values.min(), values.max())
            }
            DataType::Boolean => {
                let values = column.bool().unwrap();
                format!("{:?} {:?}", values.min(), values.max())
            }
            _ => {
                let values: Vec<Option<&str>> = column.str().unwrap().iter().collect();
                format!("{:?} {:?}", values.iter().min().unwrap(), values.iter().max().unwrap())
            }
        };
        (nulls, text)
    });
    assert_eq!(statistics.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_as_such_wherever_it_is_met() {
    let group = group_of(Measure::Position, &[simple(1), simple(2)]);
    let encoder = GroupEncoder::new(&group).unwrap();
    let encoded = encoder.encode(&group).unwrap();
    let mut failures = 0;
    for room in (4..2_000).step_by(7) {
        let mut table = TableWriter::new(Full(room), &encoder);
        let Err(error) = table.write(&encoded).and_then(|()| table.finish()) else { break };
        let PolarsError::IO { error, .. } = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        failures += 1;
    }
    assert!(failures > 10);
}
