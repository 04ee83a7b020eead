//! The program with its fault points (`src/fault.rs`): for the tests that cut it off or refuse it a write.

fn main() -> std::process::ExitCode {
    mp::main().code().into()
}
