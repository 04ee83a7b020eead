//! A pattern for files, taken apart at its slashes, and the walk that finds what it matches.
//!
//! A folder is listed only where the pattern has a wildcard. `*` stays within a folder, `**`
//! goes through folders; neither sees a name that begins with a dot, which has to be written.
//! `?` and `[!a]` stand for one byte, as in globset, so they do not match an `é`.
//! Does not know which places are allowed.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::error::SourceError;

/// A pattern that was understood.
#[derive(Debug)]
pub(super) struct Pattern {
    /// It begins at the root of the file system.
    pub absolute: bool,
    parts: Vec<Part>,
}

/// What stands between two slashes.
#[derive(Debug)]
enum Part {
    /// A name without wildcards.
    Name(String),
    /// Names of one folder.
    Glob { matcher: GlobMatcher, sees_hidden: bool },
    /// `**`: any number of folders, none included.
    Folders,
}

/// What matches a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A regular file under a name that is no link, as its folder lists it.
    Plain,
    /// A regular file, or a link to one.
    File,
    /// Something else, in words with their article.
    Other(&'static str),
}

/// Called with the name and path of all that matches, in no particular order; with a folder only
/// if the pattern ends with its name and not with a wildcard.
type Visit<'f> = dyn FnMut(String, PathBuf, Found) -> Result<(), SourceError> + 'f;

impl Pattern {
    pub fn parse(text: &str) -> Result<Pattern, SourceError> {
        let bad = |reason: String| SourceError::BadPattern { pattern: text.to_owned(), reason };
        let mut parts = Vec::new();
        for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
            parts.push(match part {
                "**" if matches!(parts.last(), Some(Part::Folders)) => continue,
                "**" => Part::Folders,
                _ if !part.contains(['*', '?', '[', ']', '{', '}', '\\']) => {
                    Part::Name(part.to_owned())
                }
                _ => glob(part).map_err(|error| bad(error.kind().to_string()))?,
            });
        }
        match parts.last() {
            None => return Err(bad("it is empty".to_owned())),
            // All files below.
            Some(Part::Folders) => {
                parts.push(glob("*").map_err(|error| bad(error.to_string()))?);
            }
            Some(_) => {}
        }
        Ok(Pattern { absolute: text.starts_with('/'), parts })
    }

    /// Whether it goes up somewhere.
    pub fn goes_up(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Name(name) if name == ".."))
    }

    /// Finds all below `folder` that matches.
    pub fn walk(&self, folder: &Path, visit: &mut Visit<'_>) -> Result<(), SourceError> {
        let start = match self.absolute {
            true => Place { path: PathBuf::from("/"), name: "/".to_owned(), listed: None },
            false => Place { path: folder.to_owned(), name: String::new(), listed: None },
        };
        let by_name = matches!(self.parts.last(), Some(Part::Name(_)));
        walk(&start, &self.parts, &mut |name, path, found| match found {
            Found::Other(FOLDER) if !by_name => Ok(()),
            _ => visit(name, path, found),
        })
    }
}

fn glob(part: &str) -> Result<Part, globset::Error> {
    let matcher = GlobBuilder::new(part).literal_separator(true).build()?.compile_matcher();
    Ok(Part::Glob { matcher, sees_hidden: part.starts_with('.') || part.starts_with("\\.") })
}

/// A file or folder: where it is, and its name as seen from the start.
struct Place {
    path: PathBuf,
    name: String,
    /// What its folder lists it as, if it was listed.
    listed: Option<FileType>,
}

impl Place {
    fn child(&self, name: &str, listed: Option<FileType>) -> Place {
        let slash = if self.name.is_empty() || self.name.ends_with('/') { "" } else { "/" };
        Place { path: self.path.join(name), name: format!("{}{slash}{name}", self.name), listed }
    }
}

fn walk(place: &Place, parts: &[Part], visit: &mut Visit<'_>) -> Result<(), SourceError> {
    let Some((part, rest)) = parts.split_first() else {
        // There may be thousands of files: the listing of their folder says enough of nearly all.
        let plain = place.listed.is_some_and(|listed| listed.is_file());
        return match if plain { Some(Found::Plain) } else { look(&place.path)? } {
            Some(found) => visit(place.name.clone(), place.path.clone(), found),
            None => Ok(()),
        };
    };
    match part {
        Part::Name(name) => walk(&place.child(name, None), rest, visit),
        Part::Glob { matcher, sees_hidden } => {
            for Listed { name, listed } in list(&place.path)? {
                if matcher.is_match(&name) && (*sees_hidden || !is_hidden(&name)) {
                    walk(&place.child(utf8(place, &name)?, Some(listed)), rest, visit)?;
                }
            }
            Ok(())
        }
        Part::Folders => walk_folders(place, rest, &mut Vec::new(), visit),
    }
}

/// Goes on with `rest` in a folder and in all below. `above` holds the folders on the way here,
/// lest a link leads round in a circle.
fn walk_folders(
    place: &Place,
    rest: &[Part],
    above: &mut Vec<(u64, u64)>,
    visit: &mut Visit<'_>,
) -> Result<(), SourceError> {
    let Some(identity) = folder_identity(&place.path)? else { return Ok(()) };
    if above.contains(&identity) {
        return Ok(());
    }
    above.push(identity);
    walk(place, rest, visit)?;
    for Listed { name, listed } in list(&place.path)? {
        let may_lead_on = listed.is_dir() || listed.is_symlink();
        if may_lead_on && !is_hidden(&name) && folder_identity(&place.path.join(&name))?.is_some() {
            walk_folders(&place.child(utf8(place, &name)?, Some(listed)), rest, above, visit)?;
        }
    }
    above.pop();
    Ok(())
}

fn is_hidden(name: &Path) -> bool {
    name.as_os_str().as_encoded_bytes().starts_with(b".")
}

fn utf8<'n>(place: &Place, name: &'n Path) -> Result<&'n str, SourceError> {
    name.to_str().ok_or_else(|| SourceError::NameNotUtf8 { path: place.path.join(name) })
}

/// A name in a folder, and what it stands for.
struct Listed {
    name: PathBuf,
    listed: FileType,
}

/// The names in a folder; none if it is no folder.
fn list(folder: &Path) -> Result<Vec<Listed>, SourceError> {
    let unreadable = |error: io::Error| SourceError::unreadable(folder, &error);
    let entries = match fs_err::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        match entry.file_type() {
            Ok(listed) => names.push(Listed { name: entry.file_name().into(), listed }),
            // Gone since; asked for where the listing itself does not tell.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    Ok(names)
}

/// What is there. A link that leads nowhere is an error, so that no data is missed.
fn look(path: &Path) -> Result<Option<Found>, SourceError> {
    match fs_err::metadata(path) {
        Ok(facts) if facts.is_file() => Ok(Some(Found::File)),
        Ok(facts) => Ok(Some(Found::Other(kind(facts.file_type())))),
        Err(error) if is_absent(&error) && fs_err::symlink_metadata(path).is_err() => Ok(None),
        Err(error) => Err(SourceError::unreadable(path, &error)),
    }
}

const FOLDER: &str = "a folder";

fn kind(other: FileType) -> &'static str {
    match other {
        other if other.is_dir() => FOLDER,
        other if other.is_fifo() => "a named pipe",
        other if other.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Device and inode, if it is a folder.
fn folder_identity(path: &Path) -> Result<Option<(u64, u64)>, SourceError> {
    match fs_err::metadata(path) {
        Ok(facts) => Ok(facts.is_dir().then(|| (facts.dev(), facts.ino()))),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(SourceError::unreadable(path, &error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}
