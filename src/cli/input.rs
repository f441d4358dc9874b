//! Events from a file: a Kubernetes List, JSON lines of Events, watch frames, dead letters, and the exporter's own
//! documents, in any mixture.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::StreamDeserializer;
use serde_json::de::IoRead;
use serde_json::value::RawValue;

use crate::event::Event;

/// Reads events one after the other. A List is held in memory as a whole, its events are not.
pub struct EventReader {
    name: String,
    values: StreamDeserializer<'static, IoRead<Box<dyn Read + Send>>, Box<RawValue>>,
    /// What is left of a List.
    items: std::vec::IntoIter<Box<RawValue>>,
}

/// What tells the kinds of input apart.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Shape {
    /// Of a Kubernetes object.
    kind: Option<Box<RawValue>>,
    /// A List.
    items: Option<Vec<Box<RawValue>>>,
    /// A watch frame.
    object: Option<Box<RawValue>>,
    #[serde(rename = "type")]
    frame: Option<Box<RawValue>>,
    /// A dead letter.
    event: Option<Box<RawValue>>,
    /// An Event, or a document.
    metadata: Option<Box<RawValue>>,
    #[serde(rename = "involvedObject")]
    involved_object: Option<Box<RawValue>>,
}

// === impl EventReader ===

impl EventReader {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::new(
                "standard input".to_owned(),
                Box::new(io::stdin()),
            ));
        }
        let name = path.display().to_string();
        let cannot = || format!("cannot read the events in {name}");
        let file = File::open(path).with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        // As it is now: it may be the dead letter that this very input is going to add to.
        let end = if metadata.is_file() {
            metadata.len()
        } else {
            u64::MAX
        };
        Ok(Self::new(name, Box::new(file.take(end))))
    }

    fn new(name: String, input: Box<dyn Read + Send>) -> Self {
        let input: Box<dyn Read + Send> = Box::new(BufReader::new(input));
        Self {
            name,
            values: serde_json::Deserializer::from_reader(input).into_iter(),
            items: Vec::new().into_iter(),
        }
    }

    /// Reads one value; `None` for one that holds no event, such as a bookmark.
    fn unfold(&mut self, value: &RawValue) -> serde_json::Result<Option<Event>> {
        let shape: Shape = serde_json::from_str(value.get())?;
        let kind = shape.kind.as_ref().map_or("", |kind| kind.get());
        if !matches!(
            kind,
            "" | "null" | "\"Event\"" | "\"EventList\"" | "\"List\""
        ) {
            return Err(serde::de::Error::custom(format_args!(
                "an object of kind {kind} is no Event"
            )));
        }
        if let Some(items) = shape.items {
            // A List may hold Lists.
            let rest = std::mem::take(&mut self.items);
            self.items = items
                .into_iter()
                .chain(rest)
                .collect::<Vec<_>>()
                .into_iter();
            return Ok(None);
        }
        if let Some(object) = shape.object {
            let kind: Option<String> = shape
                .frame
                .map(|kind| serde_json::from_str(kind.get()))
                .transpose()?;
            // A deletion is the end of an event, not an occurrence.
            return match kind.as_deref() {
                Some("ADDED" | "MODIFIED") => self.unfold(&object),
                Some("DELETED" | "BOOKMARK" | "ERROR") => Ok(None),
                _ => Err(serde::de::Error::custom("a watch frame of unknown type")),
            };
        }
        if let Some(event) = shape.event {
            return serde_json::from_str(event.get()).map(Some);
        }
        if shape.metadata.is_none() && shape.involved_object.is_none() {
            return Err(serde::de::Error::custom(
                "not an Event, a List of them, a watch frame or one of the exporter's documents",
            ));
        }
        serde_json::from_str(value.get()).map(Some)
    }
}

impl Iterator for EventReader {
    type Item = anyhow::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let read = match self.items.next() {
                Some(item) => self.unfold(&item),
                None => self.values.next()?.and_then(|value| self.unfold(&value)),
            };
            match read {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) => {}
                Err(error) => {
                    return Some(Err(error).with_context(|| format!("{}: no event", self.name)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Event> {
        EventReader::new(
            "test".to_owned(),
            Box::new(io::Cursor::new(text.to_owned())),
        )
        .map(Result::unwrap)
        .collect()
    }

    const EVENT: &str = r#"{"metadata":{"name":"e","namespace":"n","uid":"u"},"involvedObject":{"kind":"Pod","labels":{"a":"b"},"deleted":true},"clusterName":"c"}"#;

    #[test]
    fn every_kind_of_input_gives_the_same_event() {
        let event: Event = serde_json::from_str(EVENT).unwrap();
        assert!(
            event.involved_object.deleted
                && event.involved_object.labels["a"] == "b"
                && event.cluster_name == "c"
        );
        for text in [
            EVENT.to_owned(),
            format!(r#"{{"apiVersion":"v1","items":[{EVENT}],"kind":"List"}}"#),
            format!(r#"{{"type":"ADDED","object":{EVENT}}}"#),
            format!(r#"{{"time":"t","receiver":"r","reason":"x","event":{EVENT}}}"#),
            format!(
                "{{\"type\":\"BOOKMARK\",\"object\":{{}}}}\n{{\"type\":\"DELETED\",\"object\":{EVENT}}}\n\n{EVENT}\n"
            ),
        ] {
            assert_eq!(read(&text), std::slice::from_ref(&event), "{text}");
        }
        assert_eq!(read(&format!("{EVENT}\n{EVENT}{EVENT}")).len(), 3);
        assert_eq!(read(r#"{"kind":"List","items":[]}"#).len(), 0);
    }

    #[test]
    fn what_is_no_event_is_told_with_its_file() {
        for text in ["nonsense", "{\"a\":1}", "[1]", "{\"metadata\":"] {
            let mut reader = EventReader::new(
                "events.json".to_owned(),
                Box::new(io::Cursor::new(text.to_owned())),
            );
            let error = format!("{:#}", reader.next().unwrap().unwrap_err());
            assert!(error.starts_with("events.json: no event: "), "{error}");
        }
    }
}
