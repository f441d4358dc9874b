//! What there is to be.

use super::*;

fn paths(plan: &Plan) -> Vec<String> {
    plan.requests().into_iter().map(|it| it.path).collect()
}

/// The body of the first request to a path that begins like this.
fn body(plan: &Plan, path: &str) -> Value {
    let mut requests = plan.requests().into_iter();
    requests.find(|it| it.path.starts_with(path)).unwrap().body
}

#[test]
fn it_follows_from_where_events_go() {
    for (text, name, patterns, policy, last) in [
        (
            STREAM,
            "kube-events",
            json!(["kube-events"]),
            Some("kube-events"),
            "_data_stream/kube-events",
        ),
        (
            "dataStream: \"e-{{ .Namespace }}\"",
            "e-each",
            json!(["e-*"]),
            Some("e-*"),
            "_index_template/e-each",
        ),
        (
            DAILY,
            "kube-events-daily",
            json!(["kube-events-20*.*.*"]),
            Some("kube-events-20*.*.*"),
            "_index_template/kube-events-daily",
        ),
        (
            "indexFormat: \"e-{2006}-x\"",
            "e-yearly",
            json!(["e-20*-x"]),
            Some("e-20*-x"),
            "_index_template/e-yearly",
        ),
        (
            "index: e",
            "e",
            json!(["e", "e-0*"]),
            Some("e-0*"),
            "e-000001",
        ),
        (
            "index: e\nuseEventID: true",
            "e",
            json!(["e"]),
            None,
            "_index_template/e",
        ),
        (
            "index: \"e-{{ .Type }}\"",
            "e-each",
            json!(["e-*"]),
            None,
            "_index_template/e-each",
        ),
        (
            "indexFormat: \"e-{Monday}\"",
            "e-each",
            json!(["e-*"]),
            None,
            "_index_template/e-each",
        ),
        (
            "index: événements",
            "événements",
            json!(["événements", "événements-0*"]),
            Some("événements-0*"),
            "%C3%A9v%C3%A9nements-000001",
        ),
    ] {
        let plan = plan_of(text, Dialect::OpenSearch);
        assert_eq!(plan.name(), name, "{text}");
        assert_eq!(
            body(&plan, "_index_template")["index_patterns"],
            patterns,
            "{text}"
        );
        let matched = plan
            .policy()
            .map(|it| it.body["policy"]["ism_template"][0]["index_patterns"].clone());
        assert_eq!(matched, policy.map(|policy| json!([policy])), "{text}");
        assert_eq!(paths(&plan).last().unwrap(), last, "{text}");
    }
}

#[test]
fn no_two_patterns_that_meet_have_the_same_priority() {
    let priority = |text: &str| {
        body(&plan_of(text, Dialect::OpenSearch), "_index_template")["priority"].as_u64()
    };
    let order = [
        "index: \"e-{{ .Type }}\"",
        "index: e-p",
        "indexFormat: \"e-p-{2006}\"",
        "indexFormat: \"e-p-{2006.01}\"",
        "indexFormat: \"e-p-{2006.01.02}\"",
        "index: e-p-2026.01.02",
    ];
    let priorities = order.map(priority);
    assert!(
        priorities.is_sorted() && priorities[0] > Some(200),
        "{priorities:?}"
    );
    let distinct = std::collections::BTreeSet::from(priorities);
    assert_eq!(distinct.len(), order.len(), "{priorities:?}");
}

#[test]
fn the_fields_of_a_layout_have_no_types_of_ours() {
    for (text, ours, time) in [
        ("index: e", true, true),
        ("index: e\nlayout: {}", true, true),
        ("index: e\nlayout: {source: x}", false, true),
        ("dataStream: e\nlayout: {source: x}", false, false),
    ] {
        let plan = plan_of(text, Dialect::OpenSearch);
        let mappings = &body(&plan, "_component_template")["template"]["mappings"];
        let typed =
            ["source", "@timestamp"].map(|field| mappings["properties"].get(field).is_some());
        assert_eq!(typed, [ours, time], "{text}");
        assert!(mappings["dynamic_templates"].is_array());
    }
}

