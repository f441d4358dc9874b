//! What the machine and its network can do to the program.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::delivery::{commit, indexed, once, written};
use crate::support::{Cluster, Exporter, OpenSearch, eventually};

#[tokio::test]
async fn fault_41_without_file_descriptors_it_waits_until_there_are_some() {
    let (cluster, opensearch) = (Cluster::shared(), OpenSearch::shared());
    let namespace = "descriptors";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out/events.jsonl");
    let config = format!(
        "namespace: {namespace}
checkpoint: {{file: {1}/checkpoint.json}}
route: {{match: [{{receiver: opensearch}}, {{receiver: file}}]}}
receivers:
- name: opensearch
  batch: {{maxDelay: 100ms}}
  retry: {{initial: 100ms, max: 1s}}
  opensearch: {{hosts: {0}, index: {namespace}}}
- name: file
  batch: {{maxDelay: 100ms}}
  retry: {{initial: 100ms, max: 1s}}
  file: {{path: {2}}}
",
        opensearch.url,
        folder.path().display(),
        file.display(),
    );
    let few = ["sh", "-c", "ulimit -n 32; exec \"$@\"", "sh"];
    let exporter = Exporter::spawn_by(&few, &cluster.kubeconfig, &config);
    let exporter = exporter.ready().await;
    let address = exporter.metrics_url.trim_start_matches("http://");
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let spent = "Too many open files";
    eventually("all descriptors are in use", async || {
        exporter.log().contains(spent)
    })
    .await;
    let committed = commit(&events, namespace, 0..50).await;
    eventually("the receivers notice", async || {
        let failures = |receiver: &str| {
            let log = exporter.log();
            let mut lines = log.lines();
            lines.any(|line| line.contains(receiver) && line.contains(spent))
        };
        failures("\"opensearch\"") && failures("\"file\"")
    })
    .await;
    drop(idle);
    eventually("all is delivered, once", async || {
        indexed(opensearch, namespace).await == committed && written(&file) == once(&committed)
    })
    .await;
    let (code, log) = {
        exporter.signal("-TERM");
        exporter.ended().await
    };
    assert_eq!(code, Some(0), "{log}");
}

/// A server of webhooks, and the ids that it was sent.
struct Sink {
    ids: Arc<Mutex<BTreeSet<String>>>,
    serving: JoinSet<std::io::Result<()>>,
}

impl Sink {
    fn serve(listener: TcpListener) -> Self {
        let ids = Arc::<Mutex<BTreeSet<String>>>::default();
        let app = axum::Router::new()
            .fallback(async |State(ids): State<Arc<Mutex<_>>>, body: String| {
                let document: serde_json::Value = serde_json::from_str(&body).unwrap();
                let metadata = &document["metadata"];
                let text = |key: &str| metadata[key].as_str().unwrap().to_owned();
                let mut ids: std::sync::MutexGuard<'_, BTreeSet<String>> = ids.lock().unwrap();
                ids.insert(format!("{}-{}", text("uid"), text("resourceVersion")));
            })
            .with_state(Arc::clone(&ids));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await });
        Self { ids, serving }
    }

    fn ids(&self) -> BTreeSet<String> {
        self.ids.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn fault_40_a_name_is_looked_up_again_when_its_address_does_not_answer() {
    let cluster = Cluster::shared();
    let namespace = "names";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.2 sink.test\n").unwrap();
    let first = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    let mut first = Sink::serve(first);
    let config = format!(
        "namespace: {namespace}
route: {{match: [{{receiver: sink}}]}}
receivers:
- name: sink
  retry: {{initial: 100ms, max: 1s}}
  webhook: {{endpoint: 'http://sink.test:{port}/'}}
"
    );
    // Its own list of names, which nobody else on the machine sees.
    let mount = format!("mount --bind {} /etc/hosts; exec \"$@\"", hosts.display());
    let with_names = ["unshare", "-m", "sh", "-ec", &mount, "sh"];
    let exporter = Exporter::spawn_by(&with_names, &cluster.kubeconfig, &config);
    let exporter = exporter.ready().await;
    let before = commit(&events, namespace, 0..10).await;
    eventually("the first has all", async || first.ids() == before).await;

    first.serving.shutdown().await;
    let after = commit(&events, namespace, 10..20).await;
    eventually("it does not answer", async || {
        exporter.log().contains("events were not taken")
    })
    .await;
    let second: SocketAddr = ([127, 0, 0, 3], port).into();
    let second = Sink::serve(TcpListener::bind(second).await.unwrap());
    std::fs::write(&hosts, "127.0.0.3 sink.test\n").unwrap();
    eventually("the second has the rest", async || {
        second.ids().is_superset(&after)
    })
    .await;
}
