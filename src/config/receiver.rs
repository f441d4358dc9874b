//! One receiver of the configuration file.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::check::Check;
use crate::batch::BatchLimits;
use crate::buffer::{BufferConfig, MIN_BYTES};
use crate::dead_letter::DeadLetterConfig;
use crate::event::Compat;
use crate::receiver::{OnFull, RETRY_DEFAULTS};
use crate::retry::RetryLimits;
use crate::sink::SinkConfig;
use crate::sink::file::FileConfig;
use crate::sink::loki::LokiConfig;
use crate::sink::opensearch::setup::Party;
use crate::sink::opensearch::{Dialect, OpenSearchConfig};
use crate::sink::opsgenie::OpsgenieConfig;
use crate::sink::pipe::PipeConfig;
use crate::sink::slack::SlackConfig;
use crate::sink::stdout::StdoutConfig;
use crate::sink::syslog::SyslogConfig;
use crate::sink::teams::TeamsConfig;
use crate::sink::webhook::WebhookConfig;
use crate::yaml::{self, Located, Problem, Value};

/// One receiver.
#[derive(Debug)]
pub struct ReceiverConfig {
    /// What routes call it.
    pub name: String,
    /// Where it stands.
    pub location: Located<String>,
    /// Whether all of it could be read. If not, the configuration does not run, and what is not there may be no mistake.
    pub is_whole: bool,
    /// Where its events go.
    pub sink: SinkConfig,
    /// How events are put together.
    pub batch: BatchLimits,
    /// How many batches may be on their way at once.
    pub max_in_flight: usize,
    /// How many bytes of events may wait.
    pub queue_bytes: usize,
    /// How attempts are repeated.
    pub retry: RetryLimits,
    /// How long one request may take.
    pub timeout: Duration,
    /// What happens when its queue is full.
    pub on_full: OnFull,
    /// Older events are not for it.
    pub max_event_age: Option<Duration>,
    /// What happens to events that the sink will never take.
    pub dead_letter: DeadLetterConfig,
    /// Where events wait on the disk.
    pub buffer: Option<BufferConfig>,
    /// Whose document it writes.
    pub compat: Compat,
}

/// A receiver as it is written.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReceiverFile {
    name: Located<String>,
    batch: BatchFile,
    /// How many batches may be on their way at once; 2 for OpenSearch and Elasticsearch, else 1 if nothing is said.
    max_in_flight: Option<Located<usize>>,
    queue: QueueFile,
    retry: RetryFile,
    timeout: Option<Located<String>>,
    on_full: OnFull,
    max_event_age: Option<Located<String>>,
    dead_letter: DeadLetterConfig,
    buffer: Option<BufferFile>,
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
    pipe: Option<PipeConfig>,
    #[serde(deserialize_with = "yaml::present")]
    syslog: Option<SyslogConfig>,
    #[serde(deserialize_with = "yaml::present")]
    webhook: Option<WebhookConfig>,
    #[serde(deserialize_with = "yaml::present")]
    loki: Option<LokiConfig>,
    #[serde(deserialize_with = "yaml::present")]
    slack: Option<SlackConfig>,
    #[serde(deserialize_with = "yaml::present")]
    teams: Option<TeamsConfig>,
    #[serde(deserialize_with = "yaml::present")]
    opsgenie: Option<OpsgenieConfig>,
    // Receivers of the incumbent that we do not have.
    #[cfg_attr(test, schemars(skip))]
    kinesis: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    firehose: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    sqs: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    sns: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    kafka: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    pubsub: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    opscenter: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    bigquery: Option<Located<Value>>,
    #[cfg_attr(test, schemars(skip))]
    eventbridge: Option<Located<Value>>,
}

#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the keys")]
struct BatchFile {
    max_events: Option<Located<usize>>,
    max_bytes: Option<Located<String>>,
    max_delay: Option<Located<String>>,
}

#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct QueueFile {
    max_bytes: Option<Located<String>>,
}

#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct BufferFile {
    /// A folder of its own, which is made if it is not there.
    pub(super) path: Located<String>,
    /// How large it may become; 1GiB if nothing is said.
    max_bytes: Option<Located<String>>,
}

#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RetryFile {
    initial: Option<Located<String>>,
    max: Option<Located<String>>,
}

const QUEUE_BYTES: usize = 8 << 20;
const BUFFER_BYTES: u64 = 1 << 30;
/// Of waits and time limits, where none at all would make a busy loop.
const SHORTEST: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Each of them is in memory, and every server has its limits.
const MAX_IN_FLIGHT: usize = 32;

