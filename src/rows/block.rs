//! A few thousand rows in user order as columns: in memory, and packed into bytes.
//!
//! Each user and each value prop of a block is kept once. A block knows nothing of its
//! neighbours nor of the file that it lies in.

use super::interner::Interner;
use super::order::{RowRef, hash_user};
use super::pack::{Input, Short, pack, unpack};

/// Strings end to end.
#[derive(Debug, Default, Clone)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.ends.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.bytes);
        pack(out, self.ends.iter().map(|&end| u64::from(end)));
    }

    pub(super) fn decode(
        &mut self,
        input: &mut Input<'_>,
        numbers: &mut Vec<u64>,
    ) -> Result<(), Short> {
        self.clear();
        let count = input.u32()? as usize;
        let length = input.u32()? as usize;
        if count > MAX_ROWS {
            return Err(Short);
        }
        self.bytes.extend_from_slice(input.take(length)?);
        unpack(input, count, numbers)?;
        let sorted = numbers.is_sorted();
        if !sorted || numbers.last().is_some_and(|&end| end > length as u64) {
            return Err(Short);
        }
        self.ends.extend(numbers.iter().map(|&end| end as u32));
        Ok(())
    }
}

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
    /// Soft issues in the low bits, the duplicate flag in the highest.
    flags: Vec<u8>,
}

/// More rows than any block has: damaged bytes must not ask for all memory.
pub(super) const MAX_ROWS: usize = 1 << 20;
const DUPLICATE: u8 = 0x80;
/// Timestamps are divided by the largest of these that divides them all.
const UNITS_US: [i64; 3] = [86_400_000_000, 1_000_000, 1];

impl Block {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.timestamps_us.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.timestamps_us.is_empty()
    }

    /// The row at `index`, which must be below [`Block::len`].
    #[inline]
    pub fn row(&self, index: usize) -> RowRef<'_> {
        let user = self.user_of[index] as usize;
        let flags = self.flags[index];
        RowRef {
            hash: self.hashes[user],
            user: self.users.get(user),
            timestamp_us: self.timestamps_us[index],
            value_prop: self.value_props.get(self.value_prop_of[index] as usize),
            measure: self.measures[index],
            file: self.files[index],
            row_number: self.row_numbers[index],
            soft_issues: flags & !DUPLICATE,
            duplicate: flags & DUPLICATE != 0,
        }
    }

    /// The hash of the row at `index` alone.
    #[inline]
    pub fn hash(&self, index: usize) -> u64 {
        self.hashes[self.user_of[index] as usize]
    }

    /// The smallest and the largest timestamp.
    pub fn timestamp_bounds(&self) -> Option<(i64, i64)> {
        let least = self.timestamps_us.iter().min()?;
        let most = self.timestamps_us.iter().max()?;
        Some((*least, *most))
    }

    /// Bytes of text held.
    pub fn text_bytes(&self) -> usize {
        self.users.bytes.len() + self.value_props.bytes.len()
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
        self.flags.clear();
    }

    /// Appends the packed bytes; without `provenance` the file, the row number and the flags of a
    /// row are left out and read as zero.
    pub fn encode(&self, out: &mut Vec<u8>, provenance: bool) {
        let kept = |number: u64| if provenance { number } else { 0 };
        out.extend_from_slice(&(self.len() as u32).to_le_bytes());
        self.users.encode(out);
        pack(out, self.user_of.iter().map(|&user| u64::from(user)));
        let unit = *UNITS_US
            .iter()
            .find(|&&unit| self.timestamps_us.iter().all(|time| time % unit == 0))
            .unwrap_or(&1);
        out.extend_from_slice(&(unit as u64).to_le_bytes());
        // The sign bit is flipped, so that the order of u64 is that of i64.
        let ordered = |time: &i64| (time / unit) as u64 ^ (1 << 63);
        pack(out, self.timestamps_us.iter().map(ordered));
        self.value_props.encode(out);
        pack(out, self.value_prop_of.iter().map(|&code| u64::from(code)));
        pack(out, self.measures.iter().copied());
        pack(out, self.files.iter().map(|&file| kept(file.into())));
        pack(out, self.row_numbers.iter().map(|&number| kept(number)));
        pack(out, self.flags.iter().map(|&flags| kept(flags.into())));
    }

    /// The rows that are not flagged as duplicates; `None` where that is all of them.
    pub fn without_duplicates(&self) -> Option<Block> {
        if self.flags.iter().all(|flags| flags & DUPLICATE == 0) {
            return None;
        }
        let mut builder = BlockBuilder::default();
        let rows = (0..self.len()).map(|index| self.row(index));
        rows.filter(|row| !row.duplicate).for_each(|row| builder.push(&row));
        Some(builder.take())
    }

    /// Reads what [`Block::encode`] wrote, replacing what is there; `false` if it is damaged.
    pub fn decode(&mut self, bytes: &[u8], numbers: &mut Vec<u64>) -> bool {
        self.clear();
        self.try_decode(bytes, numbers).is_ok()
    }

    fn try_decode(&mut self, bytes: &[u8], numbers: &mut Vec<u64>) -> Result<(), Short> {
        let input = &mut Input::new(bytes);
        let rows = input.u32()? as usize;
        if rows > MAX_ROWS {
            return Err(Short);
        }
        self.users.decode(input, numbers)?;
        self.hashes.extend((0..self.users.len()).map(|user| hash_user(self.users.get(user))));
        codes(input, rows, self.users.len(), numbers, &mut self.user_of)?;
        let unit = input.u64()? as i64;
        unpack(input, rows, numbers)?;
        for &time in numbers.iter() {
            self.timestamps_us.push(((time ^ (1 << 63)) as i64).checked_mul(unit).ok_or(Short)?);
        }
        self.value_props.decode(input, numbers)?;
        codes(input, rows, self.value_props.len(), numbers, &mut self.value_prop_of)?;
        unpack(input, rows, &mut self.measures)?;
        codes(input, rows, u32::MAX as usize, numbers, &mut self.files)?;
        unpack(input, rows, &mut self.row_numbers)?;
        unpack(input, rows, numbers)?;
        self.flags.extend(numbers.iter().map(|&flags| flags as u8));
        if input.is_empty() { Ok(()) } else { Err(Short) }
    }
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

