//! A throttle, from the API server to the document.

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{Cluster, Exporter, event, eventually};

#[tokio::test]
async fn the_next_document_says_how_many_a_throttle_has_held_back() {
    let cluster = Cluster::shared();
    let namespace = "throttle";
    let events = cluster.namespace(namespace).await;
    let config = format!(
        "namespace: {namespace}\nroute: {{throttle: {{period: 1m}}, match: [{{receiver: out}}]}}\nreceivers: [{{name: out, stdout: {{}}}}]"
    );
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    // Long ago: a time in the future would count as now.
    let time = |time: &str| json!(format!("2024-05-01T10:{time}Z"));
    let mut first = event(namespace, "e", "m");
    first.last_timestamp = serde_json::from_value(time("00:00")).unwrap();
    events.create(&PostParams::default(), &first).await.unwrap();
    eventually("the first is there at once", async || {
        exporter.stdout().lines().count() == 1
    })
    .await;
    for (count, at) in [(2, "00:10"), (3, "00:59"), (4, "01:00"), (5, "01:30")] {
        let repeat = json!({"count": count, "lastTimestamp": time(at)});
        let patch = Patch::Merge(&repeat);
        events
            .patch("e", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    let throttled = "event_exporter_events_throttled_total{receiver=\"out\"}";
    eventually("the last is held back", async || {
        exporter.metric(throttled).await >= 3.0 && exporter.stdout().lines().count() == 2
    })
    .await;
    let documents: Vec<Value> = exporter
        .stdout()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told = |at: usize| [&documents[at]["count"], &documents[at]["suppressed"]];
    assert_eq!(told(0), [&json!(1), &Value::Null]);
    assert_eq!(told(1), [&json!(4), &json!(2)]);
}
