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
    Credential, Headers, HttpClient, OneByOne, Service, TlsConfig, authorization, lint_access,
    parse_url, refuse_fields,
};
use super::preview::Preview;
use super::{Receipt, SendError, Sink, SinkSettings};
use crate::event::Event;
use crate::template::Template;
use crate::yaml::{Located, Problem, Problems, Value};

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// TLS of an `https` endpoint.
    pub tls: TlsConfig,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
}

/// How many events make one request.
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// Makes the sink. Reads files of credentials and certificates, connects nowhere.
pub fn build(config: &WebhookConfig, settings: SinkSettings) -> Result<Box<dyn Sink>, Problems> {
    let mut problems = Problems::default();
    let target = problems.ok(Target::new(config));
    let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat);
    let body = problems.ok(body);
    let client = problems.ok(HttpClient::new(&config.tls, settings.timeout));
    let (Some(target), Some(body), Some(client)) = (target, body, client) else {
        return Err(problems);
    };
    Ok(match config.batch {
        None => Box::new(OneByOne::new(Each { target, body }, client)),
        Some(format) => Box::new(Together {
            client,
            target,
            body,
            format,
        }),
    })
}

// === impl WebhookConfig ===

impl WebhookConfig {
    /// Whether every event is a request of its own.
    pub fn is_single(&self) -> bool {
        self.batch.is_none()
    }

    /// A user, its password, and what may stand in place of them.
    pub fn credentials(&self) -> [Credential<'_>; 3] {
        [
            Credential::new("username", &self.username, &self.username_file),
            Credential::new("password", &self.password, &self.password_file),
            Credential::new("bearerToken", &self.bearer_token, &self.bearer_token_file),
        ]
    }

    /// What of it has no effect.
    pub fn lint(&self, warnings: &mut Vec<Problem>) {
        lint_access(self.credentials(), &self.headers, warnings);
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
    fn new(config: &WebhookConfig) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let endpoint = problems.ok(endpoint(config));
        if config.batch.is_some() {
            problems.ok(refuse_fields(
                &config.headers,
                "with `batch`, one header serves many events: it can't have fields",
            ));
        }
        let authorization = problems.ok(authorization(config.credentials())).flatten();
        let headers = problems.ok(Headers::parse(&config.headers, authorization));
        let method = problems.ok(method(config));
        match (method, endpoint, headers) {
            (Some(method), Some(endpoint), Some(headers)) => problems.or(Self {
                method,
                endpoint,
                headers,
            }),
            _ => Err(problems),
        }
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

fn endpoint(config: &WebhookConfig) -> Result<Template, Problem> {
    let url = &config.endpoint;
    let endpoint = Template::parse(url)?;
    let wrong = match endpoint.literal() {
        Some("") => Some("a webhook needs an `endpoint`".to_owned()),
        Some(url) => parse_url(url).err(),
        None if !names_its_host(endpoint.leading_text()) => Some(
            "the host must not depend on the event: whoever may create events would choose who gets them, and the credentials; fields go into the path".to_owned(),
        ),
        None if config.batch.is_some() => {
            Some("with `batch`, one URL serves many events: it can't have fields".to_owned())
        }
        None => None,
    };
    match wrong {
        Some(wrong) => Err(url.problem(wrong)),
        None => Ok(endpoint),
    }
}

fn method(config: &WebhookConfig) -> Result<Method, Problem> {
    match &config.method {
        None => Ok(Method::POST),
        Some(method) => Method::from_bytes(method.value.to_ascii_uppercase().as_bytes())
            .map_err(|_| method.problem(format!("`{}` is no HTTP method", method.shown()))),
    }
}

// === impl Each ===

impl Service for Each {
    fn request(&self, event: &Event) -> Result<Request, String> {
        self.target.request(event, self.body.write(event)?, JSON)
    }

    fn reads_object(&self) -> bool {
        self.body.reads_object() || self.target.reads_object()
    }
}

// === impl Together ===

impl Together {
    /// The request with some lines; the event is what templates are rendered for.
    fn request(&self, event: &Event, mut lines: Vec<u8>) -> Result<Request, String> {
        let content_type = match self.format {
            BatchFormat::Lines => NDJSON,
            BatchFormat::Array => {
                into_array(&mut lines);
                JSON
            }
        };
        self.target.request(event, lines, content_type)
    }

    async fn send_together(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let (lines, rejected) = self.body.lines(batch);
        let Some(first) = batch.first().filter(|_| rejected.len() < batch.len()) else {
            return Ok(Receipt {
                rejected,
                ..Receipt::default()
            });
        };
        // Nothing in it has fields: what fails for one event fails for all, and shows at load.
        let request = self.request(first, lines).map_err(SendError::transient)?;
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
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.send_together(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        self.body.reads_object() || self.target.reads_object()
    }

    fn preview(&self, event: &Event) -> Result<Preview, String> {
        let mut line = self.body.write(event)?;
        line.push(b'\n');
        self.request(event, line)
            .map(|request| Preview::of_request(&request))
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
