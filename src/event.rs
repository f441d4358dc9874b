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
mod tests {
    use super::*;

    fn rows(file: &'static str) -> impl Iterator<Item = serde_json::Value> {
        file.lines().map(|line| serde_json::from_str(line).unwrap())
    }

    fn document(event: &Event, options: DocumentOptions) -> String {
        let mut line = Vec::new();
        Document { event, options }.append(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    /// The text of a member of a JSON line, to the byte.
    fn member<'a>(line: &'a str, name: &str) -> &'a str {
        #[derive(Deserialize)]
        struct Row<'a> {
            #[serde(borrow)]
            document: &'a serde_json::value::RawValue,
            #[serde(borrow)]
            event: Option<&'a serde_json::value::RawValue>,
            #[serde(borrow)]
            raw: Option<&'a serde_json::value::RawValue>,
        }
        let row: Row<'a> = serde_json::from_str(line).unwrap();
        match name {
            "document" => row.document.get(),
            _ => row.event.or(row.raw).unwrap_or(row.document).get(),
        }
    }

    #[test]
    fn strict_documents_are_the_incumbents_to_the_byte() {
        let mut checked = 0;
        for file in [
            include_str!("../tests/vectors/documents.jsonl"),
            include_str!("../tests/vectors/documents-more.jsonl"),
            include_str!("../tests/vectors/events.jsonl"),
        ] {
            for line in file.lines() {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                // A raw event lacks what a lookup adds; the document has it.
                let source = if row.get("raw").is_some() {
                    "document"
                } else {
                    "event"
                };
                let event: Event = serde_json::from_str(member(line, source)).unwrap();
                let de_dot = row["deDot"].as_bool().unwrap_or(false);
                let written = document(
                    &event,
                    DocumentOptions {
                        compat: Compat::Strict,
                        de_dot,
                    },
                );
                assert_eq!(written, member(line, "document"), "{}", row["name"]);
                checked += 1;
            }
        }
        assert!(checked > 25, "{checked}");
    }

    #[test]
    fn documents_have_the_times_and_the_count_that_the_api_leaves_out() {
        let event: Event = serde_json::from_str(
            r#"{"metadata":{"creationTimestamp":"2024-05-01T10:00:05Z"},"firstTimestamp":null,"lastTimestamp":null,
                "eventTime":"2024-05-01T10:00:00.123456Z","series":{"count":7,"lastObservedTime":"2024-05-01T11:00:00.000000Z"}}"#,
        )
        .unwrap();
        let written: serde_json::Value =
            serde_json::from_str(&document(&event, DocumentOptions::default())).unwrap();
        assert_eq!(written["@timestamp"], "2024-05-01T11:00:00Z");
        assert_eq!(written["lastTimestamp"], "2024-05-01T11:00:00Z");
        assert_eq!(written["firstTimestamp"], "2024-05-01T10:00:00.123456Z");
        assert_eq!(written["eventTime"], "2024-05-01T10:00:00.123456Z");
        assert_eq!(written["count"], 7);
        let nothing: serde_json::Value =
            serde_json::from_str(&document(&Event::default(), DocumentOptions::default())).unwrap();
        assert_eq!(
            nothing["@timestamp"], "1970-01-01T00:00:00Z",
            "never absent"
        );
        assert_eq!(nothing["count"], 1);
    }

    #[test]
    fn a_field_of_the_wrong_type_costs_neither_the_event_nor_its_neighbours() {
        for odd in [
            "null",
            "1",
            "-1.5",
            "true",
            "\"x\"",
            "[]",
            "[1,{}]",
            "{}",
            "{\"a\":[{}]}",
            "18446744073709551615",
        ] {
            for field in [
                "metadata",
                "reason",
                "source",
                "firstTimestamp",
                "count",
                "series",
                "related",
                "involvedObject",
                "type",
                "eventTime",
            ] {
                let text = format!(r#"{{"message":"kept","{field}":{odd},"action":"kept"}}"#);
                let event: Event =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(
                    (event.message.as_str(), event.action.as_str()),
                    ("kept", "kept"),
                    "{text}"
                );
            }
            for field in [
                "labels",
                "ownerReferences",
                "finalizers",
                "deleted",
                "deletionGracePeriodSeconds",
            ] {
                let text = format!(
                    r#"{{"metadata":{{"{field}":{odd}}},"involvedObject":{{"{field}":{odd}}}}}"#
                );
                serde_json::from_str::<Event>(&text)
                    .unwrap_or_else(|error| panic!("{text}: {error}"));
            }
        }
        assert!(
            serde_json::from_str::<Event>(r#"{"message":"#).is_err(),
            "what is no JSON is no event"
        );
    }

    #[test]
    fn every_event_of_a_real_cluster_is_read_and_reads_back() {
        let list: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/recorded/list.json")).unwrap();
        let frames = rows(include_str!("../tests/vectors/recorded/watch.jsonl"))
            .map(|frame| frame["object"].clone());
        let objects: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .cloned()
            .chain(frames)
            .collect();
        assert!(objects.len() > 500);
        for object in objects {
            let event: Event = serde_json::from_value(object.clone()).unwrap();
            if object["kind"] == "Event" && event.metadata.uid.is_empty() {
                continue; // a bookmark
            }
            assert_eq!(
                event.metadata.uid,
                object["metadata"]["uid"].as_str().unwrap()
            );
            assert!(event.occurred() > Time::EPOCH && event.version().is_some());
            let strict = DocumentOptions {
                compat: Compat::Strict,
                de_dot: false,
            };
            let written: Event = serde_json::from_str(&document(&event, strict)).unwrap();
            assert_eq!(written, event);
        }
    }

    #[test]
    fn what_was_held_back_before_it_is_told_but_where_nothing_of_ours_is() {
        let event = Event {
            suppressed: 3,
            ..Event::default()
        };
        for (compat, told) in [
            (Compat::Default, 3),
            (Compat::Whole, 3),
            (Compat::Strict, 0),
        ] {
            let options = DocumentOptions {
                compat,
                de_dot: false,
            };
            let read: Event = serde_json::from_str(&document(&event, options)).unwrap();
            assert_eq!(read.suppressed, told, "{compat:?}");
        }
        let nothing = document(&Event::default(), DocumentOptions::default());
        assert!(!nothing.contains("suppressed"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives(message: String, key in "\\PC{0,20}", value: String) {
            let mut event = Event { message, ..Event::default() };
            event.metadata.labels.insert(key, value);
            let written = document(&event, DocumentOptions { compat: Compat::Strict, de_dot: false });
            assert!(!written.contains('\n'));
            assert_eq!(serde_json::from_str::<Event>(&written).unwrap(), event);
        }
    }
}
