//! The Helm chart, rendered by Helm itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{EXPORTER, helm, text};

mod credentials;
mod dashboards;
mod install;
mod refused;
mod schemas;
mod values;

const NAMESPACE: &str = "opensearch-exporter";
const WORKSHOP: &str = "workshop-values.yaml";
const EVERYTHING: &str = "everything-values.yaml";
/// What the workshop's command gives besides its values.
const WORKSHOP_SETS: [&str; 3] = [
    "config.receivers[0].opensearch.username=admin",
    "config.receivers[0].opensearch.password=p$w\"{x}",
    "config.receivers[0].opensearch.hosts[0]=https://search.example.com",
];

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/kubernetes-event-exporter")
}

fn values(file: &str) -> String {
    fs::read_to_string(chart().join("ci").join(file)).unwrap()
}

/// `helm template` of a release with these values.
fn template(release: &str, values: &str, sets: &[&str]) -> Output {
    let mut command = Command::new(helm());
    command.args(["template", release]).arg(chart());
    command.args(["--namespace", NAMESPACE, "--values", "-"]);
    for set in sets {
        command.args(["--set", set]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(values.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

/// What a release is made of.
struct Release(Vec<Value>);

impl Release {
    fn of(values: &str, sets: &[&str]) -> Self {
        Self::named("events-to-opensearch", values, sets)
    }

    fn named(name: &str, values: &str, sets: &[&str]) -> Self {
        let output = template(name, values, sets);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text(&output.stdout)).unwrap();
        Self(objects.into_iter().filter(|it| !it.is_null()).collect())
    }

    fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|it| it["kind"] == kind).collect()
    }

    fn one(&self, kind: &str) -> &Value {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "{kind}");
        all[0]
    }

    fn config(&self) -> &str {
        let maps = self.all("ConfigMap").into_iter();
        let configs: Vec<_> = maps
            .filter_map(|it| it["data"]["config.yaml"].as_str())
            .collect();
        assert_eq!(configs.len(), 1);
        configs[0]
    }

    /// What is in its Secret, unpacked.
    fn credentials(&self) -> BTreeMap<String, String> {
        let secrets = self.all("Secret");
        let data = secrets.iter().filter_map(|it| it["data"].as_object());
        data.flatten()
            .map(|(name, value)| {
                let value = STANDARD.decode(value.as_str().unwrap()).unwrap();
                (name.clone(), text(&value))
            })
            .collect()
    }

    fn pod(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]
    }

    fn container(&self) -> &Value {
        &self.pod()["spec"]["containers"][0]
    }

    /// Of all its roles.
    fn rules(&self) -> Vec<&Value> {
        let roles = ["Role", "ClusterRole"].map(|kind| self.all(kind)).concat();
        let lists = roles.iter().map(|role| role["rules"].as_array().unwrap());
        lists.flatten().collect()
    }
}

/// `check --strict` of the configuration that a release runs with, in the environment that its pod has.
fn check(release: &Release, more: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.yaml"), release.config()).unwrap();
    let output = Command::new(EXPORTER)
        .args(["check", "--strict", "config.yaml"])
        .current_dir(folder.path())
        .envs(release.credentials())
        .envs(more.iter().copied())
        .output()
        .unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.success(), told.is_empty(), "{told}");
    told
}

#[test]
fn the_workshops_command_works_word_for_word() {
    let release = Release::of(&values(WORKSHOP), &WORKSHOP_SETS);
    let name = "events-to-opensearch-kubernetes-event-exporter";
    for kind in ["Deployment", "ConfigMap", "ServiceAccount"] {
        assert_eq!(release.one(kind)["metadata"]["name"], name, "{kind}");
    }
    // An existing release can only be upgraded if its selector stays.
    let selector = json!({
        "app.kubernetes.io/instance": "events-to-opensearch",
        "app.kubernetes.io/name": "kubernetes-event-exporter",
    });
    assert_eq!(
        release.one("Deployment")["spec"]["selector"]["matchLabels"],
        selector
    );
    let container = release.container();
    assert_eq!(container["name"], "event-exporter");
    assert_eq!(container["ports"][0]["containerPort"], 2112);
    // Bitnami's would run the incumbent.
    assert_eq!(container["image"], "kubernetes-event-exporter:0.1.0");
    let elsewhere = [
        &WORKSHOP_SETS[..],
        &["image.registry=registry.example.com/team"],
    ]
    .concat();
    assert_eq!(
        Release::of(&values(WORKSHOP), &elsewhere).container()["image"],
        "registry.example.com/team/kubernetes-event-exporter:0.1.0"
    );
    // The credentials are in the Secret, to the letter, and nowhere else.
    let credentials = release.credentials();
    assert_eq!(
        credentials.values().map(String::as_str).collect::<Vec<_>>(),
        ["p$w\"{x}", "admin"]
    );
    let visible = release.0.iter().filter(|it| it["kind"] != "Secret");
    for object in visible {
        assert!(!object.to_string().contains("p$w"), "{object}");
    }
    // The typo in the workshop's values is mended, and the rest passes.
    assert!(release.config().contains("maxEventAgeSeconds: 3600"));
    assert_eq!(check(&release, &[]), "");
}

