//! The scheduler with fake stages in a temporary folder.
//!
//! `fake` the stages and the project, `order` who runs when, `freshness` what is noticed and why,
//! `trouble` failures, locks and stops, `model` random histories against a clean run.

mod fake;
mod freshness;
mod model;
mod order;
mod trouble;
