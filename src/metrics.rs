//! What the program says about itself: Prometheus metrics, every series born at zero.
//!
//! Families are made once, handles are resolved when the parts are built, and the hot path bumps plain counters. Names
//! are `event_exporter_…`, or begin with `metricsNamePrefix`; where that is given, the incumbent's names exist too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Registry, TextEncoder,
};

use self::families::Families;
pub use self::latest::LastOutcome;
pub use self::lookups::LookupMetrics;
use self::occurrences::Occurrences;
use crate::batch::{QueueProbe, WeakProbe};
use crate::event::Event;

mod families;
mod latest;
mod lookups;
mod occurrences;

/// Every family, and the registry they are in.
pub struct Metrics {
    registry: Registry,
    config: ConfigMetrics,
    leader: Gauge,
    queues: Mutex<Vec<WatchedQueue>>,
    source: SourceMetrics,
    router: RouterMetrics,
    lookups: LookupMetrics,
    api: ApiMetrics,
    receivers: ReceiverFamilies,
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
    /// Times that something may have expired unseen.
    pub gaps: IntCounter,
    errors: IntCounter,
    too_old: IntCounter,
    received: IntCounterVec,
    last_activity: Gauge,
    incumbent: Option<IncumbentMetrics>,
    /// What is read was counted before.
    again: bool,
}

/// Counters of the router.
#[derive(Clone)]
pub struct RouterMetrics {
    /// Dropped by a rule, and wanted by no other route.
    pub drop_rule: IntCounter,
    /// Left out by a sample, and wanted by no other route.
    pub sample: IntCounter,
    /// Each event that a sample left out, once a route.
    pub sampled_out: IntCounter,
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
    pub too_old: IntCounter,
    pub throttled: IntCounter,
    pub kinds_forgotten: IntCounter,
    pub expired: IntCounter,
    pub parked: Gauge,
    pub setup_incomplete: Gauge,
    pub in_flight: Gauge,
    pub lag: Histogram,
    pub last_delivery: Gauge,
    pub duration: Histogram,
    /// Of no series, for people who look now.
    pub latest: LastOutcome,
    requests: IntCounterVec,
    name: String,
    send_errors: Option<IntCounter>,
}

/// Handles of one receiver's buffer.
#[derive(Clone)]
#[expect(missing_docs, reason = "the help texts below say it")]
pub struct BufferMetrics {
    bytes: IntGauge,
    pub full: IntGauge,
    pub damaged: IntCounter,
}

struct ReceiverFamilies {
    delivered: IntCounterVec,
    duplicates: IntCounterVec,
    retried: IntCounterVec,
    rejected: IntCounterVec,
    dropped: IntCounterVec,
    throttled: IntCounterVec,
    kinds_forgotten: IntCounterVec,
    expired: IntCounterVec,
    parked: GaugeVec,
    setup_incomplete: GaugeVec,
    in_flight: GaugeVec,
    lag: HistogramVec,
    last_delivery: GaugeVec,
    duration: HistogramVec,
    requests: IntCounterVec,
    queue_events: IntGaugeVec,
    queue_bytes: IntGaugeVec,
    queue_capacity: IntGaugeVec,
    queue_age: GaugeVec,
    buffer_bytes: IntGaugeVec,
    buffer_full: IntGaugeVec,
    buffer_damaged: IntCounterVec,
    incumbent: Option<IncumbentMetrics>,
}

/// The incumbent's counters, for dashboards that were made for them.
#[derive(Clone)]
struct IncumbentMetrics {
    sent: IntCounter,
    discarded: IntCounter,
    watch_errors: IntCounter,
    send_errors: IntCounter,
    cache_hits: IntCounter,
    cache_misses: IntCounter,
}

struct ConfigMetrics {
    successful: Gauge,
    success_time: Gauge,
}

struct WatchedQueue {
    receiver: String,
    /// Of a receiver that may be gone by now, as when another process has its turn.
    probe: WeakProbe,
}

// === impl Metrics ===

impl Metrics {
    /// Makes and registers every family. `prefix` is `metricsNamePrefix`.
    pub fn new(prefix: Option<&str>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let families = Families::new(&registry, prefix);
        let incumbent = prefix.map(|_| families.incumbent()).transpose()?;
        families.build_info()?;
        let config = families.config()?;
        let leader = families.leader()?;
        let watch_last_activity = families.gauge(
            "watch_last_activity_timestamp_seconds",
            "When the API server last sent something.",
        )?;
        let filtered = families.counters(
            "events_filtered_total",
            "Events that go to no receiver.",
            &["cause"],
        )?;
        let source = families.source(&filtered, watch_last_activity, incumbent.clone())?;
        let router = families.router(&filtered)?;
        let lookups = families.lookups(incumbent.clone())?;
        let api = families.api()?;
        let receivers = families.receivers(incumbent)?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let metrics = Self {
            registry,
            config,
            leader,
            queues: Mutex::default(),
            source,
            router,
            lookups,
            api,
            receivers,
        };
        metrics.config_taken(true);
        Ok(metrics)
    }

    /// This process delivers from now on, or does not.
    pub fn leads(&self, leads: bool) {
        self.leader.set(f64::from(u8::from(leads)));
    }

