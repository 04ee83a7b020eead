//! Columns of integers as (smallest value, bytes per value, differences): frame of reference.
//!
//! Knows nothing of what the numbers mean. All little endian.

/// Reads a byte string from the front, never past its end.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
}

/// The bytes ended early or contradict themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short;

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Input { bytes }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Short> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or(Short)?;
        self.bytes = tail;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Short> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        let bytes = self.take(4)?.try_into().map_err(|_| Short)?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Short> {
        let bytes = self.take(8)?.try_into().map_err(|_| Short)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Appends a column.
pub(super) fn pack(out: &mut Vec<u8>, values: &[u64]) {
    let (mut least, mut most) = (u64::MAX, 0);
    for &value in values {
        least = least.min(value);
        most = most.max(value);
    }
    let least = least.min(most);
    let width = (most - least).checked_ilog2().map_or(0, |bits| bits as usize / 8 + 1);
    out.push(width as u8);
    out.extend_from_slice(&least.to_le_bytes());
    let differences = values.iter().map(|value| value.wrapping_sub(least));
    match width {
        0 => {}
        1 => out.extend(differences.map(|value| value as u8)),
        2 => write_wide(out, differences, |value| (value as u16).to_le_bytes()),
        4 => write_wide(out, differences, |value| (value as u32).to_le_bytes()),
        8 => write_wide(out, differences, u64::to_le_bytes),
        _ => {
            // Whole words that overlap: what is too much of one is written over by the next.
            let mut at = out.len();
            let end = at + values.len() * width;
            out.resize(end + 8, 0);
            for value in differences {
                out[at..at + 8].copy_from_slice(&value.to_le_bytes());
                at += width;
            }
            out.truncate(end);
        }
    }
}

/// Appends a column of any length in which every value is the same.
pub(super) fn pack_same(out: &mut Vec<u8>, value: u64) {
    out.push(0);
    out.extend_from_slice(&value.to_le_bytes());
}

fn write_wide<const N: usize>(
    out: &mut Vec<u8>,
    values: impl ExactSizeIterator<Item = u64>,
    bytes: impl Fn(u64) -> [u8; N],
) {
    let start = out.len();
    out.resize(start + values.len() * N, 0);
    for (place, value) in out[start..].as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *place = bytes(value);
    }
}

/// Reads `rows` values of a column into `out`, replacing what is there.
pub(super) fn unpack(input: &mut Input<'_>, rows: usize, out: &mut Vec<u64>) -> Result<(), Short> {
    out.clear();
    let width = usize::from(input.u8()?);
    let least = input.u64()?;
    if width > 8 {
        return Err(Short);
    }
    if width == 0 {
        out.resize(rows, least);
        return Ok(());
    }
    let packed = input.take(rows.checked_mul(width).ok_or(Short)?)?;
    out.reserve(rows);
    match width {
        1 => out.extend(packed.iter().map(|&byte| least.wrapping_add(u64::from(byte)))),
        2 => out.extend(
            packed
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&two| least.wrapping_add(u64::from(u16::from_le_bytes(two)))),
        ),
        4 => out.extend(
            packed
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&four| least.wrapping_add(u64::from(u32::from_le_bytes(four)))),
        ),
        8 => out.extend(
            packed
                .as_chunks::<8>()
                .0
                .iter()
                .map(|&all| least.wrapping_add(u64::from_le_bytes(all))),
        ),
        _ => {
            let mask = (1_u64 << (8 * width)) - 1;
            // As many as a whole word can be read for, then the last few.
            let whole = (packed.len().saturating_sub(8) / width + 1).min(rows);
            let whole = if packed.len() < 8 { 0 } else { whole };
            out.extend((0..whole).map(|index| {
                let mut word = [0; 8];
                word.copy_from_slice(&packed[index * width..index * width + 8]);
                least.wrapping_add(u64::from_le_bytes(word) & mask)
            }));
            out.extend(packed[whole * width..].chunks_exact(width).map(|some| {
                let mut all = [0; 8];
                all[..width].copy_from_slice(some);
                least.wrapping_add(u64::from_le_bytes(all))
            }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(
            values in proptest::collection::vec(any::<u64>(), 0..50), shift in 0u32..64,
        ) {
            let values: Vec<u64> = values.into_iter().map(|value| value >> shift).collect();
            let mut bytes = Vec::new();
            pack(&mut bytes, &values);
            let mut input = Input::new(&bytes);
            let mut back = Vec::new();
            unpack(&mut input, values.len(), &mut back).unwrap();
            prop_assert_eq!(back, values);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..40), rows in 0usize..9,
        ) {
            let _ = unpack(&mut Input::new(&bytes), rows, &mut Vec::new());
        }
    }
}
