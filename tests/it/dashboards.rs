//! `deploy/opensearch` against a real OpenSearch: what the exporter writes fits the template, and every panel finds what it
//! is to show. `RECORD=1 cargo test --test it dashboards` writes the dashboards, and what they show, anew.
//!
//! `events.jsonl` is what a real cluster said of the workloads of `deploy/samples`, while its node was cordoned and went away.

mod objects;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{OpenSearch, is_current, run, text};

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/opensearch")
        .join(name)
}

fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/dashboards")
        .join(name)
}

fn body(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(deployed(name)).unwrap()).unwrap()
}

/// `deploy/opensearch/dashboards.ndjson`, as it should be.
fn dashboards() -> String {
    let panels = fs::read_to_string(ours("panels.yaml")).unwrap();
    objects::file(&panels, &body("index-template.json"))
}

fn saved_objects() -> Vec<Value> {
    let file = dashboards();
    let lines = file.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Fields of the template with their definitions.
fn mapped() -> BTreeMap<String, Value> {
    let template = body("index-template.json");
    let mut fields = Vec::new();
    let mapping = &template["template"]["mappings"]["properties"];
    objects::fields(mapping, "", &mut fields);
    fields.into_iter().collect()
}

fn events() -> String {
    fs::read_to_string(ours("events.jsonl")).unwrap()
}

/// The shared server, with the template.
async fn prepared() -> &'static OpenSearch {
    let opensearch = OpenSearch::shared();
    let template = body("index-template.json").to_string();
    let answer = opensearch
        .call("PUT", "/_index_template/kubernetes-events", &template)
        .await;
    assert_eq!(answer, json!({"acknowledged": true}));
    opensearch
}

/// Has the exporter write these events; `target` is what the receiver has besides its host.
fn write(opensearch: &OpenSearch, target: &str, events: &str) {
    let config = format!(
        "route: {{match: [{{receiver: os}}]}}\nreceivers: [{{name: os, opensearch: {{hosts: {}, {target}}}}}]\n",
        opensearch.url
    );
    let output = run(&["replay", "config.yaml", "--events", "-"], &config, events);
    assert!(
        output.status.success(),
        "{target}: {}",
        text(&output.stderr)
    );
}

/// An event of an object with more, longer and other labels and annotations than any index could have fields for.
fn excessive() -> String {
    let mut event: Value = serde_json::from_str(events().lines().next().unwrap()).unwrap();
    let mut labels: BTreeMap<_, _> = (0..5000)
        .map(|at| (format!("label-{at}.example.com/name"), "value".to_owned()))
        .collect();
    // As objects, the second would be a field of the first, which is a text.
    labels.insert("app".into(), "web".into());
    labels.insert("app.kubernetes.io/name".into(), "web".into());
    let annotations =
        json!({"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(40_000)});
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]);
    for object in ["metadata", "involvedObject"] {
        event[object]["labels"] = json!(labels);
        event[object]["annotations"] = annotations.clone();
        event[object]["ownerReferences"] = owner.clone();
    }
    event["metadata"]["uid"] = "excessive".into();
    format!("{event}\n")
}

async fn field_count(opensearch: &OpenSearch, index: &str) -> usize {
    let path = format!("/{index}/_field_caps?fields=*");
    let answer = opensearch.call("GET", &path, "").await;
    answer["fields"].as_object().unwrap().len()
}

#[tokio::test]
async fn what_the_exporter_writes_fits_the_template() {
    let opensearch = prepared().await;
    let uids: BTreeSet<_> = events()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["metadata"]["uid"].to_string())
        .collect();
    let occurrences = events().lines().count();
    assert!(uids.len() < occurrences);
    for (index, options, documents) in [
        ("kube-events-fit-a", "", occurrences),
        ("kube-events-fit-b", ", deDot: true", occurrences),
        ("kube-events-fit-c", ", useEventID: true", uids.len()),
        (
            "kube-events-fit-d",
            ", useEventID: true, deDot: true",
            uids.len(),
        ),
    ] {
        let target = format!("index: {index}{options}");
        write(opensearch, &target, &events());
        assert_eq!(opensearch.count(index).await, documents as u64);
        let fields = field_count(opensearch, index).await;
        write(opensearch, &target, &excessive());
        assert_eq!(opensearch.count(index).await, documents as u64 + 1);
        assert_eq!(field_count(opensearch, index).await, fields);
        // Labels can be searched for all the same.
        let label = if options.contains("deDot") {
            "label-7_example_com/name"
        } else {
            "label-7.example.com/name"
        };
        let query = json!({"query": {"term": {format!("involvedObject.labels.{label}"): "value"}}});
        let found = opensearch
            .call("POST", &format!("/{index}/_search"), &query.to_string())
            .await;
        assert_eq!(found["hits"]["total"]["value"], 1, "{found}");
    }
}

