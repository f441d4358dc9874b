//! `check`: what is wrong or odd in a configuration, the whole of it in one run, without a cluster or a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use self::tests::{Outcome, Outcomes};
use super::{FAILURE, Output, USAGE, complain, counted, say};
use crate::config::{self, Config, ConfigError, Inspection};
use crate::pipeline::Pipeline;
use crate::yaml::{Position, Problem};

mod tests;

/// What to check, and how to say it.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The configuration file; `-` is standard input
    config: PathBuf,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Run the tests in this file: events, and who has to get them
    #[arg(long, value_name = "FILE")]
    tests: Option<PathBuf>,
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
    /// What has come of tests, if they were asked for and the configuration has no errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    tests: Option<Vec<Outcome>>,
}

/// All that is known of a configuration.
#[derive(Default)]
struct Found {
    receivers: u64,
    findings: Vec<Finding>,
    tests: Option<Vec<Outcome>>,
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
    let found = inspect(&args.config, &file, args.tests.as_deref());
    let Found {
        receivers,
        findings,
        tests,
    } = found.unwrap_or_else(|finding| Found {
        findings: vec![finding],
        ..Found::default()
    });
    let count = |severity| {
        let counted = findings
            .iter()
            .filter(|finding| finding.severity == severity);
        u64::try_from(counted.count()).unwrap_or(u64::MAX)
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let can_run = errors == 0 && !(args.strict && warnings > 0);
    let report = Report {
        ok: can_run && tests.iter().flatten().all(|test| test.ok),
        strict: args.strict,
        file,
        errors,
        warnings,
        findings,
        tests,
    };
    match args.output {
        Output::Json => say(format_args!("{}", serde_json::to_string(&report)?))?,
        Output::Text => report.tell(receivers)?,
    }
    Ok(match (report.ok, can_run) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(FAILURE),
        (false, false) => ExitCode::from(USAGE),
    })
}

/// What is found in the file; without errors in it, its tests are run.
fn inspect(path: &Path, file: &str, tests: Option<&Path>) -> Result<Found, Finding> {
    let text = config::read(path).map_err(|error| Finding::unread(error, file))?;
    let Inspection {
        config,
        mut errors,
        warnings,
    } = Config::inspect(&text, &|name| std::env::var(name).ok());
    let mut found = Found::default();
    if let Some(config) = config {
        found.receivers = u64::try_from(config.receivers.len()).unwrap_or(u64::MAX);
        errors.extend(Pipeline::problems(config.receivers));
    }
    let is_sound = errors.is_empty();
    found.findings = findings(errors, warnings, file);
    if let Some(tests) = tests.filter(|_| is_sound) {
        let Outcomes {
            done,
            errors,
            warnings,
        } = tests::run(&text, file, tests).map_err(|error| Finding::unread(error, file))?;
        let file = tests.display().to_string();
        found.findings.extend(findings(errors, warnings, &file));
        found.tests = Some(done);
    }
    Ok(found)
}

/// In the order of the file.
fn findings(errors: Vec<Problem>, warnings: Vec<Problem>, file: &str) -> Vec<Finding> {
    let errors = errors.into_iter().map(|problem| (Severity::Error, problem));
    let warnings = warnings
        .into_iter()
        .map(|problem| (Severity::Warning, problem));
    let mut found: Vec<(Severity, Problem)> = errors.chain(warnings).collect();
    found.sort_by_key(|(_, problem)| problem.position);
    found
        .into_iter()
        .map(|(severity, problem)| Finding::new(severity, &problem, file))
        .collect()
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
        for test in self.tests.iter().flatten().filter(|test| !test.ok) {
            test.tell();
        }
        let tests = self.tests.as_deref().map_or_else(String::new, sum);
        if self.ok {
            let receivers = counted(receivers, "receiver", "receivers");
            return say(format_args!("{file}: ok, {receivers}, {warnings}{tests}"));
        }
        if self.errors == 0 && self.strict && self.warnings > 0 {
            complain(format_args!(
                "error: {file}: {warnings}, which --strict does not allow"
            ));
        }
        say(format_args!("{file}: {errors}, {warnings}{tests}"))
    }
}

/// `, 3 tests, 1 of them failed`
fn sum(tests: &[Outcome]) -> String {
    let count = |tests: usize| u64::try_from(tests).unwrap_or(u64::MAX);
    let all = counted(count(tests.len()), "test", "tests");
    match count(tests.iter().filter(|test| !test.ok).count()) {
        0 => format!(", {all}"),
        failed => format!(", {all}, {failed} of them failed"),
    }
}
