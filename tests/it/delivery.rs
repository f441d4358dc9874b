//! Nothing lost, nothing twice: receivers that are parked, processes that are killed, checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};

use crate::support::{Cluster, Exporter, OpenSearch, event, eventually};

/// Creates events, and returns the ids of their versions.
pub async fn commit(
    events: &Api<Event>,
    namespace: &str,
    names: std::ops::Range<usize>,
) -> BTreeSet<String> {
    let created = futures::stream::iter(names).map(|at| async move {
        let event = event(namespace, &format!("event-{at:04}"), "Back-off");
        let created = events.create(&PostParams::default(), &event).await.unwrap();
        let metadata = created.metadata;
        format!(
            "{}-{}",
            metadata.uid.unwrap(),
            metadata.resource_version.unwrap()
        )
    });
    created.buffer_unordered(16).collect().await
}

pub async fn indexed(opensearch: &OpenSearch, index: &str) -> BTreeSet<String> {
    opensearch.documents(index).await.into_keys().collect()
}

/// The ids of the versions in a file of documents, each with how often it is there.
pub fn written(path: &Path) -> BTreeMap<String, usize> {
    let mut written = BTreeMap::new();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        let metadata = &document["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap().to_owned();
        *written
            .entry(format!("{}-{}", text("uid"), text("resourceVersion")))
            .or_default() += 1;
    }
    written
}

pub fn once(ids: &BTreeSet<String>) -> BTreeMap<String, usize> {
    ids.iter().map(|id| (id.clone(), 1)).collect()
}

async fn is_parked(exporter: &Exporter, receiver: &str) -> bool {
    let series = format!("event_exporter_receiver_parked{{receiver=\"{receiver}\"}}");
    exporter.metric(&series).await > 0.5
}

async fn expired(exporter: &Exporter, receiver: &str) -> f64 {
    let series = format!("event_exporter_events_expired_total{{receiver=\"{receiver}\"}}");
    exporter.metric(&series).await
}

/// A receiver whose OpenSearch can be away, and one that is always there.
fn two_receivers(namespace: &str, away: &OpenSearch, folder: &Path) -> String {
    format!(
        "namespace: {namespace}
checkpoint: {{file: {1}/checkpoint.json}}
route: {{match: [{{receiver: away}}, {{receiver: here}}]}}
receivers:
- name: away
  queue: {{maxBytes: 16KiB}}
  batch: {{maxDelay: 100ms}}
  retry: {{initial: 100ms, max: 1s}}
  opensearch: {{hosts: {0}, index: {namespace}}}
- name: here
  batch: {{maxDelay: 100ms}}
  file: {{path: {1}/here.jsonl}}
",
        away.url,
        folder.display()
    )
}

#[tokio::test]
async fn fault_01_a_parked_receiver_holds_up_nobody_and_gets_all_that_it_has_missed() {
    let (cluster, opensearch) = (
        Cluster::shared(),
        OpenSearch::start("test-parked", &[], &[]),
    );
    let namespace = "parked";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let config = two_receivers(namespace, &opensearch, folder.path());
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    let mut committed = commit(&events, namespace, 0..50).await;
    eventually("both have them", async || {
        indexed(&opensearch, namespace).await == committed
    })
    .await;

    opensearch.control("kill");
    committed.extend(commit(&events, namespace, 50..400).await);
    let here = folder.path().join("here.jsonl");
    eventually("the other has all of them", async || {
        written(&here) == once(&committed)
    })
    .await;
    eventually("the one that takes no more is parked", async || {
        is_parked(&exporter, "away").await
    })
    .await;
    let shown = exporter.status().await;
    assert_eq!(shown["receivers"][0]["state"], "parked", "{shown}");
    committed.extend(commit(&events, namespace, 400..600).await);

    opensearch.control("start");
    eventually("it is back", async || !is_parked(&exporter, "away").await).await;
    committed.extend(commit(&events, namespace, 600..650).await);
    eventually("it has all of them", async || {
        indexed(&opensearch, namespace).await == committed
    })
    .await;
    eventually("so has the other, once", async || {
        written(&here) == once(&committed)
    })
    .await;
    assert!(expired(&exporter, "away").await < 0.5, "{}", exporter.log());
    let twice = "event_exporter_events_duplicate_total{receiver=\"away\"}";
    let twice = exporter.metric(twice).await;
    assert!(twice < 0.5, "{twice} were sent twice: {}", exporter.log());
}

#[tokio::test]
async fn fault_26_27_a_killed_process_loses_nothing_and_one_that_is_told_to_end_repeats_nothing() {
    let (cluster, opensearch) = (Cluster::shared(), OpenSearch::shared());
    let namespace = "killed";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let config = two_receivers(namespace, opensearch, folder.path());
    let config = config.replace("16KiB", "1MiB");
    let here = folder.path().join("here.jsonl");
    let mut committed = BTreeSet::new();
    let listed = "event_exporter_watch_lists_total{reason=\"first_start\"}";
    for round in 0..4 {
        // Some come while nobody is there.
        committed.extend(commit(&events, namespace, round * 100..round * 100 + 50).await);
        let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
        committed.extend(commit(&events, namespace, round * 100 + 50..round * 100 + 100).await);
        eventually("all are there", async || {
            written(&here).len() >= committed.len()
        })
        .await;
        let lists = exporter.metric(listed).await;
        assert_eq!(
            lists > 0.5,
            round == 0,
            "only the first start has to list: {}",
            exporter.log()
        );
        exporter.signal("-TERM");
        let (code, log) = exporter.ended().await;
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(written(&here), once(&committed), "round {round}");
    }
    for round in 4..7 {
        let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
        committed.extend(commit(&events, namespace, round * 100..round * 100 + 100).await);
        exporter.signal("-KILL");
        exporter.ended().await;
    }
    let _exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    eventually("every version is written", async || {
        written(&here).keys().cloned().collect::<BTreeSet<_>>() == committed
    })
    .await;
    eventually("every version is indexed, and nothing else", async || {
        indexed(opensearch, namespace).await == committed
    })
    .await;
}

