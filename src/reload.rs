//! Reload: takes a changed configuration while events go on.
//!
//! The file, and the files of credentials and certificates that it names, are read every two seconds, by their paths, so
//! that it does not matter how they change: written over, renamed into place, or by the link that the kubelet turns when a
//! `ConfigMap` or a Secret changes. A configuration is taken as a whole or not at all. A receiver that has not changed notices nothing; one that has keeps its queue and its mark, and delivers in the new
//! way from the next attempt on; one that is removed delivers what it holds. What stands at the top of the file (but
//! `route` and `receivers`) takes a restart.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::buffer::BufferConfig;
use crate::config::{self, Config, ConfigError, Fingerprints, Loaded, ReceiverConfig};
use crate::intake::Backlog;
use crate::metrics::Metrics;
use crate::pipeline::{build_delivery, build_receiver, compile, located, policy};
use crate::receiver::{Delivery, Receiver};
use crate::router::{Leg, Table};
use crate::status::Status;
use crate::yaml::Problem;

/// Watches the configuration file.
pub struct Reloader {
    /// Which; `None` if what runs comes from no file.
    path: Option<PathBuf>,
    /// What was read last, good or bad; `None` if that is not what runs.
    seen: Option<Seen>,
    /// Why what was read last can't be used. It is tried again: something else may have been missing.
    refused: Option<String>,
    /// What was read last names these, whether it can be used or not.
    files: Files,
    running: Fingerprints,
    /// By receiver that runs, what was in its files.
    held: BTreeMap<String, u64>,
    /// By receiver that runs, its buffer.
    buffers: BTreeMap<String, BufferConfig>,
    /// The text of what runs; `None` if that comes from no file.
    in_use: watch::Sender<Option<String>>,
    tables: watch::Sender<Arc<Table>>,
    router: Arc<Backlog>,
    metrics: Arc<Metrics>,
    status: Arc<Status>,
    asked: Arc<Notify>,
}

/// A configuration, and what is in the files that it names.
#[derive(PartialEq, Eq)]
struct Seen {
    text: String,
    held: BTreeMap<String, u64>,
}

/// The file of a configuration, and what was read of it.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
    /// What was in it when the program started, which some settings are kept to.
    at_start: Fingerprints,
}

/// By receiver, the files that it is made of besides the configuration.
type Files = BTreeMap<String, Vec<PathBuf>>;

/// The files that a configuration names.
pub struct Named {
    files: Files,
    /// What was in them before the receivers were made, as one number each.
    held: BTreeMap<String, u64>,
    /// Buffers are opened once: those of receivers that go on stay.
    buffers: BTreeMap<String, BufferConfig>,
}

/// What a configuration comes to, built and not in effect.
struct Change {
    table: Table,
    fingerprints: Fingerprints,
    named: Named,
    changed: Vec<Changed>,
    added: Vec<Receiver>,
    warnings: Vec<Problem>,
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
    /// Watches the file that `tables` are made of, and the files that it names. `asked` makes it look at once.
    pub fn new(
        file: Option<ConfigFile>,
        names: Named,
        tables: watch::Sender<Arc<Table>>,
        router: Arc<Backlog>,
        metrics: Arc<Metrics>,
        status: Arc<Status>,
        asked: Arc<Notify>,
    ) -> Self {
        let Named {
            files,
            held,
            buffers,
        } = names;
        let (mut path, mut seen, mut running) = (None, None, Fingerprints::default());
        if let Some(file) = file {
            let read = fingerprints(&file.text);
            tell_of_settings(&file.at_start, &read);
            status.loaded(&file.text);
            running = Fingerprints {
                settings: file.at_start.settings,
                ..read
            };
            path = Some(file.path);
            seen = Some(Seen {
                text: file.text,
                held: held.clone(),
            });
        }
        let text = seen.as_ref().map(|seen| seen.text.clone());
        Self {
            path,
            seen,
            refused: None,
            files,
            running,
            held,
            buffers,
            in_use: watch::Sender::new(text),
            tables,
            router,
            metrics,
            status,
            asked,
        }
    }

