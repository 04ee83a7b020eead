//! The top error: whatever ends a command before or beside its tasks, with exit code and hint.
//!
//! Wraps the modules' own errors. How a task failed is the scheduler's to report.

use crate::config::ConfigError;
use crate::dag::DagError;
use crate::exit_code::ExitCode;
use crate::history::FindError;
use crate::store::StoreError;
use crate::synth::SynthError;
use crate::task::Failure;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The graph or a selector is wrong.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No run is meant, or more than one.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Raw files could not be generated.
    #[error(transparent)]
    Synth(#[from] SynthError),
    /// Anything that comes with its own words.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The result could not be printed.
    #[error("cannot write to stdout: {0}")]
    Stdout(String),
    /// Whoever read the result went away.
    #[error("nobody reads the result any more")]
    Closed,
}

impl Error {
    /// An error in words of its own.
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Error {
        Error::Failure(Failure::new(exit, message))
    }

    /// The same with what to do next.
    pub fn with_hint(exit: ExitCode, message: impl Into<String>, hint: impl Into<String>) -> Error {
        let mut failure = Failure::new(exit, message);
        failure.hint = Some(hint.into());
        Error::Failure(failure)
    }

    /// How the command ends.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Config(error) => error.exit_code(),
            Error::Dag(error) => error.exit_code(),
            Error::Store(error) => error.exit_code(),
            Error::Find(error) => error.exit_code(),
            Error::Synth(error) => error.exit_code(),
            Error::Failure(failure) => failure.exit,
            Error::Stdout(_) | Error::Closed => ExitCode::Failure,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Dag(error) => error.hint().map(str::to_owned),
            Error::Store(error) => error.hint(),
            Error::Find(error) => error.hint(),
            Error::Failure(failure) => failure.hint.clone(),
            Error::Config(_) | Error::Synth(_) | Error::Stdout(_) | Error::Closed => None,
        }
    }
}
