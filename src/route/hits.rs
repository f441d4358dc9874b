//! Hits: how many events each rule of a tree has matched since the tree was loaded.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Resolution, Route};

/// Counts by [`RuleId`](super::RuleId). They belong to one tree, and begin anew with the next.
#[derive(Debug)]
pub struct Hits(Box<[AtomicU64]>);

// === impl Hits ===

impl Hits {
    /// None yet.
    pub fn none_of(route: &Route) -> Self {
        Self((0..route.rules()).map(|_| AtomicU64::default()).collect())
    }

    /// Counts an event that was resolved by the tree. There is one who counts, the router, so that no count gets lost
    /// between load and store, which cost less than an addition that others could interrupt.
    pub fn count(&self, resolution: &Resolution) {
        for rule in &resolution.rules {
            if let Some(hits) = self.0.get(rule.0) {
                hits.store(hits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
        }
    }

    /// In the order of [`RuleId`](super::RuleId)s.
    pub fn counted(&self) -> Vec<u64> {
        let hits = self.0.iter();
        hits.map(|hits| hits.load(Ordering::Relaxed)).collect()
    }
}
