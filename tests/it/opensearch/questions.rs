//! What docs/opensearch.md asks of a server, asked.

use jiff::{SignedDuration, Timestamp};

use super::config;
use super::recorded::{SAMPLES, later};
use crate::console::{requests, section};
use crate::dashboards::{prepared, search::seen};
use crate::support::{run, text};

const DOCUMENT: &str = include_str!("../../../docs/opensearch.md");

/// What is seen in each answer, as of the dashboards' panels: objects, or the keys of buckets.
const SEEN: [&[&str]; 6] = [
    &[
        "bad-image-5dd455f476-4htzg",
        "crash-loop",
        "evicted",
        "failed-probe",
        "missing-secret-7cc475b898-xsrww",
        "missing-volume",
        "needs-gpu-56f4f79985-576b7",
        "over-quota-845c7c45d8",
        "over-quota-845c7c45d8-4fgmj",
        "over-quota-845c7c45d8-dssmr",
        "unschedulable",
    ],
    &[
        "BackOff",
        "CgroupV1",
        "Evicted",
        "Failed",
        "FailedCreate",
        "FailedMount",
        "FailedScheduling",
        "NodeNotReady",
        "Unhealthy",
    ],
    // Of the first, the eviction was called off.
    &["crash-loop", "evicted"],
    &["registry.invalid/shop/web:does-not-exist/event-samples"],
    &[
        "crash-loop/BackOff",
        "failed-probe/Unhealthy",
        "missing-secret-7cc475b898-xsrww/Failed",
        "missing-volume/FailedMount",
        "node1/NodeHasNoDiskPressure",
    ],
    &[
        "bad-image",
        "bad-image-5dd455f476",
        "bad-image-5dd455f476-4htzg",
    ],
];

#[tokio::test]
async fn the_questions_of_the_documentation_have_answers() {
    // With our mappings, and with those that a server makes by itself.
    let opensearch = prepared();
    let recorded: Timestamp = "2026-11-28T03:37:00Z".parse().unwrap();
    let ago = Timestamp::now().duration_since(recorded);
    let events = later(SAMPLES, SignedDuration::from_secs(ago.as_secs()));
    for index in ["kube-events-asked", "asked-by-dynamic-mapping"] {
        let config = config(&opensearch.url, index, "");
        let output = run(
            &["replay", "config.yaml", "--events", "-"],
            &config,
            &events,
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(opensearch.count(index).await, 65);
        let mut found = Vec::new();
        for question in requests(section(DOCUMENT, "Questions")) {
            // The names of the recording.
            let path = question.path.replace("kube-events*", index);
            let body = question.body.replace("\"shop\"", "\"event-samples\"");
            let body = body.replace("\"web-\"", "\"bad-image\"");
            let answer = opensearch.call(&question.method, &path, &body).await;
            assert!(answer["hits"].is_object(), "{body}{answer}");
            found.push(seen(&answer).into_iter().collect::<Vec<String>>());
        }
        assert_eq!(found, SEEN, "{index}");
    }
}
