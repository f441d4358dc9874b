//! Receivers with a buffer on the disk, on a real API server and a real OpenSearch.

use std::path::Path;

use kube::api::{DeleteParams, ListParams};

use crate::delivery::{commit, indexed};
use crate::support::{Cluster, Exporter, OpenSearch, eventually};

/// How far the receiver is, as the checkpoint has it.
fn mark(folder: &Path, namespace: &str) -> u64 {
    let kept = std::fs::read_to_string(folder.join("checkpoint.json")).unwrap_or_default();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap_or_default();
    kept["marks"]["away"][namespace].as_u64().unwrap_or(0)
}

#[tokio::test]
async fn fault_44_an_outage_that_outlasts_the_api_servers_memory_loses_nothing() {
    let cluster = Cluster::shared();
    let opensearch = OpenSearch::start("test-buffer", &[], &[]);
    let namespace = "buffered";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "namespace: {namespace}
checkpoint: {{file: {1}/checkpoint.json}}
route: {{match: [{{receiver: away}}]}}
receivers:
- name: away
  queue: {{maxBytes: 16KiB}}
  batch: {{maxDelay: 100ms}}
  retry: {{initial: 100ms, max: 1s}}
  buffer: {{path: {1}/buffer}}
  opensearch: {{hosts: {0}, index: {namespace}}}
",
        opensearch.url,
        folder.path().display()
    );
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    opensearch.control("kill");
    let mut committed = commit(&events, namespace, 0..300).await;
    let versions = committed
        .iter()
        .map(|id| id.rsplit('-').next().unwrap().parse::<u64>().unwrap());
    let last = versions.max().unwrap();
    eventually("all are on the disk", async || {
        mark(folder.path(), namespace) >= last
    })
    .await;
    let metric = async |name: &str| {
        exporter
            .metric(&format!("event_exporter_{name}{{receiver=\"away\"}}"))
            .await
    };
    assert!(metric("receiver_parked").await < 0.5);
    assert!(metric("buffer_bytes").await > 100_000.0);
    // The API server has none of them any more.
    let all = ListParams::default();
    events
        .delete_collection(&DeleteParams::default(), &all)
        .await
        .unwrap();
    exporter.signal("-KILL");
    exporter.ended().await;

    // One that is told to end does not wait for a sink that is away.
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    committed.extend(commit(&events, namespace, 300..320).await);
    eventually("it tries", async || {
        exporter.log().contains("events were not taken")
    })
    .await;
    exporter.signal("-TERM");
    let (code, log) = exporter.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("what is in the buffer stays there"), "{log}");

    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    opensearch.control("start");
    eventually("every version is indexed", async || {
        indexed(&opensearch, namespace).await == committed
    })
    .await;
    eventually("the buffer is empty", async || {
        exporter
            .metric("event_exporter_buffer_bytes{receiver=\"away\"}")
            .await
            < 1_000_000.0
    })
    .await;
    exporter.signal("-TERM");
    let (code, log) = exporter.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("stays there"), "{log}");
}
