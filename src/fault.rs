//! Fault points: named places at which a test can end the program, as a power cut or `kill -9` would,
//! or have the file system refuse.
//!
//! [`point`] stands before each step that makes something durable or visible. It is compiled to
//! nothing, but for the program that the tests build with the feature `fault-points`. There
//! `MP_TEST_FAULT` says where, at which pass, and what happens:
//!
//! - `object.rename:2=kill` at the second pass of that point the process kills itself;
//! - `*:57=kill` at the 57th pass of any point;
//! - `publish.link:1=full` it gets "no space left"; likewise `quota` and `io`;
//! - `stage.bytes:3+=full` so from the third pass on;
//! - `task.read:1=hold` it waits for as long as the file `MP_TEST_FAULT_GATE` exists, which it makes.
//!
//! `MP_TEST_FAULT_LOG` names a file that gets a line for each pass. Knows no store and no task.

#[cfg(not(feature = "fault-points"))]
mod points {
    /// Nothing happens here outside of the tests.
    #[inline(always)]
    pub const fn point(_name: &'static str) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "fault-points")]
mod points {
    use std::collections::BTreeMap;
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::time::Duration;

    use signal_hook::consts::SIGKILL;
    use signal_hook::low_level;

    const FAULT: &str = "MP_TEST_FAULT";
    const LOG: &str = "MP_TEST_FAULT_LOG";
    const GATE: &str = "MP_TEST_FAULT_GATE";
    const POLL: Duration = Duration::from_millis(2);

    #[derive(Debug, Clone)]
    enum Action {
        Kill,
        Refuse(io::ErrorKind),
        Hold(PathBuf),
    }

    /// What is to happen in this process.
    #[derive(Debug)]
    struct Fault {
        /// `*`: any point.
        name: String,
        pass: u64,
        /// At every later pass too.
        onwards: bool,
        action: Action,
    }

    #[derive(Debug, Default)]
    struct Plan {
        fault: Option<Fault>,
        log: Option<PathBuf>,
        passes: Mutex<BTreeMap<&'static str, u64>>,
    }

    impl Fault {
        fn parse(text: &str, gate: Option<PathBuf>) -> Option<Fault> {
            let (place, action) = text.split_once('=')?;
            let (name, pass) = place.split_once(':')?;
            let (pass, onwards) = pass.strip_suffix('+').map_or((pass, false), |pass| (pass, true));
            let action = match action {
                "kill" => Action::Kill,
                "full" => Action::Refuse(io::ErrorKind::StorageFull),
                "quota" => Action::Refuse(io::ErrorKind::QuotaExceeded),
                "io" => Action::Refuse(io::ErrorKind::Other),
                "hold" => Action::Hold(gate?),
                _ => return None,
            };
            Some(Fault { name: name.to_owned(), pass: pass.parse().ok()?, onwards, action })
        }

        fn is_due(&self, name: &str, of_name: u64, of_all: u64) -> bool {
            let passes = if self.name == "*" { of_all } else { of_name };
            let here = self.name == "*" || self.name == name;
            here && (passes == self.pass || (self.onwards && passes > self.pass))
        }
    }

    impl Plan {
        #[expect(clippy::disallowed_methods, reason = "there is no such variable but in tests")]
        fn of_environment() -> Plan {
            let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
            let fault = std::env::var(FAULT).ok().map(|text| {
                let fault = Fault::parse(&text, path(GATE));
                fault.unwrap_or_else(|| panic!("{FAULT} is `{text}`, which says nothing"))
            });
            Plan { fault, log: path(LOG), ..Plan::default() }
        }
    }

    /// The file system refuses, or the process ends here, if a test wants it so.
    pub fn point(name: &'static str) -> io::Result<()> {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        let plan = PLAN.get_or_init(Plan::of_environment);
        let due = {
            // Held to the end of the block, so that the log has the order of the passes.
            let mut passes = plan.passes.lock().unwrap_or_else(PoisonError::into_inner);
            *passes.entry(name).or_default() += 1;
            if let Some(log) = &plan.log {
                let mut options = fs_err::OpenOptions::new();
                options
                    .create(true)
                    .append(true)
                    .open(log)?
                    .write_all(format!("{name}\n").as_bytes())?;
            }
            let (of_name, of_all) = (passes[name], passes.values().sum());
            plan.fault.as_ref().filter(|fault| fault.is_due(name, of_name, of_all))
        };
        match due.map(|fault| &fault.action) {
            None => Ok(()),
            Some(Action::Kill) => {
                low_level::raise(SIGKILL)?;
                loop {
                    std::thread::park();
                }
            }
            Some(Action::Refuse(kind)) => {
                Err(io::Error::new(*kind, format!("{kind} at the point `{name}`")))
            }
            Some(Action::Hold(gate)) => hold(gate),
        }
    }

    fn hold(gate: &Path) -> io::Result<()> {
        fs_err::OpenOptions::new().create(true).append(true).open(gate)?;
        while gate.exists() {
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

pub use points::point;
