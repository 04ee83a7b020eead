//! The checksum at the end of a JSON document: of all the text before it.
//!
//! The last member of the object, `"checksum": "<32 hex digits>"`. It tells damage: it is no secret, and
//! whoever changes a document on purpose may write the right one. Documents of earlier builds have none.

use xxhash_rust::xxh3::xxh3_128;

const KEY: &[u8] = b"\"checksum\"";
/// The member with its spaces, and what closes the object, are no longer.
const LONGEST: usize = 128;
/// Why a document whose text is another is not believed.
pub(super) const WRONG: &str = "its checksum is wrong: it is damaged or was edited";

/// The document, which is one object, with a checksum as its last member.
pub(super) fn sealed(json: &str) -> String {
    let Some(body) = json.trim_end().strip_suffix('}') else { return json.to_owned() };
    let text = body.trim_end();
    let sum = xxh3_128(text.as_bytes());
    match json.ends_with('\n') {
        true => format!("{text},\n  \"checksum\": \"{sum:032x}\"\n}}\n"),
        false => format!("{text},\"checksum\":\"{sum:032x}\"}}"),
    }
}

/// Is the text what was sealed? One without a checksum says nothing, and is believed.
pub(super) fn holds(json: &[u8]) -> bool {
    let tail = json.len().saturating_sub(LONGEST);
    let Some(at) = json[tail..].windows(KEY.len()).rposition(|window| window == KEY) else {
        return true;
    };
    let (before, member) = json.split_at(tail + at);
    let body = before.trim_ascii_end().strip_suffix(b",").map(<[u8]>::trim_ascii_end);
    body.is_some_and(|body| sum_in(member) == Some(xxh3_128(body)))
}

/// The sum in `"checksum": "…"}`.
fn sum_in(member: &[u8]) -> Option<u128> {
    let value = member.strip_prefix(KEY)?.trim_ascii().strip_prefix(b":")?.trim_ascii();
    let digits = value.strip_suffix(b"}")?.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 32)?;
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTS: [&str; 2] =
        ["{\n  \"a\": [1, 2],\n  \"b\": \"x\"\n}\n", r#"{"a":[1,2],"b":"x"}"#];

    #[test]
    fn a_sealed_document_is_the_same_with_one_member_more() {
        for document in DOCUMENTS {
            let sealed = sealed(document);
            let mut read: serde_json::Value = serde_json::from_str(&sealed).unwrap();
            assert!(read.as_object_mut().unwrap().remove("checksum").is_some());
            assert_eq!(read, serde_json::from_str::<serde_json::Value>(document).unwrap());
            assert!(holds(sealed.as_bytes()) && holds(document.as_bytes()));
            assert_eq!(sealed.ends_with('\n'), document.ends_with('\n'));
        }
    }

    #[test]
    fn any_other_character_before_the_end_is_noticed() {
        for document in DOCUMENTS.map(sealed) {
            let end = document.trim_end_matches(['\n', '}']).len();
            let key = document.find("\"checksum\"").unwrap();
            for at in (0..end).filter(|at| !(key..key + KEY.len()).contains(at)) {
                let mut bytes = document.clone().into_bytes();
                bytes[at] ^= 1;
                let spaces = document.as_bytes()[at].is_ascii_whitespace() && at > key;
                assert!(spaces || !holds(&bytes), "{}", String::from_utf8_lossy(&bytes));
            }
        }
        for torn in ["", "{", "{}", "\"checksum\"", ",\"checksum\":\"", "{\"checksum\": 1}"] {
            let _ = holds(torn.as_bytes());
        }
    }
}
