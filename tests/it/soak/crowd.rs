//! A cluster with very many live Events, all of which are listed at the first start.

use tokio::time::Instant;

use super::copies::Copies;
use super::while_it_delivers;
use crate::support::{Cluster, Exporter, eventually};

const NAMESPACE: &str = "crowd";
const LIVE: usize = 1_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes, and gigabytes: make soak"]
async fn fault_51_a_million_live_events_are_listed_in_little_memory() {
    let cluster = Cluster::start("test-crowd-soak", &[]);
    let (copies, _) = Copies::new(&cluster, NAMESPACE).await;
    let started = Instant::now();
    copies.write_all(1..LIVE).await;
    let written = started.elapsed();

    let config = format!(
        "namespace: {NAMESPACE}\nmaxEventAgeSeconds: 3600\nroute: {{match: [{{receiver: none}}]}}\nreceivers: [{{name: none, file: {{path: /dev/null}}}}]"
    );
    let started = Instant::now();
    let exporter = Exporter::spawn(&cluster.kubeconfig, &config);
    // It is ready when it has listed them.
    eventually("it is up", async || {
        exporter.get("/metrics").await.is_some()
    })
    .await;
    let delivered = "event_exporter_events_delivered_total{receiver=\"none\"}";
    while_it_delivers(&exporter, "none", async || {
        exporter.metric(delivered).await > LIVE as f64 - 0.5
    })
    .await;
    println!(
        "{LIVE} live events, written in {written:?}: all delivered after {:?}, with {} KiB at the most, and {} KiB then",
        started.elapsed(),
        exporter.most_memory(),
        exporter.memory(),
    );
    for counted in [
        delivered,
        "event_exporter_events_received_total{type=\"Warning\"}",
    ] {
        let count = exporter.metric(counted).await;
        assert!((count - LIVE as f64).abs() < 0.5, "{counted}: {count}");
    }
}
