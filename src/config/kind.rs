//! What values a key may have. Does not know which key, or where the value was written.

use serde_json::{Value, json};

use super::decimal::{self, Size};
use super::paths;
use super::yaml::{self, Body, Node, Number};
use crate::as_of::{AsOf, AsOfError};

/// The values that a key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The path of a folder; some may hold `{as_of}`.
    Folder { as_of: bool },
    /// The name of a file in a folder that another key gives.
    FileName,
    /// One or more globs.
    Globs,
    /// A date, a timestamp or null.
    AsOf,
    /// `true` or `false`.
    Bool,
    /// A whole number, bounds included.
    Integer { min: u64, max: u64 },
    /// From 0 to 1.
    Share,
    /// A decimal number above 0 and up to 10^12, kept as written.
    Amount,
    /// One of these words, in any case; kept in this one.
    Choice(&'static [&'static str]),
}

/// What must hold between the values of two keys.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// The integer of the first is at most that of the second.
    AtMost(&'static str, &'static str),
}

impl Kind {
    /// The upper bound of integers that need none; every value fits 63 bits.
    pub const NO_LIMIT: u64 = i64::MAX.unsigned_abs();

    /// In words, to follow "must be".
    pub fn allowed(self) -> String {
        match self {
            Kind::Folder { .. } => "the path of a folder".to_owned(),
            Kind::FileName => "the name of a file, without a folder".to_owned(),
            Kind::Globs => "a list of one or more file names or globs".to_owned(),
            Kind::AsOf => {
                "a date (2020-11-30), an RFC 3339 timestamp (2020-12-01T00:00:00Z) or null"
                    .to_owned()
            }
            Kind::Bool => "`true` or `false`".to_owned(),
            Kind::Integer { min, max: Kind::NO_LIMIT } => {
                format!("an integer of at least {min}")
            }
            Kind::Integer { min, max } => format!("an integer from {min} to {max}"),
            Kind::Share => "a number from 0 to 1".to_owned(),
            Kind::Amount => "a decimal number above 0 and at most 1000000000000".to_owned(),
            Kind::Choice([only]) => format!("`{only}`"),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// Whether a value on a command line or in the environment is text as it stands, not YAML.
    pub fn is_text(self) -> bool {
        match self {
            Kind::Folder { .. } | Kind::FileName | Kind::Globs => true,
            Kind::AsOf | Kind::Amount | Kind::Choice(_) => true,
            Kind::Bool | Kind::Integer { .. } | Kind::Share => false,
        }
    }

    /// The valid value, or what is wrong in words that follow the name of the key.
    pub fn check(self, body: &Body) -> Result<Value, String> {
        let valid = match (self, body) {
            (Kind::AsOf, Body::Null) => Some(Value::Null),
            (_, Body::Null) => {
                let allowed = self.allowed();
                return Err(format!("must be {allowed}, not null; leave it out for its default"));
            }
            (Kind::Folder { as_of }, Body::Text(text)) if !text.trim().is_empty() => {
                check_placeholders(text, as_of)?;
                Some(json!(text))
            }
            (Kind::FileName, Body::Text(text)) if is_file_name(text) => {
                check_placeholders(text, false)?;
                Some(json!(text))
            }
            (Kind::Globs, Body::Text(text)) => Some(json!([glob(text)?])),
            (Kind::Globs, Body::List(items)) if !items.is_empty() => {
                Some(items.iter().map(glob_item).collect::<Result<Value, String>>()?)
            }
            (Kind::AsOf, Body::Text(text)) => match AsOf::parse(text) {
                Ok(as_of) => Some(json!(as_of.as_given())),
                Err(AsOfError::Range(_)) => {
                    return Err(format!("must be {}, not {}", AsOf::RANGE, body.shown()));
                }
                Err(AsOfError::Shape(_)) => None,
            },
            (Kind::Bool, Body::Bool(value)) => Some(json!(value)),
            (Kind::Integer { min, max }, Body::Number(Number { integer: Some(value), .. })) => {
                u64::try_from(*value).ok().filter(|n| (min..=max).contains(n)).map(|n| json!(n))
            }
            (Kind::Share, Body::Number(number)) => {
                // Adding zero turns -0 into 0, so that there is one way to write it.
                (0.0..=1.0).contains(&number.float).then(|| json!(number.float + 0.0))
            }
            (Kind::Amount, Body::Number(Number { written: text, .. }) | Body::Text(text)) => {
                (decimal::size(text) == Some(Size::Fits)).then(|| json!(text))
            }
            (Kind::Choice(words), Body::Text(text)) => {
                words.iter().find(|word| word.eq_ignore_ascii_case(text)).map(|word| json!(word))
            }
            _ => None,
        };
        valid.ok_or_else(|| match body {
            Body::Text(text) if self.would_take(text) => {
                let (allowed, shown) = (self.allowed(), body.shown());
                format!("must be {allowed}, not the text {shown}; drop the quotes")
            }
            _ => format!("must be {}, not {}", self.allowed(), body.shown()),
        })
    }

    /// Whether a text that is no valid value would be one without its quotes.
    fn would_take(self, text: &str) -> bool {
        yaml::read(text).is_ok_and(|node| match node.body {
            Body::Text(_) | Body::Null => false,
            body => self.check(&body).is_ok(),
        })
    }
}

fn is_file_name(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains('/') && !matches!(text, "." | "..")
}

fn glob_item(item: &Node) -> Result<Value, String> {
    match &item.body {
        Body::Text(text) => glob(text),
        other => Err(format!("must be {}; {} is no text", Kind::Globs.allowed(), other.shown())),
    }
}

/// Braces are alternatives in a glob, so only `{as_of}` itself is refused.
fn glob(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Err("must not hold an empty name".to_owned());
    }
    if text.contains(paths::AS_OF) { Err(not_here(paths::AS_OF)) } else { Ok(json!(text)) }
}

fn check_placeholders(text: &str, as_of: bool) -> Result<(), String> {
    match paths::placeholders(text).find(|found| !(as_of && *found == paths::AS_OF)) {
        None => Ok(()),
        Some(found) if as_of => Err(format!("may hold `{{as_of}}` but not `{found}`")),
        Some(found) => Err(not_here(found)),
    }
}

fn not_here(found: &str) -> String {
    format!(
        "may not hold `{found}`; `{{as_of}}` has a meaning in data_paths.processed, \
         data_paths.output and quality.quality_report_path only"
    )
}
