//! What a task tells Airflow of itself: one small JSON document, the task's XCom.
//!
//! Made of the summary of a run, or of an error that kept a run from beginning. Does not know where
//! it goes.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::project::Project;
use crate::exit_code::ExitCode;
use crate::scheduler::{RunSummary, TaskResult, TaskState};

/// The greatest length of the line: XComs are kept in a database.
const LIMIT_BYTES: usize = 1_900;
/// A reason is one short line.
const REASON_CHARS: usize = 300;
/// The names of tasks are shorter; what stands in their place may be what somebody typed.
const TASK_CHARS: usize = 100;

/// What came of a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Document {
    schema: &'static str,
    /// The task of the graph, or the command where it ran several.
    task: String,
    verdict: &'static str,
    pub exit_code: u8,
    retryable: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of its result; of several tasks, those of the last stage.
    rows: Option<u64>,
    /// Rejected rows of the raw files that it has read.
    rejects: Option<u64>,
    seconds: f64,
    as_of: Option<String>,
    run_id: Option<String>,
    tasks: BTreeMap<String, &'static str>,
    /// Published files, by path, with their SHA-256.
    #[serde(serialize_with = "as_map")]
    artifacts: Vec<(String, String)>,
    /// How many entries had no room.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
}

fn as_map<S: Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(path, sha256)| (path, sha256)))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Document {
    /// Of a command that failed before it ran anything.
    pub fn of_error(task: &str, exit: ExitCode, reason: &str, seconds: f64) -> Document {
        Document {
            schema: "mp/airflow/1",
            task: cut(task, TASK_CHARS),
            verdict: "failed",
            exit_code: exit.code(),
            retryable: exit.is_retryable(),
            reason: Some(short(reason)),
            rows: None,
            rejects: None,
            seconds,
            as_of: None,
            run_id: None,
            tasks: BTreeMap::new(),
            artifacts: Vec::new(),
            left_out: 0,
        }
    }

    /// Of a run that is over. `name` is what it is called if it had several tasks.
    pub fn of_run(name: &str, project: &Project, summary: &RunSummary, exit: ExitCode) -> Document {
        let reason = (!is_fine(exit)).then(|| reason(summary, exit));
        let tasks = &summary.tasks;
        let task = match tasks.as_slice() {
            [one] => one.task.as_str(),
            _ => name,
        };
        let layout = project.store.layout();
        let published = tasks.iter().flat_map(|task| &task.outputs).filter(|file| file.published);
        let artifact = |file: &crate::store::Output| {
            let path = project.short(&layout.path(&file.place)).to_string();
            (path, file.sha256.to_string())
        };
        Document {
            verdict: verdict(summary, exit),
            rows: rows(tasks),
            rejects: sum(tasks.iter().filter(|task| task.task.stage() == "extract"), REJECTS),
            as_of: Some(project.config().as_of().to_string()),
            run_id: Some(summary.run_id.clone()),
            tasks: tasks.iter().map(|task| (task.task.to_string(), word(task))).collect(),
            artifacts: published.map(artifact).collect(),
            reason: reason.as_deref().map(short),
            ..Document::of_error(task, exit, "", summary.seconds)
        }
    }

    /// The document in one line without its end. What there is no room for is left out: artifacts
    /// from the first stage on, then the tasks.
    pub fn line(&self) -> String {
        let mut document = self.clone();
        loop {
            let line = serde_json::to_string(&document).unwrap_or_default();
            if line.len() <= LIMIT_BYTES {
                return line;
            }
            if !document.artifacts.is_empty() {
                document.artifacts.remove(0);
                document.left_out += 1;
            } else if !document.tasks.is_empty() {
                document.left_out += document.tasks.len();
                document.tasks.clear();
            } else {
                // Characters that JSON writes as six.
                document.reason = document.reason.map(|text| text.chars().take(80).collect());
                return serde_json::to_string(&document).unwrap_or_default();
            }
        }
    }
}

/// No failure: nobody need be told why.
fn is_fine(exit: ExitCode) -> bool {
    matches!(exit, ExitCode::Success | ExitCode::NothingToDo)
}

