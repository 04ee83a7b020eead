//! A file goes to disk while it is still being made, so that little is left to wait for at its end.
//!
//! The kernel would begin only after some seconds, or when it is asked to make the file durable, and
//! whoever asks must wait for all of it. That remains to be asked: this is a hint, and where there is
//! no such thing, or the file system refuses, nothing is lost but time.

use std::fs::File;

/// So many new bytes are worth a hint.
const STEP_BYTES: u64 = 8 << 20;

/// How much of one file the kernel was asked to write.
#[derive(Debug, Default)]
pub(super) struct WriteBehind {
    asked: u64,
}

impl WriteBehind {
    /// The file has so many bytes now.
    pub(super) fn reached(&mut self, file: &File, bytes: u64) {
        if bytes - self.asked >= STEP_BYTES {
            begin_to_write(file, self.asked, bytes - self.asked);
            self.asked = bytes;
        }
    }
}

#[cfg(target_os = "linux")]
fn begin_to_write(file: &File, from: u64, bytes: u64) {
    use std::os::fd::AsRawFd;

    let (Ok(from), Ok(bytes)) = (from.try_into(), bytes.try_into()) else { return };
    #[expect(unsafe_code, reason = "neither the standard library nor rustix has this call")]
    // SAFETY: the descriptor is open as long as the file is borrowed, and the call reads no memory.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), from, bytes, libc::SYNC_FILE_RANGE_WRITE);
    }
}

#[cfg(not(target_os = "linux"))]
fn begin_to_write(_: &File, _: u64, _: u64) {}
