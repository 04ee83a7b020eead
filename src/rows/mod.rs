//! Rows in user order, on disk and on the way: sorted runs, their blocks and their merge.
//!
//! A *rows file* is mp's own format, made for speed: one or more runs, each sorted by
//! [`order`], cut into small blocks of packed columns, with an index of user hashes at the end.
//! Extract keeps one for each input file, preprocess one for each source. The bytes depend on
//! the rows and on [`Sizes`] alone. It knows nothing of sources, stages or what a measure means.

mod block;
mod build;
mod columns;
mod cursor;
mod file;
mod gather;
mod interner;
mod merge;
mod order;
mod ordered;
mod pack;
mod parts;
mod passes;
mod pool;
mod record;
mod run;
mod sort;
#[cfg(test)]
pub(crate) mod tests;
mod texts;
mod unpack;
mod users;

pub use build::{BlockBuilder, PackedBlock};
pub use file::{RowsFile, RowsWriter};
pub use gather::{Gatherer, NumberedFile, Run, runs_of};
pub use interner::Interner;
#[cfg(test)]
pub use order::hash_user;
pub use ordered::{Emitter, in_order};
pub use parts::HashRange;
pub use passes::{Effort, merge_in_passes};
pub use pool::Pool;
pub use record::Record;
pub use run::{Chunk, RunBuffer, SortSpace};
pub use users::Users;

/// How much is held at a time; part of the bytes of a rows file, so never a user's setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of a run, sorted in memory.
    pub run_rows: usize,
    /// Bytes of user ids and value props after which a run is cut all the same.
    pub run_text_bytes: usize,
    /// The most rows of a block. In a full run blocks end earlier, where a slot does.
    pub block_rows: usize,
    /// Rows of a block of events, which are read from one end to the other.
    pub event_block_rows: usize,
    /// Bytes of text after which a block is cut all the same.
    pub block_text_bytes: usize,
    /// Rows that one part of a parallel pass should have, at most.
    pub part_rows: u64,
    /// Packed bytes that one part should have, if that is fewer rows: long texts.
    pub part_bytes: u64,
    /// Rows that a sweep over the events of all sources should have at a time.
    pub sweep_rows: u64,
    /// Bytes of raw text parsed at a time.
    pub slab_bytes: usize,
    /// The most runs read at once.
    pub fan_in: usize,
    /// About how many bytes are gathered at once, whatever the memory; `None` lets memory decide.
    pub gathered_bytes: Option<u64>,
}

impl Sizes {
    /// What the program uses.
    pub const NORMAL: Sizes = Sizes {
        run_rows: 1 << 18,
        run_text_bytes: 8 << 20,
        block_rows: 1024,
        event_block_rows: 4096,
        block_text_bytes: 128 << 10,
        part_rows: 120 << 10,
        part_bytes: 6 << 20,
        sweep_rows: 1 << 20,
        slab_bytes: 1 << 20,
        fan_in: 1024,
        gathered_bytes: None,
    };
    /// What tests use, so that a handful of rows goes through every pass.
    pub const TINY: Sizes = Sizes {
        run_rows: 3,
        run_text_bytes: 64,
        block_rows: 2,
        event_block_rows: 2,
        block_text_bytes: 32,
        part_rows: 5,
        part_bytes: 1 << 20,
        sweep_rows: 5,
        slab_bytes: 64,
        fan_in: 2,
        gathered_bytes: Some(1000),
    };
}

/// What can go wrong with a rows file.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The bytes are not those of a rows file, or not all of them.
    #[error("`{path}` is damaged: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What does not fit.
        what: &'static str,
    },
}
