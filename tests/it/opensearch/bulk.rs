//! What `_bulk` answers because of an index: events that are never taken, and events that wait until somebody has mended it.

use std::process::Command;

use serde_json::{Value, json};

use super::{Replay, config};
use crate::support::{EXPORTER, Node, OpenSearch, eventually, lines, run, text};

/// A change of settings that changes nothing.
const NOTHING: &str = r#"{"index.refresh_interval":"1s"}"#;

/// A method, a path and a body.
type Call<'a> = (&'a str, &'a str, &'a str);

/// Events with this in their metadata.
fn with(lines: &str, key: &str, value: &Value) -> String {
    let changed = lines.lines().map(|line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event["metadata"][key] = value.clone();
        format!("{event}\n")
    });
    changed.collect()
}

#[tokio::test]
async fn fault_06_a_mapping_conflict_rejects_its_events_and_no_others() {
    let opensearch = OpenSearch::shared();
    opensearch
        .call(
            "PUT",
            "/conflict",
            r#"{"mappings":{"properties":{"message":{"type":"integer"}}}}"#,
        )
        .await;
    let events = lines("good", 20, "42") + &lines("bad", 3, "no number") + &lines("fine", 20, "43");
    let config = config(&opensearch.url, "conflict", "")
        .replace("  retry:", "  deadLetter: {file: dead.jsonl}\n  retry:");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), &config).unwrap();
    std::fs::write(folder.path().join("events.jsonl"), &events).unwrap();
    let replay = |config: &str, events: &str| {
        let command = ["replay", config, "--events", events];
        Command::new(&*EXPORTER)
            .args(command)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let output = replay("config.yaml", "events.jsonl");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("43 events read, 40 deliveries taken, 3 rejected"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.stdout, b"");
    assert_eq!(opensearch.count("conflict").await, 40);
    let dead = std::fs::read_to_string(folder.path().join("dead.jsonl")).unwrap();
    assert_eq!(dead.lines().count(), 3);
    assert!(
        dead.contains("mapper_parsing_exception") && dead.contains("no number"),
        "{dead}"
    );

    // What was put aside can be sent again once the index is mended.
    let mended = config
        .replace("index: conflict", "index: mended")
        .replace("  deadLetter: {file: dead.jsonl}\n", "");
    std::fs::write(folder.path().join("mended.yaml"), mended).unwrap();
    let output = replay("mended.yaml", "dead.jsonl");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let documents = opensearch.documents("mended").await;
    assert_eq!(
        documents.keys().collect::<Vec<_>>(),
        ["bad-uid-0-1000", "bad-uid-1-1001", "bad-uid-2-1002"]
    );
}

