//! Rows in user order to a packed block.
//!
//! Columns are gathered as they are packed: as integers. `block` tells the format and reads it.

use super::Sizes;
use super::block::{NEW_USER, packed_time};
use super::interner::Interner;
use super::pack::{pack, pack_same};
use super::record::Record;
use super::texts::Texts;

/// Microseconds of a day and of a second. Timestamps are divided by the larger of them that
/// divides them all, or by neither.
const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;

/// A block as it lies in a file, and what the index says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedBlock {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many rows it has.
    pub rows: u64,
    /// The hash of its first user.
    pub first_hash: u64,
    /// The hash of its last user.
    pub last_hash: u64,
    /// Its smallest timestamp in microseconds.
    pub least_us: i64,
    /// Its largest timestamp in microseconds.
    pub most_us: i64,
}

/// Fills a block row by row, in user order.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    /// Whether the file, the row number and the soft issues of a row are left out.
    bare: bool,
    users: Texts,
    flags: Vec<u64>,
    timestamps_us: Vec<i64>,
    value_props: Texts,
    value_prop_of: Vec<u64>,
    measures: Vec<u64>,
    files: Vec<u64>,
    row_numbers: Vec<u64>,
    first_hash: u64,
    last_hash: u64,
    /// The number in this block of a value prop of the rows, if the first is `block`.
    numbers: Vec<(u32, u32)>,
    /// Counts blocks from 1.
    block: u32,
    space: Vec<u64>,
}

impl BlockBuilder {
    /// For blocks that leave out the file, the row number and the soft issues of a row: they are
    /// read as zero.
    pub fn bare() -> BlockBuilder {
        BlockBuilder { bare: true, ..BlockBuilder::default() }
    }

    /// Whether the block has so many rows, or the text of a block.
    #[inline]
    pub fn is_full(&self, rows: usize, sizes: &Sizes) -> bool {
        self.flags.len() >= rows
            || self.users.bytes() + self.value_props.bytes() >= sizes.block_text_bytes
    }

    /// Other names belong to the numbers of the value props from here on.
    pub fn forget_names(&mut self) {
        self.numbers.clear();
    }

    /// Adds the next row in user order, of the user with this id, whose first row it is or is not;
    /// `names` are those of the value props. Names may be added between rows, and
    /// [`BlockBuilder::forget_names`] changes them.
    #[inline]
    pub fn push(&mut self, record: &Record, user: &[u8], is_first: bool, names: &Interner) {
        let users = self.users.len();
        let is_new = is_first || users == 0;
        if is_new {
            if users == 0 {
                self.first_hash = record.hash;
                self.block += 1;
            }
            self.last_hash = record.hash;
            self.users.push(user);
        }
        let new_user = if is_new { NEW_USER } else { 0 };
        self.timestamps_us.push(record.timestamp_us);
        self.measures.push(record.measure);
        if self.bare {
            self.flags.push(new_user.into());
        } else {
            self.flags.push(u64::from(record.soft_issues | new_user));
            self.files.push(record.file.into());
            self.row_numbers.push(record.row_number);
        }
        let number = match self.numbers.get(record.value_prop as usize) {
            Some(&(block, number)) if block == self.block => number,
            _ => self.number(record.value_prop, names),
        };
        self.value_prop_of.push(number.into());
    }

    #[cold]
    fn number(&mut self, value_prop: u32, names: &Interner) -> u32 {
        if self.numbers.len() <= value_prop as usize {
            self.numbers.resize(names.len().max(value_prop as usize + 1), (0, 0));
        }
        let number = self.value_props.len() as u32;
        self.value_props.push(names.name(value_prop));
        self.numbers[value_prop as usize] = (self.block, number);
        number
    }

    /// Packs the rows so far, and is empty again.
    pub fn take(&mut self) -> PackedBlock {
        let mut packed = PackedBlock::default();
        self.take_into(&mut packed);
        packed
    }

    /// Like [`BlockBuilder::take`], with the memory of another block.
    pub fn take_into(&mut self, packed: &mut PackedBlock) {
        packed.rows = self.flags.len() as u64;
        packed.first_hash = self.first_hash;
        packed.last_hash = self.last_hash;
        packed.least_us = self.timestamps_us.iter().copied().min().unwrap_or(0);
        packed.most_us = self.timestamps_us.iter().copied().max().unwrap_or(0);
        packed.bytes.clear();
        self.pack_columns(&mut packed.bytes);
        self.users.clear();
        self.flags.clear();
        self.timestamps_us.clear();
        self.value_props.clear();
        self.value_prop_of.clear();
        self.measures.clear();
        self.files.clear();
        self.row_numbers.clear();
    }

