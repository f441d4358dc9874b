//! `route --live`: what would become of the events that a cluster has.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{Cluster, EXPORTER, event, text};

/// Runs `route` in a folder with these configurations, where no other cluster is known.
fn route(configs: &[(&str, &str)], args: &[&str], kubeconfig: Option<&Path>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (name, config) in configs {
        std::fs::write(folder.path().join(name), config).unwrap();
    }
    let mut command = Command::new(&*EXPORTER);
    command.arg("route").args(args).arg("-live");
    if let Some(kubeconfig) = kubeconfig {
        command.arg("-kubeconfig").arg(kubeconfig);
    }
    command
        .current_dir(folder.path())
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("HOME", folder.path())
        .output()
        .unwrap()
}

/// An event of that minute, about this object if it is given.
async fn commit(events: &Api<Event>, namespace: &str, name: &str, minute: u32, object: Value) {
    let mut event = event(namespace, name, "m");
    let at = format!("2026-01-01T00:{minute:02}:00Z");
    event.last_timestamp = serde_json::from_value(json!(at)).unwrap();
    if !object.is_null() {
        event.involved_object = serde_json::from_value(object).unwrap();
    }
    events.create(&PostParams::default(), &event).await.unwrap();
}

/// An event about nothing, and a later one about a `ConfigMap` of the payments team.
async fn two_events(cluster: &Cluster, namespace: &str) {
    let events = cluster.namespace(namespace).await;
    let object: ConfigMap = serde_json::from_value(
        json!({"metadata": {"name": "web", "labels": {"team": "payments"}}}),
    )
    .unwrap();
    let objects = Api::namespaced(cluster.client().await, namespace);
    let made: ConfigMap = objects
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    let about = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": "web", "uid": made.metadata.uid
    });
    commit(&events, namespace, "a-first", 1, Value::Null).await;
    commit(&events, namespace, "b-second", 2, about).await;
}

fn by_label(namespace: &str) -> String {
    format!(
        "namespace: {namespace}
route: {{match: [{{labels: {{team: payments}}, receiver: payments}}, {{type: Warning, receiver: all}}]}}
receivers: [{{name: payments, stdout: {{}}}}, {{name: all, stdout: {{}}}}]
"
    )
}

/// What is said of each event, without why.
fn answers(output: &Output) -> Vec<String> {
    let told = text(&output.stdout);
    let answers = told.lines().filter(|line| !line.starts_with(' '));
    answers.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_newest_come_first_with_the_labels_of_their_objects() {
    let cluster = Cluster::shared();
    two_events(cluster, "live").await;
    let config = by_label("live");
    let output = route(&[("c", &config)], &["c"], Some(&cluster.kubeconfig));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        answers(&output),
        ["live/b-second: payments, all", "live/a-first: all"]
    );
    let json = route(
        &[("c", &config)],
        &["c", "-o", "json"],
        Some(&cluster.kubeconfig),
    );
    let lines = text(&json.stdout);
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["receivers"], json!(["payments", "all"]));
}

#[tokio::test]
async fn a_diff_reads_what_either_configuration_watches() {
    let cluster = Cluster::shared();
    for namespace in ["live-diff-a", "live-diff-b"] {
        two_events(cluster, namespace).await;
    }
    let config = |namespaces: &str, rules: &str| {
        format!(
            "namespaces: [{namespaces}]\nroute: {{match: [{rules}]}}\nreceivers: [{{name: out, stdout: {{}}}}]\n"
        )
    };
    let configs = [
        ("old", &*config("live-diff-a", "{receiver: out}")),
        (
            "new",
            &config(
                "live-diff-a, live-diff-b",
                "{labels: {team: payments}, receiver: out}",
            ),
        ),
    ];
    let args = ["--diff", "old", "new", "-o", "json"];
    let output = route(&configs, &args, Some(&cluster.kubeconfig));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        told,
        json!({
            "events": 4, "changed": 2, "unread": 0, "leftOut": 0, "seconds": 60, "settings": ["namespaces"],
            "receivers": {"out": {
                "old": 2, "new": 2, "gained": 1, "lost": 1, "oldPerDay": 2880, "newPerDay": 2880,
                "gainedExamples": ["live-diff-b/b-second: Warning BackOff of ConfigMap web, 1 time"],
                "lostExamples": ["live-diff-a/a-first: Warning BackOff of Pod web-0, 1 time"],
            }}
        })
    );
}

