//! The section `airflow` of the graph file: when and how the graph runs as an Airflow DAG.
//!
//! Values are checked as they are read, so that an error has the line. Does not know what a DAG
//! file looks like.

use std::fmt;
use std::marker::PhantomData;

use chrono::Datelike;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::cron::{is_cron, is_daily};

/// How Airflow turns the schedule into runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timetable {
    /// A run at each tick.
    Cron,
    /// A run for the time between two ticks.
    Interval,
    /// A run on each day, for the partition of the day before; consumers get its key.
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
    pub tags: Vec<Tag>,
    pub pool: Option<Text>,
    /// The project folder, where the worker has no `MP_PROJECT`; in a pod, where its volume is.
    pub project: Folder,
    /// The file below `config/` that a run uses unless it is told another.
    pub config: ConfigName,
    pub image: Image,
    pub namespace: Label,
    pub service_account: Label,
    /// The volume claim that holds the project folder.
    pub volume_claim: Label,
    pub cpu: Cpu,
    pub memory: Memory,
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
            tags: vec![Tag("mp".to_owned())],
            pool: None,
            project: Folder("/srv/mp".to_owned()),
            config: ConfigName("airflow".to_owned()),
            image: Image("mp:latest".to_owned()),
            namespace: label("mp"),
            service_account: label("mp"),
            volume_claim: label("mp-project"),
            cpu: Cpu("1".to_owned()),
            memory: Memory("2Gi".to_owned()),
        }
    }
}

impl AirflowSettings {
    /// What is wrong with values that are good each for itself: the key, and the fault.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let cron = self.schedule.as_ref().filter(|_| self.timetable == Timetable::Partition)?;
        // The key of a run is the tick before it, which is the day before for these alone.
        (!is_daily(cron.as_str())).then(|| {
            let cron = cron.as_str();
            let fault = format!(
                "`partition` wants a schedule of one run on each day, which `{cron}` is not"
            );
            ("timetable", fault)
        })
    }
}

/// A value that is checked where it is read: only there an error knows its key and line.
pub(super) trait Checked: Sized {
    const EXPECTED: &'static str;
    fn of_text(_: &str) -> Option<Self> {
        None
    }
    fn of_count(_: u64) -> Option<Self> {
        None
    }
}

pub(super) struct Check<T>(pub PhantomData<T>);

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
    Cron, "a cron expression in range, such as `0 2 * * *` or `@daily`", is_cron
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
    /// The name of a file below `config/`, as the form of the DAG takes it.
    ConfigName, "a name of 1 to 63 lower-case letters, digits, `_` and `-`, which begins with a letter or digit", |text| {
        let plain = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        (1..=63).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['-', '_'])
    }
}
checked_text! {
    /// What the DAG is found by.
    Tag, "a tag: a line of 1 to 100 ordinary characters", |text| {
        text.chars().count() <= 100 && Text::of_text(text).is_some()
    }
}
checked_text! {
    /// An absolute path.
    Folder, "the absolute path of a folder, without `:` and templates, that does not end in `.sh` or `.bash`", is_folder
}
checked_text! {
    /// An image.
    Image, "an image such as `registry.example.com/mp:0.1.0`", is_image
}
checked_text! {
    /// An amount of processors as Kubernetes writes it.
    Cpu, "an amount of processors such as `2`, `1.5` or `500m`", is_cpu
}
checked_text! {
    /// An amount of memory as Kubernetes writes it.
    Memory, "an amount of memory such as `2Gi`, at least `128Mi`", is_memory
}

/// What Airflow would fill in as a template.
const TEMPLATES: [&str; 3] = ["{{", "{%", "{#"];
/// Less memory than this is not enough for anything (`processing.max_memory_mb`).
const LEAST_MEMORY_BYTES: f64 = 128.0 * 1024.0 * 1024.0;

/// Where a pod mounts its volume, and in the environment of a task.
fn is_folder(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 1000
        && !text.contains(char::is_control)
        // Kubernetes mounts nothing at a path with a colon.
        && !text.contains(':')
        && !TEMPLATES.iter().any(|sign| text.contains(sign))
        // BashOperator would take it for the name of a file with a template.
        && ![".sh", ".bash"].iter().any(|end| text.ends_with(end))
}

