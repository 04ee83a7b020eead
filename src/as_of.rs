//! The logical time of a run: the instant from which on nothing is known yet.
//!
//! Parses what a user gives and names folders by it. Does not know the clock, the
//! configuration or any row; whoever has no other value asks [`AsOf::end_of_day`].

use chrono::{DateTime, Datelike, Days, NaiveDate, SecondsFormat, Timelike, Utc};

/// An instant, in microseconds, together with the words in which it was given.
///
/// A date D means the end of that day, D+1 00:00 UTC; an RFC 3339 timestamp means itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOf {
    instant: DateTime<Utc>,
    given: String,
    date: Option<NaiveDate>,
}

/// An instant, given in microseconds since 1970, as RFC 3339 in UTC; a fraction only when there is
/// one. Beyond the calendar it is the number itself.
pub fn rfc3339(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} µs"),
        |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

/// The text is no logical time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AsOfError {
    /// Neither a date nor an RFC 3339 timestamp.
    #[error(
        "`{0}` is neither a date (2020-11-30) nor an RFC 3339 timestamp (2020-12-01T00:00:00Z)"
    )]
    Shape(String),
    /// The instant, or the date as written, has a year that rows cannot have.
    #[error("`{0}` is not {RANGE}", RANGE = AsOf::RANGE)]
    Range(String),
}

impl AsOf {
    /// What may be given, in words: the instant in UTC has a year of four digits, and not 0000.
    pub const RANGE: &str = "a date from 0001-01-01 to 9999-12-30 or an instant from 0001-01-01T00:00:00Z to \
         9999-12-31T23:59:59.999999Z";

    /// Reads a date or an RFC 3339 timestamp with its offset; digits beyond microseconds are cut.
    pub fn parse(text: &str) -> Result<AsOf, AsOfError> {
        let text = text.trim();
        let wrong = || AsOfError::Shape(text.to_owned());
        let out = || AsOfError::Range(text.to_owned());
        if text.len() == 10 {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| wrong())?;
            return AsOf::end_of_day(date).ok_or_else(out);
        }
        let written = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?;
        // chrono takes second 60 for a leap second, which no row may have either.
        let is_leap = written.nanosecond() >= 1_000_000_000;
        let written = Some(written).filter(|_| !is_leap).ok_or_else(wrong)?;
        let instant = DateTime::from_timestamp_micros(written.timestamp_micros());
        let instant = instant.filter(|utc| is_in_range(written.year()) && is_in_range(utc.year()));
        Ok(AsOf { instant: instant.ok_or_else(out)?, given: text.to_owned(), date: None })
    }

    /// The end of a day, D+1 00:00 UTC; `None` outside [`AsOf::RANGE`].
    pub fn end_of_day(date: NaiveDate) -> Option<AsOf> {
        let instant = date.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0)?.and_utc();
        (is_in_range(date.year()) && is_in_range(instant.year())).then(|| AsOf {
            instant,
            given: date.to_string(),
            date: Some(date),
        })
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(&self) -> i64 {
        self.instant.timestamp_micros()
    }

    /// As written by the user.
    pub fn as_given(&self) -> &str {
        &self.given
    }

    /// What replaces `{as_of}` in folder names: the date, or the UTC timestamp without punctuation.
    pub fn folder(&self) -> String {
        match self.date {
            Some(date) => date.to_string(),
            None => self.to_string().replace(['-', ':', '.'], ""),
        }
    }
}

fn is_in_range(year: i32) -> bool {
    (1..=9999).contains(&year)
}

/// RFC 3339 in UTC, its year of four digits; a fraction only when there is one.
impl std::fmt::Display for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&rfc3339(self.micros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_the_end_of_its_day() {
        let date = AsOf::parse("2020-11-30").unwrap();
        assert_eq!(date.to_string(), "2020-12-01T00:00:00Z");
        assert_eq!(date.folder(), "2020-11-30");
        let instant = AsOf::parse("2020-12-01T02:00:00+02:00").unwrap();
        assert_eq!(instant.micros(), date.micros());
        assert_eq!(instant.folder(), "20201201T000000Z");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "yesterday",
            "2020-11-31",
            "2020-11-30T10:00:00",
            "2020-11-30T10:00:60Z",
            "20201130",
        ] {
            let error = AsOf::parse(text).unwrap_err();
            assert!(matches!(error, AsOfError::Shape(_)), "{text}: {error}");
        }
    }

    #[test]
    fn the_year_of_the_instant_has_four_digits_and_is_not_0000() {
        for (text, instant) in [
            ("0001-01-01", "0001-01-02T00:00:00Z"),
            ("9999-12-30", "9999-12-31T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(AsOf::parse(text).unwrap().to_string(), instant);
        }
        for text in [
            "0000-01-01",
            "0000-12-31",
            "9999-12-31",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "0000-12-31T23:59:59-01:00",
            "9999-12-31T23:59:59-00:01",
            "-001-01-01",
        ] {
            let error = AsOf::parse(text).unwrap_err();
            assert!(matches!(error, AsOfError::Range(_)), "{text}: {error}");
            assert!(error.to_string().contains("is not a date from 0001-01-01 to 9999-12-30"));
        }
        assert_eq!(AsOf::end_of_day(NaiveDate::MAX), None);
    }
}