#[tokio::test]
async fn rules_on_labels_of_namespaces_see_those_that_the_cluster_has() {
    let cluster = Cluster::shared();
    let namespace = "live-labels";
    let events = cluster.namespace(namespace).await;
    let labels = json!({"metadata": {"labels": {"team": "payments"}}});
    let namespaces = Api::<Namespace>::all(cluster.client().await);
    namespaces
        .patch(namespace, &PatchParams::default(), &Patch::Merge(labels))
        .await
        .unwrap();
    commit(&events, namespace, "only", 1, Value::Null).await;
    let config = format!(
        "namespace: {namespace}
route: {{match: [{{namespaceLabels: {{team: payments}}, receiver: payments}}]}}
receivers: [{{name: payments, stdout: {{}}}}]
"
    );
    let configs = [
        ("c", &*config),
        ("old", &config.replace("team: payments", "team: none")),
    ];
    let output = route(&configs, &["c"], Some(&cluster.kubeconfig));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(answers(&output), ["live-labels/only: payments"]);
    let diff = route(
        &configs,
        &["--diff", "old", "c", "-o", "json"],
        Some(&cluster.kubeconfig),
    );
    let told: Value = serde_json::from_slice(&diff.stdout).unwrap();
    assert_eq!(told["receivers"]["payments"]["gained"], 1, "{told}");

    let folder = tempfile::tempdir().unwrap();
    may_list_events(cluster, namespace, "live-labels-reader").await;
    let kubeconfig = cluster.kubeconfig_of("live-labels-reader", folder.path());
    let output = route(&configs, &["c"], Some(&kubeconfig));
    assert_eq!(
        text(&output.stderr),
        "warning: the labels of the namespaces of 1 event are not known: rules on `namespaceLabels` do not match there\n"
    );
    assert_eq!(answers(&output), ["live-labels/only: no receiver"]);
}

/// Gives a user the right to list the events of a namespace, and no other.
async fn may_list_events(cluster: &Cluster, namespace: &str, user: &str) {
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["events"], "verbs": ["list"]}]
    }))
    .unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    }))
    .unwrap();
    let (client, new) = (cluster.client().await, PostParams::default());
    let roles = Api::namespaced(client.clone(), namespace);
    roles.create(&new, &role).await.unwrap();
    let bindings = Api::namespaced(client, namespace);
    bindings.create(&new, &binding).await.unwrap();
}

#[tokio::test]
async fn objects_that_may_not_be_read_are_told_of() {
    let cluster = Cluster::shared();
    let namespace = "live-rights";
    two_events(cluster, namespace).await;
    may_list_events(cluster, namespace, "live-reader").await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = cluster.kubeconfig_of("live-reader", folder.path());
    let output = route(&[("c", &by_label(namespace))], &["c"], Some(&kubeconfig));
    assert_eq!(
        text(&output.stderr),
        "warning: the objects of 2 events can't be looked up: rules find no labels and annotations there\n"
    );
    assert_eq!(
        answers(&output),
        ["live-rights/b-second: all", "live-rights/a-first: all"]
    );
}

#[tokio::test]
async fn a_cluster_that_cannot_be_read_costs_one_line() {
    let cluster = Cluster::shared();
    let folder = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{closed}")}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
    });
    let unreachable = folder.path().join("unreachable");
    std::fs::write(&unreachable, nobody.to_string()).unwrap();
    let forbidden = cluster.kubeconfig_of("live-nobody", folder.path());
    let config = by_label("live-nowhere");
    for (kubeconfig, told) in [
        (
            Some(&unreachable),
            "error: cannot read the cluster's events: the API server cannot be reached: ",
        ),
        (
            Some(&forbidden),
            "error: cannot read the cluster's events: the API server answered 403: events is forbidden: User \"live-nobody\" cannot list",
        ),
        (None, "error: no cluster: not in a pod, and neither"),
    ] {
        for (args, code) in [(&["c"][..], 1), (&["--diff", "c", "c"], 2)] {
            let kubeconfig = kubeconfig.map(std::path::PathBuf::as_path);
            let output = route(&[("c", &config)], args, kubeconfig);
            let errors = text(&output.stderr);
            assert!(errors.starts_with(told), "{errors}");
            assert_eq!(errors.lines().count(), 1, "{errors}");
            assert_eq!(text(&output.stdout), "");
            assert_eq!(output.status.code(), Some(code), "{args:?}");
        }
    }
    let both = route(&[("c", &config)], &["c", "--event", "-"], None);
    assert_eq!(both.status.code(), Some(2), "one or the other");
}