/// Fills a block row by row, in user order.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    block: Block,
    value_props: Interner,
}

impl BlockBuilder {
    /// Whether the block should be taken before another row.
    pub fn is_full(&self, sizes: &super::Sizes) -> bool {
        self.block.len() >= sizes.block_rows || self.block.text_bytes() >= sizes.block_text_bytes
    }

    /// Adds the next row in user order.
    #[inline]
    pub fn push(&mut self, row: &RowRef<'_>) {
        let block = &mut self.block;
        let users = block.users.len();
        if users == 0
            || block.hashes[users - 1] != row.hash
            || block.users.get(users - 1) != row.user
        {
            block.users.push(row.user);
            block.hashes.push(row.hash);
        }
        block.user_of.push(block.users.len() as u32 - 1);
        block.timestamps_us.push(row.timestamp_us);
        block.measures.push(row.measure);
        block.files.push(row.file);
        block.row_numbers.push(row.row_number);
        block.flags.push(row.soft_issues | if row.duplicate { DUPLICATE } else { 0 });
        let code = self.code_of(row.value_prop);
        self.block.value_prop_of.push(code);
    }

    fn code_of(&mut self, value_prop: &[u8]) -> u32 {
        let code = self.value_props.number(value_prop);
        if code as usize == self.block.value_props.len() {
            self.block.value_props.push(value_prop);
        }
        code
    }

    /// The rows so far; the builder is empty again.
    pub fn take(&mut self) -> Block {
        self.value_props.clear();
        std::mem::take(&mut self.block)
    }

    /// Like [`BlockBuilder::take`], for a block that is only looked at: its memory is kept.
    pub fn with_block<T>(&mut self, look: impl FnOnce(&Block) -> T) -> T {
        let result = look(&self.block);
        self.block.clear();
        self.value_props.clear();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn a_row()(
            user in "[a-cé]{0,3}", time in any::<i64>(), unit in 0usize..3, prop in "[p-z]{1,2}",
            measure in any::<u64>(), file in 0u32..3, row_number in any::<u64>(),
            soft_issues in 0u8..5, duplicate in any::<bool>(),
        ) -> (String, i64, String, u64, u32, u64, u8, bool) {
            let time = time / UNITS_US[unit] * UNITS_US[unit];
            (user, time, prop, measure, file, row_number, soft_issues, duplicate)
        }
    }

    fn row_ref(row: &(String, i64, String, u64, u32, u64, u8, bool)) -> RowRef<'_> {
        RowRef {
            hash: hash_user(row.0.as_bytes()),
            user: row.0.as_bytes(),
            timestamp_us: row.1,
            value_prop: row.2.as_bytes(),
            measure: row.3,
            file: row.4,
            row_number: row.5,
            soft_issues: row.6,
            duplicate: row.7,
        }
    }

    proptest! {
        #[test]
        fn a_block_is_the_same_after_packing(rows in proptest::collection::vec(a_row(), 0..60)) {
            let mut builder = BlockBuilder::default();
            rows.iter().for_each(|row| builder.push(&row_ref(row)));
            let mut bytes = Vec::new();
            builder.take().encode(&mut bytes, true);
            let mut back = Block::default();
            prop_assert!(back.decode(&bytes, &mut Vec::new()));
            prop_assert_eq!(back.len(), rows.len());
            for (index, row) in rows.iter().enumerate() {
                prop_assert_eq!(back.row(index), row_ref(row));
            }
        }

        #[test]
        fn damage_never_panics(
            rows in proptest::collection::vec(a_row(), 1..9), at in any::<usize>(), byte in any::<u8>(),
        ) {
            let mut builder = BlockBuilder::default();
            rows.iter().for_each(|row| builder.push(&row_ref(row)));
            let mut bytes = Vec::new();
            builder.take().encode(&mut bytes, true);
            let at = at % bytes.len();
            bytes[at] = byte;
            let mut back = Block::default();
            if back.decode(&bytes, &mut Vec::new()) {
                (0..back.len()).for_each(|index| { back.row(index); });
            }
            bytes.truncate(at);
            prop_assert!(!back.decode(&bytes, &mut Vec::new()));
        }
    }
}
