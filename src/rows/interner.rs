//! Names by number: each distinct name once, numbered in the order of appearance.
//!
//! Few names are found by comparing, many by hashing; a name costs its own bytes and some thirty
//! more. Knows nothing of what a name means.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::order::hash_user;

/// So many names are compared before the index is asked.
const COMPARED: usize = 8;
/// No further name has the same hash.
const NONE: u32 = u32::MAX;

/// A hash is a good enough hash of itself.
#[derive(Debug, Default, Clone)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_user(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Distinct names.
#[derive(Debug, Default, Clone)]
pub struct Interner {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// The newest name of each hash, then the one before it, and so on.
    index: HashMap<u64, u32, BuildHasherDefault<Itself>>,
    before: Vec<u32>,
    last: u32,
}

impl Interner {
    /// How many names there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all names.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The name of that number, which must be below [`Interner::len`].
    #[inline]
    pub fn name(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.text[start..self.ends[number]]
    }

    /// The number of a name, which is new if need be.
    #[inline]
    pub fn number(&mut self, name: &[u8]) -> u32 {
        if (self.last as usize) < self.len() && self.name(self.last) == name {
            return self.last;
        }
        self.last = self.find(name);
        self.last
    }

    fn find(&mut self, name: &[u8]) -> u32 {
        let compared = self.len().min(COMPARED) as u32;
        if let Some(number) = (0..compared).find(|&number| self.name(number) == name) {
            return number;
        }
        let hash = hash_user(name);
        let newest = self.index.get(&hash).copied().unwrap_or(NONE);
        let mut number = newest;
        while number != NONE {
            if self.name(number) == name {
                return number;
            }
            number = self.before[number as usize];
        }
        let number = self.len() as u32;
        self.text.extend_from_slice(name);
        self.ends.push(self.text.len());
        self.before.push(newest);
        self.index.insert(hash, number);
        number
    }

    /// For each number, where its name stands among all names in byte order.
    pub fn ranks(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..self.len() as u32).collect();
        numbers.sort_unstable_by(|&a, &b| self.name(a).cmp(self.name(b)));
        let mut ranks = vec![0; numbers.len()];
        for (rank, number) in (0..).zip(numbers) {
            ranks[number as usize] = rank;
        }
        ranks
    }

    /// Forgets all names; their room is kept.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.index.clear();
        self.before.clear();
        self.last = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_has_one_number_and_a_number_its_name(
            names in proptest::collection::vec("[ab]{0,4}", 0..200),
        ) {
            let mut interner = Interner::default();
            let numbers: Vec<u32> =
                names.iter().map(|name| interner.number(name.as_bytes())).collect();
            for (name, number) in names.iter().zip(&numbers) {
                prop_assert_eq!(interner.name(*number), name.as_bytes());
                prop_assert_eq!(interner.number(name.as_bytes()), *number);
            }
            let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
            prop_assert_eq!(interner.len(), distinct.len());
            let ranks = interner.ranks();
            for (rank, name) in distinct.iter().enumerate() {
                prop_assert_eq!(ranks[interner.number(name.as_bytes()) as usize], rank as u32);
            }
        }
    }
}