    fn pack_columns(&mut self, out: &mut Vec<u8>) {
        let space = &mut self.space;
        out.extend_from_slice(&(self.flags.len() as u32).to_le_bytes());
        self.users.encode(out, space);
        pack(out, &self.flags);
        let times = &self.timestamps_us;
        let unit = if packed_in::<DAY_US>(times, space) {
            DAY_US
        } else if packed_in::<SECOND_US>(times, space) {
            SECOND_US
        } else {
            space.clear();
            space.extend(times.iter().map(|&time| packed_time(time)));
            1
        };
        out.extend_from_slice(&(unit as u64).to_le_bytes());
        pack(out, space);
        self.value_props.encode(out, space);
        pack(out, &self.value_prop_of);
        pack(out, &self.measures);
        if self.bare {
            pack_same(out, 0);
            pack_same(out, 0);
        } else {
            pack(out, &self.files);
            pack(out, &self.row_numbers);
        }
    }
}

/// Timestamps in a unit, to be packed; false if not all are whole ones.
fn packed_in<const UNIT: i64>(times: &[i64], packed: &mut Vec<u64>) -> bool {
    packed.clear();
    packed.reserve(times.len());
    for &time in times {
        let units = time / UNIT;
        if units * UNIT != time {
            return false;
        }
        packed.push(packed_time(units));
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::order::hash_user;
    use super::super::record::UserText;
    use super::super::unpack::{Unpacked, Unpacker};
    use super::*;

    prop_compose! {
        fn a_row()(
            user in "[a-cé]{0,3}|[a-b]{14,18}", time in any::<i64>(), unit in 0usize..3,
            value_prop in 0u32..4, measure in any::<u64>(), file in 0u32..3,
            row_number in any::<u64>(), soft_issues in 0u8..5,
        ) -> (String, Record) {
            let unit = [DAY_US, SECOND_US, 1][unit];
            let record = Record {
                hash: hash_user(user.as_bytes()),
                user: UserText::default(),
                timestamp_us: time / unit * unit,
                measure, row_number, value_prop, file, soft_issues,
            };
            (user, record)
        }
    }

    fn names() -> Interner {
        let mut names = Interner::default();
        for name in ["a", "", "bc", "é"] {
            names.number(name.as_bytes());
        }
        names
    }

    fn push_all(builder: &mut BlockBuilder, rows: &[(String, Record)]) {
        let mut last = None;
        for (user, record) in rows {
            builder.push(record, user.as_bytes(), last != Some(user), &names());
            last = Some(user);
        }
    }

    fn packed(builder: &mut BlockBuilder, rows: &[(String, Record)]) -> PackedBlock {
        push_all(builder, rows);
        builder.take()
    }

    proptest! {
        #[test]
        fn a_block_is_the_same_after_packing(
            first in prop::collection::vec(a_row(), 0..60),
            rows in prop::collection::vec(a_row(), 0..60),
            provenance in any::<bool>(),
        ) {
            let mut builder =
                if provenance { BlockBuilder::default() } else { BlockBuilder::bare() };
            packed(&mut builder, &first);
            push_all(&mut builder, &rows);
            let packed = builder.take();
            let mut back = Unpacked::default();
            let unpacked = Unpacker::default().unpack(&packed.bytes, None, &mut back);
            prop_assert_eq!(unpacked, Some(rows.len() as u64));
            prop_assert_eq!(packed.rows, rows.len() as u64);
            for ((user, record), found) in rows.iter().zip(&back.records) {
                prop_assert_eq!(found.user.get(&back.long), user.as_bytes());
                prop_assert_eq!(found.hash, record.hash);
                prop_assert_eq!(found.timestamp_us, record.timestamp_us);
                let name = back.value_props.name(found.value_prop);
                let names = names();
                prop_assert_eq!(name, names.name(record.value_prop));
                prop_assert_eq!(found.measure, record.measure);
                let kept = (found.file, found.row_number, found.soft_issues);
                let given = (record.file, record.row_number, record.soft_issues);
                prop_assert_eq!(kept, if provenance { given } else { (0, 0, 0) });
                prop_assert!((packed.least_us..=packed.most_us).contains(&record.timestamp_us));
            }
            if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
                prop_assert_eq!(packed.first_hash, first.1.hash);
                prop_assert_eq!(packed.last_hash, last.1.hash);
            }
        }

        #[test]
        fn damage_never_panics(
            rows in prop::collection::vec(a_row(), 1..9), at in any::<usize>(), byte in any::<u8>(),
        ) {
            let mut bytes = packed(&mut BlockBuilder::default(), &rows).bytes;
            let at = at % bytes.len();
            bytes[at] = byte;
            let mut back = Unpacked::default();
            if Unpacker::default().unpack(&bytes, None, &mut back).is_some() {
                for record in &back.records {
                    record.user.get(&back.long);
                    back.value_props.name(record.value_prop);
                }
            }
            bytes.truncate(at);
            let cut = Unpacker::default().unpack(&bytes, None, &mut Unpacked::default());
            prop_assert_eq!(cut, None);
        }
    }
}
