//! Parquet's encodings of values, as bytes: levels, bit packing, runs, deltas.
//!
//! What they look like is said in Parquet's `Encodings.md`; nothing here knows of pages or columns.

/// Deltas of a block have their least one in common.
const DELTA_BLOCK: usize = 128;
/// Deltas of a miniblock have their width in common.
const DELTA_MINIBLOCK: usize = 32;

/// Bits needed for a value; a single code still takes one, for readers that know no width of 0.
pub(super) fn width_of(largest: u64) -> u32 {
    (u64::BITS - largest.leading_zeros()).max(1)
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the lowest `width` bits of each value, lowest bit first, whole bytes at the end.
///
/// The values must fit, and the width be at most 57.
fn pack(out: &mut Vec<u8>, width: u32, values: impl ExactSizeIterator<Item = u64>) {
    let start = out.len();
    let bytes = (values.len() * width as usize).div_ceil(8);
    // Room for a whole word at the last byte.
    out.resize(start + bytes + 8, 0);
    let room = &mut out[start..];
    let (mut word, mut bits, mut at) = (0u64, 0, 0);
    for value in values {
        word |= value << bits;
        bits += width;
        // All whole bytes of the word; what is left of it, less than one, stays.
        room[at..at + 8].copy_from_slice(&word.to_le_bytes());
        let whole = bits / 8;
        at += whole as usize;
        word = word.checked_shr(whole * 8).unwrap_or(0);
        bits %= 8;
    }
    out.truncate(start + bytes);
}

/// Appends codes bit-packed, as one run of the hybrid encoding.
pub(super) fn push_packed(out: &mut Vec<u8>, width: u32, codes: &[u32]) {
    push_varint(out, (codes.len().div_ceil(8) as u64) << 1 | 1);
    let start = out.len();
    pack(out, width, codes.iter().map(|&code| u64::from(code)));
    // The last group of eight is whole.
    out.resize(start + codes.len().div_ceil(8) * width as usize, 0);
}

/// Appends repeated codes as runs of the hybrid encoding.
pub(super) fn push_runs(out: &mut Vec<u8>, width: u32, runs: impl Iterator<Item = (u32, u32)>) {
    let bytes = width.div_ceil(8) as usize;
    for (code, length) in runs {
        push_varint(out, u64::from(length) << 1);
        out.extend_from_slice(&code.to_le_bytes()[..bytes]);
    }
}

/// Bytes that so many runs take, nearly.
pub(super) fn size_of_runs(width: u32, runs: usize) -> usize {
    runs * (1 + width.div_ceil(8) as usize)
}

/// Bytes that so many packed codes take.
pub(super) fn size_of_packed(width: u32, codes: usize) -> usize {
    codes.div_ceil(8) * width as usize
}

/// Appends the definition levels of a column that may hold nulls, as version 1 pages have them;
/// without `valid` there is none.
pub(super) fn push_levels(out: &mut Vec<u8>, rows: usize, valid: Option<&[bool]>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match valid {
        None => push_runs(out, 1, std::iter::once((1, rows as u32))),
        Some(valid) => {
            push_varint(out, (rows.div_ceil(8) as u64) << 1 | 1);
            push_bits(out, valid);
        }
    }
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Appends booleans, a bit each.
pub(super) fn push_bits(out: &mut Vec<u8>, flags: &[bool]) {
    let byte = |flags: &[bool]| {
        flags.iter().enumerate().fold(0, |byte, (bit, &flag)| byte | u8::from(flag) << bit)
    };
    out.extend(flags.chunks(8).map(byte));
}

/// Appends integers as `DELTA_BINARY_PACKED`.
pub(super) fn push_deltas(out: &mut Vec<u8>, values: &[i64]) {
    push_varint(out, DELTA_BLOCK as u64);
    push_varint(out, (DELTA_BLOCK / DELTA_MINIBLOCK) as u64);
    push_varint(out, values.len() as u64);
    let zigzag = |value: i64| ((value << 1) ^ (value >> 63)) as u64;
    let first = values.first().copied().unwrap_or(0);
    push_varint(out, zigzag(first));
    let mut previous = first;
    for block in values.get(1..).unwrap_or_default().chunks(DELTA_BLOCK) {
        let mut deltas = [0i64; DELTA_BLOCK];
        for (delta, &value) in deltas.iter_mut().zip(block) {
            *delta = value.wrapping_sub(previous);
            previous = value;
        }
        let deltas = &deltas[..block.len()];
        let least = deltas.iter().copied().min().unwrap_or(0);
        push_varint(out, zigzag(least));
        let widths = out.len();
        out.extend_from_slice(&[0; DELTA_BLOCK / DELTA_MINIBLOCK]);
        for (number, miniblock) in deltas.chunks(DELTA_MINIBLOCK).enumerate() {
            let above = || miniblock.iter().map(|delta| delta.wrapping_sub(least) as u64);
            let width = u64::BITS - above().fold(0, |all, delta| all | delta).leading_zeros();
            out[widths + number] = width as u8;
            let start = out.len();
            if width <= 57 {
                pack(out, width, above());
            } else {
                // Too wide to be packed a word at a time: whole words it is.
                out[widths + number] = 64;
                above().for_each(|delta| out.extend_from_slice(&delta.to_le_bytes()));
            }
            let width = usize::from(out[widths + number]);
            out.resize(start + DELTA_MINIBLOCK * width / 8, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpack(bytes: &[u8], width: usize, count: usize) -> Vec<u64> {
        let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
        (0..count).map(|n| (0..width).map(|b| bit(n * width + b) << b).sum()).collect()
    }

    proptest! {
        #[test]
        fn packed_values_come_out_again(
            width in 1u32..=57,
            values in proptest::collection::vec(any::<u64>(), 0..100),
        ) {
            let values: Vec<u64> = values.iter().map(|value| value & ((1 << width) - 1)).collect();
            let mut out = vec![7];
            pack(&mut out, width, values.iter().copied());
            prop_assert_eq!(out.len(), 1 + (values.len() * width as usize).div_ceil(8));
            prop_assert_eq!(unpack(&out[1..], width as usize, values.len()), values);
        }
    }

    #[test]
    fn levels_say_how_long_they_are() {
        let mut out = Vec::new();
        push_levels(&mut out, 3, None);
        assert_eq!(out, [2, 0, 0, 0, 6, 1]);
        out.clear();
        push_levels(&mut out, 3, Some(&[true, false, true]));
        assert_eq!(out, [2, 0, 0, 0, 3, 0b101]);
    }
}
