//! Lookups of involved objects on a real API server, and through one that answers late.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Event, Node};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::support::{Cluster, Exporter, event, eventually};

/// Between an exporter and the API server: notes what is asked for, and lets answers to lookups wait.
struct Proxy {
    kubeconfig: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    delay: Arc<Mutex<Duration>>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    async fn start(cluster: &Cluster) -> Self {
        let client = cluster.client().await;
        let (asked, delay) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<Mutex<Duration>>::default(),
        );
        let (noted, slow) = (Arc::clone(&asked), Arc::clone(&delay));
        let pass_on = move |request: axum::extract::Request| {
            let (client, noted, slow) = (client.clone(), Arc::clone(&noted), Arc::clone(&slow));
            async move {
                let path = request.uri().path_and_query().unwrap().to_string();
                let delay = *slow.lock().unwrap();
                noted.lock().unwrap().push(path.clone());
                if is_lookup(&path) {
                    tokio::time::sleep(delay).await;
                }
                let mut passed = http::Request::get(path);
                *passed.headers_mut().unwrap() = request.headers().clone();
                passed.headers_mut().unwrap().remove("host");
                let passed = passed.body(kube::client::Body::empty()).unwrap();
                client
                    .send(passed)
                    .await
                    .unwrap()
                    .map(axum::body::Body::new)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(pass_on);
        tokio::spawn(async { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": url}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}]
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        Self {
            kubeconfig,
            asked,
            delay,
            _folder: folder,
        }
    }

    fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    fn lookups(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|path| is_lookup(path))
            .cloned()
            .collect()
    }
}

/// Whether it is something that the watch alone does not ask for.
fn is_lookup(path: &str) -> bool {
    !path.contains("/events?") && !path.starts_with("/version")
}

/// The exporter of one namespace, with this configuration after that.
fn config(namespace: &str, rest: &str) -> String {
    format!("namespace: {namespace}\n{rest}")
}

const ALL: &str = "route: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]\n";

async fn config_map(client: &Client, namespace: &str, name: &str, metadata: Value) -> ConfigMap {
    let mut object = json!({"metadata": {"name": name}});
    object["metadata"]
        .as_object_mut()
        .unwrap()
        .extend(metadata.as_object().cloned().unwrap_or_default());
    Api::namespaced(client.clone(), namespace)
        .create(
            &PostParams::default(),
            &serde_json::from_value(object).unwrap(),
        )
        .await
        .unwrap()
}

/// An event about an object.
async fn commit(events: &Api<Event>, name: &str, object: Value) {
    let mut event = event(object["namespace"].as_str().unwrap_or("default"), name, "x");
    event.involved_object = serde_json::from_value(object).unwrap();
    events.create(&PostParams::default(), &event).await.unwrap();
}

fn about(object: &ConfigMap) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "namespace": object.namespace(),
        "name": object.name_any(), "uid": object.uid()
    })
}

/// What the exporter has written about the object of an event, once it has.
async fn written(exporter: &Exporter, event: &str) -> Value {
    let mut object = Value::Null;
    eventually(&format!("{event} is written"), async || {
        let text = exporter.stdout();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines
            .into_iter()
            .find(|document| document["metadata"]["name"] == event);
        object = line.map_or(Value::Null, |mut line| line["involvedObject"].take());
        !object.is_null()
    })
    .await;
    object
}

fn lookups(result: &str) -> String {
    format!("event_exporter_lookups_total{{result=\"{result}\"}}")
}

