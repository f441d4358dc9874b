//! Parses the command line, runs the command, prints the error, sets the exit code.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    kubernetes_event_exporter::cli::main(std::env::args_os()).await
}
