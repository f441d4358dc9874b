//! The `_bulk` format: operations out, results of items in. Pure.

use serde::Deserialize;

use super::error::ServerError;
use crate::event::go_json;
use crate::sink::{Rejection, SendError, SendErrorKind};

/// What to do with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Write it unless it is there. The id is the uid and the version; without, the server makes one.
    Create {
        /// uid and version.
        id: Option<(&'a str, &'a str)>,
    },
    /// Write it unless a later version is there.
    Latest {
        /// The id.
        uid: &'a str,
        /// The version; without, the last one written stays.
        version: Option<u64>,
    },
}

/// The line before a document.
#[derive(Debug)]
pub struct Operation<'a> {
    /// What to do.
    pub action: Action<'a>,
    /// Where.
    pub index: &'a str,
}

/// What came of a batch that was answered item by item.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Never taken.
    pub rejected: Vec<Rejection>,
    /// Not taken this time.
    pub retry: Vec<usize>,
    /// Why not, and how long to wait.
    pub retry_cause: Option<SendError>,
    /// Taken before.
    pub duplicates: usize,
}

#[derive(Deserialize)]
struct Answer {
    items: Option<Vec<Item>>,
}

/// An item is one entry, named after its action.
#[derive(Deserialize)]
struct Item {
    #[serde(alias = "index", alias = "update", alias = "delete")]
    create: ItemResult,
}

#[derive(Deserialize)]
struct ItemResult {
    status: u16,
    error: Option<ErrorForm>,
}

/// Proxies and lookalikes answer with a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorForm {
    Object(ServerError),
    Text(String),
}

// === impl Operation ===

impl Operation<'_> {
    /// Appends the line, without its end.
    pub fn append(&self, to: &mut Vec<u8>) -> Result<(), String> {
        let string = |text: &str, to: &mut Vec<u8>| {
            go_json::append(text, to).map_err(|error| error.to_string())
        };
        let name = match self.action {
            Action::Create { .. } => "create",
            Action::Latest { .. } => "index",
        };
        to.extend_from_slice(b"{\"");
        to.extend_from_slice(name.as_bytes());
        to.extend_from_slice(b"\":{\"_index\":");
        string(self.index, to)?;
        match self.action {
            Action::Create { id: None } => {}
            Action::Create {
                id: Some((uid, version)),
            } => {
                to.extend_from_slice(b",\"_id\":");
                string(uid, to)?;
                to.pop();
                to.push(b'-');
                let start = to.len();
                string(version, to)?;
                to.remove(start);
            }
            Action::Latest { uid, version } => {
                to.extend_from_slice(b",\"_id\":");
                string(uid, to)?;
                if let Some(version) = version {
                    to.extend_from_slice(
                        format!(",\"version\":{version},\"version_type\":\"external\"").as_bytes(),
                    );
                }
            }
        }
        to.extend_from_slice(b"}}");
        Ok(())
    }
}

/// Reads the answer to a request of `sent` operations.
pub fn read(answer: &[u8], sent: usize) -> Result<Outcome, SendError> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| {
        SendError::transient(format!("the answer is not a bulk answer: {error}"))
    })?;
    let items = answer.items.unwrap_or_default();
    if items.len() != sent {
        // Which results are missing is unknown; ids make it harmless to send all of them again.
        let received = items.len();
        return Err(SendError::transient(format!(
            "the answer has {received} results for {sent} documents"
        )));
    }
    let mut outcome = Outcome::default();
    for (index, Item { create: result }) in items.into_iter().enumerate() {
        let error = match result.error {
            Some(ErrorForm::Object(error)) => error,
            Some(ErrorForm::Text(text)) => ServerError::of_text(text),
            None => ServerError::default(),
        };
        match fate(result.status, &error) {
            Fate::Taken => {}
            Fate::TakenBefore => outcome.duplicates += 1,
            Fate::Rejected => outcome.rejected.push(Rejection {
                index,
                reason: error.describe(result.status),
            }),
            Fate::Retry(kind) => {
                outcome.retry.push(index);
                let slower = outcome.retry_cause.as_ref().is_none_or(|cause| {
                    cause.kind == SendErrorKind::Transient && kind == SendErrorKind::Denied
                });
                if slower {
                    let reason = error.describe(result.status);
                    let status = Some(result.status);
                    outcome.retry_cause = Some(SendError {
                        kind,
                        reason,
                        status,
                        retry_after: None,
                    });
                }
            }
        }
    }
    Ok(outcome)
}

enum Fate {
    Taken,
    TakenBefore,
    Rejected,
    Retry(SendErrorKind),
}

fn fate(status: u16, error: &ServerError) -> Fate {
    match status {
        // Also `noop`, which is what a pipeline's `drop` makes of it.
        200..=299 => Fate::Taken,
        // Our own id, with this version or a later one.
        409 => Fate::TakenBefore,
        // A blocked index, a missing one where none is created by itself, missing rights.
        401 | 403 | 404 => Fate::Retry(SendErrorKind::Denied),
        400 if error.is_the_operators() => Fate::Retry(SendErrorKind::Denied),
        // A pipeline that fails on purpose fails again.
        500 if error.kind == "fail_processor_exception" => Fate::Rejected,
        429 | 500..=599 => Fate::Retry(SendErrorKind::Transient),
        _ => Fate::Rejected,
    }
}

#[cfg(test)]
mod tests;
