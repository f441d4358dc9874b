//! What is said about each receiver.

use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};

use super::{IncumbentMetrics, LastOutcome};
use crate::batch::{QueueProbe, QueueState};
use crate::event::Event;

/// Handles of one receiver.
#[derive(Clone)]
#[expect(missing_docs, reason = "the help texts in families.rs say it")]
pub struct ReceiverMetrics {
    pub delivered: IntCounter,
    pub duplicates: IntCounter,
    pub retried: IntCounter,
    pub rejected: IntCounter,
    pub queue_full: IntCounter,
    pub too_old: IntCounter,
    pub removed: IntCounter,
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
#[expect(missing_docs, reason = "the help texts in families.rs say it")]
pub struct BufferMetrics {
    bytes: IntGauge,
    pub full: IntGauge,
    pub damaged: IntCounter,
}

/// The families of series that have a receiver's name.
pub(super) struct ReceiverFamilies {
    pub(super) delivered: IntCounterVec,
    pub(super) duplicates: IntCounterVec,
    pub(super) retried: IntCounterVec,
    pub(super) rejected: IntCounterVec,
    pub(super) dropped: IntCounterVec,
    pub(super) throttled: IntCounterVec,
    pub(super) kinds_forgotten: IntCounterVec,
    pub(super) expired: IntCounterVec,
    pub(super) parked: GaugeVec,
    pub(super) setup_incomplete: GaugeVec,
    pub(super) in_flight: GaugeVec,
    pub(super) lag: HistogramVec,
    pub(super) last_delivery: GaugeVec,
    pub(super) duration: HistogramVec,
    pub(super) requests: IntCounterVec,
    pub(super) queue_events: IntGaugeVec,
    pub(super) queue_bytes: IntGaugeVec,
    pub(super) queue_capacity: IntGaugeVec,
    pub(super) queue_age: GaugeVec,
    pub(super) buffer_bytes: IntGaugeVec,
    pub(super) buffer_full: IntGaugeVec,
    pub(super) buffer_damaged: IntCounterVec,
    pub(super) incumbent: Option<IncumbentMetrics>,
}

// === impl ReceiverFamilies ===

impl ReceiverFamilies {
    /// Handles of one receiver.
    pub(super) fn handles(&self, name: &str, queue: &QueueProbe) -> ReceiverMetrics {
        let labels = &[name];
        for code in ["200", "ok", "error"] {
            self.requests.with_label_values(&[name, code]);
        }
        self.dropped.with_label_values(&[name, "shutdown"]);
        self.show(name, queue.state());
        let metrics = ReceiverMetrics {
            delivered: self.delivered.with_label_values(labels),
            duplicates: self.duplicates.with_label_values(labels),
            retried: self.retried.with_label_values(labels),
            rejected: self.rejected.with_label_values(labels),
            queue_full: self.dropped.with_label_values(&[name, "queue_full"]),
            too_old: self.dropped.with_label_values(&[name, "max_event_age"]),
            removed: self.dropped.with_label_values(&[name, "removed"]),
            throttled: self.throttled.with_label_values(labels),
            kinds_forgotten: self.kinds_forgotten.with_label_values(labels),
            expired: self.expired.with_label_values(labels),
            parked: self.parked.with_label_values(labels),
            setup_incomplete: self.setup_incomplete.with_label_values(labels),
            in_flight: self.in_flight.with_label_values(labels),
            lag: self.lag.with_label_values(labels),
            last_delivery: self.last_delivery.with_label_values(labels),
            duration: self.duration.with_label_values(labels),
            latest: LastOutcome::default(),
            requests: self.requests.clone(),
            name: name.to_owned(),
            send_errors: self
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

    /// Handles of one receiver's buffer.
    pub(super) fn buffer(&self, receiver: &str) -> BufferMetrics {
        let labels = &[receiver];
        BufferMetrics {
            bytes: self.buffer_bytes.with_label_values(labels),
            full: self.buffer_full.with_label_values(labels),
            damaged: self.buffer_damaged.with_label_values(labels),
        }
    }

    /// Tells what a receiver's queue holds.
    pub(super) fn show(&self, receiver: &str, queue: QueueState) {
        let labels = &[receiver];
        let events = self.queue_events.with_label_values(labels);
        events.set(to_gauge(queue.events));
        let bytes = self.queue_bytes.with_label_values(labels);
        bytes.set(to_gauge(queue.bytes));
        let capacity = self.queue_capacity.with_label_values(labels);
        capacity.set(to_gauge(queue.max_bytes));
        let age = self.queue_age.with_label_values(labels);
        age.set(queue.oldest.as_secs_f64());
    }

    /// Takes away the series that tell a state. Those that count what has been stay.
    pub(super) fn forget(&self, receiver: &str) {
        let labels = &[receiver];
        for family in [
            &self.parked,
            &self.setup_incomplete,
            &self.in_flight,
            &self.last_delivery,
            &self.queue_age,
        ] {
            // What was never there need not go.
            let _ = family.remove_label_values(labels);
        }
        for family in [
            &self.queue_events,
            &self.queue_bytes,
            &self.queue_capacity,
            &self.buffer_bytes,
            &self.buffer_full,
        ] {
            let _ = family.remove_label_values(labels);
        }
    }
}

// === impl BufferMetrics ===

impl BufferMetrics {
    /// Its files take so many bytes.
    pub fn holds(&self, bytes: u64) {
        self.bytes.set(to_gauge(bytes));
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
            self.last_delivery.set(super::now());
        }
    }
}

fn to_gauge(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
