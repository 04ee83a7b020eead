//! The row rules of a payment, applied to the fields of its record.
//!
//! Does not know how a line is cut into fields.

use super::amount::{Amount, Cents, plain_cents};
use super::code::Code;
use super::fault::{Fault, shown};
use super::identifier::{Id, IdField, USER_ID, VALUE_PROP};
use super::rules::Rules;
use super::{Row, Verdict};

/// The fields of a payment, unquoted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Payment<'a> {
    pub pay_date: &'a str,
    pub total: &'a str,
    pub user_id: &'a str,
    pub value_prop: &'a str,
}

impl<'a> Payment<'a> {
    /// Applies every rule, in the order of the codes.
    #[inline]
    pub fn judge(&self, rules: &Rules) -> Verdict<'a> {
        let mut faults = Vec::new();
        let timestamp = rules.timestamp(self.pay_date, &mut faults);
        let user_id = id(USER_ID, self.user_id, &mut faults);
        let value_prop = id(VALUE_PROP, self.value_prop, &mut faults);
        let amount = amount(self.total, rules, &mut faults);
        match (timestamp, user_id, value_prop, amount) {
            (Some(timestamp), Some(user_id), Some(value_prop), Some(amount))
                if faults.is_empty() =>
            {
                let ids_trimmed = user_id.trimmed || value_prop.trimmed;
                Verdict::Accepted(Row {
                    timestamp_us: timestamp.micros,
                    user_id: user_id.text,
                    value_prop: value_prop.text,
                    measure: amount.cents,
                    soft_issues: u8::from(timestamp.coerced)
                        + u8::from(ids_trimmed)
                        + u8::from(amount.rounded),
                })
            }
            _ => Verdict::Rejected { timestamp_us: timestamp.map(|time| time.micros), faults },
        }
    }
}

#[inline]
fn id<'a>(field: IdField, text: &'a str, faults: &mut Vec<Fault>) -> Option<Id<'a>> {
    if text.is_empty() {
        faults.push(field.missing());
        return None;
    }
    field.check(text, faults)
}

#[inline]
fn amount(total: &str, rules: &Rules, faults: &mut Vec<Fault>) -> Option<Cents> {
    match plain_cents(total) {
        Some(cents) if cents > 0 && cents <= rules.max_amount.sure_cents() => {
            Some(Cents { cents, rounded: false })
        }
        _ => any_amount(total, rules, faults),
    }
}

fn any_amount(total: &str, rules: &Rules, faults: &mut Vec<Fault>) -> Option<Cents> {
    let text = total.trim();
    if text.is_empty() {
        faults.push(Fault::new(Code::AmountMissing, "amount is missing or blank"));
        return None;
    }
    let Some(amount) = Amount::parse(text) else {
        let detail = format!("amount `{}` is no decimal number", shown(text));
        faults.push(Fault::new(Code::AmountInvalid, detail));
        return None;
    };
    let cents = amount.cents();
    // An amount beyond 64 bits of cents is too large for any bound.
    let overflows = cents.is_none() && amount.is_positive();
    if overflows || rules.max_amount.is_below(&amount) {
        let detail = format!("amount `{}` is above {}", shown(text), rules.max_amount);
        faults.push(Fault::new(Code::AmountTooLarge, detail));
    }
    if !amount.is_positive() || cents.is_some_and(|cents| cents.cents == 0) {
        let detail = format!("amount `{}` is not above 0 in cents", shown(text));
        faults.push(Fault::new(Code::AmountNotPositive, detail));
    }
    cents
}
