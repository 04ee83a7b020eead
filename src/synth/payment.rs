//! A payment as a line of CSV: as it should be, with a soft issue, or broken.
//!
//! Like [`super::event`]; does not know how the rules are checked.

use super::digits;
use super::output::Row;
use super::props::{NAMES, Prop};
use super::template::{LONG_WORD, fill, in_turn};

/// The first line of the file.
pub(super) const HEADER: &[u8] = b"pay_date,total,user_id,value_prop\n";

/// A payment.
#[derive(Clone, Copy)]
pub(super) struct Payment<'a> {
    pub day: &'a str,
    pub cents: u64,
    pub user_id: u64,
    pub prop: Prop,
}

impl Row for Payment<'_> {
    fn clean(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(self.day.as_bytes());
        line.push(b',');
        digits::push_cents(line, self.cents);
        line.push(b',');
        digits::push(line, self.user_id);
        line.push(b',');
        line.extend_from_slice(NAMES[self.prop as usize].as_bytes());
        line.push(b'\n');
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

impl Payment<'_> {
    fn fill(&self, template: &str, line: &mut Vec<u8>) {
        let total = format!("{}.{:02}", self.cents / 100, self.cents % 100);
        let user_id = self.user_id.to_string();
        let values = [
            ("day", self.day),
            ("year", &self.day[..4]),
            ("total", &total),
            ("user", &user_id),
            ("prop", NAMES[self.prop as usize]),
            ("long", LONG_WORD),
        ];
        fill(template, &values, line);
    }
}

/// Accepted, with something to be put right.
const SOFT: &[&str] = &[
    "<day>,<total>5,<user>,<prop>",
    "<day>,<total>, <user>,<prop>",
    "<day>T21:15:00+05:30,<total>,<user>,<prop>",
    "<day>,<total>,<user>, <prop> ",
    " <day>,<total>,<user>,<prop>",
    "<day>,<total>49,<user>,<prop>",
];

/// The codes that each line is rejected with. The first fourteen have all codes that fit.
const BAD: &[(&[&str], &str)] = &[
    (&["csv.malformed"], "<day>,<total>,<user>"),
    (&["timestamp.missing"], ",<total>,<user>,<prop>"),
    (&["timestamp.invalid"], "<year>-02-30,<total>,<user>,<prop>"),
    (&["timestamp.out_of_bounds"], "1900-01-01,<total>,<user>,<prop>"),
    (&["user_id.missing"], "<day>,<total>,,<prop>"),
    (&["user_id.blank"], "<day>,<total>,  ,<prop>"),
    (&["user_id.too_long"], "<day>,<total>,<long>,<prop>"),
    (&["value_prop.missing"], "<day>,<total>,<user>,"),
    (&["value_prop.blank"], "<day>,<total>,<user>,  "),
    (&["value_prop.too_long"], "<day>,<total>,<user>,<long>"),
    (&["amount.missing"], "<day>,,<user>,<prop>"),
    (&["amount.invalid"], "<day>,$<total>,<user>,<prop>"),
    (&["amount.too_large"], "<day>,9999999999999.99,<user>,<prop>"),
    (&["amount.not_positive"], "<day>,0.00,<user>,<prop>"),
    (&["csv.malformed"], "<day>,<total>,<user>,<prop>,"),
    (&["amount.not_positive"], "<day>,-<total>,<user>,<prop>"),
    (&["amount.invalid"], "<day>,\"1,<total>\",<user>,<prop>"),
    (&["timestamp.missing"], "  ,<total>,<user>,<prop>"),
    (&["csv.malformed"], "<day>,<total>,<user>,\"<prop>"),
    (&["amount.not_positive"], "<day>,0.004,<user>,<prop>"),
    (&["timestamp.invalid"], "30/11/<year>,<total>,<user>,<prop>"),
    (&["csv.malformed"], "<day>,<total>,<user>,\"<prop>\" "),
    (&["amount.invalid"], "<day>,NaN,<user>,<prop>"),
    (&["amount.missing"], "<day>, ,<user>,<prop>"),
    (&["timestamp.invalid", "value_prop.missing", "amount.invalid"], "today,free,<user>,"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENT: Payment = Payment { day: "2020-11-01", cents: 1584, user_id: 7, prop: 0 };

    #[test]
    fn a_clean_line_has_the_documented_form() {
        let mut line = Vec::new();
        PAYMENT.clean(&mut line);
        assert_eq!(line, b"2020-11-01,15.84,7,cellphone_recharge\n");
    }

    #[test]
    fn no_place_of_a_template_stays_open() {
        let mut lines = Vec::new();
        for turn in 0..100 {
            PAYMENT.bad(turn, &mut lines);
            PAYMENT.soft(turn, &mut lines);
        }
        assert!(!lines.contains(&b'<'));
        assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 200);
    }
}
