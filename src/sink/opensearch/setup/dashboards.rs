//! The dashboards of `deploy/opensearch`, for OpenSearch Dashboards and Kibana.

use std::time::Duration;

use bytes::Bytes;
use opensearch::http::Method;
use opensearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::{Dialect, Hosts, OpenSearchConfig};
use crate::sink::http::{classify, reason};
use crate::sink::{SendError, SendErrorKind};
use crate::yaml::Problems;

/// Where dashboards are imported.
pub struct Dashboards {
    hosts: Hosts,
    /// Without it, the server takes the request for one that a page has made its reader send.
    header: HeaderName,
}

/// What came of an import.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many objects were taken.
    pub taken: u64,
    /// How many were there and are left alone.
    pub kept: usize,
    /// What was refused, and why.
    pub refused: Vec<String>,
}

/// What the server says, with status 200 whatever came of it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reply {
    success_count: u64,
    errors: Vec<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    error: Cause,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(rename = "type")]
    kind: String,
}

const SHIPPED: &str = include_str!("../../../../deploy/opensearch/dashboards.ndjson");
/// Between the parts of the request; in no dashboard.
const BOUNDARY: &str = "kubernetes-event-exporter-dashboards";

// === impl Dashboards ===

impl Dashboards {
    /// At `url`, for a user that the servers of this configuration know too. Connects nowhere.
    pub fn new(
        url: &str,
        config: &OpenSearchConfig,
        dialect: Dialect,
        timeout: Duration,
    ) -> Result<Self, Problems> {
        Ok(Self {
            hosts: Hosts::beside(url, config, timeout)?,
            header: HeaderName::from_static(match dialect {
                Dialect::OpenSearch => "osd-xsrf",
                Dialect::Elasticsearch => "kbn-xsrf",
            }),
        })
    }

    /// Imports them, for the indices of `pattern`.
    pub async fn import(&self, pattern: &str, overwrite: bool) -> Result<Imported, SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(self.header.clone(), HeaderValue::from_static("true"));
        let form = HeaderValue::try_from(format!("multipart/form-data; boundary={BOUNDARY}"));
        headers.insert(CONTENT_TYPE, form.map_err(|error| unusable(&error))?);
        let path = format!("api/saved_objects/_import?overwrite={overwrite}");
        let objects = objects(pattern).map_err(|error| unusable(&error))?;
        let body = Some(Bytes::from(form_of(&objects)));
        let answer = self.hosts.send(Method::Post, &path, headers, body).await?;
        if let Some(kind) = classify(answer.status) {
            return Err(SendError {
                kind,
                reason: reason(answer.status, &answer.body),
                status: Some(answer.status),
                retry_after: None,
            });
        }
        let reply: Reply = serde_json::from_slice(&answer.body)
            .map_err(|_| unusable(&"what answers there are no Dashboards"))?;
        let (kept, refused): (Vec<_>, Vec<_>) = reply
            .errors
            .into_iter()
            .partition(|refusal| refusal.error.kind == "conflict");
        let refused = refused.into_iter();
        Ok(Imported {
            taken: reply.success_count,
            kept: kept.len(),
            refused: refused
                .map(|it| format!("{} {}: {}", it.kind, it.id, it.error.kind))
                .collect(),
        })
    }
}

/// The objects, one a line, with their index pattern for these indices.
fn objects(pattern: &str) -> Result<String, serde_json::Error> {
    let mut lines = String::with_capacity(SHIPPED.len());
    for line in SHIPPED.lines() {
        let mut object: Value = serde_json::from_str(line)?;
        if object["type"] == "index-pattern" {
            object["attributes"]["title"] = pattern.into();
        }
        lines.push_str(&object.to_string());
        lines.push('\n');
    }
    Ok(lines)
}

/// A form with one file, whose name has to end in `.ndjson`.
fn form_of(objects: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"dashboards.ndjson\"\r\n\
         Content-Type: application/ndjson\r\n\r\n{objects}\r\n--{BOUNDARY}--\r\n"
    )
}

fn unusable(cause: &dyn std::fmt::Display) -> SendError {
    SendError {
        kind: SendErrorKind::Refused,
        ..SendError::transient(cause.to_string())
    }
}
