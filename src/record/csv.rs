//! A line of CSV to the fields of a payment.
//!
//! A field is quoted only if its first byte is `"`; elsewhere a quote is an ordinary character.
//! That is stricter than what the usual readers do, so lines are cut here. Applies no row rule.

use super::Scratch;
use super::csv_header::{Column, CsvColumns};
use super::payment::Payment;

/// A field as it stands in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Without its quotes.
    pub text: &'a str,
    /// It was quoted and holds doubled quotes that stand for one.
    pub doubled: bool,
}

impl<'a> Field<'a> {
    /// The text with doubled quotes resolved, into `buffer` if there are any.
    pub fn resolve(self, buffer: &'a mut String) -> &'a str {
        if !self.doubled {
            return self.text;
        }
        *buffer = self.text.replace("\"\"", "\"");
        buffer
    }
}

/// Reads the fields of a payment, or says why the line is malformed.
pub(super) fn read<'a>(
    line: &'a [u8],
    columns: &CsvColumns,
    scratch: &'a mut Scratch,
) -> Result<Payment<'a>, String> {
    let mut found = [Field { text: "", doubled: false }; 4];
    let mut width = 0;
    split(line, |field| {
        if let Some(column) = columns.at(width) {
            found[column as usize] = field;
        }
        width += 1;
    })?;
    if width != columns.width() {
        return Err(format!("the line has {width} fields, the header {}", columns.width()));
    }
    let [a, b, c, d] = &mut scratch.texts;
    Ok(Payment {
        pay_date: found[Column::PayDate as usize].resolve(a),
        total: found[Column::Total as usize].resolve(b),
        user_id: found[Column::UserId as usize].resolve(c),
        value_prop: found[Column::ValueProp as usize].resolve(d),
    })
}

/// Cuts a line into its fields; an empty line has one, the empty field.
pub(super) fn split<'a>(line: &'a [u8], mut each: impl FnMut(Field<'a>)) -> Result<(), String> {
    let mut rest = simdutf8::compat::from_utf8(line)
        .map_err(|error| format!("byte {} of the line is not UTF-8", error.valid_up_to() + 1))?;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            None => {
                let end = memchr::memchr(b',', rest.as_bytes()).unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                (Field { text, doubled: false }, after)
            }
            Some(inside) => quoted(inside)?,
        };
        each(field);
        if after.is_empty() {
            return Ok(());
        }
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Err("there is text after a closing quote".to_owned()),
        }
    }
}

/// A field after its opening quote, and what follows its closing one.
fn quoted(inside: &str) -> Result<(Field<'_>, &str), String> {
    let mut doubled = false;
    let mut quotes = memchr::memchr_iter(b'"', inside.as_bytes());
    while let Some(at) = quotes.next() {
        if inside.as_bytes().get(at + 1) != Some(&b'"') {
            return Ok((Field { text: &inside[..at], doubled }, &inside[at + 1..]));
        }
        doubled = true;
        quotes.next();
    }
    Err("a quote is left open at the end of the line".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(line: &str) -> Result<Vec<String>, String> {
        let mut fields = Vec::new();
        split(line.as_bytes(), |field| {
            fields.push(field.resolve(&mut String::new()).to_owned());
        })?;
        Ok(fields)
    }

    #[test]
    fn a_field_is_quoted_only_if_its_first_byte_is_a_quote() {
        for (line, expected) in [
            ("", vec![""]),
            (",", vec!["", ""]),
            ("a\"b,\"\",c\"", vec!["a\"b", "", "c\""]),
            ("\"a,b\", \"c\"", vec!["a,b", " \"c\""]),
            ("\"say \"\"hi\"\"\",\"\"\"\"", vec!["say \"hi\"", "\""]),
            ("a\rb,", vec!["a\rb", ""]),
        ] {
            assert_eq!(fields(line).unwrap(), expected, "{line}");
        }
        for line in ["\"", "a,\"b", "\"a\"b", "\"a\" ,b", "\"\"\"", "\"a\"\"", "\"\"a"] {
            assert!(fields(line).is_err(), "{line}");
        }
        assert!(split(b"a,\xff", |_| ()).is_err());
    }

    /// One character at a time, as the rule is told.
    fn naive(line: &str) -> Option<Vec<String>> {
        let mut fields = vec![String::new()];
        let mut chars = line.chars().peekable();
        loop {
            let field = fields.last_mut()?;
            if chars.next_if_eq(&'"').is_some() {
                loop {
                    match chars.next()? {
                        '"' if chars.next_if_eq(&'"').is_some() => field.push('"'),
                        '"' => break,
                        other => field.push(other),
                    }
                }
                if chars.peek().is_some_and(|next| *next != ',') {
                    return None;
                }
            }
            while let Some(c) = chars.next_if(|c| *c != ',') {
                field.push(c);
            }
            match chars.next() {
                Some(_) => fields.push(String::new()),
                None => return Some(fields),
            }
        }
    }

    proptest! {
        #[test]
        fn fields_agree_with_the_rule_read_one_character_at_a_time(line in "[a\",é \r]{0,16}") {
            prop_assert_eq!(fields(&line).ok(), naive(&line));
        }
    }
}
