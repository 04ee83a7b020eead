//! Values that repeat, by number: the distinct ones in order of appearance.
//!
//! Decides too whether that is worth while. Values are 64 bits, whatever they mean.

/// A span of integers that is looked up in a table rather than hashed, in units.
const DENSE: u64 = 1 << 16;
/// Instants in microseconds are often whole seconds or whole days.
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
/// After so many values it is asked for the first time whether they repeat at all.
const PROBED: usize = 1 << 12;

/// Distinct values, and for each value which it is.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Dictionary {
    pub distinct: Vec<u64>,
    pub codes: Vec<u32>,
}

impl Dictionary {
    /// The dictionary of some values; `None` if they hardly repeat. `span` holds the least and
    /// the largest of them, where they are integers.
    pub fn of(
        values: impl ExactSizeIterator<Item = u64> + Clone,
        span: Option<(i64, i64)>,
    ) -> Option<Dictionary> {
        let Some((min, max)) = span else { return hashed(values) };
        let width = max.abs_diff(min);
        dense::<1>(values.clone(), min as u64, width)
            .or_else(|| dense::<DAY>(values.clone(), min as u64, width))
            .or_else(|| dense::<SECOND>(values.clone(), min as u64, width))
            .or_else(|| hashed(values))
    }
}

/// Looks values up by their distance from the least; `None` if they are too far apart, or not all of
/// the distances are whole units.
fn dense<const UNIT: u64>(
    values: impl ExactSizeIterator<Item = u64>,
    min: u64,
    width: u64,
) -> Option<Dictionary> {
    if width / UNIT >= DENSE || !width.is_multiple_of(UNIT) {
        return None;
    }
    let mut known = vec![u32::MAX; (width / UNIT) as usize + 1];
    let mut dictionary = Dictionary::default();
    dictionary.codes.reserve_exact(values.len());
    for value in values {
        let distance = value.wrapping_sub(min);
        if !distance.is_multiple_of(UNIT) {
            return None;
        }
        let code = &mut known[(distance / UNIT) as usize];
        if *code == u32::MAX {
            *code = dictionary.distinct.len() as u32;
            dictionary.distinct.push(value);
        }
        dictionary.codes.push(*code);
    }
    Some(dictionary)
}

/// Looks values up in a hash table with open addressing.
fn hashed(values: impl ExactSizeIterator<Item = u64>) -> Option<Dictionary> {
    let limit = values.len() / 2;
    let mut dictionary = Dictionary::default();
    dictionary.codes.reserve_exact(values.len());
    let mut table = Table::new(10);
    let mut last = None;
    for (row, value) in values.enumerate() {
        let code = match last {
            Some((known, code)) if known == value => code,
            _ => table.code(value, &mut dictionary.distinct),
        };
        last = Some((value, code));
        dictionary.codes.push(code);
        let distinct = dictionary.distinct.len();
        if distinct > limit || (row == PROBED && distinct * 8 > row * 7) {
            return None;
        }
    }
    Some(dictionary)
}

/// Codes by hash; the values themselves are kept by the dictionary.
struct Table {
    bits: u32,
    /// One more than the code; 0 where there is none.
    slots: Vec<u32>,
}

impl Table {
    fn new(bits: u32) -> Table {
        Table { bits, slots: vec![0; 1 << bits] }
    }

    #[inline]
    fn slot(&self, value: u64) -> usize {
        // Fibonacci hashing: the high bits of the product depend on all bits of the value.
        ((value ^ value >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - self.bits))
            as usize
    }

    #[inline]
    fn code(&mut self, value: u64, distinct: &mut Vec<u64>) -> u32 {
        let mut slot = self.slot(value);
        loop {
            match self.slots[slot] {
                0 => break,
                code if distinct[code as usize - 1] == value => return code - 1,
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
        distinct.push(value);
        self.slots[slot] = distinct.len() as u32;
        if distinct.len() * 2 > self.slots.len() {
            *self = Table::new(self.bits + 2);
            for (code, &value) in distinct.iter().enumerate() {
                let mut slot = self.slot(value);
                while self.slots[slot] != 0 {
                    slot = (slot + 1) & (self.slots.len() - 1);
                }
                self.slots[slot] = code as u32 + 1;
            }
        }
        distinct.len() as u32 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_lead_to_the_values(
            mut values in proptest::collection::vec(-50i64..50, 0..2000),
            unit in prop_oneof![Just(1), Just(SECOND as i64), Just(DAY as i64)],
            odd in prop::option::of(0usize..2000),
        ) {
            values.iter_mut().for_each(|value| *value *= unit);
            if let Some(value) = odd.and_then(|odd| values.get_mut(odd)) {
                *value += 1;
            }
            let span = values.iter().min().zip(values.iter().max()).map(|(a, b)| (*a, *b));
            let wide: Vec<u64> = values.iter().map(|&value| value as u64).collect();
            let hashed = Dictionary::of(wide.iter().copied(), None);
            let dense = Dictionary::of(wide.iter().copied(), span.or(Some((0, 0))));
            if let Some(dense) = &dense {
                let back: Vec<u64> =
                    dense.codes.iter().map(|&code| dense.distinct[code as usize]).collect();
                prop_assert_eq!(&back, &wide);
            }
            prop_assert!(dense.is_some() || odd.is_some_and(|odd| odd < values.len()));
            if hashed.is_some() {
                prop_assert_eq!(hashed, dense);
            }
        }
    }

    #[test]
    fn what_does_not_repeat_has_no_dictionary() {
        let values: Vec<u64> = (0..100_000).collect();
        assert_eq!(Dictionary::of(values.iter().copied(), None), None);
    }
}
