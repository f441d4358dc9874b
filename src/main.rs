//! Parses the command line, runs the command, prints the error, sets the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubernetes_event_exporter::cli::main(std::env::args_os())
}