#[tokio::test]
async fn a_data_stream_takes_the_template_too() {
    let opensearch = OpenSearch::shared();
    let mut template = body("index-template.json");
    template["data_stream"] = json!({});
    template["index_patterns"] = json!(["fitting-stream"]);
    opensearch
        .call(
            "PUT",
            "/_index_template/fitting-stream",
            &template.to_string(),
        )
        .await;
    write(
        opensearch,
        "dataStream: fitting-stream",
        &(events() + &excessive()),
    );
    let documents = events().lines().count() as u64 + 1;
    assert_eq!(opensearch.count("fitting-stream").await, documents);
}

/// Dashboards that were made for dynamic mapping ask for `.keyword`, and for the bare field as well.
#[tokio::test]
async fn each_keyword_has_its_twin() {
    let opensearch = prepared().await;
    let fields = mapped();
    let keywords = fields
        .iter()
        .filter(|(name, field)| field["type"] == "keyword" && !name.ends_with(".keyword"));
    let mut twins = 0;
    for (name, _) in keywords {
        assert_eq!(fields[&format!("{name}.keyword")]["type"], "keyword");
        twins += 1;
    }
    assert!(twins > 30, "{twins}");

    write(opensearch, "index: kube-events-twins", &events());
    opensearch.count("kube-events-twins").await;
    let warnings = events().matches(r#""type":"Warning""#).count();
    for (kind, namespace) in [
        ("type", "metadata.namespace"),
        ("type.keyword", "metadata.namespace.keyword"),
    ] {
        let request = json!({
            "size": 0, "query": {"bool": {"must_not": {"match_phrase": {kind: "Normal"}}}},
            "aggs": {"namespaces": {"terms": {"field": namespace}}}
        });
        let found = opensearch
            .call("POST", "/kube-events-twins/_search", &request.to_string())
            .await;
        assert_eq!(found["hits"]["total"]["value"], warnings);
        let buckets = &found["aggregations"]["namespaces"]["buckets"];
        assert_eq!(buckets[0]["key"], "event-samples", "{found}");
    }
}

#[test]
fn the_dashboards_are_those_of_their_source() {
    is_current(&deployed("dashboards.ndjson"), &dashboards());
}

#[test]
fn references_between_saved_objects_resolve() {
    let objects = saved_objects();
    let identity = |object: &Value| format!("{} {}", object["type"], object["id"]);
    let known: BTreeSet<String> = objects.iter().map(identity).collect();
    assert_eq!(known.len(), objects.len(), "no two have the same id");
    for object in &objects {
        let references = object["references"].as_array().unwrap();
        for reference in references {
            assert!(known.contains(&identity(reference)), "{reference}");
        }
        // What is named inside is among the references.
        let inside = search::embedded(&object["attributes"]["panelsJSON"]);
        let names = inside.as_array().into_iter().flatten();
        for name in names.map(|panel| &panel["panelRefName"]) {
            assert!(references.iter().any(|one| one["name"] == *name), "{name}");
        }
        if let Some(name) = search::source(object).get("indexRefName") {
            assert!(references.iter().any(|one| one["name"] == *name), "{name}");
        }
    }
}

#[tokio::test]
async fn the_index_pattern_has_the_fields_of_an_index() {
    let opensearch = prepared().await;
    opensearch.call("PUT", "/kube-events-pattern", "").await;
    let answer = opensearch
        .call("GET", "/kube-events-pattern/_field_caps?fields=*", "")
        .await;
    let pattern = saved_objects().swap_remove(0);
    let fields = search::embedded(&pattern["attributes"]["fields"]);
    let mut known = BTreeSet::new();
    for field in fields.as_array().unwrap() {
        let (name, mapped) = (field["name"].as_str().unwrap(), &field["esTypes"][0]);
        let real = &answer["fields"][name][mapped.as_str().unwrap()];
        for ability in ["searchable", "aggregatable"] {
            assert_eq!(field[ability], real[ability], "{name}: {ability}");
        }
        known.insert(name);
    }
    for (name, kinds) in answer["fields"].as_object().unwrap() {
        // OpenSearch 2 tells of one without a name in each flat_object.
        let internal = name.starts_with('_') || name.ends_with('.') || kinds["object"].is_object();
        assert!(internal || known.contains(name.as_str()), "{name}");
    }
    let time = pattern["attributes"]["timeFieldName"].as_str().unwrap();
    assert_eq!(mapped()[time]["type"], "date");
}

#[test]
fn each_field_of_a_panel_has_a_type_for_its_use() {
    let fields = mapped();
    let mut used = 0;
    for object in saved_objects() {
        for (field, usage) in search::fields(&object) {
            let kind = fields
                .get(&field)
                .unwrap_or_else(|| panic!("{}: no {field}", object["id"]));
            let kind = kind["type"].as_str().unwrap();
            let fits = match usage.as_str() {
                "terms" | "cardinality" => kind == "keyword",
                "max" => ["date", "long"].contains(&kind),
                "date_histogram" | "sort" => kind == "date",
                "query" => ["keyword", "text"].contains(&kind),
                "column" => true,
                _ => panic!("{usage}"),
            };
            assert!(fits, "{}: {usage} of {field}, a {kind}", object["id"]);
            used += 1;
        }
    }
    assert!(used > 50, "{used}");
}

/// What a panel is about, by its title, in words of our own.
fn is_about(title: &str, event: &Value) -> bool {
    let (reason, message) = (
        event["reason"].as_str().unwrap_or_default(),
        event["message"].as_str().unwrap_or_default(),
    );
    let warning = event["type"] == "Warning";
    let kind = event["involvedObject"]["kind"].as_str().unwrap();
    match title {
        "Events" | "Events over time by type" | "Newest events" => true,
        "Warnings"
        | "Objects with warnings"
        | "Warnings by namespace"
        | "Warnings by reason"
        | "Objects with most warnings"
        | "Newest warnings" => warning,
        "Failures over time by reason" => warning && kind != "Node",
        "Image pulls" => {
            message.starts_with("Back-off pulling image")
                || message.starts_with("Failed to pull image")
                || ["Error: ErrImagePull", "Error: ImagePullBackOff"].contains(&message)
        }
        "Crash loops" => message.starts_with("Back-off restarting failed container"),
        "Failed scheduling" => reason == "FailedScheduling",
        "Evictions" | "Evictions by node" => reason == "Evicted",
        "Failing probes" => reason == "Unhealthy",
        "Volumes" => reason == "FailedMount",
        "Pods that could not be made" => reason == "FailedCreate",
        "Node events over time by reason" | "Conditions" | "Newest node events" => kind == "Node",
        "Nodes in trouble" => {
            kind == "Node" && (warning || ["NodeNotReady", "NodeNotSchedulable"].contains(&reason))
        }
        "Warnings by the node they came from" => warning && event["source"]["host"].is_string(),
        _ => panic!("what is {title} about?"),
    }
}

#[tokio::test]
async fn every_panel_shows_what_it_is_about() {
    let opensearch = prepared().await;
    write(opensearch, "index: kube-events-panels", &events());
    opensearch.count("kube-events-panels").await;
    let events: Vec<Value> = events()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut shown = String::new();
    for object in saved_objects() {
        let Some(request) = search::request(&object) else {
            continue;
        };
        let answer = opensearch
            .call("POST", "/kube-events-panels/_search", &request.to_string())
            .await;
        let title = object["attributes"]["title"].as_str().unwrap();
        let (panel, _) = title.split_once(" [").unwrap();
        let about = events.iter().filter(|event| is_about(panel, event)).count();
        let total = &answer["hits"]["total"]["value"];
        assert_eq!(*total, about, "{title}: {request} answered {answer}");
        let rows = search::rows(&request, &answer);
        assert!(!rows.is_empty(), "{title}: {answer}");
        shown += &format!("{title}: {total} events\n");
        shown += &rows
            .iter()
            .map(|row| format!("    {row}\n"))
            .collect::<String>();
    }
    is_current(&ours("shown.txt"), &shown);
}

/// There is no server with this plugin to try them on: that what they name is there, and that each index falls under one.
#[test]
fn policies_end_in_deletion() {
    let template = body("index-template.json");
    let mut patterns = BTreeSet::new();
    for file in ["ism-policy.json", "ism-policy-dated.json"] {
        let policy = &body(file)["policy"];
        let states = policy["states"].as_array().unwrap();
        let state = |name: &Value| states.iter().find(|state| state["name"] == *name).unwrap();
        let transitions = &state(&policy["default_state"])["transitions"];
        let last = state(&transitions[0]["state_name"]);
        assert!(last["actions"][0]["delete"].is_object(), "{file}");
        let pattern = &policy["ism_template"][0]["index_patterns"][0];
        patterns.insert(pattern.as_str().unwrap().to_owned());
    }
    assert_eq!(template["index_patterns"], json!(["kube-events*"]));
    assert!(patterns.iter().eq(["kube-events", "kube-events-*"]));
}
