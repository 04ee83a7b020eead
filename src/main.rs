//! The program: runs the command line, ends with its exit code.

fn main() -> std::process::ExitCode {
    mp::main().code().into()
}
