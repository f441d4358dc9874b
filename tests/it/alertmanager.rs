//! `deploy/alertmanager`: what the example for Alertmanager sends gets to whom it should.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{amtool, run, text};

/// Who gets which of the alerts; others go to Slack.
const OTHERS: [(&str, &str); 2] = [
    ("BackoffLimitExceeded", "email"),
    ("ProvisioningFailed", "pagerduty"),
];

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// `amtool` on the configuration.
fn told(args: &[&str], labels: &[String]) -> String {
    let config =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/alertmanager/alertmanager.yaml");
    let output = Command::new(amtool())
        .args(args)
        .arg(config)
        .args(labels)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?} {labels:?}: {}",
        text(&output.stdout) + &text(&output.stderr)
    );
    text(&output.stdout)
}

fn receiver(labels: &Value) -> String {
    let labels: Vec<String> = labels
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
        .collect();
    told(&["config", "routes", "test", "--config.file"], &labels)
        .trim()
        .to_owned()
}

#[test]
fn the_configuration_is_valid_and_holds_no_credential() {
    assert!(told(&["check-config"], &[]).contains("3 receivers"));
    let config = file("deploy/alertmanager/alertmanager.yaml");
    for line in config
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        for secret in ["api_url", "password", "routing_key", "token"] {
            assert!(!line.contains(&format!("{secret}:")), "{line}");
        }
    }
}

#[test]
fn every_alert_of_a_real_cluster_gets_to_whom_it_should() {
    let args = ["replay", "config.yaml", "--dry-run", "--events", "-"];
    let output = run(
        &args,
        &file("config/alertmanager.yaml"),
        &file("tests/vectors/recorded/list.json"),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut reached = BTreeSet::new();
    for line in text(&output.stdout).lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        for alert in request["document"].as_array().unwrap() {
            let labels = &alert["labels"];
            let other = OTHERS
                .iter()
                .find(|(reason, _)| labels["reason"] == *reason);
            let receiver = receiver(labels);
            assert_eq!(
                receiver,
                other.map_or("slack", |(_, receiver)| receiver),
                "{labels}"
            );
            reached.insert(receiver);
        }
    }
    assert_eq!(reached.len(), 3, "{reached:?}");
}

#[test]
fn critical_alerts_about_the_exporter_wake_somebody() {
    let rules: Value = serde_saphyr::from_str(&file("deploy/prometheus/rules.yaml")).unwrap();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let mut labels = rule["labels"].clone();
        labels["alertname"] = rule["alert"].clone();
        let expected = if labels["severity"] == "critical" {
            "pagerduty"
        } else {
            "slack"
        };
        assert_eq!(receiver(&labels), expected, "{labels}");
    }
}
