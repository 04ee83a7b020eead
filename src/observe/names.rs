//! The names of log files: the one that was asked for, one for each further process, backups.
//!
//! `pipeline.log` belongs to the first process, `pipeline.<pid>.log` to any other that runs at the
//! same time; the backups of either end in `.1` (the newest) and so on. Only looks at names.

use std::path::{Path, PathBuf};

/// How many names a process tries; containers that share a folder may share process ids.
const MOST_NAMES: u32 = 9;

/// The names for one configured log file.
#[derive(Debug, Clone)]
pub(super) struct Names {
    folder: PathBuf,
    stem: String,
    /// With its dot, or empty.
    extension: String,
}

impl Names {
    /// For the log file at `path`.
    pub fn of(path: &Path) -> Names {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let extension = match path.extension() {
            None => String::new(),
            some => format!(".{}", text(some)),
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Names { folder, stem: text(path.file_stem()), extension }
    }

    /// The folder of all of them.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names that a process may write under, best first.
    pub fn candidates(&self, pid: u32) -> impl Iterator<Item = PathBuf> + '_ {
        let own = move |middle: String| {
            self.folder.join(format!("{}{middle}{}", self.stem, self.extension))
        };
        (0..MOST_NAMES).map(move |number| match number {
            0 => own(String::new()),
            1 => own(format!(".{pid}")),
            _ => own(format!(".{pid}-{number}")),
        })
    }

    /// Whether this is the name of the log file, or of a backup, of a further process; gives the
    /// name of the log file itself.
    pub fn further_process(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(&self.stem)?.strip_prefix('.')?;
        let pid_bytes = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'-');
        let (pid, rest) = rest.split_at(pid_bytes.count());
        let backup = rest.strip_prefix(&self.extension)?;
        let number = backup.strip_prefix('.').unwrap_or(backup);
        let known = pid.starts_with(|first: char| first.is_ascii_digit())
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && number.is_empty() == backup.is_empty();
        // Without an extension `pipeline.1` is a backup of `pipeline`.
        (known && !self.extension.is_empty())
            .then(|| format!("{}.{pid}{}", self.stem, self.extension))
    }
}

/// The backup of a log file with this number.
pub(super) fn backup(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_process_puts_its_id_before_the_extension() {
        let names = Names::of(Path::new("logs/pipeline.log"));
        let first: Vec<PathBuf> = names.candidates(17).take(3).collect();
        assert_eq!(
            first,
            ["logs/pipeline.log", "logs/pipeline.17.log", "logs/pipeline.17-2.log"]
                .map(PathBuf::from)
        );
        let bare = Names::of(Path::new("pipeline"));
        assert_eq!(bare.candidates(17).nth(1), Some(PathBuf::from("pipeline.17")));
        assert_eq!(backup(&first[1], 3), PathBuf::from("logs/pipeline.17.log.3"));
    }

    #[test]
    fn files_of_further_processes_are_recognised_with_their_backups() {
        let names = Names::of(Path::new("logs/pipeline.log"));
        for (name, owner) in [
            ("pipeline.17.log", Some("pipeline.17.log")),
            ("pipeline.17.log.2", Some("pipeline.17.log")),
            ("pipeline.17-2.log", Some("pipeline.17-2.log")),
            ("pipeline.log", None),
            ("pipeline.log.1", None),
            ("pipeline.17.log.", None),
            ("pipeline.17.log.gz", None),
            ("pipeline.old.log", None),
            ("other.17.log", None),
            ("pipeline.17.json", None),
        ] {
            assert_eq!(names.further_process(name).as_deref(), owner, "{name}");
        }
        assert_eq!(Names::of(Path::new("pipeline")).further_process("pipeline.1"), None);
    }
}
