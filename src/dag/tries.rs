//! How a stage is tried: how often, how long apart and for how long.
//!
//! Nothing that a task computes depends on it, so it is no ingredient. Does not know which failures
//! are worth another try. The section `airflow` has settings of its own for what Airflow does.

use std::marker::PhantomData;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::airflow::{Check, Checked};

/// However often it doubles, a delay does not get longer than this.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60 * 60);
/// The longest time that one try of a task may be given.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How the tasks of a stage are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// How often a task is tried again.
    pub retries: u32,
    /// The time before the first retry; it doubles with each further one, up to an hour.
    pub delay: Duration,
    /// How long one try may take.
    pub timeout: Option<Duration>,
}

impl Default for Tries {
    fn default() -> Tries {
        Tries { retries: 0, delay: Duration::from_secs(5), timeout: None }
    }
}

impl Tries {
    /// The time before a retry, counted from 1.
    pub fn delay_before(&self, retry: u32) -> Duration {
        let doubled = 1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        self.delay.saturating_mul(doubled).min(LONGEST_DELAY)
    }
}

/// `retry_delay` as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delay(pub Duration);

/// `timeout` as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeout(pub Duration);

impl Checked for Delay {
    const EXPECTED: &'static str = "a time such as `5s`, `2m` or `500ms`, at most `1h`";

    fn of_text(text: &str) -> Option<Delay> {
        with_unit(text).filter(|time| *time <= LONGEST_DELAY).map(Delay)
    }
}

impl Checked for Timeout {
    const EXPECTED: &'static str =
        "a time such as `90s`, `30m` or `2h`, above zero, at most `168h`";

    fn of_text(text: &str) -> Option<Timeout> {
        let in_range = |time: &Duration| !time.is_zero() && *time <= LONGEST_TIMEOUT;
        with_unit(text).filter(in_range).map(Timeout)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Delay, D::Error> {
        deserializer.deserialize_any(Check(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timeout, D::Error> {
        deserializer.deserialize_any(Check(PhantomData))
    }
}

/// A time in a file: what a bare number counts, nobody can see there.
fn with_unit(text: &str) -> Option<Duration> {
    time_of(text).filter(|_| text.ends_with(|c: char| c.is_ascii_alphabetic()))
}

/// Reads `60s`, `2m`, `1h`, `500ms` or a plain number of seconds.
pub fn time_of(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// A time as [`time_of`] reads it, in the largest unit that is exact; below a millisecond it is cut.
pub fn time_text(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spec;
    use super::*;

    fn read(keys: &str) -> Result<Tries, String> {
        let text = format!("version: 1\nname: x\nstages:\n  a:\n    needs: []\n    {keys}\n");
        let spec = Spec::parse(&text, "x.yaml").map_err(|error| error.to_string())?;
        Ok(spec.stages[0].tries)
    }

    #[test]
    fn what_is_left_out_is_no_retry_and_no_limit() {
        assert_eq!(read("").unwrap(), Tries::default());
        assert_eq!((Tries::default().retries, Tries::default().timeout), (0, None));
        let all = read("retries: 3\n    retry_delay: 2m\n    timeout: 500ms").unwrap();
        let (delay, timeout) = (Duration::from_secs(120), Some(Duration::from_millis(500)));
        assert_eq!(all, Tries { retries: 3, delay, timeout });
    }

    #[test]
    fn wrong_values_are_named_with_file_key_and_line() {
        for (line, word) in [
            ("retries: 101", "`101` is not a number of retries, 0 to 100"),
            ("retries: often", "expected a number of retries, 0 to 100"),
            ("retry_delay: 5", "`5` is not a time such as `5s`"),
            ("retry_delay: \"5\"", "`5` is not a time such as `5s`"),
            ("retry_delay: soon", "`soon` is not a time such as `5s`"),
            ("retry_delay: 61m", "at most `1h`"),
            ("timeout: 0s", "`0s` is not a time such as `90s`"),
            ("timeout: 169h", "above zero, at most `168h`"),
            ("timeout: 1d", "`1d` is not a time"),
            ("timeout: [1s]", "a time such as `90s`"),
        ] {
            let error = read(line).unwrap_err();
            let key = line.split(':').next().unwrap();
            assert!(error.starts_with(&format!("`x.yaml`: stages.a.{key}: ")), "{error}");
            assert!(error.contains(word) && error.contains("line 6"), "{line}: {error}");
        }
    }

    #[test]
    fn a_delay_doubles_up_to_an_hour() {
        let tries = Tries { retries: 100, delay: Duration::from_secs(5), timeout: None };
        let delays: Vec<u64> = (1..=4).map(|n| tries.delay_before(n).as_secs()).collect();
        assert_eq!(delays, [5, 10, 20, 40]);
        assert_eq!(tries.delay_before(100), LONGEST_DELAY);
        let at_once = Tries { delay: Duration::ZERO, ..tries };
        assert_eq!(at_once.delay_before(100), Duration::ZERO);
    }

    #[test]
    fn times_have_units_and_are_told_as_they_are_read() {
        for text in ["0s", "250ms", "1500ms", "90s", "2m", "5h"] {
            assert_eq!(time_text(time_of(text).unwrap()), text);
        }
        assert_eq!(time_of("60"), Some(Duration::from_secs(60)));
        assert_eq!(time_text(Duration::from_secs(120)), "2m");
        for wrong in ["", "s", "5 s", "-1s", "1d", "99999999999999999999s"] {
            assert_eq!(time_of(wrong), None, "{wrong}");
        }
    }
}
