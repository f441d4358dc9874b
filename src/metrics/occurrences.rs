//! How often things happen: `events_total`.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use prometheus::{IntCounter, IntCounterVec};

use crate::event::Event;

/// Series of `events_total` at the most; what comes later counts as `other`.
const MAX_EVENT_SERIES: usize = 1000;
/// Events whose count is remembered, twice at the most.
const MAX_COUNTS: usize = 16_384;

/// Counts occurrences by the change of each event's own count, in memory of bounded size.
pub(super) struct Occurrences {
    total: IntCounterVec,
    series: usize,
    known: HashMap<u64, IntCounter>,
    /// Counts by event, in two generations: when the new one is full the old one is forgotten.
    counts: HashMap<u64, i64>,
    older: HashMap<u64, i64>,
    hash: RandomState,
}

// === impl Occurrences ===

impl Occurrences {
    pub(super) fn new(total: IntCounterVec) -> Self {
        Self {
            total,
            series: 0,
            known: HashMap::new(),
            counts: HashMap::new(),
            older: HashMap::new(),
            hash: RandomState::new(),
        }
    }

    pub(super) fn count(&mut self, event: &Event) {
        let id = self.hash.hash_one(&event.metadata.uid);
        let count = event.occurrences();
        let before = self
            .counts
            .get(&id)
            .or_else(|| self.older.get(&id))
            .copied();
        // An event that was counting before we saw it has happened once that we know of.
        let happened = before.map_or(1, |before| count.saturating_sub(before).max(0));
        if self.counts.len() >= MAX_COUNTS {
            self.older = std::mem::take(&mut self.counts);
        }
        // A version that comes late has been counted with the one after it.
        let most = before.map_or(count, |before| before.max(count));
        self.counts.insert(id, most);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

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
        for (uid, count) in [("a", 5), ("a", 9), ("a", 9), ("a", 5), ("a", 9), ("b", 0)] {
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
