//! The binary: collects arguments, environment and streams, calls the library, exits.

use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = hoist::cli::run(hoist::cli::Process::current());
    ExitCode::from(outcome.code())
}
