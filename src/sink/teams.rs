//! Microsoft Teams: a message an event, by incoming webhook.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::http::{Answer, Credential, Headers, OneByOne, Service, TlsConfig, classify, parse_url};
use super::{SendError, Sink, SinkSettings};
use crate::event::{Event, go_json};
use crate::yaml::{Located, Problems, Value};

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TeamsConfig {
    /// The webhook's URL.
    endpoint: Located<String>,
    /// A file that holds it, instead of `endpoint`.
    endpoint_file: Located<String>,
    /// A message, or what the incumbent makes one of: `message`, `reason` and `metadata`.
    pub layout: Option<Located<Value>>,
    /// Values are templates.
    headers: BTreeMap<String, Located<String>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
    /// TLS of the endpoint.
    pub tls: TlsConfig,
}

/// What to ask Teams.
struct Teams {
    url: Url,
    headers: Headers,
    body: Body,
    /// Whether the body is a message as it stands.
    whole: bool,
}

#[derive(Serialize)]
struct Message {
    summary: &'static str,
    text: String,
}

/// What the incumbent takes of a document.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parts {
    message: serde_json::Value,
    reason: serde_json::Value,
    metadata: serde_json::Value,
}

/// Each of them alone makes a message for Teams, or for a workflow.
const KEYS_OF_MESSAGES: [&str; 4] = ["text", "type", "@type", "attachments"];

/// Makes the sink. Reads files of credentials and certificates, connects nowhere.
pub fn build(config: &TeamsConfig, settings: SinkSettings) -> Result<Box<dyn Sink>, Problems> {
    OneByOne::build(Teams::new(config, settings), &config.tls, settings.timeout)
}

// === impl TeamsConfig ===

impl fmt::Debug for TeamsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The endpoint is a secret.
        f.debug_struct("TeamsConfig").finish_non_exhaustive()
    }
}

impl TeamsConfig {
    /// The URL, which is a secret.
    pub fn credentials(&self) -> [Credential<'_>; 1] {
        [Credential::new(
            "endpoint",
            &self.endpoint,
            &self.endpoint_file,
        )]
    }

    fn url(&self) -> Result<Url, Problems> {
        let [endpoint] = Credential::read_all(self.credentials())?;
        if endpoint.is_empty() {
            let message = "Teams needs the URL of a webhook under `endpoint`";
            return Err(endpoint.problem(message).into());
        }
        parse_url(&endpoint).map_err(|error| endpoint.problem(error).into())
    }
}

// === impl Teams ===

impl Teams {
    fn new(config: &TeamsConfig, settings: SinkSettings) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let url = problems.ok(config.url());
        let headers = problems.ok(Headers::parse(&config.headers, None));
        let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat);
        let body = problems.ok(body);
        let (Some(url), Some(headers), Some(body)) = (url, headers, body) else {
            return Err(problems);
        };
        let whole = match config.layout.as_deref() {
            Some(Value::Map(entries)) => entries
                .iter()
                .any(|(key, _)| KEYS_OF_MESSAGES.contains(&key.as_str())),
            _ => false,
        };
        Ok(Self {
            url,
            headers,
            body,
            whole,
        })
    }

    fn message(&self, event: &Event) -> Result<Vec<u8>, String> {
        let mut body = Vec::with_capacity(1024);
        self.body
            .append(event, &mut body)
            .map_err(|error| error.to_string())?;
        if self.whole {
            return Ok(body);
        }
        let parts: Parts = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let mut text = String::with_capacity(512);
        for (name, value) in [
            ("Event: ", &parts.message),
            (" \nStatus: ", &parts.reason),
            (" \nMetadata: ", &parts.metadata),
        ] {
            text.push_str(name);
            print(value, &mut text);
        }
        let mut message = Vec::with_capacity(text.len() + 64);
        let summary = "event";
        go_json::append(&Message { summary, text }, &mut message)
            .map_err(|error| error.to_string())?;
        Ok(message)
    }
}

impl Service for Teams {
    fn reads_object(&self) -> bool {
        self.headers.reads_object() || self.body.reads_object()
    }

    fn request(&self, event: &Event) -> Result<Request, String> {
        let message = self.message(event)?;
        let mut request = Request::new(Method::POST, self.url.clone());
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        self.headers.render(event, request.headers_mut())?;
        *request.body_mut() = Some(message.into());
        Ok(request)
    }

    fn verdict(&self, answer: &Answer) -> Result<(), SendError> {
        answer.by_status()?;
        // The webhook takes the message, and says in words what Teams answered behind it.
        match status_behind(&String::from_utf8_lossy(&answer.body)).and_then(classify) {
            None => Ok(()),
            Some(kind) => Err(answer.error(kind)),
        }
    }
}

/// `Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId …`
fn status_behind(answer: &str) -> Option<u16> {
    let (_, behind) = answer.split_once("HTTP error ")?;
    behind.get(..3)?.parse().ok()
}

/// As Go prints what it has read of JSON, but for what is absent.
fn print(value: &serde_json::Value, to: &mut String) {
    use serde_json::Value;
    match value {
        Value::Null => {}
        Value::String(text) => to.push_str(text),
        Value::Array(items) => {
            to.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    to.push(' ');
                }
                print(item, to);
            }
            to.push(']');
        }
        Value::Object(entries) => {
            let sorted: BTreeMap<_, _> = entries.iter().collect();
            to.push_str("map[");
            for (at, (key, item)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    to.push(' ');
                }
                to.push_str(key);
                to.push(':');
                print(item, to);
            }
            to.push(']');
        }
        // Writing to a string does not fail.
        other => {
            let _ = write!(to, "{other}");
        }
    }
}

#[cfg(test)]
mod tests;
