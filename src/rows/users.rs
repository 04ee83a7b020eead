//! Walking one sorted run, or one range of it, user by user, a few blocks in memory at a time.
//!
//! It stands on a user and on the first of the user's rows that were not taken yet. A user's
//! rows may go on in the next block. What the rows are taken for is not its business.

use std::os::unix::fs::FileExt;

use super::columns::{Columns, Rows};
use super::file::{BlockEntry, RowsFile};
use super::{HashRange, RowsError};

/// So many bytes of blocks are read at once.
const READ_BYTES: u64 = 256 << 10;

/// Stands on one user of a run, or past the last.
#[derive(Debug)]
pub struct Users<'f> {
    file: &'f RowsFile,
    handle: Option<fs_err::File>,
    range: HashRange,
    /// Blocks that were not read yet.
    blocks: &'f [BlockEntry],
    /// Blocks that were read but not unpacked.
    packed: &'f [BlockEntry],
    /// Bytes of the file, and where in it they begin.
    bytes: Vec<u8>,
    bytes_at: u64,
    columns: Columns,
    /// How many blocks were unpacked.
    unpacked: u64,
    /// The user in the block, and the first user there that is out of the range.
    user: usize,
    users: usize,
    /// The user's rows in the block that were not taken.
    at: usize,
    end: usize,
    numbers: Vec<u64>,
    /// Whose rows go on in the next block.
    carried: Vec<u8>,
}

impl<'f> Users<'f> {
    /// Stands on the first user of the range. The file must be one run.
    pub fn new(file: &'f RowsFile, range: HashRange) -> Result<Users<'f>, RowsError> {
        let blocks: &[BlockEntry] = match file.runs() {
            0 => &[],
            1 => file.blocks_in(0, &range),
            _ => return Err(file.damaged("more than one run")),
        };
        let mut users = Users {
            file,
            handle: if blocks.is_empty() { None } else { Some(file.open_blocks()?) },
            range,
            blocks,
            packed: &[],
            bytes: Vec::new(),
            bytes_at: 0,
            columns: Columns::default(),
            unpacked: 0,
            user: 0,
            users: 0,
            at: 0,
            end: 0,
            numbers: Vec::new(),
            carried: Vec::new(),
        };
        users.next_block()?;
        users.skip_to_hash(range.start)?;
        Ok(users)
    }

    /// The hash of the user; `None` past the last.
    #[inline]
    pub fn hash(&self) -> Option<u64> {
        (self.user < self.users).then(|| self.columns.hashes()[self.user])
    }

    /// The id of the user; there must be one.
    #[inline]
    pub fn user(&self) -> &[u8] {
        self.columns.user(self.user)
    }

    /// The user's rows in the block that were not taken.
    #[inline]
    pub fn rows(&self) -> Rows<'_> {
        self.columns.rows(self.at, self.end)
    }

    /// The time of the first row not taken; there must be one.
    #[inline]
    pub fn timestamp_us(&self) -> i64 {
        self.columns.timestamps_us()[self.at]
    }

    /// A number that the block at hand alone has.
    #[inline]
    pub fn block(&self) -> u64 {
        self.unpacked
    }

    /// The names of the block's value props, by number.
    pub fn value_props(&self) -> impl Iterator<Item = &[u8]> {
        self.columns.value_props()
    }

    /// Takes so many rows. Whether the user has more; if not, it stands on the next user.
    #[inline]
    pub fn take(&mut self, rows: usize) -> Result<bool, RowsError> {
        self.at += rows;
        if self.at < self.end { Ok(true) } else { self.leave_block() }
    }

    /// Goes to the next user.
    #[inline]
    pub fn skip_user(&mut self) -> Result<(), RowsError> {
        self.at = self.end;
        while self.leave_block()? {
            self.at = self.end;
        }
        Ok(())
    }

    /// Goes on to the first user whose hash is not less.
    pub fn skip_to_hash(&mut self, hash: u64) -> Result<(), RowsError> {
        while self.user < self.users {
            let hashes = &self.columns.hashes()[self.user..self.users];
            match hashes.iter().position(|&other| other >= hash) {
                Some(0) => return Ok(()),
                Some(skipped) => {
                    self.stand_on(self.user + skipped);
                    return Ok(());
                }
                None => {
                    self.pass_over(hash);
                    self.next_block()?;
                }
            }
        }
        Ok(())
    }

