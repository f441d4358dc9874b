//! A soak: as many events as the machine gives, for minutes, while everything that can go away does. `make soak` runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use tokio::time::{Instant, interval, sleep, sleep_until};

use crate::support::{Cluster, Exporter, OpenSearch, event, eventually};

mod copies;
mod crowd;
mod reload;

const NAMESPACE: &str = "soak";
const LEADER: &str = "event_exporter_leader";
/// Who writes at a time; more than this machine's API server takes is no use.
const WRITERS: u32 = 24;
/// Of each: 1,000 versions a second of all together.
const PACE: Duration = Duration::from_millis(WRITERS as u64);

fn seconds(name: &str, default: u64) -> Duration {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(default))
}

fn id(event: &Event) -> String {
    let metadata = &event.metadata;
    let (uid, version) = (metadata.uid.as_ref(), metadata.resource_version.as_ref());
    format!("{}-{}", uid.unwrap(), version.unwrap())
}

/// Writes events, and repeats every fourth, until told to stop; returns the ids of the versions.
async fn write(events: Api<Event>, writer: String, stop: &AtomicBool) -> Vec<String> {
    let mut ids = Vec::new();
    let mut pace = interval(PACE);
    for at in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        pace.tick().await;
        let name = format!("soak-{writer}-{at}");
        let event = event(NAMESPACE, &name, "Back-off");
        let created = events.create(&PostParams::default(), &event).await;
        ids.push(id(&created.unwrap()));
        if at % 4 == 0 {
            pace.tick().await;
            let repeated = Patch::Merge(serde_json::json!({"count": 2}));
            let patched = events
                .patch(&name, &PatchParams::default(), &repeated)
                .await;
            ids.push(id(&patched.unwrap()));
        }
    }
    ids
}

/// The ids of all documents of an index.
async fn ids(opensearch: &OpenSearch, index: &str) -> BTreeSet<String> {
    opensearch
        .call("POST", &format!("/{index}/_refresh"), "")
        .await;
    let body = r#"{"size":10000,"_source":false,"sort":["_doc"]}"#;
    let mut page = opensearch
        .call("POST", &format!("/{index}/_search?scroll=1m"), body)
        .await;
    let mut ids = BTreeSet::new();
    loop {
        let hits = page["hits"]["hits"].as_array().cloned().unwrap_or_default();
        if hits.is_empty() {
            return ids;
        }
        ids.extend(
            hits.iter()
                .map(|hit| hit["_id"].as_str().unwrap().to_owned()),
        );
        let scroll = serde_json::json!({"scroll": "1m", "scroll_id": page["_scroll_id"]});
        page = opensearch
            .call("POST", "/_search/scroll", &scroll.to_string())
            .await;
    }
}

