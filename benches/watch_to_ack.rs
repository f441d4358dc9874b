//! CPU from the watch's bytes to the acknowledged bulk request, of the whole program but for the sockets' other ends.
//!
//! The program runs on a thread of its own, whose CPU time the kernel tells; an API server and an OpenSearch that cost
//! next to nothing run on another. Over loopback, without TLS. Run by `cargo bench`; prints microseconds an event.
//! `cargo bench --bench watch_to_ack -- steady` runs the ones of that name.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark fails by panicking, and prints"
)]

use std::fs;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kubernetes_event_exporter::app::{App, Kept};
use kubernetes_event_exporter::cluster::Cluster;
use kubernetes_event_exporter::config::Config;
use kubernetes_event_exporter::metrics::Metrics;
use kubernetes_event_exporter::source::client;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

struct Load {
    frames: Vec<String>,
    /// Between two frames; none for all of them at once.
    pause: Option<Duration>,
    taken: AtomicUsize,
    done: Notify,
}

fn main() {
    // `cargo test` runs benchmarks too, to see that they run.
    let test = std::env::args().any(|arg| arg == "--test");
    let burst = if test { 1_000 } else { 200_000 };
    let steady = if test { 100 } else { 10_000 };
    let millisecond = Some(Duration::from_millis(1));
    for (what, count, pause, omit_lookup, settings) in [
        ("burst, plain", burst, None, true, "gzip: false"),
        ("burst, gzip", burst, None, true, "gzip: true"),
        (
            "burst, plain, with lookups that the cache answers",
            burst,
            None,
            false,
            "gzip: false",
        ),
        (
            "steady 1,000 events/s, one chunk each, plain",
            steady,
            millisecond,
            true,
            "gzip: false",
        ),
    ] {
        let wanted = std::env::args()
            .skip(1)
            .filter(|arg| !arg.starts_with('-'))
            .all(|filter| what.contains(&filter));
        if wanted {
            measure(what, count, pause, omit_lookup, settings);
        }
    }
}

fn measure(
    what: &'static str,
    count: usize,
    pause: Option<Duration>,
    omit_lookup: bool,
    settings: &str,
) {
    let load = Arc::new(Load {
        frames: frames(count),
        pause,
        taken: AtomicUsize::new(0),
        done: Notify::new(),
    });
    let (ports, port) = std::sync::mpsc::channel();
    let served = Arc::clone(&load);
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ports.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
    });
    let url = format!("http://127.0.0.1:{}", port.recv().unwrap());
    let config = format!(
        "maxEventAgeSeconds: 1000000000\nomitLookup: {omit_lookup}\nroute: {{match: [{{receiver: os}}]}}\nreceivers: [{{name: os, opensearch: {{hosts: {url}, index: kube-events, {settings}}}}}]"
    );
    let exporter = std::thread::Builder::new().name("exporter".to_owned());
    let exporter = exporter.spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let metrics = Arc::new(Metrics::new(None).unwrap());
            let client = client::connect(&kube::Config::new(url.parse().unwrap()), metrics.api()).unwrap();
            let config = Config::parse(&config, &|_| None).unwrap().config;
            let cluster = Arc::new(Cluster::new(client, &config, metrics));
            let app = App::build(config, "bench", cluster, Kept::default(), None, Arc::default(), Arc::default()).await.unwrap();
            let shutdown = CancellationToken::new();
            let before = cpu();
            let started = tokio::time::Instant::now();
            let run = tokio::spawn(app.run(shutdown.clone(), Duration::from_secs(5)));
            load.done.notified().await;
            let (used, wall) = (cpu() - before, started.elapsed());
            shutdown.cancel();
            run.await.unwrap().unwrap();
            let taken = load.taken.load(Ordering::Relaxed);
            let micros = used as f64 / 1000.0 / taken as f64;
            let rate = taken as f64 / wall.as_secs_f64();
            println!("{what}: {micros:.1} µs an event, {taken} events, {rate:.0} events/s, peak memory of both ends {}", peak());
        });
    });
    exporter.unwrap().join().unwrap();
}

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap()
        .trim()
        .to_owned()
}

