//! Rules on the labels of namespaces, on a real API server.

use k8s_openapi::api::core::v1::{Event, Namespace};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::support::{Cluster, Exporter, event, eventually};

/// Events of the namespaces that are called like the test: each is written by one of two receivers.
fn config(test: &str) -> String {
    format!(
        "
omitLookup: true
route:
  drop: [{{not: {{namespace: ^{test}}}}}]
  routes:
  - match: [{{namespaceLabels: {{team: ^payments$}}, receiver: payments}}]
  - drop: [{{namespaceLabels: {{team: ^payments$}}}}]
    match: [{{receiver: rest}}]
receivers:
- {{name: payments, stdout: {{layout: {{receiver: payments, name: \"{{{{ .Name }}}}\"}}}}}}
- {{name: rest, stdout: {{layout: {{receiver: rest, name: \"{{{{ .Name }}}}\"}}}}}}
"
    )
}

async fn label(client: &Client, namespace: &str, team: &str) {
    let labels = json!({"metadata": {"labels": {"team": team}}});
    let namespaces = Api::<Namespace>::all(client.clone());
    let (params, patch) = (PatchParams::default(), Patch::Merge(&labels));
    namespaces.patch(namespace, &params, &patch).await.unwrap();
}

async fn commit(events: &Api<Event>, namespace: &str, name: &str) {
    let event = event(namespace, name, "m");
    events.create(&PostParams::default(), &event).await.unwrap();
}

/// Who gets an event, once it is written.
async fn receiver(exporter: &Exporter, name: &str) -> Value {
    let mut receiver = Value::Null;
    eventually(&format!("{name} is written"), async || {
        let text = exporter.stdout();
        let mut lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["name"] == name);
        receiver = line.map_or(Value::Null, |mut line| line["receiver"].take());
        !receiver.is_null()
    })
    .await;
    receiver
}

fn known(result: &str) -> String {
    format!("event_exporter_namespace_labels_total{{result=\"{result}\"}}")
}

#[tokio::test]
async fn a_namespace_says_whose_its_events_are() {
    let cluster = Cluster::shared();
    let client = cluster.client().await;
    let events = cluster.namespace("nslabels").await;
    label(&client, "nslabels", "payments").await;
    let exporter = Exporter::start(&cluster.kubeconfig, &config("nslabels")).await;
    commit(&events, "nslabels", "labelled").await;
    assert_eq!(receiver(&exporter, "labelled").await, "payments");
    // It is another team's from now on, as the watch of namespaces tells.
    label(&client, "nslabels", "search").await;
    let mut at = 0;
    eventually("the next event is not theirs", async || {
        at += 1;
        let name = format!("relabelled-{at}");
        commit(&events, "nslabels", &name).await;
        receiver(&exporter, &name).await == "rest"
    })
    .await;
    // A namespace that is made when its events already come.
    let namespace: Namespace = serde_json::from_value(
        json!({"metadata": {"name": "nslabels-new", "labels": {"team": "payments"}}}),
    )
    .unwrap();
    let namespaces = Api::all(client.clone());
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let events = Api::namespaced(client.clone(), "nslabels-new");
    commit(&events, "nslabels-new", "new").await;
    assert_eq!(receiver(&exporter, "new").await, "payments");
    assert!(exporter.metric(&known("found")).await >= 3.0);
    for result in ["missing", "late", "forbidden", "failed"] {
        assert!(exporter.metric(&known(result)).await < 0.5, "{result}");
    }
}

/// A user who may see events, and namespaces if `sees_namespaces`.
async fn allow(client: &Client, user: &str, sees_namespaces: bool) {
    let resources: &[&str] = if sees_namespaces {
        &["events", "namespaces"]
    } else {
        &["events"]
    };
    let role: ClusterRole = serde_json::from_value(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user},
        "rules": [{"apiGroups": [""], "resources": resources, "verbs": ["get", "list", "watch"]}]
    }))
    .unwrap();
    let roles = Api::<ClusterRole>::all(client.clone());
    let params = PatchParams::apply("test").force();
    roles
        .patch(user, &params, &Patch::Apply(&role))
        .await
        .unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    }))
    .unwrap();
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    bindings
        .patch(user, &params, &Patch::Apply(&binding))
        .await
        .unwrap();
}

#[tokio::test]
async fn fault_49_where_namespaces_are_forbidden_that_is_told_once_and_costs_no_event() {
    let cluster = Cluster::shared();
    let client = cluster.client().await;
    let events = cluster.namespace("nsforbidden").await;
    label(&client, "nsforbidden", "payments").await;
    allow(&client, "nsforbidden", false).await;
    let mut kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
    let user = kubeconfig.auth_infos[0].auth_info.as_mut().unwrap();
    user.impersonate = Some("nsforbidden".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, serde_json::to_string(&kubeconfig).unwrap()).unwrap();

    let exporter = Exporter::start(&path, &config("nsforbidden")).await;
    for name in ["first", "second"] {
        commit(&events, "nsforbidden", name).await;
        assert_eq!(receiver(&exporter, name).await, "rest");
    }
    assert!(exporter.metric(&known("forbidden")).await > 1.5);
    let told = || {
        let log = exporter.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("namespaces can't be watched"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let missing =
        r#"{apiGroups: [\"\"], resources: [\"namespaces\"], verbs: [\"list\", \"watch\"]}"#;
    assert!(told()[0].contains(missing), "{:?}", told());

    // It is tried again, and found out without a restart.
    allow(&client, "nsforbidden", true).await;
    eventually("labels are known", async || {
        exporter
            .log()
            .contains("the labels of namespaces are known again")
    })
    .await;
    commit(&events, "nsforbidden", "allowed").await;
    assert_eq!(receiver(&exporter, "allowed").await, "payments");
    assert_eq!(told().len(), 1, "{:?}", told());
}

/// What nobody asks for is not watched, and a reload can begin it.
#[tokio::test]
async fn namespaces_are_watched_from_the_first_rule_on() {
    let cluster = Cluster::shared();
    let client = cluster.client().await;
    let events = cluster.namespace("nsreload").await;
    label(&client, "nsreload", "payments").await;
    let with = config("nsreload");
    let without = with.replace("namespaceLabels: {team: ^payments$}", "reason: ^none$");
    let exporter = Exporter::start(&cluster.kubeconfig, &without).await;
    commit(&events, "nsreload", "before").await;
    assert_eq!(receiver(&exporter, "before").await, "rest");
    assert!(exporter.metric(&known("found")).await < 0.5);
    std::fs::write(exporter.config(), with).unwrap();
    let mut at = 0;
    eventually("the rule is in effect", async || {
        at += 1;
        let name = format!("after-{at}");
        commit(&events, "nsreload", &name).await;
        receiver(&exporter, &name).await == "payments"
    })
    .await;
}
