//! A YAML text as a tree that remembers lines and how numbers were written.
//!
//! serde_yaml gives positions only in errors. So every scalar is answered with an error, which
//! carries its line and column, and the error is turned back into a value: one pass, exact lines
//! in every style of YAML. Knows no configuration key.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

/// A value and the line where it begins, from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub line: usize,
    pub body: Body,
}

/// The kinds of YAML values, tags excluded.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A number, and the text it was written as.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    pub written: String,
    pub integer: Option<i128>,
    pub float: f64,
}

/// One entry of a map; a key may occur twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub line: usize,
    pub value: Node,
}

/// The text is not YAML, or more than the tree can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYaml {
    pub line: Option<usize>,
    pub message: String,
}

/// Reads one document; an empty one is `Null`.
pub fn read(text: &str) -> Result<Node, NotYaml> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    NodeSeed { text }.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
        let line = error.location().map(|location| location.line());
        NotYaml { line, message: error.to_string() }
    })
}

impl Body {
    /// How a message names the value; long text is cut.
    pub fn shown(&self) -> String {
        match self {
            Body::Null => "null".to_owned(),
            Body::Bool(value) => format!("`{value}`"),
            Body::Number(number) => format!("`{}`", number.written),
            Body::Text(text) => {
                let cut: String = text.chars().take(120).collect();
                format!("`{}`", cut.escape_debug())
            }
            Body::List(items) if items.is_empty() => "an empty list".to_owned(),
            Body::List(_) => "a list".to_owned(),
            Body::Map(_) => "a map".to_owned(),
        }
    }
}

#[derive(Clone, Copy)]
struct NodeSeed<'t> {
    text: &'t str,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let mut scalar = None;
        let visitor = NodeVisitor { seed: self, scalar: &mut scalar };
        match (deserializer.deserialize_any(visitor), scalar) {
            (Err(error), Some(mut body)) => {
                let (line, column) = position(&error.to_string());
                if let Body::Number(number) = &mut body {
                    number.take_text(self.text, line, column);
                }
                Ok(Node { line, body })
            }
            (result, _) => result,
        }
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = (String, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let mut key = None;
        match (deserializer.deserialize_str(KeyVisitor(&mut key)), key) {
            (Err(error), Some(key)) => Ok((key, position(&error.to_string()).0)),
            (Err(error), None) => Err(error),
            (Ok(()), _) => Err(D::Error::custom("a key must be text")),
        }
    }
}

struct KeyVisitor<'a>(&'a mut Option<String>);

impl Visitor<'_> for KeyVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text as a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        *self.0 = Some(key.to_owned());
        Err(E::custom(HERE))
    }
}

/// The message of the errors that are made for their position only.
const HERE: &str = "here";

struct NodeVisitor<'t, 'a> {
    seed: NodeSeed<'t>,
    scalar: &'a mut Option<Body>,
}

impl NodeVisitor<'_, '_> {
    fn scalar<E: Error>(self, body: Body) -> Result<Node, E> {
        *self.scalar = Some(body);
        Err(E::custom(HERE))
    }

    fn integer<E: Error>(self, value: i128) -> Result<Node, E> {
        let written = value.to_string();
        self.scalar(Body::Number(Number { written, integer: Some(value), float: value as f64 }))
    }
}

