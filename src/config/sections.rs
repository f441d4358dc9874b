//! Where keys belong that stand in the wrong section, and keys that must not be ignored.

use crate::yaml::{Advice, nearest};

/// A part of the file that has keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Top,
    Route,
    Rule,
    Receiver,
    Sink,
    Batch,
    /// Any other.
    Inner,
}

const TOP: [&str; 16] = [
    "logLevel",
    "logFormat",
    "throttlePeriod",
    "maxEventAgeSeconds",
    "clusterName",
    "namespaces",
    "leaderElection",
    "checkpoint",
    "receivers",
    "kubeQPS",
    "kubeBurst",
    "omitLookup",
    "cacheSize",
    "metricsNamePrefix",
    "statusPage",
    "route",
];
const ROUTE: [&str; 5] = ["drop", "match", "sample", "throttle", "routes"];
const RULE: [&str; 18] = [
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
    "namespaceLabels",
    "minCount",
    "not",
    "receiver",
    "receivers",
];
const RECEIVER: [&str; 9] = [
    "maxInFlight",
    "queue",
    "buffer",
    "retry",
    "timeout",
    "onFull",
    "maxEventAge",
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
const OPENSEARCH: &[&str] = &["opensearch", "elasticsearch"];
/// Those with a key.
const API_KEY: &[&str] = &["opensearch", "elasticsearch", "opsgenie"];
/// Those with a user, or a bearer token.
const ACCESS: &[&str] = &["opensearch", "elasticsearch", "webhook", "loki"];
/// Those that write documents.
const DOCUMENTS: &[&str] = &[
    "opensearch",
    "elasticsearch",
    "webhook",
    "loki",
    "teams",
    "file",
    "pipe",
    "syslog",
    "stdout",
];
/// Keys of sinks, with the types of receivers that have them.
const SINK: [(&str, &[&str]); 52] = [
    ("hosts", OPENSEARCH),
    ("aws", OPENSEARCH),
    ("useEventID", OPENSEARCH),
    ("index", OPENSEARCH),
    ("indexFormat", OPENSEARCH),
    ("dataStream", OPENSEARCH),
    ("documentID", OPENSEARCH),
    ("gzip", OPENSEARCH),
    ("cloudID", OPENSEARCH),
    ("setup", OPENSEARCH),
    ("apiKey", API_KEY),
    ("apiKeyFile", API_KEY),
    ("username", ACCESS),
    ("usernameFile", ACCESS),
    ("password", ACCESS),
    ("passwordFile", ACCESS),
    ("bearerToken", ACCESS),
    ("bearerTokenFile", ACCESS),
    (
        "headers",
        &["opensearch", "elasticsearch", "webhook", "loki", "teams"],
    ),
    (
        "tls",
        &[
            "opensearch",
            "elasticsearch",
            "webhook",
            "loki",
            "slack",
            "teams",
            "opsgenie",
        ],
    ),
    ("deDot", DOCUMENTS),
    ("layout", DOCUMENTS),
    ("endpoint", &["webhook", "slack", "teams"]),
    ("endpointFile", &["teams"]),
    ("method", &["webhook"]),
    ("url", &["loki"]),
    ("streamLabels", &["loki"]),
    ("tenantID", &["loki"]),
    ("token", &["slack"]),
    ("tokenFile", &["slack"]),
    ("webhookFile", &["slack"]),
    ("channel", &["slack"]),
    ("color", &["slack"]),
    ("footer", &["slack"]),
    ("title", &["slack"]),
    ("author_name", &["slack"]),
    ("fields", &["slack"]),
    ("message", &["slack", "opsgenie"]),
    ("URL", &["opsgenie"]),
    ("priority", &["opsgenie"]),
    ("alias", &["opsgenie"]),
    ("description", &["opsgenie"]),
    ("tags", &["opsgenie"]),
    ("details", &["opsgenie"]),
    ("path", &["file", "pipe"]),
    ("maxsize", &["file"]),
    ("maxage", &["file"]),
    ("maxbackups", &["file"]),
    ("network", &["syslog"]),
    ("address", &["syslog"]),
    ("tag", &["syslog"]),
    ("format", &["stdout"]),
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
    let owners = owners(key);
    let hint = |place: &str| Some(Advice::Hint(format!("`{key}` {place}")));
    match section {
        Section::Top | Section::Route | Section::Rule if SINKS.contains(&key) => {
            hint("is a type of receiver, and belongs into an entry of `receivers`")
        }
        Section::Top if key == "routes" => {
            hint("belongs into `route`, under the one at the top; did you mean `route`?")
        }
        Section::Top if ROUTE.contains(&key) => hint("belongs under `route`"),
        Section::Top if key == "receiver" => {
            hint("belongs into a rule under `match`; did you mean `receivers`?")
        }
        Section::Top if key == "leaderElectionID" => hint("belongs under `leaderElection`"),
        Section::Top if key == "enabled" => hint("belongs under `leaderElection` or `statusPage`"),
        Section::Top if key == "events" => hint("belongs under `statusPage`"),
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
        Section::Rule if key == "involvedObject" => hint(
            "is no key of a rule: write `kind`, `name`, `labels` and so on into the rule itself",
        ),
        Section::Route | Section::Rule | Section::Receiver | Section::Sink
            if TOP.contains(&key) =>
        {
            hint("belongs at the top of the file")
        }
        Section::Receiver if OTHER_SINKS.contains(&key) => Some(Advice::Refuse(format!(
            "there is no receiver of type `{key}`: use `webhook` with a `layout` of what its API expects, or towards a pipeline or an OpenTelemetry gateway"
        ))),
        Section::Receiver if !owners.is_empty() => Some(Advice::Hint(format!(
            "`{key}` belongs under the type of the receiver ({}), not beside its `name`",
            types(owners)
        ))),
        Section::Receiver | Section::Sink if BATCH.contains(&key) => {
            hint("belongs under `batch`, beside the receiver's `name`")
        }
        Section::Receiver if TLS.contains(&key) => {
            hint("belongs under `tls`, under the type of the receiver")
        }
        Section::Receiver if key == "receiver" => {
            hint("belongs into a rule under `match`; here the key is `name`")
        }
        Section::Batch if RECEIVER.contains(&key) => {
            hint("belongs beside the receiver's `name`, not under `batch`")
        }
        Section::Sink if TLS.contains(&key) => hint("belongs under `tls`"),
        Section::Sink if RECEIVER.contains(&key) || key == "name" || key == "batch" => {
            hint("belongs beside the receiver's `name`, not under its type")
        }
        Section::Sink if key == "awsService" => Some(Advice::Refuse(
            "write `aws: {service: es}` instead, or `aoss`: requests are signed for it".to_owned(),
        )),
        Section::Sink if address(last(path), key).is_some() => Some(Advice::Hint(format!(
            "here the key is `{}`",
            address(last(path), key).unwrap_or_default()
        ))),
        // It is more likely a slip than another type's key.
        Section::Sink if nearest(key, keys_of(last(path))).is_some() => None,
        Section::Sink if !owners.is_empty() && !owners.contains(&last(path)) => {
            Some(Advice::Hint(format!(
                "`{key}` is a key of {}, not of `{}`",
                types(owners),
                last(path)
            )))
        }
        Section::Top | Section::Route if !owners.is_empty() => Some(Advice::Hint(format!(
            "`{key}` belongs into an entry of `receivers`, under its type ({})",
            types(owners)
        ))),
        Section::Sink if SINKS.contains(&key) => {
            hint("is a type of receiver: make it an entry of `receivers` of its own")
        }
        _ => None,
    }
}

/// The types of receivers that have `key`, in whatever case it is written.
fn owners(key: &str) -> &'static [&'static str] {
    let exact = SINK.iter().find(|(name, _)| *name == key);
    let found = exact.or_else(|| SINK.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)));
    found.map_or(&[], |(_, owners)| owners)
}

