//! Which raw files a source has: those that its patterns match, in the byte order of their names.
//!
//! Keeps to the raw folder, unless told otherwise. Does not open a file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{RawFolder, SourceError};
use super::glob::{Found, Pattern};

/// A raw file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawFile {
    /// Its path below the raw folder, with `/`; of a file elsewhere, the path as the pattern
    /// gives it.
    pub name: String,
    /// Where to open it.
    pub path: PathBuf,
}

/// Whether a pattern could be understood, wherever it may lead.
pub fn check_pattern(text: &str) -> Result<(), SourceError> {
    Pattern::parse(text).map(|_| ())
}

/// Finds the files of all patterns, each once, even if links give it several names.
///
/// Every pattern must match a file. A file that lies outside the raw folder, because of `..`, an
/// absolute pattern or a symbolic link, is refused unless `allow_outside`.
pub fn discover(
    raw: &Path,
    patterns: &[String],
    allow_outside: bool,
) -> Result<Vec<RawFile>, SourceError> {
    let patterns: Vec<(&String, Pattern)> = patterns
        .iter()
        .map(|text| Ok((text, Pattern::parse(text)?)))
        .collect::<Result<_, SourceError>>()?;
    let root = match fs_err::canonicalize(raw) {
        Ok(root) => Some(root),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(SourceError::unreadable(raw, &error)),
    };
    let mut folders = Folders::default();
    // By name: where to open it, and where it really is.
    let mut files = BTreeMap::new();
    for (text, pattern) in &patterns {
        let mut matched = false;
        // The first by name of what matches and is no file.
        let mut other: Option<(PathBuf, &'static str)> = None;
        pattern.walk(raw, &mut |name, path, found| {
            if let Found::Other(kind) = found {
                if other.as_ref().is_none_or(|(first, _)| path < *first) {
                    other = Some((path, kind));
                }
                return Ok(());
            }
            let real = folders.real(&path, found == Found::Plain);
            let real = real.map_err(|error| SourceError::unreadable(&path, &error))?;
            let below = root.as_ref().and_then(|root| real.strip_prefix(root).ok());
            if below.is_none() && !allow_outside {
                let (pattern, folder) = ((*text).clone(), raw.to_owned());
                return Err(SourceError::Outside { pattern, name, folder });
            }
            let name = match below {
                // The pattern left the raw folder and came back.
                Some(below) if pattern.absolute || pattern.goes_up() => utf8(below)?,
                _ => name,
            };
            matched = true;
            files.insert(name, (path, real));
            Ok(())
        })?;
        if !matched {
            let (pattern, folder) = ((*text).clone(), raw.to_owned());
            if let Some((path, kind)) = other {
                return Err(SourceError::NoFile { pattern, path, kind });
            }
            let found = match &root {
                None => RawFolder::Missing,
                Some(root) if root.is_dir() => RawFolder::There,
                Some(_) => RawFolder::NoFolder,
            };
            return Err(SourceError::NoMatch { pattern, folder, found });
        }
    }
    let mut seen = HashSet::with_capacity(files.len());
    let once = files.into_iter().filter_map(|(name, (path, real))| {
        seen.insert(real.into_os_string()).then_some(RawFile { name, path })
    });
    Ok(once.collect())
}

/// Folders whose links were followed: there may be thousands of files in one.
#[derive(Default)]
struct Folders(HashMap<PathBuf, PathBuf>);

impl Folders {
    /// The path of a file without links; `plain` if its own name is known to be none.
    fn real(&mut self, path: &Path, plain: bool) -> io::Result<PathBuf> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return fs_err::canonicalize(path);
        };
        if !plain && fs_err::symlink_metadata(path)?.is_symlink() {
            return fs_err::canonicalize(path);
        }
        if let Some(real) = self.0.get(folder) {
            return Ok(real.join(name));
        }
        // The parent of a mere name is the folder at hand.
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let real = fs_err::canonicalize(here)?;
        let file = real.join(name);
        self.0.insert(folder.to_owned(), real);
        Ok(file)
    }
}

fn utf8(path: &Path) -> Result<String, SourceError> {
    match path.to_str() {
        Some(name) => Ok(name.to_owned()),
        None => Err(SourceError::NameNotUtf8 { path: path.to_owned() }),
    }
}
