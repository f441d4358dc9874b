//! The configuration file: the incumbent's, and what we add to it.
//!
//! Sections are defined beside what they configure; here they are put together, and checked across. Every problem says
//! where it is: file, path, line, column. What the incumbent swallows in silence is a warning.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use self::check::{Check, check_receivers, check_route};
pub use self::fingerprint::Fingerprints;
use self::foreign::{Foreign, Reasons};
use self::lookup::LookupFile;
pub use self::receiver::ReceiverConfig;
use self::receiver::ReceiverFile;
pub use self::text::read;
use crate::enrich::LookupConfig;
use crate::route::RouteConfig;
use crate::status::StatusConfig;
use crate::telemetry::{LogFormat, LogLevel};
use crate::yaml::{self, Located, Problem, Value};

mod check;
mod fingerprint;
mod foreign;
mod lookup;
mod receiver;
mod sections;
mod templates;
mod text;

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
    /// What people may see while it runs.
    pub status_page: StatusConfig,
    /// How involved objects are looked up; `None` if they are not.
    pub lookup: Option<LookupConfig>,
    /// Who delivers where there are several, and where it is kept how far they have come.
    pub coordination: CoordinationConfig,
    /// Where events go.
    pub route: RouteConfig,
    /// To whom.
    pub receivers: Vec<ReceiverConfig>,
}

/// Who delivers, and where it is kept how far they have come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CoordinationConfig {
    /// One process, which keeps nothing.
    #[default]
    Nothing,
    /// One process, and a file.
    File(PathBuf),
    /// One process, and the Lease of this name.
    Lease(String),
    /// Several, and the Lease of this name.
    Election(String),
}

/// A configuration with what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    /// What to run.
    pub config: Config,
    /// What the incumbent would have swallowed, in the order of the file.
    pub warnings: Vec<Problem>,
}

/// All that one look at a configuration can tell.
#[derive(Debug)]
pub struct Inspection {
    /// As much as could be read. Only without errors is it what was meant.
    pub config: Option<Config>,
    /// Why it can't be run, in the order of the file.
    pub errors: Vec<Problem>,
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
    /// Several things in it are wrong.
    #[error("{path}:{first} (and more: `check {path}` lists all)")]
    Several {
        /// Which file.
        path: String,
        /// What comes first in it.
        first: Problem,
    },
}

/// The file as it is written.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    log_level: LogLevel,
    log_format: Option<LogFormat>,
    throttle_period: Option<Located<u64>>,
    max_event_age_seconds: Option<Located<u64>>,
    /// As a public workshop spells it.
    #[cfg_attr(test, schemars(skip))]
    max_events_age_seconds: Option<Located<u64>>,
    cluster_name: String,
    namespace: Located<String>,
    namespaces: Vec<Located<String>>,
    leader_election: LeaderElection,
    checkpoint: CheckpointSection,
    route: Option<Located<RouteConfig>>,
    receivers: Vec<Located<ReceiverFile>>,
    #[serde(rename = "omitLookup")]
    omit_lookup: bool,
    cache_size: Option<Located<i64>>,
    #[serde(rename = "kubeQPS")]
    kube_qps: Option<Located<f64>>,
    kube_burst: Option<Located<i64>>,
    metrics_name_prefix: Option<Located<String>>,
    status_page: Option<Located<StatusConfig>>,
    // Of forks and proposals.
    #[cfg_attr(test, schemars(skip))]
    report_updates: Option<Located<bool>>,
    #[cfg_attr(test, schemars(skip))]
    process_update_event: Option<Located<bool>>,
    #[cfg_attr(test, schemars(skip))]
    sent_update_event: Option<Located<bool>>,
    #[cfg_attr(test, schemars(skip))]
    watch_update: Option<Located<bool>>,
    #[cfg_attr(test, schemars(skip))]
    cluster_environment: Option<Located<String>>,
    #[cfg_attr(test, schemars(skip))]
    watch_reasons: Option<Located<Reasons>>,
    #[cfg_attr(test, schemars(skip))]
    reason_allowlist: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    field_selector: Option<Located<String>>,
    #[serde(rename = "cacheTTL")]
    #[cfg_attr(test, schemars(skip))]
    cache_ttl: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    mapping_cache_size: Option<Located<Value>>,
}

#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CheckpointSection {
    file: Option<Located<String>>,
    lease: Option<Located<String>>,
}

