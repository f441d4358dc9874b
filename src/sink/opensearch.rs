//! OpenSearch, and Elasticsearch, by `_bulk`.
//!
//! Documents have ids that depend on nothing but the event, so that sending one again never makes a second document.
//! The official client carries the requests; encoding, compression and the reading of answers are ours, because it has
//! none of them. Never format its types for logs: they print passwords.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use opensearch::http::Method;
use opensearch::http::headers::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use tracing::warn;
use url::Url;

use self::aws::AwsConfig;
use self::bulk::{Action, Operation};
use self::error::{is_its_own, refusal};
use self::host::{Answer, Hosts};
use self::index::Target;
use self::setup::{Plan, SetUpFirst, SetupConfig};
use super::body::{self, Body};
use super::http::{TlsConfig, classify, retry_after};
use super::preview::Preview;
use super::{Receipt, Rejection, SendError, SendErrorKind, Sink, SinkSettings};
use crate::event::Event;
use crate::yaml::{Located, Problem, Problems, Switch, Value};

mod access;
mod aws;
pub mod bulk;
mod error;
mod host;
pub mod index;
mod lint;
pub mod setup;

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OpenSearchConfig {
    /// URLs; several are used in turn. By default the environment's, as the incumbent has it, or the local host.
    hosts: Vec<Located<String>>,
    /// Of basic authentication; only with a password.
    username: Located<String>,
    /// A file that holds it, instead of `username`.
    username_file: Located<String>,
    /// Of basic authentication.
    password: Located<String>,
    /// A file that holds it, instead of `password`.
    password_file: Located<String>,
    /// One document per Event, its latest state, rather than one per occurrence.
    #[serde(rename = "useEventID")]
    use_event_id: bool,
    /// The index; a template.
    index: Located<String>,
    /// The index, with the event's date in braces, as Go lays it out; a template. Comes before `index`.
    index_format: Located<String>,
    /// The data stream. Instead of an index.
    data_stream: Located<String>,
    /// Whether documents have ids.
    #[serde(rename = "documentID")]
    document_id: DocumentId,
    /// Without effect: the servers that knew types of documents are gone.
    #[serde(rename = "type")]
    document_type: Located<String>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// TLS of `https` hosts.
    pub tls: TlsConfig,
    /// Compresses requests, unless it says not to.
    gzip: Option<bool>,
    /// Elastic's name of a deployment. Instead of `hosts`.
    #[serde(rename = "cloudID")]
    cloud_id: Located<String>,
    /// Of `Authorization: ApiKey`: `id:key`, or the same in Base64.
    api_key: Located<String>,
    /// A file that holds it, instead of `apiKey`.
    api_key_file: Located<String>,
    /// Of `Authorization: Bearer`.
    bearer_token: Located<String>,
    /// A file that holds it, instead of `bearerToken`.
    bearer_token_file: Located<String>,
    /// Signs requests for Amazon, instead of a user.
    aws: Option<AwsConfig>,
    /// Of every request.
    headers: BTreeMap<String, Located<String>>,
    /// Makes templates, policy and data stream before the first event is written.
    setup: Switch<SetupConfig>,
}

/// Whether documents have ids.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentId {
    /// From the event, so that none is there twice.
    #[default]
    Event,
    /// None, for Amazon's time-series collections, which refuse them.
    None,
}

/// Whose `_bulk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenSearch 1 to 3.
    OpenSearch,
    /// Elasticsearch 7 to 9.
    Elasticsearch,
}

/// The sink.
pub struct OpenSearch {
    hosts: Hosts,
    target: Target,
    ids: Ids,
    body: Body,
    /// Until a server turns out that can't read it.
    gzip: AtomicBool,
    path: String,
}

/// What a document's id is made of, and with which operation it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// The Event's uid; a version that is not newer is refused.
    Event,
    /// The Event's uid and version; one that is there is refused.
    Occurrence,
    /// The server's.
    None,
}

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

// === impl OpenSearchConfig ===

impl Default for OpenSearchConfig {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            username: Located::default(),
            username_file: Located::default(),
            password: Located::default(),
            password_file: Located::default(),
            use_event_id: false,
            index: Located::default(),
            index_format: Located::default(),
            data_stream: Located::default(),
            document_id: DocumentId::Event,
            document_type: Located::default(),
            de_dot: false,
            layout: None,
            tls: TlsConfig::default(),
            gzip: None,
            cloud_id: Located::default(),
            api_key: Located::default(),
            api_key_file: Located::default(),
            bearer_token: Located::default(),
            bearer_token_file: Located::default(),
            aws: None,
            headers: BTreeMap::new(),
            setup: Switch::default(),
        }
    }
}

