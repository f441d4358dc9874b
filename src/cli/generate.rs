//! `completions` and `man`: what is made of what the command line says of itself.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, say};

/// What to complete in.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Where to put the pages.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// A folder of manual pages, such as ~/.local/share/man/man1
    folder: PathBuf,
}

/// Prints the script for a shell.
pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, &name, &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        // clap-rs/clap#6421: a program with hyphens has two names in there, and its commands complete nothing.
        let [one, other] = ["__subcmd__", "__"].map(|hyphen| name.replace('-', hyphen));
        script = script.replace(&one, &other);
    }
    say(format_args!("{}", script.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program, and one for each of its commands.
pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let written = clap_mangen::generate_to(Cli::command(), &args.folder);
    let folder = args.folder.display();
    written.with_context(|| format!("cannot write manual pages into {folder}"))?;
    Ok(ExitCode::SUCCESS)
}
