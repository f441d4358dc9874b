//! HTTP requests: one an event, as the incumbent makes them, or one a batch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use serde::Deserialize;

use super::body::Body;
use super::http::{
    Headers, HttpClient, OneByOne, Service, TlsConfig, authorization, parse_url, refuse_fields,
};
use super::{Receipt, SendError, Sink, SinkSettings};
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

/// The sink of one request an event.
struct Each {
    target: Target,
    body: Body,
}

/// The sink of one request a batch.
struct Together {
    client: HttpClient,
    target: Target,
    body: Body,
    format: BatchFormat,
}

/// Where requests go.
struct Target {
    method: Method,
    endpoint: Template,
    headers: Headers,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Makes the sink. Reads certificate files, connects nowhere.
pub fn build(config: &WebhookConfig, settings: SinkSettings) -> anyhow::Result<Box<dyn Sink>> {
    let target = Target::new(config)?;
    let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat)?;
    let Some(format) = config.batch else {
        let each = Each { target, body };
        return Ok(Box::new(OneByOne::new(
            each,
            &config.tls,
            settings.timeout,
        )?));
    };
    Ok(Box::new(Together {
        client: HttpClient::new(&config.tls, settings.timeout)?,
        target,
        body,
        format,
    }))
}

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

// === impl Target ===

impl Target {
    fn new(config: &WebhookConfig) -> anyhow::Result<Self> {
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
            None if !names_its_host(endpoint.leading_text()) => {
                return Err(config
                    .endpoint
                    .problem("the host must not depend on the event: whoever may create events would choose who gets them, and the credentials; fields go into the path")
                    .into());
            }
            None if config.batch.is_some() => {
                return Err(config
                    .endpoint
                    .problem("with `batch`, one URL serves many events: it can't have fields")
                    .into());
            }
            None => {}
        }
        if config.batch.is_some() {
            refuse_fields(
                &config.headers,
                "with `batch`, one header serves many events: it can't have fields",
            )?;
        }
        let authorization =
            authorization(&config.username, &config.password, &config.bearer_token)?;
        let headers = Headers::parse(&config.headers, authorization)?;
        let method = match &config.method {
            None => Method::POST,
            Some(method) => Method::from_bytes(method.value.to_ascii_uppercase().as_bytes())
                .map_err(|_| method.problem(format!("`{}` is no HTTP method", method.shown())))?,
        };
        Ok(Self {
            method,
            endpoint,
            headers,
        })
    }

    fn reads_object(&self) -> bool {
        self.endpoint.reads_object() || self.headers.reads_object()
    }

    /// The request with `body`; the event is what templates are rendered for.
    fn request(
        &self,
        event: &Event,
        body: Vec<u8>,
        content_type: HeaderValue,
    ) -> Result<Request, String> {
        let url = self
            .endpoint
            .render(event)
            .map_err(|error| error.to_string())?;
        let mut request = Request::new(self.method.clone(), parse_url(&url)?);
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        self.headers.render(event, request.headers_mut())?;
        *request.body_mut() = Some(body.into());
        Ok(request)
    }
}

// === impl Each ===

impl Service for Each {
    fn request(&self, event: &Event) -> Result<Request, String> {
        let mut body = Vec::with_capacity(1024);
        self.body
            .append(event, &mut body)
            .map_err(|error| error.to_string())?;
        self.target.request(event, body, JSON)
    }

    fn reads_object(&self) -> bool {
        self.body.reads_object() || self.target.reads_object()
    }
}

// === impl Together ===

impl Together {
    async fn send_together(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let (mut body, rejected) = self.body.lines(batch);
        let Some(first) = batch.first().filter(|_| rejected.len() < batch.len()) else {
            return Ok(Receipt {
                rejected,
                ..Receipt::default()
            });
        };
        let content_type = match self.format {
            BatchFormat::Lines => NDJSON,
            BatchFormat::Array => {
                into_array(&mut body);
                JSON
            }
        };
        let request = self.target.request(first, body, content_type);
        // Nothing in it has fields: what fails for one event fails for all, and shows at load.
        let request = request.map_err(SendError::transient)?;
        let answer = self.client.send(request).await?;
        answer.by_status()?;
        Ok(Receipt {
            rejected,
            status: Some(answer.status),
            ..Receipt::default()
        })
    }
}

impl Sink for Together {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Arc<Event>],
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.send_together(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        self.body.reads_object() || self.target.reads_object()
    }
}

/// Whether the beginning of a URL goes beyond its host.
fn names_its_host(beginning: &str) -> bool {
    let authority = beginning.split_once("://");
    authority.is_some_and(|(_, rest)| rest.contains(['/', '?', '#']))
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

#[cfg(test)]
mod tests;
