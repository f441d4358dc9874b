//! HTTP requests: one an event, as the incumbent makes them, or one a batch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use reqwest::{Client, Method, Url};
use serde::Deserialize;

use super::body::Body;
use super::http::{TlsConfig, classify, no_answer, reason, retry_after};
use super::stdout::encode;
use super::{Receipt, Rejection, SendError, SendErrorKind, Sink, SinkSettings};
use crate::event::Event;
use crate::template::Template;
use crate::yaml::{Located, Value};

/// The sink as the configuration gives it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WebhookConfig {
    /// The URL; a template.
    endpoint: Located<String>,
    /// `POST` unless given.
    method: Option<Located<String>>,
    /// Values are templates.
    headers: BTreeMap<String, Located<String>>,
    /// One request for many events.
    batch: Option<BatchFormat>,
    /// Of basic authentication.
    username: String,
    /// Of basic authentication.
    password: String,
    /// Of `Authorization: Bearer`.
    bearer_token: Located<String>,
    /// TLS of an `https` endpoint.
    tls: TlsConfig,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
}

/// How many events make one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BatchFormat {
    /// `[document, document]`
    Array,
    /// A document a line.
    Lines,
}

/// The sink.
pub struct Webhook {
    client: Client,
    method: Method,
    endpoint: Template,
    headers: Vec<(HeaderName, Template)>,
    batch: Option<BatchFormat>,
    auth: Auth,
    body: Body,
}

enum Auth {
    None,
    Basic(String, String),
    Bearer(String),
}

/// Without the value, which may be a secret.
const NO_HEADER: &str =
    "no header can hold this: it has a control character, such as the end of a line";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// How much of an answer is read, for its words.
const MAX_ANSWER: usize = 4096;

// === impl WebhookConfig ===

impl WebhookConfig {
    /// Whether every event is a request of its own.
    pub fn is_single(&self) -> bool {
        self.batch.is_none()
    }
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The endpoint and headers hold credentials as often as not.
        f.debug_struct("WebhookConfig")
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

// === impl Webhook ===

impl Webhook {
    /// Makes the sink. Reads certificate files, connects nowhere.
    pub fn new(config: &WebhookConfig, settings: SinkSettings) -> anyhow::Result<Self> {
        let endpoint = Template::parse(&config.endpoint)?;
        match endpoint.literal() {
            Some("") => {
                return Err(config
                    .endpoint
                    .problem("a webhook needs an `endpoint`")
                    .into());
            }
            Some(url) => {
                parse_url(url).map_err(|error| config.endpoint.problem(error))?;
            }
            None if config.batch.is_some() => {
                return Err(config
                    .endpoint
                    .problem("with `batch`, one URL serves many events: it can't have fields")
                    .into());
            }
            None => {}
        }
        let mut headers = Vec::new();
        for (name, value) in &config.headers {
            let header = HeaderName::try_from(name)
                .map_err(|_| value.problem(format!("`{name}` is no legal name of a header")))?;
            if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(&header) {
                return Err(value
                    .problem("leave this header out: it follows from the body")
                    .into());
            }
            let value_template = Template::parse(value)?;
            if config.batch.is_some() && value_template.literal().is_none() {
                return Err(value
                    .problem("with `batch`, one header serves many events: it can't have fields")
                    .into());
            }
            if value_template
                .literal()
                .is_some_and(|text| HeaderValue::from_str(text).is_err())
            {
                return Err(value.problem(NO_HEADER).into());
            }
            headers.push((header, value_template));
        }
        let method = match &config.method {
            None => Method::POST,
            Some(method) => Method::from_bytes(method.value.to_ascii_uppercase().as_bytes())
                .map_err(|_| method.problem(format!("`{}` is no HTTP method", method.value)))?,
        };
        let token = &config.bearer_token;
        let auth = match (config.username.is_empty(), token.value.as_str()) {
            (true, "") => Auth::None,
            (false, "") => Auth::Basic(config.username.clone(), config.password.clone()),
            (false, _) => {
                return Err(token
                    .problem("give either `username` or `bearerToken`")
                    .into());
            }
            (true, text) if HeaderValue::from_str(text).is_err() => {
                return Err(token.problem(NO_HEADER).into());
            }
            (true, text) => Auth::Bearer(text.to_owned()),
        };
        let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat)?;
        let client = client(&config.tls, settings.timeout)?;
        Ok(Self {
            client,
            method,
            endpoint,
            headers,
            batch: config.batch,
            auth,
            body,
        })
    }

