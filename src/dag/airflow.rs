//! The section `airflow` of the graph file: when and how the graph runs as an Airflow DAG.
//!
//! Values are checked as they are read, so that an error has the line. Does not know what a DAG
//! file looks like.

use std::fmt;
use std::marker::PhantomData;

use chrono::Datelike;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// How Airflow turns the schedule into runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timetable {
    /// A run at each tick.
    Cron,
    /// A run for the time between two ticks.
    Interval,
    /// A run at each tick, for the partition of the day before; consumers get its key.
    Partition,
}

/// Everything that the section may say, with its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a map of settings for Airflow")]
pub struct AirflowSettings {
    /// A cron expression in UTC; none: only by hand.
    pub schedule: Option<Cron>,
    pub timetable: Timetable,
    pub start_date: Day,
    pub retries: Retries,
    pub retry_delay_minutes: Minutes,
    /// The delay after a missing or unreadable input, which mostly is a late one.
    pub late_input_delay_minutes: Minutes,
    pub timeout_minutes: Minutes,
    pub owner: Text,
    pub tags: Vec<Text>,
    pub pool: Option<Text>,
    /// The project folder, where the worker has no `MP_PROJECT`; in a pod, where its volume is.
    pub project: Folder,
    /// The file below `config/` that a run uses unless it is told another.
    pub config: Label,
    pub image: Text,
    pub namespace: Label,
    pub service_account: Label,
    /// The volume claim that holds the project folder.
    pub volume_claim: Label,
    pub cpu: Quantity,
    pub memory: Quantity,
}

impl Default for AirflowSettings {
    fn default() -> AirflowSettings {
        let text = |text: &str| Text(text.to_owned());
        let label = |text: &str| Label(text.to_owned());
        AirflowSettings {
            schedule: None,
            timetable: Timetable::Cron,
            start_date: Day { year: 2020, month: 1, day: 1 },
            retries: Retries(3),
            retry_delay_minutes: Minutes(5),
            late_input_delay_minutes: Minutes(30),
            timeout_minutes: Minutes(120),
            owner: text("mp"),
            tags: vec![text("mp")],
            pool: None,
            project: Folder("/srv/mp".to_owned()),
            config: label("airflow"),
            image: text("mp:latest"),
            namespace: label("mp"),
            service_account: label("mp"),
            volume_claim: label("mp-project"),
            cpu: Quantity("1".to_owned()),
            memory: Quantity("2Gi".to_owned()),
        }
    }
}

/// A value that is checked where it is read: only there an error knows its key and line.
trait Checked: Sized {
    const EXPECTED: &'static str;
    fn of_text(_: &str) -> Option<Self> {
        None
    }
    fn of_count(_: u64) -> Option<Self> {
        None
    }
}

struct Check<T>(PhantomData<T>);

impl<T: Checked> Visitor<'_> for Check<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let shown = text.chars().take(120).collect::<String>();
        let wrong = || E::custom(format!("`{}` is not {}", shown.escape_debug(), T::EXPECTED));
        T::of_text(text).ok_or_else(wrong)
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<T, E> {
        let wrong = || E::custom(format!("`{count}` is not {}", T::EXPECTED));
        T::of_count(count).ok_or_else(wrong)
    }
}

/// A text of one kind.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// As it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Checked for $name {
            const EXPECTED: &'static str = $expected;

            fn of_text(text: &str) -> Option<$name> {
                let check: fn(&str) -> bool = $check;
                check(text).then(|| $name(text.to_owned()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_str(Check(PhantomData))
            }
        }
    };
}

/// A whole number from a range.
macro_rules! checked_count {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $range:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub u32);

        impl Checked for $name {
            const EXPECTED: &'static str = $expected;

            fn of_count(count: u64) -> Option<$name> {
                let count = u32::try_from(count).ok()?;
                $range.contains(&count).then_some($name(count))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_u64(Check(PhantomData))
            }
        }
    };
}

