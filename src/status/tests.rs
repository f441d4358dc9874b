use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::enrich::Enricher;
use crate::metrics::Metrics;
use crate::pipeline::{Origins, Pipeline};

const CONFIG: &str = "
route: {drop: [{reason: noise}], match: [{type: Warning, receiver: os}]}
receivers: [{name: os, opensearch: {hosts: 'http://user:topsecret@localhost:1', index: i, password: topsecret, username: u}}]
";

/// A process whose turn it is, and its one watch.
fn leading(config: StatusConfig) -> (Status, Arc<WatchHealth>) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let status = Status::new(config);
    let parsed = Config::parse(CONFIG, &|_| None).unwrap().config;
    let metrics = Arc::new(Metrics::new(None).unwrap());
    let (_, pipeline) = Pipeline::build(
        parsed,
        "c",
        Enricher::default(),
        Origins::none(),
        metrics,
        status.recent().cloned(),
    )
    .unwrap();
    status.loaded(CONFIG);
    let watch = Arc::new(WatchHealth::new(Some("shop"), Duration::from_secs(190)));
    status.lead(vec![Arc::clone(&watch)], pipeline.account());
    (status, watch)
}

fn report(status: &Status) -> Value {
    serde_json::from_str(&status.report().unwrap()).unwrap()
}

#[tokio::test]
async fn a_process_that_delivers_shows_its_watches_receivers_and_routes_and_no_secret() {
    let (status, watch) = leading(StatusConfig::default());
    watch.listed();
    let text = status.report().unwrap();
    assert!(
        !text.contains("topsecret") && !text.contains("localhost:1"),
        "{text}"
    );
    let report = report(&status);
    assert_eq!(report["state"], "delivering");
    assert_eq!(report["complaints"], json!([]));
    assert_eq!(report["watches"][0]["namespace"], "shop");
    assert_eq!(report["watches"][0]["state"], "watching");
    let receiver = &report["receivers"][0];
    assert_eq!(
        (&receiver["name"], &receiver["state"]),
        (&json!("os"), &json!("delivering"))
    );
    assert_eq!(receiver["queue"]["maxBytes"], 8 << 20);
    assert_eq!(
        (&receiver["lagSeconds"], &receiver["error"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        report["route"]["drop"][0]["asks"][0],
        json!({"field": "reason", "what": "noise"})
    );
    assert_eq!(report["route"]["match"][0]["receiver"], "os");
    assert_eq!(report["events"], Value::Null, "not unless it is asked for");
}

#[tokio::test]
async fn a_standby_shows_neither_receivers_nor_what_they_held() {
    let (status, _) = leading(StatusConfig::default());
    status.stand_by();
    let report = report(&status);
    assert_eq!(report["state"], "standby");
    assert_eq!(
        (&report["receivers"], &report["route"]),
        (&json!([]), &Value::Null)
    );
    assert!(status.table().is_none());
}

#[tokio::test]
async fn the_configuration_is_known_by_its_hash_and_a_refused_one_by_its_error() {
    let (status, _) = leading(StatusConfig::default());
    // As sha256sum has it.
    status.loaded("a: b\n");
    let config = report(&status)["config"].clone();
    assert_eq!(config["hash"], "52c9693cf3f2");
    assert!(config["loaded"].is_string() && config["error"].is_null());
    status.refused("c:1:2: a: it is wrong");
    let config = report(&status)["config"].clone();
    assert_eq!(config["error"]["error"], "c:1:2: a: it is wrong");
    assert_eq!(
        (&config["error"]["goesOn"], &config["hash"]),
        (&json!(true), &json!("52c9693cf3f2"))
    );
    status.loaded("");
    let config = report(&status)["config"].clone();
    assert_eq!(
        (&config["error"]["goesOn"], &config["hash"]),
        (&json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn a_receivers_trouble_is_shown_and_what_is_in_events_only_where_that_is_wanted() {
    for (events, shown) in [
        (false, "an event was refused; why"),
        (true, "field [x] of `text`"),
    ] {
        let (status, _) = leading(StatusConfig {
            enabled: true,
            events,
        });
        let table = status.table().unwrap();
        let outlet = &table.legs[0].outlet;
        outlet
            .metrics
            .latest
            .failure
            .fails("503 Service Unavailable", None);
        let receiver = report(&status)["receivers"][0].clone();
        assert_eq!(
            (&receiver["state"], &receiver["error"]["error"]),
            (&json!("retrying"), &json!("503 Service Unavailable"))
        );
        outlet.metrics.latest.took(Duration::from_millis(1500));
        outlet.metrics.latest.failure.over();
        outlet.metrics.latest.failure.refused("field [x] of `text`");
        outlet.park(&[]);
        let receiver = report(&status)["receivers"][0].clone();
        assert_eq!(
            (&receiver["state"], &receiver["lagSeconds"]),
            (&json!("parked"), &json!(1.5))
        );
        let error = receiver["error"]["error"].as_str().unwrap();
        assert!(error.starts_with(shown), "{error}");
    }
}

#[test]
fn without_the_page_events_are_not_kept_either() {
    for (enabled, events, kept) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
    ] {
        assert_eq!(
            Status::new(StatusConfig { enabled, events })
                .recent()
                .is_some(),
            kept
        );
    }
}
