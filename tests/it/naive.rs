//! Silver and Gold straight from the words of the specification: slow, obvious, in memory.
//!
//! Written without a look at the program. It takes events as the tests wrote them, so it knows
//! nothing of parsing.

use std::collections::BTreeSet;

use chrono::DateTime;
use xxhash_rust::xxh3::xxh3_64;

use crate::events::{Event, SOURCES, Source, World};
use crate::readers::{Table, time_text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedupe {
    Drop,
    Flag,
    Keep,
}

impl Dedupe {
    pub fn name(self) -> &'static str {
        match self {
            Dedupe::Drop => "drop",
            Dedupe::Flag => "flag",
            Dedupe::Keep => "keep",
        }
    }
}

pub struct Rules {
    pub as_of_us: i64,
    pub dedupe: [Dedupe; 3],
    pub target_days: i64,
    pub lookback_days: i64,
}

#[derive(Clone, Debug)]
pub struct SilverRow {
    pub event: Event,
    pub file: String,
    pub row_number: i64,
    pub duplicate: bool,
}

/// What the program should have made of a world.
pub struct Expected {
    pub silver: [Vec<SilverRow>; 3],
    pub duplicates: [u64; 3],
    pub after_as_of: [u64; 3],
    pub rejected: [u64; 3],
    pub gold: Table,
}

const DAY_US: i64 = 86_400_000_000;

fn day(event: &Event) -> i64 {
    event.micros.div_euclid(DAY_US)
}

pub fn expect(world: &World, rules: &Rules) -> Expected {
    let mut expected = Expected {
        silver: Default::default(),
        duplicates: [0; 3],
        after_as_of: [0; 3],
        rejected: [0; 3],
        gold: Table { columns: vec![], types: vec![], rows: vec![] },
    };
    for (n, source) in SOURCES.into_iter().enumerate() {
        let mut rows: Vec<SilverRow> = Vec::new();
        for (file, lines) in world.files(source) {
            for (row_number, line) in lines.iter().enumerate() {
                let Some(event) = line.event.clone() else {
                    expected.rejected[n] += 1;
                    continue;
                };
                if event.micros >= rules.as_of_us {
                    expected.after_as_of[n] += 1;
                    continue;
                }
                let same = |row: &&SilverRow| identity(&row.event) == identity(&event);
                let duplicate = rows.iter().any(|row| same(&row));
                expected.duplicates[n] += u64::from(duplicate);
                if duplicate && rules.dedupe[n] == Dedupe::Drop {
                    continue;
                }
                rows.push(SilverRow {
                    event,
                    file: file.clone(),
                    row_number: row_number as i64,
                    duplicate: duplicate && rules.dedupe[n] == Dedupe::Flag,
                });
            }
        }
        rows.sort_by(|a, b| user_order(a).cmp(&user_order(b)));
        expected.silver[n] = rows;
    }
    expected.gold = gold(&expected.silver, rules);
    expected
}

fn identity(event: &Event) -> (i64, &str, &str, Option<i64>) {
    (event.micros, &event.user, &event.value_prop, event.measure)
}

fn user_order(row: &SilverRow) -> (u64, &str, i64, &str, Option<i64>, &str, i64) {
    let e = &row.event;
    let hash = xxh3_64(e.user.as_bytes());
    (hash, &e.user, e.micros, &e.value_prop, e.measure, &row.file, row.row_number)
}

/// Gold of the Silver rows, in their order.
pub fn gold(silver: &[Vec<SilverRow>; 3], rules: &Rules) -> Table {
    let [prints, taps, payments] = silver.each_ref().map(|rows| {
        rows.iter().filter(|row| !row.duplicate).map(|row| &row.event).collect::<Vec<_>>()
    });
    let latest = silver[0].iter().map(|row| day(&row.event)).max().unwrap_or(0);
    let mut rows = Vec::new();
    for print in &prints {
        if day(print) <= latest - rules.target_days {
            continue;
        }
        let same = |e: &&&Event| e.user == print.user && e.value_prop == print.value_prop;
        let window = day(print) - rules.lookback_days..day(print);
        let back = |e: &&&Event| same(e) && window.contains(&day(e));
        let cents: i64 = payments.iter().filter(back).filter_map(|e| e.measure).sum();
        rows.push(vec![
            time_text(print.micros),
            print.user.clone(),
            print.value_prop.clone(),
            taps.iter().filter(same).any(|tap| day(tap) == day(print)).to_string(),
            prints.iter().filter(back).count().to_string(),
            taps.iter().filter(back).count().to_string(),
            payments.iter().filter(back).count().to_string(),
            money(cents),
        ]);
    }
    let columns = crate::readers::GOLD.iter().map(|(name, _)| (*name).to_owned()).collect();
    Table { columns, types: vec![], rows }
}

