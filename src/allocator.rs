//! The allocator of the program, and how soon it gives memory back.
//!
//! Freed memory is kept for a moment, in case it is wanted again; where little was promised that
//! moment would break the promise. Knows nothing of who allocates.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in mimalloc's list of options: milliseconds until freed memory goes
/// back to the operating system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// With more memory than this promised, what is kept for a moment does not matter.
const LITTLE_BYTES: u64 = 768 << 20;

/// Has freed memory given back at once if little memory was promised.
pub fn keep_within(memory_bytes: u64) {
    if memory_bytes < LITTLE_BYTES {
        #[expect(unsafe_code, reason = "mimalloc has no other way to set an option")]
        // SAFETY: the option exists in the version that Cargo.lock pins and takes any number;
        // mimalloc reads and writes its options atomically.
        unsafe {
            libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_option_is_the_one_that_it_should_be() {
        #[expect(unsafe_code, reason = "mimalloc has no other way to ask for an option")]
        // SAFETY: as above.
        let delay = unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        assert!(delay == 1000 || delay == 10, "the default of another option: {delay}");
    }
}
