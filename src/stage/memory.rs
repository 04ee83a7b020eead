//! Dividing the promised memory among what runs at the same time.
//!
//! Sizes that must not change any byte of a result depend on memory only here.

use crate::rows::Sizes;
use crate::settings::Resources;

/// What the program itself, its code and its libraries take.
const BASE_BYTES: u64 = 32 << 20;
/// A thread at work: what it reads, what it makes of it, what the allocator keeps for it.
const THREAD_BYTES: u64 = 24 << 20;
/// A slab of text on its way: the text, and the rows made of it.
const SLAB_BYTES: u64 = 4 << 20;
/// A run of usual rows being sorted: its records in file order, and once more in buckets.
const RUN_BYTES: u64 = 36 << 20;

/// What one task may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Threads that compute.
    pub threads: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

impl Share {
    /// The share of one of `concurrency` tasks.
    pub fn of(resources: &Resources, concurrency: usize) -> Share {
        let tasks = concurrency.max(1) as u64;
        let memory_bytes = resources.memory_bytes.saturating_sub(BASE_BYTES) / tasks;
        let fit = (memory_bytes / THREAD_BYTES).max(1);
        let threads = resources.threads.min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1);
        Share { threads, memory_bytes }
    }

    /// How many slabs may be on their way at once.
    pub fn slabs(&self) -> usize {
        let fit = (self.memory_bytes / 4 / SLAB_BYTES) as usize;
        fit.clamp(2, 2 * self.threads + 2)
    }

    /// How much text is parsed at a time.
    pub fn slab_bytes(&self, sizes: &Sizes) -> usize {
        let fit = (self.memory_bytes / 256) as usize;
        sizes.slab_bytes.min(fit.max(256 << 10))
    }

    /// A file with no more bytes is read by one thread, and held whole with its rows.
    pub fn small_file_bytes(&self, sizes: &Sizes) -> u64 {
        (4 * sizes.slab_bytes as u64).min(self.memory_bytes / self.threads as u64 / 16)
    }

    /// How many runs may be in memory at once: one being filled, others being sorted.
    pub fn run_buffers(&self) -> usize {
        ((self.memory_bytes / 2 / RUN_BYTES) as usize).clamp(1, 3)
    }

    /// How much each thread may gather and sort at once. As much again waits to be written.
    pub fn gathered_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.gathered_bytes.unwrap_or(self.memory_bytes / 8 * 3 / self.threads as u64)
    }
}
