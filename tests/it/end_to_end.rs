//! From the API server's commit to the sink's acknowledgement, on real servers.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};

use crate::support::{Cluster, Exporter, OpenSearch, event, eventually};

/// Every version that the API server has committed, with its count.
type Committed = BTreeMap<String, i32>;

fn id(event: &Event) -> String {
    let metadata = &event.metadata;
    format!(
        "{}-{}",
        metadata.uid.as_deref().unwrap(),
        metadata.resource_version.as_deref().unwrap()
    )
}

/// Creates events, and repeats every fifth, as a recorder does.
async fn commit(
    events: &Api<Event>,
    namespace: &str,
    names: std::ops::Range<usize>,
    committed: &mut Committed,
) {
    let versions = futures::stream::iter(names).map(|at| async move {
        let name = format!("event-{at:04}");
        let created = events
            .create(&PostParams::default(), &event(namespace, &name, "Back-off"))
            .await
            .unwrap();
        let mut versions = vec![(id(&created), 1)];
        if at % 5 == 0 {
            let repeated =
                Patch::Merge(serde_json::json!({"count": 2, "message": "Back-off again"}));
            let patched = events
                .patch(&name, &PatchParams::default(), &repeated)
                .await
                .unwrap();
            versions.push((id(&patched), 2));
        }
        versions
    });
    let versions: Vec<_> = versions.buffer_unordered(16).collect().await;
    committed.extend(versions.into_iter().flatten());
}

fn config(namespace: &str, url: &str, more: &str) -> String {
    format!(
        "namespace: {namespace}
clusterName: test
route: {{match: [{{receiver: opensearch}}]}}
receivers:
- name: opensearch
  batch: {{maxDelay: 100ms}}
  retry: {{initial: 100ms, max: 1s}}
  opensearch: {{hosts: {url}, index: {namespace}{more}}}
"
    )
}

#[tokio::test]
async fn two_thousand_events_arrive_once_each_though_opensearch_was_away() {
    let cluster = Cluster::shared();
    let opensearch = OpenSearch::start("test-outage", &[], &[]);
    let namespace = "two-thousand";
    let events = cluster.namespace(namespace).await;
    let mut committed = Committed::new();
    // Some are there before the exporter is.
    commit(&events, namespace, 0..200, &mut committed).await;
    // A first list has the last version of each.
    let listed: Committed = {
        let last = events.list(&ListParams::default()).await.unwrap();
        last.items
            .iter()
            .map(|event| (id(event), event.count.unwrap()))
            .collect()
    };
    let exporter =
        Exporter::start(&cluster.kubeconfig, &config(namespace, &opensearch.url, "")).await;
    let mut committed = listed;
    commit(&events, namespace, 200..900, &mut committed).await;
    opensearch.control("kill");
    commit(&events, namespace, 900..1400, &mut committed).await;
    eventually("the outage shows", async || {
        exporter
            .metric("event_exporter_events_retried_total{receiver=\"opensearch\"}")
            .await
            > 0.0
    })
    .await;
    opensearch.control("start");
    commit(&events, namespace, 1400..2000, &mut committed).await;

    eventually("every version is indexed", async || {
        opensearch.count(namespace).await >= committed.len() as u64
    })
    .await;
    let documents = opensearch.documents(namespace).await;
    let counts: Committed = documents
        .iter()
        .map(|(id, document)| {
            (
                id.clone(),
                document["count"].as_i64().unwrap().try_into().unwrap(),
            )
        })
        .collect();
    assert_eq!(counts, committed, "every version, and nothing else");
    let one = documents.values().next().unwrap();
    assert_eq!(one["clusterName"], "test");
    assert!(one["@timestamp"].is_string() && one["metadata"]["managedFields"].is_null());

    let delivered = exporter
        .metric("event_exporter_events_delivered_total{receiver=\"opensearch\"}")
        .await;
    assert!(
        (delivered - committed.len() as f64).abs() < 0.5,
        "{delivered}"
    );
    let outages = exporter
        .log()
        .lines()
        .filter(|line| line.contains("events were not taken"))
        .count();
    assert!(
        (1..=6).contains(&outages),
        "an outage is told once a cause, not once an attempt: {}",
        exporter.log()
    );
    exporter.signal("-TERM");
    let (code, log) = exporter.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"drained\""), "{log}");
}

