//! `check`: what is wrong or odd in a configuration, the whole of it in one run, without a cluster or a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Output, USAGE, complain, counted, say};
use crate::config::{self, Config, ConfigError, Inspection};
use crate::pipeline::Pipeline;
use crate::yaml::{Position, Problem};

/// What to check, and how to say it.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The configuration file; `-` is standard input
    config: PathBuf,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Text for people, or one JSON document
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What `-o json` prints. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    /// Whether the exit code is 0.
    ok: bool,
    strict: bool,
    errors: u64,
    warnings: u64,
    /// In the order of the file.
    findings: Vec<Finding>,
}

/// One mistake.
#[derive(Debug, Serialize)]
struct Finding {
    file: String,
    /// From 1; what is wrong with the file as a whole stands at 1:1.
    line: usize,
    column: usize,
    /// `route.match[0].kind`; empty for the file as a whole.
    path: String,
    severity: Severity,
    message: String,
    /// As it is shown to people.
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

/// Runs the command. What it finds is the result, and not an error of its own.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let file = args.config.display().to_string();
    let (receivers, findings) = match inspect(&args.config, &file) {
        Ok(found) => found,
        Err(finding) => (0, vec![finding]),
    };
    let count = |severity| {
        let counted = findings
            .iter()
            .filter(|finding| finding.severity == severity);
        u64::try_from(counted.count()).unwrap_or(u64::MAX)
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let report = Report {
        ok: errors == 0 && !(args.strict && warnings > 0),
        strict: args.strict,
        file,
        errors,
        warnings,
        findings,
    };
    match args.output {
        Output::Json => say(format_args!("{}", serde_json::to_string(&report)?))?,
        Output::Text => report.tell(receivers)?,
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(USAGE)
    })
}

/// How many receivers there are, and what is found in the file.
fn inspect(path: &Path, file: &str) -> Result<(u64, Vec<Finding>), Finding> {
    let text = config::read(path).map_err(|error| Finding::unread(error, file))?;
    let Inspection {
        config,
        mut errors,
        warnings,
    } = Config::inspect(&text, &|name| std::env::var(name).ok());
    let mut receivers = 0;
    if let Some(config) = config {
        receivers = u64::try_from(config.receivers.len()).unwrap_or(u64::MAX);
        errors.extend(Pipeline::problems(config.receivers));
    }
    let errors = errors.into_iter().map(|problem| (Severity::Error, problem));
    let warnings = warnings
        .into_iter()
        .map(|problem| (Severity::Warning, problem));
    let mut found: Vec<(Severity, Problem)> = errors.chain(warnings).collect();
    found.sort_by_key(|(_, problem)| problem.position);
    let findings = found
        .into_iter()
        .map(|(severity, problem)| Finding::new(severity, &problem, file));
    Ok((receivers, findings.collect()))
}

// === impl Finding ===

impl Finding {
    fn new(severity: Severity, problem: &Problem, file: &str) -> Self {
        let Position { line, column } = problem.position;
        Self {
            file: file.to_owned(),
            line: line.max(1),
            column: column.max(1),
            path: problem.path.clone(),
            severity,
            message: problem.message.clone(),
            text: match line {
                0 => format!("{file}:1:1:{problem}"),
                _ => format!("{file}:{problem}"),
            },
        }
    }

    /// A file that has no text.
    fn unread(error: ConfigError, file: &str) -> Self {
        match error {
            ConfigError::Invalid { problem, .. } => Self::new(Severity::Error, &problem, file),
            error => {
                let message = format!("{:#}", anyhow::Error::from(error));
                Self {
                    text: message.clone(),
                    ..Self::new(Severity::Error, &Problem::nowhere(message), file)
                }
            }
        }
    }
}

// === impl Report ===

impl Report {
    /// Findings go to standard error, as a compiler's, and the sum of it to standard output.
    fn tell(&self, receivers: u64) -> anyhow::Result<()> {
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            complain(format_args!("{severity}: {}", finding.text));
        }
        let (file, errors, warnings) = (&self.file, self.errors, self.warnings);
        let (errors, warnings) = (
            counted(errors, "error", "errors"),
            counted(warnings, "warning", "warnings"),
        );
        if self.ok {
            let receivers = counted(receivers, "receiver", "receivers");
            return say(format_args!("{file}: ok, {receivers}, {warnings}"));
        }
        if self.errors == 0 {
            complain(format_args!(
                "error: {file}: {warnings}, which --strict does not allow"
            ));
        }
        say(format_args!("{file}: {errors}, {warnings}"))
    }
}
