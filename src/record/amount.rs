//! Amounts of money: decimal text, compared exactly and rounded half to even to cents.
//!
//! Works on the digits as written, so neither their number nor the exponent costs memory. Does
//! not know what is too large; a [`Decimal`] is what such a bound is kept in.

use std::cmp::Ordering;

/// A decimal number as it stands in a text, without a copy of it.
///
/// Its value is `0.d₁d₂d₃… × 10^point`, where the digits are those of `head` and then `tail`;
/// the first and the last digit are not zero, and zero has no digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount<'t> {
    negative: bool,
    head: &'t [u8],
    tail: &'t [u8],
    point: i64,
}

/// An amount in whole cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cents {
    pub cents: u64,
    /// Rounding changed the value.
    pub rounded: bool,
}

/// The cents of a text of up to 15 digits with up to two after the point, the usual kind; all
/// other text is for [`Amount`].
#[inline]
pub(super) fn plain_cents(text: &str) -> Option<u64> {
    let (whole, fraction) = match text.as_bytes() {
        [whole @ .., b'.', tens, ones] => (whole, [*tens, *ones]),
        [whole @ .., b'.', tens] => (whole, [*tens, b'0']),
        whole => (whole, [b'0'; 2]),
    };
    if whole.is_empty() || whole.len() > 15 {
        return None;
    }
    whole.iter().chain(&fraction).try_fold(0, |cents, digit| {
        digit.is_ascii_digit().then(|| cents * 10 + u64::from(digit - b'0'))
    })
}

impl<'t> Amount<'t> {
    /// Zero.
    const ZERO: Amount<'static> = Amount { negative: false, head: &[], tail: &[], point: 0 };

    /// Reads `[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?`, without white space.
    pub fn parse(text: &'t str) -> Option<Amount<'t>> {
        let text = text.as_bytes();
        let (negative, text) = sign(text);
        let (head, text) = digits(text);
        let (tail, text) = match text.split_first() {
            Some((b'.', text)) => digits(text),
            _ => (&[][..], text),
        };
        if head.is_empty() && tail.is_empty() {
            return None;
        }
        let exponent = match text.split_first() {
            None => 0,
            Some((b'e' | b'E', text)) => exponent(text)?,
            Some(_) => return None,
        };
        Some(Amount::of_digits(negative, head, tail, exponent))
    }

    /// Strips the zeros at both ends and keeps account of the decimal point.
    fn of_digits(negative: bool, head: &'t [u8], tail: &'t [u8], exponent: i64) -> Amount<'t> {
        let head = without_leading_zeros(head);
        let (head, tail, whole) = if head.is_empty() {
            let stripped = without_leading_zeros(tail);
            (&[][..], stripped, -length(&tail[stripped.len()..]))
        } else {
            (head, tail, length(head))
        };
        let tail = without_trailing_zeros(tail);
        let head = if tail.is_empty() { without_trailing_zeros(head) } else { head };
        Amount { negative, head, tail, point: whole + exponent }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.head.iter().chain(self.tail).copied()
    }

    pub fn is_positive(&self) -> bool {
        !self.negative && !self.is_zero()
    }

    fn is_zero(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// Exact comparison; minus zero is zero.
    pub fn compare(&self, other: &Amount<'_>) -> Ordering {
        self.signum().cmp(&other.signum()).then_with(|| match self.signum() {
            0 => Ordering::Equal,
            1 => self.compare_size(other),
            _ => other.compare_size(self),
        })
    }

    fn signum(&self) -> i8 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        }
    }

    /// Without the sign, neither being zero.
    fn compare_size(&self, other: &Amount<'_>) -> Ordering {
        self.point.cmp(&other.point).then_with(|| self.digits().cmp(other.digits()))
    }

    /// The size (without the sign) in whole cents, half to even; `None` beyond 64 bits.
    pub fn cents(&self) -> Option<Cents> {
        let (floor, mut rest) = self.whole_cents()?;
        let up = match rest.next() {
            None => return Some(Cents { cents: floor, rounded: false }),
            Some(b'5') => rest.next().is_some() || floor % 2 == 1,
            Some(digit) => digit > b'5',
        };
        Some(Cents { cents: floor.checked_add(u64::from(up))?, rounded: true })
    }

    /// The size in whole cents, cut, and the digits that follow them. An amount below a tenth of a cent
    /// answers with a lone `0` for its digits, which rounds down as they do.
    fn whole_cents(&self) -> Option<(u64, impl Iterator<Item = u8>)> {
        let whole_digits = if self.is_zero() { 0 } else { self.point + 2 };
        let (digits, zeros) =
            if whole_digits < 0 { (&b"0"[..], 0) } else { (&[][..], whole_digits) };
        let mut rest = digits.iter().copied().chain(self.digits());
        let mut cents = 0_u64;
        for _ in 0..zeros {
            let digit = rest.next().unwrap_or(b'0') - b'0';
            cents = cents.checked_mul(10)?.checked_add(u64::from(digit))?;
        }
        Some((cents, rest))
    }
}