#[tokio::test]
async fn with_use_event_id_there_is_one_document_an_event_with_its_latest_state() {
    let (cluster, opensearch) = (Cluster::shared(), OpenSearch::shared());
    let namespace = "latest-state";
    let events = cluster.namespace(namespace).await;
    let exporter = Exporter::start(
        &cluster.kubeconfig,
        &config(namespace, &opensearch.url, ", useEventID: true"),
    )
    .await;
    let mut committed = Committed::new();
    commit(&events, namespace, 0..100, &mut committed).await;
    let delivered = "event_exporter_events_delivered_total{receiver=\"opensearch\"}";
    eventually("every version is taken", async || {
        exporter.metric(delivered).await >= 120.0
    })
    .await;
    let documents = opensearch.documents(namespace).await;
    assert_eq!(documents.len(), 100);
    let repeated = documents.values().filter(|document| document["count"] == 2);
    assert_eq!(repeated.count(), 20);
    // A second start reads the same events again: older or equal versions are refused, which is success.
    drop(exporter);
    let again = Exporter::start(
        &cluster.kubeconfig,
        &config(namespace, &opensearch.url, ", useEventID: true"),
    )
    .await;
    eventually("every event is taken again", async || {
        again.metric(delivered).await >= 100.0
    })
    .await;
    assert_eq!(opensearch.documents(namespace).await, documents);
    let duplicates = again
        .metric("event_exporter_events_duplicate_total{receiver=\"opensearch\"}")
        .await;
    assert!((duplicates - 100.0).abs() < 0.5, "{duplicates}");
}

#[tokio::test]
async fn fault_12_nothing_is_missed_while_the_api_server_is_away() {
    let cluster = Cluster::start("test-restart", &[]);
    let opensearch = OpenSearch::shared();
    let namespace = "api-restart";
    let events = cluster.namespace(namespace).await;
    let mut committed = Committed::new();
    let exporter =
        Exporter::start(&cluster.kubeconfig, &config(namespace, &opensearch.url, "")).await;
    commit(&events, namespace, 0..50, &mut committed).await;
    cluster.control("kill", "kube-apiserver");
    eventually("the exporter notices", async || {
        exporter.log().contains("the watch failed")
    })
    .await;
    cluster.control("start", "kube-apiserver");
    let events = Api::namespaced(cluster.client().await, namespace);
    commit(&events, namespace, 50..100, &mut committed).await;
    eventually("every version is indexed", async || {
        opensearch.count(namespace).await >= committed.len() as u64
    })
    .await;
    assert_eq!(
        opensearch
            .documents(namespace)
            .await
            .into_keys()
            .collect::<Vec<_>>(),
        committed.into_keys().collect::<Vec<_>>()
    );
    let lists = exporter
        .metric("event_exporter_watch_lists_total{reason=\"first_start\"}")
        .await;
    assert!(
        (lists - 1.0).abs() < 0.5,
        "resumed, not listed anew: {lists}"
    );
    assert!(
        exporter.log().contains("the API server is back"),
        "{}",
        exporter.log()
    );
}

#[tokio::test]
async fn it_starts_before_the_api_server_does() {
    let cluster = Cluster::start("test-late", &[]);
    let namespace = "late";
    let events = cluster.namespace(namespace).await;
    cluster.control("stop", "kube-apiserver");
    let exporter = Exporter::spawn(
        &cluster.kubeconfig,
        "route: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]",
    );
    eventually("it answers", async || {
        exporter.get("/livez").await.is_some()
    })
    .await;
    let (code, text) = exporter.get("/readyz?verbose").await.unwrap();
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("have not been listed yet"), "{text}");
    cluster.control("start", "kube-apiserver");
    let mut committed = Committed::new();
    commit(&events, namespace, 0..1, &mut committed).await;
    eventually("the event is printed", async || {
        exporter.stdout().contains("event-0000")
    })
    .await;
    assert_eq!(
        exporter.get("/readyz").await.unwrap(),
        (200, "OK".to_owned())
    );
}

#[tokio::test]
async fn fault_14_a_version_that_has_been_compacted_away_is_recovered() {
    // Compacted every five seconds, rather than five minutes.
    let cluster = Cluster::start(
        "test-compaction",
        &[("APISERVER_ARGS", "--etcd-compaction-interval=5s")],
    );
    let opensearch = OpenSearch::shared();
    let namespace = "compaction";
    let events = cluster.namespace(namespace).await;
    let mut committed = Committed::new();
    let exporter =
        Exporter::start(&cluster.kubeconfig, &config(namespace, &opensearch.url, "")).await;
    commit(&events, namespace, 1..3, &mut committed).await;
    eventually("both are indexed", async || {
        opensearch.count(namespace).await == 2
    })
    .await;
    // The exporter sleeps, its watch is cut, and the server forgets the version that it would go on from.
    exporter.signal("-STOP");
    commit(&events, namespace, 6..9, &mut committed).await;
    cluster.control("kill", "kube-apiserver");
    cluster.control("start", "kube-apiserver");
    let events: Api<Event> = Api::namespaced(cluster.client().await, namespace);
    let mut more = 11;
    let old = kube::api::WatchParams::default().timeout(1);
    eventually("the version is compacted away", async || {
        more += 1;
        commit(&events, namespace, more * 5 + 1..more * 5 + 2, &mut committed).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let mut watch = std::pin::pin!(events.watch(&old, "2").await.unwrap());
        matches!(watch.next().await, Some(Ok(kube::api::WatchEvent::Error(status))) if status.code == 410)
            && more > 24
    })
    .await;
    exporter.signal("-CONT");
    eventually("every event is indexed", async || {
        opensearch.count(namespace).await >= committed.len() as u64
    })
    .await;
    assert_eq!(
        opensearch
            .documents(namespace)
            .await
            .into_keys()
            .collect::<Vec<_>>(),
        committed.into_keys().collect::<Vec<_>>()
    );
    let relists = exporter
        .metric("event_exporter_watch_lists_total{reason=\"expired\"}")
        .await;
    assert!(relists >= 1.0, "{}", exporter.log());
}

