//! Frame contracts: what the columns of a whole table must look like, whoever made it.
//!
//! A [`Contract`] lists columns with their type, nullability and checks; [`Inspection`] holds
//! it against one frame after the other of a table and collects every failure with its count
//! and a few examples. Where plain values surely keep it ([`Contract::keeps`]), no frame need be
//! made. It reads no file and does not know which stage asks.

mod check;
mod glance;
mod inspection;
mod tables;

pub use check::Check;
pub use glance::Values;
pub use inspection::{Failure, Inspection};
pub use tables::{Bounds, Measure, gold, raw_canonical, silver};

use polars::prelude::DataType;

/// What one column must be.
#[derive(Debug, Clone)]
pub struct ColumnRule {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub dtype: DataType,
    /// Whether it may hold nulls.
    pub nullable: bool,
    /// Whether its values may be shown to people; those of persons may not.
    pub shown: bool,
    /// What each value must fulfil.
    pub checks: Vec<Check>,
}

/// What a table must be.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Its name in messages.
    pub name: &'static str,
    /// Whether the columns must be exactly these in this order; else others may stand between.
    pub strict: bool,
    /// The columns.
    pub columns: Vec<ColumnRule>,
    /// No two neighbouring rows may be equal in all of these columns: in user order, equal rows
    /// are neighbours.
    pub unique: Option<Vec<&'static str>>,
    /// Rows with `true` in this column are exempt from `unique`.
    pub unique_except: Option<&'static str>,
}
