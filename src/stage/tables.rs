//! Writing a table: each row group held against the contract and encoded, then into a staged
//! Parquet file.
//!
//! The first half needs no order and is for as many threads as there are; the second is for one.

use super::outcome::hold_contract;
use crate::contract::{Contract, Inspection};
use crate::frame::{EncodedGroup, Group, GroupEncoder, TableWriter};
use crate::store::Staged;
use crate::task::TaskError;

/// What a table must be, and how its row groups are encoded.
pub(super) struct TableSpec {
    name: &'static str,
    contract: Option<Contract>,
    encoder: GroupEncoder,
    empty: Group,
}

/// A row group that was looked at and encoded.
pub(super) struct FinishedGroup {
    inspection: Option<Inspection>,
    encoded: EncodedGroup,
}

impl TableSpec {
    /// For tables with the columns of `empty`; the contract is checked unless `None`.
    pub fn new(
        name: &'static str,
        empty: Group,
        contract: Option<Contract>,
    ) -> Result<TableSpec, TaskError> {
        let encoder = GroupEncoder::new(&empty)?;
        Ok(TableSpec { name, contract, encoder, empty })
    }

    /// Holds the contract against a row group and encodes it.
    pub fn encode(&self, group: &Group) -> Result<FinishedGroup, TaskError> {
        let contract = self.contract.as_ref();
        let inspection = contract.map(|contract| group.inspect(contract)).transpose()?;
        Ok(FinishedGroup { inspection, encoded: self.encoder.encode(group)? })
    }
}

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
    /// Begins a table.
    pub fn new(staged: &'s mut Staged, spec: &TableSpec) -> Result<Table<'s>, TaskError> {
        let mut inspection = spec.contract.clone().map(Inspection::new);
        if let Some(inspection) = &mut inspection {
            // A table without rows has columns all the same.
            inspection.add(&spec.empty.frame(0, 0)?)?;
        }
        let writer = TableWriter::new(staged, &spec.encoder);
        Ok(Table { name: spec.name, inspection, writer })
    }

    /// Writes the next row group.
    pub fn append(&mut self, group: FinishedGroup) -> Result<(), TaskError> {
        if let (Some(inspection), Some(later)) = (&mut self.inspection, group.inspection) {
            inspection.followed_by(later)?;
        }
        Ok(self.writer.write(&group.encoded)?)
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
