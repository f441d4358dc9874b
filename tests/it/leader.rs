//! Several exporters and one Lease, on a real API server.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};

use crate::delivery::{commit, indexed, once, written};
use crate::support::{Cluster, Exporter, OpenSearch, eventually};

const LEADING: &str = "event_exporter_leader";

fn config(namespace: &str, coordination: &str, opensearch: &str, file: &Path) -> String {
    format!(
        "namespace: {namespace}
{coordination}
route: {{match: [{{receiver: opensearch}}, {{receiver: file}}]}}
receivers:
- name: opensearch
  batch: {{maxDelay: 100ms}}
  opensearch: {{hosts: {opensearch}, index: {namespace}}}
- name: file
  batch: {{maxDelay: 100ms}}
  file: {{path: {}}}
",
        file.display()
    )
}

async fn leads(exporter: &Exporter) -> bool {
    exporter.metric(LEADING).await > 0.5
}

#[tokio::test]
async fn fault_25_32_33_leaders_follow_each_other_and_nothing_is_lost_or_doubled() {
    let (cluster, opensearch) = (Cluster::shared(), OpenSearch::shared());
    let namespace = "leaders";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let election = "leaderElection: {enabled: true, leaderElectionID: leaders}";
    let config = config(namespace, election, &opensearch.url, &file);
    let mut committed = commit(&events, namespace, 0..50).await;
    let first = Exporter::start(&cluster.kubeconfig, &config).await;
    eventually("the first leads", async || leads(&first).await).await;
    // One that stands by is ready, or no rollout would ever be done.
    let second = Exporter::start(&cluster.kubeconfig, &config).await;
    assert!(!leads(&second).await);
    eventually("the second stands by", async || {
        second.log().contains("standing by")
    })
    .await;
    for (exporter, state) in [(&first, "delivering"), (&second, "standby")] {
        let status = exporter.status().await;
        assert_eq!(status["state"], state);
        assert_eq!(status["route"].is_null(), state == "standby", "{status}");
    }
    committed.extend(commit(&events, namespace, 50..100).await);
    eventually("the first delivers", async || {
        written(&file) == once(&committed)
    })
    .await;

    // What the second has started with is not all of what it will find in its file.
    let changed = format!("{config}clusterName: later\n");
    std::fs::write(second.config(), changed).unwrap();
    // It ends in good order: the second takes over at once, from where the first was.
    first.signal("-TERM");
    committed.extend(commit(&events, namespace, 100..150).await);
    let (code, log) = first.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("the lease is given back"), "{log}");
    eventually("the second leads", async || leads(&second).await).await;
    let log = second.log();
    let told = "these settings have changed and take effect at the next start";
    assert!(log.contains(told) && log.contains("clusterName"), "{log}");
    committed.extend(commit(&events, namespace, 150..200).await);
    eventually("all are written, once", async || {
        written(&file) == once(&committed)
    })
    .await;

    // It is killed: a third takes over when the lease is over, and what comes twice is one document.
    let third = Exporter::start(&cluster.kubeconfig, &config).await;
    second.signal("-KILL");
    committed.extend(commit(&events, namespace, 200..250).await);
    second.ended().await;
    eventually("the third leads", async || leads(&third).await).await;
    committed.extend(commit(&events, namespace, 250..300).await);
    eventually("every version is indexed", async || {
        indexed(opensearch, namespace).await == committed
    })
    .await;

    // It sleeps for longer than the lease, as a paused machine does, and comes to when another leads.
    let fourth = Exporter::start(&cluster.kubeconfig, &config).await;
    third.signal("-STOP");
    eventually("the fourth leads", async || leads(&fourth).await).await;
    committed.extend(commit(&events, namespace, 300..350).await);
    third.signal("-CONT");
    eventually("the third stands by again", async || !leads(&third).await).await;
    committed.extend(commit(&events, namespace, 350..400).await);
    eventually("every version is indexed", async || {
        indexed(opensearch, namespace).await == committed
    })
    .await;
    assert!(leads(&fourth).await, "{}", fourth.log());
    drop((third, fourth));
}

#[tokio::test]
async fn the_lease_keeps_the_checkpoint_of_a_single_process() {
    let (cluster, opensearch) = (Cluster::shared(), OpenSearch::shared());
    let namespace = "lease-checkpoint";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let config = config(
        namespace,
        "checkpoint: {lease: single}",
        &opensearch.url,
        &file,
    );
    let mut committed = commit(&events, namespace, 0..20).await;
    for round in 1..4 {
        // Even after the one before was killed it does not wait.
        let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
        committed.extend(commit(&events, namespace, round * 20..round * 20 + 20).await);
        eventually("all are written, once", async || {
            written(&file) == once(&committed)
        })
        .await;
        let leases: Api<Lease> = Api::default_namespaced(cluster.client().await);
        eventually("the checkpoint is kept", async || {
            let lease = leases.get("single").await.unwrap();
            let annotations = lease.metadata.annotations.unwrap_or_default();
            let kept = annotations
                .get("kubernetes-event-exporter/checkpoint")
                .cloned();
            let kept: serde_json::Value =
                serde_json::from_str(&kept.unwrap_or_default()).unwrap_or_default();
            let mark = kept["marks"]["file"][namespace].as_u64().unwrap_or(0);
            let last = committed
                .iter()
                .filter_map(|id| id.rsplit('-').next()?.parse::<u64>().ok())
                .max();
            Some(mark) >= last
        })
        .await;
        let holder = async || {
            leases
                .get("single")
                .await
                .unwrap()
                .spec
                .unwrap()
                .holder_identity
        };
        let before = holder().await;
        for (bad, words) in [
            (
                "file: {path: x, layout: {a: \"{{\"}}",
                "receivers[2].file.layout",
            ),
            ("stdout: {}, buffer: {path: /dev/null/x}", "/dev/null/x"),
        ] {
            let bad = format!("{config}- {{name: bad, {bad}}}\n");
            let (code, log) = Exporter::spawn(&cluster.kubeconfig, &bad).ended().await;
            assert!(code != Some(0) && log.contains(words), "{log}");
            let now = holder().await;
            assert_eq!(now, before, "one that can't run takes it from nobody");
        }
        exporter.signal("-KILL");
        exporter.ended().await;
    }
}

