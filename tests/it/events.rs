//! Raw events as the tests write them: the line of text beside what it means.
//!
//! Knows the raw formats, and nothing of what the program makes of them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::json;

/// The three sources, in the order in which they are named everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Prints,
    Taps,
    Payments,
}

pub const SOURCES: [Source; 3] = [Source::Prints, Source::Taps, Source::Payments];

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Prints => "prints",
            Source::Taps => "taps",
            Source::Payments => "payments",
        }
    }

    /// The file below the raw folder that holds the source unless the settings say otherwise.
    pub fn default_file(self) -> &'static str {
        match self {
            Source::Prints => "prints.json",
            Source::Taps => "taps.json",
            Source::Payments => "pays.csv",
        }
    }
}

pub const CSV_HEADER: &str = "pay_date,total,user_id,value_prop";

/// What a valid line means.
#[derive(Clone, Debug)]
pub struct Event {
    pub micros: i64,
    pub user: String,
    pub value_prop: String,
    /// Position, or the amount in cents.
    pub measure: Option<i64>,
    pub soft_issues: u8,
}

/// A line of a raw file without its end; `event` is `None` for a line that must be rejected.
#[derive(Clone, Debug)]
pub struct Line {
    pub text: String,
    pub event: Option<Event>,
}

/// A moment as it is written, and the moment itself.
#[derive(Clone, Debug)]
pub struct When {
    pub text: String,
    pub micros: i64,
    /// Trimmed, or with an offset other than zero.
    pub coerced: bool,
}

impl When {
    /// Reads a date or an RFC 3339 timestamp, blanks around it allowed.
    pub fn new(text: &str) -> When {
        let trimmed = text.trim();
        let (micros, offset) = match trimmed.parse::<NaiveDate>() {
            Ok(date) => (date.and_time(NaiveTime::MIN).and_utc().timestamp_micros(), 0),
            Err(_) => {
                let time = DateTime::parse_from_rfc3339(trimmed).expect("a timestamp");
                (time.timestamp_micros(), time.offset().local_minus_utc())
            }
        };
        When { text: text.to_owned(), micros, coerced: offset != 0 || trimmed != text }
    }

    /// Midnight of a day counted from 1 November 2020.
    pub fn november(day: i64) -> When {
        let first = NaiveDate::from_ymd_opt(2020, 11, 1).expect("a date");
        When::new(&(first + chrono::Duration::days(day - 1)).to_string())
    }
}

impl Line {
    /// A print or a tap. A user of digits is written as a number.
    pub fn shown(when: &When, position: Option<i64>, value_prop: &str, user: &str) -> Line {
        let number = user.bytes().all(|b| b.is_ascii_digit()) && !user.starts_with('0');
        let user_json = if number { user.to_owned() } else { json!(user).to_string() };
        let (day, prop) = (json!(when.text), json!(value_prop));
        let place = position.map_or("null".to_owned(), |p| p.to_string());
        let data = format!(r#"{{"position": {place}, "value_prop": {prop}}}"#);
        Line {
            text: format!(r#"{{"day": {day}, "event_data": {data}, "user_id": {user_json}}}"#),
            event: Some(Event {
                micros: when.micros,
                user: user.trim().to_owned(),
                value_prop: value_prop.trim().to_owned(),
                measure: position,
                soft_issues: u8::from(when.coerced)
                    + u8::from(user != user.trim() || value_prop != value_prop.trim())
                    + u8::from(position.is_none()),
            }),
        }
    }

    /// A payment in the column order of [`CSV_HEADER`].
    pub fn paid(when: &When, cents: i64, value_prop: &str, user: &str) -> Line {
        Line {
            text: format!("{},{}.{:02},{user},{value_prop}", when.text, cents / 100, cents % 100),
            event: Some(Event {
                micros: when.micros,
                user: user.trim().to_owned(),
                value_prop: value_prop.trim().to_owned(),
                measure: Some(cents),
                soft_issues: u8::from(when.coerced)
                    + u8::from(user != user.trim() || value_prop != value_prop.trim()),
            }),
        }
    }

    pub fn bad(text: &str) -> Line {
        Line { text: text.to_owned(), event: None }
    }
}

/// The lines of each file of one source, by the file's name below the raw folder.
pub type Files = BTreeMap<String, Vec<Line>>;

/// All that happened, as it lies in the raw folder.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub prints: Files,
    pub taps: Files,
    pub payments: Files,
}

impl World {
    pub fn files(&self, source: Source) -> &Files {
        match source {
            Source::Prints => &self.prints,
            Source::Taps => &self.taps,
            Source::Payments => &self.payments,
        }
    }

    pub fn files_mut(&mut self, source: Source) -> &mut Files {
        match source {
            Source::Prints => &mut self.prints,
            Source::Taps => &mut self.taps,
            Source::Payments => &mut self.payments,
        }
    }

    /// One file a source, under its default name.
    pub fn of(prints: Vec<Line>, taps: Vec<Line>, payments: Vec<Line>) -> World {
        let mut world = World::default();
        for (source, lines) in SOURCES.into_iter().zip([prints, taps, payments]) {
            world.files_mut(source).insert(source.default_file().to_owned(), lines);
        }
        world
    }

    /// November 2020 in small: 60 users, about 900 prints, 150 taps and 600 payments, some of them
    /// twice; when `bad` is set, also a few lines that must be rejected, below the default limit.
    pub fn november(seed: u64, bad: bool) -> World {
        let mut dice = Dice(seed);
        let props = ["prepaid", "point", "transport", "link_cobro", "send_money"];
        let (mut prints, mut taps, mut payments) = (vec![], vec![], vec![]);
        while prints.len() < 900 {
            let when = When::november(1 + dice.below(30));
            let user = dice.skewed_user();
            for position in 0..1 + dice.below(4) {
                let prop = props[dice.below(5) as usize];
                let print = Line::shown(&when, Some(position), prop, &user);
                if dice.below(40) == 0 {
                    prints.push(print.clone());
                }
                prints.push(print);
                if dice.below(6) == 0 {
                    taps.push(Line::shown(&when, Some(position), prop, &user));
                }
            }
        }
        for n in 0..600 {
            let when = When::november(1 + dice.below(30));
            let prop = props[dice.below(5) as usize];
            payments.push(Line::paid(&when, 1 + dice.below(9_999), prop, &dice.skewed_user()));
            if n % 50 == 0 {
                payments.push(payments[payments.len() - 1].clone());
            }
        }
        if bad {
            for n in [3, 250, 251, 777] {
                prints.insert(n, Line::bad(r#"{"day": "2020-11-41", "user_id": 9}"#));
            }
            payments.insert(10, Line::bad("2020-11-03,minus one,7,point"));
        }
        World::of(prints, taps, payments)
    }
}

/// A small seeded generator, the same on every machine (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: i64) -> i64 {
        (self.next() % end.unsigned_abs()) as i64
    }

    /// One user in four rows is the same one: the shape that upsets a merge by user.
    fn skewed_user(&mut self) -> String {
        let user = if self.below(4) == 0 { 7 } else { self.below(60) };
        (1000 + user).to_string()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for n in (1..items.len()).rev() {
            items.swap(n, self.below(n as i64 + 1) as usize);
        }
    }
}
