//! Cron expressions as Airflow reads them: five fields or a preset, in UTC.
//!
//! Says whether there are such times at all, and whether there is one on each day. Computes no times.

use std::collections::BTreeSet;

/// The presets of Airflow, as fields.
const PRESETS: [(&str, &str); 6] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@quarterly", "0 0 1 */3 *"),
    ("@yearly", "0 0 1 1 *"),
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// How long a month can be.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// The numbers of each field.
struct Fields {
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    days: BTreeSet<u32>,
    months: BTreeSet<u32>,
    /// From 0, Sunday.
    weekdays: BTreeSet<u32>,
    /// Some of them hold only once a month: `L`, `1#2`.
    some_weeks: bool,
}

/// An expression that has times.
pub(super) fn is_cron(text: &str) -> bool {
    fields(text).is_some_and(|fields| {
        let length = |month: &u32| LENGTHS.get(*month as usize - 1).copied();
        let longest = fields.months.iter().filter_map(length).max();
        // With weekdays too, either of both is enough.
        fields.weekdays.len() < 7 || fields.days.first().copied() <= longest
    })
}

/// An expression with exactly one time on every day.
pub(super) fn is_daily(text: &str) -> bool {
    fields(text).is_some_and(|fields| {
        // With days and weekdays, either of both is enough: one of them must be whole.
        let every_day = fields.days.len() == 31 && fields.weekdays.len() == 7;
        !fields.some_weeks
            && fields.minutes.len() == 1
            && fields.hours.len() == 1
            && every_day
            && fields.months.len() == 12
    })
}

fn fields(text: &str) -> Option<Fields> {
    let preset = PRESETS.iter().find(|(name, _)| *name == text);
    let text = preset.map_or(text, |(_, fields)| fields);
    let [minutes, hours, days, months, weekdays] =
        text.split(' ').collect::<Vec<&str>>().try_into().ok()?;
    let some_weeks = format!("{days} {weekdays}").contains(['#', 'L', 'l']);
    // The last day, and the last or the nth of a weekday.
    let last =
        |day: &str| if day.eq_ignore_ascii_case("l") { "28".to_owned() } else { day.to_owned() };
    let days: Vec<String> = days.split(',').map(last).collect();
    let week = |day: &str| match day.split_once('#') {
        Some((day, "1" | "2" | "3" | "4" | "5")) => day.to_owned(),
        _ => day.trim_start_matches(['L', 'l']).to_owned(),
    };
    let weekdays: Vec<String> = weekdays.split(',').map(week).collect();
    let (days, weekdays) = (&days.join(","), &weekdays.join(","));
    let weekdays = numbers(weekdays, 0, 7, &WEEKDAYS)?;
    Some(Fields {
        some_weeks,
        minutes: numbers(minutes, 0, 59, &[])?,
        hours: numbers(hours, 0, 23, &[])?,
        days: numbers(days, 1, 31, &[])?,
        months: numbers(months, 1, 12, &MONTHS)?,
        weekdays: weekdays.into_iter().map(|day| day % 7).collect(),
    })
}

/// The numbers of a field: `*`, `5`, `1-5`, `mon-fri`, each perhaps with `/2`, and lists of these.
fn numbers(field: &str, low: u32, high: u32, names: &[&str]) -> Option<BTreeSet<u32>> {
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let digits =
            !text.is_empty() && text.len() <= 2 && text.bytes().all(|c| c.is_ascii_digit());
        let found = match named {
            Some(at) => u32::try_from(at).ok()? + low,
            None => digits.then(|| text.parse().ok())??,
        };
        (low..=high).contains(&found).then_some(found)
    };
    let mut found = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (number(from)?, number(to)?),
            None if step.is_some() => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        let digits = |step: &str| step.bytes().all(|c| c.is_ascii_digit());
        let step = match step {
            Some(step) => step.parse().ok().filter(|by: &usize| *by > 0 && digits(step))?,
            None => 1,
        };
        if step > high as usize {
            return None;
        }
        if from <= to {
            found.extend((from..=to).step_by(step));
        } else if names.is_empty() {
            return None;
        } else {
            // From Friday to Monday, from November to February.
            found.extend((from..=high).chain(low..=to).step_by(step));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_airflow_takes_is_taken() {
        for text in [
            "0 2 * * *",
            "@daily",
            "@quarterly",
            "*/15 0-6,22 1,15 JAN-jun mon-FRI",
            "59 23 31 12 7",
            "0 0 29 2 *",
            "0 0 31 2 1",
            "5/10 * * * *",
            "0 2 L * *",
            "0 2 * * 1#2,fri#5",
            "0 2 * * L5",
            "0 2 * nov-feb fri-mon",
        ] {
            assert!(is_cron(text), "{text}");
        }
    }

    #[test]
    fn what_airflow_refuses_and_what_never_comes_is_refused() {
        for text in [
            "",
            "0 2 * *",
            "0 2 * * * *",
            "0  2 * * *",
            "99 99 * * *",
            "60 0 * * *",
            "0 24 * * *",
            "0 0 0 * *",
            "0 0 32 * *",
            "0 0 * 13 *",
            "0 0 * 0 *",
            "0 0 * * 8",
            "*/0 * * * *",
            "*/99 * * * *",
            "5-1 * * * *",
            "a b c d e",
            "0 2 * foo *",
            "0 2 * * MONDAY",
            ", 2 * * *",
            "0 0 31 2 *",
            "0 0 31 4,6 *",
            "@always",
            "+1 2 * * *",
            "1- * * * *",
            "*-3 * * * *",
            "0 2 * * 1#6",
            "0 2 * L *",
        ] {
            assert!(!is_cron(text), "{text}");
        }
    }

    #[test]
    fn a_day_has_one_time_or_it_is_not_daily() {
        for text in ["0 2 * * *", "59 23 * * *", "@daily", "0 2 1-31 * *", "0 2 * * 0-6"] {
            assert!(is_daily(text), "{text}");
        }
        for text in [
            "0 * * * *",
            "@hourly",
            "0 2 * * MON",
            "0 0 1 * *",
            "0 2 * * 1-5",
            "0 2,14 * * *",
            "*/30 2 * * *",
            "0 2 */2 * *",
            "0 2 * 1-11 *",
            "nonsense",
            "0 2 L * *",
            "0 2 * * 0#1,1#1,2#1,3#1,4#1,5#1,6#1",
        ] {
            assert!(!is_daily(text), "{text}");
        }
    }
}
