//! The name of a task: a stage, or a stage and a source.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `extract.prints`, `features`; checked on the way in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TaskId(String);

/// The text names no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a task, such as `features` or `extract.prints`")]
pub struct TaskIdError(String);

impl TaskId {
    /// The task of a stage, for one source or for all.
    pub fn new(stage: &str, source: Option<&str>) -> Result<TaskId, TaskIdError> {
        match source {
            Some(source) => format!("{stage}.{source}").parse(),
            None => stage.parse(),
        }
    }

    /// The stage that it is a task of.
    pub fn stage(&self) -> &str {
        self.0.split_once('.').map_or(self.0.as_str(), |(stage, _)| stage)
    }

    /// The source, where the stage has one task for each.
    pub fn source(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, source)| source)
    }

    /// Stage and source.
    pub fn key(&self) -> (&str, Option<&str>) {
        (self.stage(), self.source())
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A lower-case letter, then lower-case letters, digits and underscores.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

impl FromStr for TaskId {
    type Err = TaskIdError;

    fn from_str(text: &str) -> Result<TaskId, TaskIdError> {
        let (stage, source) = match text.split_once('.') {
            Some((stage, source)) => (stage, Some(source)),
            None => (text, None),
        };
        if is_name(stage) && source.is_none_or(is_name) {
            Ok(TaskId(text.to_owned()))
        } else {
            Err(TaskIdError(text.chars().take(100).collect()))
        }
    }
}

impl TryFrom<String> for TaskId {
    type Error = TaskIdError;

    fn try_from(text: String) -> Result<TaskId, TaskIdError> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(task: TaskId) -> String {
        task.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_a_stage_or_a_stage_and_a_source() {
        let task: TaskId = "extract.prints".parse().unwrap();
        assert_eq!((task.stage(), task.source()), ("extract", Some("prints")));
        assert_eq!(TaskId::new("extract", Some("prints")), Ok(task));
        let task = TaskId::new("features", None).unwrap();
        assert_eq!((task.stage(), task.source()), ("features", None));
    }

    #[test]
    fn nothing_else_is_read_as_a_task() {
        for text in ["", ".", "a.", ".a", "A", "a.b.c", "../x", "a/b", "1a"] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
            assert!(serde_json::from_value::<TaskId>(text.into()).is_err(), "{text}");
        }
    }
}
