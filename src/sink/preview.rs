//! What a sink would send, for a person who tries a configuration.

use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::http::Secrets;

/// What a sink would send for one event. It shows no credential: neither headers that the configuration gives as they
/// are, nor users, queries and long parts of the path in the URL of a request, which may be a webhook's key.
#[derive(Debug, Default, Serialize)]
pub struct Preview {
    /// Of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// Of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Of a request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    /// The line of `_bulk` before the document: its index, its id, and how it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<Box<RawValue>>,
    /// The document or layout, or the body of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Box<RawValue>>,
    /// What is no JSON: a line as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

const HIDDEN: &str = "***";

// === impl Preview ===

impl Preview {
    /// JSON, or any other text.
    pub fn of(written: &[u8]) -> Self {
        match raw(written) {
            Some(document) => Self {
                document: Some(document),
                ..Self::default()
            },
            None => Self {
                text: Some(
                    String::from_utf8_lossy(written)
                        .trim_end_matches('\n')
                        .to_owned(),
                ),
                ..Self::default()
            },
        }
    }

    /// What is sent of the event itself: its document, else the text.
    pub fn content(&self) -> serde_json::Result<Value> {
        match (&self.document, &self.text) {
            (Some(document), _) => serde_json::from_str(document.get()),
            (None, Some(text)) => Ok(Value::String(text.clone())),
            (None, None) => Ok(Value::Null),
        }
    }

    /// A request with its body.
    pub fn of_request(request: &Request) -> Self {
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let mut url = request.url().clone();
        // Neither fails for a URL that has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let secrets = Secrets::of(&HeaderMap::new(), &url);
        let url = secrets.hide(url.as_str().as_bytes());
        let headers = request.headers().iter().map(|(name, value)| {
            let shown = if value.is_sensitive() || name == AUTHORIZATION {
                HIDDEN.to_owned()
            } else {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            (name.to_string(), shown)
        });
        Self {
            method: Some(request.method().to_string()),
            url: Some(String::from_utf8_lossy(&url).into_owned()),
            headers: headers.collect(),
            ..Self::of(body.unwrap_or_default())
        }
    }

    /// An operation of `_bulk` and its document, a line each, posted to `url`.
    pub fn of_bulk(lines: &[u8], url: String) -> Self {
        let operation = lines.split(|&byte| byte == b'\n').next();
        let operation = operation.unwrap_or_default();
        let document = lines.get(operation.len() + 1..).unwrap_or_default();
        Self {
            method: Some("POST".to_owned()),
            url: Some(url),
            operation: raw(operation),
            ..Self::of(document)
        }
    }
}

fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(preview: &Preview) -> String {
        serde_json::to_string(preview).unwrap()
    }

    #[test]
    fn a_request_shows_no_credential() {
        let url = "https://user:pass@h.example/hooks/T0123456789ABCDEFG/x?key=s3cret";
        let mut request = Request::new(reqwest::Method::PUT, url.parse().unwrap());
        let mut secret = reqwest::header::HeaderValue::from_static("s3cret");
        secret.set_sensitive(true);
        request.headers_mut().insert("x-key", secret);
        request
            .headers_mut()
            .insert(AUTHORIZATION, "Bearer s3cret".parse().unwrap());
        request
            .headers_mut()
            .insert("x-tenant", "shop".parse().unwrap());
        *request.body_mut() = Some("{\"b\":1,\"a\":2}".into());
        assert_eq!(
            shown(&Preview::of_request(&request)),
            r#"{"method":"PUT","url":"https://h.example/hooks/***/x?***","headers":{"authorization":"***","x-key":"***","x-tenant":"shop"},"document":{"b":1,"a":2}}"#
        );
    }

    #[test]
    fn what_is_no_json_is_a_text() {
        assert_eq!(
            shown(&Preview::of(b"<132>1 a: {}\n")),
            r#"{"text":"<132>1 a: {}"}"#
        );
    }
}
