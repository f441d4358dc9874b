//! Events from a file: a Kubernetes List, JSON lines of Events, watch frames, dead letters, and the exporter's own
//! documents, in any mixture.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::values::Values;
use crate::event::{Event, from_slice, visible};

mod values;

/// Reads events one after the other. A List is held in memory as a whole, its events are not. What is no event is an error,
/// and costs only itself.
pub struct EventReader {
    name: String,
    values: Values<Box<dyn BufRead + Send>>,
    /// Where the last value began.
    line: u64,
    /// What is left of Lists, the innermost last.
    items: Vec<std::vec::IntoIter<Box<RawValue>>>,
    /// Dead letters of other receivers are left out.
    receiver: Option<String>,
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
    /// Whose dead letter it is.
    receiver: Option<Box<RawValue>>,
    /// An Event, or a document.
    metadata: Option<Box<RawValue>>,
    #[serde(rename = "involvedObject")]
    involved_object: Option<Box<RawValue>>,
    /// An Event of events.k8s.io/v1.
    regarding: Option<Box<RawValue>>,
}

/// How deep Lists may be in Lists.
const MAX_NESTED: usize = 2;
const NO_EVENT: &str =
    "not an Event, a List of them, a watch frame or one of the exporter's documents";

// === impl EventReader ===

impl EventReader {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let input = BufReader::new(io::stdin());
            return Ok(Self::new("standard input".to_owned(), Box::new(input)));
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
        Ok(Self::new(name, Box::new(BufReader::new(file.take(end)))))
    }

    /// Leaves out the dead letters of other receivers than this one.
    #[must_use]
    pub fn of_receiver(self, receiver: Option<String>) -> Self {
        Self { receiver, ..self }
    }

    /// Reads what is called `name`.
    pub fn new(name: String, input: Box<dyn BufRead + Send>) -> Self {
        Self {
            name,
            values: Values::new(input),
            line: 0,
            items: Vec::new(),
            receiver: None,
        }
    }

    /// What is left of a List, then what the input holds.
    fn next_value(&mut self) -> Option<anyhow::Result<Box<RawValue>>> {
        while let Some(list) = self.items.last_mut() {
            if let Some(item) = list.next() {
                return Some(Ok(item));
            }
            self.items.pop();
        }
        let (line, found) = self.values.next()?;
        self.line = line;
        Some(found.with_context(|| format!("{}:{line}", self.name)))
    }

    /// Reads one value; `None` for one that holds no event, such as a bookmark.
    fn unfold(&mut self, value: &RawValue, in_frame: bool) -> serde_json::Result<Option<Event>> {
        if !value.get().starts_with('{') {
            return Err(serde::de::Error::custom(NO_EVENT));
        }
        let shape: Shape = from_slice(value.get().as_bytes())?;
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
            // A List may hold Lists; each is looked through as often as it is deep in others.
            if self.items.len() >= MAX_NESTED {
                return Err(serde::de::Error::custom("Lists in Lists in Lists"));
            }
            self.items.push(items.into_iter());
            return Ok(None);
        }
        if let Some(object) = shape.object {
            let kind: Option<String> = shape
                .frame
                .map(|kind| serde_json::from_str(kind.get()))
                .transpose()?;
            // A deletion is the end of an event, not an occurrence.
            return match kind.as_deref() {
                // Once: what is in a frame is no frame.
                Some("ADDED" | "MODIFIED") if !in_frame => self.unfold(&object, true),
                Some("DELETED" | "BOOKMARK" | "ERROR") => Ok(None),
                _ => Err(serde::de::Error::custom("a watch frame of unknown type")),
            };
        }
        if let Some(event) = shape.event {
            let owner: Option<String> = shape
                .receiver
                .map(|name| serde_json::from_str(name.get()))
                .transpose()?;
            if self.receiver.is_some() && owner.is_some() && owner != self.receiver {
                return Ok(None);
            }
            return from_slice(event.get().as_bytes()).map(Some);
        }
        let is_object = |part: &Option<Box<RawValue>>| {
            part.as_ref().is_some_and(|it| it.get().starts_with('{'))
        };
        if !is_object(&shape.metadata) && !is_object(&shape.involved_object) {
            return Err(serde::de::Error::custom(NO_EVENT));
        }
        if shape.regarding.is_some() && shape.involved_object.is_none() {
            return core_event(value.get()).map(Some);
        }
        from_slice(value.get().as_bytes()).map(Some)
    }
}

