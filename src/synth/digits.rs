//! Numbers as decimal digits, without the cost of formatting: there is one in every row.
//!
//! Knows nothing of rows.

/// Appends a number.
pub(super) fn push(line: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

/// Appends an amount in cents with its two decimals.
pub(super) fn push_cents(line: &mut Vec<u8>, cents: u64) {
    push(line, cents / 100);
    let rest = (cents % 100) as u8;
    line.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_usual() {
        for number in [0, 7, 10, 98_702, u64::MAX] {
            let mut line = Vec::new();
            push(&mut line, number);
            assert_eq!(String::from_utf8(line).unwrap(), number.to_string());
        }
        let mut line = Vec::new();
        push_cents(&mut line, 1_205);
        line.push(b' ');
        push_cents(&mut line, 7);
        assert_eq!(line, b"12.05 0.07");
    }
}
