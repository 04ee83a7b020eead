//! The logical time of a run: the instant from which on nothing is known yet.
//!
//! Parses what a user gives and names folders by it. Does not know the clock, the
//! configuration or any row; whoever has no other value asks [`AsOf::end_of_day`].

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, Utc};

/// An instant, in microseconds, together with the words in which it was given.
///
/// A date D means the end of that day, D+1 00:00 UTC; an RFC 3339 timestamp means itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOf {
    instant: DateTime<Utc>,
    given: String,
    date: Option<NaiveDate>,
}

/// The text is neither a date nor an RFC 3339 timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a date (2020-11-30) nor an RFC 3339 timestamp (2020-12-01T00:00:00Z)")]
pub struct AsOfError(String);

impl AsOf {
    /// Reads a date or an RFC 3339 timestamp with its offset; digits beyond microseconds are cut.
    pub fn parse(text: &str) -> Result<AsOf, AsOfError> {
        let text = text.trim();
        let wrong = || AsOfError(text.to_owned());
        if text.len() == 10 {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| wrong())?;
            let mut as_of = AsOf::end_of_day(date).ok_or_else(wrong)?;
            as_of.given = text.to_owned();
            return Ok(as_of);
        }
        let instant = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?;
        let instant = DateTime::from_timestamp_micros(instant.timestamp_micros());
        Ok(AsOf { instant: instant.ok_or_else(wrong)?, given: text.to_owned(), date: None })
    }

    /// The end of a day, D+1 00:00 UTC; `None` outside the calendar.
    pub fn end_of_day(date: NaiveDate) -> Option<AsOf> {
        let instant = date.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0)?.and_utc();
        Some(AsOf { instant, given: date.to_string(), date: Some(date) })
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

/// RFC 3339 in UTC; a fraction only when there is one.
impl std::fmt::Display for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
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
        for text in ["", "yesterday", "2020-11-31", "2020-11-30T10:00:00", "20201130"] {
            assert!(AsOf::parse(text).is_err(), "{text}");
        }
    }
}
