//! Outages: said once when they begin, and once when they are over. What failed last is kept for whoever looks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Time;

/// Failures since the last success.
#[derive(Debug, Default)]
pub struct Outage {
    attempts: u64,
    /// What was told of them.
    told: BTreeSet<String>,
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
    /// It may quote what is in an event.
    pub quotes_event: bool,
    /// The HTTP status, if that is what a server said.
    pub status: Option<u16>,
}

/// Kinds of failures that are told of one outage.
const MAX_TOLD: usize = 32;
/// Of the text of a failure: what is longer helps nobody.
const MAX_ERROR: usize = 1024;

// === impl Outage ===

impl Outage {
    /// Counts a failure, and says whether it differs in kind from those before. Servers word the same failure anew each
    /// time: `failure` should be what stays the same.
    pub fn is_news(&mut self, failure: &str) -> bool {
        self.attempts += 1;
        let is_news = !self.told.contains(failure) && self.told.len() < MAX_TOLD;
        is_news && self.told.insert(failure.to_owned())
    }

    /// Ends it, and says after how many failures; `None` if there was none.
    pub fn over(&mut self) -> Option<u64> {
        let attempts = std::mem::take(self).attempts;
        (attempts > 0).then_some(attempts)
    }
}

// === impl LastFailure ===

impl LastFailure {
    /// Something fails, and goes on failing. What a server says, with this HTTP status, may quote an event.
    pub fn fails(&self, error: &str, status: Option<u16>) {
        *self.state() = Some(Failure {
            goes_on: true,
            quotes_event: status.is_some(),
            status,
            ..Failure::now(error)
        });
    }

    /// An event was refused, which is over by that. It does not hide a failure that goes on.
    pub fn refused(&self, error: &str) {
        let mut state = self.state();
        if state.as_ref().is_none_or(|failure| !failure.goes_on) {
            *state = Some(Failure {
                quotes_event: true,
                ..Failure::now(error)
            });
        }
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

    fn state(&self) -> MutexGuard<'_, Option<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Failure ===

impl Failure {
    fn now(error: &str) -> Self {
        Self {
            at: Time::now(),
            error: error[..error.floor_char_boundary(MAX_ERROR)].to_owned(),
            goes_on: false,
            quotes_event: false,
            status: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_is_told_once_and_not_without_end() {
        let mut outage = Outage::default();
        assert!(outage.is_news("refused") && outage.is_news("certificate"));
        assert!(!outage.is_news("refused"));
        let more = (0..100).filter(|at| outage.is_news(&at.to_string()));
        assert_eq!(more.count(), MAX_TOLD - 2);
        assert_eq!(outage.over(), Some(103));
        assert!(outage.is_news("refused"));
    }

    #[test]
    fn what_failed_last_is_kept_and_short() {
        let failure = LastFailure::default();
        assert!(failure.get().is_none());
        failure.fails("first", None);
        failure.refused("an event");
        let first = failure.get().unwrap();
        assert_eq!(
            (&*first.error, first.goes_on),
            ("first", true),
            "is not hidden"
        );
        failure.over();
        assert!(!failure.get().unwrap().goes_on);
        failure.clone().refused(&"ä".repeat(MAX_ERROR));
        let last = failure.get().unwrap();
        assert_eq!((last.error.len(), last.quotes_event), (MAX_ERROR, true));
        assert!(!last.goes_on);
    }
}
