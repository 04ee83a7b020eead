//! A writer that fails once the run is to stop, for long copies that look at no flag themselves.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes until the flag is set.
pub(super) struct Stoppable<'c, W> {
    pub inner: W,
    pub cancel: &'c AtomicBool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.load(Ordering::Relaxed) {
            // Not `Interrupted`: that one is tried again by whoever writes.
            return Err(io::Error::other("stopped before it was done"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_once_the_flag_is_set() {
        let cancel = AtomicBool::new(false);
        let mut out = Stoppable { inner: Vec::new(), cancel: &cancel };
        out.write_all(b"one").unwrap();
        cancel.store(true, Ordering::Relaxed);
        assert!(out.write_all(b"two").is_err());
        assert_eq!(out.inner, b"one");
    }
}
