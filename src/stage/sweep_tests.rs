//! The sweeps of features and quality against plain filters over all events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::gold_rows::{Sink, Target, gold_rows};
use super::sweep::{DAY_US, PAYMENTS, PRINTS, Sweep, TAPS, day_of};
use super::tally::{Limits, Tally};
use crate::frame::GoldRow;
use crate::rows::tests::{Event, cut_at_users, write_one_run};
use crate::rows::{HashRange, RowsError, RowsFile, hash_user};

/// Few users, so that some have many blocks; gaps longer than a lookback; value props that come
/// and go; several events in a day, and at its edges.
fn event() -> impl Strategy<Value = Event> {
    let user = prop_oneof![3 => Just("a".to_owned()), 2 => "[b-f]"];
    let day = prop_oneof![0..6_i64, 20..24_i64];
    let time = prop_oneof![Just(0), Just(DAY_US - 1), 0..DAY_US];
    let prop = prop_oneof![2 => "[pq]", 1 => "[p-z][a-h]"];
    (user, day, time, prop, 0..3_u64)
        .prop_map(|(user, day, time, prop, measure)| (user, day * DAY_US + time, prop, measure))
}

fn events() -> impl Strategy<Value = [Vec<Event>; 3]> {
    let of = |most: usize| prop::collection::vec(event(), 0..most);
    (of(80), of(40), of(80)).prop_map(|(prints, taps, payments)| [prints, taps, payments])
}

fn write(folder: &std::path::Path, events: &[Vec<Event>; 3]) -> [RowsFile; 3] {
    [PRINTS, TAPS, PAYMENTS]
        .map(|source| write_one_run(&folder.join(source.to_string()), &events[source]))
}

/// User, timestamp, value prop, clicked, prints, taps, payments, cents.
type Row = (String, i64, String, bool, u64, u64, u64, i128);

/// Rows of Gold, with the names that numbers stand for.
#[derive(Default)]
struct Kept {
    rows: Vec<Row>,
    names: BTreeMap<u32, Vec<u8>>,
    renumbered: usize,
}

impl Sink for Kept {
    type Stop = RowsError;

    fn row(&mut self, row: &GoldRow<'_>, value_prop: &[u8]) -> Result<(), RowsError> {
        let name = self.names.entry(row.value_prop).or_insert_with(|| value_prop.to_vec());
        assert_eq!(name, value_prop);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let GoldRow { timestamp_us, clicked, prints, taps, payments, cents, .. } = *row;
        let (user, value_prop) = (text(row.user), text(value_prop));
        self.rows.push((user, timestamp_us, value_prop, clicked, prints, taps, payments, cents));
        Ok(())
    }

    fn renumbered(&mut self) -> Result<(), RowsError> {
        self.names.clear();
        self.renumbered += 1;
        Ok(())
    }
}

/// What SPEC.md says of Gold, word by word.
fn plain_gold(events: &[Vec<Event>; 3], target: Target) -> Vec<Row> {
    let days = target.first_day..=target.last_day;
    let prints = events[PRINTS].iter().filter(|print| days.contains(&day_of(print.1)));
    let row = |print: &Event| {
        let (user, time_us, prop, _) = print;
        let day = day_of(*time_us);
        let same = |event: &&Event| event.0 == *user && event.2 == *prop;
        let past = (day - i64::from(target.lookback_days))..day;
        let before = |source: usize| {
            let inside = events[source].iter().filter(same);
            inside.filter(|event| past.contains(&day_of(event.1))).collect::<Vec<_>>()
        };
        let clicked = events[TAPS].iter().filter(same).any(|tap| day_of(tap.1) == day);
        let payments = before(PAYMENTS);
        let cents = payments.iter().map(|payment| i128::from(payment.3)).sum();
        let (prints, taps) = (before(PRINTS).len() as u64, before(TAPS).len() as u64);
        let payments = payments.len() as u64;
        (user.clone(), *time_us, prop.clone(), clicked, prints, taps, payments, cents)
    };
    prints.map(row).collect()
}

