//! What a person sees and finds afterwards: progress on stderr, the log.
//!
//! Listens to events and to `tracing`; nothing depends on it, so deleting it leaves a working,
//! silent `mp`. Neither shows nor keeps raw lines or user ids: it is not given any.

mod bars;
mod console;
mod groups;
mod lines;
mod log_file;
mod logging;
mod names;
mod pace;
mod progress;
mod rotate;

pub use logging::{LogGuard, LogOptions, init};
