//! A cluster with very many live Events, all of which are listed at the first start.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, stream};
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Cluster, Exporter, event};

const NAMESPACE: &str = "crowd";
const LIVE: usize = 1_000_000;
/// How many changes etcd makes in one transaction.
const AT_ONCE: usize = 128;

/// As long for each, so that one can take another's place in what etcd keeps.
fn name(at: usize) -> String {
    format!("crowd-{at:08}")
}

fn key(at: usize) -> String {
    STANDARD.encode(format!("/registry/events/{NAMESPACE}/{}", name(at)))
}

async fn etcd(http: &reqwest::Client, url: &str, request: &Value) -> Value {
    let answer = http.post(url).body(request.to_string()).send().await;
    let answer = answer.unwrap().error_for_status().unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// Writes `to` over each `from` in `bytes`, which is as long.
fn overwrite(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let places = bytes.windows(from.len()).enumerate();
    let places: Vec<usize> = places
        .filter(|(_, window)| *window == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

/// Makes many of one Event, in etcd itself: the API server would take half an hour.
async fn multiply(cluster: &Cluster, uid: &str, count: usize) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |what: &str| format!("{}/v3/kv/{what}", cluster.etcd);
    let found = etcd(&http, &url("range"), &json!({"key": key(0)})).await;
    let first = STANDARD
        .decode(found["kvs"][0]["value"].as_str().unwrap())
        .unwrap();
    let put = |at: usize| {
        let mut value = first.clone();
        overwrite(&mut value, name(0).as_bytes(), name(at).as_bytes());
        let other = format!("{at:08}{}", &uid[8..]);
        overwrite(&mut value, uid.as_bytes(), other.as_bytes());
        json!({"requestPut": {"key": key(at), "value": STANDARD.encode(value)}})
    };
    let rest: Vec<usize> = (1..count).collect();
    let requests = rest.chunks(AT_ONCE).map(|some| {
        let puts: Vec<Value> = some.iter().map(|at| put(*at)).collect();
        let (http, url) = (&http, url("txn"));
        async move { etcd(http, &url, &json!({"success": puts})).await }
    });
    let done = stream::iter(requests).buffer_unordered(8);
    done.for_each(async |answer| assert_eq!(answer["succeeded"], true, "{answer}"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes, and gigabytes: make soak"]
async fn fault_51_a_million_live_events_are_listed_in_little_memory() {
    let cluster = Cluster::start("test-crowd-soak", &[]);
    let events = cluster.namespace(NAMESPACE).await;
    let first = event(NAMESPACE, &name(0), "Back-off");
    let first = events.create(&PostParams::default(), &first).await.unwrap();
    let started = Instant::now();
    multiply(&cluster, &first.metadata.uid.unwrap(), LIVE).await;
    let written = started.elapsed();

    let config = format!(
        "namespace: {NAMESPACE}\nmaxEventAgeSeconds: 3600\nroute: {{match: [{{receiver: none}}]}}\nreceivers: [{{name: none, file: {{path: /dev/null}}}}]"
    );
    let started = Instant::now();
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    let delivered = "event_exporter_events_delivered_total{receiver=\"none\"}";
    let (mut taken, mut since) = (0.0, Instant::now());
    while taken < LIVE as f64 && since.elapsed() < Duration::from_mins(1) {
        sleep(Duration::from_millis(100)).await;
        let now = exporter.metric(delivered).await;
        if now > taken {
            (taken, since) = (now, Instant::now());
        }
    }
    println!(
        "{LIVE} live events, written in {written:?}: all delivered after {:?}, with {} KiB at the most, and {} KiB then",
        started.elapsed(),
        exporter.most_memory(),
        exporter.memory(),
    );
    assert!((taken - LIVE as f64).abs() < 0.5, "{taken}");
    let again = exporter.metric("event_exporter_events_received_total{type=\"Warning\"}");
    assert!((again.await - LIVE as f64).abs() < 0.5, "each once");
}
