//! `mp doctor`: what this machine lacks for a run, each with its remedy.
//!
//! Collects checks and prints them; what is checked is in `doctor_checks.rs`. Changes nothing.

use serde::Serialize;
use serde_json::json;

use super::doctor_checks;
use super::global::Global;
use super::output;
use super::project::Project;
use crate::error::Error;
use crate::exit_code::ExitCode;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// A run may go on, but somebody should know.
    Warn,
    /// A run would fail.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub name: String,
    pub status: Status,
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(name: &str, found: impl Into<String>) -> Check {
        let (name, found) = (name.to_owned(), found.into());
        Check { name, status: Status::Ok, found, remedy: None }
    }

    /// Something to know.
    pub fn warn(name: &str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { status: Status::Warn, remedy: Some(remedy.into()), ..Check::ok(name, found) }
    }

    /// A run would fail.
    pub fn fail(name: &str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { status: Status::Fail, ..Check::warn(name, found, remedy) }
    }
}

/// Looks at everything that a run needs.
pub(super) fn doctor(global: &Global) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let checks = doctor_checks::all(global, &project);
    let failed = checks.iter().filter(|check| check.status == Status::Fail).count();
    let warned = checks.iter().filter(|check| check.status == Status::Warn).count();
    if global.json {
        let facts =
            json!({ "ok": failed == 0, "failed": failed, "warned": warned, "checks": checks });
        output::document("doctor", facts)?;
    } else {
        let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let text: String = checks.iter().map(|check| lines(check, width)).collect();
        let end = match (failed, warned) {
            (0, 0) => "nothing is wrong\n".to_owned(),
            (0, warned) => format!("a run can go on; {warned} to know of\n"),
            (failed, 0) => format!("{failed} would make a run fail\n"),
            (failed, warned) => format!("{failed} would make a run fail, {warned} to know of\n"),
        };
        output::text(&(text + &end))?;
    }
    Ok(if failed == 0 { ExitCode::Success } else { ExitCode::Failure })
}

fn lines(check: &Check, width: usize) -> String {
    let Check { name, status, found, remedy } = check;
    let status = match status {
        Status::Ok => "ok",
        Status::Warn => "warn",
        Status::Fail => "FAIL",
    };
    let mut text = format!("{status:4}  {name:width$}  {found}\n");
    if let Some(remedy) = remedy {
        text.push_str(&format!("{:4}  {:width$}  → {remedy}\n", "", ""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_stands_below_what_was_found() {
        assert_eq!(lines(&Check::ok("clock", "fine"), 6), "ok    clock   fine\n");
        let check = Check::fail("space", "none", "make some");
        assert_eq!(lines(&check, 5), "FAIL  space  none\n             → make some\n");
        assert_eq!(serde_json::to_value(&check).unwrap()["status"], "fail");
    }
}
