//! Lookups: one request for the metadata of one object, and what the answer means.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use thiserror::Error;
use tokio::time::Instant;
use tracing::warn;

use super::cache::{Found, Object};
use super::discovery::{Discovery, Known, Resource};
use super::reference::Reference;
use crate::event::Metadata;

/// Looks objects up.
pub(super) struct ObjectApi {
    client: Client,
    discovery: Discovery,
    denied: Mutex<Denied>,
    /// Rights are by namespace.
    by_namespace: bool,
}

/// What a lookup ends with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// The API server knows of it.
    Object(Object),
    /// It has no such kind.
    UnknownKind,
    /// We may not look at such.
    Forbidden,
    /// No request can be made of the reference.
    Unusable,
}

/// A lookup that came to nothing.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// Not within the deadline.
    #[error("the API server did not answer in time")]
    Late,
    /// Too many others were before it, and it has not been asked.
    #[error("too many lookups are under way")]
    Crowded,
    /// An error, or an answer that is none.
    #[error("{0}")]
    Failed(String),
    /// It would need an answer that did not come a moment ago, or that nobody may ask for now.
    #[error("the API server has not said yet what kinds it has")]
    Unanswered,
}

/// Kinds that we may not look at.
#[derive(Default)]
struct Denied {
    until: HashMap<DeniedKind, Instant>,
    /// Once a kind, whatever the namespace.
    told: HashSet<(String, String)>,
}

#[derive(PartialEq, Eq, Hash)]
struct DeniedKind {
    api_version: String,
    kind: String,
    /// Empty where rights are the same in all.
    namespace: String,
}

#[derive(Deserialize)]
struct PartialObject {
    metadata: Metadata,
}

/// Metadata alone; the whole object of servers behind the API server that can't.
const METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json;q=0.5";
/// An object weighs a mebibyte and a half at the most.
const MAX_ANSWER: usize = 4 << 20;
/// How long a kind counts as forbidden before it is tried again.
pub(super) const DENIED_FOR: Duration = Duration::from_mins(5);

// === impl ObjectApi ===

impl ObjectApi {
    pub(super) fn new(client: Client, by_namespace: bool) -> Self {
        Self {
            discovery: Discovery::new(client.clone()),
            client,
            denied: Mutex::default(),
            by_namespace,
        }
    }

    /// What can be said without a request; `None` if one has to be made.
    pub(super) fn known(&self, reference: &Reference) -> Option<Result<Answer, Failure>> {
        match self
            .discovery
            .known(&reference.api_version, &reference.kind)
        {
            Known::Unknown => return Some(Ok(Answer::UnknownKind)),
            Known::Unanswered => return Some(Err(Failure::Unanswered)),
            Known::NotAsked => return None,
            Known::Kind(_) => {}
        }
        let denied = self.lock();
        if denied.until.is_empty() {
            return None;
        }
        let until = denied.until.get(&self.kind_of(reference))?;
        (Instant::now() < *until).then_some(Ok(Answer::Forbidden))
    }

    /// Looks an object up.
    pub(super) async fn look_up(&self, reference: &Reference) -> Result<Answer, Failure> {
        let Reference {
            api_version, kind, ..
        } = reference;
        let Some(resource) = self.discovery.find(api_version, kind).await? else {
            return Ok(Answer::UnknownKind);
        };
        let Some(path) = reference.path(&resource) else {
            return Ok(Answer::Unusable);
        };
        let (status, body) = get(&self.client, &path).await?;
        match status {
            StatusCode::OK => {
                self.allow(reference);
                let object: PartialObject = serde_json::from_slice(&body).map_err(|error| {
                    Failure::Failed(format!("an object cannot be read: {error}"))
                })?;
                Ok(compare(reference, object.metadata))
            }
            StatusCode::FORBIDDEN => {
                self.deny(reference, &resource, &body);
                Ok(Answer::Forbidden)
            }
            StatusCode::NOT_FOUND if is_of_object(&body) => {
                self.allow(reference);
                Ok(gone(reference))
            }
            StatusCode::NOT_FOUND => {
                // The kind itself has gone, or is served in another version now.
                self.discovery.forget(api_version);
                Ok(Answer::UnknownKind)
            }
            status => Err(Failure::answered(status)),
        }
    }

    fn deny(&self, reference: &Reference, resource: &Resource, body: &[u8]) {
        let until = Instant::now() + DENIED_FOR;
        let mut denied = self.lock();
        denied.until.insert(self.kind_of(reference), until);
        let (api_version, kind) = (&reference.api_version, &reference.kind);
        if denied.told.insert((api_version.clone(), kind.clone())) {
            drop(denied);
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            let plural = &resource.plural;
            let status: Status = serde_json::from_slice(body).unwrap_or_default();
            warn!(
                kind,
                api_version,
                error = status.message,
                "objects of this kind may not be looked up, and events about them go out without labels, annotations and owners: add to the exporter's role `{{apiGroups: [\"{group}\"], resources: [\"{plural}\"], verbs: [\"get\"]}}`, or set `omitLookup: true`"
            );
        }
    }

    /// The kind is not forbidden any more, and is told of anew if it is again.
    fn allow(&self, reference: &Reference) {
        let mut denied = self.lock();
        if !denied.until.is_empty() && denied.until.remove(&self.kind_of(reference)).is_some() {
            let kind = (reference.api_version.clone(), reference.kind.clone());
            denied.told.remove(&kind);
        }
    }

    fn kind_of(&self, reference: &Reference) -> DeniedKind {
        DeniedKind {
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            namespace: if self.by_namespace {
                reference.namespace.clone()
            } else {
                String::new()
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Denied> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is there is what the event is about.
fn compare(reference: &Reference, metadata: Metadata) -> Answer {
    if !reference.uid.is_empty() && reference.uid != metadata.uid {
        return gone(reference);
    }
    Answer::Object(Object::Found(Arc::new(Found {
        labels: metadata.labels,
        annotations: metadata.annotations,
        owner_references: metadata.owner_references,
        deleted: metadata.deletion_timestamp.is_some(),
    })))
}

/// It is gone, unless its kind was a guess: then another kind of the same name may be there.
fn gone(reference: &Reference) -> Answer {
    if reference.guessed {
        return Answer::UnknownKind;
    }
    Answer::Object(Object::Gone)
}

/// Whether an answer of 404 names the object, rather than nothing that is served.
fn is_of_object(body: &[u8]) -> bool {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    status
        .details
        .is_some_and(|details| !details.name.is_empty())
}

/// One request, and the whole of its answer.
pub(super) async fn get(client: &Client, path: &str) -> Result<(StatusCode, Bytes), Failure> {
    let request = Request::get(path)
        .header(ACCEPT, METADATA)
        .body(Body::empty())
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let response = client.send(request).await;
    let response =
        response.map_err(|_| Failure::Failed("the API server cannot be reached".to_owned()))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|_| Failure::Failed("the API server's answer was cut".to_owned()))?;
    Ok((status, body.to_bytes()))
}

// === impl Failure ===

impl Failure {
    pub(super) fn answered(status: StatusCode) -> Self {
        Self::Failed(format!("the API server answered {status}"))
    }
}
