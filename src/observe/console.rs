//! stderr, shared by log lines and progress bars so that neither is printed into the other.
//!
//! Knows terminals, and collectors of logs, which want to read a level where a line begins; not
//! what is printed.

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing::Level;

/// stderr with room for bars. Clones are the same console.
#[derive(Clone)]
pub struct Console {
    bars: MultiProgress,
    levels: bool,
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
            levels: false,
            #[cfg(test)]
            heard: Default::default(),
        }
    }

    /// A console without bars, whose lines all begin with their level.
    pub(super) fn with_levels() -> Console {
        Console { levels: true, ..Console::new(false) }
    }

    /// Whether lines begin with their level.
    pub(super) fn has_levels(&self) -> bool {
        self.levels
    }

    /// The bars below the lines.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Prints what was said above the bars. A stderr that is closed is no reason to fail.
    pub fn say(&self, level: Level, text: &str) {
        self.line(&self.worded(level, text));
    }

    /// The lines of a text as this console shows them.
    pub(super) fn worded(&self, level: Level, text: &str) -> String {
        if !self.levels {
            return text.to_owned();
        }
        let lines: Vec<String> = text.lines().map(|line| format!("{level} {line}")).collect();
        lines.join("\n")
    }

    /// Prints a line as it is.
    pub(super) fn line(&self, line: &str) {
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
