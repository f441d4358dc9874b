//! What `_bulk` answers because of the server: that it is away, not ready, blocked, full or busy.

use super::{Replay, config};
use crate::support::{OpenSearch, eventually, lines, run, text};

#[tokio::test]
async fn fault_02_09_what_stops_a_whole_cluster_is_waited_for() {
    let opensearch = OpenSearch::start("test-cluster", &[], &[]);
    let set = async |settings: &str| {
        let body = format!(r#"{{"transient":{{{settings}}}}}"#);
        let answer = opensearch.call("PUT", "/_cluster/settings", &body).await;
        assert_eq!(answer["acknowledged"], true, "{answer}");
    };
    for index in ["breaker", "read-only", "flood"] {
        opensearch.call("PUT", &format!("/{index}"), "").await;
    }
    // The watermarks are of the space that is left: no disk has that much.
    let full = r#""cluster.routing.allocation.disk.threshold_enabled":true,"cluster.info.update.interval":"10s",
        "cluster.routing.allocation.disk.watermark.low":"3000tb","cluster.routing.allocation.disk.watermark.high":"2000tb",
        "cluster.routing.allocation.disk.watermark.flood_stage":"1000tb""#;
    let empty = full.replace("000tb", "b");
    for (index, broken, words, mended) in [
        (
            "breaker",
            r#""network.breaker.inflight_requests.limit":"10kb""#,
            "HTTP 429: circuit_breaking_exception",
            r#""network.breaker.inflight_requests.limit":null"#,
        ),
        (
            "read-only",
            r#""cluster.blocks.read_only":true"#,
            "FORBIDDEN/6/cluster read-only",
            r#""cluster.blocks.read_only":null"#,
        ),
        (
            "shards",
            r#""cluster.max_shards_per_node":1"#,
            "this action would add",
            r#""cluster.max_shards_per_node":null"#,
        ),
        (
            "unmade",
            r#""action.auto_create_index":"false""#,
            "HTTP 404: index_not_found_exception",
            r#""action.auto_create_index":null"#,
        ),
        (
            "flood",
            full,
            "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark",
            &empty,
        ),
    ] {
        set(broken).await;
        if index == "flood" {
            eventually("the server has looked at its disk", async || {
                let settings = opensearch.call("GET", "/flood/_settings", "").await;
                settings.to_string().contains("read_only_allow_delete")
            })
            .await;
        }
        let config = config(&opensearch.url, index, ", gzip: false");
        let replay = Replay::start(&config, &lines("e", 100, &"x".repeat(500)));
        replay.logs(words).await;
        set(mended).await;
        replay.succeeds().await;
        assert_eq!(opensearch.count(index).await, 100, "{index}");
    }
}

#[tokio::test]
async fn fault_02_07_a_server_with_little_room_takes_everything_in_the_end() {
    let opensearch = OpenSearch::start(
        "test-narrow",
        &[
            "http.max_content_length=64kb",
            "indexing_pressure.memory.limit=96kb",
            "thread_pool.write.queue_size=1",
            "node.processors=1",
        ],
        &[],
    );
    let events = lines("e", 300, &"x".repeat(1000)) + &lines("huge", 1, &"x".repeat(100_000));
    let output = run(
        &["replay", "config.yaml", "--events", "-"],
        &config(&opensearch.url, "small", ""),
        &events,
    );
    // The server counts what it has unpacked; one event is larger than anything it takes.
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("301 events read, 300 deliveries taken, 1 rejected"),
        "{told}"
    );
    assert_eq!(opensearch.count("small").await, 300);

    let slow = r#"{"processors":[{"script":{"source":"long n = 0; for (int i = 0; i < 500000; i++) { n += i } ctx.n = n"}}]}"#;
    let pipeline = |name: &str| format!(r#"{{"settings":{{"index.default_pipeline":"{name}"}}}}"#);
    for (path, body) in [
        ("/_ingest/pipeline/slow", slow),
        ("/_ingest/pipeline/quick", r#"{"processors":[]}"#),
        ("/slow", &pipeline("slow")),
        ("/queue-by-item", ""),
        ("/queue-whole", &pipeline("quick")),
        ("/pressure", ""),
    ] {
        let answer = opensearch.call("PUT", path, body).await;
        assert_eq!(answer["acknowledged"], true, "{path}: {answer}");
    }
    for (index, at_once, bytes, max_events, words) in [
        // Its one thread is busy and its queue of one is full.
        (
            "queue-by-item",
            2,
            10,
            1,
            "HTTP 429: rejected_execution_exception",
        ),
        // The same before a pipeline: the request is refused as a whole.
        (
            "queue-whole",
            2,
            10,
            1,
            "HTTP 429: rejected_execution_exception",
        ),
        // Two requests together are more than it holds in memory.
        (
            "pressure",
            1,
            2400,
            45,
            "rejected execution of coordinating operation",
        ),
    ] {
        let config = config(&opensearch.url, index, "").replace(
            "maxDelay: 10ms",
            &format!("maxDelay: 10ms, maxEvents: {max_events}"),
        );
        let load = format!("{{\"create\":{{}}}}\n{{\"p\":\"{}\"}}\n", "x".repeat(bytes)).repeat(24);
        let busy = async || {
            loop {
                opensearch.call("POST", "/slow/_bulk", &load).await;
            }
        };
        let busy = futures::future::join_all((0..at_once).map(|_| busy()));
        let events = lines("e", 30 * max_events, &"x".repeat(800));
        let replay = Replay::start(&config, &events);
        tokio::select! {
            () = replay.logs(words) => {}
            _ = busy => {}
        }
        replay.succeeds().await;
        let count = u64::try_from(events.lines().count()).unwrap();
        assert_eq!(opensearch.count(index).await, count, "{index}");
    }
}

#[tokio::test]
async fn fault_11_a_server_that_is_not_ready_is_away_or_hangs_is_waited_for() {
    let start =
        |settings: &[&str], env: &[(&str, &str)]| OpenSearch::start("test-away", settings, env);
    let config = |url: &str| config(url, "away", "").replace("  retry:", "  timeout: 4s\n  retry:");
    // It waits for a second node before it knows its indices.
    let alone = start(&["gateway.recover_after_data_nodes=2"], &[("UNREADY", "1")]);
    let replay = Replay::start(&config(&alone.url), &lines("e", 10, "m"));
    replay.logs("state not recovered").await;
    assert!(replay.log().contains("HTTP 503"), "{}", replay.log());
    alone.stop();
    replay.logs("no answer: ").await;
    let opensearch = start(&[], &[]);
    replay.succeeds().await;
    assert_eq!(opensearch.count("away").await, 10);

    opensearch.control("pause");
    let replay = Replay::start(&config(&opensearch.url), &lines("hung", 10, "m"));
    replay.logs("no answer in time").await;
    opensearch.control("resume");
    replay.succeeds().await;
    assert_eq!(
        opensearch.count("away").await,
        20,
        "what was taken before the answer was lost is there once"
    );
}