/// The keys of a type of receiver.
fn keys_of(sink: &str) -> impl Iterator<Item = &'static str> {
    let of_it = SINK
        .iter()
        .filter(move |(_, owners)| owners.contains(&sink));
    of_it.map(|(name, _)| *name)
}

/// What a type of receiver calls the URL that another calls `key`.
fn address(sink: &str, key: &str) -> Option<&'static str> {
    if !["url", "endpoint", "hosts", "host"].contains(&key.to_ascii_lowercase().as_str()) {
        return None;
    }
    let own = match sink {
        "opensearch" | "elasticsearch" => "hosts",
        "webhook" | "teams" => "endpoint",
        "slack" => "webhook",
        "loki" => "url",
        "opsgenie" => "URL",
        _ => return None,
    };
    // Slack has an `endpoint` besides.
    (own != key).then_some(own)
}

/// `opensearch:` or `elasticsearch:`
fn types(owners: &[&str]) -> String {
    let shown: Vec<String> = owners
        .iter()
        .take(3)
        .map(|owner| format!("`{owner}:`"))
        .collect();
    let more = if owners.len() > shown.len() {
        ", …"
    } else {
        ""
    };
    format!("{}{more}", shown.join(", "))
}

/// The last key of a path.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

fn section(path: &str) -> Section {
    let mut names = path
        .split('.')
        .map(|step| step.split('[').next().unwrap_or_default());
    match names.next() {
        Some("") => Section::Top,
        Some("route") => {
            let last = last(path).split('[').next().unwrap_or_default();
            match last {
                "route" | "routes" => Section::Route,
                "drop" | "match" | "not" => Section::Rule,
                _ => Section::Inner,
            }
        }
        Some("receivers") => match names.count() {
            0 => Section::Receiver,
            1 if last(path) == "batch" => Section::Batch,
            1 => Section::Sink,
            _ => Section::Inner,
        },
        _ => Section::Inner,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn every_key_of_a_receiver_is_known_where_it_does_not_belong() {
        let schema: Value = serde_json::from_str(include_str!("schema.json")).unwrap();
        let properties = |of: &str| -> &Map<String, Value> {
            let section = &schema["definitions"][of]["properties"];
            section.as_object().unwrap()
        };
        let receiver = properties("ReceiverFile");
        let (types, settings): (Vec<&String>, Vec<&String>) = receiver
            .keys()
            .partition(|key| SINKS.contains(&key.as_str()));
        // What it is called and `batch` are told apart from these.
        let known = RECEIVER.into_iter().chain(["name", "batch"]);
        assert_eq!(known.collect::<BTreeSet<_>>(), keys(settings));
        for name in types {
            let section = receiver[name]["anyOf"][0]["$ref"].as_str().unwrap();
            let (_, section) = section.rsplit_once('/').unwrap();
            let mut keys = keys(properties(section).keys());
            // They are keys of other sections too, or types.
            for ambiguous in ["batch", "type", "webhook"] {
                keys.remove(ambiguous);
            }
            assert_eq!(keys_of(name).collect::<BTreeSet<_>>(), keys, "{name}");
        }
    }

    fn keys<'a>(keys: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
        keys.into_iter().map(String::as_str).collect()
    }
}