checked_text! {
    /// A cron expression of five fields, or a preset.
    Cron, "a cron expression such as `0 2 * * *` or `@daily`", is_cron
}
checked_text! {
    /// A line of ordinary text.
    Text, "a line of 1 to 200 ordinary characters", |text| {
        (1..=200).contains(&text.chars().count()) && text.trim() == text && !text.contains(char::is_control)
    }
}
checked_text! {
    /// A name as Kubernetes takes it.
    Label, "a name of 1 to 63 lower-case letters, digits and inner hyphens", |text| {
        let plain = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=63).contains(&text.len()) && text.bytes().all(plain) && text.trim_matches('-') == text
    }
}
checked_text! {
    /// An absolute path.
    Folder, "the absolute path of a folder", |text| {
        text.starts_with('/') && text.len() <= 1000 && !text.contains(char::is_control)
    }
}
checked_text! {
    /// An amount as Kubernetes writes it.
    Quantity, "an amount such as `500m`, `2` or `2Gi`", |text| {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[number.len()..];
        number.parse::<f64>().is_ok_and(|number| number > 0.0)
            && number.bytes().all(|c| c.is_ascii_digit() || c == b'.')
            && ["", "m", "Ki", "Mi", "Gi", "Ti", "k", "M", "G", "T"].contains(&unit)
    }
}

fn is_cron(text: &str) -> bool {
    let preset = ["@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"];
    let part =
        |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'*' | b',' | b'/' | b'-' | b'#' | b'?');
    let fields: Vec<&str> = text.split(' ').collect();
    preset.contains(&text)
        || (fields.len() == 5 && fields.iter().all(|one| !one.is_empty() && one.bytes().all(part)))
}

checked_count! {
    /// How often a task is tried again.
    Retries, "a number of retries, 0 to 100", (0..=100)
}
checked_count! {
    /// A time in whole minutes.
    Minutes, "a number of minutes, 1 to 10080 (a week)", (1..=10_080)
}

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub year: i32,
    pub month: u32,
    pub day: u32,
}

impl Checked for Day {
    const EXPECTED: &'static str = "a date such as 2020-11-01";

    fn of_text(text: &str) -> Option<Day> {
        let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        (text.len() == 10 && date.year() >= 1970).then(|| Day {
            year: date.year(),
            month: date.month(),
            day: date.day(),
        })
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        deserializer.deserialize_str(Check(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spec;
    use super::*;

    fn read(section: &str) -> Result<AirflowSettings, String> {
        let text = format!("version: 1\nname: x\nstages: {{a: {{}}}}\nairflow:\n{section}");
        Spec::parse(&text, "x.yaml").map(|spec| spec.airflow).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        assert_eq!(read("").unwrap(), AirflowSettings::default());
        let found =
            read("  schedule: \"0 2 * * *\"\n  start_date: 2020-11-01\n  pool: big\n").unwrap();
        assert_eq!(found.schedule.unwrap().as_str(), "0 2 * * *");
        assert_eq!(found.start_date, Day { year: 2020, month: 11, day: 1 });
        assert_eq!(found.pool.unwrap().as_str(), "big");
        assert_eq!(found.retries, Retries(3));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_named_with_file_and_line() {
        for (line, word) in [
            ("retrys: 3", "unknown field `retrys`"),
            ("schedule: \"0 2 * *\"", "is not a cron expression"),
            ("schedule: \"0 2 * * *; rm\"", "is not a cron expression"),
            ("timetable: sometimes", "unknown variant `sometimes`"),
            ("start_date: 2020-02-30", "is not a date"),
            ("retries: 101", "is not a number of retries"),
            ("retries: -1", "number of retries, 0 to 100"),
            ("retry_delay_minutes: 0", "1 to 10080"),
            ("owner: \"a\\nb\"", "ordinary characters"),
            ("tags: [\"\"]", "ordinary characters"),
            ("project: srv", "absolute path"),
            ("config: ../x", "lower-case letters"),
            ("namespace: A_b", "lower-case letters"),
            ("memory: lots", "is not an amount"),
            ("cpu: \"-1\"", "is not an amount"),
        ] {
            let error = read(&format!("  image: x\n  {line}\n")).unwrap_err();
            let key = line.split(':').next().unwrap();
            assert!(error.starts_with("`x.yaml`: airflow"), "{line}: {error}");
            assert!(error.contains(key), "{line}: {error}");
            assert!(error.contains(word), "{line}: {error}");
            assert!(error.contains("line 6"), "{line}: {error}");
        }
        assert!(read("  - x\n").unwrap_err().contains("a map of settings for Airflow"));
    }
}
