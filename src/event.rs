//! The Event: what the API server says happened, as every part of the program sees it.
//!
//! An [`Event`] is a core/v1 Event reduced to the fields that documents, rules and templates use (`managedFields`, a
//! quarter of its bytes, are never kept), plus what the incumbent adds: the cluster's name, and the labels,
//! annotations and owners of the involved object. It reads both what the API server sends and the documents that the
//! exporter itself writes, and is lenient: a field of the wrong type counts as absent.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

pub use self::document::{ApiEvent, Compat, Document, DocumentOptions};
pub use self::lenient::{from_slice, without_lone_surrogates};
pub use self::time::Time;
pub use self::visible::visible;
use crate::mark::Origin;

mod document;
pub mod go_json;
mod lenient;
#[cfg(test)]
pub(crate) mod testing;
mod time;
mod visible;
mod weight;

/// One version of an Event object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Event {
    /// The Event's own name, namespace, uid, version.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    /// Why it happened, one word for machines: `BackOff`.
    #[serde(deserialize_with = "lenient::string")]
    pub reason: String,
    /// What happened, for people. Written by whoever may create Events: hostile input.
    #[serde(deserialize_with = "lenient::string")]
    pub message: String,
    /// Who reports it, as older recorders say it.
    #[serde(deserialize_with = "or_default")]
    pub source: Source,
    /// When it happened first.
    #[serde(deserialize_with = "lenient::time")]
    pub first_timestamp: Option<Time>,
    /// When it happened last.
    #[serde(deserialize_with = "lenient::time")]
    pub last_timestamp: Option<Time>,
    /// How often it happened, as older recorders count; 0 if they don't. Signed, as the API has it.
    #[serde(deserialize_with = "lenient::integer")]
    pub count: i64,
    /// `Normal` or `Warning`, by convention.
    #[serde(rename = "type", deserialize_with = "lenient::string")]
    pub kind: String,
    /// When it was observed first, as newer recorders say it.
    #[serde(deserialize_with = "lenient::time")]
    pub event_time: Option<Time>,
    /// How often it happened, as newer recorders count.
    #[serde(deserialize_with = "lenient::object")]
    pub series: Option<Series>,
    /// What was done or failed.
    #[serde(deserialize_with = "lenient::string")]
    pub action: String,
    /// A second object that it is about.
    #[serde(deserialize_with = "lenient::object")]
    pub related: Option<ObjectReference>,
    /// Who reports it, as newer recorders say it.
    #[serde(deserialize_with = "lenient::string")]
    pub reporting_component: String,
    /// Which instance of it.
    #[serde(deserialize_with = "lenient::string")]
    pub reporting_instance: String,
    /// The cluster it comes from, from the configuration.
    #[serde(deserialize_with = "lenient::string")]
    pub cluster_name: String,
    /// The object that it is about.
    #[serde(deserialize_with = "or_default")]
    pub involved_object: InvolvedObject,
    /// The labels of its namespace; `None` if they are not known. Only rules ask for them.
    #[serde(skip)]
    pub namespace_labels: Option<BTreeMap<String, String>>,
    /// How many of its kind a throttle has held back before it.
    #[serde(deserialize_with = "lenient::integer")]
    pub suppressed: i64,
    /// Where it was read; the default for one that was not watched.
    #[serde(skip)]
    pub origin: Origin,
}

/// The Event's own metadata. `managedFields` is left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "Kubernetes' own names; see ObjectMeta in its API reference"
)]
pub struct Metadata {
    #[serde(deserialize_with = "lenient::string")]
    pub name: String,
    #[serde(deserialize_with = "lenient::string")]
    pub generate_name: String,
    #[serde(deserialize_with = "lenient::string")]
    pub namespace: String,
    #[serde(deserialize_with = "lenient::string")]
    pub self_link: String,
    #[serde(deserialize_with = "lenient::string")]
    pub uid: String,
    #[serde(deserialize_with = "lenient::string")]
    pub resource_version: String,
    #[serde(deserialize_with = "lenient::integer")]
    pub generation: i64,
    #[serde(deserialize_with = "lenient::time")]
    pub creation_timestamp: Option<Time>,
    #[serde(deserialize_with = "lenient::time")]
    pub deletion_timestamp: Option<Time>,
    #[serde(deserialize_with = "lenient::optional_integer")]
    pub deletion_grace_period_seconds: Option<i64>,
    #[serde(deserialize_with = "lenient::strings")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient::strings")]
    pub annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient::objects")]
    pub owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "lenient::texts")]
    pub finalizers: Vec<String>,
}

/// Who reports an Event, as older recorders say it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Source {
    /// `kubelet`
    #[serde(deserialize_with = "lenient::string")]
    pub component: String,
    /// The node, where the component runs on one.
    #[serde(deserialize_with = "lenient::string")]
    pub host: String,
}

