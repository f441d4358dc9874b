//! Reload: takes a changed configuration while events go on.
//!
//! The file is read every two seconds, by its path, so that it does not matter how it changes: written over, renamed into
//! place, or by the link that the kubelet turns when a `ConfigMap` changes. A configuration is taken as a whole or not at
//! all. A receiver that has not changed notices nothing; one that has keeps its queue and its mark, and delivers in the new
//! way from the next attempt on; one that is removed delivers what it holds. What stands at the top of the file (but
//! `route` and `receivers`) takes a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::config::{self, Config, ConfigError, Fingerprints};
use crate::intake::Backlog;
use crate::metrics::Metrics;
use crate::pipeline::{build_delivery, build_receiver, compile, located, policy};
use crate::receiver::{Delivery, Receiver};
use crate::router::{Leg, Table};

/// Watches the configuration file.
pub struct Reloader {
    /// Which; `None` if what runs comes from no file.
    path: Option<PathBuf>,
    /// What was read of it last, good or bad; `None` if it could not be read.
    seen: Option<String>,
    running: Fingerprints,
    tables: watch::Sender<Arc<Table>>,
    router: Arc<Backlog>,
    metrics: Arc<Metrics>,
    asked: Arc<Notify>,
}

/// What a configuration comes to, built and not in effect.
struct Change {
    table: Table,
    fingerprints: Fingerprints,
    changed: Vec<Changed>,
    added: Vec<Receiver>,
}

/// A receiver that stays, and delivers in another way.
struct Changed {
    leg: Leg,
    delivery: Delivery,
    queue_bytes: usize,
}

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(2);

// === impl Reloader ===

impl Reloader {
    /// Watches the file at `path`, which `tables` were made of. `asked` makes it look at once.
    pub fn new(
        path: Option<PathBuf>,
        tables: watch::Sender<Arc<Table>>,
        router: Arc<Backlog>,
        metrics: Arc<Metrics>,
        asked: Arc<Notify>,
    ) -> Self {
        let seen = path.as_deref().and_then(|path| config::read(path).ok());
        let running = seen.as_deref().map(fingerprints).unwrap_or_default();
        Self {
            path,
            seen,
            running,
            tables,
            router,
            metrics,
            asked,
        }
    }

    /// Waits until a change of the configuration is in effect, and returns the receivers that it adds, which are to be run.
    /// One that can't be used is told of, and what runs goes on.
    pub async fn next(&mut self) -> Vec<Receiver> {
        let Some(path) = self.path.clone() else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                () = sleep(INTERVAL) => {}
                () = self.asked.notified() => {}
            }
            match self.look(&path) {
                Ok(None) => {}
                Ok(Some(change)) => {
                    self.metrics.config_taken(true);
                    return self.take(change);
                }
                Err(problem) => {
                    self.metrics.config_taken(false);
                    error!(
                        error = crate::telemetry::chain(&problem),
                        "the new configuration can't be used: the one before goes on"
                    );
                }
            }
        }
    }

    /// The change to what is in the file now, if it is not what was there before.
    fn look(&mut self, path: &Path) -> Result<Option<Change>, ConfigError> {
        let text = match config::read(path) {
            Ok(text) => text,
            // Once: it may be on its way.
            Err(error) => return self.seen.take().map_or(Ok(None), |_| Err(error)),
        };
        if self.seen.as_ref() == Some(&text) {
            return Ok(None);
        }
        let change = self.build(&text, &path.display().to_string());
        self.seen = Some(text);
        change.map(Some)
    }

    fn build(&self, text: &str, path: &str) -> Result<Change, ConfigError> {
        let loaded = Config::of_text(text, path)?;
        for warning in &loaded.warnings {
            warn!(config = path, "{warning}");
        }
        let config = loaded.config;
        let route = compile(&config).map_err(|problem| ConfigError::of(path, vec![problem]))?;
        let fingerprints = fingerprints(text);
        let now = Arc::clone(&self.tables.borrow());
        let (mut legs, mut changed, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for config in config.receivers {
            let (name, location) = (config.name.clone(), config.location.clone());
            let refused = |problems| ConfigError::of(path, located(problems, &location));
            let Some(leg) = now.legs.iter().find(|leg| leg.outlet.name == name) else {
                // It begins where the others are.
                let had = self.router.routed();
                let built = build_receiver(config, had, &self.router, &self.metrics);
                let (leg, receiver) = built.map_err(refused)?;
                legs.push(leg);
                added.push(receiver);
                continue;
            };
            if self.running.receivers.get(&name) == fingerprints.receivers.get(&name) {
                legs.push(leg.clone());
                continue;
            }
            let (policy, queue_bytes) = (policy(&config), config.queue_bytes);
            let delivery = build_delivery(config).map_err(refused)?;
            let leg = Leg {
                policy,
                reads_object: delivery.sink.reads_object(),
                ..leg.clone()
            };
            legs.push(leg.clone());
            changed.push(Changed {
                leg,
                delivery,
                queue_bytes,
            });
        }
        Ok(Change {
            table: Table { route, legs },
            fingerprints,
            changed,
            added,
        })
    }

    fn take(&mut self, change: Change) -> Vec<Receiver> {
        let settings = self.running.changed_settings(&change.fingerprints);
        if !settings.is_empty() {
            warn!(
                keys = settings.join(", "),
                "these settings have changed and take effect at the next start"
            );
        }
        // What runs does not follow them: they are told of until then.
        self.running.receivers = change.fingerprints.receivers;
        let table = Arc::new(change.table);
        let before = self.tables.send_replace(Arc::clone(&table));
        let removed = before
            .legs
            .iter()
            .filter(|leg| table.leg_of(&leg.outlet).is_none());
        let removed: Vec<_> = removed.inspect(|leg| leg.outlet.close()).collect();
        info!(
            receivers = table.legs.len(),
            added = change.added.len(),
            changed = change.changed.len(),
            removed = removed.len(),
            "the configuration was read anew"
        );
        for Changed {
            leg,
            delivery,
            queue_bytes,
        } in change.changed
        {
            leg.outlet.queue.resize(queue_bytes);
            // It has ended only if the program has.
            let _ = leg.changes.send(delivery);
        }
        change.added
    }
}

fn fingerprints(text: &str) -> Fingerprints {
    Fingerprints::of(text, &|name| std::env::var(name).ok())
}
