//! The Helm chart, rendered by Helm itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use self::release::{Release, check, template};
use crate::support::{helm, text};

mod credentials;
mod dashboards;
mod install;
mod refused;
mod release;
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
    assert_eq!(groups, ["", "", "apps", "batch", "autoscaling"]);
    assert_eq!(others[0]["resourceNames"], json!(["kube-system"]));
    assert!(others.iter().all(|rule| rule["verbs"] == json!(["get"])));
    let lookups = |values: &str| Release::of(values, &[]).rules().len() > 2;
    assert!(lookups(""));
    assert!(!lookups(
        "config: {omitLookup: true, receivers: [{name: a, stdout: {}}], route: {match: [{receiver: a}]}}"
    ));
    // Namespaces are watched where a rule asks for their labels, however deep.
    let watched = |rule: &str| {
        let config = format!(
            "config: {{omitLookup: true, receivers: [{{name: a, stdout: {{}}}}], route: {{routes: [{{drop: [{rule}], match: [{{receiver: a}}]}}]}}}}"
        );
        let release = Release::of(&config, &[]);
        let watched =
            json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]});
        release.rules().contains(&&watched)
    };
    assert!(watched("{not: {namespaceLabels: {env: prod}}}"));
    assert!(!watched("{message: '\"namespaceLabels\":'}"));
    // One team's namespaces need no rights beyond them.
    let release = Release::of(&values("namespaced-values.yaml"), &[]);
    assert!(release.all("ClusterRole").is_empty() && release.all("ClusterRoleBinding").is_empty());
    for kind in ["Role", "RoleBinding"] {
        let namespaces: BTreeSet<_> = release
            .all(kind)
            .iter()
            .map(|it| it["metadata"]["namespace"].to_string())
            .collect();
        // And in its own, where its Lease is.
        let expected = ["\"opensearch-exporter\"", "\"team-a\"", "\"team-b\""];
        assert_eq!(namespaces, expected.map(str::to_owned).into());
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
fn the_lease_is_one_by_name_and_what_it_is_for_follows_from_the_replicas() {
    let lease = |values: &str| {
        let release = Release::of(values, &[]);
        assert_eq!(check(&release, &[]), "");
        let roles = release.all("Role");
        let rights = roles.first().map(|role| role["rules"].clone());
        let leases = release.all("Lease").into_iter();
        let leases: Vec<_> = leases.map(|lease| &lease["metadata"]["name"]).collect();
        let named = roles.first().map(|it| &it["rules"][0]["resourceNames"][0]);
        assert_eq!(leases, Vec::from_iter(named));
        let config: Value = serde_saphyr::from_str(release.config()).unwrap();
        let keys = [&config["leaderElection"], &config["checkpoint"]].map(Clone::clone);
        let disrupted = release.all("PodDisruptionBudget").len();
        (rights, keys, disrupted)
    };
    let name = "events-to-opensearch-kubernetes-event-exporter";
    let rights = |name: &str| {
        Some(json!([
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [name], "verbs": ["get", "update"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        ]))
    };
    let elected = |name: &str| json!({"enabled": true, "leaderElectionID": name});
    assert_eq!(
        lease(""),
        (rights(name), [Value::Null, json!({"lease": name})], 0)
    );
    assert_eq!(
        lease("replicaCount: 2"),
        (rights(name), [elected(name), Value::Null], 1)
    );
    let config = |key: &str| {
        format!(
            "config: {{{key}, receivers: [{{name: a, stdout: {{}}}}], route: {{match: [{{receiver: a}}]}}}}"
        )
    };
    let named = config("leaderElection: {enabled: true, leaderElectionID: mine}");
    assert_eq!(
        lease(&named),
        (rights("mine"), [elected("mine"), Value::Null], 0)
    );
    let (rights, ..) = lease(&config("checkpoint: {file: /data/checkpoint.json}"));
    assert_eq!(rights, None);
    // As Bitnami's chart has it, in its defaults.
    let (rights, ..) = lease(&config("leaderElection: {}"));
    assert!(rights.is_some());
    // The exporter makes what the release does not have.
    let without = Release::of("lease: {create: false}", &[]);
    assert_eq!(without.all("Lease").len(), 0);
    assert_eq!(without.all("Role").len(), 1);
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
    // But for where credentials come from.
    let signed =
        "opensearch: {hosts: ['https://x.eu-west-1.es.amazonaws.com:9443'], index: i, aws: {}}";
    let release = Release::of(&format!("{closed}\n{}", with_receiver(signed)), &[]);
    let egress = &release.one("NetworkPolicy")["spec"]["egress"][1]["ports"];
    let ports = egress.as_array().unwrap().iter().map(|port| &port["port"]);
    assert_eq!(ports.collect::<Vec<_>>(), [9443, 443, 80]);
    for (place, port) in [
        ("eu-west-1.aws.found.io$abc$def", 443),
        ("found.io:9243$abc$def", 9243),
        ("found.io:9243$abc:92$def:93", 92),
    ] {
        let cloud = STANDARD.encode(place);
        let receiver = format!("elasticsearch: {{cloudID: 'name:{cloud}', index: i}}");
        let release = Release::of(&format!("{closed}\n{}", with_receiver(&receiver)), &[]);
        let egress = &release.one("NetworkPolicy")["spec"]["egress"][1]["ports"];
        assert_eq!(
            *egress,
            json!([{"port": port, "protocol": "TCP"}]),
            "{place}"
        );
    }
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
    // But for what receivers write, it has the same files.
    let reads = |it: &&Value| {
        ["cfg", "receiver-credentials"]
            .map(Value::from)
            .contains(&it["name"])
    };
    let of = |list: &Value| -> Vec<Value> {
        list.as_array()
            .unwrap()
            .iter()
            .filter(reads)
            .cloned()
            .collect()
    };
    for (test, exporter) in [
        (&test["volumeMounts"], &exporter["volumeMounts"]),
        (&pod["spec"]["volumes"], &release.pod()["spec"]["volumes"]),
    ] {
        assert_eq!(of(test), of(exporter));
        assert_eq!(of(test).len(), 2);
    }
    let selector = &release.one("Deployment")["spec"]["selector"]["matchLabels"];
    assert_ne!(
        pod["metadata"]["labels"]["app.kubernetes.io/name"],
        selector["app.kubernetes.io/name"]
    );
}

#[test]
fn the_test_asks_the_exporter_whether_it_is_ready() {
    let sets = [
        "containerPorts.http=2113",
        "networkPolicy.allowExternal=false",
    ];
    let release = Release::of("", &sets);
    let (pod, service) = (release.one("Pod"), release.one("Service"));
    let annotations = &service["metadata"]["annotations"];
    assert_eq!(annotations["helm.sh/hook"], "test");
    assert_eq!(annotations["helm.sh/hook-weight"], "-1");
    assert_eq!(
        service["spec"]["selector"],
        release.one("Deployment")["spec"]["selector"]["matchLabels"]
    );
    let (test, exporter) = (&pod["spec"]["containers"][1], release.container());
    for key in ["image", "securityContext"] {
        assert_eq!(test[key], exporter[key], "{key}");
    }
    let name = service["metadata"]["name"].as_str().unwrap();
    let url = format!("http://{name}.{NAMESPACE}.svc:2113");
    assert_eq!(test["args"], json!(["ready", "--wait=30", url]));
    assert_eq!(service["spec"]["ports"][0]["port"], 2113);
    let let_in = &release.one("NetworkPolicy")["spec"]["ingress"][0]["from"][0];
    for (label, value) in let_in["podSelector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(pod["metadata"]["labels"][label], *value, "{label}");
    }
}

#[test]
fn a_volume_has_one_pod_at_a_time() {
    let strategy = |values: &str| {
        Release::of(values, &[]).one("Deployment")["spec"]["strategy"]["type"].clone()
    };
    assert_eq!(strategy(""), "RollingUpdate");
    assert_eq!(strategy("persistence: {enabled: true}"), "Recreate");
}

/// As in Bitnami's chart.
#[test]
fn templates_in_values_are_filled_in() {
    let release = Release::of(
        "
commonLabels: {team: '{{ .Release.Name }}'}
commonAnnotations: {note: '{{ .Release.Name }}'}
podLabels: {pod: '{{ .Release.Name }}'}
podAnnotations: {pod: '{{ .Release.Name }}'}
serviceAccount: {annotations: {account: '{{ .Release.Name }}'}}
nodeSelector: {node: '{{ .Release.Name }}'}
priorityClassName: '{{ .Release.Name }}'
tolerations: [{key: '{{ .Release.Name }}', operator: Exists}]
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {matchLabels: {app.kubernetes.io/instance: '{{ .Release.Name }}'}}
",
        &[],
    );
    for kind in ["Deployment", "ServiceAccount"] {
        let text = release.one(kind).to_string();
        assert!(!text.contains("{{"), "{text}");
    }
    let pod = release.pod();
    for pointer in [
        "/metadata/labels/team",
        "/metadata/labels/pod",
        "/metadata/annotations/note",
        "/metadata/annotations/pod",
        "/spec/nodeSelector/node",
        "/spec/priorityClassName",
        "/spec/tolerations/0/key",
        "/spec/topologySpreadConstraints/0/labelSelector/matchLabels/app.kubernetes.io~1instance",
    ] {
        assert_eq!(
            pod.pointer(pointer).unwrap(),
            "events-to-opensearch",
            "{pointer}"
        );
    }
    let account = &release.one("ServiceAccount")["metadata"]["annotations"];
    assert_eq!(account["account"], "events-to-opensearch");
}

#[test]
fn rules_have_the_templates_of_helm_or_of_prometheus() {
    let rules = |alert: &str, expr: &str| {
        let rule = json!({"alert": "A", "expr": expr, "annotations": {"summary": alert}});
        let groups = json!([{"name": "own", "rules": [rule]}]);
        let rule = json!({"enabled": true, "defaultRules": {"enabled": false}, "groups": groups});
        let values = json!({"metrics": {"enabled": true, "prometheusRule": rule}});
        let release = Release::of(&values.to_string(), &[]);
        let rule = release.one("PrometheusRule")["spec"]["groups"][0]["rules"][0].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&rule["annotations"]["summary"]), text(&rule["expr"]))
    };
    let told = "{{ $labels.receiver }} at {{ $value }}";
    assert_eq!(rules(told, "up"), (told.to_owned(), "up".to_owned()));
    let escaped = "{{ `{{ $labels.receiver }}` }} at {{`{{ $value }}`}}";
    let expr = "up{namespace=\"{{ include \"common.names.namespace\" . }}\"}";
    let filled_in = format!("up{{namespace=\"{NAMESPACE}\"}}");
    assert_eq!(rules(escaped, expr), (told.to_owned(), filled_in));
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
    let pod = |sets: &[&str]| {
        let release = Release::of(&values(WORKSHOP), &[&WORKSHOP_SETS[..], sets].concat());
        release.pod().clone()
    };
    let checksum = |sets: &[&str]| pod(sets)["metadata"]["annotations"]["checksum/config"].clone();
    let before = checksum(&[]);
    assert_eq!(before, checksum(&["resources.limits.memory=1Gi"]));
    assert_ne!(before, checksum(&["config.logLevel=debug"]));
    // Routes and receivers are read again.
    assert_eq!(
        before,
        checksum(&["config.receivers[0].opensearch.index=other"])
    );
    assert_eq!(before, checksum(&["config.route.match[0].kind=Pod"]));
    let header = |value| {
        checksum(&[&format!(
            "config.receivers[0].opensearch.headers.X-Key={value}"
        )])
    };
    assert_ne!(header("one"), header("other"));
    // What comes as a file changes where it is.
    let password = ["config.receivers[0].opensearch.password=other"];
    assert_eq!(pod(&[]), pod(&password));
}
