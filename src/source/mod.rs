//! Raw files to lines: which files a source has, their bytes (unpacked and hashed on the way),
//! and blocks of whole lines cut from them.
//!
//! Memory stays within a few blocks, whatever the size of a file, of a line, or of what a
//! compressed file unpacks to. Does not know what a line means: that is `record`.

mod discover;
mod error;
mod glob;
mod gzip;
mod open;
mod slab;
#[cfg(test)]
mod tests;

pub use crate::record::Lines;
pub use discover::{RawFile, check_pattern, discover};
pub use error::SourceError;
pub use open::{FileRead, HashingReader, open};
pub use slab::{Slab, SlabReader};