#[tokio::test]
async fn documents_have_what_only_the_object_knows() {
    let cluster = Cluster::shared();
    let namespace = "lookup-documents";
    let events = cluster.namespace(namespace).await;
    let client = cluster.client().await;
    let metadata = json!({
        "labels": {"app.kubernetes.io/name": "web"},
        "annotations": {"team": "shop", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u1", "controller": true}]
    });
    let object = config_map(&client, namespace, "web", metadata.clone()).await;
    let exporter = Exporter::start(&cluster.kubeconfig, &config(namespace, ALL)).await;
    commit(&events, "first", about(&object)).await;
    let found = written(&exporter, "first").await;
    assert_eq!(found["labels"], metadata["labels"]);
    assert_eq!(found["annotations"], metadata["annotations"]);
    assert_eq!(found["ownerReferences"], metadata["ownerReferences"]);
    assert_eq!(
        (&found["deleted"], &found["uid"]),
        (&json!(false), &json!(object.uid()))
    );
    // The second needs no request.
    let requests = "event_exporter_kube_api_requests_total{code=\"200\",verb=\"get\"}";
    let before = exporter.metric(requests).await;
    commit(&events, "second", about(&object)).await;
    assert_eq!(written(&exporter, "second").await, found);
    assert!((exporter.metric(requests).await - before).abs() < 0.5);
    assert!((exporter.metric(&lookups("found")).await - 2.0).abs() < 0.5);
    let hits = "event_exporter_lookup_cache_total{outcome=\"hit\"}";
    assert!((exporter.metric(hits).await - 1.0).abs() < 0.5);
}

#[tokio::test]
async fn the_kubelets_events_about_its_node_find_the_node() {
    let cluster = Cluster::shared();
    let client = cluster.client().await;
    let node: Node = serde_json::from_value(
        json!({"metadata": {"name": "lookup-node", "labels": {"zone": "a"}}}),
    )
    .unwrap();
    let nodes = Api::<Node>::all(client.clone());
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let exporter = Exporter::start(&cluster.kubeconfig, &config("default", ALL)).await;
    let events = Api::<Event>::namespaced(client, "default");
    // Without apiVersion, and with its name for a uid.
    let reference = json!({"kind": "Node", "name": "lookup-node", "uid": "lookup-node"});
    commit(&events, "lookup-node-event", reference).await;
    let found = written(&exporter, "lookup-node-event").await;
    assert_eq!(
        (&found["labels"]["zone"], &found["deleted"]),
        (&json!("a"), &json!(false))
    );
}

#[tokio::test]
async fn an_object_that_is_gone_is_deleted_and_its_successor_lends_no_labels() {
    let cluster = Cluster::shared();
    let namespace = "lookup-deleted";
    let events = cluster.namespace(namespace).await;
    let client = cluster.client().await;
    let labels = json!({"labels": {"app": "web"}});
    let gone = config_map(&client, namespace, "gone", labels.clone()).await;
    let old = config_map(&client, namespace, "again", labels.clone()).await;
    let objects = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    for name in ["gone", "again"] {
        objects
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }
    let new = config_map(&client, namespace, "again", labels.clone()).await;
    let exporter = Exporter::start(&cluster.kubeconfig, &config(namespace, ALL)).await;
    for (name, object, deleted) in [
        ("of-gone", &gone, true),
        ("of-old", &old, true),
        ("of-new", &new, false),
    ] {
        commit(&events, name, about(object)).await;
        let found = written(&exporter, name).await;
        assert_eq!(found["deleted"], deleted, "{name}");
        assert_eq!(found["labels"].is_null(), deleted, "{name}");
    }
    assert!((exporter.metric(&lookups("gone")).await - 2.0).abs() < 0.5);
}

#[tokio::test]
async fn a_kind_that_is_installed_while_the_exporter_runs_is_found() {
    let cluster = Cluster::shared();
    let namespace = "lookup-crd";
    let events = cluster.namespace(namespace).await;
    let client = cluster.client().await;
    let exporter = Exporter::start(&cluster.kubeconfig, &config(namespace, ALL)).await;
    let widget = |name: &str| json!({"apiVersion": "lookup.example.org/v1", "kind": "Widget", "namespace": namespace, "name": name});
    commit(&events, "before", widget("one")).await;
    let before = written(&exporter, "before").await;
    assert!(before["labels"].is_null() && before["deleted"] == false);
    assert!((exporter.metric(&lookups("unknown_kind")).await - 1.0).abs() < 0.5);

    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "widgets.lookup.example.org"},
        "spec": {
            "group": "lookup.example.org", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]
        }
    }))
    .unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &definition)
        .await
        .unwrap();
    let kind = GroupVersionKind::gvk("lookup.example.org", "v1", "Widget");
    let resource = ApiResource::from_gvk_with_plural(&kind, "widgets");
    let widgets: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let mut one = DynamicObject::new("one", &resource);
    one.labels_mut().insert("app".to_owned(), "web".to_owned());
    eventually("the kind is served", async || {
        widgets.create(&PostParams::default(), &one).await.is_ok()
    })
    .await;
    let mut at = 0;
    eventually("an event has the widget's labels", async || {
        at += 1;
        let name = format!("after-{at}");
        commit(&events, &name, widget("one")).await;
        written(&exporter, &name).await["labels"] == json!({"app": "web"})
    })
    .await;
}

