//! When a row is to be spoilt: the schedule of bad, soft and doubled rows.
//!
//! The share is exact, the places are random. Knows row numbers; not what a row looks like.

use super::rng::Rng;

/// What is to become of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Broken, so that a row rule rejects it.
    Bad,
    /// Accepted, with a soft issue.
    Soft,
    /// The row before it once more.
    Double,
}

const MILLION: u64 = 1_000_000;

/// The largest share of bad rows; three kinds of trouble must fit into all rows.
pub(super) const MOST: f64 = 0.3;

/// The troubles of one file: one in each stretch of rows, kind after kind in turn.
pub(super) struct Dirt {
    kinds: &'static [Kind],
    per_million: u64,
    rng: Rng,
    count: u64,
    next_row: u64,
}

impl Dirt {
    /// For each of the kinds a share of `rate` (0 to [`MOST`]) of all rows, to the millionth.
    pub fn new(rate: f64, kinds: &'static [Kind], rng: Rng) -> Dirt {
        let per_million = (rate * MILLION as f64).round() as u64 * kinds.len() as u64;
        let mut dirt = Dirt { kinds, per_million, rng, count: 0, next_row: u64::MAX };
        dirt.choose();
        dirt
    }

    fn choose(&mut self) {
        let Some(from) = (self.count * MILLION).checked_div(self.per_million) else { return };
        let to = (self.count + 1) * MILLION / self.per_million;
        self.next_row = from + self.rng.below(to - from);
    }

    /// What is to become of this row, if anything, without taking note of it.
    pub fn peek(&self, row: u64) -> Option<Kind> {
        (row == self.next_row).then(|| self.kinds[(self.count % self.kinds.len() as u64) as usize])
    }

    /// What is to become of this row, if anything, and which of its kind it is (from 0). Rows must
    /// be asked for in order, each once.
    pub fn take(&mut self, row: u64) -> Option<(Kind, u64)> {
        let kind = self.peek(row)?;
        let turn = self.count / self.kinds.len() as u64;
        self.count += 1;
        self.choose();
        Some((kind, turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Kind] = &[Kind::Bad, Kind::Soft, Kind::Double];

    #[test]
    fn the_share_of_every_kind_is_exact() {
        for (rate, expected) in [(0.0, 0), (0.002, 40), (0.05, 1_000), (MOST, 6_000)] {
            let mut dirt = Dirt::new(rate, ALL, Rng::new(1, 1));
            let taken: Vec<_> = (0..20_000).filter_map(|row| dirt.take(row)).collect();
            for kind in ALL {
                let turns: Vec<u64> = taken.iter().filter(|t| t.0 == *kind).map(|t| t.1).collect();
                assert_eq!(turns, (0..expected).collect::<Vec<u64>>(), "{rate}");
            }
        }
    }
}
