//! `--airflow`: how a command ends that is a task of Airflow, and where it leaves word of it.
//!
//! Logs come first. Then the reason of a failure, in a file for Kubernetes and as the last line on
//! stderr; then the document, in a file for Airflow's sidecar and as the last line of all output.
//! Does not know what a run computes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::airflow_document::{Document, cut, short};
use super::output;
use crate::error::Error;
use crate::exit_code::ExitCode;

/// Set by Airflow for every task.
const DAG_ID: &str = "AIRFLOW_CTX_DAG_ID";
/// What Airflow says about a task, by the name that it has in logs and manifests.
const IDS: [(&str, &str); 4] = [
    ("dag_id", DAG_ID),
    ("task_id", "AIRFLOW_CTX_TASK_ID"),
    ("run_id", "AIRFLOW_CTX_DAG_RUN_ID"),
    ("try_number", "AIRFLOW_CTX_TRY_NUMBER"),
];
/// The sidecar of the pod operator reads `return.json` here.
const XCOM: &str = "airflow/xcom";
/// Kubernetes shows what stands here as the reason of a container's end.
const TERMINATION_LOG: &str = "dev/termination-log";

/// The greatest length of a line that tells of an error.
const LINE_CHARS: usize = 1_000;

/// The contract between a task of Airflow and this process.
#[derive(Debug, Clone)]
pub(super) struct AirflowMode {
    /// Dag, task, run and try, as far as Airflow says.
    pub ids: BTreeMap<String, String>,
    /// What the task is called if it is not one task of the graph.
    name: String,
    /// Whether it is a run, whose document is the result on stdout.
    has_document: bool,
    root: PathBuf,
    began: Instant,
}

impl AirflowMode {
    /// The mode, if it was asked for or Airflow started this process. A `document` is what runs
    /// end with; other commands have a result of their own on stdout.
    pub fn of(
        asked: Option<bool>,
        environment: &BTreeMap<String, String>,
        root: PathBuf,
        name: &str,
        has_document: bool,
    ) -> Option<AirflowMode> {
        let ids = ids(environment);
        asked.unwrap_or_else(|| ids.contains_key("dag_id")).then(|| {
            tell_panics_by_level();
            AirflowMode { ids, name: name.to_owned(), has_document, root, began: Instant::now() }
        })
    }

    /// What the task is called if it is not one task of the graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends a run: files, reason, document. Where stdout has another document, the file has it
    /// alone.
    pub fn end(&self, document: &Document, to_stdout: bool) -> Result<(), Error> {
        if let Some(reason) = &document.reason {
            self.tell_reason(reason, document.exit_code);
        }
        let line = document.line() + "\n";
        self.leave_document(&line);
        if let Some(reason) = &document.reason {
            say(&format!("{reason} mp-exit={}", document.exit_code));
        }
        if to_stdout { output::text(&line) } else { Ok(()) }
    }

    /// Ends a command that failed with an error: all of its lines, then as after a run.
    pub fn end_with_error(&self, error: &Error, to_stdout: bool) {
        say(&error.to_string());
        if let Some(hint) = error.hint() {
            say(&format!("hint: {hint}"));
        }
        self.end_early(error.exit_code(), &error.to_string(), to_stdout);
    }

    /// The same for an error that has been told.
    pub fn end_early(&self, exit: ExitCode, reason: &str, to_stdout: bool) {
        let seconds = self.began.elapsed().as_millis() as f64 / 1000.0;
        let document = Document::of_error(&self.name, exit, reason, seconds);
        if self.has_document {
            // Nobody is left to be told.
            let _ = self.end(&document, to_stdout);
        } else {
            self.tell_reason(&short(reason), exit.code());
            say(&format!("{} mp-exit={}", short(reason), exit.code()));
        }
    }

    fn tell_reason(&self, reason: &str, exit_code: u8) {
        let path = self.root.join(TERMINATION_LOG);
        let Ok(facts) = fs_err::metadata(&path) else { return };
        // Never a pipe, which could have no reader.
        if facts.is_file() || facts.file_type().is_char_device() {
            let text = format!("{reason} mp-exit={exit_code}");
            warn(&path, overwrite(&path, text.as_bytes()));
        }
    }

    fn leave_document(&self, line: &str) {
        let folder = self.root.join(XCOM);
        if folder.is_dir() {
            let path = folder.join("return.json");
            warn(&path, replace(&path, line.as_bytes()));
        }
    }
}

fn ids(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let id = |(name, variable): (&str, &str)| {
        let value = environment.get(variable).filter(|value| !value.is_empty())?;
        Some((name.to_owned(), value.clone()))
    };
    IDS.into_iter().filter_map(id).collect()
}

/// The variables that Airflow sets for every task and that this process does not have.
pub(super) fn missing(ids: &BTreeMap<String, String>) -> Vec<&'static str> {
    let missing = IDS.into_iter().filter(|(name, _)| !ids.contains_key(*name));
    missing.map(|(_, variable)| variable).collect()
}

/// Lines on stderr that begin with their level. Somebody may have typed much: a line has an end.
pub(super) fn say(text: &str) {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let line = |line: &str| format!("ERROR {}\n", cut(line, LINE_CHARS));
    let lines: String = lines.map(line).collect();
    // Nobody is left to be told.
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

/// Word that could not be left is no failure of the task.
fn warn(path: &Path, written: io::Result<()>) {
    if let Err(error) = written {
        let line = format!("WARN cannot write `{}`: {error}\n", path.display());
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Kubernetes has mounted the file: another one cannot take its name.
fn overwrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = fs_err::OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text)
}

/// A reader sees nothing or all of it. Any user may read it: the sidecar is another one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_file_name(format!(".return.json.{}", std::process::id()));
    let mut file = fs_err::OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
    file.write_all(text)?;
    // Whatever the umask says.
    file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.sync_all()?;
    fs_err::rename(&new, path)
}

/// A panic says its words on stderr before anybody can catch it.
fn tell_panics_by_level() {
    std::panic::set_hook(Box::new(|panic| say(&panic.to_string())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn ids_are_those_that_airflow_says() {
        let found = ids(&environment(&[
            ("AIRFLOW_CTX_DAG_ID", "carousel"),
            ("AIRFLOW_CTX_TRY_NUMBER", "2"),
            ("AIRFLOW_CTX_TASK_ID", ""),
            ("AIRFLOW_HOME", "/x"),
        ]));
        assert_eq!(found, environment(&[("dag_id", "carousel"), ("try_number", "2")]));
        assert_eq!(missing(&found), ["AIRFLOW_CTX_TASK_ID", "AIRFLOW_CTX_DAG_RUN_ID"]);
    }

    #[test]
    fn a_document_takes_the_place_of_the_last_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("return.json");
        replace(&path, b"first, and long").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"second");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
        // The umask of this process applies to an open file alone: its mode is set.
        let strict = std::fs::Permissions::from_mode(0o600);
        fs_err::write(path.with_file_name(format!(".return.json.{}", std::process::id())), "")
            .unwrap();
        let new = path.with_file_name(format!(".return.json.{}", std::process::id()));
        fs_err::set_permissions(&new, strict).unwrap();
        replace(&path, b"second").unwrap();
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "the sidecar is another user");
        overwrite(&path, b"x").unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"x");
        assert!(overwrite(&folder.path().join("missing"), b"x").is_err());
    }
}
