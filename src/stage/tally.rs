//! What quality counts of the events: one sweep, the users of a range one after the other.
//!
//! Only users with taps are looked at day by day; of all others it counts rows alone. Knows no
//! rule and no threshold of the report.

use std::ops::{Range, RangeInclusive};

use super::sweep::{PAYMENTS, PRINTS, Sweep, TAPS, day_of, first_us, last_us};
use crate::rows::{HashRange, RowsError, RowsFile};

/// What rows and users are held against.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// When events may have happened.
    pub window_us: Range<i64>,
    /// The largest amount.
    pub max_cents: u64,
    /// How many events a user may have.
    pub records_per_user: RangeInclusive<u64>,
}

/// What is counted of the events of a range of users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Prints, taps, payments.
    pub rows: [u64; 3],
    /// Prints and taps without a position.
    pub without_position: [u64; 2],
    /// Taps with a print of the same user, value prop and date.
    pub taps_with_print: u64,
    /// Payments with such a tap.
    pub payments_with_tap: u64,
    pub above_max_amount: u64,
    pub outside_window: u64,
    /// Users with too few events or too many.
    pub odd_users: u64,
}

impl Tally {
    /// Counts the events of a range of users.
    pub fn of(
        files: &[RowsFile; 3],
        range: HashRange,
        limits: &Limits,
    ) -> Result<Tally, RowsError> {
        let mut tally = Tally::default();
        let mut sweep = Sweep::new(files, range)?;
        let (mut shown, mut tapped) = (Marks::default(), Marks::default());
        while sweep.next_user()? {
            let before = tally.events();
            while let Some(tap_us) = sweep.next_us(TAPS) {
                if sweep.renumber(|_| false).is_some() {
                    (shown, tapped) = (Marks::default(), Marks::default());
                }
                tally.add_day(&mut sweep, day_of(tap_us), limits, [&mut shown, &mut tapped])?;
            }
            for source in [PRINTS, PAYMENTS] {
                tally.add_to(&mut sweep, source, i64::MAX, limits)?;
            }
            let events = tally.events() - before;
            tally.odd_users += u64::from(!limits.records_per_user.contains(&events));
        }
        Ok(tally)
    }

    /// Adds what another range has.
    pub fn add(&mut self, other: &Tally) {
        for (sum, more) in self.rows.iter_mut().zip(other.rows) {
            *sum += more;
        }
        for (sum, more) in self.without_position.iter_mut().zip(other.without_position) {
            *sum += more;
        }
        self.taps_with_print += other.taps_with_print;
        self.payments_with_tap += other.payments_with_tap;
        self.above_max_amount += other.above_max_amount;
        self.outside_window += other.outside_window;
        self.odd_users += other.odd_users;
    }

    /// How many events there are.
    pub fn events(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// Adds a day on which the user tapped, and what prints and payments came before it.
    fn add_day(
        &mut self,
        sweep: &mut Sweep<'_>,
        day: i64,
        limits: &Limits,
        [shown, tapped]: [&mut Marks; 2],
    ) -> Result<(), RowsError> {
        let (before_us, end_us) = (first_us(day).saturating_sub(1), last_us(day));
        shown.clear();
        tapped.clear();
        for source in [PRINTS, PAYMENTS] {
            self.add_to(sweep, source, before_us, limits)?;
        }
        sweep.take(PRINTS, end_us, |prints| {
            self.add_rows(PRINTS, prints.timestamps_us, prints.measures, limits);
            prints.value_props().for_each(|value_prop| shown.set(value_prop));
        })?;
        sweep.take(TAPS, end_us, |taps| {
            self.add_rows(TAPS, taps.timestamps_us, taps.measures, limits);
            for value_prop in taps.value_props() {
                self.taps_with_print += u64::from(shown.has(value_prop));
                tapped.set(value_prop);
            }
        })?;
        sweep.take(PAYMENTS, end_us, |payments| {
            self.add_rows(PAYMENTS, payments.timestamps_us, payments.measures, limits);
            let with_tap = payments.value_props().filter(|&value_prop| tapped.has(value_prop));
            self.payments_with_tap += with_tap.count() as u64;
        })
    }

    /// Adds the user's events of a source up to and at `last_us`, whatever was tapped.
    #[inline]
    fn add_to(
        &mut self,
        sweep: &mut Sweep<'_>,
        source: usize,
        last_us: i64,
        limits: &Limits,
    ) -> Result<(), RowsError> {
        sweep.skim(source, last_us, |timestamps_us, measures| {
            self.add_rows(source, timestamps_us, measures, limits);
        })
    }

    /// Adds events that ascend in time.
    #[inline]
    fn add_rows(&mut self, source: usize, times_us: &[i64], measures: &[u64], limits: &Limits) {
        self.rows[source] += times_us.len() as u64;
        if source == PAYMENTS {
            let above = measures.iter().map(|&cents| u64::from(cents > limits.max_cents));
            self.above_max_amount += above.sum::<u64>();
        } else {
            let without = measures.iter().map(|&position| u64::from(position == 0));
            self.without_position[source] += without.sum::<u64>();
        }
        let window = &limits.window_us;
        let ends = times_us.first().into_iter().chain(times_us.last());
        if !ends.into_iter().all(|time_us| window.contains(time_us)) {
            let outside = times_us.iter().filter(|time_us| !window.contains(time_us));
            self.outside_window += outside.count() as u64;
        }
    }
}

/// Value props, all forgotten at once.
#[derive(Debug, Default)]
struct Marks {
    /// The time at which each was set.
    set_at: Vec<u64>,
    now: u64,
}

impl Marks {
    fn clear(&mut self) {
        self.now += 1;
    }

    #[inline]
    fn set(&mut self, value_prop: u32) {
        let index = value_prop as usize;
        if index >= self.set_at.len() {
            self.set_at.resize(index + 1, 0);
        }
        self.set_at[index] = self.now;
    }

    #[inline]
    fn has(&self, value_prop: u32) -> bool {
        self.set_at.get(value_prop as usize) == Some(&self.now)
    }
}