/// Kills one of the two exporters in turn, one of which leads; and lets OpenSearch go away every two minutes, for 40 seconds.
async fn torment(
    exporters: &mut [Exporter; 2],
    start: impl Fn() -> Exporter,
    opensearch: &OpenSearch,
    until: Instant,
) -> (u32, u32) {
    let (mut kills, mut outages) = (0, 0);
    let mut away_since = None;
    while Instant::now() < until {
        sleep(Duration::from_secs(20)).await;
        let victim = kills as usize % 2;
        exporters[victim].signal("-KILL");
        exporters[victim] = start();
        kills += 1;
        match away_since {
            None if kills % 6 == 2 => {
                opensearch.control("kill");
                outages += 1;
                away_since = Some(kills);
            }
            Some(since) if kills >= since + 2 => {
                opensearch.control("start");
                away_since = None;
            }
            _ => {}
        }
    }
    if away_since.is_some() {
        opensearch.control("start");
    }
    (kills, outages)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten minutes: make soak"]
async fn fault_27_nothing_is_lost_or_doubled_while_everything_goes_away() {
    let cluster = Cluster::shared();
    let opensearch = OpenSearch::start("test-soak", &[], &[]);
    let events = cluster.namespace(NAMESPACE).await;
    let config = format!(
        "namespace: {NAMESPACE}
leaderElection: {{enabled: true, leaderElectionID: soak}}
route: {{match: [{{receiver: opensearch}}]}}
receivers: [{{name: opensearch, retry: {{initial: 100ms, max: 2s}}, opensearch: {{hosts: {}, index: {NAMESPACE}}}}}]
",
        opensearch.url
    );
    let duration = seconds("SOAK_SECONDS", 600);
    let start = || Exporter::spawn(&cluster.kubeconfig, &config);
    let mut exporters = [start(), start()];
    // What is written twice before the first list is seen once.
    eventually("one of them leads", async || {
        let ready = exporters[0].get("/metrics").await.is_some()
            && exporters[1].get("/metrics").await.is_some();
        ready && exporters[0].metric(LEADER).await + exporters[1].metric(LEADER).await > 0.5
    })
    .await;
    let first = event(NAMESPACE, "first", "Back-off");
    let first = events.create(&PostParams::default(), &first).await.unwrap();
    eventually("it delivers", async || {
        opensearch.count(NAMESPACE).await == 1
    })
    .await;
    let stop = AtomicBool::new(false);
    let writers = (0..WRITERS).map(|at| write(events.clone(), at.to_string(), &stop));
    let torment = async {
        let until = Instant::now() + duration;
        let done = torment(&mut exporters, start, &opensearch, until).await;
        stop.store(true, Ordering::Relaxed);
        done
    };
    let (committed, (kills, outages)) = tokio::join!(futures::future::join_all(writers), torment);
    let mut committed: BTreeSet<String> = committed.into_iter().flatten().collect();
    committed.insert(id(&first));
    let rate = committed.len() as u64 / duration.as_secs().max(1);
    let caught_up = Instant::now();
    // Until it is all there, or nothing more comes.
    let (mut documents, mut since) = (0, Instant::now());
    while documents < committed.len() as u64 && since.elapsed() < Duration::from_mins(1) {
        sleep(Duration::from_secs(1)).await;
        let now = opensearch.count(NAMESPACE).await;
        if now != documents {
            (documents, since) = (now, Instant::now());
        }
    }
    let indexed = ids(&opensearch, NAMESPACE).await;
    let lost = committed.difference(&indexed).count();
    let strange = indexed.difference(&committed).count();
    println!(
        "{} s, {rate} versions/s: {} committed, {documents} indexed, {} lost, {} doubled, {strange} strange; {kills} kills, {outages} outages of OpenSearch; {:?} to catch up at the end",
        duration.as_secs(),
        committed.len(),
        lost,
        documents - indexed.len() as u64,
        caught_up.elapsed(),
    );
    assert_eq!((lost, strange, documents), (0, 0, committed.len() as u64));
}

/// Writes until `until`, with all writers; returns the ids.
async fn write_until(events: &Api<Event>, prefix: &str, until: Instant) -> BTreeSet<String> {
    let stop = AtomicBool::new(false);
    let writers = (0..WRITERS).map(|at| write(events.clone(), format!("{prefix}-{at}"), &stop));
    let timer = async {
        sleep_until(until).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (ids, ()) = tokio::join!(futures::future::join_all(writers), timer);
    ids.into_iter().flatten().collect()
}

/// Waits until it is `done`, for as long as a receiver is given more: how fast is the machine's business.
async fn while_it_delivers(
    exporter: &Exporter,
    receiver: &str,
    mut done: impl AsyncFnMut() -> bool,
) {
    let delivered = format!("event_exporter_events_delivered_total{{receiver=\"{receiver}\"}}");
    let (mut taken, mut since) = (0.0, Instant::now());
    while !done().await {
        let now = exporter.metric(&delivered).await;
        if now > taken {
            (taken, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < Duration::from_mins(1),
            "{taken} at {receiver}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the receiver has had nothing for two seconds.
async fn nothing_more_comes(exporter: &Exporter, receiver: &str) {
    let delivered = format!("event_exporter_events_delivered_total{{receiver=\"{receiver}\"}}");
    let mut last = -1.0;
    eventually("nothing more comes", async || {
        sleep(Duration::from_secs(2)).await;
        std::mem::replace(&mut last, exporter.metric(&delivered).await) >= last
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a quarter of an hour: make soak"]
async fn an_outage_costs_no_memory_and_is_caught_up_with() {
    let cluster = Cluster::start("test-outage-soak", &[]);
    let opensearch = OpenSearch::start("test-outage-soak", &[], &[]);
    let events = cluster.namespace(NAMESPACE).await;
    let config = format!(
        "namespace: {NAMESPACE}
route: {{match: [{{receiver: opensearch}}, {{receiver: none}}]}}
receivers:
- {{name: opensearch, retry: {{initial: 100ms, max: 2s}}, opensearch: {{hosts: {}, index: {NAMESPACE}}}}}
- {{name: none, file: {{path: /dev/null}}}}
",
        opensearch.url
    );
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    let outage = seconds("OUTAGE_SECONDS", 900);
    let mut committed =
        write_until(&events, "before", Instant::now() + Duration::from_secs(20)).await;
    let before = exporter.memory();
    opensearch.control("kill");
    let mut during = Vec::new();
    let until = Instant::now() + outage;
    let sample = async {
        while Instant::now() < until {
            sleep(outage / 10).await;
            during.push(exporter.memory());
        }
    };
    let (missed, ()) = tokio::join!(write_until(&events, "during", until), sample);
    let (missed_count, started) = (missed.len() as u64, Instant::now());
    committed.extend(missed);
    opensearch.control("start");
    let up = started.elapsed();
    let parked = "event_exporter_receiver_parked{receiver=\"opensearch\"}";
    while_it_delivers(&exporter, "opensearch", async || {
        exporter.metric(parked).await < 0.5
    })
    .await;
    let took = started.elapsed().saturating_sub(up).as_secs_f64();
    nothing_more_comes(&exporter, "opensearch").await;
    // What is gone is known when the first watch is past what was caught up with.
    committed.extend(write_until(&events, "after", Instant::now()).await);
    println!(
        "an outage of {} s, {missed_count} versions missed; resident: {before} KiB before, {during:?} during, {} after; back with the router {took:.1} s after the server was, {:.0} versions/s",
        outage.as_secs(),
        exporter.memory(),
        missed_count as f64 / took,
    );
    // Of an outage longer than the API server's history, versions that others have followed are gone, and counted.
    let all_of = async || ids(&opensearch, NAMESPACE).await;
    let newest = newest(&committed);
    let mut indexed = BTreeSet::new();
    eventually("every event is there in its last version", async || {
        indexed = all_of().await;
        newest.is_subset(&indexed)
    })
    .await;
    let missing = committed.difference(&indexed).count() as f64;
    let series = "event_exporter_events_expired_total{receiver=\"opensearch\"}";
    let mut expired = 0.0;
    eventually("what is gone is counted", async || {
        expired = exporter.metric(series).await;
        (expired - missing).abs() < 0.5
    })
    .await;
    println!("{expired} versions had expired, and are counted");
}

/// The last version of each object.
fn newest(committed: &BTreeSet<String>) -> BTreeSet<String> {
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    for id in committed {
        let (uid, version) = id.rsplit_once('-').unwrap();
        let newest = versions.entry(uid).or_default();
        *newest = version.parse::<u64>().unwrap().max(*newest);
    }
    versions
        .iter()
        .map(|(uid, version)| format!("{uid}-{version}"))
        .collect()
}
