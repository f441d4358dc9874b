//! What the program says about itself: Prometheus metrics, every series born at zero.
//!
//! Families are made once, handles are resolved when the parts are built, and the hot path bumps plain counters. Names
//! are `event_exporter_…`, or begin with `metricsNamePrefix`; where that is given, the incumbent's names exist too.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::batch::QueueProbe;
use crate::event::Event;
use crate::source::watcher::{InitReason, WatchError};

/// Every family, and the registry they are in.
pub struct Metrics {
    registry: Registry,
    queues: Mutex<Vec<WatchedQueue>>,
    source: SourceMetrics,
    router: RouterMetrics,
    api: ApiMetrics,
    receivers: ReceiverFamilies,
    watch_last_activity: Gauge,
}

/// Counters of the source.
#[derive(Clone)]
pub struct SourceMetrics {
    /// By `cause`.
    pub restarts: IntCounterVec,
    /// By `reason`.
    pub lists: IntCounterVec,
    /// By `cause`.
    pub malformed: IntCounterVec,
    errors: IntCounter,
    too_old: IntCounter,
    received: IntCounterVec,
    last_activity: Gauge,
    incumbent: Option<IncumbentMetrics>,
}

/// Counters of the router.
#[derive(Clone)]
pub struct RouterMetrics {
    /// Dropped by a rule, and wanted by no other route.
    pub drop_rule: IntCounter,
    /// Wanted by no route.
    pub no_route: IntCounter,
    occurrences: Arc<Mutex<Occurrences>>,
}

/// Requests to the API server.
#[derive(Clone)]
pub struct ApiMetrics(IntCounterVec);

/// Handles of one receiver.
#[derive(Clone)]
#[expect(missing_docs, reason = "the help texts below say it")]
pub struct ReceiverMetrics {
    pub delivered: IntCounter,
    pub duplicates: IntCounter,
    pub retried: IntCounter,
    pub rejected: IntCounter,
    pub queue_full: IntCounter,
    pub in_flight: Gauge,
    pub lag: Histogram,
    pub last_delivery: Gauge,
    pub duration: Histogram,
    requests: IntCounterVec,
    name: String,
    send_errors: Option<IntCounter>,
}

struct ReceiverFamilies {
    delivered: IntCounterVec,
    duplicates: IntCounterVec,
    retried: IntCounterVec,
    rejected: IntCounterVec,
    dropped: IntCounterVec,
    expired: IntCounterVec,
    in_flight: GaugeVec,
    lag: HistogramVec,
    last_delivery: GaugeVec,
    duration: HistogramVec,
    requests: IntCounterVec,
    queue_events: IntGaugeVec,
    queue_bytes: IntGaugeVec,
    queue_capacity: IntGaugeVec,
    queue_age: GaugeVec,
    incumbent: Option<IncumbentMetrics>,
}

/// The incumbent's counters, for dashboards that were made for them.
#[derive(Clone)]
struct IncumbentMetrics {
    sent: IntCounter,
    discarded: IntCounter,
    watch_errors: IntCounter,
    send_errors: IntCounter,
}

struct WatchedQueue {
    receiver: String,
    probe: QueueProbe,
}

/// Our own prefix.
const PREFIX: &str = "event_exporter_";
/// Series of `events_total` at the most; what comes later counts as `other`.
const MAX_EVENT_SERIES: usize = 1000;
/// Events whose count is remembered, twice at the most.
const MAX_COUNTS: usize = 16_384;
const LAG_BUCKETS: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0,
];
const DURATION_BUCKETS: [f64; 11] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

// === impl Metrics ===

impl Metrics {
    /// Makes and registers every family. `prefix` is `metricsNamePrefix`.
    pub fn new(prefix: Option<&str>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let families = Families {
            registry: &registry,
            prefix: prefix.unwrap_or(PREFIX),
        };
        let incumbent = prefix.map(|_| families.incumbent()).transpose()?;
        families.build_info()?;
        families.config()?;
        let watch_last_activity = families.gauge(
            "watch_last_activity_timestamp_seconds",
            "When the API server last sent something.",
        )?;
        let filtered = families.counters(
            "events_filtered_total",
            "Events that go to no receiver.",
            &["cause"],
        )?;
        let source = families.source(&filtered, watch_last_activity.clone(), incumbent.clone())?;
        let router = families.router(&filtered)?;
        let api = families.api()?;
        let receivers = families.receivers(incumbent)?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(Self {
            registry,
            queues: Mutex::default(),
            source,
            router,
            api,
            receivers,
            watch_last_activity,
        })
    }

