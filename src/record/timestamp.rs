//! Timestamps of raw rows: ASCII text to microseconds since 1970, UTC.
//!
//! Knows the formats and the calendar; does not know what is too old or not yet.

const MICROS_PER_SECOND: i64 = 1_000_000;

/// An instant and whether it was written in another than the plain form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp {
    /// Microseconds since 1970-01-01T00:00:00Z; finer digits are cut.
    pub micros: i64,
    /// White space was trimmed, or the offset was not zero.
    pub coerced: bool,
}

/// Why a text is no timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTimestamp {
    /// Nothing but white space.
    Blank,
    /// Something else.
    Invalid,
}

/// Reads `YYYY-MM-DD`, or that with `[T| ]HH:MM:SS[.1–9 digits][Z|±HH:MM]`, trimmed.
pub(super) fn parse(text: &str) -> Result<Timestamp, NoTimestamp> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(NoTimestamp::Blank);
    }
    let (micros, offset_minutes) = instant(trimmed.as_bytes()).ok_or(NoTimestamp::Invalid)?;
    let coerced = trimmed.len() != text.len() || offset_minutes != 0;
    Ok(Timestamp { micros, coerced })
}

/// The instant in UTC, and the offset in which it was written.
fn instant(text: &[u8]) -> Option<(i64, i64)> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let seconds = days(year, two(m1, m2)?, two(d1, d2)?)? * 86_400;
    if rest.is_empty() {
        return Some((seconds * MICROS_PER_SECOND, 0));
    }
    let (time, rest) = rest.split_first_chunk::<9>()?;
    let [b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2] = *time else { return None };
    let (hours, minutes) = clock(h1, h2, m1, m2)?;
    let seconds = seconds + hours * 3600 + minutes * 60 + below(60, two(s1, s2)?)?;
    let (fraction, rest) = fraction(rest)?;
    let offset_minutes = offset(rest)?;
    let micros = (seconds - offset_minutes * 60) * MICROS_PER_SECOND + fraction;
    Some((micros, offset_minutes))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, years 1 to 9999.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if year == 0 || day == 0 || day > length {
        return None;
    }
    // Years that begin in March, so that a leap day is the last day of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

