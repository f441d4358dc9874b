//! The requests behind saved objects, as OpenSearch Dashboards makes them, and what is in the answers. What this does not know
//! fails, so that no panel goes untested.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// One request of a saved object.
pub struct Search {
    /// The object's id; for a control, its field.
    pub name: String,
    pub body: Value,
}

/// JSON in a string of a saved object.
pub fn embedded(value: &Value) -> Value {
    serde_json::from_str(value.as_str().unwrap()).unwrap()
}

/// The requests of a saved object, within a range of time.
pub fn searches(object: &Value, from: &str, to: &str) -> Vec<Search> {
    let attributes = &object["attributes"];
    let query = || {
        let source = embedded(&attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]);
        query(&source, from, to)
    };
    let one = |name: &Value, body: Value| Search {
        name: name.as_str().unwrap().to_owned(),
        body,
    };
    match object["type"].as_str().unwrap() {
        "index-pattern" | "dashboard" => vec![],
        "search" => {
            let sort = attributes["sort"].as_array().unwrap().iter();
            let sort: Vec<Value> = sort
                .map(|sort| json!({sort[0].as_str().unwrap(): sort[1]}))
                .collect();
            let body = json!({"size": 500, "query": query(), "sort": sort, "_source": attributes["columns"]});
            vec![one(&object["id"], body)]
        }
        "visualization" => {
            let state = embedded(&attributes["visState"]);
            match state["type"].as_str().unwrap() {
                "input_control_vis" => {
                    let controls = state["params"]["controls"].as_array().unwrap().iter();
                    controls
                        .map(|control| one(&control["fieldName"], options(control, &query())))
                        .collect()
                }
                "metric" | "histogram" | "horizontal_bar" | "table" => {
                    let aggregations = aggregations(state["aggs"].as_array().unwrap());
                    let body = json!({"size": 0, "query": query(), "aggs": aggregations});
                    vec![one(&object["id"], body)]
                }
                other => panic!("{}: a visualization of type {other}", object["id"]),
            }
        }
        other => panic!("{}: a saved object of type {other}", object["id"]),
    }
}

/// What a control offers.
fn options(control: &Value, query: &Value) -> Value {
    let types = (&control["type"], &control["options"]["type"]);
    assert_eq!(types, (&"list".into(), &"terms".into()));
    let terms = json!({"field": control["fieldName"], "size": control["options"]["size"]});
    json!({"size": 0, "query": query, "aggs": {"1": {"terms": terms}}})
}

fn query(source: &Value, from: &str, to: &str) -> Value {
    let (mut filter, mut must_not) = (Vec::new(), Vec::new());
    filter.push(json!({"range": {"@timestamp": {"gte": from, "lte": to}}}));
    for one in source["filter"].as_array().into_iter().flatten() {
        assert_eq!(
            (&one["meta"]["type"], &one["meta"]["disabled"]),
            (&"phrases".into(), &false.into())
        );
        let list = if one["meta"]["negate"] == true {
            &mut must_not
        } else {
            &mut filter
        };
        list.push(one["query"].clone());
    }
    let text = source["query"]["query"].as_str().unwrap_or_default();
    assert_eq!(
        text, "",
        "no query in DQL, which nobody could evaluate here"
    );
    json!({"bool": {"filter": filter, "must_not": must_not}})
}

/// Buckets are nested in their order, and hold the metrics at the end.
fn aggregations(list: &[Value]) -> Value {
    let (metrics, buckets): (Vec<&Value>, Vec<&Value>) =
        list.iter().partition(|one| one["schema"] == "metric");
    let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
    let metrics = metrics
        .into_iter()
        .filter_map(|one| Some((id(one), metric(one)?)));
    let mut inner: Map<String, Value> = metrics.collect();
    for one in buckets.into_iter().rev() {
        let (params, field) = (&one["params"], &one["params"]["field"]);
        let mut bucket = match one["type"].as_str().unwrap() {
            "terms" => {
                assert_eq!(
                    (&params["orderBy"], &list[0]["type"]),
                    (&"1".into(), &"count".into())
                );
                json!({"terms": {"field": field, "size": params["size"], "order": {"_count": params["order"]}}})
            }
            "date_histogram" => {
                assert_eq!(params["interval"], "auto");
                json!({"date_histogram": {"field": field, "fixed_interval": "30s", "min_doc_count": params["min_doc_count"]}})
            }
            other => panic!("an aggregation of type {other}"),
        };
        bucket["aggs"] = inner.into();
        inner = Map::from_iter([(id(one), bucket)]);
    }
    inner.into()
}

fn metric(one: &Value) -> Option<Value> {
    let (params, field) = (&one["params"], &one["params"]["field"]);
    match one["type"].as_str().unwrap() {
        // Every bucket and the whole answer have it.
        "count" => None,
        kind @ ("cardinality" | "max") => Some(json!({kind: {"field": field}})),
        "top_hits" => {
            let sort =
                json!([{params["sortField"].as_str().unwrap(): {"order": params["sortOrder"]}}]);
            Some(json!({"top_hits": {"size": params["size"], "_source": field, "sort": sort}}))
        }
        other => panic!("a metric of type {other}"),
    }
}

/// What a request does with which fields.
pub fn uses(request: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut left = vec![request];
    while let Some(value) = left.pop() {
        left.extend(value.as_array().into_iter().flatten());
        for (key, value) in value.as_object().into_iter().flatten() {
            left.push(value);
            let fields: Vec<&str> = match key.as_str() {
                "terms" | "cardinality" | "max" | "date_histogram" => {
                    vec![value["field"].as_str().unwrap()]
                }
                "match_phrase" | "range" => value
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(String::as_str)
                    .collect(),
                "sort" => value
                    .as_array()
                    .unwrap()
                    .iter()
                    .flat_map(|one| one.as_object().unwrap().keys())
                    .map(String::as_str)
                    .collect(),
                "_source" => match value {
                    Value::String(field) => vec![field],
                    list => list
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter_map(Value::as_str)
                        .collect(),
                },
                _ => vec![],
            };
            found.extend(
                fields
                    .into_iter()
                    .map(|field| (key.clone(), field.to_owned())),
            );
        }
    }
    found
}

/// What is seen of an answer: the objects of a list, the keys of terms down to each last bucket, or the one number.
pub fn seen(answer: &Value) -> BTreeSet<String> {
    let hits = answer["hits"]["hits"].as_array().unwrap();
    let objects = hits.iter().map(|hit| {
        hit["_source"]["involvedObject"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    let mut found: BTreeSet<String> = objects.collect();
    if found.is_empty() {
        rows(&answer["aggregations"], "", &mut found);
    }
    if found.is_empty() {
        let number = &answer["aggregations"]["1"]["value"];
        let number = number
            .as_u64()
            .or(answer["hits"]["total"]["value"].as_u64());
        found.insert(number.unwrap().to_string());
    }
    found
}

fn rows(bucket: &Value, way: &str, found: &mut BTreeSet<String>) {
    let members = || {
        bucket
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, member)| member)
    };
    if let Some(buckets) = members().find_map(|member| member.get("buckets")?.as_array()) {
        for bucket in buckets {
            // A histogram's key is a number.
            let key = bucket["key"].as_str().unwrap_or_default();
            rows(bucket, format!("{way}/{key}").trim_matches('/'), found);
        }
    } else if !way.is_empty() {
        for metric in members() {
            assert_ne!(metric.get("value"), Some(&Value::Null), "{bucket}");
            assert_ne!(metric.pointer("/hits/hits"), Some(&json!([])), "{bucket}");
        }
        found.insert(way.to_owned());
    }
}