/// Gives a Lease to another, or to nobody.
async fn give(leases: &Api<Lease>, name: &str, holder: Option<&str>) {
    let given = serde_json::json!({"spec": {"holderIdentity": holder}});
    let params = PatchParams::default();
    leases
        .patch(name, &params, &Patch::Merge(given))
        .await
        .unwrap();
}

#[tokio::test]
async fn fault_35_a_leader_whose_turn_comes_again_goes_on_by_what_it_ran_last() {
    let cluster = Cluster::shared();
    let namespace = "leads-again";
    let events = cluster.namespace(namespace).await;
    let leases: Api<Lease> = Api::default_namespaced(cluster.client().await);
    let folder = tempfile::tempdir().unwrap();
    let config = |file: &str, more: &str| {
        format!(
            "namespace: {namespace}
leaderElection: {{enabled: true, leaderElectionID: {namespace}}}
route: {{match: [{{receiver: file}}]}}
receivers:
- {{name: file, batch: {{maxDelay: 100ms}}, file: {{path: {}}}}}
{more}",
            folder.path().join(file).display()
        )
    };
    let exporter = Exporter::start(&cluster.kubeconfig, &config("first", "")).await;
    eventually("it leads", async || leads(&exporter).await).await;
    std::fs::write(exporter.config(), config("second", "")).unwrap();
    eventually("the change is in use", async || {
        exporter.log().contains("was read anew")
    })
    .await;

    let mut committed = BTreeSet::new();
    let no_file =
        "- {name: more, webhook: {endpoint: \"https://a.example\", tls: {caFile: /nowhere}}}\n";
    let mistakes = ["- 7\n", no_file, "- 7\n"];
    for (round, mistake) in (0..).zip(mistakes) {
        std::fs::write(exporter.config(), config("third", mistake)).unwrap();
        eventually("the mistake is told", async || {
            exporter.log().matches("the one before goes on").count() > round * 2
        })
        .await;
        give(&leases, namespace, Some("another")).await;
        eventually("it stands by", async || !leads(&exporter).await).await;
        give(&leases, namespace, None).await;
        eventually("it leads again", async || leads(&exporter).await).await;
        let numbers = round * 10..round * 10 + 10;
        committed.extend(commit(&events, namespace, numbers).await);
        // What it had delivered since the last checkpoint comes again.
        eventually("all are written by what ran last", async || {
            let written = written(&folder.path().join("second"));
            written.into_keys().collect::<BTreeSet<_>>() == committed
        })
        .await;
        eventually("the mistake is told again", async || {
            exporter
                .metric("event_exporter_config_last_reload_successful")
                .await
                < 0.5
                && exporter.log().matches("the one before goes on").count() > round * 2 + 1
        })
        .await;
    }
    assert!(!folder.path().join("third").exists());
    assert!(exporter.status().await["config"]["error"].is_object());
}

#[tokio::test]
async fn a_replica_that_stands_by_tells_of_what_is_in_its_buffer() {
    let cluster = Cluster::shared();
    let namespace = "stands-by";
    let events = cluster.namespace(namespace).await;
    let leases: Api<Lease> = Api::default_namespaced(cluster.client().await);
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "namespace: {namespace}
leaderElection: {{enabled: true, leaderElectionID: {namespace}}}
route: {{match: [{{receiver: away}}]}}
receivers:
- name: away
  buffer: {{path: {}}}
  webhook: {{endpoint: \"http://127.0.0.1:1\"}}
",
        folder.path().join("buffer").display()
    );
    let bytes = "event_exporter_buffer_bytes{receiver=\"away\"}";
    let first = Exporter::start(&cluster.kubeconfig, &config).await;
    commit(&events, namespace, 0..10).await;
    eventually("they are on the disk", async || {
        first.metric(bytes).await > 1000.0
    })
    .await;
    first.signal("-TERM");
    let (code, log) = first.ended().await;
    assert_eq!(code, Some(0), "{log}");

    give(&leases, namespace, Some("another")).await;
    let second = Exporter::start(&cluster.kubeconfig, &config).await;
    eventually("it is told", async || {
        second.log().contains("with events in its buffer")
    })
    .await;
    assert!(second.metric(bytes).await > 1000.0);
    give(&leases, namespace, None).await;
    eventually("it leads, and goes on", async || {
        second.log().contains("events were not taken")
    })
    .await;
}