/// A bound for amounts: a decimal number with its text.
#[derive(Debug, Clone)]
pub struct Decimal {
    text: String,
    /// The bound in whole cents, rounded down, if it is not negative and has 64 bits.
    floor_cents: Option<u64>,
}

/// The text is no decimal number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no decimal number (1000000, 2.50, 1e6)")]
pub struct DecimalError(String);

impl Decimal {
    /// Reads a number as an amount is read.
    pub fn parse(text: &str) -> Result<Decimal, DecimalError> {
        let text = text.trim();
        let amount = Amount::parse(text).ok_or_else(|| DecimalError(text.to_owned()))?;
        let floor_cents = match amount.signum() {
            0 => Some(0),
            1 => amount.whole_cents().map(|(cents, _)| cents),
            _ => None,
        };
        Ok(Decimal { text: text.to_owned(), floor_cents })
    }

    /// The most cents that an amount within this bound can be rounded to; `None` beyond 64 bits.
    pub fn largest_cents(&self) -> Option<u64> {
        let amount = self.amount();
        if amount.is_positive() { amount.cents().map(|rounded| rounded.cents) } else { Some(0) }
    }

    /// The most whole cents that are surely within this bound.
    #[inline]
    pub(super) fn sure_cents(&self) -> u64 {
        self.floor_cents.unwrap_or(0)
    }

    /// Whether an amount lies above this bound, exactly.
    pub(super) fn is_below(&self, amount: &Amount<'_>) -> bool {
        // Whole cents nearly always decide; only where they are equal do the digits.
        if let (Some(floor), Some((cents, _))) = (self.floor_cents, amount.whole_cents())
            && (cents != floor || !amount.is_positive())
        {
            return amount.is_positive() && cents > floor;
        }
        amount.compare(&self.amount()) == Ordering::Greater
    }

    fn amount(&self) -> Amount<'_> {
        // The text was read before; should that ever change, nothing is above zero.
        Amount::parse(&self.text).unwrap_or(Amount::ZERO)
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.text)
    }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, text) = sign(text);
    let (digits, rest) = digits(text);
    if !rest.is_empty() || !(1..=4).contains(&digits.len()) {
        return None;
    }
    let size = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -size } else { size })
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|digit| **digit == b'0').count()..]
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    &digits[..digits.len() - zeros]
}

