//! The allocator of the program, and how much more than was asked for it may hold.
//!
//! Freed memory is kept for a moment, in case it is wanted again; where little was promised that
//! moment would break the promise. Nor may the kernel round up to pages of 2 MiB: a run that needs
//! 80 MB then holds 125 to 135, more when the machine is busy, and is no faster. Knows nothing of
//! who allocates.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in mimalloc's list of options: milliseconds until freed memory goes
/// back to the operating system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// With more memory than this promised, what is kept for a moment does not matter.
const LITTLE_BYTES: u64 = 768 << 20;

/// Holds the whole process to what its tasks ask for: small pages, and freed memory given back at
/// once if little memory was promised. To be called before the work begins.
pub fn keep_within(memory_bytes: u64) {
    without_huge_pages();
    if memory_bytes < LITTLE_BYTES {
        #[expect(unsafe_code, reason = "mimalloc has no other way to set an option")]
        // SAFETY: the option exists in the version that Cargo.lock pins and takes any number;
        // mimalloc reads and writes its options atomically.
        unsafe {
            libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
        }
    }
}

/// Transparent huge pages, which mimalloc asks for and some systems hand out unasked. They cannot
/// be refused through mimalloc so late; on a kernel that cannot refuse them there are none.
#[cfg(target_os = "linux")]
fn without_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!("huge pages stay on: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn without_huge_pages() {}

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
