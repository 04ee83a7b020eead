//! The rows of Gold of a range of users, one after the other in user order.
//!
//! For each user and day the taps come first, then the prints are given away, then the day
//! becomes part of the past. What happened on the day of a print or later cannot reach it,
//! because it is not counted yet. Users without a print in the target window are passed over, and
//! so is what no window of the target reaches. Knows no table: rows go to a [`Sink`].

use super::sweep::{Events, PAYMENTS, PRINTS, Sweep, TAPS, day_of, first_us, last_us};
use super::window::{Counts, Window};
use crate::frame::GoldRow;
use crate::rows::RowsError;

/// The prints whose day is in `first_day..=last_day` become rows of Gold; these days before
/// each are looked back upon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub first_day: i64,
    pub last_day: i64,
    pub lookback_days: u32,
}

/// Where rows of Gold go.
pub(super) trait Sink {
    /// Why it wants no more.
    type Stop: From<RowsError>;

    /// Takes a row; the name is that of its value prop.
    fn row(&mut self, row: &GoldRow<'_>, value_prop: &[u8]) -> Result<(), Self::Stop>;

    /// From now on numbers stand for other value props than before.
    fn renumbered(&mut self) -> Result<(), Self::Stop>;
}

/// Gives all rows of Gold of the sweep's users to `sink`.
pub(super) fn gold_rows<S: Sink>(
    mut sweep: Sweep<'_>,
    target: Target,
    sink: &mut S,
) -> Result<(), S::Stop> {
    let mut window = Window::new(target.lookback_days, target.last_day);
    let first_needed_us = first_us(target.first_day - i64::from(target.lookback_days));
    while sweep.next_user_since(PRINTS, first_us(target.first_day))? {
        window.begin_user();
        for source in [PRINTS, TAPS, PAYMENTS] {
            sweep.skim(source, first_needed_us.saturating_sub(1), |_, _| {})?;
        }
        while let Some(day) = next_day(&sweep).filter(|&day| day <= target.last_day) {
            window.begin_day(day);
            if let Some(numbers) = sweep.renumber(|value_prop| window.holds(value_prop)) {
                window.renumber(&numbers);
                sink.renumbered()?;
            }
            add_day(&mut sweep, &mut window, day, day >= target.first_day, sink)?;
        }
    }
    Ok(())
}

/// The user's next day with an event of any source. What comes after the last print matters to
/// none.
#[inline]
fn next_day(sweep: &Sweep<'_>) -> Option<i64> {
    let mut next_us = sweep.next_us(PRINTS)?;
    for source in [TAPS, PAYMENTS] {
        next_us = sweep.next_us(source).map_or(next_us, |time_us| next_us.min(time_us));
    }
    Some(day_of(next_us))
}

#[inline]
fn add_day<S: Sink>(
    sweep: &mut Sweep<'_>,
    window: &mut Window,
    day: i64,
    is_wanted: bool,
    sink: &mut S,
) -> Result<(), S::Stop> {
    let end_us = last_us(day);
    sweep.take(TAPS, end_us, |taps| {
        taps.value_props().for_each(|value_prop| window.today(value_prop).taps += 1);
    })?;
    while let Some(prints) = sweep.peek(PRINTS, end_us) {
        if is_wanted {
            for (&timestamp_us, value_prop) in prints.timestamps_us.iter().zip(prints.value_props())
            {
                let row = row(&prints, timestamp_us, value_prop, window);
                sink.row(&row, prints.name(value_prop))?;
            }
        }
        prints.value_props().for_each(|value_prop| window.today(value_prop).prints += 1);
        let count = prints.len();
        sweep.pass(PRINTS, count)?;
    }
    sweep.take(PAYMENTS, end_us, |payments| {
        for (value_prop, &cents) in payments.value_props().zip(payments.measures) {
            let today = window.today(value_prop);
            today.payments += 1;
            today.cents += i128::from(cents);
        }
    })?;
    Ok(())
}

#[inline]
fn row<'e>(
    prints: &Events<'e>,
    timestamp_us: i64,
    value_prop: u32,
    window: &Window,
) -> GoldRow<'e> {
    let Counts { prints: shown, taps, payments, cents } = window.before(value_prop);
    GoldRow {
        timestamp_us,
        user: prints.user,
        value_prop,
        clicked: window.is_tapped_today(value_prop),
        prints: shown,
        taps,
        payments,
        cents,
    }
}