/// A name of an image, perhaps with registry, tag and digest.
fn is_image(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-/:@".contains(&c);
    (1..=500).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// A number without sign and exponent, of at most three decimal places, and what stands behind it.
fn amount(text: &str) -> Option<(f64, &str)> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (whole, places) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let plain = digits(whole) && digits(places) && whole.len() <= 15 && places.len() <= 3;
    Some((plain.then(|| number.parse().ok())??, &text[number.len()..]))
}

fn is_cpu(text: &str) -> bool {
    amount(text).is_some_and(|(number, unit)| match unit {
        "" => number > 0.0,
        // There is nothing finer.
        "m" => number >= 1.0 && number.fract() == 0.0,
        _ => false,
    })
}

fn is_memory(text: &str) -> bool {
    const UNITS: [(&str, f64); 9] = [
        ("", 1.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
    ];
    amount(text).is_some_and(|(number, unit)| {
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        unit.is_some_and(|(_, bytes)| number * bytes >= LEAST_MEMORY_BYTES)
    })
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
            ("schedule: \"99 99 * * *\"", "is not a cron expression in range"),
            ("project: \"/srv/{{ x }}\"", "without `:` and templates"),
            ("project: \"/srv/a:b\"", "without `:` and templates"),
            ("project: /srv/mp.sh", "does not end in `.sh`"),
            ("config: ../x", "lower-case letters"),
            ("config: _x", "begins with a letter or digit"),
            ("namespace: A_b", "lower-case letters"),
            ("service_account: a_b", "lower-case letters"),
            ("image: \"mp 1\"", "is not an image"),
            ("memory: lots", "is not an amount of memory"),
            ("memory: \"1\"", "at least `128Mi`"),
            ("memory: 1m", "at least `128Mi`"),
            ("memory: 127Mi", "at least `128Mi`"),
            ("cpu: \"-1\"", "is not an amount of processors"),
            ("cpu: 1Gi", "is not an amount of processors"),
            ("cpu: 0.5m", "is not an amount of processors"),
            ("cpu: \"0.0001\"", "is not an amount of processors"),
        ] {
            let error = read(&format!("  pool: x\n  {line}\n")).unwrap_err();
            let key = line.split(':').next().unwrap();
            assert!(error.starts_with("`x.yaml`: airflow"), "{line}: {error}");
            assert!(error.contains(key), "{line}: {error}");
            assert!(error.contains(word), "{line}: {error}");
            assert!(error.contains("line 6"), "{line}: {error}");
        }
        let tag = read(&format!("  pool: x\n  tags: [{}]\n", "x".repeat(101))).unwrap_err();
        assert!(tag.contains("1 to 100 ordinary characters") && tag.contains("line 6"), "{tag}");
        assert!(read("  - x\n").unwrap_err().contains("a map of settings for Airflow"));
    }
    #[test]
    fn what_airflow_and_kubernetes_take_is_taken() {
        for line in [
            "config: my_conf",
            "cpu: 1.5",
            "cpu: 500m",
            "memory: 512Mi",
            "memory: \"1500000000\"",
            "memory: 1.5Gi",
            "image: registry.example.com:5000/a_b/mp@sha256:0123abcd",
            "project: /srv/a project",
        ] {
            read(&format!("  {line}\n")).unwrap();
        }
        read(&format!("  tags: [{}]\n", "é".repeat(100))).unwrap();
    }

    #[test]
    fn a_partition_is_a_day_so_its_schedule_is_daily() {
        let with = |cron: &str| {
            read(&format!("  retries: 1\n  schedule: \"{cron}\"\n  timetable: partition\n"))
        };
        for cron in ["0 2 * * *", "@daily", "59 23 * * *"] {
            with(cron).unwrap();
        }
        for cron in ["0 * * * *", "0 2 * * MON", "0 0 1 * *", "0 2 * * 1-5", "@weekly"] {
            let error = with(cron).unwrap_err();
            let start = "`x.yaml` line 7: airflow.timetable: `partition` wants a schedule of one";
            assert!(error.starts_with(start) && error.contains(cron), "{error}");
            for timetable in ["cron", "interval"] {
                read(&format!("  schedule: \"{cron}\"\n  timetable: {timetable}\n")).unwrap();
            }
        }
        read("  timetable: partition\n").unwrap();
    }
}
