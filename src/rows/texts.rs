//! Strings end to end, with their lengths packed.
//!
//! Knows nothing of what they mean.

use super::block::MAX_ROWS;
use super::pack::{Input, Short, pack, unpack};

/// Strings end to end.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }

    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Appends the packed bytes; `numbers` is working space.
    pub(super) fn encode(&self, out: &mut Vec<u8>, numbers: &mut Vec<u64>) {
        out.extend_from_slice(&(self.ends.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.bytes);
        numbers.clear();
        let mut start = 0;
        numbers.extend(self.ends.iter().map(|&end| {
            let length = end - start;
            start = end;
            u64::from(length)
        }));
        pack(out, numbers);
    }

    /// Reads what [`Texts::encode`] wrote, replacing what is there.
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
        let mut end = 0_usize;
        for &text in numbers.iter() {
            end = end.checked_add(usize::try_from(text).map_err(|_| Short)?).ok_or(Short)?;
            if end > length {
                return Err(Short);
            }
            self.ends.push(end as u32);
        }
        Ok(())
    }
}
