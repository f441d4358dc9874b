//! `replay` and `route`: events from files.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::support::{EXPORTER, eventually, lines, run, text};

const STDOUT: &str = "route: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]\n";

#[test]
fn replay_sends_events_of_every_shape_whatever_their_age() {
    let old = r#"{"metadata":{"name":"old","namespace":"n","uid":"u"},"lastTimestamp":"2001-01-01T00:00:00Z","clusterName":"mine","involvedObject":{"labels":{"a":"b"},"deleted":true}}"#;
    let list = format!(r#"{{"kind":"List","items":[{old}]}}"#);
    let frame = format!(r#"{{"type":"MODIFIED","object":{old}}}"#);
    let config = format!("clusterName: other\n{STDOUT}");
    let output = run(
        &["replay", "config.yaml", "--events", "-"],
        &config,
        &format!("{list}\n{frame}\n{old}\n"),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let documents = text(&output.stdout);
    assert_eq!(
        documents.lines().count(),
        3,
        "nothing but documents: {documents}"
    );
    for line in documents.lines() {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (
                &document["clusterName"],
                &document["involvedObject"]["labels"]["a"]
            ),
            (&"mine".into(), &"b".into())
        );
        assert_eq!(document["involvedObject"]["deleted"], true);
    }
    // What it has written it can read again.
    let again = run(
        &["replay", "config.yaml", "--events", "-"],
        &config,
        &documents,
    );
    assert_eq!(text(&again.stdout), documents);
    let pods = run(
        &["replay", "config.yaml", "-events", "-"],
        &config,
        r#"{"kind":"PodList","items":[{"kind":"Pod","metadata":{"name":"p"}}]}"#,
    );
    assert_eq!(pods.status.code(), Some(1));
    assert!(
        text(&pods.stderr).contains("an object of kind \"PodList\" is no Event"),
        "{}",
        text(&pods.stderr)
    );
    // A receiver that drops what comes too fast has all the time it needs in a replay.
    let many: String = (0..500)
        .map(|at| format!("{{\"metadata\":{{\"name\":\"e{at}\",\"uid\":\"u{at}\"}}}}\n"))
        .collect();
    let dropping = STDOUT.replace(
        "name: out,",
        "name: out, onFull: drop, queue: {maxBytes: 10Ki},",
    );
    assert!(dropping.contains("drop"), "{dropping}");
    let all = run(
        &["replay", "config.yaml", "--events", "-"],
        &dropping,
        &many,
    );
    assert_eq!(text(&all.stdout).lines().count(), 500);
    let dry = run(
        &["replay", "config.yaml", "--events", "-", "--dry-run"],
        &config,
        old,
    );
    let line: serde_json::Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(
        (&line["event"], &line["receiver"]),
        (&"n/old".into(), &"out".into())
    );
    let broken = run(
        &["replay", "config.yaml", "--events", "-"],
        &config,
        "{\"metadata\":{}}\nnonsense",
    );
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        text(&broken.stderr).contains("1 event read, 1 delivery taken, 0 rejected"),
        "{}",
        text(&broken.stderr)
    );
    assert!(
        text(&broken.stderr).contains("error: standard input:2: this is no JSON"),
        "{}",
        text(&broken.stderr)
    );
}

#[test]
fn what_is_no_event_costs_only_itself() {
    let input = "{\"metadata\":{\"name\":\"a\"}}\n{\"kind\":\"Pod\",\"metadata\":{}}\n{\"metadata\":{\"name\":\"b\"}}";
    for command in [
        &["replay", "config.yaml", "--events", "-"][..],
        &["replay", "config.yaml", "--events", "-", "--dry-run"],
        &["route", "config.yaml", "--event", "-"],
    ] {
        let output = run(command, STDOUT, input);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let told = text(&output.stdout);
        // What explains an event is indented.
        let events = told.lines().filter(|line| !line.starts_with(' '));
        assert_eq!(events.count(), 2, "{command:?}");
        assert!(
            text(&output.stderr).contains("an object of kind \"Pod\" is no Event"),
            "{command:?}"
        );
    }
}

#[test]
fn a_dead_letter_is_replayed_as_it_was_when_the_replay_began() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("rejected.jsonl");
    std::fs::write(&letter, lines("e", 20, "m")).unwrap();
    let endpoint = refusing();
    let config = format!(
        "route: {{match: [{{receiver: out}}]}}\nreceivers: [{{name: out, webhook: {{endpoint: \"{endpoint}\"}}, deadLetter: {{file: {}}}}}]",
        letter.display()
    );
    let output = run(
        &[
            "replay",
            "config.yaml",
            "--events",
            letter.to_str().unwrap(),
        ],
        &config,
        "",
    );
    let told = text(&output.stderr);
    assert!(
        told.contains("20 events read, 0 deliveries taken, 20 rejected"),
        "{told}"
    );
    assert_eq!(
        std::fs::read_to_string(&letter).unwrap().lines().count(),
        40
    );
}

