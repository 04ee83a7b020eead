//! What one user did with each value prop in the days before: counts in a sliding window.
//!
//! Holds the window and the day at hand, never a history. Dates are days since 1970-01-01.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use crate::rows::Interner;

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
    fn add(&mut self, other: &Counts) {
        self.prints += other.prints;
        self.taps += other.taps;
        self.payments += other.payments;
        self.cents += other.cents;
    }

    fn subtract(&mut self, other: &Counts) {
        self.prints -= other.prints;
        self.taps -= other.taps;
        self.payments -= other.payments;
        self.cents -= other.cents;
    }
}

/// The counts of one value prop.
#[derive(Debug, Clone, Copy)]
struct Slot {
    before: Counts,
    /// Where in `today` its events of the day at hand are.
    today: Option<NonZeroU32>,
}

/// The window of one user after the other.
#[derive(Debug)]
pub struct Window {
    lookback_days: i64,
    /// The number of a value prop is that of its slot.
    value_props: Interner,
    slots: Vec<Slot>,
    /// Slots with events on the day at hand; a slot names its place here plus one.
    today: Vec<(u32, Counts)>,
    days: VecDeque<(i64, Vec<(u32, Counts)>)>,
    day: i64,
}

/// Fewer slots than this are never worth clearing away.
const MANY_SLOTS: usize = 4096;

impl Window {
    /// An empty window over `[d − lookback_days, d − 1]`.
    pub fn new(lookback_days: u32) -> Window {
        Window {
            lookback_days: lookback_days.into(),
            value_props: Interner::default(),
            slots: Vec::new(),
            today: Vec::new(),
            days: VecDeque::new(),
            day: i64::MIN,
        }
    }

    /// Forgets everything: another user comes.
    pub fn begin_user(&mut self) {
        self.end_day();
        while self.drop_oldest_day() {}
        self.compact();
    }

    /// Makes `day` the day at hand; what was counted becomes the past, and what is older than
    /// the window is dropped. Days of a user must ascend.
    pub fn begin_day(&mut self, day: i64) {
        self.end_day();
        self.day = day;
        let first = day - self.lookback_days;
        while self.days.front().is_some_and(|(oldest, _)| *oldest < first) {
            self.drop_oldest_day();
        }
        self.compact();
    }

    /// The value prop's counts of the day at hand, to be added to.
    #[inline]
    pub fn today(&mut self, value_prop: &[u8]) -> &mut Counts {
        let slot = self.slot(value_prop);
        let at = match self.slots[slot].today {
            Some(at) => at.get() as usize - 1,
            None => {
                self.today.push((slot as u32, Counts::default()));
                self.slots[slot].today = NonZeroU32::new(self.today.len() as u32);
                self.today.len() - 1
            }
        };
        &mut self.today[at].1
    }

    /// Whether the value prop was tapped on the day at hand, as far as it is counted.
    #[inline]
    pub fn is_tapped_today(&mut self, value_prop: &[u8]) -> bool {
        let slot = self.slot(value_prop);
        self.slots[slot].today.is_some_and(|at| self.today[at.get() as usize - 1].1.taps > 0)
    }

    /// The value prop's counts of the window before the day at hand.
    #[inline]
    pub fn before(&mut self, value_prop: &[u8]) -> Counts {
        let slot = self.slot(value_prop);
        self.slots[slot].before
    }

    #[inline]
    fn slot(&mut self, value_prop: &[u8]) -> usize {
        let slot = self.value_props.number(value_prop) as usize;
        if slot == self.slots.len() {
            self.slots.push(Slot { before: Counts::default(), today: None });
        }
        slot
    }

    fn end_day(&mut self) {
        if self.today.is_empty() {
            return;
        }
        for (slot, counts) in &self.today {
            let slot = &mut self.slots[*slot as usize];
            slot.before.add(counts);
            slot.today = None;
        }
        // A copy of just its size: it stays as long as the window.
        self.days.push_back((self.day, self.today.as_slice().to_vec()));
        self.today.clear();
    }

    fn drop_oldest_day(&mut self) -> bool {
        let Some((_, day)) = self.days.pop_front() else { return false };
        for (slot, counts) in day {
            self.slots[slot as usize].before.subtract(&counts);
        }
        true
    }

    /// Clears away the slots of value props that left the window, once they are many.
    fn compact(&mut self) {
        if self.slots.len() < MANY_SLOTS {
            return;
        }
        let is_live = |slot: &Slot| slot.before != Counts::default();
        let live = self.slots.iter().filter(|slot| is_live(slot)).count();
        if live > self.slots.len() / 2 {
            return;
        }
        let mut moved = vec![0; self.slots.len()];
        let (mut value_props, mut kept) = (Interner::default(), Vec::with_capacity(live));
        for (from, slot) in self.slots.iter().enumerate().filter(|(_, slot)| is_live(slot)) {
            moved[from] = value_props.number(self.value_props.name(from as u32));
            kept.push(*slot);
        }
        (self.value_props, self.slots) = (value_props, kept);
        for (_, day) in &mut self.days {
            day.iter_mut().for_each(|(slot, _)| *slot = moved[*slot as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_day_itself_is_never_counted_and_the_last_day_of_the_window_is() {
        let mut window = Window::new(21);
        window.begin_user();
        window.begin_day(100);
        window.today(b"v").taps += 1;
        assert_eq!(window.before(b"v").taps, 0);
        window.begin_day(121);
        assert_eq!(window.before(b"v").taps, 1);
        window.begin_day(122);
        assert_eq!(window.before(b"v").taps, 0);
        window.begin_user();
        window.begin_day(101);
        assert_eq!(window.before(b"v"), Counts::default());
    }

    #[test]
    fn a_user_of_countless_value_props_holds_a_window_not_a_history() {
        let mut window = Window::new(2);
        window.begin_user();
        for day in 0..200 {
            window.begin_day(day);
            for prop in 0..1000 {
                window.today(format!("{day} {prop}").as_bytes()).prints += 1;
            }
        }
        assert!(window.slots.len() < 3 * MANY_SLOTS, "{}", window.slots.len());
        assert_eq!(window.before(b"198 7").prints, 1);
        assert_eq!(window.before(b"196 7").prints, 0);
    }

    proptest! {
        #[test]
        fn it_counts_what_a_plain_filter_counts(
            lookback in 1u32..5,
            events in proptest::collection::vec((0i64..12, 0u8..40, 1u64..9), 0..120),
        ) {
            let mut events = events;
            events.sort_unstable();
            let mut window = Window::new(lookback);
            window.begin_user();
            for day in 0..12 {
                window.begin_day(day);
                for prop in 0..40u8 {
                    let inside = |at: i64| at < day && at >= day - i64::from(lookback);
                    let wanted: i128 = events
                        .iter()
                        .filter(|event| event.1 == prop && inside(event.0))
                        .map(|event| i128::from(event.2))
                        .sum();
                    prop_assert_eq!(window.before(&[prop]).cents, wanted);
                }
                for event in events.iter().filter(|event| event.0 == day) {
                    window.today(&[event.1]).cents += i128::from(event.2);
                }
            }
        }
    }
}
