//! Lines of unusual rows, from templates with named places.
//!
//! Knows nothing of formats or rules: [`super::event`] and [`super::payment`] bring the templates.

/// Appends `template` and a line break, each `<name>` replaced by its value.
///
/// Templates are ours: a place without a value is a mistake in a table, which a test finds; it
/// stays as it is.
pub(super) fn fill(template: &str, values: &[(&str, &str)], line: &mut Vec<u8>) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('<') {
        line.extend_from_slice(before.as_bytes());
        let place = after.split_once('>').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((*value, after))
        });
        let (value, after) = place.unwrap_or(("<", after));
        line.extend_from_slice(value.as_bytes());
        rest = after;
    }
    line.extend_from_slice(rest.as_bytes());
    line.push(b'\n');
}

/// The entry of a table whose turn it is; tables are not empty.
pub(super) fn in_turn<T: Copy>(table: &[T], turn: u64) -> T {
    table[(turn % table.len() as u64) as usize]
}

/// A word of 101 characters: one more than an id may have.
pub(super) const LONG_WORD: &str = "a_word_of_101_characters_which_is_one_more_than_any_id_may_have\
    ______________________________________";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let mut line = Vec::new();
        fill("<a>, <b><a> <c>", &[("a", "1"), ("b", "2")], &mut line);
        assert_eq!(String::from_utf8(line).unwrap(), "1, 21 <c>\n");
        assert_eq!(LONG_WORD.len(), 101);
    }
}
