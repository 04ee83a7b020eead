//! stderr, shared by log lines and progress bars so that neither is printed into the other.
//!
//! Knows terminals; not what is printed.

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};

/// stderr with room for bars. Clones are the same console.
#[derive(Clone)]
pub struct Console {
    bars: MultiProgress,
    #[cfg(test)]
    pub(super) heard: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Console {
    /// The console of this process; bars only if stderr is a terminal that can show them.
    pub(super) fn new(stderr_is_terminal: bool) -> Console {
        let target = match stderr_is_terminal {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        Console::drawing_on(target)
    }

    pub(super) fn drawing_on(target: ProgressDrawTarget) -> Console {
        Console {
            bars: MultiProgress::with_draw_target(target),
            #[cfg(test)]
            heard: Default::default(),
        }
    }

    /// The bars below the lines.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Prints a line above the bars. A stderr that is closed is no reason to fail.
    pub fn line(&self, line: &str) {
        self.print(format!("{line}\n").as_bytes());
    }

    /// Runs `print`, which writes to the terminal, while the bars are away. It must not use this
    /// console.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bars.suspend(print)
    }

    fn print(&self, text: &[u8]) {
        self.suspend(|| {
            #[cfg(test)]
            self.heard.lock().unwrap().push_str(&String::from_utf8_lossy(text));
            #[cfg(not(test))]
            let _ = io::stderr().write_all(text);
        });
    }
}

/// Takes records of the log, each in one call.
impl Write for Console {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.print(record);
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