// === impl ReceiverConfig ===

impl ReceiverConfig {
    /// The files that it is made of besides the configuration's.
    pub fn files(&self) -> Vec<PathBuf> {
        self.sink.files()
    }

    /// Whose setup it would be, if it writes to OpenSearch or Elasticsearch.
    pub fn party(&self) -> Option<Party<'_>> {
        let SinkConfig::OpenSearch(config, dialect) = &self.sink else {
            return None;
        };
        Some(Party {
            name: &self.name,
            config,
            dialect: *dialect,
        })
    }
}

// === impl ReceiverFile ===

impl ReceiverFile {
    /// What routes call it; empty if that is not given.
    pub(super) fn name(&self) -> &Located<String> {
        &self.name
    }

    /// Where its events are buffered, if they are.
    pub(super) fn buffer(&self) -> Option<&Located<String>> {
        self.buffer.as_ref().map(|buffer| &buffer.path)
    }

    /// Finds every mistake in it. What can't be read of its settings is as if it were not there: nothing runs with an error.
    /// If it `is_whole`, what is not there is missing. It has a name.
    pub(super) fn check(self, is_whole: bool, check: &mut Check) -> Option<ReceiverConfig> {
        let max_events = check.ok(positive(self.batch.max_events.as_ref()));
        let in_flight = check.ok(in_flight(self.max_in_flight.clone())).flatten();
        let max_delay = duration(self.batch.max_delay.as_ref(), Duration::ZERO);
        let max_delay = check.ok(max_delay).flatten();
        let [max_bytes, queue_bytes] = [&self.batch.max_bytes, &self.queue.max_bytes]
            .map(|size| check.ok(bytes(size.as_ref())).flatten());
        let times = [
            &self.retry.initial,
            &self.retry.max,
            &self.timeout,
            &self.max_event_age,
        ];
        let [initial, max, timeout, max_event_age] =
            times.map(|time| check.ok(duration(time.as_ref(), SHORTEST)).flatten());
        let (location, on_full, compat) = (self.name.clone(), self.on_full, self.compat);
        let dead_letter = self.dead_letter.clone();
        let buffer = self.buffer.as_ref().map(BufferFile::check);
        let buffer = check.ok(buffer.transpose()).flatten();
        let sink = check.ok(self.sink(is_whole))??;
        if is_whole {
            sink.lint(compat, &mut check.warnings);
            if let Some(given) = &in_flight
                && given.value > 1
                && sink.max_in_flight().is_none()
            {
                check.warnings.push(given.problem(
                    "without effect: what this receiver writes to takes one batch after the other",
                ));
            }
        }
        let max_in_flight = sink
            .max_in_flight()
            .map_or(1, |usual| in_flight.map_or(usual, |given| given.value));
        let defaults = sink.batch_defaults();
        Some(ReceiverConfig {
            name: location.value.clone(),
            location,
            is_whole,
            sink,
            batch: BatchLimits {
                max_events: max_events.flatten().unwrap_or(defaults.max_events),
                max_bytes: max_bytes.unwrap_or(defaults.max_bytes),
                max_delay: max_delay.unwrap_or(defaults.max_delay),
            },
            max_in_flight,
            queue_bytes: queue_bytes.unwrap_or(QUEUE_BYTES),
            retry: RetryLimits {
                initial: initial.unwrap_or(RETRY_DEFAULTS.initial),
                max: max.unwrap_or(RETRY_DEFAULTS.max),
            },
            timeout: timeout.unwrap_or(TIMEOUT),
            on_full,
            max_event_age,
            dead_letter,
            buffer,
            compat,
        })
    }

    /// Its one sink. If it is not `is_whole`, that may be what could not be read.
    fn sink(self, is_whole: bool) -> Result<Option<SinkConfig>, Problem> {
        for (kind, given, instead) in self.unsupported() {
            if let Some(given) = given {
                return Err(given.problem(format!(
                    "there is no receiver of type `{kind}` (yet): {instead}"
                )));
            }
        }
        let opensearch =
            |config: OpenSearchConfig| SinkConfig::OpenSearch(config.into(), Dialect::OpenSearch);
        let elasticsearch = |config: OpenSearchConfig| {
            SinkConfig::OpenSearch(config.into(), Dialect::Elasticsearch)
        };
        let webhook = |config: WebhookConfig| SinkConfig::Webhook(config.into());
        let loki = |config: LokiConfig| SinkConfig::Loki(config.into());
        let slack = |config: SlackConfig| SinkConfig::Slack(config.into());
        let teams = |config: TeamsConfig| SinkConfig::Teams(config.into());
        let opsgenie = |config: OpsgenieConfig| SinkConfig::Opsgenie(config.into());
        one_sink(
            &self.name,
            is_whole,
            [
                ("opensearch", self.opensearch.map(opensearch)),
                ("elasticsearch", self.elasticsearch.map(elasticsearch)),
                ("stdout", self.stdout.map(SinkConfig::Stdout)),
                ("file", self.file.map(SinkConfig::File)),
                ("pipe", self.pipe.map(SinkConfig::Pipe)),
                ("syslog", self.syslog.map(SinkConfig::Syslog)),
                ("webhook", self.webhook.map(webhook)),
                ("loki", self.loki.map(loki)),
                ("slack", self.slack.map(slack)),
                ("teams", self.teams.map(teams)),
                ("opsgenie", self.opsgenie.map(opsgenie)),
            ],
        )
    }

