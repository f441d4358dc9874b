//! Whether Kubernetes takes what is rendered: a real API server, and the schemas of every version that the chart is for.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::release::{Release, template, template_by};
use super::{EVERYTHING, NAMESPACE, WORKSHOP, WORKSHOP_SETS, chart, values};
use crate::support::{Cluster, helm4, text};

/// Kinds of Prometheus' operator, which are none of Kubernetes' own.
const OPERATORS: [&str; 3] = ["PodMonitor", "PrometheusRule", "ServiceMonitor"];

/// Whether a file is valid in Kubernetes 1.25 to 1.37, unknown fields refused; and what there is to say about it.
fn validation(path: &Path) -> Command {
    let script = chart().join("../../tests/env/kubernetes-validate.sh");
    let mut command = Command::new(script);
    for minor in 25..=37 {
        command.args(["-k", &format!("1.{minor}")]);
    }
    command.args(["--strict", "--quiet"]).arg(path);
    command
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
        .collect()
}

/// The name of each file of values, and what is given besides.
fn releases() -> Vec<(String, &'static [&'static str])> {
    let names = yaml_files(&chart().join("ci"))
        .into_iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    names
        .map(|name| {
            let sets: &[&str] = if name == WORKSHOP {
                &WORKSHOP_SETS
            } else {
                &[]
            };
            (name, sets)
        })
        .collect()
}

#[test]
fn helm_4_renders_what_helm_3_does() {
    let helm = helm4();
    for (name, sets) in releases() {
        let values = values(&name);
        let three = Release::rendered(&template("events", &values, sets));
        let four = Release::rendered(&template_by(&helm, "events", &values, sets));
        assert!(three.0.len() > 5, "{name}");
        assert_eq!(three.0, four.0, "{name}");
    }
    let lint = Command::new(&helm)
        .args(["lint", "--strict"])
        .arg(chart())
        .output()
        .unwrap();
    assert!(lint.status.success(), "{}", text(&lint.stdout));
    // It is another Helm, and refuses what the other one refuses.
    let version = Command::new(&helm).arg("version").output().unwrap();
    assert!(text(&version.stdout).contains("Version:\"v4."));
    let refused = template_by(&helm, "events", "replicaCuont: 2", &[]);
    assert!(text(&refused.stderr).contains("replicaCuont"));
}

#[test]
fn every_manifest_is_valid_in_every_version() {
    let folder = tempfile::tempdir().unwrap();
    for (name, sets) in releases() {
        let output = template("events", &values(&name), sets);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        fs::write(folder.path().join(name), output.stdout).unwrap();
    }
    let deploy = chart().join("../../deploy");
    let rendered = yaml_files(folder.path());
    assert!(rendered.len() >= 5, "{rendered:?}");
    let manifests = [
        rendered,
        yaml_files(&deploy),
        yaml_files(&deploy.join("samples")),
    ]
    .concat();
    // The first installs the validator; a process a file, since each takes its time.
    assert!(validation(&manifests[0]).output().unwrap().status.success());
    let running = manifests.iter().map(|path| {
        (
            path,
            validation(path).stdout(Stdio::piped()).spawn().unwrap(),
        )
    });
    for (path, child) in running.collect::<Vec<_>>() {
        let output = child.wait_with_output().unwrap();
        let told = text(&output.stdout);
        assert!(output.status.success(), "{}: {told}", path.display());
        // A kind that a version does not have is no more than a warning there.
        for line in told.lines() {
            let about = |kind: &str| {
                line.contains(&format!(
                    "for kind {kind} with api version monitoring.coreos.com/v1 "
                ))
            };
            assert!(OPERATORS.iter().any(|kind| about(kind)), "{line}");
        }
    }
}

#[test]
fn what_is_not_valid_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |manifest: &str| {
        let path = folder.path().join("wrong.yaml");
        fs::write(&path, manifest).unwrap();
        let output = validation(&path).output().unwrap();
        (output.status.success(), text(&output.stdout))
    };
    let (valid, unknown) = told("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, date: {}}");
    assert!(
        !valid && unknown.contains("'date' was unexpected"),
        "{unknown}"
    );
    // Gone in 1.25.
    let (_, gone) =
        told("{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: a}}");
    assert_eq!(gone.lines().count(), 13, "{gone}");
}

/// Makes the kinds of Prometheus' operator known to the API server.
async fn monitors(cluster: &Cluster) {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client().await);
    for kind in OPERATORS {
        let plural = format!("{}s", kind.to_lowercase());
        let definition: CustomResourceDefinition = serde_json::from_value(json!({
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {
                "group": "monitoring.coreos.com", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true
                }}}]
            }
        }))
        .unwrap();
        definitions
            .create(&PostParams::default(), &definition)
            .await
            .unwrap();
        let name = definition.name_any();
        let established =
            await_condition(definitions.clone(), &name, conditions::is_crd_established());
        established.await.unwrap();
    }
}

#[tokio::test]
async fn the_api_server_takes_every_object_and_the_pod_is_restricted() {
    let cluster = Cluster::shared();
    monitors(cluster).await;
    for namespace in [NAMESPACE, "team-a", "team-b"] {
        cluster.namespace(namespace).await;
    }
    let kubectl = |args: &[&str], input: &str| {
        let mut child = Command::new(&cluster.kubectl)
            .args(args)
            .env("KUBECONFIG", &cluster.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    // Its controller does not run here.
    let account = [
        "create",
        "serviceaccount",
        "default",
        "--namespace",
        NAMESPACE,
    ];
    assert!(kubectl(&account, "").status.success());
    let label = [
        "label",
        "namespace",
        NAMESPACE,
        "pod-security.kubernetes.io/warn=restricted",
    ];
    assert!(kubectl(&label, "").status.success());
    // The priority class and sidecars are the user's own affair.
    let own = ["sidecars=", "initContainers="];
    for (file, sets) in [
        (WORKSHOP, &WORKSHOP_SETS[..]),
        (EVERYTHING, &own),
        ("namespaced-values.yaml", &[]),
    ] {
        let output = template("events", &values(file), sets);
        let manifests = text(&output.stdout);
        let args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let applied = kubectl(&args, &manifests);
        let told = text(&applied.stderr);
        assert!(
            applied.status.success() && told.is_empty(),
            "{file}: {told}"
        );
    }
}
