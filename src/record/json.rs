//! A line of JSON to the fields of an event, as serde_json reads it.
//!
//! It alone decides what is malformed. Values are kept as text until they are needed, which
//! leaves nesting and numbers without a limit; keys are read as bytes, since JSON lets a key
//! that nobody asks for hold half a surrogate pair. Applies no row rule.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};
use serde_json::value::RawValue;

use super::Scratch;
use super::event::{Event, Given};

/// Reads the fields of an event, or says why the line is malformed.
pub(super) fn read<'a>(line: &'a [u8], scratch: &'a mut Scratch) -> Result<Event<'a>, String> {
    let line = simdutf8::compat::from_utf8(line)
        .map_err(|error| format!("byte {} of the line is not UTF-8", error.valid_up_to() + 1))?;
    // Keys are read as bytes, and as bytes they may hold raw control characters, which JSON
    // forbids in any string. No usual line holds one at all.
    if line.bytes().any(|byte| byte < b' ') {
        let _: IgnoredAny = serde_json::from_str(line).map_err(|error| told("", &error))?;
    }
    let top: Top = serde_json::from_str(line).map_err(|error| told("", &error))?;
    let inner: Inner = match top.event_data {
        Some(raw) if raw.starts_with('{') => {
            serde_json::from_str(raw).map_err(|error| told("in event_data, ", &error))?
        }
        _ => Inner::default(),
    };
    let [day, user_id, value_prop, other] = &mut scratch.texts;
    Ok(Event {
        day: given("day", top.day, day)?,
        user_id: given("user_id", top.user_id, user_id)?,
        value_prop: given("value_prop", inner.value_prop, value_prop)?,
        position: match inner.position {
            // Its text does not matter, so neither do its surrogates.
            Some(raw) if raw.starts_with('"') => Given::Other(raw),
            raw => given("position", raw, other)?,
        },
    })
}

/// The error in words. It is always on line 1 of what was parsed, which would only mislead.
fn told(place: &str, error: &serde_json::Error) -> String {
    format!("{place}{}", error.to_string().replace(" at line 1 column ", " at column "))
}

/// Sorts a JSON value by its kind; a string is unescaped into `buffer` if it has to be.
fn given<'a>(
    name: &str,
    raw: Option<&'a str>,
    buffer: &'a mut String,
) -> Result<Given<'a>, String> {
    let Some(raw) = raw else { return Ok(Given::Absent) };
    if let Some(text) = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        if !text.contains('\\') {
            return Ok(Given::Text(text));
        }
        *buffer =
            serde_json::from_str(raw).map_err(|error| told(&format!("in {name}, "), &error))?;
        return Ok(Given::Text(buffer));
    }
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    Ok(match raw {
        "null" => Given::Null(raw),
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => Given::Integer(raw),
        _ => Given::Other(raw),
    })
}

/// The known fields of the line's object, as text.
#[derive(Default)]
struct Top<'a> {
    day: Option<&'a str>,
    user_id: Option<&'a str>,
    event_data: Option<&'a str>,
}

/// The known fields of `event_data`, as text.
#[derive(Default)]
struct Inner<'a> {
    value_prop: Option<&'a str>,
    position: Option<&'a str>,
}

/// An object of which some fields are known by name.
trait Fields<'a>: Default {
    /// The place of the field of that name, and the name itself.
    fn place(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<&'a str>)>;
}

impl<'a> Fields<'a> for Top<'a> {
    fn place(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<&'a str>)> {
        match key {
            b"day" => Some(("day", &mut self.day)),
            b"user_id" => Some(("user_id", &mut self.user_id)),
            b"event_data" => Some(("event_data", &mut self.event_data)),
            _ => None,
        }
    }
}

impl<'a> Fields<'a> for Inner<'a> {
    fn place(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<&'a str>)> {
        match key {
            b"value_prop" => Some(("value_prop", &mut self.value_prop)),
            b"position" => Some(("position", &mut self.position)),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Top<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(Top::default()))
    }
}

impl<'de> Deserialize<'de> for Inner<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(Inner::default()))
    }
}

struct ObjectVisitor<T>(T);

impl<'de, T: Fields<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<T, A::Error> {
        while let Some(place) = map.next_key_seed(KeySeed(&mut self.0))? {
            match place {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some((name, Some(_))) => {
                    return Err(A::Error::custom(format_args!("`{name}` is given twice")));
                }
                Some((_, place)) => *place = Some(map.next_value::<&RawValue>()?.get()),
            }
        }
        Ok(self.0)
    }
}

/// Reads a key and finds the place of its value.
struct KeySeed<'f, T>(&'f mut T);

impl<'de: 'f, 'f, T: Fields<'de>> DeserializeSeed<'de> for KeySeed<'f, T> {
    type Value = Option<(&'static str, &'f mut Option<&'de str>)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de: 'f, 'f, T: Fields<'de>> Visitor<'de> for KeySeed<'f, T> {
    type Value = Option<(&'static str, &'f mut Option<&'de str>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.place(key))
    }
}