/// An Event as `events.k8s.io/v1` shows it: the same object under other names.
fn core_event(text: &str) -> serde_json::Result<Event> {
    const NAMES: [(&str, &str); 7] = [
        ("regarding", "involvedObject"),
        ("note", "message"),
        ("reportingController", "reportingComponent"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
    ];
    let mut fields: serde_json::Map<_, _> = from_slice(text.as_bytes())?;
    for (theirs, ours) in NAMES {
        if let Some(value) = fields.remove(theirs) {
            fields.insert(ours.to_owned(), value);
        }
    }
    serde_json::from_value(fields.into())
}

impl Iterator for EventReader {
    type Item = anyhow::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let value = match self.next_value()? {
                Ok(value) => value,
                Err(error) => return Some(Err(error)),
            };
            match self.unfold(&value, false) {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) => {}
                Err(error) => {
                    // What is wrong may be quoted in it; where, in a part of the line, helps nobody.
                    let message = error.to_string();
                    let message = message.split(" at line ").next().unwrap_or_default();
                    return Some(Err(anyhow::anyhow!(
                        "{}:{}: no event: {}",
                        self.name,
                        self.line,
                        visible(message)
                    )));
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

    /// What is read of a text: names of events, or messages.
    fn outcome(text: &[u8]) -> Vec<String> {
        let input = Box::new(io::Cursor::new(text.to_owned()));
        EventReader::new("f".to_owned(), input)
            .map(|read| match read {
                Ok(event) => event.metadata.name,
                Err(error) => format!("{error:#}"),
            })
            .collect()
    }

    #[test]
    fn what_is_no_event_costs_its_line_and_is_told_with_it() {
        let event = |name: &str| format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
        let (a, b) = (event("a"), event("b"));
        for (text, expected) in [
            (
                format!("{a}\nnonsense\n{b}"),
                "f:2: this is no JSON: expected ident at column 2",
            ),
            (
                format!("{a}\n[1]\n{b}"),
                "f:2: no event: not an Event, a List of them, a watch frame or one of the exporter's documents",
            ),
            (
                format!("{a}\n{{\"metadata\":7}}\n{b}"),
                "f:2: no event: not an Event, a List of them, a watch frame or one of the exporter's documents",
            ),
            // Torn in a string, and torn between values.
            (
                format!("{a}\n{{\"metadata\":{{\"na\n{b}"),
                "f:2: this is no JSON: EOF while parsing a string at column 16",
            ),
            (
                format!("{a}\n{{\"metadata\":\n{b}"),
                "f:2: this is no JSON: EOF while parsing a value at column 12",
            ),
        ] {
            assert_eq!(outcome(text.as_bytes()), ["a", expected, "b"], "{text}");
        }
        // As Go has it, what is no UTF-8 is U+FFFD.
        let no_utf8 = [
            a.as_bytes(),
            b"\n{\"metadata\":{\"name\":\"\xff\"}}\n",
            b.as_bytes(),
        ]
        .concat();
        assert_eq!(outcome(&no_utf8), ["a", "\u{fffd}", "b"]);
        let binary = [a.as_bytes(), b"\n\xff\x00\n", b.as_bytes()].concat();
        let told = outcome(&binary);
        assert!(told[1].starts_with("f:2: this is no JSON: "), "{told:?}");
        assert_eq!((told[0].as_str(), told[2].as_str()), ("a", "b"));
    }

    #[test]
    fn values_may_be_anywhere_between_the_lines() {
        let pretty = "\u{feff}{\n  \"items\": [\n{\"metadata\":{\"name\":\"a\"}},\n{\"metadata\":{\"name\":\"}{\\\"\"}}\n]\n}\n";
        let two = r#"{"metadata":{"name":"b"}} {"metadata":{"name":"c"}}"#;
        assert_eq!(
            outcome(format!("{pretty}\n\n{two}{{}}\n").as_bytes()),
            [
                "a",
                "}{\"",
                "b",
                "c",
                "f:9: no event: not an Event, a List of them, a watch frame or one of the exporter's documents"
            ]
        );
    }

    #[test]
    fn both_apis_show_the_same_events() {
        let recorded = |file: &str| {
            let path = format!(
                "{}/tests/vectors/recorded/{file}",
                env!("CARGO_MANIFEST_DIR")
            );
            let mut events: Vec<Event> = EventReader::open(Path::new(&path))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            events.sort_by(|a, b| a.metadata.uid.cmp(&b.metadata.uid));
            events
        };
        let core = recorded("list.json");
        let other = recorded("list-events-k8s-io.json");
        assert!(!core.is_empty());
        assert_eq!(other, core);
    }

    #[test]
    fn what_is_nested_without_end_costs_nothing() {
        let frames = "{\"type\":\"ADDED\",\"object\":".repeat(5000);
        assert_eq!(outcome(frames.as_bytes()).len(), 1);
        let frames = format!("{frames}{{}}{}", "}".repeat(5000));
        assert_eq!(outcome(frames.as_bytes()).len(), 1);
        let lists = format!(
            "{{\"items\":[{}]}}",
            vec!["{\"items\":[]}"; 60_000].join(",")
        );
        assert_eq!(outcome(lists.as_bytes()), [] as [&str; 0]);
        let (open, close) = ("{\"items\":[".repeat(80_000), "]}".repeat(80_000));
        let told = outcome(format!("{open}{close}").as_bytes());
        assert!(
            told.len() == 1 && told[0].ends_with("Lists in Lists in Lists"),
            "{told:?}"
        );
    }

    #[test]
    fn a_bad_line_in_a_list_costs_no_other_line() {
        let text = "{\"items\": [\n{\"metadata\":{\"name\":\"a\"}},\n{\"metadata\":{\"name\": nope}},\n{\"metadata\":{\"name\":\"b\"}}\n]}\n{\"items\":[\n{\"metadata\":{\"name\":\"c\"}}]}\n";
        let told = outcome(text.as_bytes());
        let events: Vec<&String> = told.iter().filter(|it| it.len() == 1).collect();
        assert_eq!(events, ["a", "b", "c"], "{told:?}");
        assert!(
            told.iter().any(|it| it.starts_with("f:3: this is no JSON")),
            "{told:?}"
        );
    }

    #[test]
    fn what_breaks_off_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let told: Vec<_> = EventReader::open(folder.path()).unwrap().collect();
        let [Err(error)] = &told[..] else {
            panic!("{told:?}")
        };
        let error = format!("{error:#}");
        assert!(error.contains(":1: cannot read on: "), "{error}");
    }

    #[test]
    fn letters_of_others_are_left_out() {
        let letter = |receiver: &str| format!(r#"{{"receiver":"{receiver}","event":{EVENT}}}"#);
        let text = format!("{}\n{}\n{EVENT}\n", letter("a"), letter("b"));
        let read = |receiver: Option<&str>| {
            let input = Box::new(io::Cursor::new(text.clone()));
            EventReader::new("f".to_owned(), input)
                .of_receiver(receiver.map(str::to_owned))
                .count()
        };
        assert_eq!((read(None), read(Some("a")), read(Some("c"))), (3, 2, 1));
    }
}