/// `.` and one to nine digits, or nothing: microseconds, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else { return Some((0, text)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (digits, rest) = digits.split_at(count);
    let six = digits.iter().chain([b'0'; 6].iter()).take(6);
    Some((six.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')), rest))
}

/// `Z`, `±HH:MM` or nothing, in minutes.
fn offset(text: &[u8]) -> Option<i64> {
    match *text {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = clock(h1, h2, m1, m2)?;
            let offset = hours * 60 + minutes;
            Some(if sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

fn clock(h1: u8, h2: u8, m1: u8, m2: u8) -> Option<(i64, i64)> {
    Some((below(24, two(h1, h2)?)?, below(60, two(m1, m2)?)?))
}

fn below(limit: i64, value: i64) -> Option<i64> {
    (value < limit).then_some(value)
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let both = tens.is_ascii_digit() && ones.is_ascii_digit();
    both.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> Option<i64> {
        parse(text).ok().map(|timestamp| timestamp.micros)
    }

    #[test]
    fn every_day_of_the_calendar_agrees_with_chrono() {
        for year in 0..=9999 {
            for month in 0..=13 {
                for day in (0..=2).chain(27..=32) {
                    let chrono = NaiveDate::from_ymd_opt(year, month, day).filter(|_| year > 0);
                    let ours = micros(&format!("{year:04}-{month:02}-{day:02}"));
                    let chrono = chrono.and_then(|date| date.and_hms_opt(0, 0, 0));
                    assert_eq!(ours, chrono.map(|time| time.and_utc().timestamp_micros()));
                }
            }
        }
    }

    #[test]
    fn what_is_no_such_time_is_invalid() {
        for text in [
            "2020-11-40",
            "2020-13-01",
            "2020-02-30",
            "2021-02-29",
            "0000-01-01",
            "20201101",
            "2020-11-1",
            "2020-11-01T",
            "2020-11-01T10",
            "2020-11-01T10:00",
            "2020-11-01Z",
            "2020-11-01T24:00:00",
            "2020-11-01T10:60:00",
            "2020-11-01T10:00:60",
            "2020-11-01T10:00:00.",
            "2020-11-01T10:00:00.1234567890",
            "2020-11-01T10:00:00,5",
            "2020-11-01T10:00:00+24:00",
            "2020-11-01T10:00:00+10:60",
            "2020-11-01T10:00:00+1000",
            "2020-11-01T10:00:00+10",
            "2020-11-01T10:00:00 Z",
            "2020-11-01  10:00:00",
            "2020-11-01_10:00:00",
            "2020-11-01T10:00:00ZZ",
            "2020-11-01T10:00:00\u{2212}10:00",
            "٢٠٢٠-11-01",
            "2020/11/01",
            "+020-11-01",
            "2020-11-01\0",
            "12020-11-01",
        ] {
            assert_eq!(parse(text), Err(NoTimestamp::Invalid), "{text}");
        }
        for text in ["", " ", "\u{a0}\u{3000}\t"] {
            assert_eq!(parse(text), Err(NoTimestamp::Blank));
        }
    }

    #[test]
    fn trimming_and_a_real_offset_coerce_but_a_zero_offset_does_not() {
        let plain = ["2020-11-05", "2020-11-05t10:00:00.5z", "2020-11-05 10:00:00-00:00"];
        assert!(plain.iter().all(|text| !parse(text).unwrap().coerced));
        let coerced = [" 2020-11-05", "2020-11-05\u{2003}", "2020-11-05T10:00:00+00:01"];
        assert!(coerced.iter().all(|text| parse(text).unwrap().coerced));
    }

    #[test]
    fn fractions_are_cut_to_microseconds_even_before_1970() {
        assert_eq!(micros("1970-01-01T00:00:00.000001999"), Some(1));
        assert_eq!(micros("1969-12-31T23:59:59.999999999"), Some(-1));
        assert_eq!(micros("1969-12-31T23:59:59.5"), Some(-500_000));
    }

    #[test]
    fn an_offset_may_lead_out_of_the_years_1_to_9999() {
        let first = micros("0001-01-01").unwrap();
        assert_eq!(micros("0001-01-01T00:00:00+23:59"), Some(first - 86_340_000_000));
        let last = micros("9999-12-31T23:59:59").unwrap();
        assert_eq!(micros("9999-12-31T23:59:59-23:59"), Some(last + 86_340_000_000));
    }

    proptest! {
        #[test]
        fn times_agree_with_chrono(
            seconds in -62_135_596_800_i64..253_402_300_800, nanos in 0_u32..1_000_000_000,
            digits in 0_usize..=9, offset in -1439_i32..=1439, separator in "[Tt ]",
        ) {
            let time = DateTime::from_timestamp(seconds, 0).unwrap();
            let fraction = &format!(".{nanos:09}")[..if digits == 0 { 0 } else { digits + 1 }];
            let sign = if offset < 0 { '-' } else { '+' };
            let zone = format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60);
            let day = time.format("%Y-%m-%d");
            let text = format!("{day}{separator}{}{fraction}{zone}", time.format("%H:%M:%S"));
            prop_assume!(text.len() == 25 + fraction.len());
            let chrono = DateTime::parse_from_str(
                &text.replace(['t', ' '], "T"), "%Y-%m-%dT%H:%M:%S%.f%:z",
            ).unwrap();
            prop_assert_eq!(micros(&text), Some(chrono.timestamp_micros()));
        }

        #[test]
        fn no_text_panics_and_what_is_read_looks_like_a_date(text in "[0-9TtzZ:+. -]{0,36}") {
            if let Ok(timestamp) = parse(&text) {
                let day = DateTime::from_timestamp_micros(timestamp.micros).unwrap();
                let near = NaiveDate::parse_from_str(&text.trim()[..10], "%Y-%m-%d").unwrap();
                prop_assert!((day.date_naive() - near).num_days().abs() <= 1);
            }
        }
    }
}
