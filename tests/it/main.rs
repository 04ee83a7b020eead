//! The integration tests: one binary, black box, through the real program.
//!
//! Nothing here calls the library. Every test makes a [`project::Project`] in a folder of its own,
//! runs `mp` in it the way a person would, and looks at what came out. What must come out is
//! written down three times over, independently of the program: by hand in `tests/cases`, by the
//! naive model in [`naive`], and in each test.
//!
//! Tools the tests share:
//!
//! - [`project`]: a project folder, its settings, and running `mp` in it
//! - [`outcome`]: what one run of `mp` said and how it ended
//! - [`view`]: the artifacts, manifests and reports of one as-of day, and what always holds of them
//! - [`readers`]: Parquet and CSV files as rows of text that can be compared
//! - [`snapshot`]: every file below a folder with its content, to see what a run touched
//! - [`events`]: raw events as the tests write them, and a seeded month of them
//! - [`crash`]: mp with fault points, and states to compare
//! - [`crash_reader`]: a reader of another library that never stops reading
//! - [`naive`]: Silver and Gold straight from the words of the specification, slow and obvious

// The program may not touch files, clocks and variables just anywhere; a test of it must.
#![expect(clippy::disallowed_methods, reason = "a test makes and damages what it likes")]
#![expect(clippy::print_stdout, reason = "what a failed test has seen")]

mod crash;
mod crash_reader;
mod events;
mod naive;
mod outcome;
mod project;
mod readers;
mod snapshot;
mod view;

// What is computed.
/// Every worked case of `tests/cases`: Gold, Silver, rejects, counts and rules.
mod cases;
/// The same bytes whatever the threads, chunks, memory, folder or cutting of files.
mod determinism;
/// Random small inputs against the naive model.
mod property;
/// The rules of the quality stage and its gate.
mod rules;

// What is read.
/// The reject limit, and what a rejected row looks like to a person.
mod rejects;
/// The row rules line by line, at their edges.
mod row_rules;
/// Files, globs, compression, line ends, links, headers.
mod sources;

// What cannot break it.
/// Fifty runs at once.
mod concurrency;
/// Killed at random moments.
mod crash_moments;
/// Killed at each step of a commit.
mod crash_points;
/// Kept results with another digit.
mod damaged_results;
/// Full disks, limits, folders that may not be written, files in the way, inputs that go or change.
mod disk;

// When it is computed.
/// Many days side by side in `{as_of}` folders.
mod days;
/// One task in full: its ingredients then and now, where they come from, what follows.
mod explain;
/// What makes a task run again, and what must not.
mod freshness;
/// The same as a table: one row for each thing that can change.
mod freshness_table;
/// What nobody needs any more.
mod gc;
/// What it meets: other processes, signals, links, files of the user.
mod gc_meets;
/// The bytes of today, so that no change of them goes unnoticed.
mod golden;
/// What is recorded of a run, and `runs`, `show`, `diff`, `retry`.
mod history;
/// Two programs at once, and file systems that refuse locks.
mod locks;
/// What is written about a result, and how long it is kept.
mod manifests;
/// Many small files: kept together, found again one by one.
mod many_files;
/// An older mp in the folders of a newer one.
mod newer;
/// Everything computed again elsewhere, and compared.
mod rebuild;
/// Single stages that are refused, failures that leave the rest alone.
mod refusals;
/// Published files that were edited, truncated or deleted.
mod repair;
/// Retries, time limits, `-k`, and failures that are remembered.
mod retries;
/// Results that are restored instead of computed, and work that ends early.
mod run_cache;
/// SIGINT and SIGTERM.
mod signals;
/// Damage of every kind, named and mended.
mod verify;
mod verify_mend;

// How it speaks.
/// The DAG files for Airflow.
mod airflow;
/// A run as a task of Airflow: the last line, files, levels, groups, ids, signals.
mod airflow_task;
/// What a job of the CI says.
mod ci;
/// plan, status, head, export, config, help, and JSON output.
mod commands;
/// Settings: precedence, unknown keys, values out of range.
mod config;
/// What a machine lacks, and what to do about it.
mod doctor;
/// Each exit code of the table.
mod exit_codes;
/// The graph: its pictures, and graphs that are refused.
mod graph;
/// The log file and the lines on stderr.
mod logs;
/// What must never reach a log, and who may read the rejects.
mod privacy;
/// Streams that are closed, broken or full.
mod streams;
/// The seeded generator.
mod synth;

// What it costs.
/// Peak resident memory on hostile inputs.
mod memory;

// The house.
/// Which module may import which.
mod architecture;
/// The commands of the README, run.
mod readme;