/// Silver as rows of text in the columns of the Parquet file, `processed_at` left out.
pub fn silver_rows(source: Source, rows: &[SilverRow]) -> Vec<Vec<String>> {
    let measure = |row: &SilverRow| match (source, row.event.measure) {
        (_, None) => String::new(),
        (Source::Payments, Some(cents)) => money(cents),
        (_, Some(position)) => position.to_string(),
    };
    rows.iter()
        .map(|row| {
            vec![
                time_text(row.event.micros),
                row.event.user.clone(),
                row.event.value_prop.clone(),
                measure(row),
                row.file.clone(),
                row.row_number.to_string(),
                row.duplicate.to_string(),
                format!("{:.2}", 1.0 - 0.25 * f64::from(row.event.soft_issues)),
            ]
        })
        .collect()
}

fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Share of `these` with one of `those` of the same user, value prop and date; 1 where there is
/// nothing to judge.
pub fn share_with(these: &[SilverRow], those: &[SilverRow]) -> f64 {
    let key = |e: &Event| (e.user.clone(), e.value_prop.clone(), day(e));
    let there: BTreeSet<_> = those.iter().filter(|r| !r.duplicate).map(|r| key(&r.event)).collect();
    let judged: Vec<_> = these.iter().filter(|r| !r.duplicate).collect();
    let with = judged.iter().filter(|r| there.contains(&key(&r.event))).count();
    if judged.is_empty() { 1.0 } else { with as f64 / judged.len() as f64 }
}

/// Silver rows from the expected CSV of a worked case.
fn from_case(table: &Table, source: Source) -> Vec<SilverRow> {
    let measure_column = if source == Source::Payments { "amount" } else { "position" };
    let column = |row: &Vec<String>, name: &str| row[table.at(name)].clone();
    let rows = table.rows.iter().map(|row| {
        let time = DateTime::parse_from_rfc3339(&column(row, "timestamp")).expect("a time");
        SilverRow {
            event: Event {
                micros: time.timestamp_micros(),
                user: column(row, "user_id"),
                value_prop: column(row, "value_prop_id"),
                measure: column(row, measure_column).replace('.', "").parse().ok(),
                soft_issues: 0,
            },
            file: column(row, "source_file"),
            row_number: column(row, "row_number").parse().expect("a number"),
            duplicate: column(row, "duplicate_flag") == "true",
        }
    });
    rows.collect()
}

#[test]
fn the_naive_model_turns_the_silver_of_each_worked_case_into_its_gold() {
    for case in crate::cases::all() {
        let file = |name: &str| Table::csv(&case.folder.join("expected").join(name));
        let silver = SOURCES.map(|source| {
            let mut rows = from_case(&file(&format!("silver_{}.csv", source.name())), source);
            rows.sort_by(|a, b| user_order(a).cmp(&user_order(b)));
            rows
        });
        let rules = Rules {
            as_of_us: i64::MAX,
            dedupe: [Dedupe::Keep; 3],
            target_days: 7,
            lookback_days: 21,
        };
        let (have, want) = (gold(&silver, &rules).sorted(), file("gold.csv").sorted());
        assert_eq!(have, want, "{}", case.name);
        let [prints, taps, payments] = &silver;
        let rate = |key: &str| case.summary["rules"][key].as_f64().expect("a rate");
        let close = |have: f64, key: &str| assert!((have - rate(key)).abs() < 1e-6, "{key}");
        close(share_with(taps, prints), "taps_have_prints_rate");
        close(share_with(payments, taps), "payments_have_taps_rate");
    }
}
