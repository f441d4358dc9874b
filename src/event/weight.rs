//! About how many bytes an event takes, in memory and in a request, for queues and batches that count bytes.
//!
//! Every text counts: an Event's author chooses them, up to a mebibyte each. A field that is added does not compile until
//! it is counted here.

use std::collections::BTreeMap;

use super::{Event, InvolvedObject, Metadata, ObjectReference, OwnerReference};

/// What surrounds a text: its name in the document, its place in memory.
const AROUND: usize = 24;

impl Event {
    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        let Self {
            metadata,
            reason,
            message,
            source,
            first_timestamp: _,
            last_timestamp: _,
            count: _,
            kind,
            event_time: _,
            series: _,
            action,
            related,
            reporting_component,
            reporting_instance,
            cluster_name,
            involved_object,
            namespace_labels,
            suppressed: _,
            origin: _,
        } = self;
        size_of::<Self>()
            + of_metadata(metadata)
            + texts([reason, message, &source.component, &source.host, kind])
            + texts([action, reporting_component, reporting_instance])
            + cluster_name.len()
            + related.as_ref().map_or(0, of_reference)
            + of_object(involved_object)
            + namespace_labels.as_ref().map_or(0, entries)
    }
}

fn of_metadata(metadata: &Metadata) -> usize {
    let Metadata {
        name,
        generate_name,
        namespace,
        self_link,
        uid,
        resource_version,
        generation: _,
        creation_timestamp: _,
        deletion_timestamp: _,
        deletion_grace_period_seconds: _,
        labels,
        annotations,
        owner_references,
        finalizers,
    } = metadata;
    texts([name, generate_name, namespace, self_link, uid])
        + resource_version.len()
        + entries(labels)
        + entries(annotations)
        + owners(owner_references)
        + texts(finalizers)
}

fn of_reference(object: &ObjectReference) -> usize {
    let ObjectReference {
        kind,
        namespace,
        name,
        uid,
        api_version,
        resource_version,
        field_path,
    } = object;
    texts([kind, namespace, name, uid, api_version]) + texts([resource_version, field_path])
}

fn of_object(object: &InvolvedObject) -> usize {
    let InvolvedObject {
        kind,
        namespace,
        name,
        uid,
        api_version,
        resource_version,
        field_path,
        labels,
        annotations,
        owner_references,
        deleted: _,
    } = object;
    texts([kind, namespace, name, uid, api_version])
        + texts([resource_version, field_path])
        + entries(labels)
        + entries(annotations)
        + owners(owner_references)
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(|text| text.len() + AROUND).sum()
}

fn entries(map: &BTreeMap<String, String>) -> usize {
    map.iter().map(|(key, value)| texts([key, value])).sum()
}

fn owners(owners: &[OwnerReference]) -> usize {
    let weight = |owner: &OwnerReference| {
        let OwnerReference {
            api_version,
            kind,
            name,
            uid,
            controller: _,
            block_owner_deletion: _,
        } = owner;
        size_of::<OwnerReference>() + texts([api_version, kind, name, uid])
    };
    owners.iter().map(weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_an_authors_choosing_is_weightless() {
        const HEAVY: usize = 1 << 20;
        for field in [
            r#"{"source":{"host":"X"}}"#,
            r#"{"type":"X"}"#,
            r#"{"related":{"name":"X"}}"#,
            r#"{"metadata":{"generateName":"X"}}"#,
            r#"{"metadata":{"finalizers":["X"]}}"#,
            r#"{"metadata":{"annotations":{"a":"X"}}}"#,
            r#"{"metadata":{"ownerReferences":[{"kind":"X"}]}}"#,
            r#"{"involvedObject":{"uid":"X"}}"#,
            r#"{"message":"X"}"#,
        ] {
            let event: Event =
                serde_json::from_str(&field.replace('X', &"x".repeat(HEAVY))).unwrap();
            assert!(event.weight() >= HEAVY, "{field}");
        }
    }
}
