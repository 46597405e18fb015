//! The binary: collects arguments, environment and streams, calls the library, exits.

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let outcome = hoist::cli::run(hoist::cli::Process::current());
    ExitCode::from(outcome.code())
}