#[test]
fn events_are_kept_as_long_as_was_said() {
    let conditions = |text: &str| {
        let policy = plan_of(text, Dialect::OpenSearch).policy();
        policy.map(|it| it.body["policy"]["states"][0]["transitions"].to_string())
    };
    for (text, age) in [
        (DAILY.to_owned(), Some(r#"{"min_index_age":"30d"}"#)),
        (
            format!("{DAILY}\nsetup: {{retention: 36h}}"),
            Some(r#"{"min_index_age":"36h"}"#),
        ),
        (format!("{DAILY}\nsetup: {{retention: forever}}"), None),
        (
            "indexFormat: \"e-{2006.01}\"\nsetup: {retention: 14d}".into(),
            Some(r#"{"min_index_age":"44d"}"#),
        ),
        (
            format!("{STREAM}\nsetup: {{retention: 7d}}"),
            Some(r#"{"min_rollover_age":"7d"}"#),
        ),
    ] {
        let found = conditions(&text);
        match age {
            Some(age) => assert!(found.as_ref().unwrap().contains(age), "{text}: {found:?}"),
            None => assert_eq!(found, None, "{text}"),
        }
    }
    let forever =
        format!("{STREAM}\nsetup: {{retention: forever, rollover: {{maxAge: 7d, maxSize: 5 GB}}}}");
    let policy = plan_of(&forever, Dialect::OpenSearch)
        .policy()
        .unwrap()
        .body;
    let states = policy["policy"]["states"].as_array().unwrap();
    assert_eq!(states.len(), 1);
    assert_eq!(
        states[0]["actions"][0]["rollover"],
        json!({"min_index_age": "7d", "min_primary_shard_size": "5gb"})
    );
    let policy = plan_of(&forever, Dialect::Elasticsearch)
        .policy()
        .unwrap()
        .body;
    assert_eq!(policy["policy"]["phases"].get("delete"), None);
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    for (text, at, words) in [
        (
            "index: \"{{ .Namespace }}\"",
            1,
            "setup would be for `*`, and so for the indices of others",
        ),
        (
            "indexFormat: \"{2006.01.02}\"",
            1,
            "setup would be for `20*.*.*`",
        ),
        ("index: e\nsetup: {retention: 3x}", 2, "`3x` is no age"),
        ("index: e\nsetup: {retention: 0d}", 2, "`0d` is no age"),
        (
            "index: e\nsetup: {rollover: {maxAge: never}}",
            2,
            "`never` is no age",
        ),
        (
            "index: e\nsetup: {rollover: {maxSize: 20}}",
            2,
            "`20` is no size",
        ),
        ("setup: true", 0, "say where to"),
    ] {
        let problems = Plan::new(&config(text), Dialect::OpenSearch)
            .unwrap_err()
            .into_vec();
        let problem = &problems[0];
        assert_eq!(problem.position.line, at, "{text}: {problem}");
        assert!(problem.message.contains(words), "{text}: {problem}");
    }
}

#[test]
fn a_retention_that_nothing_keeps_is_told() {
    for (text, told) in [
        ("index: e\nuseEventID: true\nsetup: {retention: 7d}", 1),
        ("index: e\nuseEventID: true\nsetup: true", 0),
        ("index: e\nsetup: {retention: 7d}", 0),
    ] {
        let mut warnings = Vec::new();
        lint(&config(text), &mut warnings);
        assert_eq!(warnings.len(), told, "{text}: {warnings:?}");
    }
}

fn shipped(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What is installed by hand is what setup makes, for other names.
#[test]
fn the_files_that_are_shipped_are_the_same() {
    for (text, file) in [
        (
            DAILY,
            include_str!("../../../../../deploy/opensearch/ism-policy.json"),
        ),
        (
            STREAM,
            include_str!("../../../../../deploy/opensearch/ism-policy-data-stream.json"),
        ),
    ] {
        let ours = plan_of(text, Dialect::OpenSearch).policy().unwrap().body;
        let file = shipped(file);
        for key in ["default_state", "states"] {
            assert_eq!(ours["policy"][key], file["policy"][key], "{text}: {key}");
        }
    }
    let template = shipped(include_str!(
        "../../../../../deploy/opensearch/index-template.json"
    ));
    let ours = body(&plan_of(DAILY, Dialect::OpenSearch), "_component_template");
    assert_eq!(ours["template"], template["template"]);
    assert_eq!(
        ours["_meta"]["description"],
        template["_meta"]["description"]
    );
}
