//! The exit codes of `mp`, as users and schedulers see them (the table of README, "Exit codes").
//!
//! Knows nothing of why a command ended the way it did; errors carry one of these.

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ExitCode {
    /// Done, up to date, or warnings only.
    Success = 0,
    /// A stage failed (I/O, unexpected), or `--exit-code` found something not up to date.
    Failure = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Input missing or unreadable.
    Input = 3,
    /// Data contract broken: reject rate, frame contract.
    Contract = 4,
    /// Quality gate failed.
    Quality = 5,
    /// An upstream artifact of a single stage is missing or not up to date.
    Refused = 6,
    /// A bug, panics included.
    Internal = 70,
    /// Lock held, disk full, store unreachable: worth a retry.
    Temporary = 75,
    /// Nothing to do, only where `--skip-exit-code 99` asked for it.
    NothingToDo = 99,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

/// Of several failures the first in this order is returned.
const ORDER: [ExitCode; 10] = [
    ExitCode::Terminated,
    ExitCode::Interrupted,
    ExitCode::Internal,
    ExitCode::Usage,
    ExitCode::Failure,
    ExitCode::Contract,
    ExitCode::Quality,
    ExitCode::Input,
    ExitCode::Refused,
    ExitCode::Temporary,
];

impl ExitCode {
    /// The number handed to the operating system.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// May the same command do better later, with nothing changed by hand? A late file may have come,
    /// a lock be free, a machine be back.
    pub const fn is_retryable(self) -> bool {
        use ExitCode::{Failure, Input, Interrupted, Temporary, Terminated};
        matches!(self, Failure | Input | Temporary | Interrupted | Terminated)
    }

    /// The one code to return for several outcomes; `Success` for none.
    pub fn worst(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
        let codes: Vec<ExitCode> = codes.into_iter().collect();
        ORDER.into_iter().find(|code| codes.contains(code)).unwrap_or(ExitCode::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_failures_the_first_in_the_documented_order_wins() {
        use ExitCode::*;
        assert_eq!(ExitCode::worst([Temporary, Contract, Input]), Contract);
        assert_eq!(ExitCode::worst([Success, Temporary]), Temporary);
        assert_eq!(ExitCode::worst([Usage, Internal, Failure]), Internal);
        assert_eq!(ExitCode::worst([]), Success);
    }

    #[test]
    fn what_only_a_person_can_mend_is_not_tried_again() {
        use ExitCode::*;
        for code in [Failure, Input, Temporary, Interrupted, Terminated] {
            assert!(code.is_retryable(), "{code:?}");
        }
        for code in [Success, Usage, Contract, Quality, Refused, Internal, NothingToDo] {
            assert!(!code.is_retryable(), "{code:?}");
        }
    }
}
