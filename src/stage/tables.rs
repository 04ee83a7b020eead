//! Writing a table: each frame held against its contract, then into a staged Parquet file.

use polars::prelude::DataFrame;

use super::outcome::hold_contract;
use crate::contract::{Contract, Inspection};
use crate::frame::TableWriter;
use crate::store::Staged;
use crate::task::TaskError;

/// A table on its way into a file.
pub(super) struct Table<'s> {
    name: &'static str,
    inspection: Option<Inspection>,
    writer: TableWriter<&'s mut Staged>,
}

/// Rows and columns of a written table.
pub(super) struct Written {
    pub rows: u64,
    pub schema: Vec<(String, String)>,
}

impl<'s> Table<'s> {
    /// Begins a table with the columns of `empty`; the contract is checked unless `None`.
    pub fn new(
        staged: &'s mut Staged,
        empty: &DataFrame,
        name: &'static str,
        contract: Option<Contract>,
    ) -> Result<Table<'s>, TaskError> {
        let mut inspection = contract.map(Inspection::new);
        if let Some(inspection) = &mut inspection {
            inspection.add(empty)?;
        }
        Ok(Table { name, inspection, writer: TableWriter::new(staged, empty)? })
    }

    /// Writes the next row group.
    pub fn write(&mut self, frame: &DataFrame) -> Result<(), TaskError> {
        if let Some(inspection) = &mut self.inspection {
            inspection.add(frame)?;
        }
        Ok(self.writer.write(frame)?)
    }

    /// Writes the footer; an error if the contract is broken anywhere.
    pub fn finish(self) -> Result<Written, TaskError> {
        if let Some(inspection) = self.inspection {
            hold_contract(self.name, &inspection.finish())?;
        }
        let (rows, schema) = self.writer.finish()?;
        Ok(Written { rows, schema })
    }
}
