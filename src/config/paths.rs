//! Folders of the configuration: placeholders and relative paths. Touches no disk.

use std::path::{Path, PathBuf};

use crate::as_of::AsOf;

/// What stands for the as_of of the run.
pub const AS_OF: &str = "{as_of}";

/// Every `{…}` of a text, braces included.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('{').filter_map(|(open, _)| {
        let close = text[open..].find('}')?;
        Some(&text[open..=open + close])
    })
}

/// The folder itself: `{as_of}` filled in, relative to the project folder.
pub fn resolve(project: &Path, text: &str, as_of: &AsOf) -> PathBuf {
    project.join(text.replace(AS_OF, &as_of.folder())).components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_wherever_they_stand() {
        let found: Vec<_> = placeholders("a/{as_of}/{x}{y}/}{z").collect();
        assert_eq!(found, ["{as_of}", "{x}", "{y}"]);
    }

    #[test]
    fn folders_are_below_the_project_unless_absolute() {
        let as_of = AsOf::parse("2020-11-30").unwrap();
        let at = |text| resolve(Path::new("/p"), text, &as_of);
        assert_eq!(at("data/{as_of}/x/"), Path::new("/p/data/2020-11-30/x"));
        assert_eq!(at("./a/./b"), Path::new("/p/a/b"));
        assert_eq!(at("/else/{as_of}"), Path::new("/else/2020-11-30"));
    }
}
