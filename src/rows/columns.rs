//! A block unpacked for a sweep: who did what when, column by column, and no more than that.
//!
//! Reads the format of `block`, which keeps all of a row. Users and value props are numbers
//! within the block; files, row numbers and soft issues are passed over. Knows nothing of its
//! neighbours.

use super::block::{MAX_ROWS, NEW_USER};
use super::order::hash_user;
use super::pack::{Input, Short, unpack};
use super::texts::Texts;

/// A block as columns, its rows in runs of one user each.
#[derive(Debug, Default)]
pub(super) struct Columns {
    users: Texts,
    /// Of each user; they ascend.
    hashes: Vec<u64>,
    /// Where each user's rows end.
    ends: Vec<u32>,
    timestamps_us: Vec<i64>,
    value_props: Texts,
    value_prop_of: Vec<u32>,
    measures: Vec<u64>,
}

/// Some rows of one user that lie in one block, oldest first; the columns are equally long.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'b> {
    /// Microseconds since 1970 UTC.
    pub timestamps_us: &'b [i64],
    /// Numbers of value props within the block.
    pub value_prop_of: &'b [u32],
    /// Position + 1 with 0 for none, or the amount in cents.
    pub measures: &'b [u64],
}

impl Columns {
    /// How many users have rows in it.
    pub(super) fn users(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub(super) fn user(&self, user: usize) -> &[u8] {
        self.users.get(user)
    }

    /// The hashes of its users.
    #[inline]
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Where a user's rows begin.
    #[inline]
    pub(super) fn start(&self, user: usize) -> usize {
        if user == 0 { 0 } else { self.ends[user - 1] as usize }
    }

    /// Where each user's rows end.
    #[inline]
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
    }

    #[inline]
    pub(super) fn timestamps_us(&self) -> &[i64] {
        &self.timestamps_us
    }

    #[inline]
    pub(super) fn rows(&self, start: usize, end: usize) -> Rows<'_> {
        Rows {
            timestamps_us: &self.timestamps_us[start..end],
            value_prop_of: &self.value_prop_of[start..end],
            measures: &self.measures[start..end],
        }
    }

    /// The names of its value props, by number.
    pub(super) fn value_props(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.value_props.len()).map(|number| self.value_props.get(number))
    }

    /// Unpacks a block of so many rows, replacing what is there; `false` if it is damaged.
    pub(super) fn decode(&mut self, bytes: &[u8], rows: u64, numbers: &mut Vec<u64>) -> bool {
        self.try_decode(bytes, rows, numbers).is_ok()
    }

    fn try_decode(
        &mut self,
        bytes: &[u8],
        wanted: u64,
        numbers: &mut Vec<u64>,
    ) -> Result<(), Short> {
        let input = &mut Input::new(bytes);
        let rows = input.u32()? as usize;
        if rows as u64 != wanted || rows > MAX_ROWS {
            return Err(Short);
        }
        self.users.decode(input, numbers)?;
        self.hashes.clear();
        self.hashes.extend((0..self.users.len()).map(|user| hash_user(self.users.get(user))));
        unpack(input, rows, numbers)?;
        self.find_ends(numbers)?;
        let unit = input.u64()? as i64;
        unpack(input, rows, numbers)?;
        let mut outside = false;
        self.timestamps_us.clear();
        // The sign bit is flipped, so that the order of u64 is that of i64.
        self.timestamps_us.extend(numbers.iter().map(|&time| {
            let (time_us, overflows) = ((time ^ (1 << 63)) as i64).overflowing_mul(unit);
            outside |= overflows;
            time_us
        }));
        self.value_props.decode(input, numbers)?;
        self.value_prop_of.clear();
        codes(input, rows, self.value_props.len(), numbers, &mut self.value_prop_of)?;
        unpack(input, rows, &mut self.measures)?;
        if outside { Err(Short) } else { Ok(()) }
    }

    /// A user's rows end before the next row that is the first of its user.
    fn find_ends(&mut self, flags: &[u64]) -> Result<(), Short> {
        self.ends.clear();
        let is_first = |flags: u64| flags as u8 & NEW_USER != 0;
        let mut rows = flags.iter().zip(0_u32..);
        if rows.next().is_some_and(|(&flags, _)| !is_first(flags)) {
            return Err(Short);
        }
        self.ends.extend(rows.filter(|&(&flags, _)| is_first(flags)).map(|(_, row)| row));
        if !flags.is_empty() {
            self.ends.push(flags.len() as u32);
        }
        if self.ends.len() == self.users.len() { Ok(()) } else { Err(Short) }
    }
}

/// Reads a column of codes that must lie below `limit`.
fn codes(
    input: &mut Input<'_>,
    rows: usize,
    limit: usize,
    numbers: &mut Vec<u64>,
    out: &mut Vec<u32>,
) -> Result<(), Short> {
    unpack(input, rows, numbers)?;
    if numbers.iter().any(|&code| code >= limit as u64) {
        return Err(Short);
    }
    out.extend(numbers.iter().map(|&code| code as u32));
    Ok(())
}
