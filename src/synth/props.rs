//! The value propositions of the carousel: their names, how often they are shown and tapped.
//!
//! Knows nothing of users or days.

use super::rng::Rng;

/// The names, in the order of their numbers.
pub(super) const NAMES: [&str; 7] = [
    "cellphone_recharge",
    "credits_consumer",
    "link_cobro",
    "point",
    "prepaid",
    "send_money",
    "transport",
];
/// Of 256 prints, how many are of each.
const SHOWN: [u16; 7] = [56, 24, 30, 44, 38, 28, 36];
/// How willingly each is tapped; 16 is the middle.
const APPEAL: [u64; 7] = [18, 10, 12, 14, 22, 20, 16];
/// The first place of the carousel is tapped more often than the last; 4 is the middle.
const PLACE: [u64; 4] = [6, 4, 3, 3];
/// Payments for some are smaller or larger: a shift of the amount in bits.
const AMOUNT_SHIFT: [u32; 7] = [1, 3, 2, 2, 1, 2, 0];
const POPULAR: [Prop; 256] = popular_table();

/// The number of a value proposition.
pub(super) type Prop = u8;

const fn popular_table() -> [Prop; 256] {
    let mut table = [0; 256];
    let (mut at, mut prop) = (0, 0);
    while prop < SHOWN.len() {
        let end = at + SHOWN[prop] as usize;
        while at < end {
            table[at] = prop as Prop;
            at += 1;
        }
        prop += 1;
    }
    assert!(at == table.len());
    table
}

/// The value proposition that a random byte stands for, popular ones more often.
pub(super) fn popular(byte: u8) -> Prop {
    POPULAR[byte as usize]
}

/// Three or four different value propositions, in the order of their positions; three times in
/// eight the favourite comes first. Returns how many there are.
pub(super) fn carousel(favourite: Prop, rng: &mut Rng) -> ([Prop; 4], usize) {
    let mut bits = rng.bits();
    let count = 3 + (bits & 1) as usize;
    let mut shown = [favourite; 4];
    let (mut taken, mut seen) = (0, 0u8);
    if (bits >> 1) & 7 < 3 {
        (taken, seen) = (1, 1 << favourite);
    }
    bits >>= 8;
    let mut left = 7;
    while taken < count {
        if left == 0 {
            (bits, left) = (rng.bits(), 8);
        }
        let prop = popular(bits as u8);
        (bits, left) = (bits >> 8, left - 1);
        if seen & (1 << prop) == 0 {
            seen |= 1 << prop;
            shown[taken] = prop;
            taken += 1;
        }
    }
    (shown, count)
}

/// How willingly a print is tapped; 64 is the middle.
pub(super) fn tap_weight(prop: Prop, position: usize, favourite: Prop) -> u64 {
    let liked = if prop == favourite { 2 } else { 1 };
    APPEAL[prop as usize] * PLACE[position] * liked
}

/// The amount of a payment in cents: mostly small, now and then large, never 0.
pub(super) fn amount_cents(prop: Prop, rng: &mut Rng) -> u64 {
    let bits = rng.bits();
    // Ten coin tosses choose the power of two: a bell over the number of digits.
    let power = 5 + (bits & 0x3ff).count_ones() + AMOUNT_SHIFT[prop as usize];
    let low = 1u64 << power;
    low + ((bits >> 16) & (low - 1))
}

/// The value proposition of a payment: the favourite three times in eight.
pub(super) fn paid_for(favourite: Prop, rng: &mut Rng) -> Prop {
    let bits = rng.bits();
    if bits & 7 < 3 { favourite } else { popular((bits >> 8) as u8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carousel_shows_three_or_four_different_ones() {
        let mut rng = Rng::new(1, 1);
        let mut lengths = [0u32; 5];
        for _ in 0..2_000 {
            let (shown, count) = carousel(2, &mut rng);
            lengths[count] += 1;
            let seen = shown[..count].iter().fold(0u8, |seen, prop| seen | 1 << prop);
            assert_eq!(seen.count_ones() as usize, count);
        }
        assert_eq!(lengths[3] + lengths[4], 2_000);
        assert!(lengths[3] > 800 && lengths[4] > 800);
    }

    #[test]
    fn amounts_are_skewed_and_positive() {
        let mut rng = Rng::new(1, 1);
        let mut cents: Vec<u64> = (0..10_000).map(|_| amount_cents(3, &mut rng)).collect();
        cents.sort_unstable();
        let mean = cents.iter().sum::<u64>() / 10_000;
        assert!(cents[0] > 0 && mean > cents[5_000] * 5 / 4, "{mean} {}", cents[5_000]);
        assert!(*cents.last().unwrap() < 1_000_000 * 100);
    }
}
