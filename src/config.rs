//! The configuration file: the incumbent's, and what we add to it.
//!
//! Sections are defined beside what they configure; here they are put together, and checked across. Every problem says
//! where it is: file, path, line, column. What the incumbent swallows in silence is a warning.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::batch::BatchLimits;
use crate::dead_letter::DeadLetterConfig;
use crate::event::Compat;
use crate::receiver::{OnFull, RETRY_DEFAULTS};
use crate::retry::RetryLimits;
use crate::route::RouteConfig;
use crate::sink::SinkConfig;
use crate::sink::body::is_empty;
use crate::sink::file::FileConfig;
use crate::sink::opensearch::{Dialect, OpenSearchConfig};
use crate::sink::stdout::StdoutConfig;
use crate::sink::webhook::WebhookConfig;
use crate::telemetry::{LogFormat, LogLevel};
use crate::yaml::{self, Located, Problem, Value};

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
    /// Where events go.
    pub route: RouteConfig,
    /// To whom.
    pub receivers: Vec<ReceiverConfig>,
}

/// One receiver.
#[derive(Debug)]
pub struct ReceiverConfig {
    /// What routes call it.
    pub name: String,
    /// Where it stands.
    pub location: Located<String>,
    /// Where its events go.
    pub sink: SinkConfig,
    /// How events are put together.
    pub batch: BatchLimits,
    /// How many bytes of events may wait.
    pub queue_bytes: usize,
    /// How attempts are repeated.
    pub retry: RetryLimits,
    /// How long one request may take.
    pub timeout: Duration,
    /// What happens when its queue is full.
    pub on_full: OnFull,
    /// What happens to events that the sink will never take.
    pub dead_letter: DeadLetterConfig,
    /// Whose document it writes.
    pub compat: Compat,
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
    namespace: String,
    namespaces: Vec<String>,
    leader_election: LeaderElection,
    route: Option<RouteConfig>,
    receivers: Vec<ReceiverFile>,
    // Understood, and without effect until involved objects are looked up.
    #[serde(rename = "kubeQPS")]
    _kube_qps: f32,
    #[serde(rename = "kubeBurst")]
    _kube_burst: i64,
    #[serde(rename = "omitLookup")]
    _omit_lookup: bool,
    #[serde(rename = "cacheSize")]
    _cache_size: i64,
    metrics_name_prefix: Option<Located<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LeaderElection {
    enabled: Option<Located<bool>>,
    #[serde(rename = "leaderElectionID")]
    _id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ReceiverFile {
    name: Located<String>,
    batch: BatchFile,
    queue: QueueFile,
    retry: RetryFile,
    timeout: Option<Located<String>>,
    on_full: OnFull,
    dead_letter: DeadLetterConfig,
    compat: Compat,
    #[serde(deserialize_with = "yaml::present")]
    opensearch: Option<OpenSearchConfig>,
    #[serde(deserialize_with = "yaml::present")]
    elasticsearch: Option<OpenSearchConfig>,
    #[serde(deserialize_with = "yaml::present")]
    stdout: Option<StdoutConfig>,
    #[serde(deserialize_with = "yaml::present")]
    file: Option<FileConfig>,
    #[serde(deserialize_with = "yaml::present")]
    webhook: Option<WebhookConfig>,
    // Receivers of the incumbent that we do not have.
    pipe: Option<Located<Value>>,
    syslog: Option<Located<Value>>,
    kinesis: Option<Located<Value>>,
    firehose: Option<Located<Value>>,
    opsgenie: Option<Located<Value>>,
    sqs: Option<Located<Value>>,
    sns: Option<Located<Value>>,
    slack: Option<Located<Value>>,
    kafka: Option<Located<Value>>,
    pubsub: Option<Located<Value>>,
    opscenter: Option<Located<Value>>,
    teams: Option<Located<Value>>,
    bigquery: Option<Located<Value>>,
    eventbridge: Option<Located<Value>>,
    loki: Option<Located<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the keys")]
struct BatchFile {
    max_events: Option<Located<usize>>,
    max_bytes: Option<Located<String>>,
    max_delay: Option<Located<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct QueueFile {
    max_bytes: Option<Located<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RetryFile {
    initial: Option<Located<String>>,
    max: Option<Located<String>>,
}

/// What the API server keeps Events for.
const MAX_EVENT_AGE: Duration = Duration::from_hours(1);
const QUEUE_BYTES: usize = 8 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

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
            return Err(Problem::nowhere(
                "there is no `route`: no event would go anywhere",
            ));
        };
        if let Some(prefix) = &self.metrics_name_prefix {
            check_prefix(prefix)?;
        }
        if let Some(enabled) = self.leader_election.enabled.filter(|enabled| enabled.value) {
            warnings.push(enabled.problem("leader election is not there yet: run one replica"));
        }
        let mut namespaces = self.namespaces;
        if !self.namespace.is_empty() && !namespaces.contains(&self.namespace) {
            namespaces.push(self.namespace);
        }
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

// === impl ReceiverFile ===

impl ReceiverFile {
    fn check(self, warnings: &mut Vec<Problem>) -> Result<ReceiverConfig, Problem> {
        if self.name.value.is_empty() {
            return Err(self.name.problem("a receiver has no `name`"));
        }
        let name = self.name.clone();
        for (kind, given, instead) in self.unsupported() {
            if let Some(given) = given {
                return Err(given.problem(format!(
                    "there is no receiver of type `{kind}` (yet): {instead}"
                )));
            }
        }
        let (batch_file, queue, retry, timeout) =
            (self.batch, self.queue, self.retry, self.timeout);
        let (on_full, dead_letter, compat) = (self.on_full, self.dead_letter, self.compat);
        let sink = one_sink(
            &name,
            [
                (
                    "opensearch",
                    self.opensearch
                        .map(|config| SinkConfig::OpenSearch(config.into(), Dialect::OpenSearch)),
                ),
                (
                    "elasticsearch",
                    self.elasticsearch.map(|config| {
                        SinkConfig::OpenSearch(config.into(), Dialect::Elasticsearch)
                    }),
                ),
                ("stdout", self.stdout.map(SinkConfig::Stdout)),
                ("file", self.file.map(SinkConfig::File)),
                (
                    "webhook",
                    self.webhook
                        .map(|config| SinkConfig::Webhook(config.into())),
                ),
            ],
        )?;
        if let (Some(layout), _) = sink.body()
            && is_empty(layout)
        {
            warnings.push(
                layout.problem("an empty layout counts as none: documents are written whole"),
            );
        }
        let defaults = sink.batch_defaults();
        let batch = BatchLimits {
            max_events: positive(batch_file.max_events.as_ref())?.unwrap_or(defaults.max_events),
            max_bytes: bytes(batch_file.max_bytes.as_ref())?.unwrap_or(defaults.max_bytes),
            max_delay: duration(batch_file.max_delay.as_ref())?.unwrap_or(defaults.max_delay),
        };
        let retry = RetryLimits {
            initial: duration(retry.initial.as_ref())?.unwrap_or(RETRY_DEFAULTS.initial),
            max: duration(retry.max.as_ref())?.unwrap_or(RETRY_DEFAULTS.max),
        };
        Ok(ReceiverConfig {
            name: name.value.clone(),
            location: name,
            sink,
            batch,
            queue_bytes: bytes(queue.max_bytes.as_ref())?.unwrap_or(QUEUE_BYTES),
            retry,
            timeout: duration(timeout.as_ref())?.unwrap_or(TIMEOUT),
            on_full,
            dead_letter,
            compat,
        })
    }

    /// The incumbent's receivers that we do not have, and what to do instead.
    fn unsupported(&self) -> [(&'static str, &Option<Located<Value>>, &'static str); 15] {
        const CHAT: &str = "use `webhook` with a `layout` of what its API expects";
        const BRIDGE: &str =
            "use `webhook` towards an HTTP bridge, a pipeline or an OpenTelemetry gateway";
        [
            ("pipe", &self.pipe, "use `file`"),
            ("syslog", &self.syslog, BRIDGE),
            ("kinesis", &self.kinesis, BRIDGE),
            ("firehose", &self.firehose, BRIDGE),
            ("opsgenie", &self.opsgenie, CHAT),
            ("sqs", &self.sqs, BRIDGE),
            ("sns", &self.sns, BRIDGE),
            ("slack", &self.slack, CHAT),
            ("kafka", &self.kafka, BRIDGE),
            ("pubsub", &self.pubsub, BRIDGE),
            ("opscenter", &self.opscenter, BRIDGE),
            ("teams", &self.teams, CHAT),
            ("bigquery", &self.bigquery, BRIDGE),
            ("eventbridge", &self.eventbridge, BRIDGE),
            ("loki", &self.loki, CHAT),
        ]
    }
}

fn one_sink<const N: usize>(
    receiver: &Located<String>,
    sinks: [(&'static str, Option<SinkConfig>); N],
) -> Result<SinkConfig, Problem> {
    let known = sinks
        .iter()
        .map(|(kind, _)| *kind)
        .collect::<Vec<_>>()
        .join(", ");
    let mut given = sinks
        .into_iter()
        .filter_map(|(kind, sink)| sink.map(|sink| (kind, sink)));
    match (given.next(), given.next()) {
        (Some((_, sink)), None) => Ok(sink),
        (None, _) => Err(receiver.problem(format!(
            "the receiver `{}` has no type: give one of {known}",
            receiver.value
        ))),
        (Some((first, _)), Some((second, _))) => Err(receiver.problem(format!(
            "the receiver `{}` has two types, `{first}` and `{second}`: make it two receivers",
            receiver.value
        ))),
    }
}

fn positive(value: Option<&Located<usize>>) -> Result<Option<usize>, Problem> {
    match value {
        Some(value) if value.value == 0 => Err(value.problem("must be at least 1")),
        value => Ok(value.map(|value| value.value)),
    }
}

/// `4194304`, `512KiB`, `4MiB`, `1GiB`; also the decimal `KB`, `MB`, `GB`, and Kubernetes' `Ki`, `Mi`, `Gi`.
fn bytes(value: Option<&Located<String>>) -> Result<Option<usize>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let text = value.value.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match text[digits..].trim() {
        "" | "B" => Some(1),
        "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "Ki" | "KiB" => Some(1 << 10),
        "Mi" | "MiB" => Some(1 << 20),
        "Gi" | "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = text[..digits]
        .parse::<usize>()
        .ok()
        .zip(unit)
        .and_then(|(count, unit)| count.checked_mul(unit));
    match bytes {
        Some(bytes) if bytes > 0 => Ok(Some(bytes)),
        _ => Err(value.problem(format!(
            "`{text}` is no size: write for example 512KiB or 4MiB"
        ))),
    }
}

/// `500ms`, `2s`, `1m30s`, `1h`.
fn duration(value: Option<&Located<String>>) -> Result<Option<Duration>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let parsed = jiff::fmt::friendly::SpanParser::new().parse_unsigned_duration(value.value.trim());
    match parsed {
        Ok(duration) => Ok(Some(duration)),
        Err(_) => Err(value.problem(format!(
            "`{}` is no duration: write for example 500ms, 2s or 1m30s",
            value.value
        ))),
    }
}