/// A real cluster's events, each with an identity of its own.
fn frames(count: usize) -> Vec<String> {
    let text = include_str!("../tests/vectors/recorded/watch.jsonl");
    let templates: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("{\"type\":\"ADDED\""))
        .collect();
    let frame = |at: usize| {
        let line = templates[at % templates.len()];
        let (before, uid) = line.split_once("\"uid\":\"").unwrap();
        let (_, after) = uid.split_once('"').unwrap();
        let (middle, version) = after.split_once("\"resourceVersion\":\"").unwrap();
        let (_, end) = version.split_once('"').unwrap();
        format!(
            "{before}\"uid\":\"17abec6c-b4ca-4245-b3fb-{at:012}\"{middle}\"resourceVersion\":\"{}\"{end}\n",
            1000 + at
        )
    };
    (0..count).map(frame).collect()
}

async fn serve(stream: TcpStream, load: Arc<Load>) {
    stream.set_nodelay(true).unwrap();
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(1 << 20, read);
    loop {
        let (mut line, mut length, mut gzip) = (String::new(), 0, false);
        if read.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            read.read_line(&mut header).await.unwrap();
            if header.trim().is_empty() {
                break;
            }
            let header = header.to_lowercase();
            gzip |= header.starts_with("content-encoding: gzip");
            length = header
                .strip_prefix("content-length:")
                .map_or(length, |value| value.trim().parse().unwrap());
        }
        let answer = if line.starts_with("POST") {
            let mut body = vec![0; length];
            read.read_exact(&mut body).await.unwrap();
            if gzip {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(body.as_slice())
                    .read_to_end(&mut plain)
                    .unwrap();
                body = plain;
            }
            let taken = memchr::memchr_iter(b'\n', &body).count() / 2;
            let items = vec!["{\"create\":{\"status\":201}}"; taken].join(",");
            let all = load.taken.fetch_add(taken, Ordering::Relaxed) + taken;
            if all >= load.frames.len() {
                load.done.notify_one();
            }
            format!("{{\"errors\":false,\"items\":[{items}]}}")
        } else if line.contains("/version") {
            "{\"major\":\"1\",\"minor\":\"34\",\"gitVersion\":\"\",\"gitCommit\":\"\",\"gitTreeState\":\"\",\"buildDate\":\"\",\"goVersion\":\"\",\"compiler\":\"\",\"platform\":\"\"}".to_owned()
        } else if line.contains(" /api/v1 ")
            || line.contains(" /apis/") && line.matches('/').count() < 5
        {
            kinds()
        } else if !line.contains("/events?") {
            object(&line)
        } else {
            return watch(&mut write, &load).await;
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        write.write_all((head + &answer).as_bytes()).await.unwrap();
    }
}

/// The kinds that the events are about.
fn kinds() -> String {
    let kind = |(plural, kind, namespaced): (&str, &str, bool)| {
        format!("{{\"name\":\"{plural}\",\"kind\":\"{kind}\",\"namespaced\":{namespaced}}}")
    };
    let kinds = [
        ("pods", "Pod", true),
        ("nodes", "Node", false),
        ("replicasets", "ReplicaSet", true),
        ("deployments", "Deployment", true),
        ("jobs", "Job", true),
    ];
    format!("{{\"resources\":[{}]}}", kinds.map(kind).join(","))
}

/// The object that is asked for, with labels and an owner.
fn object(line: &str) -> String {
    let name = line
        .split(' ')
        .nth(1)
        .and_then(|path| path.rsplit('/').next());
    let named = format!("\"name\":\"{}\"", name.unwrap());
    let text = include_str!("../tests/vectors/recorded/watch.jsonl");
    let involved = text
        .lines()
        .filter_map(|line| line.split_once("\"involvedObject\":{")?.1.split_once('}'))
        .find(|(involved, _)| involved.contains(&named));
    let uid = involved.and_then(|(involved, _)| involved.split_once("\"uid\":\"")?.1.get(..36));
    format!(
        "{{\"metadata\":{{\"uid\":\"{}\",\"labels\":{{\"app\":\"web\",\"pod-template-hash\":\"5dd455f476\"}},\"annotations\":{{\"a\":\"b\"}},\"ownerReferences\":[{{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web\"}}]}}}}",
        uid.unwrap_or_default()
    )
}

async fn watch(write: &mut tokio::net::tcp::OwnedWriteHalf, load: &Load) {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let end = "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"999\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n";
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    write
        .write_all(format!("{head}{}", chunk(end)).as_bytes())
        .await
        .unwrap();
    match load.pause {
        None => {
            for frames in load.frames.chunks(20) {
                if write
                    .write_all(chunk(&frames.concat()).as_bytes())
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
        Some(pause) => {
            let mut ticks = tokio::time::interval(pause);
            for frame in &load.frames {
                ticks.tick().await;
                if write.write_all(chunk(frame).as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
    std::future::pending::<()>().await;
}
