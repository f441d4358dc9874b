//! Outages: said once when they begin, and once when they are over. What failed last is kept for whoever looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Time;

/// Failures since the last success.
#[derive(Debug, Default)]
pub struct Outage {
    attempts: u64,
    told: Option<String>,
}

/// What failed last, if anything has.
#[derive(Debug, Clone, Default)]
pub struct LastFailure(Arc<Mutex<Option<Failure>>>);

/// Something that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When.
    pub at: Time,
    /// How, for people; without credentials.
    pub error: String,
    /// It goes on, as far as is known.
    pub goes_on: bool,
    /// It is a sink's refusal of an event, and may quote what is in that.
    pub quotes_event: bool,
}

/// Of the text of a failure: what is longer helps nobody.
const MAX_ERROR: usize = 1024;

// === impl Outage ===

impl Outage {
    /// Counts a failure, and says whether it differs in kind from the one before. Servers word the same failure anew each
    /// time: `failure` should be what stays the same.
    pub fn is_news(&mut self, failure: &str) -> bool {
        self.attempts += 1;
        let news = self.told.as_deref() != Some(failure);
        if news {
            self.told = Some(failure.to_owned());
        }
        news
    }

    /// Ends it, and says after how many failures; `None` if there was none.
    pub fn over(&mut self) -> Option<u64> {
        let attempts = std::mem::take(self).attempts;
        (attempts > 0).then_some(attempts)
    }
}

// === impl LastFailure ===

impl LastFailure {
    /// Something fails, and goes on failing.
    pub fn fails(&self, error: &str) {
        self.note(error, false);
    }

    /// An event was refused, which is over by that.
    pub fn refused(&self, error: &str) {
        self.note(error, true);
    }

    /// It has worked since.
    pub fn over(&self) {
        if let Some(failure) = &mut *self.state() {
            failure.goes_on = false;
        }
    }

    /// The failure.
    pub fn get(&self) -> Option<Failure> {
        self.state().clone()
    }

    fn note(&self, error: &str, quotes_event: bool) {
        let end = error.floor_char_boundary(MAX_ERROR);
        *self.state() = Some(Failure {
            at: Time::now(),
            error: error[..end].to_owned(),
            goes_on: !quotes_event,
            quotes_event,
        });
    }

    fn state(&self) -> MutexGuard<'_, Option<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_last_is_kept_and_short() {
        let failure = LastFailure::default();
        assert!(failure.get().is_none());
        failure.fails("first");
        assert!(failure.get().unwrap().goes_on);
        failure.over();
        assert!(!failure.get().unwrap().goes_on);
        failure.clone().refused(&"ä".repeat(MAX_ERROR));
        let last = failure.get().unwrap();
        assert_eq!((last.error.len(), last.quotes_event), (MAX_ERROR, true));
        assert!(!last.goes_on);
    }
}
