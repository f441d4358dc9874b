//! The index template, and the policies that come with it.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Value, json};

use super::search::{embedded, seen};
use super::{SAMPLES, prepared, read, refresh, replay, saved_objects};
use crate::support::OpenSearch;

/// A field of a mapping.
#[derive(Debug, PartialEq)]
pub struct Field {
    pub kind: String,
    /// The field that it is another form of.
    pub form_of: Option<String>,
}

// === impl Field ===

impl Field {
    /// As OpenSearch Dashboards keeps it in an index pattern.
    pub fn cached(&self, name: &str) -> Value {
        let kind = match self.kind.as_str() {
            "long" => "number",
            "keyword" | "text" | "flat_object" => "string",
            same => same,
        };
        let aggregatable = !["text", "flat_object"].contains(&self.kind.as_str());
        let mut cached = json!({
            "name": name, "type": kind, "esTypes": [self.kind], "count": 0, "scripted": false,
            "searchable": true, "aggregatable": aggregatable, "readFromDocValues": aggregatable
        });
        if let Some(field) = &self.form_of {
            cached["subType"] = json!({"multi": {"parent": field}});
        }
        cached
    }
}

/// The fields of a mapping that can be searched, by their full names.
pub fn fields(properties: &Value) -> BTreeMap<String, Field> {
    let mut found = BTreeMap::new();
    let mut left = vec![(String::new(), None, properties)];
    while let Some((prefix, form_of, properties)) = left.pop() {
        for (name, field) in properties.as_object().into_iter().flatten() {
            let name = format!("{prefix}{name}");
            let inner = format!("{name}.");
            left.push((inner.clone(), None, &field["properties"]));
            left.push((inner, Some(name.clone()), &field["fields"]));
            let kind = field["type"].as_str().unwrap_or("object");
            if kind != "object" {
                let (kind, form_of) = (kind.to_owned(), form_of.clone());
                found.insert(name, Field { kind, form_of });
            }
        }
    }
    found
}

pub fn template() -> Value {
    serde_json::from_str(&read("deploy/opensearch/index-template.json")).unwrap()
}

pub fn template_fields() -> BTreeMap<String, Field> {
    fields(&template()["template"]["mappings"]["properties"])
}

async fn mapped(opensearch: &OpenSearch, index: &str) -> BTreeMap<String, Field> {
    let answer = opensearch
        .call("GET", &format!("/{index}/_mapping"), "")
        .await;
    fields(&answer[index]["mappings"]["properties"])
}

/// What deletes whole indices may only have those of a day: events still go into the others.
#[test]
fn each_policy_has_its_indices() {
    let day = ["-2026.01.31", "-2026-01-31"].as_slice();
    let other = ["", "-2026.01", "-2026-01", "-2026", "-prod"].as_slice();
    for (file, managed, left) in [
        ("ism-policy.json", day, other),
        ("ism-policy-data-stream.json", &[""], day),
    ] {
        let policy = read(&format!("deploy/opensearch/{file}"));
        let policy: Value = serde_json::from_str(&policy).unwrap();
        let policy = &policy["policy"];
        let states = policy["states"].as_array().unwrap();
        let transitions = states
            .iter()
            .flat_map(|state| state["transitions"].as_array().unwrap());
        for name in transitions
            .map(|to| &to["state_name"])
            .chain([&policy["default_state"]])
        {
            assert!(
                states.iter().any(|state| state["name"] == *name),
                "{file}: {name}"
            );
        }
        for pattern in template()["index_patterns"].as_array().unwrap() {
            let name = pattern.as_str().unwrap().trim_end_matches('*');
            for index in managed.iter().map(|end| format!("{name}{end}")) {
                assert!(
                    matches(&policy["ism_template"][0], &index),
                    "{file}: {index}"
                );
            }
            for index in left.iter().map(|end| format!("{name}{end}")) {
                assert!(
                    !matches(&policy["ism_template"][0], &index),
                    "{file}: {index}"
                );
            }
        }
    }
}

fn matches(template: &Value, index: &str) -> bool {
    let mut patterns = template["index_patterns"].as_array().unwrap().iter();
    patterns.any(|pattern| {
        let pattern = regex::escape(pattern.as_str().unwrap()).replace(r"\*", ".*");
        Regex::new(&format!("^{pattern}$")).unwrap().is_match(index)
    })
}

