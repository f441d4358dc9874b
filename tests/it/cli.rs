//! The program at the command line: what it prints, and its exit codes.

use std::process::Command;

use crate::support::{Cluster, EXPORTER, Exporter, event, eventually, run, text};
use kube::api::PostParams;

mod check;
mod generate;
mod live;
mod ready;
mod route;
mod tests;

const STDOUT: &str = "route: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]\n";

#[test]
fn usage_errors_and_versions() {
    for args in [&["-nope"][..], &["--nope"], &["check"], &["route", "x"]] {
        let code = Command::new(&*EXPORTER)
            .args(args)
            .output()
            .unwrap()
            .status
            .code();
        assert_eq!(code, Some(2), "{args:?}");
    }
    for (args, told) in [
        (
            &["-metrics-tls-config=web.yaml"][..],
            "error: -metrics-tls-config is not supported: leave it out",
        ),
        (
            &["route", "-", "--event", "-"],
            "error: configuration and events can't both come",
        ),
        (
            &["replay", "-", "--events", "-"],
            "error: configuration and events can't both come",
        ),
    ] {
        let output = run(args, STDOUT, "");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            text(&output.stderr).starts_with(told),
            "{}",
            text(&output.stderr)
        );
    }
    for (args, told) in [
        (&["version"][..], "kubernetes-event-exporter 0."),
        (&["-version"], "kubernetes-event-exporter 0."),
        (&["-help"], "Watches a cluster's Events"),
        (&["check", "-help"], "Check a configuration"),
    ] {
        let output = Command::new(&*EXPORTER).args(args).output().unwrap();
        assert!(text(&output.stdout).starts_with(told), "{args:?}");
    }
    let missing = Command::new(&*EXPORTER)
        .args(["-conf", "/nowhere.yaml"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        text(&missing.stderr)
            .starts_with("error: cannot read the configuration /nowhere.yaml: No such file"),
        "{}",
        text(&missing.stderr)
    );
    let nowhere = run(&["-kubeconfig", "/nowhere"], STDOUT, "");
    assert_eq!(nowhere.status.code(), Some(1));
    assert_eq!(
        text(&nowhere.stderr)
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count(),
        1
    );
}

#[tokio::test]
async fn metrics_are_born_at_zero_and_the_incumbents_exist_where_asked_for() {
    let cluster = Cluster::shared();
    let config = format!("metricsNamePrefix: event_exporter_\nnamespace: kube-system\n{STDOUT}");
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    let (code, text) = exporter.get("/metrics").await.unwrap();
    assert_eq!(code, 200);
    for series in [
        "event_exporter_build_info{",
        "event_exporter_events_sent 0",
        "event_exporter_events_discarded 0",
        "event_exporter_watch_errors 0",
        "event_exporter_send_event_errors 0",
        "event_exporter_kube_api_read_cache_hits 0",
        "event_exporter_kube_api_read_cache_misses 0",
        "event_exporter_events_received_total{type=\"Warning\"} 0",
        "event_exporter_events_filtered_total{cause=\"drop_rule\"} 0",
        "event_exporter_events_delivered_total{receiver=\"out\"} 0",
        "event_exporter_events_retried_total{receiver=\"out\"} 0",
        "event_exporter_events_rejected_total{receiver=\"out\"} 0",
        "event_exporter_events_dropped_total{cause=\"queue_full\",receiver=\"out\"} 0",
        "event_exporter_events_expired_total{receiver=\"out\"} 0",
        "event_exporter_queue_events{receiver=\"out\"} 0",
        "event_exporter_event_lag_seconds_count{receiver=\"out\"} 0",
        "event_exporter_last_delivery_timestamp_seconds{receiver=\"out\"} 0",
        "event_exporter_watch_restarts_total{cause=\"silent\"} 0",
        "event_exporter_watch_malformed_frames_total{cause=\"not_json\"} 0",
        "event_exporter_config_last_reload_successful 1",
        "process_resident_memory_bytes ",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(series)),
            "{series} is not in\n{text}"
        );
    }
    for path in ["/livez", "/readyz", "/healthz", "/-/healthy", "/-/ready"] {
        assert_eq!(
            exporter.get(path).await.unwrap(),
            (200, "OK".to_owned()),
            "{path}"
        );
    }
    let (_, page) = exporter.get("/").await.unwrap();
    assert!(page.contains("<a href=\"metrics\">"), "{page}");
    let post = reqwest::Client::new()
        .post(format!("{}/metrics", exporter.metrics_url))
        .send()
        .await
        .unwrap();
    assert_eq!(post.status(), 405);
    assert!(
        exporter
            .log()
            .lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{}",
        exporter.log()
    );
}

#[tokio::test]
async fn namespaces_are_watched_one_by_one() {
    let cluster = Cluster::shared();
    let mut watched = Vec::new();
    for namespace in ["watched-a", "watched-b", "unwatched"] {
        watched.push((namespace, cluster.namespace(namespace).await));
    }
    let exporter = Exporter::start(
        &cluster.kubeconfig,
        &format!("namespaces: [watched-a, watched-b]\n{STDOUT}"),
    )
    .await;
    for (namespace, events) in watched.iter().rev() {
        events
            .create(
                &PostParams::default(),
                &event(namespace, &format!("in-{namespace}"), "m"),
            )
            .await
            .unwrap();
    }
    eventually("both are printed", async || {
        exporter.stdout().contains("in-watched-a") && exporter.stdout().contains("in-watched-b")
    })
    .await;
    assert!(!exporter.stdout().contains("in-unwatched"));
}

#[tokio::test]
async fn fault_26_a_first_signal_drains_and_a_second_aborts() {
    let cluster = Cluster::shared();
    let namespace = "signals";
    let events = cluster.namespace(namespace).await;
    // Nobody answers behind this port, so that there is something to drain.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Nor does anybody read from this pipe: to open it for writing hangs.
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let config = format!(
        "namespace: {namespace}\nroute: {{match: [{{receiver: hook}}, {{receiver: pipe}}]}}\nreceivers: [{{name: hook, webhook: {{endpoint: \"http://u:canary-pw@{}/\"}}}}, {{name: pipe, file: {{path: {}}}}}]",
        silent.local_addr().unwrap(),
        pipe.display()
    );
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    events
        .create(&PostParams::default(), &event(namespace, "one", "m"))
        .await
        .unwrap();
    eventually("it is being sent", async || {
        exporter
            .metric("event_exporter_events_in_flight{receiver=\"hook\"}")
            .await
            > 0.0
    })
    .await;
    exporter.signal("-TERM");
    eventually("it drains", async || {
        exporter.log().contains("\"draining\"")
    })
    .await;
    exporter.signal("-TERM");
    let (code, log) = exporter.ended().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("told to stop twice"), "{log}");
    assert!(!log.contains("canary-pw"), "{log}");
}

#[test]
fn nobody_waits_longer_than_a_day_for_an_exporter() {
    let output = run(&["ready", "--wait", "18446744073709551615"], "", "");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
