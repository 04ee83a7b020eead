//! A print or a tap as a line of JSON: as it should be, with a soft issue, or broken.
//!
//! Broken lines go through every rule of the README's table of row rules that fits, one after the
//! other, then through other ways to break the same ones. All lines are valid UTF-8, so that the
//! files open everywhere. Does not know how the rules are checked.

use super::digits;
use super::output::Row;
use super::props::{NAMES, Prop};
use super::template::{LONG_WORD, fill, in_turn};

/// A print or a tap.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    pub day: &'a str,
    pub position: u8,
    pub prop: Prop,
    pub user_id: u64,
}

impl Row for Event<'_> {
    fn clean(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"day\": \"");
        line.extend_from_slice(self.day.as_bytes());
        line.extend_from_slice(b"\", \"event_data\": {\"position\": ");
        line.push(b'0' + self.position);
        line.extend_from_slice(b", \"value_prop\": \"");
        line.extend_from_slice(NAMES[self.prop as usize].as_bytes());
        line.extend_from_slice(b"\"}, \"user_id\": ");
        digits::push(line, self.user_id);
        line.extend_from_slice(b"}\n");
    }

    fn bad(&self, turn: u64, line: &mut Vec<u8>) -> &'static [&'static str] {
        let (codes, template) = in_turn(BAD, turn);
        self.fill(template, line);
        codes
    }

    fn soft(&self, turn: u64, line: &mut Vec<u8>) {
        self.fill(in_turn(SOFT, turn), line);
    }
}

impl Event<'_> {
    fn fill(&self, template: &str, line: &mut Vec<u8>) {
        let (position, user_id) = (self.position.to_string(), self.user_id.to_string());
        let values = [
            ("day", self.day),
            ("year", &self.day[..4]),
            ("position", &position),
            ("prop", NAMES[self.prop as usize]),
            ("user", &user_id),
            ("long", LONG_WORD),
        ];
        fill(template, &values, line);
    }
}

/// Accepted, with something to be put right.
const SOFT: &[&str] = &[
    r#"{"day": " <day> ", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>}"#,
    r#"{"day": "<day>T09:30:00-03:00", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>}"#,
    r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": " <prop> "}, "user_id": <user>}"#,
    r#"{"day": "<day>", "event_data": {"position": null, "value_prop": "<prop>"}, "user_id": <user>}"#,
    r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": " <user>"}"#,
    r#"{"day": "<day>", "event_data": {"value_prop": "<prop>"}, "user_id": "<user>"}"#,
];

/// The codes that each line is rejected with. The first fourteen have all codes that fit.
const BAD: &[(&[&str], &str)] = &[
    (
        &["json.malformed"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user"#,
    ),
    (
        &["timestamp.missing"],
        r#"{"event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["timestamp.invalid"],
        r#"{"day": "<year>-02-30", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["timestamp.out_of_bounds"],
        r#"{"day": "1900-01-01", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["user_id.missing"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}}"#,
    ),
    (
        &["user_id.type"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>.0}"#,
    ),
    (
        &["user_id.blank"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": "  "}"#,
    ),
    (
        &["user_id.too_long"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": "<long>"}"#,
    ),
    (
        &["value_prop.missing"],
        r#"{"day": "<day>", "event_data": {"position": <position>}, "user_id": <user>}"#,
    ),
    (
        &["value_prop.type"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": 7}, "user_id": <user>}"#,
    ),
    (
        &["value_prop.blank"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": ""}, "user_id": <user>}"#,
    ),
    (
        &["value_prop.too_long"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<long>"}, "user_id": <user>}"#,
    ),
    (
        &["position.type"],
        r#"{"day": "<day>", "event_data": {"position": "<position>", "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["position.negative"],
        r#"{"day": "<day>", "event_data": {"position": -1, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["json.malformed"],
        r#"{"day": "<day>", "event_data": {"position": NaN, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["timestamp.missing"],
        r#"{"day": null, "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["timestamp.invalid"],
        r#"{"day": "30/11/<year>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["timestamp.out_of_bounds"],
        r#"{"day": "0001-01-01T00:00:00Z", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["user_id.missing"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": null}"#,
    ),
    (
        &["user_id.type"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": true}"#,
    ),
    (&["value_prop.missing"], r#"{"day": "<day>", "event_data": null, "user_id": <user>}"#),
    (
        &["json.malformed"],
        r#"{'day': '<day>', 'event_data': {'position': <position>, 'value_prop': '<prop>'}, 'user_id': <user>}"#,
    ),
    (
        &["timestamp.invalid", "user_id.missing", "position.negative"],
        r#"{"day": "<day>T24:00:00", "event_data": {"position": -2, "value_prop": "<prop>"}}"#,
    ),
    (
        &["position.type"],
        r#"{"day": "<day>", "event_data": {"position": <position>.5, "value_prop": "<prop>"}, "user_id": <user>}"#,
    ),
    (
        &["json.malformed"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>, "user_id": <user>}"#,
    ),
    (
        &["timestamp.invalid", "value_prop.blank"],
        r#"{"day": 20201105, "event_data": {"position": <position>, "value_prop": "  "}, "user_id": <user>}"#,
    ),
    (
        &["json.malformed"],
        r#"{"day": "<day>", "event_data": {"position": <position>, "value_prop": "<prop>"}, "user_id": <user>};"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_line_has_the_documented_form() {
        let event = Event { day: "2020-11-01", position: 0, prop: 4, user_id: 98702 };
        let mut line = Vec::new();
        event.clean(&mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"day\": \"2020-11-01\", \"event_data\": {\"position\": 0, \"value_prop\": \
             \"prepaid\"}, \"user_id\": 98702}\n"
        );
    }

    #[test]
    fn no_place_of_a_template_stays_open() {
        let event = Event { day: "2020-11-01", position: 0, prop: 4, user_id: 98702 };
        let mut lines = Vec::new();
        for turn in 0..100 {
            event.bad(turn, &mut lines);
            event.soft(turn, &mut lines);
        }
        assert!(!lines.contains(&b'<'));
        assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 200);
    }
}
