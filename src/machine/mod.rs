//! What the machine has to give: the limits of the control group, memory, disk space, file locks.
//!
//! Reads what the kernel says and asks folders what they can do. Depends on nothing of ours; what
//! follows from a number is for others to say.

mod cgroup;
mod folder;
mod memory;
mod space;

pub use cgroup::Limits;
pub use folder::{
    Locks, Writable, first_refused, is_probe, nearest_folder, try_locks, try_locks_of, try_write,
};
pub use memory::Memory;
pub use space::Space;