#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LeaderElection {
    enabled: Option<Located<bool>>,
    #[serde(rename = "leaderElectionID")]
    id: Located<String>,
}

/// The incumbent's.
const LEADER_ELECTION_ID: &str = "kubernetes-event-exporter";
/// What the API server keeps Events for.
const MAX_EVENT_AGE: Duration = Duration::from_hours(1);
/// What runs where there is no configuration at all.
const BUILT_IN: &str =
    "route: {match: [{receiver: stdout}]}\nreceivers: [{name: stdout, stdout: {}}]\n";
const BUILT_IN_TERMINAL: &str = "logLevel: warn\nroute: {match: [{receiver: stdout}]}\nreceivers: [{name: stdout, stdout: {format: text}}]\n";

// === impl ConfigError ===

impl ConfigError {
    /// What is wrong with the file at `path`.
    pub fn of(path: &str, mut problems: Vec<Problem>) -> Self {
        let path = path.to_owned();
        if problems.len() > 1 {
            let first = problems.swap_remove(0);
            return Self::Several { path, first };
        }
        let problem = problems.pop().unwrap_or_else(unreadable);
        Self::Invalid { path, problem }
    }
}

// === impl Config ===

impl Config {
    /// Reads the text of the file that is called `path`.
    pub fn of_text(text: &str, path: &str) -> Result<Loaded, ConfigError> {
        let Inspection {
            config,
            errors,
            warnings,
        } = Self::inspect(text, &|name| std::env::var(name).ok());
        match config {
            Some(config) if errors.is_empty() => Ok(Loaded { config, warnings }),
            _ => Err(ConfigError::of(path, errors)),
        }
    }

    /// Reads a text; `env` looks up environment variables. The first error is all that is told.
    pub fn parse(text: &str, env: yaml::Environment<'_>) -> Result<Loaded, Problem> {
        let found = Self::inspect(text, env);
        match (found.config, found.errors.into_iter().next()) {
            (Some(config), None) => Ok(Loaded {
                config,
                warnings: found.warnings,
            }),
            (_, error) => Err(error.unwrap_or_else(unreadable)),
        }
    }

    /// Reads a text and finds every mistake in it that can be told from the others.
    pub fn inspect(text: &str, env: yaml::Environment<'_>) -> Inspection {
        let reading = yaml::read::<File>(text, env, &sections::advice);
        let mut check = Check {
            unread: reading.errors.clone(),
            errors: reading.errors,
            warnings: reading.warnings,
        };
        let config = reading.value.map(|file| file.check(&mut check));
        let Check {
            mut errors,
            mut warnings,
            ..
        } = check;
        warnings.extend(templates::lint(text, env));
        for problems in [&mut errors, &mut warnings] {
            problems.sort_by_key(|problem| problem.position);
        }
        Inspection {
            config,
            errors,
            warnings,
        }
    }

    /// The text of one that takes every event to standard output: JSON lines, or a table for a person at a terminal.
    pub fn built_in(terminal: bool) -> &'static str {
        if terminal {
            BUILT_IN_TERMINAL
        } else {
            BUILT_IN
        }
    }
}

/// For a text of which there is nothing better to say.
fn unreadable() -> Problem {
    Problem::nowhere("it can't be read")
}

// === impl File ===

