//! What is written and set up, against a real Elasticsearch, and what becomes of what it refuses in words of its own.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::console::{requests, section};
use crate::opensearch::Replay;
use crate::opensearch::bulk::{MENDABLE, Mendable, is_waited_for};
use crate::support::{Node, lines, run, text};

const DOCUMENT: &str = include_str!("../../docs/opensearch.md");

fn server() -> &'static Node {
    static SERVER: OnceLock<Node> = OnceLock::new();
    SERVER.get_or_init(|| {
        let roles: String = roles()
            .iter()
            .map(|(name, role)| format!("{name}: {role}\n"))
            .collect();
        Node::elasticsearch("test-elasticsearch", &roles)
    })
}

/// Those of the documentation by their names, and `latest`: what it says that `useEventID` needs.
fn roles() -> BTreeMap<String, Value> {
    let role = |path: &str| path.strip_prefix("/_security/role/").unwrap().to_owned();
    let requests = requests(section(DOCUMENT, "Elasticsearch"));
    let roles = requests.iter().map(|request| {
        (
            role(&request.path),
            serde_json::from_str(&request.body).unwrap(),
        )
    });
    let mut roles: BTreeMap<String, Value> = roles.collect();
    assert_eq!(roles.len(), 2);
    let mut latest = roles["event_exporter"].clone();
    let privileges = latest["indices"][0]["privileges"].as_array_mut().unwrap();
    privileges.push("index".into());
    roles.insert("latest".to_owned(), latest);
    roles
}

/// A receiver that writes as this user.
fn config(user: &str, options: &str) -> String {
    let (url, certs) = (&server().url, server().certs.display());
    format!(
        "route: {{match: [{{receiver: es}}]}}
receivers:
- name: es
  retry: {{initial: 50ms, max: 500ms}}
  batch: {{maxDelay: 10ms}}
  elasticsearch: {{hosts: {url}, username: {user}, password: {user}-pw, tls: {{caFile: {certs}/ca.pem}}, {options}}}
"
    )
}

fn replay(config: &str, events: &str) -> Output {
    run(&["replay", "config.yaml", "--events", "-"], config, events)
}