impl<'de> Visitor<'de> for NodeVisitor<'_, '_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node { line: 1, body: Body::Null })
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.scalar(Body::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Body::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.integer(i128::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.integer(i128::from(value))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.integer(value)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.integer(i128::try_from(value).unwrap_or(i128::MAX))
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<Node, E> {
        let written = float.to_string();
        self.scalar(Body::Number(Number { written, integer: None, float }))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        self.scalar(Body::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.seed)? {
            items.push(item);
        }
        let line = items.first().map_or(1, |item| item.line);
        Ok(Node { line, body: Body::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, line)) = access.next_key_seed(KeySeed)? {
            let value = access.next_value_seed(self.seed)?;
            entries.push(Entry { key, line, value });
        }
        let line = entries.first().map_or(1, |entry| entry.line);
        Ok(Node { line, body: Body::Map(entries) })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Node, A::Error> {
        let (tag, _) = access.variant::<String>()?;
        Err(A::Error::custom(format!("the tag `!{tag}` has no meaning here")))
    }
}

impl Number {
    /// Takes the text at a position of the source, if it is this number.
    fn take_text(&mut self, source: &str, line: usize, column: usize) {
        let Some(line) = source.lines().nth(line - 1) else { return };
        let rest = line.chars().skip(column - 1);
        let written: String = rest
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            .collect();
        if written.parse() == Ok(self.float) || written.contains(['x', 'o', 'b']) {
            self.written = written;
        }
    }
}

/// Line and column, from 1, at the end of an error's text; a text without is the very start.
fn position(error: &str) -> (usize, usize) {
    let parse = || {
        let (_, place) = error.rsplit_once(" at line ")?;
        let (line, column) = place.split_once(" column ")?;
        Some((line.parse().ok().filter(|n| *n > 0)?, column.parse().ok().filter(|n| *n > 0)?))
    };
    parse().unwrap_or((1, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `path@line=value` of every leaf.
    fn leaves(node: &Node, path: &str, found: &mut Vec<String>) {
        match &node.body {
            Body::Map(entries) => {
                for entry in entries {
                    found.push(format!("{path}{}@{}", entry.key, entry.line));
                    leaves(&entry.value, &format!("{path}{}.", entry.key), found);
                }
            }
            Body::List(items) => items.iter().for_each(|item| leaves(item, path, found)),
            leaf => found.push(format!("{}@{}", leaf.shown(), node.line)),
        }
    }

    fn all(text: &str) -> String {
        let mut found = Vec::new();
        leaves(&read(text).unwrap(), "", &mut found);
        found.join(" ")
    }

    #[test]
    fn every_key_and_value_has_its_line_in_block_and_flow_style() {
        let block = "# x\na:\n  b: 1\n\n  \"c\": 'two'\nd: |\n  e: 3\nf:\n- g\n-\n  h\n";
        assert_eq!(all(block), "a@2 a.b@3 `1`@3 a.c@5 `two`@5 d@6 `e: 3\\n`@6 f@8 `g`@9 `h`@11");
        let flow = "{a: {b: 1,\n c: [x,\n y]}, d:\n null}\n";
        assert_eq!(all(flow), "a@1 a.b@1 `1`@1 a.c@2 `x`@2 `y`@3 d@3 null@4");
        assert_eq!(all("\u{feff}a:\r\n  b: 1\r\n"), "a@1 a.b@2 `1`@2");
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in ["1000000.10", "1e6", "+5", "0x10", "123456789012345678.123456789", "-3", ".5"]
        {
            let in_block = format!("é: {{ü: {text} }} # c");
            assert_eq!(all(&in_block), format!("é@1 é.ü@1 `{text}`@1"));
            assert_eq!(all(text), format!("`{text}`@1"));
        }
        assert_eq!(all("a: &x 7.50\nb: *x\n"), "a@1 `7.5`@1 b@2 `7.5`@1");
    }

    #[test]
    fn an_empty_document_is_null() {
        for text in ["", "\n\n", "# only a comment\n", "---\n", "~"] {
            assert_eq!(read(text).unwrap().body, Body::Null, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_yaml_has_a_line() {
        for (text, line) in [("a: 1\nb: [\n", 3), ("a: 1\n  b: 2\n", 2), ("a: 1\nb: !x 2\n", 2)] {
            let wrong = read(text).unwrap_err();
            assert_eq!(wrong.line, Some(line), "{text:?}: {}", wrong.message);
        }
        assert_eq!(read("a: 1\n? [b]\n: 2\n").unwrap_err().line, Some(2));
        assert!(read("a: *.json\n").is_err());
        assert!(read("a: 1\n---\nb: 2\n").unwrap_err().message.contains("more than one document"));
    }

    #[test]
    fn a_deep_text_is_refused_not_a_crash() {
        assert!(read(&"[".repeat(10_000)).is_err());
    }
}
