//! The `doorward` program: parses the command line, runs it, sets the exit status.

use std::process::ExitCode;

/// A token makes some dozens of small allocations; this does them in half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    doorward::cli::main()
}
