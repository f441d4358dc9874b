//! The document that an Event becomes: the incumbent's, field for field and in its order, with what its users had to mend.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{
    Event, InvolvedObject, Metadata, ObjectReference, OwnerReference, Series, Source, Time, go_json,
};

/// How documents are written; a setting of the receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DocumentOptions {
    /// Whether to mend what the incumbent leaves out.
    pub compat: Compat,
    /// Writes `_` for `.` in the keys of labels and annotations, which OpenSearch would read as nested objects.
    pub de_dot: bool,
}

/// Whose document.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// With `@timestamp`, and with `firstTimestamp`, `lastTimestamp` and `count` filled where the API leaves them out.
    #[default]
    Default,
    /// To the byte as the incumbent writes it.
    Strict,
    /// The event as it is, for the exporter itself to read again: nothing mended, and nothing of ours left out.
    #[serde(skip)]
    Whole,
}

/// An Event about to be serialized.
pub struct Document<'a> {
    /// What to write.
    pub event: &'a Event,
    /// How to write it.
    pub options: DocumentOptions,
}

// === impl Document ===

impl Document<'_> {
    /// Appends the document as JSON, without a line end.
    ///
    /// # Errors
    /// None that are known: nothing in a document can fail to serialize.
    pub fn append(&self, to: &mut Vec<u8>) -> serde_json::Result<()> {
        go_json::append(self, to)
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { event, options } = self;
        let mended = options.compat == Compat::Default;
        let (first, last, count) = if mended {
            let first = Shown::Shortest(
                event
                    .first_timestamp
                    .unwrap_or_else(|| event.first_occurred()),
            );
            let last = Shown::Shortest(event.last_timestamp.unwrap_or_else(|| event.occurred()));
            (Some(first), Some(last), event.occurrences())
        } else {
            (
                event.first_timestamp.map(Shown::Seconds),
                event.last_timestamp.map(Shown::Seconds),
                event.count,
            )
        };

        let mut map = serializer.serialize_map(None)?;
        if mended {
            map.serialize_entry("@timestamp", &Shown::Shortest(event.occurred()))?;
        }
        map.serialize_entry(
            "metadata",
            &MetadataDocument(&event.metadata, options.de_dot),
        )?;
        text(&mut map, "reason", &event.reason)?;
        text(&mut map, "message", &event.message)?;
        map.serialize_entry("source", &event.source)?;
        map.serialize_entry("firstTimestamp", &first)?;
        map.serialize_entry("lastTimestamp", &last)?;
        if count != 0 {
            map.serialize_entry("count", &count)?;
        }
        if event.suppressed != 0 && options.compat != Compat::Strict {
            map.serialize_entry("suppressed", &event.suppressed)?;
        }
        occurrence(&mut map, event)?;
        map.serialize_entry("clusterName", &event.cluster_name)?;
        map.serialize_entry(
            "involvedObject",
            &InvolvedObjectDocument(&event.involved_object, options.de_dot),
        )?;
        map.end()
    }
}

/// A time in one of the API's spellings.
enum Shown {
    Seconds(Time),
    Micros(Time),
    Shortest(Time),
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Seconds(time) => serializer.collect_str(&time.seconds()),
            Self::Micros(time) => serializer.collect_str(&time.micros()),
            Self::Shortest(time) => serializer.collect_str(&time.shortest()),
        }
    }
}

/// The Event alone, as the API has it, without what the incumbent adds.
pub struct ApiEvent<'a>(pub &'a Event);

impl Serialize for ApiEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event) = *self;
        let object = &event.involved_object;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("metadata", &event.metadata)?;
        map.serialize_entry("involvedObject", &object.reference())?;
        text(&mut map, "reason", &event.reason)?;
        text(&mut map, "message", &event.message)?;
        map.serialize_entry("source", &event.source)?;
        map.serialize_entry("firstTimestamp", &event.first_timestamp.map(Shown::Seconds))?;
        map.serialize_entry("lastTimestamp", &event.last_timestamp.map(Shown::Seconds))?;
        if event.count != 0 {
            map.serialize_entry("count", &event.count)?;
        }
        occurrence(&mut map, event)?;
        map.end()
    }
}

/// What follows the count, which no document changes.
fn occurrence<M: SerializeMap>(map: &mut M, event: &Event) -> Result<(), M::Error> {
    text(map, "type", &event.kind)?;
    map.serialize_entry("eventTime", &event.event_time.map(Shown::Micros))?;
    if let Some(series) = &event.series {
        map.serialize_entry("series", series)?;
    }
    text(map, "action", &event.action)?;
    if let Some(related) = &event.related {
        map.serialize_entry("related", related)?;
    }
    map.serialize_entry("reportingComponent", &event.reporting_component)?;
    map.serialize_entry("reportingInstance", &event.reporting_instance)
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MetadataDocument(self, false).serialize(serializer)
    }
}

