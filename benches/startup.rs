//! How long it takes from the start of the program to its first event delivered, with an API server that answers at once, and but for
//! what receivers wait for their batch to fill.
//!
//! Run by `cargo bench`; prints milliseconds since the start, of the median and the slowest run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking, and prints"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

const ADDED: &str = include_str!("../tests/vectors/recorded/watch.jsonl");
const END: &str = "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"999999\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}";
/// One that has streaming lists.
const VERSION: &str = "{\"major\":\"1\",\"minor\":\"34\",\"gitVersion\":\"\",\"gitCommit\":\"\",\"gitTreeState\":\"\",\"buildDate\":\"\",\"goVersion\":\"\",\"compiler\":\"\",\"platform\":\"\"}";
const LIMIT: Duration = Duration::from_secs(30);

/// What has been reached.
#[derive(Clone, Copy)]
enum Reached {
    /// The API server has been asked for events.
    Asked,
    /// The first of them has been delivered.
    Delivered,
}

fn main() {
    // `cargo test` runs benchmarks too, to see that they run.
    let test = std::env::args().any(|arg| arg == "--test");
    let runs = if test { 1 } else { 21 };
    let (reached, reports) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, reached) = (stream.unwrap(), reached.clone());
            thread::spawn(move || serve(stream, &reached));
        }
    });
    for sink in [
        "webhook: {endpoint: URL}",
        "opensearch: {hosts: URL, index: kube-events}",
    ] {
        let times: Vec<_> = (0..runs).map(|_| start(&url, sink, &reports)).collect();
        let (name, _) = sink.split_once(':').unwrap();
        let report = |what, mut times: Vec<Duration>| {
            times.sort();
            let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
            let milliseconds = [median, last].map(|time| time.as_secs_f64() * 1000.0);
            println!(
                "{name}, {what}: {:.1} ms, {:.1} ms at the most",
                milliseconds[0], milliseconds[1]
            );
        };
        report(
            "events are asked for",
            times.iter().map(|it| it.0).collect(),
        );
        report(
            "the first one is delivered",
            times.iter().map(|it| it.1).collect(),
        );
    }
}

/// Until events were asked for, and until the first was delivered.
fn start(url: &str, sink: &str, reports: &Receiver<(Reached, Instant)>) -> (Duration, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let config = format!(
        "maxEventAgeSeconds: 1000000000\nroute: {{match: [{{receiver: r}}]}}\nreceivers: [{{name: r, batch: {{maxDelay: 0s}}, {}}}]",
        sink.replace("URL", url)
    );
    let kubeconfig = format!(
        "clusters: [{{name: c, cluster: {{server: \"{url}\"}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u}}]\ncurrent-context: c\n"
    );
    let started = Instant::now();
    let mut exporter = Command::new(env!("CARGO_BIN_EXE_kubernetes-event-exporter"))
        .arg("-conf")
        .arg(write("config.yaml", config))
        .arg("-kubeconfig")
        .arg(write("kubeconfig", kubeconfig))
        .args(["-metrics-address", "127.0.0.1:0"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut asked = None;
    let times = loop {
        match reports.recv_timeout(LIMIT) {
            Ok((Reached::Asked, at)) => {
                asked.get_or_insert(at);
            }
            Ok((Reached::Delivered, at)) => break Some((asked.unwrap() - started, at - started)),
            Err(_) => break None,
        }
    };
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    let times = times.expect("the event is delivered");
    while reports.try_recv().is_ok() {} // what else was delivered
    times
}

/// An API server with one event, and a receiver.
fn serve(mut stream: TcpStream, reached: &Sender<(Reached, Instant)>) {
    let mut read = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if read.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            if read.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let report = |what| reached.send((what, Instant::now()));
        let mut answer = if line.contains("/version") {
            VERSION
        } else {
            "{}"
        };
        if line.starts_with("POST") {
            read.read_exact(&mut vec![0; length]).unwrap();
            answer = "{\"errors\":false,\"items\":[{\"create\":{\"status\":201}}]}";
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        if line.contains("/events?") {
            let _ = report(Reached::Asked);
            let added = ADDED.lines().find(|it| it.contains("\"ADDED\"")).unwrap();
            let _ = write!(stream, "{head}\r\n{added}\n{END}\n");
            // The watch goes on until the program ends.
            let _ = read.read(&mut [0]);
            return;
        }
        let whole = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
        if stream.write_all(whole.as_bytes()).is_err() {
            return;
        }
        if line.starts_with("POST") {
            let _ = report(Reached::Delivered);
        }
    }
}
