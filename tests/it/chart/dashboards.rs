//! Grafana's dashboards: whatever they ask for is there, and asked for in words that Prometheus and OpenSearch understand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::{Release, chart};
use crate::support::{OpenSearch, exposition, promtool, run, text};
use crate::wire::EVENTS;

/// Counted by their own names as well, for dashboards that were made for them.
const OF_THE_INCUMBENT: [&str; 6] = [
    "event_exporter_events_discarded",
    "event_exporter_events_sent",
    "event_exporter_kube_api_read_cache_hits",
    "event_exporter_kube_api_read_cache_misses",
    "event_exporter_send_event_errors",
    "event_exporter_watch_errors",
];
/// What Prometheus itself says of a target in a cluster.
const TARGET: [&str; 4] = ["instance", "job", "namespace", "pod"];
/// What Grafana's variables stand for, one value, several, or all of them.
const IN_EXPRESSIONS: [(&str, &str); 5] = [
    ("__rate_interval", "5m"),
    ("__range", "1h"),
    ("job", ".*"),
    ("namespace", "monitoring"),
    ("receiver", "(a|b)"),
];
const IN_SEARCHES: [(&str, &str); 3] = [
    ("cluster", "*"),
    ("namespace", "(\"shop\" OR \"elsewhere\")"),
    ("search", "*"),
];
/// Words of the language of Prometheus. Any other is the name of a metric.
const WORDS: [&str; 13] = [
    "and",
    "count",
    "group",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "or",
    "rate",
    "sum",
    "time",
    "topk",
    "vector",
];

fn dashboard(name: &str) -> Value {
    let path = chart().join("files/dashboards").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "/panels").filter(|panel| panel["type"] != "row")
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// The variables that are asked for.
fn variables(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "/templating/list").filter(|variable| variable["type"] == "query")
}

#[test]
fn the_chart_hands_them_to_grafanas_sidecar() {
    assert!(
        !Release::of("", &[])
            .0
            .iter()
            .any(|it| it.to_string().contains("grafana"))
    );
    let release = Release::of(
        "dashboards: {enabled: true, namespace: grafana, labelValue: 1, annotations: {grafana_folder: Events}}",
        &[],
    );
    let is_ours = |it: &&&Value| word(&it["metadata"], "name").ends_with("-dashboards");
    let maps = release.all("ConfigMap");
    let map = maps.iter().find(is_ours).unwrap();
    assert_eq!(map["metadata"]["namespace"], "grafana");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(
        map["metadata"]["annotations"],
        json!({"grafana_folder": "Events"})
    );
    assert_eq!(map["data"].as_object().unwrap().len(), 2);
    let shipped = |map: &Value, name: &str| -> Value {
        let key = format!("kubernetes-event-exporter-{name}");
        serde_json::from_str(word(&map["data"], &key)).unwrap()
    };
    // As they are: through `tpl`, the legends `{{receiver}}` would be lost.
    for name in ["exporter.json", "events.json"] {
        assert_eq!(shipped(map, name), dashboard(name));
    }
    let own = Release::of(
        "dashboards: {enabled: true}\nconfig: {metricsNamePrefix: own_, receivers: [{name: a, stdout: {}}], route: {match: [{receiver: a}]}}",
        &[],
    );
    let maps = own.all("ConfigMap");
    let exporter = shipped(maps.iter().find(is_ours).unwrap(), "exporter.json").to_string();
    assert!(exporter.contains("own_build_info") && !exporter.contains("event_exporter_"));
}

#[test]
fn their_parts_fit_together() {
    for (name, uid, kind) in [
        ("exporter.json", "kubernetes-event-exporter", "prometheus"),
        (
            "events.json",
            "kubernetes-events",
            "grafana-opensearch-datasource",
        ),
    ] {
        let dashboard = dashboard(name);
        assert_eq!(dashboard["uid"], uid);
        let source = &dashboard["templating"]["list"][0];
        assert_eq!(
            (&source["type"], &source["query"]),
            (&json!("datasource"), &json!(kind))
        );
        let chosen = json!({"type": kind, "uid": "${datasource}"});
        for part in panels(&dashboard).chain(variables(&dashboard)) {
            assert_eq!(part["datasource"], chosen, "{part}");
        }
        let names = list(&dashboard, "/templating/list").map(|variable| word(variable, "name"));
        let names: Vec<&str> = names.collect();
        for found in variable().captures_iter(&dashboard.to_string()) {
            let is_grafanas = found[1].starts_with("__");
            assert!(is_grafanas || names.contains(&&found[1]), "{}", &found[0]);
        }
        // Each has a number of its own, and none covers another.
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard, "/panels") {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(x + w <= 24, "{panel}");
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(place), "{panel}");
            }
        }
    }
}

