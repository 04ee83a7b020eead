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
        let Some((min, max)) = span else { return sparse(values, None) };
        let width = max.abs_diff(min);
        dense::<1>(values.clone(), min as u64, width)
            .or_else(|| dense::<DAY>(values.clone(), min as u64, width))
            .or_else(|| dense::<SECOND>(values.clone(), min as u64, width))
            .or_else(|| sparse(values, Some(min as u64)))
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

/// Looks values up in a hash table with open addressing, except for those near the least one, where
/// it is known: most amounts are small, however large a few of them are.
fn sparse(values: impl ExactSizeIterator<Item = u64>, min: Option<u64>) -> Option<Dictionary> {
    let limit = values.len() / 2;
    let mut dictionary = Dictionary::default();
    dictionary.codes.reserve_exact(values.len());
    // One more than the code; 0 where there is none.
    let mut near = vec![0; min.map_or(0, |_| DENSE as usize)];
    let min = min.unwrap_or(0);
    let mut table = Table::new(10);
    let mut last = None;
    for (row, value) in values.enumerate() {
        let code = match last {
            Some((known, code)) if known == value => code,
            _ => match near.get_mut(value.wrapping_sub(min) as usize) {
                Some(code) => {
                    if *code == 0 {
                        dictionary.distinct.push(value);
                        *code = dictionary.distinct.len() as u32;
                    }
                    *code - 1
                }
                None => table.code(value, &mut dictionary.distinct),
            },
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
    /// How many there are.
    count: usize,
    /// One more than the code; 0 where there is none.
    slots: Vec<u32>,
}

impl Table {
    fn new(bits: u32) -> Table {
        Table { bits, count: 0, slots: vec![0; 1 << bits] }
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
        self.count += 1;
        if self.count * 2 > self.slots.len() {
            self.grow(distinct);
        }
        distinct.len() as u32 - 1
    }

    fn grow(&mut self, distinct: &[u64]) {
        let mut grown = Table { count: self.count, ..Table::new(self.bits + 2) };
        for &code in self.slots.iter().filter(|&&code| code != 0) {
            let mut slot = grown.slot(distinct[code as usize - 1]);
            while grown.slots[slot] != 0 {
                slot = (slot + 1) & (grown.slots.len() - 1);
            }
            grown.slots[slot] = code;
        }
        *self = grown;
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
            let sparse = Dictionary::of(wide.iter().copied(), None);
            let dense = Dictionary::of(wide.iter().copied(), span.or(Some((0, 0))));
            if let Some(dense) = &dense {
                let back: Vec<u64> =
                    dense.codes.iter().map(|&code| dense.distinct[code as usize]).collect();
                prop_assert_eq!(&back, &wide);
            }
            prop_assert!(dense.is_some() || odd.is_some_and(|odd| odd < values.len()));
            if sparse.is_some() {
                prop_assert_eq!(sparse, dense);
            }
        }
    }

    proptest! {
        #[test]
        fn where_values_lie_changes_no_code(
            mut values in proptest::collection::vec(
                prop_oneof![4 => 0..300i64, 1 => DENSE as i64 - 2..DENSE as i64 + 5000], 0..20_000,
            ),
            far in any::<i64>(),
        ) {
            values.push(far);
            let least = values.iter().min().map(|&value| value as u64);
            let wide = || values.iter().map(|&value| value as u64);
            prop_assert_eq!(sparse(wide(), least), sparse(wide(), None));
        }
    }

    #[test]
    fn what_does_not_repeat_has_no_dictionary() {
        let values: Vec<u64> = (0..100_000).collect();
        assert_eq!(Dictionary::of(values.iter().copied(), None), None);
    }
}
