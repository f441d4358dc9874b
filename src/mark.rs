//! Marks: up to where something is done in the API server's history.
//!
//! Resource versions of one API server are numbers that grow, which Kubernetes guarantees since 1.35 and etcd always did.
//! A version that is no number counts as 0: what comes with it is delivered, and no mark moves on its account.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Everything up to here is done. The default is the beginning: nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Which history of the API server: one that is restored from a backup begins another, whose versions say nothing
    /// about those before.
    pub history: u32,
    /// The resource version; 0 is before all of them.
    pub version: u64,
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// Which watch.
    pub watch: usize,
    /// Whoever resumes the watch here gets the event again.
    pub resume: Mark,
    /// The event's own version.
    pub version: Mark,
    /// Everything after this has come by the watch. `None` for what comes from a list, in which versions are in no order, and
    /// which may come again.
    pub watched_since: Option<Mark>,
}

/// How far a watch is.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    read: Mark,
    routed: Mark,
    known: u64,
}

// === impl Mark ===

impl Mark {
    /// The mark of a version in the same history.
    #[must_use]
    pub fn at(self, version: &str) -> Self {
        let version = version.parse().unwrap_or(0);
        Self { version, ..self }
    }

    /// Where a watch can be resumed; `None` where all there is has to be listed.
    pub fn resume(self) -> Option<String> {
        (self.version > 0).then(|| self.version.to_string())
    }
}

// === impl Progress ===

impl Progress {
    /// A watch that starts after `mark`.
    pub fn new(mark: Mark) -> Self {
        let progress = Self::default();
        progress.state().read = mark;
        progress
    }

    /// One whose API server has come as far as `version` at least, as others know.
    #[must_use]
    pub fn with_known(self, version: u64) -> Self {
        self.state().known = version;
        self
    }

    /// An API server that has not come so far has another history than it had.
    pub fn known(&self) -> u64 {
        let state = self.state();
        state.known.max(state.read.version)
    }

    /// Everything up to here has been handed on.
    pub fn read(&self) -> Mark {
        self.state().read
    }

    /// The highest version that was offered to receivers.
    pub fn routed(&self) -> Mark {
        self.state().routed
    }

    /// Everything up to `version` has been handed on.
    pub fn read_to(&self, version: &str) {
        let mut state = self.state();
        state.read = state.read.at(version);
        drop(state);
        self.moved.notify_one();
    }

    /// The API server has another history: what was before is no measure any more.
    pub fn start_over(&self) {
        let mut state = self.state();
        state.read = Mark {
            history: state.read.history + 1,
            version: 0,
        };
        state.routed = state.read;
        state.known = 0;
    }

    /// An event of this version is offered to receivers.
    pub fn route(&self, version: Mark) {
        let mut state = self.state();
        state.routed = state.routed.max(version);
    }

    /// Waits until more has been read; for one who waits.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lowers the mark of the watch that an event comes from to where it can be read again.
pub fn lower(marks: &mut [Mark], watch: usize, resume: Mark) {
    if let Some(mark) = marks.get_mut(watch) {
        *mark = resume.min(*mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_history_is_past_every_version_of_the_one_before() {
        let progress = Progress::new(Mark {
            history: 0,
            version: 900,
        });
        progress.route(progress.read().at("910"));
        let before = progress.read();
        let progress = progress.with_known(2000);
        assert_eq!(progress.known(), 2000);
        progress.start_over();
        assert!(progress.read() > before);
        assert_eq!(progress.known(), 0);
        assert!(progress.read().at("5") > before.at("910"));
        assert_eq!(
            progress.routed(),
            progress.read(),
            "nothing of it is routed"
        );
    }

    #[test]
    fn a_version_that_is_no_number_is_the_beginning() {
        assert_eq!(Mark::default().at("opaque"), Mark::default());
        assert_eq!(Mark::default().resume(), None);
        assert_eq!(Mark::default().at("7").resume().unwrap(), "7");
    }
}
