//! The program at the command line: what it prints, and its exit codes.

use std::process::Command;

use crate::support::{Cluster, EXPORTER, Exporter, event, eventually, lines, run, text};
use kube::api::PostParams;

const STDOUT: &str = "route: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]\n";

#[test]
fn mistakes_get_one_line_with_file_path_line_and_column() {
    for (config, code, line) in [
        (
            "route: {match: [{receiver: oot}]}\nreceivers: [{name: out, stdout: {}}]",
            2,
            "error: config.yaml:1:28: route.match[0].receiver: there is no receiver `oot`; did you mean `out`?",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {}, file: {path: x}}]",
            2,
            "error: config.yaml:2:20: receivers[0].name: the receiver `a` has two types, `stdout` and `file`: make it two receivers",
        ),
        (
            "route: {}\nreceivers:\n- {name: a, stdout: }\n- {name: a, stdout: {}}",
            2,
            "error: config.yaml:4:10: receivers[1].name: two receivers are named `a`, here and on line 3",
        ),
        (
            "route: {}\nreceivers: [{name: a}]",
            2,
            "error: config.yaml:2:20: receivers[0].name: the receiver `a` has no type: give one of opensearch, elasticsearch, stdout, file, pipe, syslog, webhook, loki, slack, teams, opsgenie",
        ),
        (
            "route: {}\nreceivers: [{name: a, kafka: {topic: t}}]",
            2,
            "error: config.yaml:2:30: receivers[0].kafka: there is no receiver of type `kafka` (yet): use `webhook` towards Strimzi's HTTP bridge or Confluent's REST proxy, with a `layout` of `records: [{value: {...}}]`, or with `batch: array` towards Vector, which writes to Kafka",
        ),
        (
            "receivers: [{name: a, stdout: {}}]",
            2,
            "error: config.yaml: there is no `route`: no event would go anywhere",
        ),
        (
            "kubeBurst: \"60\"\nroute: {}",
            2,
            "error: config.yaml:1:12: kubeBurst: expected a whole number, found the string \"60\"",
        ),
        (
            "metricsNamePrefix: 9x\nroute: {}",
            2,
            "error: config.yaml:1:20: metricsNamePrefix: `9x` can't begin a metric's name: it must begin with a letter, hold only letters, digits, `_` and `:`, and end in `_`",
        ),
        (
            "route: {}\nreceivers: [{name: a, opensearch: {index: e, hosts: x}}]",
            2,
            "error: config.yaml:2:53: receivers[0].opensearch.hosts: a host is no URL",
        ),
        (
            "route: {}\nreceivers: [{name: a, opensearch: {}}]",
            2,
            "error: config.yaml:2:20: receivers[0].name: the receiver `a`: say where to: give `index`, `indexFormat` or `dataStream`",
        ),
        (
            "route: {match: [{namespace: *test*}]}",
            2,
            "error: config.yaml:1:29: `*test*` is an alias of YAML that is not defined",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {layout: {m: {{ .Message }}}}}]",
            2,
            "values with {{ }} must be quoted",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {layout: {m: \"{{ .Mesage }}\"}}}]",
            2,
            "an event has no field `.Mesage`",
        ),
        (
            "route: {}\nreceivers: [{name: a, batch: {maxDelay: soon}, stdout: }]",
            2,
            "error: config.yaml:2:41: receivers[0].batch.maxDelay: `soon` is no duration: write for example 500ms, 2s or 1m30s",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {}, timeout: \"${NOT_THERE}\"}]",
            2,
            "error: config.yaml:2:44: receivers[0].timeout: the environment variable NOT_THERE is not set",
        ),
    ] {
        assert_refused(config, code, line);
    }
}

