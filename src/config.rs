//! The configuration file: the incumbent's, and what we add to it.
//!
//! Sections are defined beside what they configure; here they are put together, and checked across. Every problem says
//! where it is: file, path, line, column. What the incumbent swallows in silence is a warning.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use self::lookup::LookupFile;
pub use self::receiver::ReceiverConfig;
use self::receiver::ReceiverFile;
use crate::enrich::LookupConfig;
use crate::route::RouteConfig;
use crate::telemetry::{LogFormat, LogLevel};
use crate::yaml::{self, Located, Problem};

mod lookup;
mod receiver;

/// A configuration that can be run.
#[derive(Debug)]
pub struct Config {
    /// The least severe level that is logged.
    pub log_level: LogLevel,
    /// How; by default JSON, or for people on a terminal.
    pub log_format: Option<LogFormat>,
    /// On a first start, older events are left out.
    pub max_event_age: Duration,
    /// Goes into every event.
    pub cluster_name: String,
    /// Namespaces to watch, one watch each; none means all of them, by one watch.
    pub namespaces: Vec<String>,
    /// What metrics' names begin with.
    pub metrics_name_prefix: Option<String>,
    /// How involved objects are looked up; `None` if they are not.
    pub lookup: Option<LookupConfig>,
    /// Where events go.
    pub route: RouteConfig,
    /// To whom.
    pub receivers: Vec<ReceiverConfig>,
}

/// A configuration with what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    /// What to run.
    pub config: Config,
    /// What the incumbent would have swallowed, in the order of the file.
    pub warnings: Vec<Problem>,
}

/// A configuration that cannot be run.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is not there, or not for us.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}:{problem}")]
    Invalid {
        /// Which file.
        path: String,
        /// What, where, what to do.
        problem: Problem,
    },
    /// It could be run, but `--strict` asks for more.
    #[error("{path}: {warnings} warnings, which --strict does not allow")]
    Strict {
        /// Which file.
        path: String,
        /// How many.
        warnings: usize,
    },
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    log_level: LogLevel,
    log_format: Option<LogFormat>,
    throttle_period: Option<Located<u64>>,
    #[serde(alias = "maxEventsAgeSeconds")]
    max_event_age_seconds: Option<Located<u64>>,
    cluster_name: String,
    namespace: Located<String>,
    namespaces: Vec<Located<String>>,
    leader_election: LeaderElection,
    route: Option<RouteConfig>,
    receivers: Vec<ReceiverFile>,
    #[serde(rename = "omitLookup")]
    omit_lookup: bool,
    cache_size: Option<Located<i64>>,
    #[serde(rename = "kubeQPS")]
    kube_qps: Option<Located<f64>>,
    kube_burst: Option<Located<i64>>,
    metrics_name_prefix: Option<Located<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LeaderElection {
    enabled: Option<Located<bool>>,
    #[serde(rename = "leaderElectionID")]
    _id: String,
}

/// What the API server keeps Events for.
const MAX_EVENT_AGE: Duration = Duration::from_hours(1);
/// What runs where there is no configuration at all.
const BUILT_IN: &str =
    "route: {match: [{receiver: stdout}]}\nreceivers: [{name: stdout, stdout: {}}]\n";
const BUILT_IN_TERMINAL: &str = "logLevel: warn\nroute: {match: [{receiver: stdout}]}\nreceivers: [{name: stdout, stdout: {format: text}}]\n";

// === impl Config ===

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
            path: path.to_owned(),
            cause,
        })?;
        Self::parse(&text, &|name| std::env::var(name).ok()).map_err(|problem| {
            ConfigError::Invalid {
                path: path.display().to_string(),
                problem,
            }
        })
    }

    /// Reads a text; `env` looks up environment variables.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problem> {
        let parsed = yaml::parse::<File>(text, env)?;
        let mut warnings = parsed.warnings;
        let config = parsed.value.check(&mut warnings)?;
        warnings.sort_by_key(|warning| (warning.position.line, warning.position.column));
        Ok(Loaded { config, warnings })
    }

    /// Every event to standard output: JSON lines, or a table for a person at a terminal.
    pub fn built_in(terminal: bool) -> Result<Loaded, Problem> {
        Self::parse(
            if terminal {
                BUILT_IN_TERMINAL
            } else {
                BUILT_IN
            },
            &|_| None,
        )
    }
}