    /// A configuration was read, and is in use or not.
    pub fn config_taken(&self, successful: bool) {
        self.config.successful.set(f64::from(u8::from(successful)));
        if successful {
            self.config.success_time.set(now());
        }
    }

    /// Handles of the source.
    pub fn source(&self) -> SourceMetrics {
        self.source.clone()
    }

    /// Handles of the router.
    pub fn router(&self) -> RouterMetrics {
        self.router.clone()
    }

    /// Handles of the enricher.
    pub fn lookups(&self) -> LookupMetrics {
        self.lookups.clone()
    }

    /// Handles of the connection to the API server.
    pub fn api(&self) -> ApiMetrics {
        self.api.clone()
    }

    /// Handles of one receiver, its series born here.
    pub fn receiver(&self, name: &str, queue: &QueueProbe) -> ReceiverMetrics {
        let families = &self.receivers;
        let labels = &[name];
        for code in ["200", "ok", "error"] {
            families.requests.with_label_values(&[name, code]);
        }
        families.dropped.with_label_values(&[name, "shutdown"]);
        let capacity = i64::try_from(queue.capacity()).unwrap_or(i64::MAX);
        families
            .queue_capacity
            .with_label_values(labels)
            .set(capacity);
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was removed and is there again.
        queues.retain(|one| one.receiver != name);
        queues.push(WatchedQueue {
            receiver: name.to_owned(),
            probe: queue.downgrade(),
        });
        drop(queues);
        let metrics = ReceiverMetrics {
            delivered: families.delivered.with_label_values(labels),
            duplicates: families.duplicates.with_label_values(labels),
            retried: families.retried.with_label_values(labels),
            rejected: families.rejected.with_label_values(labels),
            queue_full: families.dropped.with_label_values(&[name, "queue_full"]),
            too_old: families.dropped.with_label_values(&[name, "max_event_age"]),
            throttled: families.throttled.with_label_values(labels),
            kinds_forgotten: families.kinds_forgotten.with_label_values(labels),
            expired: families.expired.with_label_values(labels),
            parked: families.parked.with_label_values(labels),
            setup_incomplete: families.setup_incomplete.with_label_values(labels),
            in_flight: families.in_flight.with_label_values(labels),
            lag: families.lag.with_label_values(labels),
            last_delivery: families.last_delivery.with_label_values(labels),
            duration: families.duration.with_label_values(labels),
            latest: LastOutcome::default(),
            requests: families.requests.clone(),
            name: name.to_owned(),
            send_errors: families
                .incumbent
                .as_ref()
                .map(|incumbent| incumbent.send_errors.clone()),
        };
        // One of this name may have been there before, in another state.
        metrics.parked.set(0.0);
        metrics.set_up(true);
        metrics.in_flight.set(0.0);
        metrics
    }

    /// Handles of one receiver's buffer, its series born here.
    pub fn buffer(&self, receiver: &str) -> BufferMetrics {
        let (families, labels) = (&self.receivers, &[receiver]);
        BufferMetrics {
            bytes: families.buffer_bytes.with_label_values(labels),
            full: families.buffer_full.with_label_values(labels),
            damaged: families.buffer_damaged.with_label_values(labels),
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
}

// === impl BufferMetrics ===

impl BufferMetrics {
    /// Its files take so many bytes.
    pub fn holds(&self, bytes: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

// === impl SourceMetrics ===

impl SourceMetrics {
    /// Of a source that reads once more what was counted.
    #[must_use]
    pub fn again(self) -> Self {
        Self {
            again: true,
            ..self
        }
    }

    /// Counts an event that was read.
    pub fn received(&self, event: &Event) {
        if self.again {
            return;
        }
        let kind = match event.kind.as_str() {
            kind @ ("Normal" | "Warning") => kind,
            _ => "other",
        };
        self.received.with_label_values(&[kind]).inc();
        if let Some(incumbent) = &self.incumbent {
            incumbent.sent.inc();
        }
    }

    /// The API server sent something.
    pub fn heard(&self) {
        if !self.again {
            self.last_activity.set(now());
        }
    }

    /// Counts a watch that was closed because nothing took its events, which is how it goes where they are read once more.
    pub fn queue_full(&self) {
        if !self.again {
            self.restarts.with_label_values(&["queue_full"]).inc();
        }
    }

    /// Counts an event that a first list leaves out.
    pub fn discarded(&self) {
        if self.again {
            return;
        }
        self.too_old.inc();
        if let Some(incumbent) = &self.incumbent {
            incumbent.discarded.inc();
        }
    }

    /// Counts a connection that failed.
    pub fn failed(&self, cause: &'static str) {
        if self.again {
            return;
        }
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
    /// All is there that was to be made before the first event, as far as is known, or not.
    pub fn set_up(&self, complete: bool) {
        self.setup_incomplete.set(f64::from(u8::from(!complete)));
    }

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
        let (mut count, mut lag) = (0, Duration::ZERO);
        for event in events {
            lag = event.occurred().age(now);
            self.lag.observe(lag.as_secs_f64());
            count += 1;
        }
        self.delivered.inc_by(count);
        if count > 0 {
            self.latest.took(lag);
            self.last_delivery.set(self::now());
        }
    }
}

fn now() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}
