//! What a run may use of a machine that a container shares out.
//!
//! A promise on memory that is only the built-in one gives way to the limit of the container; one
//! that somebody made is kept, with a warning. Does not read anything.

use crate::machine::Limits;
use crate::settings::Resources;

/// The least that mp promises to keep to.
pub(super) const LEAST_BYTES: u64 = 128 << 20;

/// Resources within the limits of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounded {
    pub within: Resources,
    /// What may go wrong all the same.
    pub warning: Option<String>,
}

impl Bounded {
    /// `at_default`: `processing.max_memory_mb` is what is built in.
    pub fn of(asked: Resources, at_default: bool, limits: &Limits) -> Bounded {
        let fine = Bounded { within: asked, warning: None };
        let Some(limit) = limits.memory_bytes else { return fine };
        let usable = usable(limit);
        if at_default && asked.memory_bytes > usable {
            let memory_bytes = usable.max(LEAST_BYTES);
            let warning = (limit < LEAST_BYTES).then(|| {
                let (limit, least) = (limit >> 20, LEAST_BYTES >> 20);
                format!("the memory limit of this container, {limit} MiB, is below {least} MiB")
            });
            return Bounded { within: Resources { memory_bytes, ..asked }, warning };
        }
        if asked.memory_bytes <= limit {
            return fine;
        }
        let warning = format!(
            "processing.max_memory_mb is {}, but the memory limit of this container is {} MiB: \
             lower the one or raise the other, or the kernel may kill mp",
            asked.memory_bytes >> 20,
            limit >> 20
        );
        Bounded { within: asked, warning: Some(warning) }
    }
}

/// What is left of a limit for a program: the kernel counts its buffers in.
fn usable(limit: u64) -> u64 {
    limit - limit / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn bounded(asked: u64, at_default: bool, limit: Option<u64>) -> (u64, bool) {
        let memory_bytes = asked * MIB;
        let resources = Resources { chunk_rows: 1, memory_bytes, threads: 2 };
        let limits = Limits { memory_bytes: limit.map(|limit| limit * MIB), cpus: None };
        let Bounded { within, warning } = Bounded::of(resources, at_default, &limits);
        assert_eq!((within.chunk_rows, within.threads), (1, 2));
        (within.memory_bytes / MIB, warning.is_some())
    }

    #[test]
    fn the_built_in_promise_gives_way_to_the_limit() {
        assert_eq!(bounded(1024, true, None), (1024, false));
        assert_eq!(bounded(1024, true, Some(4096)), (1024, false));
        assert_eq!(bounded(1024, true, Some(1024)), (896, false));
        assert_eq!(bounded(1024, true, Some(512)), (448, false));
        assert_eq!(bounded(1024, true, Some(130)), (128, false));
        assert_eq!(bounded(1024, true, Some(100)), (128, true));
    }

    #[test]
    fn a_promise_that_somebody_made_is_kept_with_a_warning() {
        assert_eq!(bounded(2048, false, None), (2048, false));
        assert_eq!(bounded(2048, false, Some(2048)), (2048, false));
        assert_eq!(bounded(2048, false, Some(1024)), (2048, true));
    }
}