    async fn send_each(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let mut receipt = Receipt::default();
        for (index, event) in batch.iter().enumerate() {
            let mut request = Vec::with_capacity(1024);
            if let Err(error) = self.body.append(event, &mut request) {
                receipt.rejected.push(Rejection {
                    index,
                    reason: error.to_string(),
                });
                continue;
            }
            match self.request(event, request, JSON).await {
                Ok(status) => receipt.status = Some(status),
                Err(error)
                    if matches!(error.kind, SendErrorKind::Refused | SendErrorKind::TooLarge) =>
                {
                    receipt.status = error.status;
                    receipt.rejected.push(Rejection {
                        index,
                        reason: error.reason,
                    });
                }
                Err(error) => {
                    receipt.status = error.status;
                    receipt.retry = (index..batch.len()).collect();
                    receipt.retry_cause = Some(error);
                    break;
                }
            }
        }
        Ok(receipt)
    }

    async fn send_together(
        &self,
        batch: &[Arc<Event>],
        format: BatchFormat,
    ) -> Result<Receipt, SendError> {
        let mut request = Vec::with_capacity(batch.len() * 1024);
        let rejected = encode(&self.body, batch, &mut request);
        let Some(first) = batch.first().filter(|_| rejected.len() < batch.len()) else {
            return Ok(Receipt {
                rejected,
                ..Receipt::default()
            });
        };
        let content_type = match format {
            BatchFormat::Lines => NDJSON,
            BatchFormat::Array => {
                into_array(&mut request);
                JSON
            }
        };
        let status = self.request(first, request, content_type).await?;
        Ok(Receipt {
            rejected,
            status: Some(status),
            ..Receipt::default()
        })
    }

    /// Makes one request; the event is what templates are rendered for.
    async fn request(
        &self,
        event: &Event,
        body: Vec<u8>,
        content_type: HeaderValue,
    ) -> Result<u16, SendError> {
        let refused = |reason: String| SendError {
            kind: SendErrorKind::Refused,
            ..SendError::transient(reason)
        };
        let rendered = |template: &Template| {
            template
                .render(event)
                .map_err(|error| refused(error.to_string()))
        };
        let url = parse_url(&rendered(&self.endpoint)?).map_err(refused)?;
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 1);
        headers.insert(CONTENT_TYPE, content_type);
        for (name, value) in &self.headers {
            let value = HeaderValue::try_from(rendered(value)?).map_err(|_| {
                refused(format!(
                    "the header {name} cannot hold what its template gives"
                ))
            })?;
            headers.insert(name, value);
        }
        let request = self.client.request(self.method.clone(), url).body(body);
        let request = match &self.auth {
            Auth::None => request,
            Auth::Basic(user, password) => request.basic_auth(user, Some(password)),
            Auth::Bearer(token) => request.bearer_auth(token),
        };
        let mut response = request.headers(headers).send().await.map_err(no_answer)?;
        let status = response.status().as_u16();
        // A short answer is read to its end, so that the connection can serve again.
        let mut answer = Vec::new();
        while answer.len() < MAX_ANSWER {
            match response.chunk().await {
                Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        match classify(status) {
            None => Ok(status),
            Some(kind) => {
                let reason = match status {
                    300..=399 => format!("HTTP {status}: redirects are not followed"),
                    _ => reason(status, &answer),
                };
                Err(SendError {
                    kind,
                    reason,
                    status: Some(status),
                    retry_after: retry_after(response.headers()),
                })
            }
        }
    }
}

impl Sink for Webhook {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Arc<Event>],
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        match self.batch {
            None => self.send_each(batch).boxed(),
            Some(format) => self.send_together(batch, format).boxed(),
        }
    }

    fn reads_object(&self) -> bool {
        let mut headers = self.headers.iter();
        self.body.reads_object()
            || self.endpoint.reads_object()
            || headers.any(|(_, value)| value.reads_object())
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("the endpoint is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the endpoint must begin with http:// or https://".to_owned());
    }
    Ok(url)
}

/// Lines of JSON become elements of an array.
fn into_array(lines: &mut Vec<u8>) {
    for byte in lines.iter_mut().filter(|byte| **byte == b'\n') {
        // JSON escapes line ends: these are between documents.
        *byte = b',';
    }
    lines.pop();
    lines.push(b']');
    lines.insert(0, b'[');
}

fn client(tls: &TlsConfig, timeout: Duration) -> anyhow::Result<Client> {
    let files = tls.load()?;
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .danger_accept_invalid_certs(tls.insecure_skip_verify);
    if let Some(ca) = &files.ca {
        for certificate in reqwest::Certificate::from_pem_bundle(ca)
            .context("tls.caFile holds no certificate in PEM")?
        {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let Some(identity) = &files.identity {
        let pem = [
            identity.key.as_slice(),
            b"\n",
            identity.certificate.as_slice(),
        ]
        .concat();
        let identity = reqwest::Identity::from_pem(&pem);
        builder = builder.identity(
            identity.context("tls.certFile and tls.keyFile are no certificate and key in PEM")?,
        );
    }
    builder.build().context("cannot set up connections")
}

#[cfg(test)]
mod tests;