    /// Handles of the source.
    pub fn source(&self) -> SourceMetrics {
        self.source.clone()
    }

    /// Handles of the router.
    pub fn router(&self) -> RouterMetrics {
        self.router.clone()
    }

    /// Handles of the connection to the API server.
    pub fn api(&self) -> ApiMetrics {
        self.api.clone()
    }

    /// Handles of one receiver, its series born here.
    pub fn receiver(&self, name: &str, queue: QueueProbe) -> ReceiverMetrics {
        let families = &self.receivers;
        let labels = &[name];
        families.expired.with_label_values(labels);
        families.requests.with_label_values(&[name, "200"]);
        families.dropped.with_label_values(&[name, "shutdown"]);
        let capacity = i64::try_from(queue.capacity()).unwrap_or(i64::MAX);
        families
            .queue_capacity
            .with_label_values(labels)
            .set(capacity);
        self.queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(WatchedQueue {
                receiver: name.to_owned(),
                probe: queue,
            });
        ReceiverMetrics {
            delivered: families.delivered.with_label_values(labels),
            duplicates: families.duplicates.with_label_values(labels),
            retried: families.retried.with_label_values(labels),
            rejected: families.rejected.with_label_values(labels),
            queue_full: families.dropped.with_label_values(&[name, "queue_full"]),
            in_flight: families.in_flight.with_label_values(labels),
            lag: families.lag.with_label_values(labels),
            last_delivery: families.last_delivery.with_label_values(labels),
            duration: families.duration.with_label_values(labels),
            requests: families.requests.clone(),
            name: name.to_owned(),
            send_errors: families
                .incumbent
                .as_ref()
                .map(|incumbent| incumbent.send_errors.clone()),
        }
    }

