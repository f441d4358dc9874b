//! `deploy/opensearch`: the index template, the retention policies and the dashboards, against a real OpenSearch.
//!
//! `RECORD=1 cargo test --test it dashboards` makes `dashboards.ndjson` of `dashboards.yaml` anew. The events are those of a
//! real cluster while the workloads of `deploy/samples` failed on it, and a Pod without its volume besides; while its node was
//! cordoned, and away for a minute.

pub mod search;
mod source;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use self::search::{searches, seen, uses};
use self::source::{ID, Source};
use self::template::{template, template_fields};
use crate::support::{OpenSearch, is_current, run, text};

const SAMPLES: &str = include_str!("../vectors/recorded/samples.jsonl");
/// When they were recorded.
const FROM: &str = "2026-11-28T03:30:00Z";
const TO: &str = "2026-11-28T03:36:00Z";

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

fn saved_objects() -> Vec<Value> {
    let lines = read("deploy/opensearch/dashboards.ndjson");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The commands of the documentation that give a file of ours to a server.
fn commands() -> Vec<String> {
    let document = read("docs/install.md").replace("\\\n", "");
    let commands = document
        .lines()
        .filter(|line| line.contains("curl ") && line.contains("deploy/opensearch/"));
    commands.map(str::to_owned).collect()
}

/// A server that has the index template, by the documentation's command.
pub fn prepared() -> &'static OpenSearch {
    let opensearch = OpenSearch::shared();
    let command = commands()
        .into_iter()
        .find(|line| line.contains("index-template.json"));
    let output = Command::new("sh")
        .args(["-ec", &command.unwrap()])
        .current_dir(file("."))
        .env("OPENSEARCH_URL", &opensearch.url)
        .output()
        .unwrap();
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(told.contains(r#"{"acknowledged":true}"#), "{told}");
    opensearch
}

/// Lets the exporter send events, all of which have to be taken.
fn replay(opensearch: &OpenSearch, compat: &str, options: &str, events: &str) {
    let config = format!(
        "clusterName: demo
route: {{match: [{{receiver: os}}]}}
receivers: [{{name: os, compat: {compat}, opensearch: {{hosts: {}, {options}}}}}]",
        opensearch.url
    );
    let output = run(&["replay", "config.yaml", "--events", "-"], &config, events);
    let told = text(&output.stderr);
    let count = events.lines().count();
    assert!(
        told.contains(&format!(
            "{count} events read, {count} deliveries taken, 0 rejected"
        )),
        "{compat}, {options}: {told}"
    );
}

async fn refresh(opensearch: &OpenSearch, index: &str) {
    opensearch
        .call("POST", &format!("/{index}/_refresh"), "")
        .await;
}

#[test]
fn the_dashboards_are_those_of_their_source() {
    let source: Source =
        serde_saphyr::from_str(&read("deploy/opensearch/dashboards.yaml")).unwrap();
    is_current(
        &file("deploy/opensearch/dashboards.ndjson"),
        &source.ndjson(&template()),
    );
}

/// Links lead to ids, and an import overwrites what has the same.
#[test]
fn ids_stay_and_references_resolve() {
    let objects = saved_objects();
    let key = |object: &Value| (object["type"].to_string(), object["id"].to_string());
    let keys: BTreeSet<_> = objects.iter().map(key).collect();
    assert_eq!(keys.len(), objects.len(), "ids are unique");
    for id in ["overview", "workloads", "nodes"] {
        let id = format!("{ID}-{id}");
        assert!(
            keys.contains(&key(&json!({"type": "dashboard", "id": id}))),
            "{id}"
        );
    }
    assert_eq!(objects[0]["id"], "kubernetes-events");
    for object in &objects {
        assert!(
            object["id"].as_str().unwrap().starts_with(ID),
            "{}",
            object["id"]
        );
        let references = object["references"].as_array().unwrap();
        for reference in references {
            assert!(
                keys.contains(&key(reference)),
                "{reference} of {}",
                object["id"]
            );
        }
        // Each is named where it is used, and nothing else is.
        let names: BTreeSet<&str> = references
            .iter()
            .filter_map(|reference| reference["name"].as_str())
            .collect();
        let text = object["attributes"].to_string().replace('\\', "");
        let used: BTreeSet<&str> = text
            .split("RefName\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(names, used, "{}", object["id"]);
    }
}

#[test]
fn panels_use_fields_as_the_template_has_them() {
    let fields = template_fields();
    let mut checked = 0;
    for object in saved_objects() {
        for (how, name) in searches(&object, FROM, TO)
            .iter()
            .flat_map(|search| uses(&search.body))
        {
            let field = fields.get(&name);
            let kind = field.map(|field| field.kind.as_str());
            let right = match how.as_str() {
                "terms" | "cardinality" => kind == Some("keyword"),
                "date_histogram" | "max" | "range" | "sort" => kind == Some("date"),
                "match_phrase" => kind == Some("keyword") || kind == Some("text"),
                _ => kind.is_some(),
            };
            assert!(
                right,
                "{}: {how} of {name}, which is {kind:?}",
                object["id"]
            );
            // So that panels serve indices with dynamic mappings.
            let twin = field.is_some_and(|field| field.form_of.is_some());
            assert!(
                twin || kind != Some("keyword") || how == "_source",
                "{}: {name}",
                object["id"]
            );
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn the_documentation_names_what_there_is() {
    let mut named = BTreeSet::new();
    for command in commands() {
        let words = command
            .split(['@', ' ', '\''])
            .filter(|word| word.starts_with("deploy/"));
        named.extend(words.map(str::to_owned));
    }
    let folder = fs::read_dir(file("deploy/opensearch")).unwrap();
    let files = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there = files
        .filter(|name| name != "dashboards.yaml")
        .map(|name| format!("deploy/opensearch/{name}"));
    assert_eq!(named, there.collect());
}

#[tokio::test]
async fn every_panel_shows_what_the_samples_did() {
    let opensearch = prepared();
    // The second has no template, as indices from before it was installed.
    for index in ["kube-events-shown", "shown-by-dynamic-mapping"] {
        replay(opensearch, "default", &format!("index: {index}"), SAMPLES);
        refresh(opensearch, index).await;
        let shown = read("tests/it/dashboards/shown.yaml");
        let mut left: BTreeMap<String, BTreeSet<String>> = serde_saphyr::from_str(&shown).unwrap();
        for search in saved_objects()
            .iter()
            .flat_map(|object| searches(object, FROM, TO))
        {
            let path = format!("/{index}/_search");
            let answer = opensearch
                .call("POST", &path, &search.body.to_string())
                .await;
            assert!(answer["hits"].is_object(), "{}: {answer}", search.name);
            let name = search.name.trim_start_matches("kubernetes-events-");
            assert_eq!(left.remove(name), Some(seen(&answer)), "{name} of {index}");
        }
        assert!(left.is_empty(), "no longer there: {left:?}");
    }
}