    /// The text of what runs, and of what runs later; `None` if that comes from no file.
    pub fn in_use(&self) -> watch::Receiver<Option<String>> {
        self.in_use.subscribe()
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
                    self.refused = None;
                    self.metrics.config_taken(true);
                    let text = self.seen.as_ref().map(|seen| seen.text.clone());
                    self.status.loaded(text.as_deref().unwrap_or(""));
                    self.in_use.send_replace(text);
                    return self.take(change);
                }
                Err(problem) => self.refuse(crate::telemetry::chain(&problem)),
            }
        }
    }

    /// Tells why what was read can't be used, once.
    fn refuse(&mut self, problem: String) {
        if self.refused.as_ref() == Some(&problem) {
            return;
        }
        self.metrics.config_taken(false);
        self.status.refused(&problem);
        error!(
            error = problem,
            "the new configuration can't be used: the one before goes on"
        );
        self.refused = Some(problem);
    }

    /// A receiver has ended, because it was removed.
    pub fn receiver_ended(&self) {
        self.tables.borrow().removed.forget_settled();
    }

    /// The change to what is in the file now, if it is not what was there before.
    fn look(&mut self, path: &Path) -> Result<Option<Change>, ConfigError> {
        let text = config::read(path)?;
        let held = contents(&self.files);
        let mut seen = Seen { text, held };
        if self.refused.is_none() && self.seen.as_ref() == Some(&seen) {
            return Ok(None);
        }
        let path = path.display().to_string();
        let change = Config::of_text(&seen.text, &path).and_then(|loaded| {
            // From now on its files are watched, even if it can't be used: one of them may be all that is missing.
            let named = Named::by(&loaded.config.receivers);
            self.files.clone_from(&named.files);
            seen.held.clone_from(&named.held);
            self.build(loaded, fingerprints(&seen.text), named, &path)
        });
        self.seen = Some(seen);
        change.map(Some)
    }

    /// Builds what has changed. `named` is what the configuration names.
    fn build(
        &self,
        loaded: Loaded,
        fingerprints: Fingerprints,
        named: Named,
        path: &str,
    ) -> Result<Change, ConfigError> {
        let config = loaded.config;
        let route = compile(&config).map_err(|problem| ConfigError::of(path, vec![problem]))?;
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
            let is_same = self.running.receivers.get(&name) == fingerprints.receivers.get(&name)
                && self.held.get(&name) == named.held.get(&name);
            if is_same {
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
            table: Table::new(route, legs).in_place_of(&now),
            fingerprints,
            named,
            changed,
            added,
            warnings: loaded.warnings,
        })
    }

    fn take(&mut self, change: Change) -> Vec<Receiver> {
        for warning in &change.warnings {
            warn!("{warning}");
        }
        tell_of_settings(&self.running, &change.fingerprints);
        let is_rerouted = self.running.route != change.fingerprints.route;
        // What runs does not follow the settings: they are told of until then.
        self.running = Fingerprints {
            settings: std::mem::take(&mut self.running.settings),
            ..change.fingerprints
        };
        self.held = change.named.held;
        for changed in &change.changed {
            let name = &changed.leg.outlet.name;
            if self.buffers.get(name) != change.named.buffers.get(name) {
                warn!(
                    receiver = name,
                    "the buffer of a receiver that goes on stays as it is until the next start"
                );
            }
        }
        let table = Arc::new(change.table);
        let before = self.tables.send_replace(Arc::clone(&table));
        if is_rerouted {
            table.legs.iter().for_each(|leg| leg.outlet.forget_missed());
        }
        let removed = before
            .legs
            .iter()
            .filter(|leg| table.leg_of(&leg.outlet).is_none());
        let removed: Vec<_> = removed.collect();
        for leg in &removed {
            leg.outlet.remove();
            table.removed.add(Arc::clone(&leg.outlet));
            self.buffers.remove(&leg.outlet.name);
        }
        let ran = |name: &str| before.legs.iter().any(|leg| leg.outlet.name == name);
        let added = change.named.buffers.into_iter();
        self.buffers.extend(added.filter(|(name, _)| !ran(name)));
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
            leg.changes.deliver(delivery);
        }
        change.added
    }
}

// === impl ConfigFile ===

impl ConfigFile {
    /// The file at `path`, in which `text` was when the program started.
    pub fn new(path: PathBuf, text: String) -> Self {
        Self {
            path,
            at_start: fingerprints(&text),
            text,
        }
    }

    /// What was in it when what runs was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is in it now, for one whose turn comes later.
    pub fn read_again(&self) -> Result<String, ConfigError> {
        config::read(&self.path)
    }

    /// The file, whatever is in it now: `text` is what runs.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..self
        }
    }
}

// === impl Named ===

impl Named {
    /// Those of the receivers, which are still to be made: if a file changes meanwhile, that is seen later.
    pub fn by(receivers: &[ReceiverConfig]) -> Self {
        let files = receivers.iter().map(|one| (one.name.clone(), one.files()));
        let files = files.collect();
        let buffers = receivers.iter();
        let buffers = buffers.filter_map(|one| Some((one.name.clone(), one.buffer.clone()?)));
        Self {
            held: contents(&files),
            buffers: buffers.collect(),
            files,
        }
    }
}

/// What is in the files of each receiver, as one number; what can't be read counts as empty.
fn contents(files: &Files) -> BTreeMap<String, u64> {
    let hash = |files: &Vec<PathBuf>| {
        let mut hasher = DefaultHasher::new();
        for file in files {
            std::fs::read(file).unwrap_or_default().hash(&mut hasher);
        }
        hasher.finish()
    };
    files
        .iter()
        .map(|(name, files)| (name.clone(), hash(files)))
        .collect()
}

fn tell_of_settings(running: &Fingerprints, read: &Fingerprints) {
    let settings = running.changed_settings(read);
    if !settings.is_empty() {
        warn!(
            keys = settings.join(", "),
            "these settings have changed and take effect at the next start"
        );
    }
}

fn fingerprints(text: &str) -> Fingerprints {
    Fingerprints::of(text, &|name| std::env::var(name).ok())
}