    /// Counts what a receiver still held when the program ended.
    pub fn abandoned(&self, receiver: &str, events: u64) {
        self.receivers
            .dropped
            .with_label_values(&[receiver, "shutdown"])
            .inc_by(events);
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> prometheus::Result<String> {
        for queue in self
            .queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let labels = &[queue.receiver.as_str()];
            let state = queue.probe.state();
            let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            self.receivers
                .queue_events
                .with_label_values(labels)
                .set(count(state.events));
            self.receivers
                .queue_bytes
                .with_label_values(labels)
                .set(count(state.bytes));
            self.receivers
                .queue_age
                .with_label_values(labels)
                .set(state.oldest.as_secs_f64());
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// When the API server last sent something, in seconds since 1970; 0 for never.
    pub fn last_activity(&self) -> f64 {
        self.watch_last_activity.get()
    }
}

// === impl SourceMetrics ===

impl SourceMetrics {
    /// Counts an event that was read.
    pub fn received(&self, event: &Event) {
        let kind = match event.kind.as_str() {
            kind @ ("Normal" | "Warning") => kind,
            _ => "other",
        };
        self.received.with_label_values(&[kind]).inc();
        self.last_activity.set(now());
        if let Some(incumbent) = &self.incumbent {
            incumbent.sent.inc();
        }
    }

    /// Counts an event that a first list leaves out.
    pub fn discarded(&self) {
        self.too_old.inc();
        if let Some(incumbent) = &self.incumbent {
            incumbent.discarded.inc();
        }
    }

    /// Counts a connection that failed.
    pub fn failed(&self, cause: &'static str) {
        self.errors.inc();
        self.restarts.with_label_values(&[cause]).inc();
        if let Some(incumbent) = &self.incumbent {
            incumbent.watch_errors.inc();
        }
    }
}

// === impl RouterMetrics ===

impl RouterMetrics {
    /// Counts how often an event has happened since it was last seen.
    pub fn happened(&self, event: &Event) {
        self.occurrences
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(event);
    }
}

// === impl ApiMetrics ===

impl ApiMetrics {
    /// Counts a request; without a status, one that got no answer.
    pub fn count(&self, verb: &'static str, status: Option<http::StatusCode>) {
        match status {
            Some(status) => self.0.with_label_values(&[verb, status.as_str()]).inc(),
            None => self.0.with_label_values(&[verb, "error"]).inc(),
        }
    }
}

// === impl ReceiverMetrics ===

impl ReceiverMetrics {
    /// Counts an attempt by its outcome: an HTTP status, or `ok` and `error` where there is none.
    pub fn requested(&self, status: Option<u16>, answered: bool) {
        let status = status.map(|status| status.to_string());
        let code = status
            .as_deref()
            .unwrap_or(if answered { "ok" } else { "error" });
        self.requests
            .with_label_values(&[self.name.as_str(), code])
            .inc();
        if let (false, Some(errors)) = (answered, &self.send_errors) {
            errors.inc();
        }
    }

    /// Counts events as taken, and how late they are.
    pub fn took<'a>(&self, events: impl Iterator<Item = &'a Event>) {
        let now = crate::event::Time::now();
        let mut count = 0;
        for event in events {
            self.lag.observe(event.occurred().age(now).as_secs_f64());
            count += 1;
        }
        self.delivered.inc_by(count);
        if count > 0 {
            self.last_delivery.set(self::now());
        }
    }
}

// === impl Occurrences ===

/// Counts occurrences by the change of each event's own count, in memory of bounded size.
struct Occurrences {
    total: IntCounterVec,
    series: usize,
    known: HashMap<u64, IntCounter>,
    /// Counts by event, in two generations: when the new one is full the old one is forgotten.
    counts: HashMap<u64, i64>,
    older: HashMap<u64, i64>,
    hash: RandomState,
}

impl Occurrences {
    fn new(total: IntCounterVec) -> Self {
        Self {
            total,
            series: 0,
            known: HashMap::new(),
            counts: HashMap::new(),
            older: HashMap::new(),
            hash: RandomState::new(),
        }
    }

    fn count(&mut self, event: &Event) {
        let id = self.hash.hash_one(&event.metadata.uid);
        let count = event.occurrences();
        let before = self
            .counts
            .get(&id)
            .or_else(|| self.older.get(&id))
            .copied();
        // An event that was counting before we saw it has happened once that we know of.
        let happened = before.map_or(1, |before| (count - before).max(0));
        if self.counts.len() >= MAX_COUNTS {
            self.older = std::mem::take(&mut self.counts);
        }
        self.counts.insert(id, count);
        self.series(event)
            .inc_by(u64::try_from(happened).unwrap_or(0));
    }

    fn series(&mut self, event: &Event) -> IntCounter {
        let labels = [
            &event.kind,
            &event.reason,
            &event.involved_object.kind,
            &event.metadata.namespace,
        ];
        let id = self.hash.hash_one(labels);
        if let Some(counter) = self.known.get(&id) {
            return counter.clone();
        }
        if self.series >= MAX_EVENT_SERIES {
            return self.total.with_label_values(&["other"; 4]);
        }
        self.series += 1;
        // Anybody who may create Events chooses these; a label is for reading, not for storing text in.
        let labels = labels.map(|label| &label[..label.floor_char_boundary(100)]);
        let counter = self.total.with_label_values(&labels);
        self.known.insert(id, counter.clone());
        counter
    }
}

// === the families ===

struct Families<'a> {
    registry: &'a Registry,
    prefix: &'a str,
}