// === impl File ===

impl File {
    fn check(self, warnings: &mut Vec<Problem>) -> Result<Config, Problem> {
        let max_event_age = self.max_event_age(warnings)?;
        let Some(route) = self.route else {
            let message = "there is no `route`: no event would go anywhere";
            // The key that was ignored may be the one that is missed.
            let ignored = warnings.iter().find(|key| !key.path.contains(['.', '[']));
            return Err(ignored.map_or_else(
                || Problem::nowhere(message),
                |key| Problem {
                    message: format!("{message}; and {}", key.message),
                    ..key.clone()
                },
            ));
        };
        if let Some(prefix) = &self.metrics_name_prefix {
            check_prefix(prefix)?;
        }
        if let Some(enabled) = self.leader_election.enabled.filter(|enabled| enabled.value) {
            warnings.push(enabled.problem("leader election is not there yet: run one replica"));
        }
        let mut namespaces: Vec<String> = Vec::new();
        let one = Some(self.namespace).filter(|namespace| !namespace.value.is_empty());
        for namespace in self.namespaces.into_iter().chain(one) {
            check_namespace(&namespace)?;
            if !namespaces.contains(&namespace.value) {
                namespaces.push(namespace.value);
            }
        }
        let lookup = LookupFile {
            omit: self.omit_lookup,
            cache_size: self.cache_size,
            qps: self.kube_qps,
            burst: self.kube_burst,
        };
        // Whoever watches namespaces one by one has rights in them one by one.
        let lookup = lookup.check(!namespaces.is_empty())?;
        let mut receivers: Vec<ReceiverConfig> = Vec::new();
        for receiver in self.receivers {
            let receiver = receiver.check(warnings)?;
            if let Some(first) = receivers.iter().find(|other| other.name == receiver.name) {
                let line = first.location.position.line;
                let message = format!(
                    "two receivers are named `{}`, here and on line {line}",
                    receiver.name
                );
                return Err(receiver.location.problem(message));
            }
            receivers.push(receiver);
        }
        Ok(Config {
            log_level: self.log_level,
            log_format: self.log_format,
            max_event_age,
            cluster_name: self.cluster_name,
            namespaces,
            metrics_name_prefix: self
                .metrics_name_prefix
                .map(|prefix| prefix.value)
                .filter(|prefix| !prefix.is_empty()),
            lookup,
            route,
            receivers,
        })
    }

    fn max_event_age(&self, warnings: &mut Vec<Problem>) -> Result<Duration, Problem> {
        let age = match (&self.max_event_age_seconds, &self.throttle_period) {
            (Some(age), Some(old)) if age.value != 0 && old.value != 0 => {
                return Err(old.problem(
                    "throttlePeriod is the old name of maxEventAgeSeconds: give one of them",
                ));
            }
            (Some(age), _) if age.value != 0 => {
                if age.path == "maxEventsAgeSeconds" {
                    warnings.push(
                        age.problem("taken for `maxEventAgeSeconds`, which is how it is spelt"),
                    );
                }
                age.value
            }
            (_, Some(old)) if old.value != 0 => {
                warnings.push(old.problem("throttlePeriod is the old name of maxEventAgeSeconds"));
                old.value
            }
            _ => return Ok(MAX_EVENT_AGE),
        };
        Ok(Duration::from_secs(age))
    }
}

/// A label of RFC 1123, as Kubernetes wants it.
fn check_namespace(namespace: &Located<String>) -> Result<(), Problem> {
    let text = &namespace.value;
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let legal = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| inside(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if legal {
        return Ok(());
    }
    Err(namespace.problem(format!(
        "`{text}` is no namespace: names have up to 63 lower-case letters, digits and `-`"
    )))
}

fn check_prefix(prefix: &Located<String>) -> Result<(), Problem> {
    let text = &prefix.value;
    let legal = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with('_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    if legal || text.is_empty() {
        return Ok(());
    }
    Err(prefix.problem(format!(
        "`{text}` can't begin a metric's name: it must begin with a letter, hold only letters, digits, `_` and `:`, and end in `_`"
    )))
}
