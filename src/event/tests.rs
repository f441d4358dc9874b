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
        include_str!("../../tests/vectors/documents.jsonl"),
        include_str!("../../tests/vectors/documents-more.jsonl"),
        include_str!("../../tests/vectors/events.jsonl"),
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
fn fault_22_documents_have_the_times_and_the_count_that_the_api_leaves_out() {
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
            serde_json::from_str::<Event>(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
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
        serde_json::from_str(include_str!("../../tests/vectors/recorded/list.json")).unwrap();
    let frames = rows(include_str!("../../tests/vectors/recorded/watch.jsonl"))
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
    fn fault_24_any_text_survives(message: String, key in "\\PC{0,20}", value: String) {
        let mut event = Event { message, ..Event::default() };
        event.metadata.labels.insert(key, value);
        let written = document(&event, DocumentOptions { compat: Compat::Strict, de_dot: false });
        assert!(!written.contains('\n'));
        assert_eq!(serde_json::from_str::<Event>(&written).unwrap(), event);
    }
}