    /// Goes on to the first user who may have a row at that time or later: one whose rows go on
    /// in the next block is not looked through.
    pub fn skip_to_time(&mut self, from_us: i64) -> Result<(), RowsError> {
        while self.user < self.users {
            let ends = &self.columns.ends()[self.user..self.users];
            let timestamps = self.columns.timestamps_us();
            match ends.iter().position(|&end| timestamps[end as usize - 1] >= from_us) {
                Some(0) => return Ok(()),
                Some(skipped) => {
                    self.stand_on(self.user + skipped);
                    return Ok(());
                }
                None => {
                    // The last of them is the only one who may go on.
                    self.stand_on(self.users - 1);
                    if self.may_go_on() {
                        return Ok(());
                    }
                    self.next_block()?;
                }
            }
        }
        Ok(())
    }

    /// Whether the user's rows may go on in the next block.
    fn may_go_on(&self) -> bool {
        let next = self.packed.first().or(self.blocks.first());
        self.user + 1 == self.columns.users()
            && next.is_some_and(|next| Some(next.first_hash) == self.hash())
    }

    fn stand_on(&mut self, user: usize) {
        self.user = user;
        if user < self.users {
            self.at = self.columns.start(user);
            self.end = self.columns.ends()[user] as usize;
        }
    }

    /// The user has no more rows in the block. Whether they go on in the next.
    fn leave_block(&mut self) -> Result<bool, RowsError> {
        if self.user + 1 < self.users {
            self.stand_on(self.user + 1);
            return Ok(false);
        }
        if self.user >= self.users {
            return Ok(false);
        }
        let goes_on = self.may_go_on();
        if goes_on {
            let mut carried = std::mem::take(&mut self.carried);
            carried.clear();
            carried.extend_from_slice(self.user());
            self.carried = carried;
        }
        self.next_block()?;
        Ok(goes_on && self.user < self.users && self.user() == self.carried)
    }

    /// Passes over blocks that have only lesser hashes.
    fn pass_over(&mut self, hash: u64) {
        let lesser = |blocks: &[BlockEntry]| blocks.partition_point(|block| block.last_hash < hash);
        self.packed = &self.packed[lesser(self.packed)..];
        if self.packed.is_empty() {
            self.blocks = &self.blocks[lesser(self.blocks)..];
        }
    }

    /// Stands on the first user of the next block, or past the last.
    fn next_block(&mut self) -> Result<(), RowsError> {
        (self.user, self.users) = (0, 0);
        if self.packed.is_empty() {
            self.read()?;
        }
        let [entry, rest @ ..] = self.packed else { return Ok(()) };
        let start = entry.offset.saturating_sub(self.bytes_at) as usize;
        let bytes = self.bytes.get(start..start.saturating_add(entry.length as usize));
        if !bytes.is_some_and(|bytes| self.columns.decode(bytes, entry.rows, &mut self.numbers)) {
            return Err(self.file.damaged("bad block"));
        }
        self.packed = rest;
        self.unpacked += 1;
        self.users = match self.range.end {
            Some(end) if entry.last_hash >= end => {
                self.columns.hashes().partition_point(|&hash| hash < end)
            }
            _ => self.columns.users(),
        };
        self.stand_on(0);
        Ok(())
    }

    /// Reads as many blocks at once as is worth it.
    fn read(&mut self) -> Result<(), RowsError> {
        let (Some(handle), Some(first)) = (&self.handle, self.blocks.first()) else {
            return Ok(());
        };
        let end = |block: &BlockEntry| block.offset + block.length;
        let near = |block: &&BlockEntry| end(block) <= first.offset + READ_BYTES;
        let count = self.blocks.iter().take_while(near).count().max(1);
        (self.packed, self.blocks) = self.blocks.split_at(count);
        self.bytes_at = first.offset;
        let length = end(&self.packed[count - 1]).saturating_sub(first.offset);
        self.bytes.resize(length as usize, 0);
        Ok(handle.file().read_exact_at(&mut self.bytes, first.offset)?)
    }
}
