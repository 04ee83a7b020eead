//! What one task computes: the four stages, each from what lies in the store to staged files.
//!
//! [`Stages`] is the [`Runner`](crate::task::Runner) that the scheduler calls. A stage sees its
//! own settings and nothing else of the configuration; when it runs, what becomes visible and
//! what is up to date is not its business.

mod collect;
mod extract;
mod features;
mod file_result;
mod files;
mod gold_rows;
mod gold_tally;
mod ingest;
mod memory;
mod outcome;
mod parse;
mod preprocess;
mod profile;
mod quality;
mod rejects;
mod runner;
mod small;
mod stoppable;
mod sweep;
#[cfg(test)]
mod sweep_tests;
mod tables;
mod tally;
mod window;

pub use runner::Stages;
