//! Grafana Loki: one push a batch, events grouped into streams by their labels.
//!
//! A line has its event's own time: a line that is late or sent twice then stands where it belongs, and Loki drops the
//! second one.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Request, Url};
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::http::{
    Credential, Headers, HttpClient, TlsConfig, authorization, classify, lint_access, parse_url,
    post_json,
};
use super::preview::Preview;
use super::templates::{Templates, lint_no_value};
use super::{Receipt, Rejection, SendError, SendErrorKind, Sink, SinkSettings};
use crate::event::Event;
use crate::yaml::{Located, Problem, Problems, Value};

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LokiConfig {
    /// Of the push API.
    url: Located<String>,
    /// Values are templates.
    headers: BTreeMap<String, Located<String>>,
    /// What makes a stream; values are templates.
    stream_labels: BTreeMap<String, Located<String>>,
    /// Of basic authentication.
    username: Located<String>,
    /// A file that holds it, instead of `username`.
    username_file: Located<String>,
    /// Of basic authentication.
    password: Located<String>,
    /// A file that holds it, instead of `password`.
    password_file: Located<String>,
    /// Of `Authorization: Bearer`.
    bearer_token: Located<String>,
    /// A file that holds it, instead of `bearerToken`.
    bearer_token_file: Located<String>,
    /// Whose logs they are, where Loki has several tenants; a template.
    #[serde(rename = "tenantID")]
    tenant_id: Located<String>,
    /// TLS of an `https` URL.
    pub tls: TlsConfig,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
}

/// The sink.
struct Loki {
    client: HttpClient,
    url: Url,
    headers: Headers,
    labels: Templates,
    body: Body,
}

/// One request: events whose headers are the same.
struct Push<'a> {
    headers: HeaderMap,
    /// Of the batch.
    events: Vec<usize>,
    streams: BTreeMap<Labels<'a>, Vec<Line>>,
}

/// By name.
type Labels<'a> = BTreeMap<&'a str, String>;

/// Nanoseconds since 1970, and a document.
type Line = (i128, String);

#[derive(Serialize)]
struct Streams<'a> {
    streams: Vec<Stream<'a>>,
}

#[derive(Serialize)]
struct Stream<'a> {
    stream: &'a Labels<'a>,
    values: Vec<(String, &'a str)>,
}

const TENANT: &str = "X-Scope-OrgID";

/// Makes the sink. Reads files of credentials and certificates, connects nowhere.
pub fn build(config: &LokiConfig, settings: SinkSettings) -> Result<Box<dyn Sink>, Problems> {
    Ok(Box::new(Loki::new(config, settings)?))
}

// === impl LokiConfig ===

impl fmt::Debug for LokiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL and headers hold credentials as often as not.
        f.debug_struct("LokiConfig").finish_non_exhaustive()
    }
}

impl LokiConfig {
    /// A user, its password, and what may stand in place of them.
    pub fn credentials(&self) -> [Credential<'_>; 3] {
        [
            Credential::new("username", &self.username, &self.username_file),
            Credential::new("password", &self.password, &self.password_file),
            Credential::new("bearerToken", &self.bearer_token, &self.bearer_token_file),
        ]
    }

    /// What of it has no effect, or another than it seems to.
    pub fn lint(&self, warnings: &mut Vec<Problem>) {
        lint_access(self.credentials(), &self.headers, warnings);
        for text in self.stream_labels.values().chain([&self.tenant_id]) {
            lint_no_value(text, warnings);
        }
    }

    fn url(&self) -> Result<Url, Problem> {
        let url = &self.url;
        if url.is_empty() {
            let message = "Loki needs a `url`, such as http://loki:3100/loki/api/v1/push";
            return Err(url.problem(message));
        }
        parse_url(url).map_err(|error| url.problem(error))
    }

    fn headers(&self) -> Result<Headers, Problems> {
        let mut problems = Problems::default();
        let authorization = problems.ok(authorization(self.credentials())).flatten();
        let tenant = &self.tenant_id;
        let mut headers = self.headers.clone();
        if !tenant.is_empty() {
            if headers.keys().any(|name| name.eq_ignore_ascii_case(TENANT)) {
                let message = format!("give either `tenantID` or `headers.{TENANT}`");
                problems.push(tenant.problem(message));
            }
            headers.insert(TENANT.to_owned(), tenant.clone());
        }
        match problems.ok(Headers::parse(&headers, authorization)) {
            Some(headers) => problems.or(headers),
            None => Err(problems),
        }
    }

