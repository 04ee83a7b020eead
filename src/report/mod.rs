//! The quality report: its numbers, its score, its rules, its verdict, as JSON.
//!
//! A pure value: what was counted comes in as [`Measured`], the limits as settings. Does not
//! count anything itself and does not know where the report is kept.

mod model;
mod rules;
mod score;

pub use model::{Extent, Measured, QualityReport};
