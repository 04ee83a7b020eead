//! Exact bounds of a decimal number given as text. Knows no configuration and no rounding.

/// Where an amount lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Zero or below.
    NotPositive,
    /// Above zero, at most 10^12.
    Fits,
    /// Above 10^12.
    TooLarge,
}

/// The size of a decimal number, or `None` where the text is none (the grammar of amounts in rows).
pub fn size(text: &str) -> Option<Size> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() || negative {
        return Some(Size::NotPositive);
    }
    // The number is 0.significant × 10^point.
    let leading_zeros = digits.len() - significant.len();
    let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading_zeros).ok()? + exponent;
    let is_limit = point == 13 && significant.trim_end_matches('0') == "1";
    Some(if point <= 12 || is_limit { Size::Fits } else { Size::TooLarge })
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let usual = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if usual { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bounds_are_exact() {
        let fits = ["1000000", "999.99", "1e6", "1e12", "+5", ".5", "5.", "1000000000000.000"];
        for text in fits.into_iter().chain(["0.001e15", "1e-9999", "999999999999.99999999999999"]) {
            assert_eq!(size(text), Some(Size::Fits), "{text}");
        }
        for text in ["1000000000000.00000000000000001", "1e13", "9e12", "1e9999"] {
            assert_eq!(size(text), Some(Size::TooLarge), "{text}");
        }
        for text in ["0", "-0", "0.000", "0e9", "-1", "-1e13"] {
            assert_eq!(size(text), Some(Size::NotPositive), "{text}");
        }
        for text in
            ["", "+", ".", "e5", "1e", "1e12345", "1_000", "0x10", ".inf", "1,5", "--1", "é"]
        {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_size_agrees_with_integers_in_cents(cents in 0u64..300_000_000_000_000) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            let expected = match cents {
                0 => Size::NotPositive,
                1..=100_000_000_000_000 => Size::Fits,
                _ => Size::TooLarge,
            };
            prop_assert_eq!(size(&text), Some(expected));
            prop_assert_eq!(size(&format!("{cents}e-2")), Some(expected));
        }
    }
}