#[tokio::test]
async fn fault_03_one_slow_receiver_does_not_hold_up_another() {
    let (cluster, opensearch) = (Cluster::shared(), OpenSearch::shared());
    let namespace = "slow-receiver";
    let events = cluster.namespace(namespace).await;
    // Nobody answers behind this port.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "namespace: {namespace}
route: {{match: [{{receiver: silent}}, {{receiver: full}}, {{receiver: opensearch}}]}}
receivers:
- {{name: silent, webhook: {{endpoint: \"http://{0}\"}}}}
- {{name: full, onFull: drop, queue: {{maxBytes: 8KiB}}, webhook: {{endpoint: \"http://{0}\"}}}}
- {{name: opensearch, batch: {{maxDelay: 100ms}}, opensearch: {{hosts: {1}, index: {namespace}}}}}
",
        silent.local_addr().unwrap(),
        opensearch.url
    );
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    let mut committed = Committed::new();
    commit(&events, namespace, 0..100, &mut committed).await;
    eventually("every version is indexed", async || {
        opensearch.count(namespace).await >= committed.len() as u64
    })
    .await;
    let dropped = exporter
        .metric("event_exporter_events_dropped_total{cause=\"queue_full\",receiver=\"full\"}")
        .await;
    assert!(dropped > 0.0);
    let waiting = exporter
        .metric("event_exporter_queue_events{receiver=\"silent\"}")
        .await
        + exporter
            .metric("event_exporter_events_in_flight{receiver=\"silent\"}")
            .await;
    assert!((waiting - committed.len() as f64).abs() < 0.5, "{waiting}");
}

#[tokio::test]
async fn fault_23_a_full_queue_closes_the_watch_and_nothing_is_lost() {
    let cluster = Cluster::shared();
    let opensearch = OpenSearch::start("test-full", &[], &[]);
    let namespace = "full-queue";
    let events = cluster.namespace(namespace).await;
    let config = config(namespace, &opensearch.url, "")
        .replace("  batch:", "  queue: {maxBytes: 16KiB}\n  batch:");
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    opensearch.control("kill");
    let mut committed = Committed::new();
    let message = "x".repeat(200_000);
    for at in 0..30 {
        let created = events
            .create(
                &PostParams::default(),
                &event(namespace, &format!("heavy-{at}"), &message),
            )
            .await
            .unwrap();
        committed.insert(id(&created), 1);
    }
    let closed = "event_exporter_watch_restarts_total{cause=\"queue_full\"}";
    eventually("the watch is closed", async || {
        exporter.metric(closed).await > 0.0
    })
    .await;
    let (code, text) = exporter.get("/readyz").await.unwrap();
    assert_eq!(
        code, 200,
        "a sink that is away makes nothing unready: {text}"
    );
    opensearch.control("start");
    eventually("every event is indexed", async || {
        opensearch.count(namespace).await >= 30
    })
    .await;
    assert_eq!(
        opensearch
            .documents(namespace)
            .await
            .into_keys()
            .collect::<Vec<_>>(),
        committed.into_keys().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_first_list_that_finds_no_room_waits_and_is_not_begun_again_and_again() {
    let cluster = Cluster::shared();
    let opensearch = OpenSearch::start("test-first-list", &[], &[]);
    let namespace = "first-list";
    let events = cluster.namespace(namespace).await;
    let message = "x".repeat(200_000);
    let mut committed = Committed::new();
    for at in 0..30 {
        let heavy = event(namespace, &format!("heavy-{at}"), &message);
        let created = events.create(&PostParams::default(), &heavy).await.unwrap();
        committed.insert(id(&created), 1);
    }
    opensearch.control("kill");
    let config = config(namespace, &opensearch.url, "")
        .replace("  batch:", "  queue: {maxBytes: 16KiB}\n  batch:");
    // It becomes ready, although the list can't be completed: that does not depend on sinks.
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    opensearch.control("start");
    eventually("every event is indexed", async || {
        opensearch.count(namespace).await >= 30
    })
    .await;
    let documents = opensearch.documents(namespace).await;
    assert!(documents.keys().eq(committed.keys()));
    eventually("the list is complete", async || {
        exporter
            .get("/readyz")
            .await
            .is_some_and(|(code, _)| code == 200)
    })
    .await;
    let lists = exporter
        .metric("event_exporter_watch_lists_total{reason=\"first_start\"}")
        .await;
    // One that is cut off, one by pages, and that of the catch-up: the server takes longer to start than a receiver is waited
    // for.
    assert!(lists < 3.5, "{lists} lists");
}
