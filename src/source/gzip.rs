//! A gzip file as its members, one after the other, with the zeros that a tape may have added.
//!
//! Takes what gzip(1) takes, but anything else after a member is an error, not dropped.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// What a member begins with.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Decompresses all members.
#[derive(Debug)]
pub(super) struct Members<R> {
    /// The member that is being read, or the last one; missing only while it is replaced.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    /// From the first byte of the file; an error if that cannot be gzip.
    pub fn new(mut reader: R) -> io::Result<Members<R>> {
        if reader.fill_buf()?.iter().zip(MAGIC).any(|(byte, magic)| *byte != magic) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no gzip data"));
        }
        Ok(Members { member: Some(GzDecoder::new(reader)) })
    }

    /// The file, where the reading of it stands.
    pub fn into_inner(self) -> Option<R> {
        self.member.map(GzDecoder::into_inner)
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() || !has_another(member.get_mut())? {
                return Ok(count);
            }
            self.member = self.member.take().map(|member| GzDecoder::new(member.into_inner()));
        }
        Ok(0)
    }
}

/// Whether a member follows the one that has ended; padding is read to its end.
fn has_another(reader: &mut impl BufRead) -> io::Result<bool> {
    if reader.fill_buf()?.first().is_some_and(|first| *first != 0) {
        return Ok(true);
    }
    loop {
        let padding = reader.fill_buf()?;
        if padding.iter().any(|byte| *byte != 0) {
            let text = "other data follows the zeros after the last gzip member";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        match padding.len() {
            0 => return Ok(false),
            count => reader.consume(count),
        }
    }
}
