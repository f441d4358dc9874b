//! The chart installed by Helm on a cluster with a real node, which runs the exporter in a real pod.

use std::process::{Child, Command, Output, Stdio};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams, ObjectMeta, PostParams};
use kube::{Api, ResourceExt};

use super::{EVERYTHING, NAMESPACE, WORKSHOP, WORKSHOP_SETS, chart};
use crate::support::{Cluster, event, eventually, helm, image, text};

/// The release of an exporter that may not read Events.
const BLIND: &str = "blind";

/// Runs helm on a cluster.
fn run(cluster: &Cluster, args: &[&str], values: &str, sets: &[&str]) -> String {
    let output = command(cluster, args, values, sets).output().unwrap();
    let told = both(&output);
    assert!(output.status.success(), "{args:?}: {told}");
    told
}

fn command(cluster: &Cluster, args: &[&str], values: &str, sets: &[&str]) -> Command {
    let mut command = Command::new(helm());
    command
        .args(args)
        .args(["--namespace", NAMESPACE])
        .env("KUBECONFIG", &cluster.kubeconfig);
    if !values.is_empty() {
        command.arg("--values").arg(chart().join("ci").join(values));
    }
    for set in sets {
        command.args(["--set", set]);
    }
    command
}

fn both(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

/// Its Lease, which was there before it.
fn foreign_lease() -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(format!("{BLIND}-kubernetes-event-exporter")),
            ..ObjectMeta::default()
        },
        spec: None,
    }
}

