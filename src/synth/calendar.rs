//! The days of a data set, and how many of its rows fall on each of them.
//!
//! Knows dates and weekdays; nothing of what a row is.

use chrono::{Datelike, Days, NaiveDate};

/// How busy a day is, Monday to Sunday.
const WEEKDAY_WEIGHT: [u64; 7] = [20, 20, 21, 22, 25, 23, 18];

/// Consecutive days with a share of the rows each.
pub(super) struct Calendar {
    days: Vec<Day>,
    total_weight: u64,
}

/// One day.
pub(super) struct Day {
    /// `2020-11-01`, as raw files write it.
    pub text: String,
    weight_through: u64,
}

impl Calendar {
    /// The `days` days that end with `end`; `None` if they leave the years 1970 to 9999.
    pub fn ending(end: NaiveDate, days: u32) -> Option<Calendar> {
        let first = end.checked_sub_days(Days::new(u64::from(days).checked_sub(1)?))?;
        if first.year() < 1970 || end.year() > 9999 {
            return None;
        }
        let mut total_weight = 0;
        let days = first
            .iter_days()
            .take(days as usize)
            .map(|date| {
                total_weight += WEEKDAY_WEIGHT[date.weekday().num_days_from_monday() as usize];
                Day { text: date.to_string(), weight_through: total_weight }
            })
            .collect();
        Some(Calendar { days, total_weight })
    }

    /// The days, oldest first.
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    /// How many of `total` rows are written when `day` is over; all of them after the last day.
    pub fn rows_through(&self, day: &Day, total: u64) -> u64 {
        let share = u128::from(total) * u128::from(day.weight_through);
        (share / u128::from(self.total_weight)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn november_ends_with_the_thirtieth_and_all_rows_are_spread() {
        let end = NaiveDate::from_ymd_opt(2020, 11, 30).unwrap();
        let calendar = Calendar::ending(end, 30).unwrap();
        let days = calendar.days();
        assert_eq!(days.first().unwrap().text, "2020-11-01");
        assert_eq!(days.last().unwrap().text, "2020-11-30");
        assert_eq!(calendar.rows_through(days.last().unwrap(), 20_000), 20_000);
        let through: Vec<u64> = days.iter().map(|day| calendar.rows_through(day, 20_000)).collect();
        assert!(through.windows(2).all(|pair| (500..900).contains(&(pair[1] - pair[0]))));
    }

    #[test]
    fn days_outside_the_calendar_are_refused() {
        let early = NaiveDate::from_ymd_opt(1970, 1, 2).unwrap();
        assert!(Calendar::ending(early, 2).is_some());
        assert!(Calendar::ending(early, 3).is_none());
        assert!(Calendar::ending(early, 0).is_none());
    }
}
