//! What the fuzz targets share: the parser's own sources, a file cut into blocks, and mutations
//! that know lines.
//!
//! A target gets the bytes of a file. Whatever they are, the parser of blocks must find in them
//! what serde_json and the reader of single CSV lines find line by line: rows, faults, places.

#[path = "../../../src/record/mod.rs"]
pub mod record;

#[path = "../../../src/record/block/agreement.rs"]
mod agreement;

mod mutate;

pub use mutate::mutate;
use record::CsvColumns;

/// Parses a file with one parser, and panics if a line comes to anything but what it is.
///
/// First as one block, from which the parser learns. Then in blocks of one line, of two, of three
/// and so on, since a line near the end of a block is read in another way. Then whole again, by
/// all that was learned.
pub fn check(file: &[u8], columns: Option<&CsvColumns>) {
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    let (mut rest, mut growing) = (lines.as_slice(), Vec::new());
    while !rest.is_empty() {
        let (block, others) = rest.split_at(rest.len().min(growing.len() + 1));
        growing.push(block.concat());
        rest = others;
    }
    let mut blocks = vec![file];
    blocks.extend(growing.iter().map(Vec::as_slice));
    blocks.push(file);
    agreement::agree(&blocks, 0, columns);
}
