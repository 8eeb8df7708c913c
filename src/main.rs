//! The `doorward` program: parses the command line, runs it, sets the exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorward::cli::main()
}
