//! Whether the program does its work, for probes and for the page that people look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Time;
use crate::outage::{Failure, LastFailure};

/// The state of the program.
#[derive(Debug, Default)]
pub struct Health(Mutex<Turn>);

/// Whose turn it is to deliver.
#[derive(Debug, Default)]
enum Turn {
    /// That is not known yet.
    #[default]
    Unknown,
    /// Another's, and this process is ready to follow.
    Other,
    /// This process's, by these watches.
    Ours(Vec<Arc<WatchHealth>>),
}

/// The state of one watch.
#[derive(Debug)]
pub struct WatchHealth {
    /// All namespaces if empty.
    namespace: String,
    /// How long it may be silent.
    deadline: Duration,
    state: Mutex<State>,
    failure: LastFailure,
}

#[derive(Debug)]
struct State {
    listed: bool,
    paused: bool,
    heard: Instant,
}

/// What a watch does, for people.
#[derive(Debug)]
pub struct WatchReport {
    /// Of which namespace; of all if empty.
    pub namespace: String,
    /// A word for its state.
    pub state: &'static str,
    /// When the API server sent something last.
    pub heard: Time,
    /// What failed last, if anything has.
    pub failure: Option<Failure>,
}

// === impl Health ===

impl Health {
    /// Another delivers, or may.
    pub fn stand_by(&self) {
        *self.turn() = Turn::Other;
    }

    /// This process delivers, by these watches.
    pub fn lead(&self, watches: Vec<Arc<WatchHealth>>) {
        *self.turn() = Turn::Ours(watches);
    }

    /// Why it is not ready; nothing if it is.
    pub fn complaints(&self) -> Vec<String> {
        match &*self.turn() {
            Turn::Unknown => vec!["it has not begun".to_owned()],
            Turn::Other => Vec::new(),
            Turn::Ours(watches) => watches
                .iter()
                .filter_map(|watch| watch.complaint())
                .collect(),
        }
    }

    /// Who delivers, in a word, and how its watches are.
    pub fn report(&self) -> (&'static str, Vec<WatchReport>) {
        match &*self.turn() {
            Turn::Unknown => ("starting", Vec::new()),
            Turn::Other => ("standby", Vec::new()),
            Turn::Ours(watches) => {
                let watches = watches.iter().map(|watch| watch.report());
                ("delivering", watches.collect())
            }
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl WatchHealth ===

impl WatchHealth {
    /// A watch that has not begun.
    pub fn new(namespace: Option<&str>, deadline: Duration) -> Self {
        let state = State {
            listed: false,
            paused: false,
            heard: Instant::now(),
        };
        Self {
            namespace: namespace.unwrap_or_default().to_owned(),
            deadline,
            state: Mutex::new(state),
            failure: LastFailure::default(),
        }
    }

    /// The API server sent something.
    pub fn heard(&self) {
        self.state().heard = Instant::now();
    }

    /// Everything that was there at the start has been handed on, and a connection is open.
    pub fn listed(&self) {
        let mut state = self.state();
        state.listed = true;
        state.heard = Instant::now();
    }

    /// Nothing is read, on purpose: receivers take no more. Readiness does not depend on them.
    pub fn pause(&self) {
        self.state().paused = true;
    }

    /// It is opened again.
    pub fn resume(&self) {
        let mut state = self.state();
        state.paused = false;
        state.heard = Instant::now();
    }

    /// The API server can't be asked, or does not answer as it should.
    pub fn failed(&self, error: &str) {
        self.failure.fails(error, None);
    }

    /// What it does.
    pub fn report(&self) -> WatchReport {
        let state = self.state();
        let silent = state.heard.elapsed();
        let heard = Time::now().before(silent);
        let failure = self.failure.get();
        let state = match &failure {
            _ if state.paused => "paused",
            Some(failure) if failure.at > heard => "failing",
            _ if !state.listed => "listing",
            _ if silent > self.deadline => "silent",
            _ => "watching",
        };
        WatchReport {
            namespace: self.namespace.clone(),
            state,
            heard,
            failure,
        }
    }

    /// Why it is not ready, if it isn't.
    pub fn complaint(&self) -> Option<String> {
        let state = self.state();
        let which = if self.namespace.is_empty() {
            "all namespaces"
        } else {
            &self.namespace
        };
        if state.paused {
            return None;
        }
        if !state.listed {
            return Some(format!("the events of {which} have not been listed yet"));
        }
        let silent = state.heard.elapsed();
        (silent > self.deadline).then(|| {
            format!(
                "the watch of {which} has been silent for {} s",
                silent.as_secs()
            )
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test]
    async fn one_that_has_not_begun_is_not_ready_and_one_that_stands_by_is() {
        let health = Health::default();
        assert_eq!(health.complaints(), ["it has not begun"]);
        health.stand_by();
        assert!(health.complaints().is_empty());
        health.lead(vec![Arc::new(WatchHealth::new(
            None,
            Duration::from_secs(1),
        ))]);
        assert_eq!(health.complaints().len(), 1, "nothing is listed yet");
    }

    #[tokio::test(start_paused = true)]
    async fn ready_once_listed_until_silent() {
        let health = WatchHealth::new(Some("shop"), Duration::from_secs(190));
        assert_eq!(
            health.complaint().unwrap(),
            "the events of shop have not been listed yet"
        );
        health.listed();
        assert_eq!(health.complaint(), None);
        advance(Duration::from_secs(200)).await;
        assert_eq!(
            health.complaint().unwrap(),
            "the watch of shop has been silent for 200 s"
        );
        health.pause();
        assert_eq!(health.complaint(), None, "closed on purpose is not silent");
        health.resume();
        assert_eq!(health.complaint(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn people_are_told_what_a_watch_does() {
        let health = WatchHealth::new(None, Duration::from_secs(190));
        let state = || health.report().state;
        assert_eq!(state(), "listing");
        health.listed();
        assert_eq!(state(), "watching");
        advance(Duration::from_secs(200)).await;
        assert_eq!(state(), "silent");
        health.failed("connection refused");
        assert_eq!(state(), "failing");
        assert_eq!(health.report().failure.unwrap().error, "connection refused");
        health.pause();
        assert_eq!(state(), "paused");
    }
}
