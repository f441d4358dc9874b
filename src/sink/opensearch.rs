//! OpenSearch, and Elasticsearch, by `_bulk`.
//!
//! Documents have ids that depend on nothing but the event, so that sending one again never makes a second document.
//! The official client carries the requests; encoding, compression and the reading of answers are ours, because it has
//! none of them. Never format its types for logs: they print passwords.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use opensearch::auth::{ClientCertificate, Credentials};
use opensearch::cert::{Certificate, CertificateValidation};
use opensearch::http::headers::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use opensearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use opensearch::http::{Method, Url};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use self::bulk::{Action, Operation};
use self::index::Target;
use super::body::Body;
use super::http::{TlsConfig, classify, reason, retry_after};
use super::{Receipt, Rejection, SendError, SendErrorKind, Sink, SinkSettings};
use crate::event::Event;
use crate::yaml::{Located, Problem, Value};

pub mod bulk;
pub mod index;

/// The sink as the configuration gives it.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OpenSearchConfig {
    /// URLs; several are used in turn. By default the environment's, as the incumbent has it, or the local host.
    hosts: Vec<Located<String>>,
    /// Of basic authentication; only with a password.
    username: String,
    /// Of basic authentication.
    password: String,
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
    /// Means nothing any more: the servers that knew document types are gone.
    #[serde(rename = "type")]
    _document_type: String,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// TLS of `https` hosts.
    tls: TlsConfig,
    /// Compresses requests.
    gzip: bool,
}

/// Whether documents have ids.
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
    gzip: bool,
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

/// The hosts, used in turn.
struct Hosts {
    hosts: Vec<Host>,
    next: usize,
}

struct Host {
    transport: Transport,
    /// Without credentials.
    name: String,
    resting_until: Option<Instant>,
}

/// How long a host that did not answer is left alone, if there are others.
const REST: Duration = Duration::from_secs(15);
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

// === impl OpenSearchConfig ===

impl Default for OpenSearchConfig {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            username: String::new(),
            password: String::new(),
            use_event_id: false,
            index: Located::default(),
            index_format: Located::default(),
            data_stream: Located::default(),
            document_id: DocumentId::Event,
            _document_type: String::new(),
            de_dot: false,
            layout: None,
            tls: TlsConfig::default(),
            gzip: true,
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

    fn ids(&self) -> Ids {
        match (self.document_id, self.use_event_id) {
            (DocumentId::None, _) => Ids::None,
            (DocumentId::Event, true) => Ids::Event,
            (DocumentId::Event, false) => Ids::Occurrence,
        }
    }

    fn urls(&self, dialect: Dialect) -> anyhow::Result<Vec<Url>> {
        if self.hosts.is_empty() {
            return hosts_of_environment(dialect);
        }
        self.hosts
            .iter()
            .map(|host| parse_host(&host.value).map_err(|error| host.problem(error).into()))
            .collect()
    }
}

fn hosts_of_environment(dialect: Dialect) -> anyhow::Result<Vec<Url>> {
    let names = match dialect {
        Dialect::OpenSearch => ["OPENSEARCH_URL", "ELASTICSEARCH_URL"],
        Dialect::Elasticsearch => ["ELASTICSEARCH_URL", "OPENSEARCH_URL"],
    };
    let found = names
        .into_iter()
        .find_map(|name| Some((name, std::env::var(name).ok().filter(|v| !v.is_empty())?)));
    let Some((name, hosts)) = found else {
        return Ok(vec![Url::parse("http://localhost:9200/")?]);
    };
    hosts
        .split(',')
        .map(|host| {
            parse_host(host.trim())
                .map_err(|error| anyhow::anyhow!("the environment variable {name}: {error}"))
        })
        .collect()
}