/// Asks for a test of an exporter that may not read Events, which takes half a minute to give up.
fn test_of_an_exporter_without_rights(cluster: &Cluster) -> Child {
    let path = chart();
    let install = ["install", BLIND, path.to_str().unwrap()];
    run(cluster, &install, "", &["rbac.create=false"]);
    let test = ["test", BLIND, "--timeout", "120s"];
    let mut command = command(cluster, &test, "", &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn kubectl(cluster: &Cluster, args: &[&str]) -> String {
    let output = Command::new(&cluster.kubectl)
        .args(args)
        .env("KUBECONFIG", &cluster.kubeconfig)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", both(&output));
    text(&output.stdout)
}

/// Waits until nothing has a release's label. What is to be listed says the API server.
async fn is_gone(cluster: &Cluster, release: &str) {
    let kubectl = |args: &[&str]| kubectl(cluster, args);
    let what_can_be_listed = |of: &str| {
        let namespaced = format!("--namespaced={of}");
        let kinds = kubectl(&["api-resources", "--verbs=list", &namespaced, "-o", "name"]);
        kinds.split_whitespace().collect::<Vec<_>>().join(",")
    };
    // A test that has failed stays for whoever reads its logs: the other release's.
    let label = format!("app.kubernetes.io/instance={release}");
    for kinds in ["true", "false"].map(what_can_be_listed) {
        eventually("nothing is left", async || {
            let left = kubectl(&["get", &kinds, "-A", "-o", "name", "-l", &label]);
            left.is_empty()
        })
        .await;
    }
}

#[test]
fn the_notes_tell_the_type_of_each_receiver() {
    let path = chart();
    let install = ["install", "noted", path.to_str().unwrap(), "--dry-run"];
    // Their kinds are those of an operator that isn't there.
    let monitors =
        ["serviceMonitor", "prometheusRule"].map(|it| format!("metrics.{it}.enabled=false"));
    let told = run(
        Cluster::shared(),
        &install,
        EVERYTHING,
        &monitors.each_ref().map(String::as_str),
    );
    let (_, notes) = told.split_once("NOTES:\n").unwrap();
    assert!(notes.contains("\n  secret (opensearch)\n"), "{notes}");
}

#[tokio::test]
async fn the_workshops_release_runs_on_a_real_node_and_is_upgraded_in_place() {
    let cluster = Cluster::start(
        "test-chart",
        &[
            ("COMPONENTS", "kube-controller-manager kube-scheduler"),
            ("NODE", "yes"),
        ],
    );
    cluster.import(&image(&[]));
    let path = chart();
    let path = path.to_str().unwrap();
    let release = "events-to-opensearch";
    // Nobody answers at the workshop's host: that must not hold up the installation.
    let install = [
        "install",
        release,
        path,
        "--create-namespace",
        "--wait",
        "--timeout",
        "120s",
    ];
    let told = run(&cluster, &install, WORKSHOP, &WORKSHOP_SETS);
    for expected in [
        "installed as events-to-opensearch-kubernetes-event-exporter",
        "opensearch-receiver (opensearch)",
        "image.repository bitnamilegacy/kubernetes-event-exporter holds another exporter",
        "config.maxEventsAgeSeconds is taken for maxEventAgeSeconds",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    let pods: Api<Pod> = Api::namespaced(cluster.client().await, NAMESPACE);
    let pod = &pods.list(&ListParams::default()).await.unwrap().items[0];
    assert_eq!(pod.labels()["app.kubernetes.io/instance"], release);

    let leases: Api<Lease> = Api::namespaced(cluster.client().await, NAMESPACE);
    let foreign = foreign_lease();
    leases
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();
    let blind = test_of_an_exporter_without_rights(&cluster);
    // Its credentials are there as files, and the exporter's user can read them. It is found by the name of a Service.
    let test = ["test", release, "--timeout", "60s"];
    let told = run(&cluster, &test, "", &[]);
    assert!(told.contains("Phase:          Succeeded"), "{told}");

    let lease = format!("{release}-kubernetes-event-exporter");
    let checkpoint = async || {
        let lease = leases.get(&lease).await.unwrap();
        let kept = lease.annotations();
        kept.get("kubernetes-event-exporter/checkpoint").cloned()
    };
    eventually("it has a checkpoint", async || checkpoint().await.is_some()).await;
    let upgrade = ["upgrade", release, path, "--wait", "--timeout", "120s"];
    run(&cluster, &upgrade, "", &["podLabels.more=than-before"]);
    assert!(checkpoint().await.is_some());
    let events: Api<Event> = Api::namespaced(cluster.client().await, "default");
    let new = event("default", "seen", "out of a real pod");
    events.create(&PostParams::default(), &new).await.unwrap();
    eventually("the pod prints the event", async || {
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            let log = pods.logs(&pod.name_any(), &LogParams::default()).await;
            if log.is_ok_and(|log| log.contains("out of a real pod")) {
                return true;
            }
        }
        false
    })
    .await;
    // Its configuration is one, by the exporter's own word in a pod like its own.
    let told = run(&cluster, &test, "", &[]);
    assert!(told.contains("Phase:          Succeeded"), "{told}");

    let blind = blind.wait_with_output().unwrap();
    let reason = "not ready: watch: the events of all namespaces have not been listed yet";
    assert!(
        !blind.status.success() && both(&blind).contains(reason),
        "{}",
        both(&blind)
    );
    for release in [release, BLIND] {
        run(&cluster, &["uninstall", release, "--wait"], "", &[]);
    }
    let exporters = ListParams::default().labels("app.kubernetes.io/name");
    eventually("no exporter is left", async || {
        pods.list(&exporters).await.unwrap().items.is_empty()
    })
    .await;
    is_gone(&cluster, release).await;
    let left = leases.list(&ListParams::default()).await.unwrap();
    let left: Vec<_> = left.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, [foreign.name_any()]);
    the_plain_manifests_can_be_applied_and_deleted(&cluster).await;
}

async fn the_plain_manifests_can_be_applied_and_deleted(cluster: &Cluster) {
    let kubectl = |args: &[&str]| kubectl(cluster, args);
    kubectl(&["apply", "-f", "deploy/"]);
    let of_it = ["-n", "monitoring", "deployment/event-exporter"];
    kubectl(&[&["rollout", "status", "--timeout=60s"], &of_it[..]].concat());
    eventually(
        "the pod prints an event that was there before",
        async || kubectl(&[&["logs"], &of_it[..]].concat()).contains("out of a real pod"),
    )
    .await;
    kubectl(&["delete", "-f", "deploy/", "--timeout=60s"]);
    let left = kubectl(&["-n", "monitoring", "get", "leases", "-o", "name"]);
    assert_eq!(left, "");
}
