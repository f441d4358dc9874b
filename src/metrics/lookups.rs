//! Lookups of involved objects, and of the labels of namespaces.

use prometheus::{IntCounter, IntCounterVec};

use super::IncumbentMetrics;
use crate::enrich::{LookupResult, NamespaceResult};

/// Counters of the enricher.
#[derive(Clone)]
pub struct LookupMetrics {
    /// By [`LookupResult`].
    results: [IntCounter; LookupResult::ALL.len()],
    hits: IntCounter,
    misses: IntCounter,
    /// By [`NamespaceResult`].
    namespaces: [IntCounter; NamespaceResult::ALL.len()],
    incumbent: Option<IncumbentMetrics>,
}

// === impl LookupMetrics ===

impl LookupMetrics {
    pub(super) fn new(
        results: &IntCounterVec,
        cache: &IntCounterVec,
        namespaces: &IntCounterVec,
        incumbent: Option<IncumbentMetrics>,
    ) -> Self {
        Self {
            results: LookupResult::ALL.map(|result| results.with_label_values(&[result.as_str()])),
            hits: cache.with_label_values(&["hit"]),
            misses: cache.with_label_values(&["miss"]),
            namespaces: NamespaceResult::ALL
                .map(|result| namespaces.with_label_values(&[result.as_str()])),
            incumbent,
        }
    }

    /// Counts an event that needed its object, by what came of that.
    pub fn count(&self, result: LookupResult) {
        self.results[result as usize].inc();
    }

    /// How many events have gone on without what their objects know.
    pub fn without(&self) -> u64 {
        let results = LookupResult::ALL.iter().zip(&self.results);
        let without = results
            .filter(|(result, _)| !matches!(result, LookupResult::Found | LookupResult::Gone));
        without.map(|(_, counter)| counter.get()).sum()
    }

    /// Counts an event that needed the labels of its namespace, by whether they were known.
    pub fn count_namespace(&self, result: NamespaceResult) {
        self.namespaces[result as usize].inc();
    }

    /// An event needs no request of its own.
    pub fn hit(&self) {
        self.hits.inc();
        if let Some(incumbent) = &self.incumbent {
            incumbent.cache_hits.inc();
        }
    }

    /// An event needs one.
    pub fn miss(&self) {
        self.misses.inc();
        if let Some(incumbent) = &self.incumbent {
            incumbent.cache_misses.inc();
        }
    }
}