    /// The incumbent's receivers that we do not have, and what to do instead.
    fn unsupported(&self) -> [(&'static str, &Option<Located<Value>>, &'static str); 9] {
        [
            (
                "kafka",
                &self.kafka,
                "use `webhook` towards Strimzi's HTTP bridge or Confluent's REST proxy, with a `layout` of `records: [{value: {...}}]`, \
                 or with `batch: array` towards Vector, which writes to Kafka",
            ),
            (
                "kinesis",
                &self.kinesis,
                "use `webhook` with `batch: array` towards Vector or Fluent Bit, which write to Kinesis",
            ),
            (
                "firehose",
                &self.firehose,
                "use `webhook` with `batch: array` towards Vector or Fluent Bit, which write to Firehose",
            ),
            (
                "sqs",
                &self.sqs,
                "use `webhook` towards an API Gateway whose integration is SQS SendMessage",
            ),
            (
                "sns",
                &self.sns,
                "use `webhook` towards an API Gateway whose integration is SNS Publish",
            ),
            (
                "eventbridge",
                &self.eventbridge,
                "use `webhook` towards an API Gateway whose integration is EventBridge PutEvents",
            ),
            (
                "opscenter",
                &self.opscenter,
                "use `webhook` towards an API Gateway whose integration is Systems Manager CreateOpsItem",
            ),
            (
                "pubsub",
                &self.pubsub,
                "use `webhook` with `batch: array` towards Vector, which writes to Pub/Sub",
            ),
            (
                "bigquery",
                &self.bigquery,
                "use `webhook` with `batch: array` towards Fluent Bit, which writes to BigQuery",
            ),
        ]
    }
}

impl BufferFile {
    fn check(&self) -> Result<BufferConfig, Problem> {
        if self.path.is_empty() {
            return Err(self
                .path
                .problem("where? Give `buffer.path`, a folder of its own"));
        }
        let given = bytes(self.max_bytes.as_ref())?.map(|bytes| bytes as u64);
        if let (Some(given), Some(place)) = (given, &self.max_bytes)
            && given < MIN_BYTES
        {
            return Err(place.problem("too small for a buffer: give 16MiB or more"));
        }
        Ok(BufferConfig {
            path: self.path.value.clone().into(),
            max_bytes: given.unwrap_or(BUFFER_BYTES),
        })
    }
}

fn one_sink<const N: usize>(
    receiver: &Located<String>,
    is_whole: bool,
    sinks: [(&'static str, Option<SinkConfig>); N],
) -> Result<Option<SinkConfig>, Problem> {
    let known = sinks.each_ref().map(|(kind, _)| *kind).join(", ");
    let mut given = sinks
        .into_iter()
        .filter_map(|(kind, sink)| sink.map(|sink| (kind, sink)));
    match (given.next(), given.next()) {
        (Some((_, sink)), None) => Ok(Some(sink)),
        (None, _) if is_whole => Err(receiver.problem(format!(
            "the receiver `{}` has no type: give one of {known}",
            receiver.value
        ))),
        (None, _) => Ok(None),
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

fn in_flight(value: Option<Located<usize>>) -> Result<Option<Located<usize>>, Problem> {
    match value {
        Some(value) if !(1..=MAX_IN_FLIGHT).contains(&value.value) => {
            Err(value.problem(format!("must be from 1 to {MAX_IN_FLIGHT}")))
        }
        value => Ok(value),
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
            "`{}` is no size: write for example 512KiB or 4MiB",
            value.shown()
        ))),
    }
}

fn duration(
    value: Option<&Located<String>>,
    shortest: Duration,
) -> Result<Option<Duration>, Problem> {
    value
        .map(|value| yaml::duration(value, shortest))
        .transpose()
}