/// Repetitions, as newer recorders count them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Series {
    /// How often it happened so far.
    #[serde(deserialize_with = "lenient::integer")]
    pub count: i64,
    /// When it happened last.
    #[serde(deserialize_with = "lenient::time")]
    pub last_observed_time: Option<Time>,
}

/// A reference to any object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "Kubernetes' own names; see ObjectReference in its API reference"
)]
pub struct ObjectReference {
    #[serde(deserialize_with = "lenient::string")]
    pub kind: String,
    #[serde(deserialize_with = "lenient::string")]
    pub namespace: String,
    #[serde(deserialize_with = "lenient::string")]
    pub name: String,
    #[serde(deserialize_with = "lenient::string")]
    pub uid: String,
    #[serde(deserialize_with = "lenient::string")]
    pub api_version: String,
    #[serde(deserialize_with = "lenient::string")]
    pub resource_version: String,
    #[serde(deserialize_with = "lenient::string")]
    pub field_path: String,
}

/// The object that an Event is about: an [`ObjectReference`] with what a lookup adds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "Kubernetes' own names; see ObjectReference in its API reference"
)]
pub struct InvolvedObject {
    #[serde(deserialize_with = "lenient::string")]
    pub kind: String,
    #[serde(deserialize_with = "lenient::string")]
    pub namespace: String,
    #[serde(deserialize_with = "lenient::string")]
    pub name: String,
    #[serde(deserialize_with = "lenient::string")]
    pub uid: String,
    #[serde(deserialize_with = "lenient::string")]
    pub api_version: String,
    #[serde(deserialize_with = "lenient::string")]
    pub resource_version: String,
    #[serde(deserialize_with = "lenient::string")]
    pub field_path: String,
    /// The object's labels.
    #[serde(deserialize_with = "lenient::strings")]
    pub labels: BTreeMap<String, String>,
    /// The object's annotations.
    #[serde(deserialize_with = "lenient::strings")]
    pub annotations: BTreeMap<String, String>,
    /// The object's owners.
    #[serde(deserialize_with = "lenient::objects")]
    pub owner_references: Vec<OwnerReference>,
    /// The lookup found it gone, or another of the same name in its place.
    #[serde(deserialize_with = "deleted")]
    pub deleted: bool,
}

/// An owner of an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "Kubernetes' own names; see OwnerReference in its API reference"
)]
pub struct OwnerReference {
    #[serde(deserialize_with = "lenient::string")]
    pub api_version: String,
    #[serde(deserialize_with = "lenient::string")]
    pub kind: String,
    #[serde(deserialize_with = "lenient::string")]
    pub name: String,
    #[serde(deserialize_with = "lenient::string")]
    pub uid: String,
    #[serde(deserialize_with = "lenient::boolean")]
    pub controller: Option<bool>,
    #[serde(deserialize_with = "lenient::boolean")]
    pub block_owner_deletion: Option<bool>,
}

// === impl Event ===

impl Event {
    /// When it happened, by the first clock that says so: the last repetition, else the first occurrence, else the API
    /// server's clock at creation. [`Time::EPOCH`] for an event that has none of them, which no API server sends.
    pub fn occurred(&self) -> Time {
        self.series
            .as_ref()
            .and_then(|series| series.last_observed_time)
            .or(self.last_timestamp)
            .or(self.event_time)
            .or(self.first_timestamp)
            .or(self.metadata.creation_timestamp)
            .unwrap_or(Time::EPOCH)
    }

    /// When it happened first, by the same rule.
    pub fn first_occurred(&self) -> Time {
        self.first_timestamp
            .or(self.event_time)
            .or(self.last_timestamp)
            .or(self.metadata.creation_timestamp)
            .unwrap_or(Time::EPOCH)
    }

    /// How often it has happened so far, whichever way its recorder counts; 0 if it doesn't.
    pub fn counted(&self) -> i64 {
        match (self.count, &self.series) {
            (0, Some(series)) => series.count,
            (count, _) => count,
        }
    }

    /// How often it has happened so far, at least once.
    pub fn occurrences(&self) -> i64 {
        self.counted().max(1)
    }

    /// The version as a number; versions of one cluster compare. `None` where the API server's is no number.
    pub fn version(&self) -> Option<u64> {
        self.metadata.resource_version.parse().ok()
    }

    /// `namespace/name`, for people.
    pub fn key(&self) -> impl fmt::Display + '_ {
        Key(&self.metadata)
    }
}

// === impl InvolvedObject ===

impl InvolvedObject {
    /// The reference alone, without what a lookup adds.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            api_version: self.api_version.clone(),
            resource_version: self.resource_version.clone(),
            field_path: self.field_path.clone(),
        }
    }
}

struct Key<'a>(&'a Metadata);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.namespace, self.0.name)
    }
}

fn or_default<'de, T: Deserialize<'de> + Default, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    lenient::object(deserializer).map(Option::unwrap_or_default)
}

fn deleted<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    lenient::boolean(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
