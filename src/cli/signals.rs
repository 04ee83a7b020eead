//! SIGINT and SIGTERM: the run is asked to stop, and ends with their exit code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::Error;
use crate::exit_code::ExitCode;

/// What signals have asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals {
    /// Set by either signal.
    pub stop: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on; the same signal a second time ends the process at once.
    pub fn listen() -> Result<Signals, Error> {
        let signals = Signals::default();
        let failed = |error: std::io::Error| {
            Error::new(ExitCode::Failure, format!("cannot listen to signals: {error}"))
        };
        for (signal, code) in [(SIGINT, ExitCode::Interrupted), (SIGTERM, ExitCode::Terminated)] {
            let stop = &signals.stop;
            flag::register_conditional_shutdown(signal, code.code().into(), Arc::clone(stop))
                .map_err(failed)?;
            flag::register(signal, Arc::clone(stop)).map_err(failed)?;
        }
        flag::register(SIGTERM, Arc::clone(&signals.terminated)).map_err(failed)?;
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
