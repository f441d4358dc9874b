//! The status page in a real Chromium, and `tap` at a real exporter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{Browser, Cluster, EXPORTER, Exporter, event, eventually, text};

const HOSTILE: &str = "<img src=x onerror=hacked=1><script>hacked=1</script>";

/// One receiver that takes everything, and one that is not there.
fn config(namespace: &str, folder: &Path) -> String {
    format!(
        r#"namespace: {namespace}
statusPage: {{events: true}}
route:
  drop:
    - reason: "^Noise$"
  match:
    - receiver: good
  routes:
    - match:
        - type: Warning
        - minCount: 1
          not: {{namespace: "^none$"}}
          receiver: down
    - match:
        - kind: "^Node$"
      routes:
        - match: [{{receiver: down}}]
receivers:
  - {{name: good, file: {{path: {}}}}}
  - {{name: down, retry: {{max: 1s}}, opensearch: {{hosts: "http://user:topsecret@127.0.0.1:9", index: i}}}}
"#,
        folder.join("out").display()
    )
}

async fn commit(events: &Api<Event>, namespace: &str, name: &str, message: &str) {
    let event = event(namespace, name, message);
    events.create(&PostParams::default(), &event).await.unwrap();
}

/// Looks at the page in each size and colour. Makes an event whenever the page waits for one.
async fn look(exporter: &Exporter, events: &Api<Event>, namespace: &str, state: &str) {
    let Browser { program, modules } = Browser::get();
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&screenshots).unwrap();
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/it/page/drive.mjs"]
        .iter()
        .collect();
    let mut driver = tokio::process::Command::new("node")
        .arg(script)
        .arg(&exporter.metrics_url)
        .arg(&screenshots)
        .arg(state)
        .env("BROWSER", program)
        .env("BROWSER_MODULES", modules)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(name) = line.strip_prefix("ready ") {
            commit(events, namespace, name, &format!("{name} {HOSTILE}")).await;
        }
    }
    let output = driver.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test]
async fn the_page_shows_what_happens_and_runs_nothing_of_it() {
    let namespace = "page";
    let cluster = Cluster::shared();
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::start(&cluster.kubeconfig, &config(namespace, folder.path())).await;
    for at in 0..30 {
        commit(&events, namespace, &format!("e-{at}"), HOSTILE).await;
    }
    eventually("the receiver that is down has failed", async || {
        exporter
            .metric("event_exporter_events_retried_total{receiver=\"down\"}")
            .await
            > 0.5
    })
    .await;
    look(&exporter, &events, namespace, "busy").await;
    let shown = exporter.status().await;
    assert!(!shown.to_string().contains("topsecret"), "{shown}");
    assert_eq!(shown["watches"][0]["state"], "watching");
    assert_eq!(shown["receivers"][1]["state"], "retrying");

    fs::write(exporter.config(), "route: {match: [{receiver: nobody}]}").unwrap();
    exporter.signal("-HUP");
    eventually("the configuration is refused", async || {
        exporter
            .metric("event_exporter_config_last_reload_successful")
            .await
            < 0.5
    })
    .await;
    look(&exporter, &events, namespace, "broken").await;
}

#[tokio::test]
async fn without_the_page_nothing_is_shown() {
    let cluster = Cluster::shared();
    let config = "statusPage: {enabled: false}\nroute: {match: [{receiver: r}]}\nreceivers: [{name: r, stdout: {}}]";
    let exporter = Exporter::start(&cluster.kubeconfig, config).await;
    for path in ["/", "/status", "/status/tap"] {
        assert_eq!(exporter.get(path).await.unwrap().0, 404, "{path}");
    }
    let output = tap(&exporter, &[]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("`statusPage.enabled` is false"), "{told}");
}

fn tap(exporter: &Exporter, args: &[&str]) -> Output {
    Command::new(&*EXPORTER)
        .args(["tap", "-address", &exporter.metrics_url])
        .args(args)
        .output()
        .unwrap()
}

#[tokio::test]
async fn tap_prints_the_last_events_and_those_that_come_and_where_they_went() {
    let namespace = "tap";
    let cluster = Cluster::shared();
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::start(&cluster.kubeconfig, &config(namespace, folder.path())).await;
    commit(&events, namespace, "one", "\u{1b}[2Jfirst").await;
    eventually("it is seen", async || {
        text(&tap(&exporter, &[]).stdout).lines().count() == 2
    })
    .await;
    let mut noise = event(namespace, "two", "second");
    noise.reason = Some("Noise".to_owned());
    events.create(&PostParams::default(), &noise).await.unwrap();
    eventually("both are seen", async || {
        text(&tap(&exporter, &[]).stdout).lines().count() == 3
    })
    .await;
    let told = text(&tap(&exporter, &[]).stdout);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("TIME  "), "{told}");
    assert!(
        lines[1].contains("  Pod/web-0 ") && lines[1].contains("  good, down  "),
        "{told}"
    );
    assert!(lines[1].ends_with("\\u{1b}[2Jfirst"), "{told}");
    assert!(lines[2].contains("  nobody (dropped)  "), "{told}");
    let count = |args: &[&str]| text(&tap(&exporter, args).stdout).lines().count() - 1;
    assert_eq!(count(&["reason=^BackOff$", "not.kind=Node"]), 1);
    assert_eq!(count(&["minCount=2"]), 0);
    assert_eq!(count(&["--receiver", "down"]), 1);
    for (args, code, says) in [
        (&["reson=x"][..], 2, "did you mean `reason`?"),
        (
            &["BackOff"],
            2,
            "`BackOff` is no filter: write FIELD=PATTERN",
        ),
        (&["--receiver", "x"], 1, "there is no receiver `x`"),
    ] {
        let output = tap(&exporter, args);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(says) && told.lines().count() == 1, "{told}");
    }

    let mut child = tokio::process::Command::new(&*EXPORTER)
        .args([
            "tap",
            "--follow",
            "-o",
            "json",
            "--address",
            &exporter.metrics_url,
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        lines.next_line().await.unwrap().unwrap();
    }
    commit(&events, namespace, "three", "third").await;
    let line = lines.next_line().await.unwrap().unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["event"]["message"], &line["number"]),
        (&"third".into(), &3.into())
    );
    assert_eq!(
        line["went"][1],
        serde_json::json!({"to": "down", "fate": "queued"})
    );
    let id = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(
        child.wait().await.unwrap().success(),
        "who has seen enough has not failed"
    );
}
