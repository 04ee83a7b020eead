//! What may be wrong with a graph or with what is asked of it: always a mistake of the user's.

use crate::exit_code::ExitCode;

/// An error in a graph file or a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DagError {
    /// The file is not the YAML that it should be.
    #[error("`{file}`: {message}")]
    Syntax { file: String, message: String, hint: Option<String> },
    /// A name in the file means nothing.
    #[error("`{file}` line {line}: unknown {what} `{name}` in {place}")]
    Unknown {
        file: String,
        line: usize,
        what: &'static str,
        name: String,
        place: String,
        hint: String,
    },
    /// A name in the file is there twice.
    #[error("`{file}` line {line}: {what} `{name}` is there twice")]
    Duplicate { file: String, line: usize, what: &'static str, name: String },
    /// There is nothing to run.
    #[error("`{file}` line {line}: there is no stage in `stages`")]
    Empty { file: String, line: usize },
    /// A stage that cannot run as it stands there.
    #[error("`{file}` line {line}: the stage `{stage}` {fault}")]
    Form { file: String, line: usize, stage: String, fault: String, hint: String },
    /// Settings that are good each for itself, but not together.
    #[error("`{file}` line {line}: {key}: {fault}")]
    Settings { file: String, line: usize, key: String, fault: String },
    /// Stages that wait for each other.
    #[error("`{file}` line {line}: stages need each other in a circle: {cycle}")]
    Cycle { file: String, line: usize, cycle: String },
    /// A selector names no stage and no task.
    #[error("`{selector}` selects nothing: there is no stage or task `{name}`")]
    Selector { selector: String, name: String, hint: String },
}

impl DagError {
    /// How a command ends for this.
    pub const fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    /// What to do next, where that is clear.
    pub fn hint(&self) -> Option<&str> {
        match self {
            DagError::Unknown { hint, .. }
            | DagError::Form { hint, .. }
            | DagError::Selector { hint, .. } => Some(hint),
            DagError::Syntax { hint, .. } => hint.as_deref(),
            DagError::Duplicate { .. }
            | DagError::Empty { .. }
            | DagError::Settings { .. }
            | DagError::Cycle { .. } => None,
        }
    }
}

/// What somebody meant by a key that the reader of YAML does not know; it names all that it knows.
pub(super) fn suggest_field(message: &str) -> Option<String> {
    let (_, names) = message.split_once("unknown field `")?;
    let mut names = names.split('`').step_by(2);
    let name = names.next()?;
    Some(suggest(name, names.take_while(|name| !name.contains(char::is_whitespace))))
}

/// `did you mean …?` if something is close, and all that there is.
pub(super) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let list = known.join("`, `");
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 3))
        .min();
    match near {
        Some((_, near)) => format!("did you mean `{near}`? known: `{list}`"),
        None if known.is_empty() => "none is known here".to_owned(),
        None => format!("known: `{list}`"),
    }
}