    fn labels(&self) -> Result<Templates, Problems> {
        if self.stream_labels.is_empty() {
            let message =
                "Loki takes no stream without labels: give at least one under `streamLabels`";
            return Err(Problem::nowhere(message).into());
        }
        let illegal = |name: &str| {
            name.is_empty()
                || name.starts_with(|c: char| c.is_ascii_digit())
                || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let mut problems = Problems::default();
        for (name, value) in &self.stream_labels {
            if illegal(name) {
                problems.push(value.problem(format!(
                    "`{name}` is no name of a label: it has letters, digits and `_`, and begins with no digit"
                )));
            }
        }
        match problems.ok(Templates::parse(&self.stream_labels)) {
            Some(labels) => problems.or(labels),
            None => Err(problems),
        }
    }
}

// === impl Loki ===

impl Loki {
    fn new(config: &LokiConfig, settings: SinkSettings) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let url = problems.ok(config.url());
        let headers = problems.ok(config.headers());
        let labels = problems.ok(config.labels());
        let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat);
        let body = problems.ok(body);
        let client = problems.ok(HttpClient::new(&config.tls, settings.timeout));
        match (url, headers, labels, body, client) {
            (Some(url), Some(headers), Some(labels), Some(body), Some(client)) => Ok(Self {
                client,
                url,
                headers,
                labels,
                body,
            }),
            _ => Err(problems),
        }
    }

    async fn send_batch(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let (mut pushes, rejected) = self.sort(batch);
        let mut receipt = Receipt {
            rejected,
            ..Receipt::default()
        };
        let mut taken = 0;
        let mut waiting = pushes.iter_mut();
        while let Some(push) = waiting.next() {
            match self.push(push).await {
                Ok(status) => {
                    receipt.status = Some(status);
                    taken += push.events.len();
                }
                Err(error) => {
                    receipt.status = error.status.or(receipt.status);
                    let its_own =
                        matches!(error.kind, SendErrorKind::Refused | SendErrorKind::TooLarge);
                    match push.events.as_slice() {
                        &[index] if its_own => receipt.rejected.push(Rejection {
                            index,
                            reason: error.reason,
                        }),
                        events => {
                            receipt.retry.extend(events);
                            receipt.retry_cause = Some(error);
                        }
                    }
                    if !its_own {
                        // The rest would fare alike.
                        receipt
                            .retry
                            .extend(waiting.flat_map(|push| push.events.iter().copied()));
                        break;
                    }
                }
            }
        }
        match receipt.retry_cause.take() {
            // Nothing of it is settled: what is refused as a whole is made smaller until it shows which event it is.
            Some(error) if taken == 0 && receipt.rejected.is_empty() => Err(error),
            cause => {
                receipt.retry_cause = cause;
                Ok(receipt)
            }
        }
    }

    /// The requests that a batch makes: one, unless headers have fields. And what cannot be sent.
    fn sort(&self, batch: &[Arc<Event>]) -> (Vec<Push<'_>>, Vec<Rejection>) {
        let mut pushes: Vec<Push<'_>> = Vec::new();
        let mut known: HashMap<Vec<HeaderValue>, usize> = HashMap::new();
        let mut rejected = Vec::new();
        for (index, event) in batch.iter().enumerate() {
            let (headers, labels, line) = match self.render(event) {
                Ok(rendered) => rendered,
                Err(reason) => {
                    rejected.push(Rejection { index, reason });
                    continue;
                }
            };
            // All have the same names in the same order.
            let values = headers.values().cloned().collect();
            let at = *known.entry(values).or_insert_with(|| {
                pushes.push(Push {
                    headers,
                    events: Vec::new(),
                    streams: BTreeMap::new(),
                });
                pushes.len() - 1
            });
            let push = &mut pushes[at];
            push.events.push(index);
            push.streams.entry(labels).or_default().push(line);
        }
        (pushes, rejected)
    }

    fn render(&self, event: &Event) -> Result<(HeaderMap, Labels<'_>, Line), String> {
        let mut headers = HeaderMap::new();
        self.headers.render(event, &mut headers)?;
        let labels = self
            .labels
            .render(event)
            .map_err(|error| error.to_string())?;
        let mut line = Vec::with_capacity(1024);
        self.body
            .append(event, &mut line)
            .map_err(|error| error.to_string())?;
        let line = String::from_utf8(line).map_err(|error| error.to_string())?;
        Ok((headers, labels, (event.occurred().nanoseconds(), line)))
    }

    async fn push(&self, push: &mut Push<'_>) -> Result<u16, SendError> {
        let request = self.request(push).map_err(SendError::transient)?;
        let answer = self.client.send(request).await?;
        match classify(answer.status) {
            None => Ok(answer.status),
            // Only a 400 is about the lines: too old, too long. A wrong path or proxy is the same for all of them, and
            // somebody has to mend it.
            Some(SendErrorKind::Refused) if answer.status != 400 => {
                Err(answer.error(SendErrorKind::Denied))
            }
            Some(kind) => Err(answer.error(kind)),
        }
    }

    fn request(&self, push: &mut Push<'_>) -> Result<Request, String> {
        for lines in push.streams.values_mut() {
            // Older servers refuse a line that is before the last one.
            lines.sort_by_key(|(nanoseconds, _)| *nanoseconds);
        }
        let streams = push.streams.iter().map(|(stream, lines)| Stream {
            stream,
            values: lines
                .iter()
                .map(|(nanoseconds, line)| (nanoseconds.to_string(), line.as_str()))
                .collect(),
        });
        let streams = streams.collect();
        let mut request = post_json(self.url.clone(), &Streams { streams })?;
        for (name, value) in &push.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }
}

impl Sink for Loki {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.send_batch(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        self.headers.reads_object() || self.labels.reads_object() || self.body.reads_object()
    }

    fn preview(&self, event: &Event) -> Result<Preview, String> {
        let (headers, labels, line) = self.render(event)?;
        let mut push = Push {
            headers,
            events: vec![0],
            streams: BTreeMap::from([(labels, vec![line])]),
        };
        self.request(&mut push)
            .map(|request| Preview::of_request(&request))
    }
}

#[cfg(test)]
mod tests;
