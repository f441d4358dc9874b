//! Who may write, and who is believed: users, rights and certificates, with the security plugin.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Replay, config};
use crate::console::{requests, section};
use crate::support::{OpenSearch, eventually, lines, run, text};

const DOCUMENT: &str = include_str!("../../../docs/opensearch.md");
pub const PASSWORD: &str = "correct-Horse-7-battery";

/// Gives a user the rights to write events, or those to set up, by the requests of the documentation.
pub async fn grant(user: &str, to_set_up: bool) {
    // The plugin refuses two changes at a time.
    static ALONE: Mutex<()> = Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let opensearch = OpenSearch::secure();
    let requests = requests(section(DOCUMENT, "Rights"));
    assert_eq!(requests.len(), 5);
    for request in requests {
        let own = |text: &str| {
            let text = text.replace("CHANGE-ME", PASSWORD);
            text.replace("event-exporter", user)
                .replace("event_exporter", user)
        };
        let (path, body) = (own(&request.path), own(&request.body));
        if path.ends_with("_setup") == to_set_up {
            let answer = opensearch.call(&request.method, &path, &body).await;
            assert_eq!(answer["status"], "CREATED", "{path}: {answer}");
        }
    }
}

/// The options of a receiver for who that is.
pub fn as_user(user: &str) -> String {
    let certs = OpenSearch::secure().certs.display();
    format!("username: {user}, password: {PASSWORD}, tls: {{caFile: {certs}/ca.pem}}")
}

/// Index State Management, which is not at hand, acts as who has put a policy: it asks whether that user may have it for an index (its
/// `ManagedIndexCoordinator`), and rolls over and deletes as that user.
#[test]
fn who_sets_up_may_do_what_policies_do() {
    let requests = requests(section(DOCUMENT, "Rights"));
    let role =
        |request: &crate::console::Request| request.path.ends_with("roles/event_exporter_setup");
    let role = requests.iter().find(|request| role(request)).unwrap();
    let role: Value = serde_json::from_str(&role.body).unwrap();
    let rights = &role["index_permissions"][0];
    assert_eq!(
        rights["index_patterns"],
        json!(["kube-events*", ".ds-kube-events*"])
    );
    for right in [
        "indices:admin/opensearch/ism/managedindex",
        "indices:admin/rollover",
        "indices:admin/delete",
        "indices:monitor/stats",
    ] {
        let allowed = rights["allowed_actions"].as_array().unwrap();
        assert!(allowed.contains(&right.into()), "{right}");
    }
}