#[tokio::test]
async fn what_an_index_will_never_take_costs_no_other_event() {
    let opensearch = OpenSearch::shared();
    let fails = r#"{"processors":[{"fail":{"if":"ctx.message == 'bad'","message":"no"}}]}"#;
    opensearch
        .call_all(&[("PUT", "/_ingest/pipeline/fails", fails)])
        .await;
    let strict = r#"{"properties":{"metadata":{"properties":{"labels":{"type":"object","dynamic":"strict"}}}}}"#;
    let good = |prefix: &str| with(&lines(prefix, 5, "m"), "labels", &json!({"app": "web"}));
    let bad = lines("bad", 1, "bad");
    let labelled = with(&bad, "labels", &json!({"new": "x"}));
    let dotted = with(&bad, "labels", &json!({"app.kubernetes.io/name": "web"}));
    for (index, made, then, bad, words) in [
        (
            "never-fields",
            "{}",
            ("_settings", r#"{"index.mapping.total_fields.limit":1}"#),
            &labelled,
            "Limit of total fields [1] has been exceeded",
        ),
        (
            "never-strict",
            "{}",
            ("_mapping", strict),
            &labelled,
            "strict_dynamic_mapping_exception",
        ),
        (
            "never-dots",
            "{}",
            ("_settings", NOTHING),
            &dotted,
            "must be of type object but found [text]",
        ),
        (
            "never-long",
            r#"{"mappings":{"properties":{"message":{"type":"keyword"}}}}"#,
            ("_settings", NOTHING),
            &lines("bad", 1, &"x".repeat(40_000)),
            "immense term",
        ),
        (
            "never-pipeline",
            "{}",
            ("_settings", r#"{"index.default_pipeline":"fails"}"#),
            &bad,
            "HTTP 500: fail_processor_exception",
        ),
        // It is the whole request that is refused for this one.
        (
            "never-id",
            "{}",
            ("_settings", NOTHING),
            &with(&bad, "uid", &"u".repeat(600).into()),
            "action_request_validation_exception",
        ),
    ] {
        let path = format!("/{index}");
        opensearch.call_all(&[("PUT", &path, made)]).await;
        let replay = |events: &str| {
            let config = config(&opensearch.url, index, "");
            run(&["replay", "config.yaml", "--events", "-"], &config, events)
        };
        let first = replay(&good("first"));
        assert!(first.status.success(), "{}", text(&first.stderr));
        opensearch
            .call_all(&[("PUT", &format!("{path}/{}", then.0), then.1)])
            .await;
        let told = text(&replay(&(good("good") + bad)).stderr);
        assert!(
            told.contains("6 events read, 5 deliveries taken, 1 rejected"),
            "{index}: {told}"
        );
        assert!(told.contains(words), "{index}: {told}");
        assert_eq!(opensearch.count(index).await, 10, "{index}");
    }
}

/// A target, what breaks it, what is told of that, what mends it.
pub type Mendable = (
    &'static str,
    &'static [Call<'static>],
    &'static str,
    &'static [Call<'static>],
);