/// The number of digits; a line has far fewer than 2^63.
fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cents(text: &str) -> (u64, bool) {
        let cents = Amount::parse(text).unwrap().cents().unwrap();
        (cents.cents, cents.rounded)
    }

    #[test]
    fn cents_are_rounded_half_to_even_from_the_text() {
        for (text, expected) in [
            ("2.675", (268, true)),
            ("0.285", (28, true)),
            ("0.025", (2, true)),
            ("0.015", (2, true)),
            ("0.005", (0, true)),
            ("0.005000001", (1, true)),
            ("0.00499999", (0, true)),
            ("12.340", (1234, false)),
            (".5", (50, false)),
            ("5.", (500, false)),
            ("+3.10", (310, false)),
            ("1e2", (10_000, false)),
            ("1.5E-1", (15, false)),
            ("15e-3", (2, true)),
            ("0e9999", (0, false)),
            ("1e-9999", (0, true)),
            ("999999.995", (100_000_000, true)),
            ("00.000", (0, false)),
            ("100e-9999", (0, true)),
            ("1000e-03", (100, false)),
            ("0.0009e2", (9, false)),
        ] {
            assert_eq!(cents(text), expected, "{text}");
        }
        assert_eq!(Amount::parse("1e9999").unwrap().cents(), None);
        assert_eq!(
            Amount::parse("184467440737095516.15").unwrap().cents().unwrap().cents,
            u64::MAX
        );
        assert_eq!(Amount::parse("184467440737095516.155").unwrap().cents(), None);
    }

    #[test]
    fn only_plain_decimal_text_is_an_amount() {
        for text in [
            "", "+", "-", ".", "-.", "e5", ".e5", "1e", "1e+", "1e12345", "1e1.5", "--1", "1,000",
            "$1", "NaN", "inf", "0x10", "1_000", " 1", "1 ", "1.2.3", "١", "1e٢", "+-1", "1f",
        ] {
            assert!(Amount::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn plain_amounts_are_understood_at_once() {
        for (text, cents) in
            [("7", 700), ("7.0", 700), ("7.04", 704), ("007.50", 750), ("0", 0), ("0.00", 0)]
        {
            assert_eq!(plain_cents(text), Some(cents), "{text}");
        }
        for text in ["", ".5", "5.", "7.045", "+7", "-7", "1e2", "x", "7..5", "1234567890123456"] {
            assert_eq!(plain_cents(text), None, "{text}");
        }
    }

    #[test]
    fn a_bound_is_compared_exactly() {
        let bound = Decimal::parse(" 1000000 ").unwrap();
        let above = |text: &str| bound.is_below(&Amount::parse(text).unwrap());
        for text in ["1000000", "1e6", "999999.999", "-1e9", "0", "1000000.000", "-1000000.001"] {
            assert!(!above(text), "{text}");
        }
        let tiny = format!("1000000.{}1", "0".repeat(5000));
        for text in ["1000000.01", "1000000.001", "1e9999", tiny.as_str()] {
            assert!(above(text), "{text}");
        }
        let largest = |text: &str| Decimal::parse(text).unwrap().largest_cents();
        assert_eq!(largest("1000000"), Some(100_000_000));
        assert_eq!(largest("0.999"), Some(100));
        assert_eq!(largest("-1"), Some(0));
        assert_eq!(largest("1e9999"), None);
        assert!(Decimal::parse("much").is_err());
    }

    /// A decimal text, and the same number as (negative, digits before, digits after the point),
    /// 60 of each, written out by hand.
    fn decimal() -> impl Strategy<Value = (String, bool, String)> {
        ("[+-]?", "[0-9]{0,12}", "[0-9]{0,12}", -25_i32..=25, any::<bool>(), any::<bool>())
            .prop_filter("digits", |(_, whole, fraction, ..)| whole.len() + fraction.len() > 0)
            .prop_map(|(sign, whole, fraction, exponent, dot, plus)| {
                let dot = if dot || !fraction.is_empty() { "." } else { "" };
                let e = match (exponent, plus) {
                    (0, _) => String::new(),
                    (1.., true) => format!("e+{exponent}"),
                    _ => format!("E{exponent}"),
                };
                let zeros = "0".repeat(60);
                let all = format!("{zeros}{whole}{fraction}{zeros}");
                let point = (60 + whole.len()) as i32 + exponent;
                let (before, after) = all.split_at(point as usize);
                let plain = format!("{before:0>120}.{after:0<120}");
                (format!("{sign}{whole}{dot}{fraction}{e}"), sign == "-", plain)
            })
    }

    proptest! {
        #[test]
        fn rounding_agrees_with_long_hand((text, _, plain) in decimal()) {
            let amount = Amount::parse(&text).unwrap();
            let (whole, fraction) = plain.split_once('.').unwrap();
            let digits = format!("{whole}{}", &fraction[..2]);
            let digits = match digits.trim_start_matches('0') {
                "" => "0",
                digits => digits,
            };
            // Beyond 64 bits is beyond 64 bits, whatever the digits.
            let cents: u128 = digits[..digits.len().min(30)].parse().unwrap();
            let rest = fraction[2..].trim_end_matches('0');
            let up = match rest.cmp("5") {
                Ordering::Less => 0,
                Ordering::Equal => cents % 2,
                Ordering::Greater => 1,
            };
            let expected = u64::try_from(cents + up).ok()
                .map(|cents| Cents { cents, rounded: !rest.is_empty() });
            prop_assert_eq!(amount.cents(), expected);
            if let Some(cents) = plain_cents(&text) {
                prop_assert_eq!(amount.cents(), Some(Cents { cents, rounded: false }));
                prop_assert!(amount.is_positive() || cents == 0);
            }
        }

        #[test]
        fn comparison_agrees_with_long_hand(
            (a, a_negative, a_plain) in decimal(), (b, b_negative, b_plain) in decimal(),
        ) {
            let zero = |plain: &str| plain.trim_matches(['0', '.']).is_empty();
            let sign = |negative, plain: &str| match (zero(plain), negative) {
                (true, _) => 0,
                (_, true) => -1,
                _ => 1,
            };
            let (a_sign, b_sign) = (sign(a_negative, &a_plain), sign(b_negative, &b_plain));
            let size = if a_sign < 0 { b_plain.cmp(&a_plain) } else { a_plain.cmp(&b_plain) };
            let expected = a_sign.cmp(&b_sign).then(if a_sign == 0 { Ordering::Equal } else { size });
            let amount = Amount::parse(&a).unwrap();
            prop_assert_eq!(amount.compare(&Amount::parse(&b).unwrap()), expected);
            let bound = Decimal::parse(&b).unwrap();
            prop_assert_eq!(bound.is_below(&amount), expected == Ordering::Greater);
            prop_assert_eq!(amount.is_positive(), a_sign > 0);
            if let Some(cents) = plain_cents(&a) && cents <= bound.sure_cents() {
                prop_assert!(expected.is_le());
            }
        }
    }
}
