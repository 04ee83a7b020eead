//! A text with `@name@` in it, filled. An `@` that is no such name stays.

use std::collections::BTreeMap;

/// What stands for each name.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Sets what stands for a name.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }
}

/// The text with all its names replaced, in one pass: what was filled in is not looked at again.
pub(super) fn fill(template: &str, values: &Values) -> String {
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        text.push_str(before);
        let found =
            after.split_once('@').and_then(|(name, rest)| Some((values.0.get(name)?, rest)));
        match found {
            Some((value, after)) => {
                text.push_str(value);
                rest = after;
            }
            None => {
                text.push('@');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_other_signs_stay() {
        let mut values = Values::default();
        values.set("a", "1");
        values.set("b", "@a@");
        assert_eq!(fill("x@a@y@b@ @daily @c@a@", &values), "x1y@a@ @daily @c1");
        assert_eq!(fill("@", &values), "@");
        assert_eq!(fill("", &values), "");
    }
}
