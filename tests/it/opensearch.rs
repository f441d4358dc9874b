//! What a real OpenSearch answers when something is wrong, and what becomes of the events.

use std::process::{Child, Command, Stdio};

use crate::support::{EXPORTER, OpenSearch, eventually, lines, run, text};

fn config(url: &str, index: &str, more: &str) -> String {
    format!(
        "route: {{match: [{{receiver: os}}]}}
receivers:
- name: os
  retry: {{initial: 50ms, max: 500ms}}
  batch: {{maxDelay: 10ms}}
  opensearch: {{hosts: {url}, index: {index}{more}}}
"
    )
}

/// A replay that goes on while the test does something about the server.
struct Replay {
    child: Child,
    folder: tempfile::TempDir,
}

impl Replay {
    fn start(config: &str, events: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.yaml"), config).unwrap();
        std::fs::write(folder.path().join("events.jsonl"), events).unwrap();
        let errors = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(EXPORTER)
            .args(["replay", "config.yaml", "--events", "events.jsonl"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    async fn logs(&self, words: &str) {
        eventually(words, async || self.log().contains(words)).await;
    }

    async fn succeeds(mut self) {
        let mut status = None;
        eventually("the replay ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert!(status.unwrap().success(), "{}", self.log());
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_mapping_conflict_rejects_its_events_and_no_others() {
    let opensearch = OpenSearch::shared();
    opensearch
        .call(
            "PUT",
            "/conflict",
            r#"{"mappings":{"properties":{"message":{"type":"integer"}}}}"#,
        )
        .await;
    let events = lines("good", 20, "42") + &lines("bad", 3, "no number") + &lines("fine", 20, "43");
    let config = config(&opensearch.url, "conflict", "")
        .replace("  retry:", "  deadLetter: {file: dead.jsonl}\n  retry:");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), &config).unwrap();
    std::fs::write(folder.path().join("events.jsonl"), &events).unwrap();
    let replay = |config: &str, events: &str| {
        let command = ["replay", config, "--events", events];
        Command::new(EXPORTER)
            .args(command)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let output = replay("config.yaml", "events.jsonl");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("43 events read, 40 deliveries taken, 3 rejected"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.stdout, b"");
    assert_eq!(opensearch.count("conflict").await, 40);
    let dead = std::fs::read_to_string(folder.path().join("dead.jsonl")).unwrap();
    assert_eq!(dead.lines().count(), 3);
    assert!(
        dead.contains("mapper_parsing_exception") && dead.contains("no number"),
        "{dead}"
    );

    // What was put aside can be sent again once the index is mended.
    let mended = config
        .replace("index: conflict", "index: mended")
        .replace("  deadLetter: {file: dead.jsonl}\n", "");
    std::fs::write(folder.path().join("mended.yaml"), mended).unwrap();
    let output = replay("mended.yaml", "dead.jsonl");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let documents = opensearch.documents("mended").await;
    assert_eq!(
        documents.keys().collect::<Vec<_>>(),
        ["bad-uid-0-1000", "bad-uid-1-1001", "bad-uid-2-1002"]
    );
}

#[tokio::test]
async fn replaying_twice_changes_nothing() {
    let opensearch = OpenSearch::shared();
    for _ in 0..2 {
        let output = run(
            &["replay", "config.yaml", "--events", "-"],
            &config(&opensearch.url, "twice", ""),
            &lines("e", 50, "m"),
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(opensearch.count("twice").await, 50);
}

#[tokio::test]
async fn a_data_stream_takes_events_once() {
    let opensearch = OpenSearch::shared();
    let template = r#"{"index_patterns":["stream*"],"data_stream":{},"priority":300}"#;
    opensearch
        .call("PUT", "/_index_template/stream", template)
        .await;
    let config = config(&opensearch.url, "x", "").replace("index: x", "dataStream: stream");
    for _ in 0..2 {
        let output = run(
            &["replay", "config.yaml", "--events", "-"],
            &config,
            &lines("e", 10, "m"),
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(opensearch.count("stream").await, 10);
}

#[tokio::test]
async fn a_blocked_index_is_waited_for() {
    let opensearch = OpenSearch::shared();
    for (index, block, words) in [
        (
            "write-block",
            "index.blocks.write",
            "FORBIDDEN/8/index write",
        ),
        (
            "flood-stage",
            "index.blocks.read_only_allow_delete",
            "TOO_MANY_REQUESTS/12",
        ),
    ] {
        opensearch.call("PUT", &format!("/{index}"), "").await;
        opensearch
            .call(
                "PUT",
                &format!("/{index}/_settings"),
                &format!(r#"{{"{block}":true}}"#),
            )
            .await;
        let replay = Replay::start(&config(&opensearch.url, index, ""), &lines("e", 10, "m"));
        replay.logs(words).await;
        opensearch
            .call(
                "PUT",
                &format!("/{index}/_settings"),
                &format!(r#"{{"{block}":null}}"#),
            )
            .await;
        replay.succeeds().await;
        assert_eq!(opensearch.count(index).await, 10);
    }
}

#[tokio::test]
async fn a_closed_index_and_one_that_may_not_be_made_are_waited_for() {
    let opensearch = OpenSearch::start("test-closed", &[], &[]);
    opensearch.call("PUT", "/closed", "").await;
    opensearch.call("POST", "/closed/_close", "").await;
    let replay = Replay::start(&config(&opensearch.url, "closed", ""), &lines("e", 5, "m"));
    replay.logs("index_closed_exception").await;
    opensearch.call("POST", "/closed/_open", "").await;
    replay.succeeds().await;

    let auto = |on: &str| format!(r#"{{"transient":{{"action.auto_create_index":"{on}"}}}}"#);
    opensearch
        .call("PUT", "/_cluster/settings", &auto("false"))
        .await;
    let replay = Replay::start(&config(&opensearch.url, "unmade", ""), &lines("e", 5, "m"));
    replay.logs("index_not_found_exception").await;
    opensearch
        .call("PUT", "/_cluster/settings", &auto("true"))
        .await;
    replay.succeeds().await;
    assert_eq!(
        (
            opensearch.count("closed").await,
            opensearch.count("unmade").await
        ),
        (5, 5)
    );
}

#[tokio::test]
async fn batches_that_are_too_large_are_made_smaller() {
    let opensearch = OpenSearch::start("test-small", &["http.max_content_length=64kb"], &[]);
    let events = lines("e", 300, &"x".repeat(1000)) + &lines("huge", 1, &"x".repeat(100_000));
    let output = run(
        &["replay", "config.yaml", "--events", "-"],
        &config(&opensearch.url, "small", ""),
        &events,
    );
    // The server counts what it has unpacked; one event is larger than anything it takes.
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("301 events read, 300 deliveries taken, 1 rejected"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(opensearch.count("small").await, 300);
}

#[tokio::test]
async fn a_busy_server_is_waited_for() {
    let opensearch = OpenSearch::shared();
    let limit = |limit: &str| {
        format!(r#"{{"transient":{{"network.breaker.inflight_requests.limit":{limit}}}}}"#)
    };
    let server = OpenSearch::start("test-busy", &[], &[]);
    server
        .call("PUT", "/_cluster/settings", &limit("\"10kb\""))
        .await;
    let replay = Replay::start(
        &config(&server.url, "busy", ", gzip: false"),
        &lines("e", 100, &"x".repeat(500)),
    );
    replay.logs("circuit_breaking_exception").await;
    server
        .call("PUT", "/_cluster/settings", &limit("null"))
        .await;
    replay.succeeds().await;
    assert_eq!(server.count("busy").await, 100);
    assert_eq!(opensearch.count("busy").await, 0, "another server");
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for() {
    let opensearch = OpenSearch::start("test-hang", &[], &[]);
    let config = config(&opensearch.url, "hang", "").replace("  retry:", "  timeout: 1s\n  retry:");
    opensearch.control("pause");
    let replay = Replay::start(&config, &lines("e", 10, "m"));
    replay.logs("no answer in time").await;
    opensearch.control("resume");
    replay.succeeds().await;
    assert_eq!(
        opensearch.count("hang").await,
        10,
        "what was taken before the answer was lost is there once"
    );
}

#[tokio::test]
async fn tls_users_and_client_certificates() {
    let opensearch = OpenSearch::start("test-secure", &[], &[("SECURE", "1")]);
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
    for (more, words) in [
        (
            format!("username: exporter, password: canary-pw, tls: {{{ca}}}"),
            "HTTP 401",
        ),
        (
            format!("{user}, tls: {{caFile: {certs}/otherca.pem}}"),
            "certificate",
        ),
        (
            format!(
                "tls: {{{ca}, certFile: {certs}/stranger.pem, keyFile: {certs}/stranger-key.pem}}"
            ),
            "HTTP 403",
        ),
    ] {
        let replay = Replay::start(
            &config(&opensearch.url, "k8s-events-wrong", &format!(", {more}")),
            &lines("e", 1, "m"),
        );
        replay.logs("events were not taken").await;
        let log = replay.log();
        assert!(log.contains(words), "{words}: {log}");
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
    // An index that the user may not write to.
    let replay = Replay::start(
        &config(
            &opensearch.url,
            "forbidden",
            &format!(", {user}, tls: {{{ca}}}"),
        ),
        &lines("e", 1, "m"),
    );
    replay.logs("security_exception").await;
}