#[tokio::test]
async fn the_role_of_the_documentation_writes_events_and_does_nothing_else() {
    let (opensearch, user) = (OpenSearch::secure(), "writer");
    grant(user, false).await;
    let stream =
        json!({"index_patterns": ["kube-events-stream"], "data_stream": {}, "priority": 300});
    let path = "/_index_template/rights-stream";
    opensearch.call("PUT", path, &stream.to_string()).await;
    for (target, index) in [
        ("index: kube-events", "kube-events"),
        (
            "index: kube-events-latest, useEventID: true",
            "kube-events-latest",
        ),
        ("indexFormat: \"kube-events-{2006}\"", "kube-events-2*"),
        ("dataStream: kube-events-stream", "kube-events-stream"),
    ] {
        let config = config(&opensearch.url, "x", &format!(", {}", as_user(user)));
        let config = config.replace("index: x", target);
        let output = run(
            &["replay", "config.yaml", "--events", "-"],
            &config,
            &lines("e", 5, "m"),
        );
        assert!(
            output.status.success(),
            "{target}: {}",
            text(&output.stderr)
        );
        assert_eq!(opensearch.count(index).await, 5, "{index}");
    }
    let ask = async |method: &str, path: &str, body: &str| {
        opensearch.ask((user, PASSWORD), method, path, body).await
    };
    let all = r#"{"query":{"match_all":{}}}"#;
    for (method, path, body) in [
        ("GET", "/kube-events/_search", all),
        ("GET", "/kube-events/_count", all),
        ("GET", "/kube-events/_doc/e-uid-0-1000", ""),
        ("GET", "/kube-events/_mapping", ""),
        ("DELETE", "/kube-events/_doc/e-uid-0-1000", ""),
        ("POST", "/kube-events/_delete_by_query", all),
        ("POST", "/kube-events/_close", ""),
        ("DELETE", "/kube-events", ""),
        ("DELETE", "/_data_stream/kube-events-stream", ""),
        (
            "PUT",
            "/kube-events/_settings",
            r#"{"index.blocks.write":true}"#,
        ),
        ("PUT", "/other", ""),
        ("GET", "/other/_search", all),
        (
            "PUT",
            "/_index_template/other",
            r#"{"index_patterns":["other"]}"#,
        ),
        (
            "PUT",
            "/_cluster/settings",
            r#"{"transient":{"action.auto_create_index":"false"}}"#,
        ),
        ("GET", "/_cat/indices", ""),
        ("GET", "/_plugins/_security/api/roles", ""),
        ("GET", "/", ""),
    ] {
        let (status, answer) = ask(method, path, body).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    let bulk = r#"{"delete":{"_index":"kube-events","_id":"e-uid-0-1000"}}
{"update":{"_index":"kube-events","_id":"e-uid-0-1000"}}
{"doc":{"message":"another"}}
{"create":{"_index":"other"}}
{"message":"m"}
"#;
    let (_, answer) = ask("POST", "/_bulk", bulk).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let items = answer["items"].as_array().unwrap().iter();
    let statuses = items.flat_map(|item| item.as_object().unwrap().values());
    let statuses: Vec<&Value> = statuses.map(|item| &item["status"]).collect();
    assert_eq!(statuses, [403, 403, 403], "{answer}");
    assert_eq!(opensearch.count("kube-events").await, 5);

    // One event that goes where the user may not does not hold up the others.
    let config = config(&opensearch.url, "x", &format!(", {}", as_user(user)));
    let config = config.replace("index: x", "index: \"{{ .InvolvedObject.Name }}\"");
    let named = |name: &str| lines(name, 2, "m").replace("web-0", name);
    let replay = Replay::start(&config, &(named("kube-events-mixed") + &named("forbidden")));
    replay
        .logs("HTTP 403: security_exception: no permissions for [indices:admin/create]")
        .await;
    assert_eq!(opensearch.count("kube-events-mixed").await, 2);
}

/// A server that shows a certificate which is over. OpenSearch refuses to start with one, but not to go on.
fn expired() -> (Child, String) {
    let certs = &OpenSearch::secure().certs;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &address, "-cert"])
        .args([
            certs.join("expired.pem"),
            "-key".into(),
            certs.join("expired-key.pem"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (server, address)
}

#[tokio::test]
async fn fault_10_tls_users_and_client_certificates() {
    let opensearch = OpenSearch::secure();
    let certs = opensearch.certs.display();
    let ca = format!("caFile: {certs}/ca.pem");
    let user = "username: exporter, password: exporter-pw";
    let run = |index: &str, more: &str| {
        let config = config(&opensearch.url, index, &format!(", {more}"));
        run(
            &["replay", "config.yaml", "--events", "-"],
            &config,
            &lines("e", 10, "m"),
        )
    };
    for (index, more) in [
        ("k8s-events-basic", format!("{user}, tls: {{{ca}}}")),
        (
            "k8s-events-trusting",
            format!("{user}, tls: {{insecureSkipVerify: true}}"),
        ),
        (
            "k8s-events-cert",
            format!(
                "tls: {{{ca}, certFile: {certs}/exporter.pem, keyFile: {certs}/exporter-key.pem}}"
            ),
        ),
    ] {
        let output = run(index, &more);
        assert!(output.status.success(), "{index}: {}", text(&output.stderr));
        assert_eq!(opensearch.count(index).await, 10, "{index}");
    }
    // What is wrong is said in one line, without the password, and tried again until it is put right.
    let (mut server, address) = expired();
    eventually("it listens", async || TcpStream::connect(&address).is_ok()).await;
    let elsewhere = opensearch.url.replace("127.0.0.1", "127.0.0.2");
    for (host, more, words) in [
        (
            opensearch.url.clone(),
            format!("username: exporter, password: canary-pw, tls: {{{ca}}}"),
            "HTTP 401".to_owned(),
        ),
        (
            opensearch.url.clone(),
            format!(
                "tls: {{{ca}, certFile: {certs}/stranger.pem, keyFile: {certs}/stranger-key.pem}}"
            ),
            "HTTP 403".to_owned(),
        ),
        (
            opensearch.url.clone(),
            format!("{user}, tls: {{caFile: {certs}/otherca.pem}}"),
            format!(
                "{}: no answer: the server's certificate is of no issuer that is trusted here: give the issuer's under `tls.caFile`",
                opensearch.url
            ),
        ),
        (
            elsewhere.clone(),
            format!("{user}, tls: {{{ca}}}"),
            format!(
                "{elsewhere}: no answer: the server's certificate is not for 127.0.0.2 but for localhost, 127.0.0.1, "
            ),
        ),
        (
            format!("https://{address}"),
            format!("{user}, tls: {{{ca}}}"),
            format!("https://{address}: no answer: the server's certificate has expired ("),
        ),
    ] {
        let replay = Replay::start(
            &config(&host, "k8s-events-wrong", &format!(", {more}")),
            &lines("e", 1, "m"),
        );
        replay.logs("events were not taken").await;
        let log = replay.log();
        assert!(log.contains(&words), "{words}: {log}");
        assert!(
            !log.contains("canary-pw") && !log.contains("exporter-pw"),
            "{log}"
        );
        assert_eq!(
            log.lines()
                .filter(|line| line.contains("events were not taken"))
                .count(),
            1,
            "{log}"
        );
    }
    server.kill().unwrap();
    server.wait().unwrap();
}
