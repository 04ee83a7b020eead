//! One pass over the events of all three sources, one user at a time.
//!
//! The streams are in user order, so nothing is looked up: users are found by comparing hashes,
//! and a user's rows are taken up to an instant, source by source. Value props are numbered over
//! the whole pass, so that whoever counts needs no names. Knows nothing of what is counted.

use crate::rows::{HashRange, Interner, RowsError, RowsFile, Users};

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;
/// The sources by number.
pub const PRINTS: usize = 0;
pub const TAPS: usize = 1;
pub const PAYMENTS: usize = 2;

/// Fewer value props than this, or bytes of their names, are never worth numbering anew; the
/// blocks at hand alone may have nearly as many.
const MANY_VALUE_PROPS: usize = if cfg!(test) { 8 } else { 1 << 14 };
const MANY_BYTES: usize = 1 << 20;
/// The block at hand is not numbered.
const NO_BLOCK: u64 = 0;
/// The value prop has no number any more.
const FORGOTTEN: u32 = u32::MAX;

/// The UTC date of an instant, as days since 1970-01-01.
#[inline]
pub fn day_of(timestamp_us: i64) -> i64 {
    timestamp_us.div_euclid(DAY_US)
}

/// The first instant of a day.
#[inline]
pub fn first_us(day: i64) -> i64 {
    day.saturating_mul(DAY_US)
}

/// The last instant of a day.
#[inline]
pub fn last_us(day: i64) -> i64 {
    first_us(day).saturating_add(DAY_US - 1)
}

/// How many of these ascending times are not after `last_us`.
#[inline]
fn up_to(timestamps_us: &[i64], last_us: i64) -> usize {
    let after = timestamps_us.iter().position(|&time_us| time_us > last_us);
    after.unwrap_or(timestamps_us.len())
}

/// Events of one user and one source, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Events<'s> {
    /// The id of the user.
    pub user: &'s [u8],
    /// When they happened.
    pub timestamps_us: &'s [i64],
    /// Their positions + 1 with 0 for none, or their amounts in cents.
    pub measures: &'s [u64],
    value_prop_of: &'s [u32],
    numbers: &'s [u32],
    value_props: &'s Interner,
}

impl<'s> Events<'s> {
    /// How many.
    #[inline]
    pub fn len(&self) -> usize {
        self.timestamps_us.len()
    }

    /// The numbers of their value props.
    #[inline]
    pub fn value_props(&self) -> impl Iterator<Item = u32> + use<'s> {
        let numbers = self.numbers;
        self.value_prop_of.iter().map(move |&code| numbers[code as usize])
    }

    /// The name of a value prop.
    #[inline]
    pub fn name(&self, value_prop: u32) -> &'s [u8] {
        self.value_props.name(value_prop)
    }
}

/// What the value props of a block are called over the whole pass.
#[derive(Debug, Default)]
struct Numbers {
    block: u64,
    numbers: Vec<u32>,
}

/// The three streams and where the pass stands.
pub struct Sweep<'f> {
    streams: [Users<'f>; 3],
    /// Which of them have rows of the user.
    has: [bool; 3],
    numbers: [Numbers; 3],
    value_props: Interner,
    many_value_props: usize,
    many_bytes: usize,
}

impl<'f> Sweep<'f> {
    /// Stands before the first user of the range; `files` are prints, taps and payments.
    pub fn new(files: &'f [RowsFile; 3], range: HashRange) -> Result<Sweep<'f>, RowsError> {
        let [prints, taps, payments] = files;
        let users = |file| Users::new(file, range);
        Ok(Sweep {
            streams: [users(prints)?, users(taps)?, users(payments)?],
            has: [false; 3],
            numbers: Default::default(),
            value_props: Interner::default(),
            many_value_props: MANY_VALUE_PROPS,
            many_bytes: MANY_BYTES,
        })
    }

    /// Goes to the next user of any source; `false` after the last.
    pub fn next_user(&mut self) -> Result<bool, RowsError> {
        self.leave_user()?;
        let Some(hash) = self.streams.iter().filter_map(Users::hash).min() else {
            return Ok(false);
        };
        let mut first: Option<usize> = None;
        for source in 0..self.streams.len() {
            if self.streams[source].hash() != Some(hash) {
                continue;
            }
            // Users of the same hash are the same user but for wonders.
            let order =
                first.map(|first| self.streams[source].user().cmp(self.streams[first].user()));
            if order.is_none_or(std::cmp::Ordering::is_lt) {
                self.has = [false; 3];
                first = Some(source);
            }
            self.has[source] = order.is_none_or(std::cmp::Ordering::is_le);
        }
        Ok(true)
    }

    /// Goes to the next user who may have an event of `source` at that time or later and surely
    /// has one of `source`; `false` after the last.
    pub fn next_user_since(&mut self, source: usize, from_us: i64) -> Result<bool, RowsError> {
        self.leave_user()?;
        self.streams[source].skip_to_time(from_us)?;
        let Some(hash) = self.streams[source].hash() else { return Ok(false) };
        self.has[source] = true;
        for other in (0..self.streams.len()).filter(|&other| other != source) {
            self.streams[other].skip_to_hash(hash)?;
            while self.streams[other].hash() == Some(hash) {
                let order = self.streams[other].user().cmp(self.streams[source].user());
                self.has[other] = order.is_eq();
                if order.is_ge() {
                    break;
                }
                self.streams[other].skip_user()?;
            }
        }
        Ok(true)
    }

    /// The time of the user's next event of a source; `None` if there is no more.
    #[inline]
    pub fn next_us(&self, source: usize) -> Option<i64> {
        self.has[source].then(|| self.streams[source].timestamp_us())
    }

    /// The user's next events of a source up to and at `last_us`, as many as lie together;
    /// `None` if there is no more.
    #[inline]
    pub fn peek(&mut self, source: usize, last_us: i64) -> Option<Events<'_>> {
        if !self.has[source] {
            return None;
        }
        if self.numbers[source].block != self.streams[source].block() {
            self.number(source);
        }
        let stream = &self.streams[source];
        let all = stream.rows();
        let count = up_to(all.timestamps_us, last_us);
        (count > 0).then(|| Events {
            user: stream.user(),
            timestamps_us: &all.timestamps_us[..count],
            measures: &all.measures[..count],
            value_prop_of: &all.value_prop_of[..count],
            numbers: &self.numbers[source].numbers,
            value_props: &self.value_props,
        })
    }