#[test]
fn what_bitnamis_chart_has_by_default_is_understood() {
    let release = Release::of(&values("bitnami-values.yaml"), &[]);
    assert_eq!(
        release.container()["image"],
        "kubernetes-event-exporter:0.1.0"
    );
    assert_eq!(release.container()["securityContext"]["runAsUser"], 1001);
    assert_eq!(release.container()["readinessProbe"]["failureThreshold"], 1);
    assert!(
        !release
            .rules()
            .iter()
            .any(|rule| rule.to_string().contains('*'))
    );
    // A document each, where the incumbent prints `{}`.
    assert_eq!(check(&release, &[]), "");
}

#[test]
fn without_values_every_event_is_printed() {
    let release = Release::of("", &[]);
    assert_eq!(check(&release, &[]), "");
    assert!(release.config().contains("stdout: {}"));
    assert!(release.all("Secret").is_empty());
}

#[test]
fn rights_are_the_least() {
    for (file, sets) in [(WORKSHOP, &WORKSHOP_SETS[..]), (EVERYTHING, &[])] {
        let release = Release::of(&values(file), sets);
        for rule in release.rules() {
            let rule = rule.to_string();
            assert!(!rule.contains('*') && !rule.contains("secrets"), "{rule}");
        }
    }
    // Events are watched; of anything else, one object is read at a time.
    let release = Release::of("", &[]);
    let (events, others) = release
        .rules()
        .split_first()
        .map(|(a, b)| (*a, b.to_vec()))
        .unwrap();
    assert_eq!(
        *events,
        json!({"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]})
    );
    let groups: Vec<&Value> = others.iter().map(|rule| &rule["apiGroups"][0]).collect();
    assert_eq!(groups, ["", "apps", "batch", "autoscaling"]);
    assert!(others.iter().all(|rule| rule["verbs"] == json!(["get"])));
    let lookups = |values: &str| Release::of(values, &[]).rules().len() > 1;
    assert!(lookups(""));
    assert!(!lookups(
        "config: {omitLookup: true, receivers: [{name: a, stdout: {}}], route: {match: [{receiver: a}]}}"
    ));
    // One team's namespaces need no rights beyond them.
    let release = Release::of(&values("namespaced-values.yaml"), &[]);
    assert!(release.all("ClusterRole").is_empty() && release.all("ClusterRoleBinding").is_empty());
    for kind in ["Role", "RoleBinding"] {
        let namespaces: BTreeSet<_> = release
            .all(kind)
            .iter()
            .map(|it| it["metadata"]["namespace"].to_string())
            .collect();
        assert_eq!(
            namespaces,
            BTreeSet::from(["\"team-a\"".to_owned(), "\"team-b\"".to_owned()])
        );
    }
    // As in Bitnami's chart, rules replace ours.
    let own = Release::of(
        "rbac: {rules: [{apiGroups: [\"\"], resources: [events], verbs: [list]}]}",
        &[],
    );
    assert_eq!(
        own.rules(),
        [&json!({"apiGroups": [""], "resources": ["events"], "verbs": ["list"]})]
    );
    // Of Bitnami's wildcard, what stands beside it is left; and what is asked for besides is always there.
    let beside = "rbac: {rules: [{apiGroups: [\"*\"], resources: [\"*\"], verbs: [get]}, {apiGroups: [a], resources: [b], verbs: [get]}], extraRules: [{apiGroups: [c], resources: [d], verbs: [get]}]}";
    let groups: Vec<String> = Release::of(beside, &[])
        .rules()
        .iter()
        .map(|rule| rule["apiGroups"][0].to_string())
        .collect();
    assert_eq!(groups, ["\"a\"", "\"c\""]);
}

#[test]
fn closed_egress_opens_the_ports_of_receivers() {
    // The API server's are not those of receivers.
    let release = Release::of(
        &values(EVERYTHING),
        &["networkPolicy.kubeAPIServerPorts={6443}"],
    );
    let egress = release.one("NetworkPolicy")["spec"]["egress"]
        .as_array()
        .unwrap();
    let ports: BTreeSet<String> = egress
        .iter()
        .flat_map(|rule| rule["ports"].as_array().unwrap())
        .map(|port| {
            format!(
                "{}/{}",
                port["port"],
                port["protocol"].as_str().unwrap_or("TCP")
            )
        })
        .collect();
    for port in [
        "53/UDP", "443/TCP", "6443/TCP", "9200/TCP", "80/TCP", "8443/TCP", "3100/TCP", "514/TCP",
        "9999/TCP",
    ] {
        assert!(ports.contains(port), "{port}: {ports:?}");
    }
    let open = Release::of("", &[]);
    assert_eq!(open.one("NetworkPolicy")["spec"]["egress"], json!([{}]));
}

#[test]
fn closed_egress_is_never_open() {
    let closed = "networkPolicy: {allowExternalEgress: false, kubeAPIServerPorts: []}";
    let release = Release::of(closed, &[]);
    let egress = release.one("NetworkPolicy")["spec"]["egress"]
        .as_array()
        .unwrap();
    assert_eq!(egress.len(), 1, "DNS alone: {egress:?}");
    assert!(egress.iter().all(|rule| rule["ports"].is_array()));
}

/// A release with one receiver.
fn with_receiver(receiver: &str) -> String {
    format!("config: {{receivers: [{{name: r, {receiver}}}], route: {{match: [{{receiver: r}}]}}}}")
}

#[test]
fn names_stay_names_and_apart() {
    let release = Release::named(
        "123",
        "config: {namespace: \"456\"}\nnamespaceOverride: \"789\"",
        &[],
    );
    for object in &release.0 {
        let labels = &object["metadata"]["labels"];
        if object["kind"] != "Pod" {
            assert_eq!(labels["app.kubernetes.io/instance"], "123");
        }
        assert!(object["metadata"]["namespace"].is_string(), "{object}");
    }
    let long = "a".repeat(50);
    let cluster_role = |namespace: &str| {
        let set = format!("namespaceOverride={namespace}");
        let release = Release::named(&long, "", &[&set]);
        release.one("ClusterRole")["metadata"]["name"].clone()
    };
    assert_ne!(cluster_role("team-one"), cluster_role("team-two"));
}

#[test]
fn the_test_checks_the_configuration_as_the_exporter_reads_it() {
    let release = Release::of(&values(EVERYTHING), &[]);
    let pod = release.one("Pod");
    assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook"], "test");
    let (test, exporter) = (&pod["spec"]["containers"][0], release.container());
    for key in ["image", "env", "envFrom", "securityContext"] {
        assert_eq!(test[key], exporter[key], "{key}");
    }
    let selector = &release.one("Deployment")["spec"]["selector"]["matchLabels"];
    assert_ne!(
        pod["metadata"]["labels"]["app.kubernetes.io/name"],
        selector["app.kubernetes.io/name"]
    );
}

#[test]
fn a_volume_has_one_pod_at_a_time() {
    let strategy = |values: &str| {
        Release::of(values, &[]).one("Deployment")["spec"]["strategy"]["type"].clone()
    };
    assert_eq!(strategy(""), "RollingUpdate");
    assert_eq!(strategy("persistence: {enabled: true}"), "Recreate");
}

#[test]
fn everything_is_in_one_namespace() {
    let release = Release::of(&values(EVERYTHING), &["namespaceOverride=elsewhere"]);
    for object in &release.0 {
        let kind = object["kind"].as_str().unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        // What the user adds is the user's.
        if !kind.starts_with("Cluster") && !name.starts_with("extra-") {
            assert_eq!(object["metadata"]["namespace"], "elsewhere", "{kind}");
        }
    }
    let subject = &release.one("ClusterRoleBinding")["subjects"][0];
    assert_eq!(subject["namespace"], "elsewhere");
}

#[test]
fn openshift_chooses_users_itself() {
    let release = Release::of("", &[]);
    assert_eq!(release.container()["securityContext"]["runAsUser"], 65532);
    let output = Command::new(helm())
        .args(["template", "x"])
        .arg(chart())
        .args(["--api-versions", "security.openshift.io/v1"])
        .output()
        .unwrap();
    let told = text(&output.stdout);
    assert!(output.status.success() && told.contains("runAsNonRoot: true"));
    for key in ["runAsUser:", "runAsGroup:", "fsGroup:"] {
        assert!(!told.contains(key), "{key}");
    }
}

#[test]
fn a_change_of_what_is_read_at_the_start_rolls_the_pods() {
    let checksum = |sets: &[&str]| {
        let release = Release::of(&values(WORKSHOP), &[&WORKSHOP_SETS[..], sets].concat());
        release.pod()["metadata"]["annotations"]["checksum/config"].clone()
    };
    let before = checksum(&[]);
    assert_eq!(before, checksum(&["resources.limits.memory=1Gi"]));
    assert_ne!(before, checksum(&["config.logLevel=debug"]));
    assert_ne!(
        before,
        checksum(&["config.receivers[0].opensearch.password=other"])
    );
}
