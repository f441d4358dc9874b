//! Whether the program does its work, for probes and for the page that people look at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The state of the program: of the watches that there are. One that stands by has none, and is ready.
#[derive(Debug, Default)]
pub struct Health(Mutex<Vec<Arc<WatchHealth>>>);

/// The state of one watch.
#[derive(Debug)]
pub struct WatchHealth {
    /// All namespaces if empty.
    namespace: String,
    /// How long it may be silent.
    deadline: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    listed: bool,
    paused: bool,
    heard: Instant,
}

// === impl Health ===

impl Health {
    /// From now on these are its watches.
    pub fn set(&self, watches: Vec<Arc<WatchHealth>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = watches;
    }

    /// Why it is not ready; nothing if it is.
    pub fn complaints(&self) -> Vec<String> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches
            .iter()
            .filter_map(|watch| watch.complaint())
            .collect()
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

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

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
}