#[test]
fn output_that_nobody_reads_is_the_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), STDOUT).unwrap();
    std::fs::write(folder.path().join("events"), lines("e", 5000, "m")).unwrap();
    let mut child = Command::new(&*EXPORTER)
        .args(["replay", "config.yaml", "--events", "events"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains(
            "error: the receiver `out` has ended: cannot write to standard output: Broken pipe"
        ),
        "{told}"
    );
    for command in [
        &["route", "config.yaml", "--event", "events"][..],
        &["check", "config.yaml"],
        &["version"],
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = Command::new(&*EXPORTER)
            .args(command)
            .current_dir(folder.path())
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
    }
}

#[test]
fn a_dry_run_shows_no_secret_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let config = "route: {match: [{receiver: a}]}\nreceivers: [{name: a, webhook: {endpoint: \"http://h/\", layout: {routing_key: \"${ROUTING_KEY}\", region: \"${REGION}\"}}}]";
    std::fs::write(folder.path().join("config.yaml"), config).unwrap();
    std::fs::write(folder.path().join("events.json"), lines("e", 1, "m")).unwrap();
    let output = Command::new(&*EXPORTER)
        .args([
            "replay",
            "config.yaml",
            "--events",
            "events.json",
            "--dry-run",
        ])
        .current_dir(folder.path())
        .env("ROUTING_KEY", "R0\"23456789")
        .env("REGION", "eu-central-1")
        .output()
        .unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        line["document"],
        serde_json::json!({"region": "eu-central-1", "routing_key": "***"})
    );
}

#[tokio::test]
async fn a_replay_that_is_told_to_stop_gives_its_account() {
    // Nobody answers behind this port.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "route: {{match: [{{receiver: hook}}]}}\nreceivers: [{{name: hook, webhook: {{endpoint: \"http://{}/\"}}}}]",
        silent.local_addr().unwrap()
    );
    std::fs::write(folder.path().join("config.yaml"), config).unwrap();
    let mut child = Command::new(&*EXPORTER)
        .args(["replay", "config.yaml", "--events", "-"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines("e", 3, "m").as_bytes()).unwrap();
    silent.set_nonblocking(true).unwrap();
    let mut connection = None;
    eventually("it sends", async || {
        connection = connection.take().or(silent.accept().ok());
        connection.is_some()
    })
    .await;
    // The first ends the reading, the second the sending.
    for signal in ["-TERM", "-INT"] {
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("3 events read, 0 deliveries taken, 0 rejected")
            && told.contains("error: told to stop before the end of the input: 3 deliveries are left of what was read"),
        "{told}"
    );
}

/// A server that answers 400 to every request.
fn refusing() -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                    break;
                }
                let (name, value) = line.split_once(':').unwrap_or_default();
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap();
                }
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
            let answer =
                "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    endpoint
}
