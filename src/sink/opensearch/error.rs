//! What a server says about what it has not done: of a request, or of one item in it. Pure.

use serde::Deserialize;

use crate::sink::http::reason;

/// An error as OpenSearch and Elasticsearch tell it.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ServerError {
    #[serde(rename = "type")]
    pub kind: String,
    pub reason: Option<String>,
    caused_by: Option<Cause>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cause {
    reason: Option<String>,
}

/// The answer to a request that failed as a whole.
#[derive(Deserialize)]
struct Refusal {
    error: ServerError,
}

/// Errors that say 400 and yet have nothing to do with the document: somebody has to mend the index first.
///
/// These are how the reasons begin. Further on they quote what the event's author wrote.
const OPERATORS: [&str; 6] = [
    "Validation Failed: 1: this action would add [",
    "this action would add [",
    "no write index is defined for alias",
    "pipeline with id [",
    "only write ops with an op_type of create are allowed in data streams",
    "Document ID is not supported",
];
/// The same, as causes. A data stream is for documents with a time, which only another `layout` gives them.
const CAUSES: [&str; 2] = [
    "documents must contain a single-valued timestamp field",
    "data stream timestamp field [@timestamp] is missing",
];

// === impl ServerError ===

impl ServerError {
    /// One without a type.
    pub fn of_text(text: String) -> Self {
        Self {
            reason: Some(text),
            ..Self::default()
        }
    }

    /// Whether it is no fault of the document.
    pub fn is_the_operators(&self) -> bool {
        let begins = |text: Option<&str>, with: &[&str]| {
            text.is_some_and(|text| with.iter().any(|words| text.starts_with(words)))
        };
        self.kind == "index_closed_exception"
            || begins(self.reason.as_deref(), &OPERATORS)
            || begins(self.reason.as_deref(), &CAUSES)
            || begins(self.cause(), &CAUSES)
    }

    /// One line. The server quotes the offending value, which the event's author chose.
    pub fn describe(&self, status: u16) -> String {
        let (kind, cause) = (&self.kind, self.cause().unwrap_or_default());
        let words = self.reason.as_deref().unwrap_or_default();
        reason(status, format!("{kind}: {words} {cause}").as_bytes())
    }

    fn cause(&self) -> Option<&str> {
        self.caused_by.as_ref()?.reason.as_deref()
    }
}

/// What an answer says in place of what was asked, in one line: the server's own words, if it is one that has some.
pub(super) fn refusal(status: u16, body: &[u8]) -> String {
    // What stands in front of it has errors of other forms.
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    let error = refusal.map(|refusal| refusal.error);
    error
        .filter(|error| error.reason.is_some())
        .map_or_else(|| reason(status, body), |error| error.describe(status))
}

/// Whether an error is that of `_bulk`, rather than of something in front of it, or of a path where it is not: the server
/// tells that as a text.
pub(super) fn is_its_own(answer: &[u8]) -> bool {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    answer.pointer("/error/type").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_servers_own_words() {
        let elastic = br#"{"error":{"root_cause":[{"type":"security_exception","reason":"unable"}],"type":"security_exception","reason":"unable to authenticate user [e]"},"status":401}"#;
        let nested = br#"{"error":{"type":"a","reason":"b","caused_by":{"type":"c","reason":"d"}},"status":400}"#;
        for (status, body, told) in [
            (
                401,
                &elastic[..],
                "HTTP 401: security_exception: unable to authenticate user [e]",
            ),
            (400, nested, "HTTP 400: a: b d"),
            (
                400,
                br#"{"error":"no handler found"}"#,
                r#"HTTP 400: {"error":"no handler found"}"#,
            ),
            (
                503,
                br#"{"error":{"code":503,"message":"upstream"}}"#,
                r#"HTTP 503: {"error":{"code":503,"message":"upstream"}}"#,
            ),
            (401, b"Unauthorized", "HTTP 401: Unauthorized"),
            (502, b"", "HTTP 502"),
        ] {
            assert_eq!(refusal(status, body), told);
        }
    }
}
