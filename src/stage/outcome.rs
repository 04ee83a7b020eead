//! Errors of the layers below in the words of a task, and small steps that every stage takes.

use polars::prelude::PolarsError;

use crate::contract::Failure as ContractFailure;
use crate::exit_code::ExitCode;
use crate::rows::RowsError;
use crate::source::SourceError;
use crate::store::{Column, Content, NewOutput, Place, StagedObject};
use crate::task::TaskError;

impl From<RowsError> for TaskError {
    fn from(error: RowsError) -> TaskError {
        match error {
            RowsError::Io(error) => error.into(),
            damaged @ RowsError::Damaged { .. } => {
                TaskError::new(ExitCode::Failure, damaged.to_string())
                    .hint("run it again with `--force` to compute it anew")
            }
        }
    }
}

impl From<PolarsError> for TaskError {
    fn from(error: PolarsError) -> TaskError {
        match error {
            PolarsError::IO { error, .. } => {
                std::io::Error::new(error.kind(), error.to_string()).into()
            }
            other => TaskError::new(ExitCode::Failure, other.to_string()),
        }
    }
}

impl From<SourceError> for TaskError {
    fn from(error: SourceError) -> TaskError {
        let mut task_error = TaskError::new(error.exit_code(), error.to_string());
        task_error.failure.hint = error.hint().map(str::to_owned);
        task_error
    }
}

/// An error when a table breaks its contract: all failures in one message, exit 4.
pub(super) fn hold_contract(name: &str, failures: &[ContractFailure]) -> Result<(), TaskError> {
    if failures.is_empty() {
        return Ok(());
    }
    let mut message = format!("the {name} contract is broken in {} ways", failures.len());
    for failure in failures {
        message.push_str("\n  ");
        message.push_str(&failure.to_string());
    }
    Err(TaskError::new(ExitCode::Contract, message)
        .hint("`processing.validate_schema: false` turns the frame contracts off"))
}

/// A new file of a task.
pub(super) fn output(
    object: StagedObject,
    publish: Option<Place>,
    rows: Option<u64>,
    schema: Option<Vec<(String, String)>>,
) -> NewOutput {
    let mode = object.mode();
    let column = |(name, dtype)| Column { name, dtype };
    let schema = schema.map(|columns| columns.into_iter().map(column).collect());
    NewOutput { content: Content::New(object), publish, mode, rows, schema }
}