impl Families<'_> {
    fn add<C: Collector + Clone + 'static>(
        &self,
        collector: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let collector = collector?;
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("{}{name}", self.prefix), help)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::with_opts(self.opts(name, help)))
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(self.opts(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.add(Gauge::with_opts(self.opts(name, help)))
    }

    fn gauges(&self, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
        self.add(GaugeVec::new(self.opts(name, help), &["receiver"]))
    }

    fn int_gauges(&self, name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(self.opts(name, help), &["receiver"]))
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, &["receiver"]))
    }

    fn build_info(&self) -> prometheus::Result<()> {
        let opts = self.opts("build_info", "Always 1; the labels say what runs.");
        let info = self.add(IntGaugeVec::new(
            opts,
            &["version", "revision", "goos", "goarch"],
        ))?;
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        info.with_label_values(&[crate::VERSION, crate::REVISION, std::env::consts::OS, arch])
            .set(1);
        Ok(())
    }

    fn config(&self) -> prometheus::Result<()> {
        self.gauge(
            "config_last_reload_successful",
            "Whether the configuration file could be used when it was last read.",
        )?
        .set(1.0);
        self.gauge(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration in use was read.",
        )?
        .set(now());
        Ok(())
    }

    fn source(
        &self,
        filtered: &IntCounterVec,
        last_activity: Gauge,
        incumbent: Option<IncumbentMetrics>,
    ) -> prometheus::Result<SourceMetrics> {
        let received = self.counters(
            "events_received_total",
            "Versions of Events read from the API server.",
            &["type"],
        )?;
        for kind in ["Normal", "Warning", "other"] {
            received.with_label_values(&[kind]);
        }
        let restarts = self.counters(
            "watch_restarts_total",
            "Watches that had to be opened again, but for those whose time was over.",
            &["cause"],
        )?;
        for cause in WatchError::CAUSES.into_iter().chain(["queue_full"]) {
            restarts.with_label_values(&[cause]);
        }
        let lists = self.counters(
            "watch_lists_total",
            "Times that all Events were listed.",
            &["reason"],
        )?;
        for reason in InitReason::ALL {
            lists.with_label_values(&[reason.as_str()]);
        }
        let malformed = self.counters(
            "watch_malformed_frames_total",
            "Frames of a watch that were skipped because they cannot be read.",
            &["cause"],
        )?;
        for cause in ["not_json", "unexpected", "too_long", "no_identity"] {
            malformed.with_label_values(&[cause]);
        }
        let errors = self.counter(
            "watch_errors_total",
            "Connections for a watch or a list that failed.",
        )?;
        let too_old = filtered.with_label_values(&["age"]);
        Ok(SourceMetrics {
            restarts,
            lists,
            malformed,
            errors,
            too_old,
            received,
            last_activity,
            incumbent,
        })
    }

    fn router(&self, filtered: &IntCounterVec) -> prometheus::Result<RouterMetrics> {
        let total = self.counters(
            "events_total",
            "Occurrences, by the change of each Event's count. At most 1000 series, then `other`.",
            &["type", "reason", "kind", "namespace"],
        )?;
        total.with_label_values(&["other"; 4]);
        Ok(RouterMetrics {
            drop_rule: filtered.with_label_values(&["drop_rule"]),
            no_route: filtered.with_label_values(&["no_route"]),
            occurrences: Arc::new(Mutex::new(Occurrences::new(total))),
        })
    }

    fn api(&self) -> prometheus::Result<ApiMetrics> {
        let requests = self.counters(
            "kube_api_requests_total",
            "Requests to the API server.",
            &["verb", "code"],
        )?;
        for verb in ["get", "list", "watch"] {
            requests.with_label_values(&[verb, "200"]);
        }
        Ok(ApiMetrics(requests))
    }

    fn receivers(
        &self,
        incumbent: Option<IncumbentMetrics>,
    ) -> prometheus::Result<ReceiverFamilies> {
        let receiver = &["receiver"];
        Ok(ReceiverFamilies {
            delivered: self.counters(
                "events_delivered_total",
                "Events that the receiver's sink has taken.",
                receiver,
            )?,
            duplicates: self.counters(
                "events_duplicate_total",
                "Of the events taken, those that had been there already.",
                receiver,
            )?,
            retried: self.counters(
                "events_retried_total",
                "Events sent again; one may be sent again many times.",
                receiver,
            )?,
            rejected: self.counters(
                "events_rejected_total",
                "Events that will never be taken, handed to the dead letter.",
                receiver,
            )?,
            dropped: self.counters(
                "events_dropped_total",
                "Events given up.",
                &["receiver", "cause"],
            )?,
            expired: self.counters(
                "events_expired_total",
                "Events that the API server forgot before the receiver could take them.",
                receiver,
            )?,
            in_flight: self.gauges(
                "events_in_flight",
                "Events sent and not answered yet, or waiting to be sent again.",
            )?,
            lag: self.histograms(
                "event_lag_seconds",
                "From an event's own time until it was taken.",
                &LAG_BUCKETS,
            )?,
            last_delivery: self.gauges(
                "last_delivery_timestamp_seconds",
                "When an event was last taken; 0 for never.",
            )?,
            duration: self.histograms(
                "receiver_request_duration_seconds",
                "Duration of one attempt.",
                &DURATION_BUCKETS,
            )?,
            requests: self.counters(
                "receiver_requests_total",
                "Attempts, by HTTP status; `ok` and `error` where there is none.",
                &["receiver", "code"],
            )?,
            queue_events: self.int_gauges("queue_events", "Events waiting to be sent.")?,
            queue_bytes: self.int_gauges("queue_bytes", "What they weigh, about.")?,
            queue_capacity: self.int_gauges("queue_capacity_bytes", "What the queue takes.")?,
            queue_age: self.gauges(
                "queue_oldest_event_age_seconds",
                "How long the first of them has been waiting.",
            )?,
            incumbent,
        })
    }

    fn incumbent(&self) -> prometheus::Result<IncumbentMetrics> {
        // Lookups of involved objects count here once there are any.
        self.counter(
            "kube_api_read_cache_hits",
            "Lookups of involved objects that a cache answered.",
        )?;
        self.counter(
            "kube_api_read_cache_misses",
            "Lookups of involved objects that went to the API server.",
        )?;
        Ok(IncumbentMetrics {
            sent: self.counter(
                "events_sent",
                "Events processed, as the incumbent counts: on receipt.",
            )?,
            discarded: self.counter("events_discarded", "Events left out because of their age.")?,
            watch_errors: self.counter(
                "watch_errors",
                "Connections for a watch or a list that failed.",
            )?,
            send_errors: self.counter("send_event_errors", "Attempts to deliver that failed.")?,
        })
    }
}

