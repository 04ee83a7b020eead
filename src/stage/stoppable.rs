//! A reader or writer that fails once the run is to stop, for long work that looks at no flag itself.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads and writes until the flag is set.
pub(super) struct Stoppable<'c, T> {
    pub inner: T,
    pub cancel: &'c AtomicBool,
}

impl<T> Stoppable<'_, T> {
    fn check(&self) -> io::Result<()> {
        match self.cancel.load(Ordering::Relaxed) {
            // Not `Interrupted`: that one is tried again by whoever reads or writes.
            true => Err(io::Error::other("stopped before it was done")),
            false => Ok(()),
        }
    }
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(bytes)
    }
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
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
    fn nothing_is_read_or_written_once_the_flag_is_set() {
        let cancel = AtomicBool::new(false);
        let mut out = Stoppable { inner: Vec::new(), cancel: &cancel };
        out.write_all(b"one").unwrap();
        cancel.store(true, Ordering::Relaxed);
        assert!(out.write_all(b"two").is_err());
        assert_eq!(out.inner, b"one");
        let mut input = Stoppable { inner: &b"three"[..], cancel: &cancel };
        assert!(input.read(&mut [0]).is_err());
    }
}
