//! Mutations for libFuzzer that make lines which are nearly like others of their file.
//!
//! Those are what a parser that learns from lines may take for what they are not. libFuzzer alone
//! changes bytes wherever they stand, so it seldom has two such lines in one file, and nearly never
//! another value in the place of a whole one.

use libfuzzer_sys::fuzzer_mutate;

/// What stands around values in both formats.
const BETWEEN: &[u8] = b" ,:{}[]\"\r";

/// Changes the first `size` bytes of `data`, which has room for `max_size`; returns how many there
/// are then.
///
/// One time in four libFuzzer does what it likes with the whole. Else a line is copied behind
/// itself, and in the copy anything is changed, or one value is replaced by another of the file or
/// by one of `values`.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32, values: &[&[u8]]) -> usize {
    let mut dice = Dice(seed);
    let file = &data[..size];
    let change = match dice.below(4) {
        0 => None,
        1 => changed_line(file, &mut dice, |line, _| line_changed_anywhere(line, max_size)),
        2 => changed_line(file, &mut dice, |line, dice| {
            let all = tokens(file);
            let (start, end) = all.get(dice.below(all.len()))?;
            line_with_value(line, &file[*start..*end], dice)
        }),
        _ => changed_line(file, &mut dice, |line, dice| {
            line_with_value(line, values.get(dice.below(values.len()))?, dice)
        }),
    };
    match change {
        Some(file) if file.len() <= max_size => {
            data[..file.len()].copy_from_slice(&file);
            file.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
}

/// The file with a changed copy of one of its lines.
fn changed_line(
    file: &[u8],
    dice: &mut Dice,
    change: impl FnOnce(&[u8], &mut Dice) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    let chosen = dice.below(lines.len());
    let line = lines.get(chosen)?;
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    let copy = change(body, dice)?;
    let before = lines[..=chosen].concat();
    let end: &[u8] = if line.len() == body.len() { b"\n" } else { b"" };
    Some([&before, end, &copy, b"\n", &file[before.len()..]].concat())
}

fn line_changed_anywhere(line: &[u8], max_size: usize) -> Option<Vec<u8>> {
    let mut copy = line.to_vec();
    copy.resize(max_size.max(line.len()), 0);
    let length = fuzzer_mutate(&mut copy, line.len(), max_size);
    copy.truncate(length);
    Some(copy)
}

fn line_with_value(line: &[u8], value: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let places = tokens(line);
    let (start, end) = *places.get(dice.below(places.len()))?;
    Some([&line[..start], value, &line[end..]].concat())
}

/// Where keys and values begin and end.
fn tokens(text: &[u8]) -> Vec<(usize, usize)> {
    let is_between = |byte: &u8| *byte == b'\n' || BETWEEN.contains(byte);
    let mut tokens = Vec::new();
    let mut start = 0;
    for piece in text.split_inclusive(is_between) {
        let token = piece.split(is_between).next().unwrap_or_default();
        if !token.is_empty() {
            tokens.push((start, start + token.len()));
        }
        start += piece.len();
    }
    tokens
}

/// Numbers that look random, from a seed (PCG).
struct Dice(u32);

impl Dice {
    /// A number below a limit; 0 if the limit is.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let word = (self.0 >> ((self.0 >> 28) + 4) ^ self.0).wrapping_mul(277_803_737);
        ((word >> 22) ^ word) as usize % limit.max(1)
    }
}