impl fmt::Debug for OpenSearchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hosts may hold credentials too.
        f.debug_struct("OpenSearchConfig")
            .field("index", &self.index.value)
            .finish_non_exhaustive()
    }
}

impl OpenSearchConfig {
    fn target(&self) -> Result<Target, Problem> {
        let (index, format, stream) = (&self.index, &self.index_format, &self.data_stream);
        if !stream.value.is_empty() {
            if !index.value.is_empty() || !format.value.is_empty() {
                return Err(stream.problem("give either `dataStream` or an index"));
            }
            if self.use_event_id {
                return Err(stream.problem(
                    "a data stream cannot hold one document per Event: leave `useEventID` out",
                ));
            }
            return Target::data_stream(stream);
        }
        if !format.value.is_empty() {
            return Target::dated(format);
        }
        if index.value.is_empty() {
            return Err(index.problem("say where to: give `index`, `indexFormat` or `dataStream`"));
        }
        Target::index(index)
    }

    /// Whether a host is Amazon's serverless, by its name or by what requests are signed for.
    fn is_serverless(&self, host: &Url) -> bool {
        let signed = self.aws.as_ref().is_some_and(AwsConfig::is_for_serverless);
        signed || aws::is_serverless(host)
    }

    /// What documents are instead of ours.
    fn layout(&self) -> Option<&Value> {
        let layout = self.layout.as_ref().map(|layout| &layout.value);
        layout.filter(|layout| !body::is_empty(layout))
    }

    fn ids(&self) -> Ids {
        match (self.document_id, self.use_event_id) {
            (DocumentId::None, _) => Ids::None,
            (DocumentId::Event, true) => Ids::Event,
            (DocumentId::Event, false) => Ids::Occurrence,
        }
    }
}

/// Makes the sink, with what it does before the first event.
pub fn build(
    config: &OpenSearchConfig,
    dialect: Dialect,
    settings: SinkSettings,
) -> Result<Box<dyn Sink>, Problems> {
    let mut problems = Problems::default();
    let sink = problems.ok(OpenSearch::new(config, dialect, settings));
    let plan = config.is_set_up_at_start().then(|| {
        // What is wrong with the target is told already.
        sink.is_some()
            .then(|| problems.ok(Plan::new(config, dialect)))
    });
    let Some(sink) = sink.filter(|_| problems.is_empty()) else {
        return Err(problems);
    };
    Ok(match plan.flatten().flatten() {
        Some(plan) => Box::new(SetUpFirst::new(sink, plan)),
        None => Box::new(sink),
    })
}

// === impl OpenSearch ===