#[tokio::test]
async fn documents_of_every_kind_are_taken() {
    let opensearch = prepared();
    let list: Value = serde_json::from_str(&read("tests/vectors/recorded/list.json")).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let mut events: Vec<String> = items.map(Value::to_string).collect();
    events.extend(SAMPLES.lines().map(str::to_owned));
    for rows in ["documents", "documents-more", "events"] {
        let rows = read(&format!("tests/vectors/{rows}.jsonl"));
        events.extend(rows.lines().map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["document"].to_string()
        }));
    }
    let events = events.join("\n");
    let expected = template_fields();
    for (at, (compat, options)) in [
        ("default", ""),
        ("default", "deDot: true"),
        ("default", "useEventID: true"),
        ("default", "useEventID: true, deDot: true"),
        ("strict", ""),
        ("strict", "useEventID: true, deDot: true"),
    ]
    .into_iter()
    .enumerate()
    {
        let index = format!("kube-events-taken-{at}");
        replay(
            opensearch,
            compat,
            &format!("index: {index}, {options}"),
            &events,
        );
        assert!(opensearch.count(&index).await > 100, "{index}");
        assert_eq!(
            mapped(opensearch, &index).await,
            expected,
            "{index}: no field but the template's"
        );
    }
    let caps = opensearch
        .call("GET", "/kube-events-taken-0/_field_caps?fields=*", "")
        .await;
    let pattern = embedded(&saved_objects()[0]["attributes"]["fields"]);
    for field in pattern.as_array().unwrap() {
        let name = field["name"].as_str().unwrap();
        if name.starts_with('_') {
            continue;
        }
        let said = &caps["fields"][name][field["esTypes"][0].as_str().unwrap()];
        for property in ["searchable", "aggregatable"] {
            assert_eq!(said[property], field[property], "{name}");
        }
    }
}

/// The panels of the workshop on EKS, which are made for dynamic mappings, with its configuration.
#[tokio::test]
async fn the_workshops_dashboard_finds_its_fields() {
    let opensearch = prepared();
    let index = "eks-kubernetes-events";
    replay(
        opensearch,
        "default",
        &format!("index: {index}, useEventID: true, deDot: true"),
        SAMPLES,
    );
    refresh(opensearch, index).await;
    let normal = |field: &str| json!([{"match_phrase": {field: "Normal"}}]);
    let terms = |field: &str| json!({"terms": {"field": field}});
    for (body, shown) in [
        (
            json!({"aggs": {"2": {"date_histogram": {"field": "lastTimestamp", "fixed_interval": "1h"}, "aggs": {"3": terms("type.keyword")}}}}),
            ["Normal", "Warning"].as_slice(),
        ),
        (
            json!({"query": {"bool": {"must_not": normal("type")}}}),
            &["22"],
        ),
        (
            json!({"query": {"bool": {"must_not": normal("type.keyword")}}, "aggs": {"2": terms("metadata.namespace.keyword")}}),
            &["default", "event-samples"],
        ),
    ] {
        let path = format!("/{index}/_search?size=0");
        let answer = opensearch.call("POST", &path, &body.to_string()).await;
        let shown: BTreeSet<String> = shown.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(seen(&answer), shown, "{body}");
    }
}

#[tokio::test]
async fn labels_and_annotations_add_no_fields() {
    let opensearch = prepared();
    let many: BTreeMap<String, &str> = (0..5000)
        .map(|at| (format!("example.com/label.{at}"), "x"))
        .collect();
    let large = BTreeMap::from([("large", "x".repeat(100_000))]);
    let event = |uid: &str, labels: &Value, annotations: &Value| {
        let event = json!({
            "metadata": {"name": uid, "uid": uid, "labels": labels, "annotations": annotations},
            "involvedObject": {"kind": "Pod", "name": uid, "labels": labels, "annotations": annotations}
        });
        format!("{event}\n")
    };
    let events = [
        event("many", &json!(many), &json!(many)),
        event(
            "large",
            &json!({"app": "x", "app.kubernetes.io/name": "x"}),
            &json!(large),
        ),
    ];
    let index = "kube-events-labels";
    replay(
        opensearch,
        "default",
        &format!("index: {index}"),
        &events.concat(),
    );
    assert_eq!(opensearch.count(index).await, 2);
    // A layout's are bounded wherever they are.
    let own = json!({"team": "a", "owner": {"labels": many, "annotations": large}});
    opensearch
        .call(
            "POST",
            &format!("/{index}/_doc?refresh=true"),
            &own.to_string(),
        )
        .await;
    let mut fields = mapped(opensearch, index).await;
    fields.retain(|name, _| !template_fields().contains_key(name));
    assert_eq!(
        fields.into_keys().collect::<Vec<_>>(),
        ["owner.labels", "team", "team.keyword"]
    );
    for label in ["label.4999", "label.0"] {
        let query = json!({"query": {"match": {format!("involvedObject.labels.example.com/{label}"): "x"}}});
        let answer = opensearch
            .call("POST", &format!("/{index}/_search"), &query.to_string())
            .await;
        assert_eq!(answer["hits"]["total"]["value"], 1, "{answer}");
    }
}

/// As the documentation says, the same template makes data streams.
#[tokio::test]
async fn a_data_stream_takes_the_same_template() {
    let opensearch = OpenSearch::shared();
    let mut template = template();
    template["data_stream"] = json!({});
    template["index_patterns"] = json!(["streamed-events"]);
    let answer = opensearch
        .call(
            "PUT",
            "/_index_template/streamed-events",
            &template.to_string(),
        )
        .await;
    assert_eq!(answer, json!({"acknowledged": true}));
    replay(
        opensearch,
        "default",
        "dataStream: streamed-events",
        SAMPLES,
    );
    assert_eq!(opensearch.count("streamed-events").await, 65);
    let answer = opensearch
        .call("GET", "/_data_stream/streamed-events", "")
        .await;
    assert_eq!(answer["data_streams"][0]["template"], "streamed-events");
}