fn replays(config: &str, events: &str) {
    let output = replay(config, events);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// An event of this version and count.
fn state(version: u64, count: u64) -> String {
    let mut event: Value = serde_json::from_str(&lines("e", 1, "m")).unwrap();
    event["metadata"]["resourceVersion"] = version.to_string().into();
    event["count"] = count.into();
    format!("{event}\n")
}

#[tokio::test]
async fn fault_04_elasticsearch_has_every_event_once_and_in_its_latest_state() {
    for _ in 0..2 {
        let once = config("event_exporter", "index: kube-events-once");
        replays(&once, &lines("e", 50, "m"));
        assert_eq!(server().count("kube-events-once").await, 50);
        let dated = config("event_exporter", "indexFormat: \"kube-events-{2006}\"");
        replays(&dated, &lines("e", 5, "m"));
        assert_eq!(server().count("kube-events-2*").await, 5);
        let latest = config("latest", "index: kube-events-latest, useEventID: true");
        for states in [
            state(1002, 2),
            state(1009, 9),
            state(1001, 1) + &state(1009, 9),
        ] {
            replays(&latest, &states);
        }
        let documents = server().documents("kube-events-latest").await;
        assert_eq!(documents.keys().collect::<Vec<_>>(), ["e-uid-0"]);
        assert_eq!(documents["e-uid-0"]["count"], 9);
    }
}

#[tokio::test]
async fn the_role_for_elasticsearch_writes_events_and_does_nothing_else() {
    let index = "kube-events-rights";
    let config = config("event_exporter", &format!("index: {index}"));
    replays(&config, &lines("e", 5, "m"));
    assert_eq!(server().count(index).await, 5);
    let all = r#"{"query":{"match_all":{}}}"#;
    for (method, path, body) in [
        ("GET", "/kube-events-rights/_search", all),
        ("GET", "/kube-events-rights/_doc/e-uid-0-1000", ""),
        ("GET", "/kube-events-rights/_mapping", ""),
        ("PUT", "/kube-events-rights/_doc/e-uid-0-1000", "{}"),
        ("DELETE", "/kube-events-rights/_doc/e-uid-0-1000", ""),
        ("POST", "/kube-events-rights/_close", ""),
        ("DELETE", "/kube-events-rights", ""),
        ("PUT", "/other", ""),
        (
            "PUT",
            "/_index_template/other",
            r#"{"index_patterns":["other"]}"#,
        ),
        ("GET", "/_cluster/health", ""),
    ] {
        let user = ("event_exporter", "event_exporter-pw");
        let (status, answer) = server().ask(user, method, path, body).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }

    // One event that goes where the user may not does not hold up the others.
    let config = config.replace(
        "index: kube-events-rights",
        "index: \"{{ .InvolvedObject.Name }}\"",
    );
    let named = |name: &str| lines(name, 2, "m").replace("web-0", name);
    let replay = Replay::start(&config, &(named("kube-events-mixed") + &named("forbidden")));
    replay
        .logs("HTTP 403: security_exception: action [indices:admin/auto_create] is unauthorized")
        .await;
    assert_eq!(server().count("kube-events-mixed").await, 2);
}

#[tokio::test]
async fn who_is_not_believed_by_elasticsearch_is_told_in_one_line() {
    let wrong = config("event_exporter", "index: kube-events-nobody");
    for (from, to, words) in [
        (
            "password: event_exporter-pw",
            "password: wrong",
            "HTTP 401: security_exception: unable to authenticate user [event_exporter]",
        ),
        (
            "username: event_exporter, password: event_exporter-pw",
            "apiKey: d3Jvbmc6a2V5",
            "HTTP 401: security_exception:",
        ),
        (
            "username: event_exporter, password: event_exporter-pw, ",
            "",
            "HTTP 401: security_exception: missing authentication credentials",
        ),
        (
            "/ca.pem",
            "/otherca.pem",
            "is of no issuer that is trusted here",
        ),
    ] {
        let replay = Replay::start(&wrong.replace(from, to), &lines("e", 2, "m"));
        replay.logs(words).await;
        let log = replay.log();
        assert!(
            !log.contains("-pw") && !log.contains("d3Jvbmc6a2V5"),
            "{log}"
        );
        assert!(!log.contains("rejected"), "{log}");
    }
}

#[tokio::test]
async fn what_elasticsearch_will_never_take_costs_no_other_event() {
    let bad = |labels: Value| {
        let mut event: Value = serde_json::from_str(&lines("bad", 1, "m")).unwrap();
        event["metadata"]["labels"] = labels;
        format!("{event}\n")
    };
    let keyword = r#"{"mappings":{"properties":{"message":{"type":"keyword"}}}}"#;
    let integer =
        r#"{"mappings":{"properties":{"message":{"type":"integer","ignore_malformed":false}}}}"#;
    let strict = r#"{"mappings":{"properties":{"metadata":{"properties":{"labels":{"type":"object","dynamic":"strict"}}}}}}"#;
    let text_field = r#"{"mappings":{"properties":{"metadata":{"properties":{"labels":{"properties":{"app":{"type":"text"}}}}}}}}"#;
    let long = "u".repeat(600);
    for (index, made, bad, words) in [
        (
            "never-type",
            integer,
            lines("bad", 1, "no number"),
            "document_parsing_exception",
        ),
        (
            "never-strict",
            strict,
            bad(json!({"new": "x"})),
            "strict_dynamic_mapping_exception",
        ),
        (
            "never-dots",
            text_field,
            bad(json!({"app": "web", "app.kubernetes.io/name": "web"})),
            "document_parsing_exception",
        ),
        (
            "never-long",
            keyword,
            lines("bad", 1, &"x".repeat(40_000)),
            "of type [keyword]",
        ),
        (
            "never-id",
            "{}",
            lines("bad", 1, "m").replace("bad-uid", &long),
            "id [uuu",
        ),
    ] {
        server()
            .call_all(&[("PUT", &format!("/{index}"), made)])
            .await;
        let config = config("admin", &format!("index: {index}"));
        let told = text(&replay(&config, &(lines("good", 5, "42") + &bad)).stderr);
        assert!(
            told.contains("6 events read, 5 deliveries taken, 1 rejected"),
            "{index}: {told}"
        );
        assert!(told.contains(words), "{index}: {told}");
        assert_eq!(server().count(index).await, 5, "{index}");
    }
    // One field too many.
    server().call_all(&[("PUT", "/never-fields", "{}")]).await;
    let config = config("admin", "index: never-fields");
    replays(&config, &lines("first", 1, "m"));
    let limit = r#"{"index.mapping.total_fields.limit":1}"#;
    server()
        .call_all(&[("PUT", "/never-fields/_settings", limit)])
        .await;
    let told = text(
        &replay(
            &config,
            &(lines("good", 5, "m") + &bad(json!({"new": "x"}))),
        )
        .stderr,
    );
    assert!(told.contains("5 deliveries taken, 1 rejected"), "{told}");
    assert!(
        told.contains("Limit of total fields [1] has been exceeded"),
        "{told}"
    );
}

/// A shared server makes all other indices all the while.
const NOT_MADE: Mendable = (
    "mend-create",
    &[(
        "PUT",
        "/_cluster/settings",
        r#"{"persistent":{"action.auto_create_index":"-mend-create,*"}}"#,
    )],
    "HTTP 404: index_not_found_exception",
    &[(
        "PUT",
        "/_cluster/settings",
        r#"{"persistent":{"action.auto_create_index":null}}"#,
    )],
);

#[tokio::test]
async fn fault_09_what_somebody_has_to_mend_in_elasticsearch_is_waited_for() {
    for mendable in MENDABLE.into_iter().chain([NOT_MADE]) {
        is_waited_for(server(), mendable, |target| {
            config("admin", &format!("index: {target}"))
        })
        .await;
    }
}

#[tokio::test]
async fn setup_makes_in_elasticsearch_what_it_can_have() {
    // Policies and data streams are not in the distribution that is at hand.
    let dated = "indexFormat: \"kube-events-set-up-{2006.01.02}\", setup: true";
    let setup = config("event_exporter_setup", dated);
    for outcome in ["created", "unchanged", "unchanged"] {
        let output = run(&["setup", "config.yaml"], &setup, "");
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stdout);
        let told: Vec<&str> = told
            .lines()
            .filter(|line| line.ends_with(outcome))
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        let words = "the server has no policies for indices";
        assert!(
            text(&output.stderr).contains(words),
            "{}",
            text(&output.stderr)
        );
    }
    replays(&config("event_exporter", dated), &lines("e", 5, "m"));
    let index = "kube-events-set-up-20*";
    assert_eq!(server().count(index).await, 5);
    let mappings = server()
        .call("GET", &format!("/{index}/_mapping"), "")
        .await;
    let (_, mappings) = mappings.as_object().unwrap().iter().next().unwrap();
    let field = |path: &str| &mappings["mappings"]["properties"][path]["type"];
    let types = [field("@timestamp"), field("reason"), field("count")];
    assert_eq!(types, ["date", "keyword", "long"]);
    let labels = &mappings["mappings"]["properties"]["involvedObject"]["properties"]["labels"];
    assert_eq!(labels["type"], "flattened");
}
