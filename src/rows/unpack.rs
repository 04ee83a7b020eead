//! A packed block to records, for those who want all of a row.
//!
//! `block` tells the format.

use super::block::{MAX_ROWS, NEW_USER, time_of};
use super::interner::Interner;
use super::order::hash_user;
use super::pack::{Input, Short, unpack};
use super::record::{Record, UserText};
use super::texts::Texts;

/// Rows of any number of blocks.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    pub(super) records: Vec<Record>,
    /// User ids too long for their record.
    pub(super) long: Vec<u8>,
    pub(super) value_props: Interner,
}

impl Unpacked {
    /// Forgets the rows; their room is kept.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.long.clear();
        self.value_props.clear();
    }
}

/// Working space for unpacking.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    texts: Texts,
    users: Vec<(u64, UserText)>,
    /// The numbers of the block's value props among all.
    value_props: Vec<u32>,
    lengths: Vec<u64>,
    flags: Vec<u64>,
    timestamps: Vec<u64>,
    value_prop_of: Vec<u64>,
    measures: Vec<u64>,
    files: Vec<u64>,
    row_numbers: Vec<u64>,
}

impl Unpacker {
    /// Appends the rows of a block, of the file of that number if one is given, and says how many
    /// there are; `None` if the block is damaged.
    pub(super) fn unpack(
        &mut self,
        bytes: &[u8],
        file: Option<u32>,
        into: &mut Unpacked,
    ) -> Option<u64> {
        self.try_unpack(bytes, file, into).ok()
    }

    fn try_unpack(
        &mut self,
        bytes: &[u8],
        file: Option<u32>,
        into: &mut Unpacked,
    ) -> Result<u64, Short> {
        let input = &mut Input::new(bytes);
        let rows = input.u32()? as usize;
        if rows > MAX_ROWS {
            return Err(Short);
        }
        self.texts.decode(input, &mut self.lengths)?;
        let texts = (0..self.texts.len()).map(|index| self.texts.get(index));
        self.users.clear();
        self.users.extend(texts.map(|user| (hash_user(user), UserText::new(user, &mut into.long))));
        unpack(input, rows, &mut self.flags)?;
        let unit = input.u64()? as i64;
        unpack(input, rows, &mut self.timestamps)?;
        self.texts.decode(input, &mut self.lengths)?;
        let texts = (0..self.texts.len()).map(|index| self.texts.get(index));
        self.value_props.clear();
        self.value_props.extend(texts.map(|name| into.value_props.number(name)));
        unpack(input, rows, &mut self.value_prop_of)?;
        unpack(input, rows, &mut self.measures)?;
        unpack(input, rows, &mut self.files)?;
        unpack(input, rows, &mut self.row_numbers)?;
        if !input.is_empty() {
            return Err(Short);
        }
        self.append(&mut into.records, file, unit)?;
        Ok(rows as u64)
    }

    fn append(
        &self,
        records: &mut Vec<Record>,
        file: Option<u32>,
        unit_us: i64,
    ) -> Result<(), Short> {
        let mut users = self.users.iter();
        let mut user = None;
        let columns = self
            .flags
            .iter()
            .zip(&self.timestamps)
            .zip(&self.value_prop_of)
            .zip(&self.measures)
            .zip(&self.files)
            .zip(&self.row_numbers);
        records.reserve(self.flags.len());
        for (((((&flags, &time), &value_prop), &measure), &own_file), &row_number) in columns {
            let flags = flags as u8;
            if flags & NEW_USER != 0 {
                user = Some(users.next().ok_or(Short)?);
            }
            let &(hash, user) = user.ok_or(Short)?;
            records.push(Record {
                hash,
                user,
                timestamp_us: time_of(time, unit_us).ok_or(Short)?,
                measure,
                row_number,
                value_prop: *self.value_props.get(value_prop as usize).ok_or(Short)?,
                file: file.unwrap_or(own_file as u32),
                soft_issues: flags & !NEW_USER,
            });
        }
        if users.next().is_none() { Ok(()) } else { Err(Short) }
    }
}