impl OpenSearch {
    /// Makes the sink. Reads files of credentials and certificates, connects nowhere.
    pub fn new(
        config: &OpenSearchConfig,
        dialect: Dialect,
        settings: SinkSettings,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let target = problems.ok(config.target());
        let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat);
        let body = problems.ok(body);
        let hosts = problems.ok(Hosts::new(config, dialect, settings.timeout));
        let (Some(target), Some(body), Some(hosts)) = (target, body, hosts) else {
            return Err(problems);
        };
        let ids = config.ids();
        // Small answers; and a server that lacks a shard says so before we stop waiting. It may wait that long twice, first
        // for the index.
        let seconds = (settings.timeout / 3).as_secs().max(1);
        let path = format!(
            "_bulk?timeout={seconds}s&filter_path=errors,error,status,items.*.status,items.*.error.type,items.*.error.reason,\
             items.*.error.caused_by"
        );
        Ok(Self {
            hosts,
            target,
            ids,
            body,
            gzip: AtomicBool::new(config.gzip.unwrap_or(true)),
            path,
        })
    }

    async fn send_batch(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let mut request = Vec::with_capacity(batch.len() * 1024);
        let (sent, rejected) = self.encode(batch, &mut request);
        if sent.is_empty() {
            return Ok(Receipt {
                rejected,
                ..Receipt::default()
            });
        }
        let packed = self.gzip.load(Ordering::Relaxed);
        let answer = self.post(request, packed).await?;
        let status = answer.status;
        if let Some(kind) = classify(status) {
            return Err(self.refused(&answer, kind, packed));
        }
        let mut outcome = bulk::read(&answer.body, sent.len())?;
        let rejected_there = outcome.rejected.iter_mut().map(|it| &mut it.reason);
        let repeated = outcome.retry_cause.iter_mut().map(|it| &mut it.reason);
        for reason in rejected_there.chain(repeated) {
            answer.secrets.hide_in(reason);
        }
        let of_batch = |index: usize| sent.get(index).copied().unwrap_or(index);
        let mut receipt = Receipt {
            rejected,
            retry: outcome.retry.into_iter().map(of_batch).collect(),
            retry_cause: outcome.retry_cause,
            duplicates: outcome.duplicates,
            status: Some(status),
        };
        receipt.rejected.extend(
            outcome
                .rejected
                .into_iter()
                .map(|Rejection { index, reason }| Rejection {
                    index: of_batch(index),
                    reason,
                }),
        );
        Ok(receipt)
    }

    /// Appends the batch as NDJSON; returns which events are in it, and which cannot be.
    fn encode(&self, batch: &[Arc<Event>], to: &mut Vec<u8>) -> (Vec<usize>, Vec<Rejection>) {
        let mut sent = Vec::with_capacity(batch.len());
        let mut rejected = Vec::new();
        for (at, event) in batch.iter().enumerate() {
            let start = to.len();
            match self.encode_one(event, to) {
                Ok(()) => {
                    to.push(b'\n');
                    sent.push(at);
                }
                Err(reason) => {
                    to.truncate(start);
                    rejected.push(Rejection { index: at, reason });
                }
            }
        }
        (sent, rejected)
    }

    /// Appends the operation and its document, without the last line end.
    fn encode_one(&self, event: &Event, to: &mut Vec<u8>) -> Result<(), String> {
        let index = self
            .target
            .of(event, self.ids == Ids::Event)
            .map_err(|error| error.to_string())?;
        Operation {
            action: self.action(event),
            index: &index,
        }
        .append(to)?;
        to.push(b'\n');
        self.body
            .append(event, to)
            .map_err(|error| error.to_string())
    }

    fn action<'a>(&self, event: &'a Event) -> Action<'a> {
        let metadata = &event.metadata;
        match self.ids {
            _ if metadata.uid.is_empty() => Action::Create { id: None },
            Ids::None => Action::Create { id: None },
            // One id for all versions would hide all but the first.
            Ids::Occurrence if metadata.resource_version.is_empty() => Action::Create { id: None },
            Ids::Occurrence => Action::Create {
                id: Some((&metadata.uid, &metadata.resource_version)),
            },
            Ids::Event => Action::Latest {
                uid: &metadata.uid,
                version: event.version(),
            },
        }
    }

    async fn post(&self, request: Vec<u8>, packed: bool) -> Result<Answer, SendError> {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, NDJSON);
        let request = if packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compress(&request)
                .map_err(|error| SendError::transient(format!("cannot compress: {error}")))?
        } else {
            request
        };
        self.hosts
            .send(Method::Post, &self.path, headers, Some(request.into()))
            .await
    }

    fn refused(&self, answer: &Answer, kind: SendErrorKind, packed: bool) -> SendError {
        let status = answer.status;
        let reason = refusal(status, &answer.body);
        let retry_after = retry_after(&answer.headers);
        let error = |kind| SendError {
            kind,
            reason: reason.clone(),
            status: Some(status),
            retry_after,
        };
        match (status, kind) {
            // Some servers lose the compression of a request: 2.11.0, 2.17.0.
            (400, _)
                if packed
                    && (reason.contains("CTRL-CHAR")
                        || reason.contains("must be terminated by a newline")) =>
            {
                if self.gzip.swap(false, Ordering::Relaxed) {
                    warn!(
                        error = reason,
                        "the server cannot read compressed requests: sending them plain from now on"
                    );
                }
                error(SendErrorKind::Transient)
            }
            (400, kind) if is_its_own(&answer.body) => error(kind),
            // A wrong path, method, port or proxy is the same for every event: somebody has to mend it.
            (_, SendErrorKind::Refused) => error(SendErrorKind::Denied),
            (_, kind) => error(kind),
        }
    }
}

impl Sink for OpenSearch {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.send_batch(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        self.body.reads_object() || self.target.reads_object()
    }

    fn preview(&self, event: &Event) -> Result<Preview, String> {
        let mut lines = Vec::with_capacity(1024);
        self.encode_one(event, &mut lines)?;
        Ok(Preview::of_bulk(&lines, self.hosts.bulk_url()))
    }
}

fn compress(request: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::with_capacity(request.len() / 6), Compression::fast());
    encoder.write_all(request)?;
    encoder.finish()
}

#[cfg(test)]
mod tests;
