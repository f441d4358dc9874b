//! Events that a real cluster made.

use std::collections::BTreeMap;

use super::Event;

/// The recorded events by name, with what a lookup adds to them.
pub(crate) fn recorded() -> BTreeMap<String, Event> {
    let files = [
        include_str!("../../tests/vectors/documents.jsonl"),
        include_str!("../../tests/vectors/events.jsonl"),
    ];
    let rows = files.into_iter().flat_map(str::lines).map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let event: Event = serde_json::from_value(row["document"].clone()).unwrap();
        (row["name"].as_str().unwrap().to_owned(), event)
    });
    rows.collect()
}
