//! Where a task of the DAG runs.
//!
//! Does not know the graph.

use std::fmt;

/// What a task is, with [`Operator::Bash`].
pub(super) const BASH: &str = include_str!("templates/bash.py");
/// What a task is, with [`Operator::Kubernetes`].
pub(super) const KUBERNETES: &str = include_str!("templates/kubernetes.py");

/// Airflow's operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// On a worker that has the program.
    Bash,
    /// In a pod of its own.
    Kubernetes,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operator::Bash => "bash",
            Operator::Kubernetes => "kubernetes",
        })
    }
}