/// What `/metrics` exposes: the labels of each series by its name.
fn exposed() -> BTreeMap<String, BTreeSet<String>> {
    let series = Regex::new(r"(?m)^(\w+)(?:\{(.*)\})? ").unwrap();
    let label = Regex::new(r#"(\w+)=""#).unwrap();
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for found in series.captures_iter(&exposition()) {
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        let labels = label.captures_iter(labels).map(|label| label[1].to_owned());
        metrics
            .entry(found[1].to_owned())
            .or_default()
            .extend(labels);
    }
    metrics
}

/// Panics unless the metrics that an expression selects, the labels by which it does, and those of its result are exposed.
fn asks_for_what_is_exposed(
    expression: &str,
    shown: &[String],
    exposed: &BTreeMap<String, BTreeSet<String>>,
) {
    let grouping = Regex::new(r"\b(?:by|on) \(([^)]*)\)").unwrap();
    let selector = Regex::new(r"(\w+)(?:\{([^}]*)\})?(?:\[\w+\])?").unwrap();
    let matcher = Regex::new(r#"(\w+)(?:=|!=|=~|!~)""#).unwrap();
    let mut known: BTreeSet<&str> = TARGET.into();
    let rest = grouping.replace_all(expression, "");
    for found in selector.captures_iter(&rest) {
        let name = &found[1];
        if WORDS.contains(&name) || name.parse::<f64>().is_ok() {
            continue;
        }
        let labels = exposed.get(name);
        let labels = labels.unwrap_or_else(|| panic!("{name} is not exposed: {expression}"));
        let matchers = found.get(2).map_or("", |matchers| matchers.as_str());
        for label in matcher.captures_iter(matchers) {
            let label = &label[1];
            assert!(
                labels.contains(label) || TARGET.contains(&label),
                "{name} has no {label}: {expression}"
            );
        }
        known.extend(labels.iter().map(String::as_str));
    }
    let lists: Vec<String> = grouping
        .captures_iter(expression)
        .map(|found| found[1].to_owned())
        .collect();
    let grouped: Vec<&str> = lists.iter().flat_map(|list| list.split(", ")).collect();
    for label in &grouped {
        assert!(known.contains(label), "nothing has {label}: {expression}");
    }
    for label in shown {
        assert!(
            grouped.contains(&label.as_str()),
            "{label} is shown, and not in the result of {expression}"
        );
    }
}

/// Expressions of the panels and the variables, with the labels that are shown of their results.
fn expressions(dashboard: &Value) -> Vec<(String, Vec<String>)> {
    let placeholder = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    let targets = panels(dashboard).flat_map(|panel| list(panel, "/targets"));
    let of_panels = targets.map(|target| {
        let shown = placeholder.captures_iter(word(target, "legendFormat"));
        (
            word(target, "expr").to_owned(),
            shown.map(|label| label[1].to_owned()).collect(),
        )
    });
    let values = Regex::new(r"^label_values\((.*), (\w+)\)$").unwrap();
    let of_variables = variables(dashboard).map(|variable| {
        let query = word(&variable["query"], "query");
        let found = values.captures(query).unwrap_or_else(|| panic!("{query}"));
        (format!("group by ({}) ({})", &found[2], &found[1]), vec![])
    });
    of_panels
        .chain(of_variables)
        .map(|(expression, shown)| (filled_in(&expression, &IN_EXPRESSIONS), shown))
        .collect()
}

/// As Grafana fills in its variables.
fn filled_in(text: &str, values: &[(&str, &str)]) -> String {
    let value = |variable: &Captures<'_>| {
        let value = values.iter().find(|(name, _)| *name == &variable[1]);
        let (_, value) = value.unwrap_or_else(|| panic!("no such variable: {text}"));
        (*value).to_owned()
    };
    variable().replace_all(text, value).into_owned()
}

fn variable() -> Regex {
    Regex::new(r"\$\{?(\w+)(?::raw)?\}?").unwrap()
}

#[test]
fn every_expression_is_promql_about_metrics_that_are_exposed_and_every_metric_is_shown() {
    let (exposed, expressions) = (exposed(), expressions(&dashboard("exporter.json")));
    assert!(expressions.len() > 30, "{}", expressions.len());
    for (expression, shown) in &expressions {
        asks_for_what_is_exposed(expression, shown, &exposed);
    }
    let all: Vec<&str> = expressions.iter().map(|(text, _)| text.as_str()).collect();
    let all = all.concat();
    let own = exposed.keys().filter(|it| it.starts_with("event_exporter"));
    for name in own.filter(|it| !OF_THE_INCUMBENT.contains(&it.as_str())) {
        let family = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .unwrap_or(name);
        assert!(all.contains(family), "no panel shows {family}");
    }
    // As rules, promtool reads them; and JSON is YAML.
    let rule = |(at, (expression, _)): (usize, &(String, _))| json!({"record": format!("dashboard:{at}"), "expr": expression});
    let rules: Vec<Value> = expressions.iter().enumerate().map(rule).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    fs::write(
        &file,
        json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string(),
    )
    .unwrap();
    let output = Command::new(promtool())
        .args(["check", "rules"])
        .arg(&file)
        .output()
        .unwrap();
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains(&format!("{} rules found", rules.len())),
        "{told}"
    );
}