fn now() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(uid: &str, reason: &str, count: i64) -> Event {
        let mut event = Event {
            reason: reason.to_owned(),
            count,
            ..Event::default()
        };
        event.metadata.uid = uid.to_owned();
        event
    }

    fn value(metrics: &Metrics, labels: &[&str; 4]) -> u64 {
        let occurrences = metrics.router.occurrences.lock().unwrap();
        occurrences.total.with_label_values(labels).get()
    }

    #[test]
    fn occurrences_are_counted_by_the_change_of_the_count() {
        let metrics = Metrics::new(None).unwrap();
        let router = metrics.router();
        // Seen first at 5: one occurrence that we know of. Then four more, a replay, and a new event of no count.
        for (uid, count) in [("a", 5), ("a", 9), ("a", 9), ("a", 5), ("b", 0)] {
            router.happened(&event(uid, "BackOff", count));
        }
        assert_eq!(value(&metrics, &["", "BackOff", "", ""]), 6);
    }

    #[test]
    fn hostile_labels_cannot_grow_the_metrics_without_end() {
        let metrics = Metrics::new(None).unwrap();
        let router = metrics.router();
        let more = 50;
        for at in 0..MAX_EVENT_SERIES + more {
            router.happened(&event(
                &at.to_string(),
                &format!("{at}{}", "é".repeat(500)),
                1,
            ));
        }
        assert_eq!(value(&metrics, &["other"; 4]), u64::try_from(more).unwrap());
        let text = metrics.render().unwrap();
        let series = text
            .lines()
            .filter(|line| line.starts_with("event_exporter_events_total{"));
        assert!(series.clone().count() <= MAX_EVENT_SERIES + 1);
        assert!(series.clone().all(|line| line.len() < 300));
    }

    #[test]
    fn memory_of_counts_is_bounded() {
        let metrics = Metrics::new(None).unwrap();
        for at in 0..3 * MAX_COUNTS {
            metrics.router().happened(&event(&at.to_string(), "r", 1));
        }
        let occurrences = metrics.router.occurrences.lock().unwrap();
        assert!(occurrences.counts.len() + occurrences.older.len() <= 2 * MAX_COUNTS);
    }
}
