//! The graph of tasks: read from YAML, resolved, selected from.
//!
//! `dags/carousel.yaml` declares stages; a stage with `each: sources` is one task for each source. Task ids
//! outside, petgraph inside. Knows names and order; not what a stage does or whether it is up to date.

mod airflow;
mod cron;
mod error;
mod form;
mod graph;
mod selector;
mod spec;
mod task_id;
mod tries;

pub use airflow::{AirflowSettings, Timetable};
pub use error::DagError;
pub use form::StageForm;
pub use graph::Graph;
pub use selector::select;
pub use spec::Spec;
pub use task_id::TaskId;
pub use tries::{LONGEST_DELAY, LONGEST_TIMEOUT, Tries, time_of, time_text};