/// The search that the data source makes of a query and its aggregations, one within the other.
fn search(query: &str, time_field: &str, aggregations: &[&Value]) -> Value {
    let mut nested = json!({});
    for aggregation in aggregations.iter().rev() {
        let field = word(aggregation, "field");
        let mut own = match word(aggregation, "type") {
            "date_histogram" => {
                json!({"date_histogram": {"field": field, "fixed_interval": "1h", "min_doc_count": 1}})
            }
            _ => json!({"terms": {"field": field, "order": {"_count": "desc"}}}),
        };
        own["aggs"] = nested;
        nested = json!({"a": own});
    }
    json!({
        "query": {"bool": {"filter": [
            {"range": {time_field: {"gte": "2024-05-01T00:00:00Z", "lte": "2024-05-02T00:00:00Z"}}},
            {"query_string": {"query": query, "analyze_wildcard": true}}
        ]}},
        "aggs": nested
    })
}

/// What was written as our documents are, without a template: strings have a `.keyword` beside them, and only that
/// aggregates.
#[tokio::test]
async fn every_search_for_events_finds_some() {
    let opensearch = OpenSearch::shared();
    let config = format!(
        "receivers: [{{name: os, opensearch: {{hosts: [\"{}\"], index: dashboards, deDot: true}}}}]\nroute: {{match: [{{receiver: os}}]}}",
        opensearch.url
    );
    let output = run(&["replay", "config.yaml", "--events", "-"], &config, EVENTS);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(opensearch.count("dashboards").await, 3);
    let dashboard = dashboard("events.json");
    let filled_in = |query: &str| filled_in(query, &IN_SEARCHES);
    let mut searches = Vec::new();
    for panel in panels(&dashboard) {
        for target in list(panel, "/targets") {
            let aggregations: Vec<&Value> = list(target, "/bucketAggs").collect();
            let search = search(
                &filled_in(word(target, "query")),
                word(target, "timeField"),
                &aggregations,
            );
            searches.push((search, aggregations.len(), columns(panel)));
        }
    }
    for variable in variables(&dashboard) {
        let asked: Value = serde_json::from_str(word(variable, "query")).unwrap();
        let mut aggregation = asked.clone();
        aggregation["type"] = "terms".into();
        let search = search(
            &filled_in(word(&asked, "query")),
            "@timestamp",
            &[&aggregation],
        );
        searches.push((search, 1, vec![]));
    }
    assert!(searches.len() > 10, "{}", searches.len());
    for (search, depth, columns) in searches {
        let answer = opensearch
            .call("POST", "/dashboards/_search", &search.to_string())
            .await;
        let hits: Vec<&Value> = list(&answer, "/hits/hits").collect();
        assert!(!hits.is_empty(), "{search}: {answer}");
        let mut level = &answer["aggregations"]["a"];
        for _ in 0..depth {
            let bucket = &level["buckets"][0];
            assert!(bucket["doc_count"].as_u64() > Some(0), "{search}: {answer}");
            level = &bucket["a"];
        }
        for column in columns {
            let pointer = format!("/_source/{}", column.replace('.', "/"));
            let is_there = hits.iter().any(|hit| hit.pointer(&pointer).is_some());
            assert!(is_there, "no document has {column}");
        }
    }
}

/// The fields of documents that a table shows.
fn columns(panel: &Value) -> Vec<String> {
    let mut columns = Vec::new();
    for transformation in list(panel, "/transformations") {
        let options = &transformation["options"];
        let renamed = options["renameByName"].as_object().into_iter().flatten();
        columns.extend(renamed.map(|(name, _)| name.clone()));
        let kept = list(options, "/include/names").filter_map(Value::as_str);
        columns.extend(kept.map(str::to_owned));
    }
    columns
}
