//! The quality score of the first version: a weighted mean of four shares.

use super::model::Extent;

/// 0.4·(1 − null prints) + 0.2·(1 − dup prints) + 0.2·taps_have_prints + 0.2·(1 − null gold),
/// rounded to 4 digits.
pub(super) fn score(prints: &Extent, gold: &Extent, taps_have_prints: f64) -> f64 {
    let nulls = 0.4 * (1.0 - prints.null_rate);
    let duplicates = 0.2 * (1.0 - prints.duplicate_rate);
    round4(nulls + duplicates + 0.2 * taps_have_prints + 0.2 * (1.0 - gold.null_rate))
}

/// Rounded to 4 digits.
pub(super) fn round4(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_those_of_the_first_version() {
        let all_good = Extent { rows: 1, null_rate: 0.0, duplicate_rate: 0.0 };
        assert_eq!(score(&all_good, &all_good, 1.0), 1.0);
        let prints = Extent { rows: 1, null_rate: 0.5, duplicate_rate: 0.25 };
        let gold = Extent { rows: 1, null_rate: 0.1, duplicate_rate: 0.9 };
        assert_eq!(score(&prints, &gold, 0.123_45), 0.5547);
    }
}
