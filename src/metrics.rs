//! What the program says about itself: Prometheus metrics, born at zero where their labels are known beforehand.
//!
//! Families are made once, handles are resolved when the parts are built, and the hot path bumps plain counters. Names
//! are `event_exporter_…`, or begin with `metricsNamePrefix`; where that is given, the incumbent's names exist too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{Encoder as _, Gauge, IntCounter, IntCounterVec, Registry, TextEncoder};

use self::families::Families;
pub use self::latest::LastOutcome;
pub use self::lookups::LookupMetrics;
use self::occurrences::Occurrences;
use self::receivers::ReceiverFamilies;
pub use self::receivers::{BufferMetrics, ReceiverMetrics};
use crate::batch::{QueueProbe, WeakProbe};
use crate::event::Event;

mod families;
mod latest;
mod lookups;
mod occurrences;
mod receivers;

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
        let mut queues = self.queues_that_are_there();
        // One that was removed and is there again.
        queues.retain(|one| one.receiver != name);
        queues.push(WatchedQueue {
            receiver: name.to_owned(),
            probe: queue.downgrade(),
        });
        drop(queues);
        self.receivers.handles(name, queue)
    }

    /// Handles of one receiver's buffer, its series born here.
    pub fn buffer(&self, receiver: &str) -> BufferMetrics {
        // If one of this name is gone, its series go now and not while these are there.
        drop(self.queues_that_are_there());
        self.receivers.buffer(receiver)
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
        for queue in &*self.queues_that_are_there() {
            if let Some(state) = queue.probe.state() {
                self.receivers.show(&queue.receiver, state);
            }
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The queues, without those of receivers that are gone; nor is there more to be said about what these do.
    fn queues_that_are_there(&self) -> MutexGuard<'_, Vec<WatchedQueue>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| {
            let is_there = queue.probe.state().is_some();
            if !is_there {
                self.receivers.forget(&queue.receiver);
            }
            is_there
        });
        queues
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

fn now() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::queue;

    #[test]
    fn of_a_receiver_that_is_gone_there_is_no_state_and_what_it_has_counted() {
        let metrics = Metrics::new(None).unwrap();
        let (sender, taken) = queue(1);
        metrics.buffer("gone").full.set(1);
        let handles = metrics.receiver("gone", &sender.probe());
        handles.parked.set(1.0);
        handles.rejected.inc();
        let series = |of: &str| {
            let text = metrics.render().unwrap();
            let families = text.split("# TYPE ").skip(1);
            let wanted = families.filter(|family| family.lines().next().unwrap().ends_with(of));
            let lines = wanted.flat_map(|family| family.lines().skip(1).map(str::to_owned));
            lines
                .filter(|line| line.contains("receiver=\"gone\""))
                .collect::<Vec<_>>()
        };
        assert_eq!(series("gauge").len(), 10);
        drop((sender, taken));
        assert_eq!(series("gauge"), Vec::<String>::new());
        let rejected = "event_exporter_events_rejected_total{receiver=\"gone\"} 1";
        assert!(series("counter").iter().any(|line| line == rejected));
    }
}
