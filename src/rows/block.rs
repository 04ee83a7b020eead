//! A block of rows in user order, unpacked into columns.
//!
//! ```text
//! rows (u32)  users  flags  unit of timestamps (u64)  timestamps  value props  value prop numbers
//! measures  files  row numbers
//! ```
//! Each user and each value prop of a block is kept once; a flag marks the first row of a user.
//! A block knows nothing of its neighbours nor of the file that it lies in. `build` packs one.

use super::order::{RowRef, hash_user};
use super::pack::{Input, Short, unpack};
use super::texts::{MAX_TEXTS, Texts};

/// Rows in user order, column by column.
#[derive(Debug, Default, Clone)]
pub struct Block {
    users: Texts,
    hashes: Vec<u64>,
    user_of: Vec<u32>,
    timestamps_us: Vec<i64>,
    value_props: Texts,
    value_prop_of: Vec<u32>,
    measures: Vec<u64>,
    files: Vec<u32>,
    row_numbers: Vec<u64>,
    soft_issues: Vec<u8>,
}

/// The flag of the first row of a user; the other bits are the soft issues.
pub(super) const NEW_USER: u8 = 0x80;

impl Block {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.timestamps_us.len()
    }

    /// The row at `index`, which must be below [`Block::len`].
    #[inline]
    pub fn row(&self, index: usize) -> RowRef<'_> {
        let user = self.user_of[index] as usize;
        RowRef {
            hash: self.hashes[user],
            user: self.users.get(user),
            timestamp_us: self.timestamps_us[index],
            value_prop: self.value_props.get(self.value_prop_of[index] as usize),
            measure: self.measures[index],
            file: self.files[index],
            row_number: self.row_numbers[index],
            soft_issues: self.soft_issues[index],
        }
    }

    /// The hash of the row at `index` alone.
    #[inline]
    pub fn hash(&self, index: usize) -> u64 {
        self.hashes[self.user_of[index] as usize]
    }

    fn clear(&mut self) {
        self.users.clear();
        self.hashes.clear();
        self.user_of.clear();
        self.timestamps_us.clear();
        self.value_props.clear();
        self.value_prop_of.clear();
        self.measures.clear();
        self.files.clear();
        self.row_numbers.clear();
        self.soft_issues.clear();
    }

    /// Unpacks a block, replacing what is there; `false` if it is damaged.
    pub fn decode(&mut self, bytes: &[u8], numbers: &mut Vec<u64>) -> bool {
        self.clear();
        self.try_decode(bytes, numbers).is_ok()
    }

    fn try_decode(&mut self, bytes: &[u8], numbers: &mut Vec<u64>) -> Result<(), Short> {
        let input = &mut Input::new(bytes);
        let rows = input.u32()? as usize;
        if rows > MAX_TEXTS {
            return Err(Short);
        }
        self.users.decode(input, numbers)?;
        self.hashes.extend((0..self.users.len()).map(|user| hash_user(self.users.get(user))));
        unpack(input, rows, numbers)?;
        let mut users = 0_u32;
        for &flags in numbers.iter() {
            users += u32::from(flags as u8 & NEW_USER != 0);
            self.user_of.push(users.checked_sub(1).ok_or(Short)?);
            self.soft_issues.push(flags as u8 & !NEW_USER);
        }
        if users as usize != self.users.len() {
            return Err(Short);
        }
        let unit = input.u64()? as i64;
        unpack(input, rows, numbers)?;
        for &time in numbers.iter() {
            self.timestamps_us.push(time_of(time, unit).ok_or(Short)?);
        }
        self.value_props.decode(input, numbers)?;
        codes(input, rows, self.value_props.len(), numbers, &mut self.value_prop_of)?;
        unpack(input, rows, &mut self.measures)?;
        codes(input, rows, u32::MAX as usize, numbers, &mut self.files)?;
        unpack(input, rows, &mut self.row_numbers)?;
        if input.is_empty() { Ok(()) } else { Err(Short) }
    }
}

/// A packed timestamp: its order is that of u64, so the sign bit is flipped.
#[inline]
pub(super) fn time_of(packed: u64, unit_us: i64) -> Option<i64> {
    ((packed ^ (1 << 63)) as i64).checked_mul(unit_us)
}

/// Reads a column of codes that must lie below `limit`.
pub(super) fn codes(
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
