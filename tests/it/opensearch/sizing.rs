//! How large indices become, and what it costs to fill them. These print tables and hold no figure against anybody: `make sizing`.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::recorded::events;
use crate::support::{EXPORTER, OpenSearch, text};

const EVENTS: usize = 100_000;

/// What it took to deliver them.
struct Cost {
    events_per_second: f64,
    /// Of the exporter's CPU, for an event.
    micros: f64,
}

/// Delivers events by a program of its own.
fn deliver(file: &Path, hosts: &str, options: &str) -> Cost {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "route: {{match: [{{receiver: os}}]}}\nreceivers: [{{name: os, opensearch: {{hosts: {hosts}, {options}}}}}]"
    );
    std::fs::write(folder.path().join("config.yaml"), config).unwrap();
    let started = Instant::now();
    // A shell knows what its children have used.
    let output = Command::new("sh")
        .args([
            "-ec",
            "\"$0\" replay config.yaml --events \"$1\" >&2; cat /proc/$$/stat",
        ])
        .arg(&*EXPORTER)
        .arg(file)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (seconds, told) = (started.elapsed().as_secs_f64(), text(&output.stderr));
    assert!(
        told.contains(&format!("{EVENTS} deliveries taken, 0 rejected")),
        "{told}"
    );
    let stat = text(&output.stdout);
    // After the name, which is in brackets: user and system time of children are the fourteenth and the fifteenth.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let hundredths: f64 = fields[13..15]
        .iter()
        .map(|it| it.parse::<f64>().unwrap())
        .sum();
    Cost {
        events_per_second: EVENTS as f64 / seconds,
        micros: hundredths * 10_000.0 / EVENTS as f64,
    }
}

fn recorded() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(events(EVENTS).as_bytes()).unwrap();
    file
}

/// Bytes that an index takes on the disk once it is one segment.
async fn size(opensearch: &OpenSearch, index: &str) -> f64 {
    for path in ["_forcemerge?max_num_segments=1", "_flush", "_refresh"] {
        opensearch
            .call("POST", &format!("/{index}/{path}"), "")
            .await;
    }
    let answer = opensearch
        .call("GET", &format!("/{index}/_stats/store,docs,segments"), "")
        .await;
    let primaries = &answer["_all"]["primaries"];
    assert_eq!(primaries["docs"]["count"], EVENTS, "{answer}");
    assert_eq!(primaries["segments"]["count"], 1, "{answer}");
    primaries["store"]["size_in_bytes"].as_f64().unwrap()
}

#[tokio::test]
#[ignore = "takes minutes, and prints figures: make sizing"]
async fn how_large_an_index_becomes() {
    let opensearch = OpenSearch::shared();
    let file = recorded();
    let template = include_str!("../../../deploy/opensearch/index-template.json");
    let template: Value = serde_json::from_str(template).unwrap();
    let ours = &template["template"];
    let mut plain = ours.clone();
    plain["settings"]["index"]["codec"] = "default".into();
    println!(
        "{EVENTS} events, {:.0} bytes each as JSON",
        file.as_file().metadata().unwrap().len() as f64 / EVENTS as f64
    );
    for (what, index, body) in [
        ("mappings by the server", "size-dynamic", json!({})),
        ("the template's mappings", "size-mapped", plain),
        ("the template", "size-template", ours.clone()),
    ] {
        let made = opensearch
            .call("PUT", &format!("/{index}"), &body.to_string())
            .await;
        assert_eq!(made["acknowledged"], true, "{made}");
        deliver(file.path(), &opensearch.url, &format!("index: {index}"));
        let bytes = size(opensearch, index).await;
        println!(
            "| {what} | {:.1} MB | {:.0} |",
            bytes / 1e6,
            bytes / EVENTS as f64
        );
    }
}

#[tokio::test]
#[ignore = "takes minutes, and prints figures: make sizing"]
async fn what_it_costs_to_deliver() {
    let (plain, secure) = (OpenSearch::shared(), OpenSearch::secure());
    let file = recorded();
    let tls = format!(
        "username: exporter, password: exporter-pw, tls: {{caFile: {}/ca.pem}}",
        secure.certs.display()
    );
    for (what, server, options) in [
        ("plain", plain, "index: cost-plain, gzip: false".to_owned()),
        ("gzip", plain, "index: cost-gzip".to_owned()),
        (
            "TLS and gzip",
            secure,
            format!("index: k8s-events-cost, {tls}"),
        ),
    ] {
        let cost = deliver(file.path(), &server.url, &options);
        println!(
            "| {what} | {:.0} | {:.1} |",
            cost.events_per_second, cost.micros
        );
    }
}