fn verdict(summary: &RunSummary, exit: ExitCode) -> &'static str {
    match exit {
        ExitCode::Interrupted | ExitCode::Terminated => "stopped",
        _ if !is_fine(exit) => "failed",
        _ if summary.is_up_to_date() => "up_to_date",
        _ => "done",
    }
}

fn word(task: &TaskResult) -> &'static str {
    match task.state {
        TaskState::UpToDate => "up_to_date",
        TaskState::Done => "done",
        TaskState::Failed => "failed",
        TaskState::Blocked => "blocked",
        TaskState::NotBegun => "not_begun",
        TaskState::Cancelled => "stopped",
    }
}

/// The failure that decided how the run ended, and how many others there were.
fn reason(summary: &RunSummary, exit: ExitCode) -> String {
    match exit {
        ExitCode::Terminated => return "stopped by SIGTERM".to_owned(),
        ExitCode::Interrupted => return "stopped by SIGINT".to_owned(),
        _ => {}
    }
    let failed = || summary.tasks.iter().filter_map(|task| Some((task, task.error.as_ref()?)));
    let first = failed().find(|(_, failure)| failure.exit == exit);
    let Some((task, failure)) = first.or_else(|| failed().next()) else {
        return "failed".to_owned();
    };
    let line = failure.message.lines().next().unwrap_or_default();
    match failed().count() {
        1 => format!("{}: {line}", task.task),
        more => format!("{}: {line} (and {} more failed)", task.task, more - 1),
    }
}

const REJECTS: &[&str] = &["rows_rejected"];

/// The rows of the last stage that ran.
fn rows(tasks: &[TaskResult]) -> Option<u64> {
    let stage = tasks.last()?.task.stage();
    let keys: &[&str] = match stage {
        "extract" => &["rows_valid"],
        "preprocess" => &["rows_silver"],
        _ => &["rows_gold"],
    };
    sum(tasks.iter().filter(|task| task.task.stage() == stage), keys)
}

fn sum<'a>(tasks: impl Iterator<Item = &'a TaskResult>, keys: &[&str]) -> Option<u64> {
    let found = tasks.filter_map(|task| keys.iter().find_map(|key| task.counts.get(*key)));
    let found: Vec<u64> = found.filter_map(Value::as_u64).collect();
    (!found.is_empty()).then(|| found.iter().sum())
}

/// One line without control characters, not too long.
pub(super) fn short(text: &str) -> String {
    cut(text, REASON_CHARS)
}

/// The same, with another length.
pub(super) fn cut(text: &str, chars: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = line.chars().take(chars).map(plain).collect();
    if line.chars().nth(chars).is_some() {
        short.push('…');
    }
    short.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_small_whatever_is_in_it() {
        let reason = "\u{1}\"🚀".repeat(900);
        let name = "🚀\"".repeat(900);
        let line = Document::of_error(&name, ExitCode::Usage, &reason, 1.5).line();
        assert!(line.len() < 2_000, "{line}");
        let mut document = Document::of_error("run", ExitCode::Failure, &"\u{1}é".repeat(900), 1.5);
        for n in 0..40 {
            let path = format!("/srv/{}/{n}.parquet", "folder".repeat(20));
            document.artifacts.push((path, "0".repeat(64)));
            document.tasks.insert(format!("extract.{n}"), "done");
        }
        let line = document.line();
        assert!(line.len() < 2_000 && !line.contains('\n'), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert!(value["left_out"].as_u64() > Some(20));
        assert_eq!(value["exit_code"], 1);
        assert_eq!(value["retryable"], true);
        let gold = document.artifacts.last().unwrap();
        assert_eq!(value["artifacts"][&gold.0], gold.1, "the last stage stays longest");
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(short("a\tb\nc"), "a b");
        assert_eq!(short(""), "");
        assert_eq!(short(&"x".repeat(400)).chars().count(), REASON_CHARS + 1);
        let document = Document::of_error("run", ExitCode::Usage, "no\nmore", 0.0);
        let line = r#"{"schema":"mp/airflow/1","task":"run","verdict":"failed","exit_code":2,"#;
        assert!(document.line().starts_with(line), "{}", document.line());
        assert!(document.line().contains(r#""reason":"no","rows":null"#));
    }
}