#[test]
fn what_would_run_and_never_work_is_a_mistake_too() {
    for (config, line) in [
        (
            "route: {}\nreceivers: [{name: a, stdout: {}, retry: {initial: 0s}}]",
            "error: config.yaml:2:52: receivers[0].retry.initial: must be at least 1ms",
        ),
        (
            "rout: {}",
            "error: config.yaml:1:1: rout: there is no `route`: no event would go anywhere; and unknown key `rout`, ignored; did you mean `route`?",
        ),
        (
            "namespaces: [a/b]\nroute: {}",
            "error: config.yaml:1:14: namespaces[0]: `a/b` is no namespace: names have up to 63 lower-case letters, digits and `-`",
        ),
        (
            "logLevel: \"a\\nb\"\nroute: {}",
            "error: config.yaml:1:11: logLevel: `a\\nb` is not one of ",
        ),
        (
            "route: {}\nreceivers: [{name: a, webhook: {endpoint: \"http://x\", bearerToken: \"tok\\n\"}}]",
            "error: config.yaml:2:68: receivers[0].webhook.bearerToken: no header can hold this",
        ),
        (
            "route: {}\nreceivers: [{name: a, webhook: {endpoint: \"http://x\", headers: {A: \"s3cret{{\"}}}]",
            "error: config.yaml:2:68: receivers[0].webhook.headers.A: template: `{{` is not closed",
        ),
        (
            "route: {}\nreceivers: [{name: a, stdout: {}, batch: {maxDelay: 9999999h}}]",
            "error: config.yaml:2:53: receivers[0].batch.maxDelay: must be at most 24h",
        ),
        (
            "route: {}\nreceivers: [{name: a, elasticsearch: {index: e, username: u, apiKey: s3cret}}]",
            "error: config.yaml:2:70: receivers[0].elasticsearch.apiKey: give either `username` or `apiKey`",
        ),
    ] {
        assert_refused(config, 2, line);
    }
}

/// `check` says this one line, and ends with this code.
fn assert_refused(config: &str, code: i32, line: &str) {
    let output = run(&["check", "config.yaml"], config, "");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{config}: {errors}");
    assert!(
        errors.lines().any(|error| error.contains(line)),
        "{config}:\n{errors}expected\n{line}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn oddities_are_warnings_unless_strict() {
    let config = "maxEventsAgeSeconds: 60
routes: []
route:
  drop: [{namespace: \"*test*\"}]
  match: [{Namespace: a, receiver: out}]
receivers: [{name: out, stdout: {layout: {}}}]
";
    let output = run(&["check", "config.yaml"], config, "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "config.yaml: ok, 1 receivers, 5 warnings\n"
    );
    let warnings = text(&output.stderr);
    for warning in [
        "warning: config.yaml:1:22: maxEventsAgeSeconds: taken for `maxEventAgeSeconds`",
        "warning: config.yaml:2:1: routes: unknown key `routes`, ignored; did you mean `route`?",
        "warning: config.yaml:4:22: route.drop[0].namespace: the pattern `*test*` never matches: nothing to repeat before `*`",
        "warning: config.yaml:5:12: route.match[0].Namespace: unknown key `Namespace`, ignored; did you mean `namespace`?",
        "warning: config.yaml:6:42: receivers[0].stdout.layout: an empty layout counts as none",
    ] {
        assert!(warnings.contains(warning), "{warnings}expected\n{warning}");
    }
    let output = run(&["check", "config.yaml", "--strict"], config, "");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr)
            .contains("error: config.yaml: 5 warnings, which --strict does not allow")
    );
}

#[test]
fn route_says_where_events_would_go() {
    let config = "route: {match: [{reason: BackOff, receiver: a}, {receiver: b}, {receiver: a}]}\nreceivers: [{name: a, stdout: }, {name: b, stdout: }]";
    let output = run(
        &["route", "config.yaml", "--event", "-", "-o", "json"],
        config,
        &lines("e", 2, "m"),
    );
    assert_eq!(
        text(&output.stdout),
        "{\"event\":\"shop/e-0\",\"receivers\":[\"a\",\"b\",\"a\"]}\n{\"event\":\"shop/e-1\",\"receivers\":[\"a\",\"b\",\"a\"]}\n",
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn usage_errors_and_versions() {
    for args in [&["-version"][..], &["--nope"], &["check"], &["route", "x"]] {
        let code = Command::new(EXPORTER)
            .args(args)
            .output()
            .unwrap()
            .status
            .code();
        assert_eq!(code, Some(2), "{args:?}");
    }
    let version = Command::new(EXPORTER).arg("version").output().unwrap();
    assert!(text(&version.stdout).starts_with("kubernetes-event-exporter 0."));
    let missing = Command::new(EXPORTER)
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
    assert!(exporter.get("/").await.unwrap().1.contains("/metrics"));
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
async fn a_first_signal_drains_and_a_second_aborts() {
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