    /// Takes so many of the events that [`Sweep::peek`] gave.
    #[inline]
    pub fn pass(&mut self, source: usize, count: usize) -> Result<(), RowsError> {
        self.has[source] = self.streams[source].take(count)?;
        Ok(())
    }

    /// Takes all of the user's events of a source up to and at `last_us`.
    #[inline]
    pub fn take(
        &mut self,
        source: usize,
        last_us: i64,
        mut each: impl FnMut(&Events<'_>),
    ) -> Result<(), RowsError> {
        while let Some(events) = self.peek(source, last_us) {
            each(&events);
            let count = events.len();
            self.pass(source, count)?;
        }
        Ok(())
    }

    /// Takes the user's events of a source up to and at `last_us`, of which only times and
    /// measures are wanted.
    #[inline]
    pub fn skim(
        &mut self,
        source: usize,
        last_us: i64,
        mut each: impl FnMut(&[i64], &[u64]),
    ) -> Result<(), RowsError> {
        while self.has[source] {
            let all = self.streams[source].rows();
            let count = up_to(all.timestamps_us, last_us);
            if count == 0 {
                break;
            }
            each(&all.timestamps_us[..count], &all.measures[..count]);
            self.pass(source, count)?;
        }
        Ok(())
    }

    /// Numbers value props anew where they have become very many and most are no longer
    /// `needed`; only those that are keep a number. Gives the new numbers by the old ones.
    pub fn renumber(&mut self, needed: impl Fn(u32) -> bool) -> Option<Renumbered> {
        let known = &self.value_props;
        let (count, bytes) = (known.len(), known.text_bytes());
        if count < self.many_value_props && bytes < self.many_bytes {
            return None;
        }
        if (0..count as u32).filter(|&number| needed(number)).count() > count / 2 {
            // For a moment there would be nearly twice as many.
            (self.many_value_props, self.many_bytes) = (2 * count, 2 * bytes);
            return None;
        }
        let mut kept = Interner::default();
        let numbers = (0..known.len() as u32)
            .map(|number| if needed(number) { kept.number(known.name(number)) } else { FORGOTTEN });
        let renumbered = Renumbered(numbers.collect());
        self.value_props = kept;
        self.many_value_props = MANY_VALUE_PROPS + 2 * self.value_props.len();
        self.many_bytes = MANY_BYTES + 2 * self.value_props.text_bytes();
        self.numbers.iter_mut().for_each(|numbers| numbers.block = NO_BLOCK);
        Some(renumbered)
    }

    /// Passes over what was not taken of the user.
    fn leave_user(&mut self) -> Result<(), RowsError> {
        for (has, stream) in self.has.iter_mut().zip(&mut self.streams) {
            if std::mem::take(has) {
                stream.skip_user()?;
            }
        }
        Ok(())
    }

    /// Numbers the value props of the block at hand.
    #[cold]
    fn number(&mut self, source: usize) {
        let (numbers, stream) = (&mut self.numbers[source], &self.streams[source]);
        numbers.block = stream.block();
        numbers.numbers.clear();
        numbers.numbers.extend(stream.value_props().map(|name| self.value_props.number(name)));
    }
}

/// New numbers of value props by their old ones.
#[derive(Debug)]
pub struct Renumbered(Vec<u32>);

impl Renumbered {
    /// The new number, if it was needed.
    pub fn number(&self, old: u32) -> Option<u32> {
        self.0.get(old as usize).copied().filter(|&number| number != FORGOTTEN)
    }
}