#[tokio::test]
async fn a_forbidden_kind_is_told_once_and_costs_no_event() {
    let cluster = Cluster::shared();
    let namespace = "lookup-forbidden";
    let events = cluster.namespace(namespace).await;
    let client = cluster.client().await;
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": namespace},
        "rules": [
            {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
        ]
    }))
    .unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "lookup-exporter"}]
    }))
    .unwrap();
    let new = PostParams::default();
    Api::all(client.clone()).create(&new, &role).await.unwrap();
    Api::all(client.clone())
        .create(&new, &binding)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = cluster.kubeconfig_of("lookup-exporter", folder.path());
    let exporter = Exporter::start(&path, &config(namespace, ALL)).await;
    for at in 0..5 {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": format!("web-{at}")});
        commit(&events, &format!("pod-{at}"), pod).await;
        let found = written(&exporter, &format!("pod-{at}")).await;
        assert!(found["labels"].is_null() && found["deleted"] == false);
    }
    let allowed = config_map(&client, namespace, "web", json!({"labels": {"app": "web"}})).await;
    commit(&events, "allowed", about(&allowed)).await;
    assert_eq!(written(&exporter, "allowed").await["labels"]["app"], "web");
    let log = exporter.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("may not be looked up"))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    let missing = r#"{apiGroups: [\"\"], resources: [\"pods\"], verbs: [\"get\"]}"#;
    assert!(told[0].contains(missing), "{}", told[0]);
    assert!((exporter.metric(&lookups("forbidden")).await - 5.0).abs() < 0.5);
    let refused = "event_exporter_kube_api_requests_total{code=\"403\",verb=\"get\"}";
    assert!(
        (exporter.metric(refused).await - 1.0).abs() < 0.5,
        "remembered"
    );
}

#[tokio::test]
async fn nothing_is_asked_for_that_nobody_needs() {
    let cluster = Cluster::shared();
    let namespace = "lookup-omitted";
    let events = cluster.namespace(namespace).await;
    let client = cluster.client().await;
    let object = config_map(&client, namespace, "web", json!({"labels": {"app": "web"}})).await;
    commit(&events, "first", about(&object)).await;
    let written_as = |stdout: &str| ALL.replace("stdout: {}", &format!("stdout: {{{stdout}}}"));
    for (config_file, expected) in [
        (format!("omitLookup: true\n{ALL}"), false),
        (written_as("format: text"), false),
        (written_as("layout: {a: \"{{ .InvolvedObject.Name }}\"}"), false),
        (
            "route: {match: [{kind: Pod, labels: {a: b}, receiver: out}, {receiver: out}]}\nreceivers: [{name: out, stdout: {format: text}}]\n".to_owned(),
            false,
        ),
        // And each of these is what makes the difference.
        (ALL.to_owned(), true),
        (written_as("layout: {a: \"{{ .InvolvedObject.Labels.app }}\"}"), true),
    ] {
        let proxy = Proxy::start(cluster).await;
        let exporter = Exporter::start(&proxy.kubeconfig, &config(namespace, &config_file)).await;
        eventually("the event is written", async || {
            exporter.stdout().contains("web")
        })
        .await;
        assert_eq!(!proxy.lookups().is_empty(), expected, "{config_file}: {:?}", proxy.lookups());
    }
}

