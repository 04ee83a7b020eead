//! `mp` turns raw event logs of a fintech carousel into a dataset that can be trusted.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the command line: one thin file for each subcommand |
//! | [`config`] | layers of settings, checked, each with its origin |
//! | [`scheduler`] | what is not up to date and why; runs it in order, side by side |
//! | [`stage`] | what one task computes: extract, preprocess, features, quality |
//! | [`history`] | what the records of runs tell: which one is meant, what differs, what to retry |
//! | [`report`] | the quality report: score, rules, verdict |
//! | [`observe`] | log and progress; without it mp works silently |
//! | [`synth`] | a generator of raw files |
//! | [`airflow`] | the graph as a DAG file for Airflow |
//! | [`source`] | raw files to lines |
//! | [`record`] | one row and the rules it must keep |
//! | [`rows`] | rows in user order, on disk and merged |
//! | [`contract`] | one frame and the contract it must keep |
//! | [`frame`] | columns of Silver and Gold, Parquet in and out |
//! | [`dag`] | the graph of tasks |
//! | [`store`] | the only one that names paths under data/ and makes files visible there |
//! | [`task`], [`progress`] | what scheduler and stages say to each other |
//! | [`timings`] | where the time of a task goes |
//! | [`settings`] | the typed settings that each stage may read |
//! | [`machine`] | limits of the container, memory, room and locks of this machine |
//! | [`allocator`] | how soon freed memory is given back |
//! | [`fault`] | where a test may cut the program off |
//! | [`as_of`], [`exit_code`], [`error`] | the logical time, the exit codes, the top error |
//!
//! Files that mp reads or writes: `config/params.yaml` and `--config` files, `dags/carousel.yaml`,
//! raw files, the log, and what [`store`] lists.

#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "tests make and damage files as they like")
)]

mod airflow;
mod allocator;
mod as_of;
mod cli;
mod config;
mod contract;
mod dag;
mod error;
mod exit_code;
mod fault;
mod frame;
mod history;
mod machine;
mod observe;
mod progress;
mod record;
mod report;
mod rows;
mod scheduler;
mod settings;
mod source;
mod stage;
mod store;
mod synth;
mod task;
mod timings;

pub use exit_code::ExitCode;

/// Runs the command line of this process and says how it ended.
pub fn main() -> ExitCode {
    cli::main()
}
