//! The header of a CSV file: where the four columns of a payment stand.
//!
//! Other columns are only counted. Does not know which file it is.

use super::csv;

/// The columns of a payment, in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    PayDate,
    Total,
    UserId,
    ValueProp,
}

const REQUIRED: [(Column, &str); 4] = [
    (Column::PayDate, "pay_date"),
    (Column::Total, "total"),
    (Column::UserId, "user_id"),
    (Column::ValueProp, "value_prop"),
];

/// The most columns that an error lists.
const SHOWN_COLUMNS: usize = 50;

/// Which field of a record is which, and how many fields a record has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvColumns {
    roles: Vec<Option<Column>>,
}

/// A header that cannot be used, with what was found in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There is none.
    #[error("there is no header line; it needs the columns {}", required())]
    Absent,
    /// Longer than a line may be, not UTF-8, or badly quoted.
    #[error("the header line is unreadable: {0}")]
    Unreadable(String),
    /// The line holds data: it must not get into a message, for messages are logged.
    #[error(
        "the first line is no header but {fields} fields of something else; it needs the columns {}",
        required()
    )]
    NoHeader {
        /// How many fields it has.
        fields: usize,
    },
    /// Required columns are not there, or there twice.
    #[error("the header {problems}; found {found}")]
    Columns {
        /// What is wrong with which column.
        problems: String,
        /// All columns, in order.
        found: String,
    },
}

impl CsvColumns {
    /// Finds the columns by name: unquoted, trimmed, in any order; case matters.
    pub fn from_header(line: &[u8]) -> Result<CsvColumns, HeaderError> {
        if line.is_empty() {
            return Err(HeaderError::Absent);
        }
        if line.len() > super::MAX_LINE_BYTES {
            return Err(HeaderError::Unreadable(format!("it has {} bytes", line.len())));
        }
        let mut names = Vec::new();
        csv::split(line, |field| {
            names.push(field.resolve(&mut String::new()).trim().to_owned());
        })
        .map_err(HeaderError::Unreadable)?;
        let mut roles = vec![None; names.len()];
        let mut problems = Vec::new();
        for (column, name) in REQUIRED {
            let mut places = (0..names.len()).filter(|place| names[*place] == name);
            match (places.next(), places.next()) {
                (None, _) => problems.push(format!("has no column `{name}`")),
                (Some(_), Some(_)) => problems.push(format!("has column `{name}` twice")),
                (Some(place), None) => roles[place] = Some(column),
            }
        }
        if problems.is_empty() {
            return Ok(CsvColumns { roles });
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let is_header = names.iter().any(|name| REQUIRED.iter().any(|(_, known)| known == name));
        if !is_header && !names.iter().all(|name| looks_like_a_name(name)) {
            return Err(HeaderError::NoHeader { fields: names.len() });
        }
        Err(HeaderError::Columns { problems: problems.join(" and "), found: list(&names) })
    }

    /// How many fields a record must have.
    pub fn width(&self) -> usize {
        self.roles.len()
    }

    /// What the field at a place is, if it matters.
    #[inline]
    pub(super) fn at(&self, place: usize) -> Option<Column> {
        self.roles.get(place).copied().flatten()
    }
}

/// `pay_date`, `Pay Date`; not `2020-11-01`, `{"day"` or nothing.
fn looks_like_a_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.'))
}

fn required() -> String {
    list(&REQUIRED.map(|(_, name)| name))
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> =
        names.iter().map(|name| format!("`{}`", super::fault::shown(name))).collect();
    let more = names.len().saturating_sub(SHOWN_COLUMNS);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(header: &[u8]) -> String {
        CsvColumns::from_header(header).unwrap_err().to_string()
    }

    #[test]
    fn a_line_of_data_is_not_shown() {
        for line in
            [&b"2020-11-01,5.00,secret,point"[..], br#"{"day": "2020-11-01", "user_id": "secret"}"#]
        {
            let error = error(line);
            assert!(error.starts_with("the first line is no header"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(error(b"day,Amount,user,note").contains("`Amount`"));
        assert!(error(b"2020-11-01,total,secret").contains("found"));
    }

    #[test]
    fn columns_are_found_by_trimmed_unquoted_name_in_any_order() {
        let columns = CsvColumns::from_header(b"value_prop, user_id ,note,total,\"pay_date\"");
        let columns = columns.unwrap();
        assert_eq!(columns.width(), 5);
        assert_eq!(columns.at(1), Some(Column::UserId));
        assert_eq!(columns.at(4), Some(Column::PayDate));
        assert_eq!(columns.at(2), None);
        assert!(CsvColumns::from_header(b"pay_date,total,user_id,value_prop,x,x,").is_ok());
        assert!(CsvColumns::from_header(b"pay_date,total,\" user_id\",value_prop").is_ok());
    }

    #[test]
    fn an_unfit_header_is_told_with_what_was_found() {
        assert_eq!(
            error(b"pay_date,Total,user_id,user_id"),
            "the header has no column `total` and has column `user_id` twice and has no column \
             `value_prop`; found `pay_date`, `Total`, `user_id`, `user_id`"
        );
        assert_eq!(
            error(b""),
            "there is no header line; it needs the columns `pay_date`, `total`, `user_id`, \
             `value_prop`"
        );
        assert!(error(b"pay_date,\"total").contains("unreadable: a quote is left open"));
        assert!(error(b"pay_date,\xff").contains("unreadable: byte 10 of the line is not UTF-8"));
        assert!(error(&b"a,".repeat(1 << 20)).contains("unreadable: it has 2097152 bytes"));
        let many = [&b"a,".repeat((1 << 19) - 1)[..], b"a"].concat();
        assert!(error(&many).ends_with("and 524238 more"));
    }
}
