//! What goes over the wire for every example of `config/`, compared with what is recorded in `tests/wire`.
//!
//! `RECORD=1` writes the recordings instead.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::support::{EXPORTER, text, with_credentials};

use self::server::Server;

pub mod server;

/// Every example has to send something of these events; they are the ones of `tests/wire/events.json`.
pub const EVENTS: &str = include_str!("../wire/events.json");

/// What an example writes into files of its own, by their names.
const FILES: [&str; 3] = ["events.jsonl", "archive.jsonl", "rejected.jsonl"];

#[test]
fn every_example_sends_what_is_recorded() {
    let record = std::env::var_os("RECORD").is_some();
    let (examples, mut wrong) = (examples(), String::new());
    assert!(examples.len() > 20, "{examples:?}");
    for (name, path) in &examples {
        let sent = sent_by(name, &fs::read_to_string(path).unwrap());
        let recording = recording(name);
        if record {
            fs::write(&recording, &sent).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&recording).unwrap_or_default();
        if expected.is_empty() {
            wrong += &format!("{name} has no recording: RECORD=1 makes one\n");
        } else if sent != expected {
            wrong += &format!("--- {name}: expected\n{expected}\n--- {name}: sent\n{sent}\n");
        }
    }
    for name in files(&root().join("tests/wire"), "http").into_keys() {
        if !examples.contains_key(&name) {
            wrong += &format!("{name} is recorded, and there is no such example\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_recording_is_the_body_with_line_ends_between_its_tokens() {
    let body = r#"{"a":[],"b":{},"c":[1,{"d":"[{\"e\": \\"}],"f":null}"#;
    let expected = r#"{
  "a": [],
  "b": {},
  "c": [
    1,
    {
      "d": "[{\"e\": \\"
    }
  ],
  "f": null
}"#;
    assert_eq!(lay_out(body), expected);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recording(name: &str) -> PathBuf {
    root().join(format!("tests/wire/{name}.http"))
}

fn examples() -> BTreeMap<String, PathBuf> {
    files(&root().join("config"), "yaml")
}

/// The files of a folder with this ending, by their names without it.
fn files(folder: &Path, ending: &str) -> BTreeMap<String, PathBuf> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|given| given == ending))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, path)
        })
        .collect()
}

/// Replays the events on an example, and writes down all that came out of it.
fn sent_by(name: &str, config: &str) -> String {
    let server = Server::start();
    let syslog = TcpListener::bind("127.0.0.1:0").unwrap();
    let syslog_address = syslog.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let config = with_credentials(&redirected(name, config, &server.url), folder.path());
    fs::write(folder.path().join("config.yaml"), &config).unwrap();
    fs::write(folder.path().join("events.json"), EVENTS).unwrap();

    // What is read elsewhere than from files: both end when the program closes its end.
    let lines = match name {
        "pipe" => {
            let pipe = folder.path().join("pipe");
            let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
            assert!(made.success());
            Some(thread::spawn(move || fs::read_to_string(pipe).unwrap()))
        }
        "syslog" => Some(thread::spawn(move || {
            let mut received = String::new();
            let (mut connection, _) = syslog.accept().unwrap();
            connection.read_to_string(&mut received).unwrap();
            received
        })),
        _ => None,
    };
    let mut command = Command::new(&*EXPORTER);
    command
        .args(["replay", "config.yaml", "--events", "events.json"])
        .current_dir(folder.path())
        .env_clear()
        .env("SYSLOG_ADDRESS", syslog_address)
        .env("AWS_ACCESS_KEY_ID", "aws-access-key-id")
        .env("AWS_SECRET_ACCESS_KEY", "aws-secret-access-key")
        .envs(variables(&config, &server.url));
    let (output, pid) = ended(&mut command);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{name}: {told}");
    assert!(told.contains(" 0 rejected"), "{name}: {told}");

    let mut sent: Vec<String> = server
        .requests()
        .iter()
        .map(server::Request::show)
        .collect();
    sent.extend(lines.map(|lines| masked(&lines.join().unwrap(), pid)));
    for file in FILES {
        let written = fs::read_to_string(folder.path().join(file)).unwrap_or_default();
        sent.extend(Some(written).filter(|written| !written.is_empty()));
    }
    sent.extend(Some(text(&output.stdout)).filter(|printed| !printed.is_empty()));
    assert!(!sent.is_empty(), "{name} sends nothing of these events");
    let mut all = sent.join("\n###\n");
    if !all.ends_with('\n') {
        all.push('\n');
    }
    all
}

/// The example with what can't be said by variables: where it sends what has no URL of its own, and that a batch ends with
/// the input and not by the clock.
fn redirected(name: &str, config: &str, server: &str) -> String {
    let mut redirected = match name {
        "elasticsearch-cloud" => {
            let lines = config.lines().map(|line| {
                if line.trim_start().starts_with("cloudID:") {
                    format!("      hosts: [\"{server}\"]\n")
                } else {
                    format!("{line}\n")
                }
            });
            lines.collect()
        }
        "slack-app" => config.replace(
            "    slack:\n",
            &format!("    slack:\n      endpoint: {server}/api/chat.postMessage\n"),
        ),
        "pipe" => config.replace("/run/events/pipe", "pipe"),
        _ => config.to_owned(),
    };
    assert!(
        !["elasticsearch-cloud", "slack-app", "pipe"].contains(&name) || redirected != config,
        "{name} is not what it was"
    );
    if redirected.contains("\n    batch: {") {
        redirected = redirected.replace("maxDelay: 2s", "maxDelay: 1h");
    } else {
        let lines = redirected.lines().map(|line| {
            let batch = line.starts_with("  - name: ");
            let batch = if batch {
                "    batch: {maxDelay: 1h}\n"
            } else {
                ""
            };
            format!("{line}\n{batch}")
        });
        redirected = lines.collect();
    }
    assert!(redirected.contains("maxDelay: 1h"), "{name}");
    redirected
}

/// The variables that an example reads: URLs are the server's, with the path that they have in the example; others say
/// what they are called.
fn variables(config: &str, server: &str) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for after in config.split("${").skip(1) {
        let inside = after.split('}').next().unwrap();
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        let value = match default.split_once("://") {
            Some((_, rest)) => {
                let path = rest.find('/').map_or("", |at| &rest[at..]);
                format!("{server}{path}")
            }
            None if name.ends_with("_URL") => server.to_owned(),
            None if name == "SYSLOG_ADDRESS" => continue,
            None => name.to_lowercase().replace('_', "-"),
        };
        variables.push((name.to_owned(), value));
    }
    variables
}

/// Runs a program, and says which process it was.
fn ended(command: &mut Command) -> (Output, u32) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    (child.wait_with_output().unwrap(), pid)
}

/// `<132>TIME HOST TAG[PID]: …` without what is this machine's and this process's.
fn masked(lines: &str, pid: u32) -> String {
    let lines = lines.lines().map(|line| {
        let mut words: Vec<&str> = line.splitn(4, ' ').collect();
        let tag = words.get(2).copied().unwrap_or_default();
        let masked = tag.replace(&format!("[{pid}]:"), "[PID]:");
        if masked == tag {
            return format!("{line}\n");
        }
        words[1] = "HOST";
        words[2] = &masked;
        words.join(" ") + "\n"
    });
    lines.collect()
}

/// JSON with line ends and indentation between its tokens, and nothing else changed: how a string is escaped is a part of
/// what is sent.
fn lay_out(json: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                if let Some(end) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                quoted = true;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}
