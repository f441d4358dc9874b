//! Where keys belong that stand in the wrong section, and keys that must not be ignored.

use crate::yaml::Advice;

/// A part of the file that has keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Top,
    Route,
    Rule,
    Receiver,
    Sink,
    /// Any other.
    Inner,
}

const TOP: [&str; 14] = [
    "logLevel",
    "logFormat",
    "throttlePeriod",
    "maxEventAgeSeconds",
    "clusterName",
    "namespaces",
    "leaderElection",
    "receivers",
    "kubeQPS",
    "kubeBurst",
    "omitLookup",
    "cacheSize",
    "metricsNamePrefix",
    "route",
];
const ROUTE: [&str; 3] = ["drop", "match", "routes"];
const RULE: [&str; 17] = [
    "message",
    "apiVersion",
    "kind",
    "name",
    "namespace",
    "reason",
    "type",
    "component",
    "host",
    "reportingComponent",
    "action",
    "labels",
    "annotations",
    "minCount",
    "not",
    "receiver",
    "receivers",
];
const RECEIVER: [&str; 6] = [
    "queue",
    "retry",
    "timeout",
    "onFull",
    "deadLetter",
    "compat",
];
const BATCH: [&str; 3] = ["maxEvents", "maxBytes", "maxDelay"];
const SINKS: [&str; 20] = [
    "opensearch",
    "elasticsearch",
    "stdout",
    "file",
    "webhook",
    "pipe",
    "syslog",
    "slack",
    "teams",
    "opsgenie",
    "loki",
    "kafka",
    "kinesis",
    "firehose",
    "sns",
    "sqs",
    "eventbridge",
    "pubsub",
    "bigquery",
    "opscenter",
];
/// Of one or more types of receiver, and with one meaning wherever they are.
const SINK: [&str; 43] = [
    "hosts",
    "username",
    "password",
    "index",
    "indexFormat",
    "dataStream",
    "useEventID",
    "documentID",
    "deDot",
    "layout",
    "tls",
    "gzip",
    "endpoint",
    "method",
    "headers",
    "bearerToken",
    "path",
    "maxsize",
    "maxage",
    "maxbackups",
    "format",
    "apiKey",
    "cloudID",
    "url",
    "token",
    "channel",
    "streamLabels",
    "tenantID",
    "message",
    "color",
    "footer",
    "title",
    "author_name",
    "fields",
    "priority",
    "alias",
    "description",
    "tags",
    "details",
    "network",
    "address",
    "tag",
    "URL",
];
const TLS: [&str; 5] = [
    "caFile",
    "certFile",
    "keyFile",
    "insecureSkipVerify",
    "serverName",
];
/// Receivers of forks, and names that the incumbent reserves.
const OTHER_SINKS: [&str; 12] = [
    "clickhouse",
    "cloudwatch",
    "email",
    "fluentd",
    "inMemory",
    "logstash",
    "prometheus",
    "redis",
    "sms",
    "splunk",
    "datadog",
    "http",
];

/// What to say of `key` in the section at `path`, which does not know it. `None` where it is known nowhere.
pub(super) fn advice(path: &str, key: &str) -> Option<Advice> {
    let section = section(path);
    let hint = |place: &str| Some(Advice::Hint(format!("`{key}` {place}")));
    match section {
        Section::Top | Section::Route | Section::Rule if SINKS.contains(&key) => {
            hint("is a type of receiver, and belongs into an entry of `receivers`")
        }
        Section::Top if key == "routes" => hint(
            "belongs into `route`, under the one at the top; did you mean `route`?",
        ),
        Section::Top if ROUTE.contains(&key) => hint("belongs under `route`"),
        Section::Top if key == "receiver" => hint(
            "belongs into a rule under `match`; did you mean `receivers`?",
        ),
        Section::Top if key == "enabled" || key == "leaderElectionID" => {
            hint("belongs under `leaderElection`")
        }
        Section::Top if RULE.contains(&key) => hint("belongs into a rule, under `route`"),
        Section::Route if RULE.contains(&key) && key != "receivers" => {
            hint("belongs into a rule: an entry of `match` or `drop`")
        }
        Section::Rule if ROUTE.contains(&key) => {
            hint("belongs into a route, beside `match`, not into one of its rules")
        }
        Section::Rule if key == "receivers" => {
            hint("is no key of a rule: write one rule for each `receiver`")
        }
        Section::Rule if key == "namespaces" => {
            hint("is no key of a rule; did you mean `namespace`?")
        }
        Section::Rule if key == "involvedObject" => {
            hint("is no key of a rule: write `kind`, `name`, `labels` and so on into the rule itself")
        }
        Section::Route | Section::Rule | Section::Receiver | Section::Sink
            if TOP.contains(&key) =>
        {
            hint("belongs at the top of the file")
        }
        Section::Receiver if OTHER_SINKS.contains(&key) => Some(Advice::Refuse(format!(
            "there is no receiver of type `{key}`: use `webhook` with a `layout` of what its API expects, or towards a pipeline or an OpenTelemetry gateway"
        ))),
        Section::Receiver if SINK.contains(&key) => hint(
            "belongs under the type of the receiver (`opensearch:`, `stdout:`, …), not beside its `name`",
        ),
        Section::Receiver | Section::Sink if BATCH.contains(&key) => {
            hint("belongs under `batch`, beside the receiver's `name`")
        }
        Section::Receiver if TLS.contains(&key) => {
            hint("belongs under `tls`, under the type of the receiver")
        }
        Section::Receiver if key == "receiver" => {
            hint("belongs into a rule under `match`; here the key is `name`")
        }
        Section::Sink if TLS.contains(&key) => hint("belongs under `tls`"),
        Section::Sink if RECEIVER.contains(&key) || key == "name" || key == "batch" => {
            hint("belongs beside the receiver's `name`, not under its type")
        }
        Section::Sink if key == "awsService" || key == "aws" => Some(Advice::Refuse(
            "requests are not signed for AWS (yet), and would be refused: use `username` and `password`, or a proxy that signs them under `hosts`"
                .to_owned(),
        )),
        Section::Sink if SINKS.contains(&key) => {
            hint("is a type of receiver: make it an entry of `receivers` of its own")
        }
        _ => None,
    }
}

fn section(path: &str) -> Section {
    let mut names = path
        .split('.')
        .map(|step| step.split('[').next().unwrap_or_default());
    match (names.next(), path.rsplit('.').next()) {
        (Some(""), _) => Section::Top,
        (Some("route"), Some(last)) => {
            let last = last.split('[').next().unwrap_or_default();
            match last {
                "route" | "routes" => Section::Route,
                "drop" | "match" | "not" => Section::Rule,
                _ => Section::Inner,
            }
        }
        (Some("receivers"), _) => match names.count() {
            0 => Section::Receiver,
            1 => Section::Sink,
            _ => Section::Inner,
        },
        _ => Section::Inner,
    }
}
