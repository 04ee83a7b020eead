//! The scheduler with fake stages in a temporary folder.
//!
//! `fake` the stages and the project, `order` who runs when, `freshness` what is noticed and why,
//! `trouble` failures, locks and stops, `again` retries, time limits and failures that are remembered,
//! `model` random histories against a clean run, `schedule` random graphs with random trouble.

mod again;
mod fake;
mod freshness;
mod model;
mod order;
mod schedule;
mod trouble;