fn plain_tally(events: &[Vec<Event>; 3], limits: &Limits) -> Tally {
    let has_same = |source: usize, event: &Event| {
        let key = |event: &Event| (event.0.clone(), event.2.clone(), day_of(event.1));
        events[source].iter().any(|other| key(other) == key(event))
    };
    let count = |source: usize, is: &dyn Fn(&Event) -> bool| {
        events[source].iter().filter(|event| is(event)).count() as u64
    };
    let mut of_user = BTreeMap::<&str, u64>::new();
    for event in events.iter().flatten() {
        *of_user.entry(&event.0).or_default() += 1;
    }
    let outside = |event: &Event| !limits.window_us.contains(&event.1);
    Tally {
        rows: [PRINTS, TAPS, PAYMENTS].map(|source| events[source].len() as u64),
        without_position: [PRINTS, TAPS].map(|source| count(source, &|event| event.3 == 0)),
        taps_with_print: count(TAPS, &|tap| has_same(PRINTS, tap)),
        payments_with_tap: count(PAYMENTS, &|payment| has_same(TAPS, payment)),
        above_max_amount: count(PAYMENTS, &|payment| payment.3 > limits.max_cents),
        outside_window: [PRINTS, TAPS, PAYMENTS].map(|source| count(source, &outside)).iter().sum(),
        odd_users: of_user.values().filter(|rows| !limits.records_per_user.contains(rows)).count()
            as u64,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn gold_is_what_a_plain_filter_says(
        events in events(),
        part_rows in prop_oneof![1..40_u64, Just(1000)],
        lookback_days in prop_oneof![1..4_u32, Just(21)],
        target_days in 1..8_i64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), &events);
        let last_day = events[PRINTS].iter().map(|print| day_of(print.1)).max().unwrap_or(0);
        let target = Target { first_day: last_day + 1 - target_days, last_day, lookback_days };
        let mut kept = Kept::default();
        for range in cut_at_users(events.iter().flatten(), part_rows) {
            kept.renumbered().unwrap();
            gold_rows(Sweep::new(&files, range).unwrap(), target, &mut kept).unwrap();
        }
        let key = |row: &Row| (hash_user(row.0.as_bytes()), row.0.clone(), row.1);
        prop_assert!(kept.rows.is_sorted_by_key(key));
        let mut wanted = plain_gold(&events, target);
        wanted.sort_unstable();
        kept.rows.sort_unstable();
        prop_assert_eq!(kept.rows, wanted);
    }

    #[test]
    fn the_tally_is_what_a_plain_filter_says(
        events in events(),
        part_rows in prop_oneof![1..40_u64, Just(1000)],
        window in (0..24_i64, 0..24_i64),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), &events);
        let limits = Limits {
            window_us: window.0 * DAY_US + 7..window.1 * DAY_US,
            max_cents: 1,
            records_per_user: 2..=30,
        };
        let mut tally = Tally::default();
        for range in cut_at_users(events.iter().flatten(), part_rows) {
            tally.add(&Tally::of(&files, range, &limits).unwrap());
        }
        prop_assert_eq!(tally, plain_tally(&events, &limits));
    }
}

#[test]
fn a_user_of_countless_value_props_holds_a_window_not_a_history() {
    let of_day = |day: i64| {
        let event = move |prop: u64| ("a".to_owned(), day * DAY_US, format!("{day} {prop}"), prop);
        (0..100).map(event)
    };
    let prints: Vec<Event> = (0..60).flat_map(of_day).collect();
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path(), &[prints, Vec::new(), Vec::new()]);
    let target = Target { first_day: 0, last_day: 59, lookback_days: 2 };
    /// The most names at once.
    #[derive(Default)]
    struct Most(u32);
    impl Sink for Most {
        type Stop = RowsError;
        fn row(&mut self, row: &GoldRow<'_>, _: &[u8]) -> Result<(), RowsError> {
            self.0 = self.0.max(row.value_prop);
            Ok(())
        }
        fn renumbered(&mut self) -> Result<(), RowsError> {
            Ok(())
        }
    }
    let mut most = Most::default();
    gold_rows(Sweep::new(&files, HashRange::ALL).unwrap(), target, &mut most).unwrap();
    assert!(most.0 < 800, "{}", most.0);
}
