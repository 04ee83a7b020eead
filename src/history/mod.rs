//! What the records of runs tell: which run somebody means, what differs between two, what to try again.
//!
//! Reads records through the store and computes on them alone. Does not know tasks, data or the present
//! configuration, and prints nothing.

mod difference;
mod find;
mod retry;

pub use difference::{Change, Difference, Kind, flat};
pub use find::{FindError, find};
pub use retry::{Again, settles, what_to_retry};
