//! Identifiers of users and value propositions: given, trimmed, not blank, not too long.
//!
//! Knows the two fields and their codes; does not know in which format a row was written.

use super::code::Code;
use super::fault::{Fault, shown};

/// The longest identifier, in characters (Unicode scalar values) after trimming.
const MAX_CHARS: usize = 100;

/// A field that holds an identifier.
pub(super) struct IdField {
    name: &'static str,
    missing: Code,
    wrong_type: Code,
    blank: Code,
    too_long: Code,
}

pub(super) const USER_ID: IdField = IdField {
    name: "user_id",
    missing: Code::UserIdMissing,
    wrong_type: Code::UserIdType,
    blank: Code::UserIdBlank,
    too_long: Code::UserIdTooLong,
};

pub(super) const VALUE_PROP: IdField = IdField {
    name: "value_prop",
    missing: Code::ValuePropMissing,
    wrong_type: Code::ValuePropType,
    blank: Code::ValuePropBlank,
    too_long: Code::ValuePropTooLong,
};

/// An identifier, and whether white space was trimmed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id<'a> {
    pub text: &'a str,
    pub trimmed: bool,
}

impl IdField {
    /// The identifier in a text, or the fault that says why there is none.
    #[inline]
    pub fn check<'a>(&self, text: &'a str, faults: &mut Vec<Fault>) -> Option<Id<'a>> {
        let id = match text.as_bytes() {
            // Nothing to trim, as nearly always.
            [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
            _ => text.trim(),
        };
        if id.is_empty() {
            faults.push(Fault::new(self.blank, format!("{} is blank", self.name)));
            return None;
        }
        // No text has more characters than bytes.
        if id.len() > MAX_CHARS {
            let chars = id.chars().count();
            if chars > MAX_CHARS {
                let value = shown(id);
                let detail = format!(
                    "{} `{value}` has {chars} characters, at most {MAX_CHARS} are allowed",
                    self.name
                );
                faults.push(Fault::new(self.too_long, detail));
                return None;
            }
        }
        Some(Id { text: id, trimmed: id.len() != text.len() })
    }

    /// The fault of a field that is not there.
    pub fn missing(&self) -> Fault {
        Fault::new(self.missing, format!("{} is missing", self.name))
    }

    /// The fault of a value that is not `wanted`.
    pub fn wrong_type(&self, raw: &str, wanted: &str) -> Fault {
        let detail = format!("{} `{}` is not {wanted}", self.name, shown(raw));
        Fault::new(self.wrong_type, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<&str, Code> {
        let mut faults = Vec::new();
        let id = USER_ID.check(text, &mut faults);
        id.map(|id| id.text).ok_or_else(|| faults.remove(0).code)
    }

    #[test]
    fn white_space_of_unicode_is_trimmed_and_nothing_else() {
        assert_eq!(check("\u{a0}\u{3000}a b\u{85}\t"), Ok("a b"));
        assert_eq!(check("\u{feff}a\u{200b}"), Ok("\u{feff}a\u{200b}"));
        assert_eq!(check("\0"), Ok("\0"));
        assert_eq!(check("\u{2003}\r"), Err(Code::UserIdBlank));
        assert_eq!(check(""), Err(Code::UserIdBlank));
    }

    #[test]
    fn length_counts_characters_after_trimming() {
        let hundred = "é".repeat(100);
        assert_eq!(check(&format!("  {hundred} ")), Ok(hundred.as_str()));
        assert_eq!(check(&"𝄞".repeat(101)), Err(Code::UserIdTooLong));
    }
}
