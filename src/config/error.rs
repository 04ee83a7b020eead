//! What is wrong with a configuration: every problem of a load, together.
//!
//! Does not know how a problem is found.

use std::fmt;

use super::origin::Origin;
use crate::exit_code::ExitCode;

/// One thing to correct.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The configuration file, where it is one.
    pub file: Option<String>,
    /// The line of the key in that file, from 1.
    pub line: Option<usize>,
    /// The key, where the problem is one of a key.
    pub key: Option<String>,
    /// The whole message, place and key included.
    pub message: String,
}

impl Problem {
    /// A problem that belongs to no key and no place.
    pub(super) fn general(message: String) -> Problem {
        Problem { file: None, line: None, key: None, message }
    }

    /// A problem with what was written at a place; `text` is what follows the place.
    pub(super) fn at(origin: &Origin, key: Option<&str>, text: impl fmt::Display) -> Problem {
        let (file, line) = match origin {
            Origin::File { file, line } => (Some(file.clone()), Some(*line)),
            _ => (None, None),
        };
        let message = format!("{}: {text}", origin.place());
        Problem { file, line, key: key.map(str::to_owned), message }
    }
}

/// The configuration is not valid: exit 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// `None` where there is no problem.
    pub fn of(problems: Vec<Problem>) -> Option<ConfigError> {
        (!problems.is_empty()).then_some(ConfigError { problems })
    }

    /// Everything that is to be corrected, in the order of the layers.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Always wrong usage or configuration.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> ConfigError {
        ConfigError { problems: vec![problem] }
    }
}

/// The problem itself, or a list where there are several.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => f.write_str(&only.message),
            several => {
                write!(f, "{} problems in the configuration", several.len())?;
                several.iter().try_for_each(|problem| write!(f, "\n  - {}", problem.message))
            }
        }
    }
}
