//! The days of a configuration: the folders that `{as_of}` stands for on this disk.
//!
//! A folder counts if its name is what some as_of is written as. Which of them hold anything is the
//! store's to say.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::project::{Project, layout};
use crate::as_of::AsOf;
use crate::config::AS_OF;
use crate::store::Layout;

/// The folders of one as_of.
#[derive(Debug, Clone)]
pub(super) struct Day {
    /// As `--as-of` wants it.
    pub as_of: String,
    pub layout: Layout,
}

/// Every day that has a folder, in order; none where folders do not depend on as_of.
pub(super) fn days(project: &Project) -> Vec<Day> {
    let mut found = BTreeMap::new();
    for folder in project.config().daily_folders() {
        for name in names(&folder) {
            if let Some(as_of) = of_folder(&name) {
                found.insert(name, as_of);
            }
        }
    }
    let day = |as_of: AsOf| Day {
        as_of: as_of.as_given().to_owned(),
        layout: layout(&project.config().paths_at(&as_of)),
    };
    found.into_values().map(day).collect()
}

/// What stands for `{as_of}` in the folders that a template matches.
fn names(template: &Path) -> Vec<String> {
    let mut above = PathBuf::new();
    for part in template.components() {
        if let Component::Normal(name) = part
            && let Some((before, after)) = name.to_str().and_then(|name| name.split_once(AS_OF))
        {
            let entries = fs_err::read_dir(&above).into_iter().flatten().flatten();
            return entries
                .filter_map(|entry| {
                    let name = entry.file_name().into_string().ok()?;
                    let rest = name.strip_prefix(before)?;
                    // What comes twice must be the same twice; trying is simpler than comparing.
                    let length = rest.len().checked_sub(after.replace(AS_OF, "").len())?;
                    let length = length / (1 + after.matches(AS_OF).count());
                    let as_of = rest.get(..length)?;
                    (rest[length..] == after.replace(AS_OF, as_of)).then(|| as_of.to_owned())
                })
                .collect();
        }
        above.push(part);
    }
    Vec::new()
}

/// The as_of whose folder has that name: a date, or a timestamp in UTC without punctuation.
fn of_folder(name: &str) -> Option<AsOf> {
    let as_of = AsOf::parse(name).or_else(|error| {
        let part = |from: usize, to: usize| name.get(from..to).ok_or_else(|| error.clone());
        let (fraction, zone) = (name.get(15..).unwrap_or_default(), "Z");
        let fraction = fraction.strip_suffix(zone).unwrap_or_default();
        let dot = if fraction.is_empty() { "" } else { "." };
        let date = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
        let time = format!("{}:{}:{}", part(9, 11)?, part(11, 13)?, part(13, 15)?);
        AsOf::parse(&format!("{date}T{time}{dot}{fraction}{zone}"))
    });
    as_of.ok().filter(|as_of| as_of.folder() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_day_only_under_the_name_that_mp_gives_it() {
        for given in ["2020-11-30", "2020-11-29T16:00:00-03:00", "2020-11-29T19:00:00.000500Z"] {
            let as_of = AsOf::parse(given).unwrap();
            let found = of_folder(&as_of.folder()).unwrap();
            assert_eq!((found.micros(), found.folder()), (as_of.micros(), as_of.folder()));
        }
        assert_eq!(of_folder("2020-11-30").unwrap().as_given(), "2020-11-30");
        for name in ["2020-11-31", "november", "20201129", "2020-11-29T19:00:00Z", "é2020", ""] {
            assert!(of_folder(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_folders_that_a_template_matches_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["run 2020-11-29.d/out", "run 2020-11-30.d", "run .d", "other"] {
            fs_err::create_dir_all(folder.path().join(name)).unwrap();
        }
        let mut found = names(&folder.path().join("run {as_of}.d/out"));
        found.sort();
        assert_eq!(found, ["", "2020-11-29", "2020-11-30"]);
        assert_eq!(names(&folder.path().join("none/{as_of}")), Vec::<String>::new());
    }
}