/// The URL of a host, whose path is a prefix of every request's.
fn parse_host(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text)
        .map_err(|error| format!("a host is no URL: {error}; write https://NAME:PORT"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("a host must begin with http:// or https://".to_owned());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

// === impl OpenSearch ===

impl OpenSearch {
    /// Makes the sink. Reads certificate files, connects nowhere.
    pub fn new(
        config: &OpenSearchConfig,
        dialect: Dialect,
        settings: SinkSettings,
    ) -> anyhow::Result<Self> {
        let target = config.target()?;
        let ids = config.ids();
        let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat)?;
        let tls = config.tls.load()?;
        let mut hosts = Vec::new();
        for url in config.urls(dialect)? {
            hosts.push(Host::new(url, config, &tls, settings.timeout)?);
        }
        let seconds = (settings.timeout / 2).as_secs().max(1);
        // Small answers; and a server that lacks a shard says so before we stop waiting.
        let path = format!(
            "_bulk?timeout={seconds}s&filter_path=errors,error,status,items.*.status,items.*.error.type,items.*.error.reason,\
             items.*.error.caused_by"
        );
        Ok(Self {
            hosts: Hosts { hosts, next: 0 },
            target,
            ids,
            body,
            gzip: config.gzip,
            path,
        })
    }

    async fn send_batch(&mut self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let mut request = Vec::with_capacity(batch.len() * 1024);
        let (sent, rejected) = self.encode(batch, &mut request);
        if sent.is_empty() {
            return Ok(Receipt {
                rejected,
                ..Receipt::default()
            });
        }
        let (status, headers, answer) = self.post(request).await?;
        if let Some(kind) = classify(status) {
            return Err(self.refused(status, kind, &headers, &answer));
        }
        let outcome = bulk::read(&answer, sent.len())?;
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
            let index = self.target.of(event, self.ids == Ids::Event);
            let written = Operation {
                action: self.action(event),
                index: &index,
            }
            .append(to)
            .and_then(|()| {
                to.push(b'\n');
                self.body
                    .append(event, to)
                    .map_err(|error| error.to_string())
            });
            match written {
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

    fn action<'a>(&self, event: &'a Event) -> Action<'a> {
        let metadata = &event.metadata;
        match self.ids {
            _ if metadata.uid.is_empty() => Action::Create { id: None },
            Ids::None => Action::Create { id: None },
            Ids::Occurrence => Action::Create {
                id: Some((&metadata.uid, &metadata.resource_version)),
            },
            Ids::Event => Action::Latest {
                uid: &metadata.uid,
                version: event.version(),
            },
        }
    }

    async fn post(&mut self, request: Vec<u8>) -> Result<(u16, HeaderMap, Bytes), SendError> {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, NDJSON);
        let request = if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compress(&request)
                .map_err(|error| SendError::transient(format!("cannot compress: {error}")))?
        } else {
            request
        };
        let host = self.hosts.next();
        let answer = async {
            let response = host
                .transport
                .send(
                    Method::Post,
                    &self.path,
                    headers,
                    None::<&()>,
                    Some(Bytes::from(request)),
                    None,
                )
                .await?;
            let (status, headers) = (response.status_code().as_u16(), response.headers().clone());
            Ok::<_, opensearch::Error>((status, headers, response.bytes().await?))
        };
        match answer.await {
            Ok(answer) => {
                host.resting_until = None;
                Ok(answer)
            }
            Err(error) => {
                host.resting_until = Some(Instant::now() + REST);
                Err(SendError::transient(format!(
                    "{}: {}",
                    host.name,
                    no_answer(&error)
                )))
            }
        }
    }

    fn refused(
        &mut self,
        status: u16,
        kind: SendErrorKind,
        headers: &HeaderMap,
        answer: &[u8],
    ) -> SendError {
        let reason = reason(status, answer);
        let retry_after = retry_after(headers);
        let error = |kind| SendError {
            kind,
            reason: reason.clone(),
            status: Some(status),
            retry_after,
        };
        match (status, kind) {
            // Some servers lose the compression of a request: 2.11.0, 2.17.0.
            (400, _)
                if self.gzip
                    && (reason.contains("CTRL-CHAR")
                        || reason.contains("must be terminated by a newline")) =>
            {
                warn!(
                    error = reason,
                    "the server cannot read compressed requests: sending them plain from now on"
                );
                self.gzip = false;
                error(SendErrorKind::Transient)
            }
            (400, kind) => error(kind),
            // A wrong path, method or redirect is the same for every event: somebody has to mend it.
            (_, SendErrorKind::Refused) => error(SendErrorKind::Denied),
            (_, kind) => error(kind),
        }
    }
}

impl Sink for OpenSearch {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Arc<Event>],
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.send_batch(batch).boxed()
    }
}

fn compress(request: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::with_capacity(request.len() / 6), Compression::fast());
    encoder.write_all(request)?;
    encoder.finish()
}

/// The innermost cause: it is the one that helps, and it holds no URL.
fn no_answer(error: &opensearch::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        format!("no answer: {cause}")
    }
}

// === impl Hosts ===

impl Hosts {
    /// The next one that is not resting; the next one if all are.
    fn next(&mut self) -> &mut Host {
        let now = Instant::now();
        let count = self.hosts.len();
        let awake = (0..count)
            .map(|step| (self.next + step) % count)
            .find(|&at| {
                self.hosts[at]
                    .resting_until
                    .is_none_or(|until| until <= now)
            });
        let at = awake.unwrap_or(self.next % count);
        self.next = at + 1;
        &mut self.hosts[at]
    }
}

// === impl Host ===

impl Host {
    fn new(
        mut url: Url,
        config: &OpenSearchConfig,
        tls: &super::http::TlsFiles,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let user = match (url.username(), url.password()) {
            (user, Some(password)) if !user.is_empty() => Some((decode(user), decode(password))),
            _ if config.username.is_empty() || config.password.is_empty() => None,
            _ => Some((config.username.clone(), config.password.clone())),
        };
        // Neither fails for a URL that has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let name = url.as_str().trim_end_matches('/').to_owned();
        // As the incumbent: sinks are in the cluster, proxies lead out of it.
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(timeout)
            .disable_proxy();
        if config.tls.insecure_skip_verify {
            builder = builder.cert_validation(CertificateValidation::None);
        } else if let Some(ca) = &tls.ca {
            let ca = Certificate::from_pem(ca).context("tls.caFile holds no certificate in PEM")?;
            builder = builder.cert_validation(CertificateValidation::Full(ca));
        }
        // The client takes either a certificate or a user, servers take both.
        match (&tls.identity, user) {
            (None, None) => {}
            (None, Some((user, password))) => {
                builder = builder.auth(Credentials::Basic(user, password));
            }
            (Some(identity), user) => {
                let pem = [
                    identity.key.as_slice(),
                    b"\n",
                    identity.certificate.as_slice(),
                ]
                .concat();
                builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(pem)));
                if let Some((user, password)) = user {
                    builder = builder.header(http::header::AUTHORIZATION, basic(&user, &password)?);
                }
            }
        }
        let transport = builder
            .build()
            .with_context(|| format!("cannot set up connections to {name}"))?;
        Ok(Self {
            transport,
            name,
            resting_until: None,
        })
    }
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn basic(user: &str, password: &str) -> anyhow::Result<HeaderValue> {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
