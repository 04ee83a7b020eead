//! What one user did with each value prop in the days before: counts in a sliding window.
//!
//! Holds the window and the day at hand, never a history. Dates are days since 1970-01-01, value
//! props small numbers. What it costs follows from the events of a user, not from how many value
//! props there are.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use super::sweep::Renumbered;

/// Events of one value prop. Packed, for there may be very many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(Rust, packed(8))]
pub struct Counts {
    /// How often it was shown.
    pub prints: u64,
    /// How often it was tapped.
    pub taps: u64,
    /// How often money was spent on it.
    pub payments: u64,
    /// How much, in cents.
    pub cents: i128,
}

impl Counts {
    #[inline]
    fn add(&mut self, other: &Counts) {
        self.prints += other.prints;
        self.taps += other.taps;
        self.payments += other.payments;
        self.cents += other.cents;
    }

    #[inline]
    fn subtract(&mut self, other: &Counts) {
        self.prints -= other.prints;
        self.taps -= other.taps;
        self.payments -= other.payments;
        self.cents -= other.cents;
    }
}

/// The counts of one value prop.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    before: Counts,
    /// Where in `today` its events of the day at hand are, plus one.
    today: Option<NonZeroU32>,
    /// Whether it is in `used`.
    is_used: bool,
}

/// A day in half the room. A timestamp has far fewer.
type ShortDay = i32;

/// The window of one user after the other.
#[derive(Debug)]
pub struct Window {
    lookback_days: i64,
    last_day: i64,
    /// By the number of a value prop; all are empty but those that are used.
    slots: Vec<Slot>,
    /// Value props with events.
    used: Vec<u32>,
    /// Value props with events on the day at hand.
    today: Vec<(u32, Counts)>,
    /// What was counted on those of the days before that leave the window one day.
    past: VecDeque<(ShortDay, u32, Counts)>,
    day: i64,
}

impl Window {
    /// An empty window over `[d − lookback_days, d − 1]`, for days up to `last_day`.
    pub fn new(lookback_days: u32, last_day: i64) -> Window {
        Window {
            lookback_days: lookback_days.into(),
            last_day,
            slots: Vec::new(),
            used: Vec::new(),
            today: Vec::new(),
            past: VecDeque::new(),
            day: i64::MIN,
        }
    }

    /// Forgets everything: another user comes.
    pub fn begin_user(&mut self) {
        for value_prop in self.used.drain(..) {
            self.slots[value_prop as usize] = Slot::default();
        }
        self.today.clear();
        self.past.clear();
    }

    /// Makes `day` the day at hand; what was counted becomes the past, and what is older than
    /// the window is dropped. Days of a user must ascend.
    pub fn begin_day(&mut self, day: i64) {
        let leaves = self.day < self.last_day - self.lookback_days;
        for (value_prop, counts) in self.today.drain(..) {
            let slot = &mut self.slots[value_prop as usize];
            slot.before.add(&counts);
            slot.today = None;
            if leaves {
                self.past.push_back((self.day as ShortDay, value_prop, counts));
            }
        }
        self.day = day;
        let first = day - self.lookback_days;
        while let Some((_, value_prop, counts)) =
            self.past.pop_front_if(|past| i64::from(past.0) < first)
        {
            self.slots[value_prop as usize].before.subtract(&counts);
        }
    }

    /// The value prop's counts of the day at hand, to be added to.
    #[inline]
    pub fn today(&mut self, value_prop: u32) -> &mut Counts {
        let index = value_prop as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::default());
        }
        let at = match self.slots[index].today {
            Some(at) => at.get() as usize - 1,
            None => {
                let slot = &mut self.slots[index];
                if !slot.is_used {
                    slot.is_used = true;
                    self.used.push(value_prop);
                }
                self.today.push((value_prop, Counts::default()));
                slot.today = NonZeroU32::new(self.today.len() as u32);
                self.today.len() - 1
            }
        };
        &mut self.today[at].1
    }

    /// Whether the value prop was tapped on the day at hand, as far as it is counted.
    #[inline]
    pub fn is_tapped_today(&self, value_prop: u32) -> bool {
        let at = self.slots.get(value_prop as usize).and_then(|slot| slot.today);
        at.is_some_and(|at| self.today[at.get() as usize - 1].1.taps > 0)
    }

    /// The value prop's counts of the window before the day at hand.
    #[inline]
    pub fn before(&self, value_prop: u32) -> Counts {
        self.slots.get(value_prop as usize).map_or_else(Counts::default, |slot| slot.before)
    }

    /// Whether the number of a value prop is one that counts anything.
    pub fn holds(&self, value_prop: u32) -> bool {
        let slot = self.slots.get(value_prop as usize);
        slot.is_some_and(|slot| slot.today.is_some() || slot.before != Counts::default())
    }

    /// Goes over to new numbers; those that it [`Window::holds`] must have one.
    pub fn renumber(&mut self, numbers: &Renumbered) {
        let slots = std::mem::take(&mut self.slots);
        for (old, slot) in (0..).zip(slots) {
            if let Some(number) = numbers.number(old) {
                let number = number as usize;
                self.slots.resize(self.slots.len().max(number + 1), Slot::default());
                self.slots[number] = slot;
            }
        }
        let new = |value_prop: &mut u32| {
            if let Some(number) = numbers.number(*value_prop) {
                *value_prop = number;
            }
        };
        self.used.retain_mut(|value_prop| match numbers.number(*value_prop) {
            Some(number) => {
                *value_prop = number;
                true
            }
            None => false,
        });
        self.today.iter_mut().for_each(|(value_prop, _)| new(value_prop));
        self.past.iter_mut().for_each(|(_, value_prop, _)| new(value_prop));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_day_itself_is_never_counted_and_the_last_day_of_the_window_is() {
        let mut window = Window::new(21, 200);
        window.begin_user();
        window.begin_day(100);
        window.today(7).taps += 1;
        assert!(window.is_tapped_today(7));
        assert_eq!(window.before(7).taps, 0);
        window.begin_day(121);
        assert!(!window.is_tapped_today(7));
        assert_eq!(window.before(7).taps, 1);
        window.begin_day(122);
        assert_eq!(window.before(7).taps, 0);
        window.today(7).taps += 1;
        window.begin_user();
        window.begin_day(101);
        assert_eq!(window.before(7), Counts::default());
        assert!(!window.holds(7));
    }

    proptest! {
        #[test]
        fn it_counts_what_a_plain_filter_counts(
            lookback in 1u32..5,
            users in proptest::collection::vec(
                proptest::collection::vec((0i64..12, 0u32..40, 1u64..9), 0..120), 1..4,
            ),
        ) {
            let mut window = Window::new(lookback, 11);
            for mut events in users {
                events.sort_unstable();
                window.begin_user();
                for day in 0..12 {
                    window.begin_day(day);
                    for prop in 0..40 {
                        let inside = |at: i64| at < day && at >= day - i64::from(lookback);
                        let wanted: i128 = events
                            .iter()
                            .filter(|event| event.1 == prop && inside(event.0))
                            .map(|event| i128::from(event.2))
                            .sum();
                        let cents = window.before(prop).cents;
                        prop_assert_eq!(cents, wanted);
                        prop_assert_eq!(window.holds(prop), wanted > 0);
                    }
                    for event in events.iter().filter(|event| event.0 == day) {
                        window.today(event.1).cents += i128::from(event.2);
                    }
                }
            }
        }
    }
}
