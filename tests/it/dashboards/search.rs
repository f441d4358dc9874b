//! What Dashboards would ask the server for a saved object, and what the answer shows.

use serde_json::{Map, Value, json};

/// A value that is JSON in a text; null if there is none.
pub fn embedded(text: &Value) -> Value {
    let text = text.as_str().unwrap_or("null");
    serde_json::from_str(text).unwrap()
}

/// Query and filters.
pub fn source(object: &Value) -> Map<String, Value> {
    let source = embedded(&object["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"]);
    source.as_object().cloned().unwrap_or_default()
}

fn aggregations(object: &Value) -> Vec<Value> {
    let state = embedded(&object["attributes"]["visState"]);
    state["aggs"].as_array().cloned().unwrap_or_default()
}

/// The request for a panel's data; `None` for what has none.
pub fn request(object: &Value) -> Option<Value> {
    let attributes = &object["attributes"];
    let mut request = match object["type"].as_str().unwrap() {
        "index-pattern" | "dashboard" => return None,
        "search" => json!({
            "size": 5, "_source": attributes["columns"],
            "sort": sorting(&attributes["sort"])
        }),
        "visualization" => {
            let mut request = json!({"size": 0});
            nest(&mut request, &aggregations(object));
            request
        }
        other => panic!("unknown: {other}"),
    };
    let source = source(object);
    assert_eq!(source["filter"], json!([]), "filters are not known here");
    assert_eq!(source["query"]["language"], "lucene");
    request["query"] = match source["query"]["query"].as_str().unwrap() {
        "" => json!({"match_all": {}}),
        query => json!({"query_string": {"query": query, "analyze_wildcard": true}}),
    };
    request["track_total_hits"] = true.into();
    Some(request)
}

fn sorting(pairs: &Value) -> Vec<Value> {
    let mut sorting: Vec<Value> = Vec::new();
    for pair in pairs.as_array().unwrap() {
        sorting.push(json!({pair[0].as_str().unwrap(): {"order": pair[1]}}));
    }
    // Of one moment, always in the same order.
    sorting.push(json!({"metadata.resourceVersion": {"order": "desc"}}));
    sorting
}

/// Buckets in each other, in their order, and the metrics in the innermost.
fn nest(request: &mut Value, aggregations: &[Value]) {
    let mut metrics = Map::new();
    let mut at = request;
    for one in aggregations {
        let (id, params) = (one["id"].as_str().unwrap(), &one["params"]);
        let kind = one["type"].as_str().unwrap();
        let bucket = match kind {
            // Every bucket has it.
            "count" => continue,
            "cardinality" | "max" => {
                metrics.insert(id.to_owned(), json!({kind: {"field": params["field"]}}));
                continue;
            }
            "terms" => {
                let order = params["orderBy"].as_str().unwrap();
                let by = aggregations.iter().find(|one| one["id"] == order).unwrap();
                assert_eq!(by["type"], "count", "another order than by count");
                json!({"field": params["field"], "size": params["size"], "order": {"_count": params["order"]}})
            }
            // By itself the interval follows from the time that is looked at: here some minutes.
            "date_histogram" => {
                assert_eq!(params["interval"], "auto");
                json!({"field": params["field"], "fixed_interval": "1m", "min_doc_count": params["min_doc_count"]})
            }
            _ => panic!("an aggregation that is not known here: {kind}"),
        };
        at["aggs"] = json!({id: {kind: bucket}});
        at = &mut at["aggs"][id];
    }
    if !metrics.is_empty() {
        at["aggs"] = metrics.into();
    }
}

/// What is shown, a line each: the keys of the buckets, how many events, the metrics.
pub fn rows(request: &Value, answer: &Value) -> Vec<String> {
    if let Some(columns) = request["_source"].as_array() {
        let hits = answer["hits"]["hits"].as_array().unwrap().iter();
        return hits.map(|hit| row(&hit["_source"], columns)).collect();
    }
    let mut rows = Vec::new();
    if let Some(aggregations) = answer.get("aggregations") {
        walk(aggregations, &mut Vec::new(), &mut rows);
    } else {
        rows.push(answer["hits"]["total"]["value"].to_string());
    }
    rows
}

fn row(document: &Value, columns: &[Value]) -> String {
    let texts = columns.iter().map(|column| {
        let path = format!("/{}", column.as_str().unwrap().replace('.', "/"));
        shown(document.pointer(&path).unwrap_or(&Value::Null))
    });
    texts.collect::<Vec<_>>().join(" | ")
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn walk(level: &Value, keys: &mut Vec<String>, rows: &mut Vec<String>) {
    let level = level.as_object().unwrap();
    let buckets = level.values().find_map(|one| one["buckets"].as_array());
    if let Some(buckets) = buckets {
        for bucket in buckets {
            keys.push(shown(bucket.get("key_as_string").unwrap_or(&bucket["key"])));
            walk(bucket, keys, rows);
            keys.pop();
        }
        return;
    }
    let mut row = keys.clone();
    row.extend(level.get("doc_count").map(Value::to_string));
    let metrics = level.values().filter(|one| one.is_object());
    row.extend(metrics.map(|one| shown(one.get("value_as_string").unwrap_or(&one["value"]))));
    rows.push(row.join(" | "));
}

/// Each field that a saved object uses, and what for.
pub fn fields(object: &Value) -> Vec<(String, String)> {
    let mut used = Vec::new();
    let mut add = |field: &Value, usage: &str| {
        used.push((field.as_str().unwrap().to_owned(), usage.to_owned()));
    };
    for one in aggregations(object) {
        if one["type"] != "count" {
            add(&one["params"]["field"], one["type"].as_str().unwrap());
        }
    }
    for column in object["attributes"]["columns"]
        .as_array()
        .into_iter()
        .flatten()
    {
        add(column, "column");
    }
    for pair in object["attributes"]["sort"]
        .as_array()
        .into_iter()
        .flatten()
    {
        add(&pair[0], "sort");
    }
    let source = source(object);
    let query = source
        .get("query")
        .map_or("", |query| query["query"].as_str().unwrap());
    // `field:value` and `_exists_:field`, outside of quotes.
    for part in query.split('"').step_by(2) {
        let words: Vec<&str> = part.split([' ', '(', ')']).collect();
        for (field, value) in words.iter().filter_map(|word| word.split_once(':')) {
            let field = if field == "_exists_" { value } else { field };
            add(&field.into(), "query");
        }
    }
    used
}