/// What OpenSearch and Elasticsearch have in common.
pub const MENDABLE: [Mendable; 6] = [
    (
        "mend-write",
        &[
            ("PUT", "/mend-write", ""),
            (
                "PUT",
                "/mend-write/_settings",
                r#"{"index.blocks.write":true}"#,
            ),
        ],
        "FORBIDDEN/8/index write",
        &[(
            "PUT",
            "/mend-write/_settings",
            r#"{"index.blocks.write":null}"#,
        )],
    ),
    (
        "mend-read-only",
        &[
            ("PUT", "/mend-read-only", ""),
            (
                "PUT",
                "/mend-read-only/_settings",
                r#"{"index.blocks.read_only":true}"#,
            ),
        ],
        "FORBIDDEN/5/index read-only",
        &[(
            "PUT",
            "/mend-read-only/_settings",
            r#"{"index.blocks.read_only":null}"#,
        )],
    ),
    (
        "mend-closed",
        &[
            ("PUT", "/mend-closed", ""),
            ("POST", "/mend-closed/_close", ""),
        ],
        "index_closed_exception",
        &[("POST", "/mend-closed/_open", "")],
    ),
    (
        "mend-shard",
        &[(
            "PUT",
            "/mend-shard?wait_for_active_shards=0",
            r#"{"settings":{"index.routing.allocation.require._name":"nobody"}}"#,
        )],
        "HTTP 503: unavailable_shards_exception",
        &[(
            "PUT",
            "/mend-shard/_settings",
            r#"{"index.routing.allocation.require._name":null}"#,
        )],
    ),
    (
        "mend-alias",
        &[
            ("PUT", "/mend-alias-1", r#"{"aliases":{"mend-alias":{}}}"#),
            ("PUT", "/mend-alias-2", r#"{"aliases":{"mend-alias":{}}}"#),
        ],
        "no write index is defined for alias",
        &[(
            "POST",
            "/_aliases",
            r#"{"actions":[{"add":{"index":"mend-alias-1","alias":"mend-alias","is_write_index":true}}]}"#,
        )],
    ),
    (
        "mend-pipeline",
        &[(
            "PUT",
            "/mend-pipeline",
            r#"{"settings":{"index.default_pipeline":"mend-missing"}}"#,
        )],
        "pipeline with id [mend-missing] does not exist",
        &[(
            "PUT",
            "/_ingest/pipeline/mend-missing",
            r#"{"processors":[]}"#,
        )],
    ),
];

/// What takes data streams.
const STREAMS: [Mendable; 2] = [
    (
        "mend-stream, useEventID: true",
        &[
            (
                "PUT",
                "/_index_template/mend-stream",
                r#"{"index_patterns":["mend-stream"],"data_stream":{},"priority":300}"#,
            ),
            ("PUT", "/_data_stream/mend-stream", ""),
        ],
        "only write ops with an op_type of create are allowed in data streams",
        &[
            ("DELETE", "/_data_stream/mend-stream*", ""),
            ("DELETE", "/_index_template/mend-stream", ""),
        ],
    ),
    (
        "mend-time, layout: {m: \"{{ .Message }}\"}",
        &[
            (
                "PUT",
                "/_index_template/mend-time",
                r#"{"index_patterns":["mend-time"],"data_stream":{},"priority":300}"#,
            ),
            ("PUT", "/_data_stream/mend-time", ""),
        ],
        "documents must contain a single-valued timestamp field",
        &[
            (
                "PUT",
                "/_ingest/pipeline/mend-time",
                r#"{"processors":[{"set":{"field":"@timestamp","value":"2026-01-02T03:04:05Z"}}]}"#,
            ),
            (
                "PUT",
                "/mend-time/_settings",
                r#"{"index.default_pipeline":"mend-time"}"#,
            ),
        ],
    ),
];

/// Breaks it, has the replay tell of that, mends it, and sees that everything arrives. `config` is for a target.
pub async fn is_waited_for(node: &Node, mendable: Mendable, config: impl Fn(&str) -> String) {
    let (target, broken, words, mended) = mendable;
    node.call_all(broken).await;
    // The server says within half of that which shard it lacks.
    let config = config(target).replace("  retry", "  timeout: 4s\n  retry");
    let replay = Replay::start(&config, &lines("e", 10, "m"));
    replay.logs(words).await;
    // What is made anew by an attempt between two of them keeps its template from being deleted.
    eventually("it is mended", async || {
        let mut is_mended = true;
        for (method, path, body) in mended {
            let answer = node.call(method, path, body).await;
            is_mended &= answer.get("error").is_none();
        }
        is_mended
    })
    .await;
    replay.succeeds().await;
    let index = target.split(',').next().unwrap();
    assert_eq!(node.count(index).await, 10, "{index}");
}

#[tokio::test]
async fn fault_09_what_somebody_has_to_mend_is_waited_for() {
    let opensearch = OpenSearch::shared();
    for mendable in MENDABLE.into_iter().chain(STREAMS) {
        is_waited_for(opensearch, mendable, |target| {
            config(&opensearch.url, target, "")
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_is_rejected_where_there_is_no_bulk() {
    let host = format!("{}/no/such", OpenSearch::shared().url);
    let replay = Replay::start(&config(&host, "nowhere", ""), &lines("e", 3, "m"));
    replay.logs("no handler found for uri").await;
    let log = replay.log();
    assert!(log.contains("trying again until they are"), "{log}");
    assert!(!log.contains("rejected"), "{log}");
}

#[tokio::test]
async fn what_a_pipeline_drops_is_settled() {
    let opensearch = OpenSearch::shared();
    let made = [
        (
            "PUT",
            "/_ingest/pipeline/drops",
            r#"{"processors":[{"drop":{"if":"ctx.message == 'noise'"}}]}"#,
        ),
        (
            "PUT",
            "/dropped",
            r#"{"settings":{"index.default_pipeline":"drops"}}"#,
        ),
    ];
    opensearch.call_all(&made).await;
    let events = lines("kept", 3, "m") + &lines("dropped", 2, "noise");
    let config = config(&opensearch.url, "dropped", "");
    let output = run(
        &["replay", "config.yaml", "--events", "-"],
        &config,
        &events,
    );
    let told = text(&output.stderr);
    assert!(
        told.contains("5 events read, 5 deliveries taken, 0 rejected"),
        "{told}"
    );
    assert_eq!(opensearch.count("dropped").await, 3);
}
