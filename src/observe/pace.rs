//! How fast a step goes, and when it is time to say so again.
//!
//! Works on durations that it is given; does not know the clock or what is counted.

use std::time::Duration;

/// The pace of one step of a task, from what it has reported so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    began: Duration,
    began_with: u64,
    shown: Duration,
}

impl Pace {
    /// A step that begins at this time with nothing done.
    pub fn starting(now: Duration) -> Pace {
        Pace { began: now, began_with: 0, shown: now }
    }

    /// The pace of the step after this one; what was said last still counts.
    pub fn next_step(self, now: Duration) -> Pace {
        Pace { shown: self.shown, ..Pace::starting(now) }
    }

    /// Whether at least `interval` has passed since it was last time; if so, now is that time.
    pub fn is_time(&mut self, now: Duration, interval: Duration) -> bool {
        let due = now.saturating_sub(self.shown) >= interval;
        if due {
            self.shown = now;
        }
        due
    }

    /// A step that begins anew within itself, as a counter that goes back tells.
    pub fn restart_if_behind(&mut self, now: Duration, before: u64, done: u64) {
        if done < before {
            (self.began, self.began_with) = (now, done);
        }
    }

    /// How much is done a second, once that can be told.
    pub fn per_second(&self, now: Duration, done: u64) -> Option<u64> {
        let seconds = now.saturating_sub(self.began).as_secs_f64();
        let done = done.checked_sub(self.began_with)?;
        (seconds >= 0.1).then(|| (done as f64 / seconds) as u64)
    }
}

/// How long the rest will take at this pace.
pub(super) fn seconds_left(done: u64, total: u64, per_second: u64) -> Option<u64> {
    let left = total.saturating_sub(done);
    (per_second > 0).then(|| left.div_ceil(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn lines_keep_their_distance() {
        let mut pace = Pace::starting(SECOND);
        let times: Vec<u32> =
            (1..=13).filter(|&at| pace.is_time(at * SECOND, 5 * SECOND)).collect();
        assert_eq!(times, [6, 11]);
    }

    #[test]
    fn the_pace_is_that_of_the_step() {
        let mut pace = Pace::starting(10 * SECOND);
        assert_eq!(pace.per_second(10 * SECOND, 5), None);
        assert_eq!(pace.per_second(14 * SECOND, 1000), Some(250));
        pace.restart_if_behind(20 * SECOND, 1000, 100);
        assert_eq!(pace.per_second(22 * SECOND, 300), Some(100));
    }

    #[test]
    fn the_rest_takes_as_long_as_the_pace_says() {
        assert_eq!(seconds_left(100, 1000, 100), Some(9));
        assert_eq!(seconds_left(100, 1000, 0), None);
        assert_eq!(seconds_left(1000, 1000, 7), Some(0));
        assert_eq!(seconds_left(1001, 1000, 7), Some(0));
    }
}