#[tokio::test]
async fn fault_16_a_checkpoint_that_is_not_of_this_history_is_not_believed() {
    let cluster = Cluster::shared();
    let namespace = "strange-checkpoint";
    let events = cluster.namespace(namespace).await;
    let committed = commit(&events, namespace, 0..20).await;
    let server = events.list(&ListParams::default().limit(1)).await.unwrap();
    let version: u64 = server.metadata.resource_version.unwrap().parse().unwrap();
    let checkpoint = |cluster: &str, version: u64| {
        format!(r#"{{"v":1,"cluster":"{cluster}","marks":{{"out":{{"{namespace}":{version}}}}}}}"#)
    };
    for (what, kept, told) in [
        (
            "of another cluster",
            checkpoint("another", version),
            "is of another cluster",
        ),
        (
            "from the future",
            checkpoint("", version + 1_000_000),
            "has another history",
        ),
        ("torn", r#"{"v":1,"clus"#.to_owned(), "is none"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (file, out) = (
            folder.path().join("checkpoint.json"),
            folder.path().join("out"),
        );
        std::fs::write(&file, kept).unwrap();
        let config = format!(
            "namespace: {namespace}\ncheckpoint: {{file: {}}}\nroute: {{match: [{{receiver: out}}]}}\nreceivers: [{{name: out, file: {{path: {}}}}}]",
            file.display(),
            out.display()
        );
        let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
        eventually(what, async || written(&out) == once(&committed)).await;
        assert!(exporter.log().contains(told), "{what}: {}", exporter.log());
        exporter.signal("-TERM");
        assert_eq!(exporter.ended().await.0, Some(0));
        let kept = std::fs::read_to_string(&file).unwrap();
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        let mark = kept["marks"]["out"][namespace].as_u64().unwrap();
        assert!(
            (version..version + 1_000_000).contains(&mark),
            "{what}: {kept}"
        );
        assert_eq!(kept["cluster"].as_str().unwrap().len(), 36, "{kept}");
    }
}

#[tokio::test]
async fn fault_37_what_the_api_server_forgets_before_a_parked_receiver_is_back_is_counted() {
    let cluster = Cluster::start(
        "test-expired",
        &[("APISERVER_ARGS", "--etcd-compaction-interval=5s")],
    );
    let opensearch = OpenSearch::start("test-expired", &[], &[]);
    let namespace = "expired";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let config = two_receivers(namespace, &opensearch, folder.path());
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    opensearch.control("kill");
    let mut committed = commit(&events, namespace, 0..200).await;
    eventually("it is parked", async || is_parked(&exporter, "away").await).await;
    // Gone before anybody but the first watch has seen them.
    let gone = commit(&events, namespace, 200..300).await;
    let here = folder.path().join("here.jsonl");
    committed.extend(gone.iter().cloned());
    eventually("the other has them", async || {
        written(&here) == once(&committed)
    })
    .await;
    let version = events.list(&ListParams::default().limit(1)).await.unwrap();
    let version = version.metadata.resource_version.unwrap();
    for at in 200..300 {
        let name = format!("event-{at:04}");
        events
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
    }
    let old = WatchParams::default().timeout(1);
    eventually("the server has forgotten", async || {
        let mut watch = std::pin::pin!(events.watch(&old, &version).await.unwrap());
        matches!(watch.next().await, Some(Ok(WatchEvent::Error(status))) if status.code == 410)
    })
    .await;
    opensearch.control("start");
    eventually("it is back", async || !is_parked(&exporter, "away").await).await;
    committed.extend(commit(&events, namespace, 300..310).await);
    let remembered: BTreeSet<String> = committed.difference(&gone).cloned().collect();
    eventually("it has all that is remembered", async || {
        indexed(&opensearch, namespace).await == remembered
    })
    .await;
    // Once, when the router is past what was read.
    eventually("what is missing is counted", async || {
        exporter.log().contains("had forgotten events")
    })
    .await;
    let expired = expired(&exporter, "away").await;
    assert!(
        (expired - 100.0).abs() < 0.5,
        "{expired}: {}",
        exporter.log()
    );
}

#[tokio::test]
async fn what_a_parked_receiver_has_missed_is_told_at_the_end() {
    let (cluster, opensearch) = (Cluster::shared(), OpenSearch::shared());
    let namespace = "owed";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let config = two_receivers(namespace, opensearch, folder.path());
    let file = folder.path().join("config.yaml");
    let nobody = "http://127.0.0.1:1";
    std::fs::write(&file, config.replace(&opensearch.url, nobody)).unwrap();
    let exporter = Exporter::start_with(&cluster.kubeconfig, &file, &["--grace-period", "1"]).await;
    let committed = commit(&events, namespace, 0..200).await;
    let here = folder.path().join("here.jsonl");
    eventually("the other has them", async || {
        written(&here) == once(&committed)
    })
    .await;
    assert!(is_parked(&exporter, "away").await);
    exporter.signal("-TERM");
    let (_, log) = exporter.ended().await;
    let told = |what: &str| {
        let line = log.lines().find(|line| line.contains(what)).expect(&log);
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["events"].as_u64().expect(&log)
    };
    let held = told("ended with events that were not taken");
    let missed = told("ended before the receiver had what it has missed");
    assert!(held > 0, "{log}");
    assert_eq!(held + missed, 200, "{log}");
}
