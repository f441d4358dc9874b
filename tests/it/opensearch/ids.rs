//! What ids and names of indices are good for: nothing is there twice, and nothing newer is undone.

use serde_json::Value;

use super::config;
use crate::support::{OpenSearch, lines, run, text};

fn replay(config: &str, events: &str) {
    let output = run(&["replay", "config.yaml", "--events", "-"], config, events);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Events that happened at this time.
fn at(lines: &str, time: &str) -> String {
    let changed = lines.lines().map(|line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event["lastTimestamp"] = time.into();
        format!("{event}\n")
    });
    changed.collect()
}

#[tokio::test]
async fn fault_04_replaying_twice_changes_nothing() {
    let opensearch = OpenSearch::shared();
    for (index, more) in [("twice", ""), ("twice-latest", ", useEventID: true")] {
        for _ in 0..2 {
            replay(&config(&opensearch.url, index, more), &lines("e", 50, "m"));
        }
        assert_eq!(opensearch.count(index).await, 50, "{index}");
    }
}

#[tokio::test]
async fn without_ids_nothing_can_tell_a_repetition() {
    let opensearch = OpenSearch::shared();
    for _ in 0..2 {
        let config = config(&opensearch.url, "no-ids", ", documentID: none");
        replay(&config, &lines("e", 5, "m"));
    }
    assert_eq!(opensearch.count("no-ids").await, 10);
}

#[tokio::test]
async fn the_latest_state_of_an_event_is_not_undone_by_an_older_one() {
    let opensearch = OpenSearch::shared();
    let config = config(&opensearch.url, "latest", ", useEventID: true");
    let state = |version: u64, count: u64| {
        let mut event: Value = serde_json::from_str(&lines("e", 1, "m")).unwrap();
        event["metadata"]["resourceVersion"] = version.to_string().into();
        event["count"] = count.into();
        format!("{event}\n")
    };
    for states in [
        state(1002, 2),
        state(1009, 9),
        state(1001, 1) + &state(1009, 9),
    ] {
        replay(&config, &states);
    }
    let documents = opensearch.documents("latest").await;
    assert_eq!(documents.keys().collect::<Vec<_>>(), ["e-uid-0"]);
    assert_eq!(documents["e-uid-0"]["count"], 9);
}

#[tokio::test]
async fn a_repetition_after_midnight_finds_yesterdays_index() {
    let opensearch = OpenSearch::shared();
    let config = config(&opensearch.url, "x", "")
        .replace("index: x", "indexFormat: \"midnight-{2006.01.02}\"");
    let before = at(&lines("before", 3, "m"), "2024-05-01T23:59:59Z");
    let after = at(&lines("after", 4, "m"), "2024-05-02T00:00:00Z");
    for _ in 0..2 {
        replay(&config, &(before.clone() + &after));
    }
    for (index, count) in [("midnight-2024.05.01", 3), ("midnight-2024.05.02", 4)] {
        assert_eq!(opensearch.count(index).await, count, "{index}");
    }
}

/// Its ids are those of one backing index. That is said in docs/opensearch.md.
#[tokio::test]
async fn a_data_stream_takes_events_once_but_for_those_that_come_again_after_a_rollover() {
    let opensearch = OpenSearch::shared();
    let template = r#"{"index_patterns":["stream*"],"data_stream":{},"priority":300}"#;
    opensearch
        .call("PUT", "/_index_template/stream", template)
        .await;
    let config = config(&opensearch.url, "x", "").replace("index: x", "dataStream: stream");
    for count in [10, 10] {
        replay(&config, &lines("e", 10, "m"));
        assert_eq!(opensearch.count("stream").await, count);
    }
    let rolled = opensearch.call("POST", "/stream/_rollover", "").await;
    assert_eq!(rolled["rolled_over"], true, "{rolled}");
    replay(&config, &lines("e", 3, "m"));
    assert_eq!(opensearch.count("stream").await, 13);
}
