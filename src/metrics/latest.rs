//! What came of a receiver's events last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::outage::LastFailure;

/// The last success and the last failure.
#[derive(Debug, Clone, Default)]
pub struct LastOutcome {
    /// Milliseconds, plus one: 0 before any event was taken.
    lag: Arc<AtomicU64>,
    /// What came between events and the sink.
    pub failure: LastFailure,
}

// === impl LastOutcome ===

impl LastOutcome {
    /// An event was taken, so late.
    pub fn took(&self, lag: Duration) {
        let millis = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        self.lag.store(millis.saturating_add(1), Ordering::Relaxed);
    }

    /// How late the last one was that was taken.
    pub fn lag(&self) -> Option<Duration> {
        let millis = self.lag.load(Ordering::Relaxed).checked_sub(1);
        millis.map(Duration::from_millis)
    }
}