#[tokio::test]
async fn rules_on_labels_and_annotations_route() {
    let cluster = Cluster::shared();
    let namespace = "lookup-rules";
    let events = cluster.namespace(namespace).await;
    let client = cluster.client().await;
    let rules = "
route:
  routes:
  - match: [{labels: {app: ^web$}, receiver: web}]
  - drop: [{not: {annotations: {team: shop}}}]
    match: [{receiver: shop}]
receivers:
- {name: web, stdout: {layout: {receiver: web, name: \"{{ .Name }}\"}}}
- {name: shop, stdout: {layout: {receiver: shop, name: \"{{ .Name }}\"}}}
";
    let exporter = Exporter::start(&cluster.kubeconfig, &config(namespace, rules)).await;
    for (name, metadata) in [
        ("web", json!({"labels": {"app": "web"}})),
        ("api", json!({"labels": {"app": "api"}})),
        ("shop", json!({"annotations": {"team": "shop"}})),
        (
            "both",
            json!({"labels": {"app": "web"}, "annotations": {"team": "shop"}}),
        ),
    ] {
        let object = config_map(&client, namespace, name, metadata).await;
        commit(&events, &format!("of-{name}"), about(&object)).await;
    }
    let lines = || {
        let text = exporter.stdout();
        let mut lines: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        lines.sort_by_key(ToString::to_string);
        lines
    };
    eventually("four are written and one is not", async || {
        let unwanted = "event_exporter_events_filtered_total{cause=\"drop_rule\"}";
        exporter.metric(unwanted).await > 0.5 && lines().len() >= 4
    })
    .await;
    let line = |name: &str, receiver: &str| json!({"name": name, "receiver": receiver});
    let expected = [
        line("of-both", "shop"),
        line("of-both", "web"),
        line("of-shop", "shop"),
        line("of-web", "web"),
    ];
    assert_eq!(lines(), expected);
}

#[tokio::test]
async fn an_api_server_that_answers_lookups_late_costs_labels_and_no_event() {
    let cluster = Cluster::shared();
    let namespace = "lookup-slow";
    let events = cluster.namespace(namespace).await;
    let client = cluster.client().await;
    let object = config_map(&client, namespace, "web", json!({"labels": {"app": "web"}})).await;
    let proxy = Proxy::start(cluster).await;
    let exporter = Exporter::start(&proxy.kubeconfig, &config(namespace, ALL)).await;
    commit(&events, "fast", about(&object)).await;
    assert_eq!(written(&exporter, "fast").await["labels"]["app"], "web");

    proxy.delay(Duration::from_secs(30));
    for at in 0..300 {
        let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": format!("other-{at}")});
        commit(&events, &format!("slow-{at}"), other).await;
    }
    let delivered = "event_exporter_events_delivered_total{receiver=\"out\"}";
    let committed = tokio::time::Instant::now();
    eventually("every event is written", async || {
        exporter.metric(delivered).await >= 301.0
    })
    .await;
    assert!(
        committed.elapsed() < Duration::from_secs(3),
        "{:?}",
        committed.elapsed()
    );
    let names: std::collections::BTreeSet<String> = exporter
        .stdout()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["metadata"]["name"].to_string())
        .collect();
    assert_eq!(names.len(), 301, "each of them");
    assert!(exporter.metric(&lookups("late")).await >= 3.0);
    assert!(exporter.metric(&lookups("paused")).await >= 1.0);
    let asked = proxy.lookups().len();
    assert!(asked < 120, "it is let be: {asked}");
    assert!(exporter.log().contains("lookups of involved objects fail"));

    proxy.delay(Duration::ZERO);
    let again = config_map(
        &client,
        namespace,
        "again",
        json!({"labels": {"app": "again"}}),
    )
    .await;
    let mut at = 0;
    eventually("events have labels again", async || {
        at += 1;
        let name = format!("again-{at}");
        commit(&events, &name, about(&again)).await;
        written(&exporter, &name).await["labels"]["app"] == "again"
    })
    .await;
    assert!(exporter.log().contains("looked up again"));
}