impl File {
    fn check(mut self, check: &mut Check) -> Config {
        let age = self.max_event_age(&mut check.warnings);
        let max_event_age = check.ok(age).unwrap_or(MAX_EVENT_AGE);
        if let Some(prefix) = &self.metrics_name_prefix {
            check.ok(check_prefix(prefix));
        }
        let status_page = self.status_page.unwrap_or_default();
        if status_page.events && !status_page.enabled {
            check.warnings.push(
                status_page
                    .problem("`events` is without effect: with `enabled: false` nothing is shown"),
            );
        }
        let status_page = status_page.value;
        let coordination = check.ok(coordination(self.leader_election, self.checkpoint));
        let mut namespaces: Vec<String> = Vec::new();
        let one = Some(self.namespace).filter(|namespace| !namespace.value.is_empty());
        for namespace in self.namespaces.into_iter().chain(one) {
            check.ok(check_namespace(&namespace));
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
        let lookup = check
            .ok(lookup.check(!namespaces.is_empty()))
            .unwrap_or_default();
        let foreign = Foreign {
            updates: [
                self.report_updates,
                self.process_update_event,
                self.sent_update_event,
                self.watch_update,
            ],
            cluster_environment: self.cluster_environment,
            watch_reasons: self.watch_reasons,
            reason_allowlist: self.reason_allowlist,
            field_selector: self.field_selector,
            caches: [self.cache_ttl, self.mapping_cache_size],
        };
        let (receivers, names) = check_receivers(self.receivers, check);
        let route = check_route(
            self.route.take(),
            &foreign,
            names.as_deref(),
            !self.omit_lookup,
            check,
        );
        Config {
            log_level: self.log_level,
            log_format: self.log_format,
            max_event_age,
            cluster_name: self.cluster_name,
            namespaces,
            metrics_name_prefix: self
                .metrics_name_prefix
                .map(|prefix| prefix.value)
                .filter(|prefix| !prefix.is_empty()),
            status_page,
            lookup,
            coordination: coordination.unwrap_or_default(),
            route,
            receivers,
        }
    }

    fn max_event_age(&self, warnings: &mut Vec<Problem>) -> Result<Duration, Problem> {
        let given = |age: &'_ Option<Located<u64>>| age.clone().filter(|age| age.value != 0);
        let (age, misspelt) = (
            given(&self.max_event_age_seconds),
            given(&self.max_events_age_seconds),
        );
        if let Some(misspelt) = &misspelt {
            warnings.push(misspelt.problem(match age {
                None => "taken for `maxEventAgeSeconds`, which is how it is spelt",
                Some(_) => "without effect: `maxEventAgeSeconds` comes before it, which is how it is spelt; leave it out",
            }));
        }
        let age = match (age.or(misspelt), given(&self.throttle_period)) {
            (Some(_), Some(old)) => {
                return Err(old.problem(
                    "throttlePeriod is the old name of maxEventAgeSeconds: give one of them",
                ));
            }
            (Some(age), None) => age.value,
            (None, Some(old)) => {
                warnings.push(old.problem("throttlePeriod is the old name of maxEventAgeSeconds"));
                old.value
            }
            (None, None) => return Ok(MAX_EVENT_AGE),
        };
        Ok(Duration::from_secs(age))
    }
}

fn coordination(
    election: LeaderElection,
    checkpoint: CheckpointSection,
) -> Result<CoordinationConfig, Problem> {
    let given = |value: Option<Located<String>>| value.filter(|value| !value.is_empty());
    let (file, lease) = (given(checkpoint.file), given(checkpoint.lease));
    let id = Some(election.id).filter(|id| !id.is_empty());
    for name in lease.iter().chain(&id) {
        check_lease(name)?;
    }
    if election.enabled.is_some_and(|enabled| enabled.value) {
        if let Some(other) = file.or(lease) {
            return Err(other.problem(
                "with leader election the checkpoint is kept in its Lease: leave this out",
            ));
        }
        let id = id.map_or_else(|| LEADER_ELECTION_ID.to_owned(), |id| id.value);
        return Ok(CoordinationConfig::Election(id));
    }
    match (file, lease) {
        (Some(_), Some(lease)) => Err(lease.problem("give either `file` or `lease`")),
        (Some(file), None) => Ok(CoordinationConfig::File(file.value.into())),
        (None, Some(lease)) => Ok(CoordinationConfig::Lease(lease.value)),
        (None, None) => Ok(CoordinationConfig::Nothing),
    }
}

/// A subdomain of RFC 1123.
fn check_lease(name: &Located<String>) -> Result<(), Problem> {
    let legal = name.len() <= 253
        && name.split('.').all(|label| {
            let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let ends = label.as_bytes().first().zip(label.as_bytes().last());
            ends.is_some_and(|(first, last)| inside(*first) && inside(*last))
                && label.bytes().all(|byte| inside(byte) || byte == b'-')
        });
    if legal {
        return Ok(());
    }
    let text = name.shown();
    Err(name.problem(format!(
        "`{text}` can't be the name of a Lease: names have up to 253 lower-case letters, digits, `-` and `.`"
    )))
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
    if text.contains([',', ' ']) {
        let text = namespace.shown();
        return Err(namespace.problem(format!(
            "`{text}` is no namespace: several of them are a list, `namespaces: [a, b]`"
        )));
    }
    let text = namespace.shown();
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
    let text = prefix.shown();
    Err(prefix.problem(format!(
        "`{text}` can't begin a metric's name: it must begin with a letter, hold only letters, digits, `_` and `:`, and end in `_`"
    )))
}

#[cfg(test)]
mod tests;