impl Serialize for InvolvedObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        InvolvedObjectDocument(self, false).serialize(serializer)
    }
}

struct MetadataDocument<'a>(&'a Metadata, bool);

impl Serialize for MetadataDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(metadata, de_dot) = *self;
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "name", &metadata.name)?;
        text(&mut map, "generateName", &metadata.generate_name)?;
        text(&mut map, "namespace", &metadata.namespace)?;
        text(&mut map, "selfLink", &metadata.self_link)?;
        text(&mut map, "uid", &metadata.uid)?;
        text(&mut map, "resourceVersion", &metadata.resource_version)?;
        if metadata.generation != 0 {
            map.serialize_entry("generation", &metadata.generation)?;
        }
        map.serialize_entry(
            "creationTimestamp",
            &metadata.creation_timestamp.map(Shown::Seconds),
        )?;
        if let Some(deletion) = metadata.deletion_timestamp {
            map.serialize_entry("deletionTimestamp", &Shown::Seconds(deletion))?;
        }
        if let Some(seconds) = metadata.deletion_grace_period_seconds {
            map.serialize_entry("deletionGracePeriodSeconds", &seconds)?;
        }
        strings(&mut map, "labels", &metadata.labels, de_dot)?;
        strings(&mut map, "annotations", &metadata.annotations, de_dot)?;
        list(&mut map, "ownerReferences", &metadata.owner_references)?;
        list(&mut map, "finalizers", &metadata.finalizers)?;
        map.end()
    }
}

struct InvolvedObjectDocument<'a>(&'a InvolvedObject, bool);

impl Serialize for InvolvedObjectDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(object, de_dot) = *self;
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "kind", &object.kind)?;
        text(&mut map, "namespace", &object.namespace)?;
        text(&mut map, "name", &object.name)?;
        text(&mut map, "uid", &object.uid)?;
        text(&mut map, "apiVersion", &object.api_version)?;
        text(&mut map, "resourceVersion", &object.resource_version)?;
        text(&mut map, "fieldPath", &object.field_path)?;
        strings(&mut map, "labels", &object.labels, de_dot)?;
        strings(&mut map, "annotations", &object.annotations, de_dot)?;
        list(&mut map, "ownerReferences", &object.owner_references)?;
        map.serialize_entry("deleted", &object.deleted)?;
        map.end()
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "component", &self.component)?;
        text(&mut map, "host", &self.host)?;
        map.end()
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.count != 0 {
            map.serialize_entry("count", &self.count)?;
        }
        map.serialize_entry(
            "lastObservedTime",
            &self.last_observed_time.map(Shown::Micros),
        )?;
        map.end()
    }
}

impl Serialize for ObjectReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "kind", &self.kind)?;
        text(&mut map, "namespace", &self.namespace)?;
        text(&mut map, "name", &self.name)?;
        text(&mut map, "uid", &self.uid)?;
        text(&mut map, "apiVersion", &self.api_version)?;
        text(&mut map, "resourceVersion", &self.resource_version)?;
        text(&mut map, "fieldPath", &self.field_path)?;
        map.end()
    }
}

impl Serialize for OwnerReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("apiVersion", &self.api_version)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("uid", &self.uid)?;
        if let Some(controller) = self.controller {
            map.serialize_entry("controller", &controller)?;
        }
        if let Some(block) = self.block_owner_deletion {
            map.serialize_entry("blockOwnerDeletion", &block)?;
        }
        map.end()
    }
}

/// Writes a string unless it is empty, as Go's `omitempty`.
fn text<M: SerializeMap>(map: &mut M, key: &'static str, value: &str) -> Result<(), M::Error> {
    if value.is_empty() {
        return Ok(());
    }
    map.serialize_entry(key, value)
}

fn list<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &'static str,
    values: &[T],
) -> Result<(), M::Error> {
    if values.is_empty() {
        return Ok(());
    }
    map.serialize_entry(key, values)
}

fn strings<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    values: &BTreeMap<String, String>,
    de_dot: bool,
) -> Result<(), M::Error> {
    if values.is_empty() {
        return Ok(());
    }
    if !de_dot || !values.keys().any(|key| key.contains('.')) {
        return map.serialize_entry(key, values);
    }
    // Sorted anew; of keys that have become alike, the last in the order of the originals stays.
    let values: BTreeMap<_, _> = values
        .iter()
        .map(|(key, value)| (key.replace('.', "_"), value))
        .collect();
    map.serialize_entry(key, &values)
}
