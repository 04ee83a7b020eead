//! One pass over the events of all three sources, one user at a time, one day at a time.
//!
//! The streams are in user order, so nothing is looked up: the least user of the three streams
//! comes next, then that user's days one after the other. Knows nothing of what is counted.

use crate::rows::{Cursor, HashRange, Merge, RowRef, RowsError, RowsFile};

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;

/// The UTC date of an instant, as days since 1970-01-01.
#[inline]
pub fn day_of(timestamp_us: i64) -> i64 {
    timestamp_us.div_euclid(DAY_US)
}

/// The three streams and where the pass stands.
pub struct Sweep<'f> {
    streams: [Merge<'f>; 3],
    hash: u64,
    user: Vec<u8>,
    day: i64,
}

impl<'f> Sweep<'f> {
    /// Stands before the first user of the range; `files` are prints, taps and payments.
    pub fn new(files: [&'f RowsFile; 3], range: HashRange) -> Result<Sweep<'f>, RowsError> {
        let stream = |file: &'f RowsFile| {
            let cursors: Result<Vec<Cursor<'f>>, RowsError> =
                (0..file.runs()).map(|run| Cursor::new(file, run, range, None)).collect();
            Ok::<_, RowsError>(Merge::new(cursors?))
        };
        let [prints, taps, payments] = files;
        let streams = [stream(prints)?, stream(taps)?, stream(payments)?];
        Ok(Sweep { streams, hash: 0, user: Vec::new(), day: 0 })
    }

    /// Goes to the next user; `false` after the last. All rows of the one before must be taken.
    pub fn next_user(&mut self) -> bool {
        let rows = self.streams.iter().filter_map(Merge::row);
        let Some(first) = rows.min_by(|a, b| (a.hash, a.user).cmp(&(b.hash, b.user))) else {
            return false;
        };
        self.hash = first.hash;
        self.user.clear();
        self.user.extend_from_slice(first.user);
        true
    }

    /// Goes to the user's next day with any event; `None` after the last. All rows of the day
    /// before must be taken.
    pub fn next_day(&mut self) -> Option<i64> {
        let days = self.streams.iter().filter_map(|stream| {
            let row = stream.row()?;
            self.is_users(&row).then(|| day_of(row.timestamp_us))
        });
        self.day = days.min()?;
        Some(self.day)
    }

    /// Takes the user's rows of the day of one source: 0 prints, 1 taps, 2 payments.
    pub fn take_day(
        &mut self,
        source: usize,
        mut each: impl FnMut(&RowRef<'_>),
    ) -> Result<(), RowsError> {
        while let Some(row) = self.streams[source].row() {
            if !self.is_users(&row) || day_of(row.timestamp_us) != self.day {
                break;
            }
            each(&row);
            self.streams[source].advance()?;
        }
        Ok(())
    }

    #[inline]
    fn is_users(&self, row: &RowRef<'_>) -> bool {
        row.hash == self.hash && row.user == self.user
    }
}
