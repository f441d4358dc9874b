//! The Status: what people may see of a running exporter, on its page, as JSON, and by `tap`. Whoever looks changes nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

use self::report::Report;
use crate::event::{Event, Time};
use crate::health::{Health, WatchHealth};
use crate::outage::LastFailure;
use crate::pipeline::Account;
use crate::recent::Recent;
use crate::router::Table;

mod report;

/// What is shown, to whoever reaches the port of the metrics.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StatusConfig {
    /// Whether anything is.
    pub enabled: bool,
    /// Whether what is in events is too.
    pub events: bool,
}

/// What is known of a running exporter.
pub struct Status {
    started: Time,
    /// For probes.
    pub health: Health,
    config: Mutex<Loaded>,
    config_failure: LastFailure,
    /// While it is this process's turn.
    account: Mutex<Option<Account>>,
    recent: Option<Arc<Recent>>,
}

/// The configuration that runs, or ran last.
#[derive(Default)]
struct Loaded {
    /// The first digits of its file's SHA-256; `None` if it comes from no file.
    hash: Option<String>,
    at: Option<Time>,
}

/// Of what a rule fails on, where events are explained.
const MAX_VALUE: usize = 1000;
/// Of a SHA-256: enough to compare by eye.
const HASH_DIGITS: usize = 12;

// === impl StatusConfig ===

impl Default for StatusConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            events: false,
        }
    }
}

// === impl Status ===

impl Default for Status {
    fn default() -> Self {
        Self::new(StatusConfig::default())
    }
}

impl Status {
    /// Of an exporter that has just started.
    pub fn new(config: StatusConfig) -> Self {
        let shows_events = config.enabled && config.events;
        Self {
            started: Time::now(),
            health: Health::default(),
            config: Mutex::default(),
            config_failure: LastFailure::default(),
            account: Mutex::default(),
            recent: shows_events.then(Arc::default),
        }
    }

    /// The last events, if they may be seen.
    pub fn recent(&self) -> Option<&Arc<Recent>> {
        self.recent.as_ref()
    }

    /// Another delivers, or may.
    pub fn stand_by(&self) {
        self.health.stand_by();
        *self.account() = None;
    }

    /// This process delivers, by these watches.
    pub fn lead(&self, watches: Vec<Arc<WatchHealth>>, account: Account) {
        self.health.lead(watches);
        *self.account() = Some(account);
    }

    /// A configuration is in effect, which reads so.
    pub fn loaded(&self, text: &str) {
        let hash = digest(&SHA256, text.as_bytes());
        let mut hex: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hex.truncate(HASH_DIGITS);
        *self.config() = Loaded {
            hash: Some(hex).filter(|_| !text.is_empty()),
            at: Some(Time::now()),
        };
        self.config_failure.over();
    }

    /// A new configuration can't be used.
    pub fn refused(&self, error: &str) {
        self.config_failure.fails(error, None);
    }

    /// Who gets what at the moment, if it is this process's turn.
    pub fn table(&self) -> Option<Arc<Table>> {
        self.account().as_ref().map(Account::table)
    }

    /// All of it as JSON.
    pub fn report(&self) -> serde_json::Result<String> {
        let account = self.account().clone();
        let table = account.as_ref().map(Account::table);
        serde_json::to_string(&Report::of(self, account.as_ref(), table.as_deref()))
    }

    fn config(&self) -> MutexGuard<'_, Loaded> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self) -> MutexGuard<'_, Option<Account>> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where `event` would go by `table`, and why, as JSON.
pub fn explain(table: &Table, event: &Event) -> serde_json::Result<String> {
    let mut explanation = table.route.explain(event);
    // Each rule may quote the same long text.
    explanation.shorten(MAX_VALUE);
    serde_json::to_string(&explanation.told(event, &|at| table.name(at)))
}

#[cfg(test)]
mod tests;
