//! SIGINT and SIGTERM: the run is asked to stop, and ends with their exit code.
//!
//! A run that cannot come to its end, be it that nobody reads the pipe it writes to, is ended here. What it
//! leaves then is what a killed one leaves: whole artifacts, and temporary files for the next run to clear.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

use crate::error::Error;
use crate::exit_code::ExitCode;

/// How long a run may take to end. Stages look for a signal once a second at least, and whoever sent it
/// waits ten seconds or more before SIGKILL.
const PATIENCE: Duration = Duration::from_secs(4);

/// What signals have asked for.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    /// Set by either signal.
    pub stop: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on, and sets `stop` for the first one; the same signal a second time ends the process at once.
    pub fn listen(stop: &Arc<AtomicBool>) -> Result<Signals, Error> {
        let signals = Signals { stop: Arc::clone(stop), terminated: Arc::default() };
        let failed = |error: std::io::Error| {
            Error::new(ExitCode::Failure, format!("cannot listen to signals: {error}"))
        };
        for (signal, code) in [(SIGINT, ExitCode::Interrupted), (SIGTERM, ExitCode::Terminated)] {
            let stop = &signals.stop;
            flag::register_conditional_shutdown(signal, code.code().into(), Arc::clone(stop))
                .map_err(failed)?;
            flag::register(signal, Arc::clone(stop)).map_err(failed)?;
            end_after(signal, code).map_err(failed)?;
        }
        flag::register(SIGTERM, Arc::clone(&signals.terminated)).map_err(failed)?;
        // A file beyond the limit of `ulimit -f` is an error of that write, not the end of the process.
        flag::register(SIGXFSZ, Arc::default()).map_err(failed)?;
        Ok(signals)
    }

    /// The code to end with, if a signal came.
    pub fn exit_code(&self) -> Option<ExitCode> {
        if self.terminated.load(Ordering::Relaxed) {
            Some(ExitCode::Terminated)
        } else if self.stop.load(Ordering::Relaxed) {
            Some(ExitCode::Interrupted)
        } else {
            None
        }
    }
}

/// Ends the process some time after a signal, whatever it does then.
fn end_after(signal: i32, code: ExitCode) -> std::io::Result<()> {
    let (mut woken, waker) = UnixStream::pair()?;
    low_level::pipe::register(signal, waker)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if woken.read_exact(&mut [0]).is_ok() {
            thread::sleep(PATIENCE);
            // Nothing is flushed: that is what it may be waiting for.
            low_level::exit(code.code().into());
        }
    })?;
    Ok(())
}
