//! The Source: watches Events and hands every version of every one of them on, from the API server's commit onward.
//!
//! It never leaves an open watch unread: the API server buffers without bound for whoever watches Events slowly. When
//! nothing downstream takes more, the watch is closed, and resumed from the same version when there is room again.
//!
//! What it hands on twice: after an outage that the API server's history (five minutes) does not bridge, nothing; after
//! a list that was cut off, or that took longer than this history, part of that list. What it can't hand on: what has expired (an hour) while no watch was
//! open, of which it tells from when to when. Documents have ids that make this harmless in OpenSearch.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::Client;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff as StreamBackoff;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::collection::WatchError;
use self::coverage::{Coverage, Gap};
use self::watcher::{InitReason, Update, Versioned, WatchConfig};
use crate::batch::QueueSender;
use crate::event::{Event, Time};
use crate::health::WatchHealth;
use crate::mark::{Mark, Origin, Progress};
use crate::metrics::SourceMetrics;
use crate::outage::Outage;
use crate::retry::{Backoff, RetryLimits};

pub mod client;
pub mod collection;
mod coverage;
pub mod frames;
pub mod latest;
#[cfg(test)]
pub(crate) mod testing;
pub mod watcher;

/// Which Events to watch.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// One namespace, or all of them.
    pub namespace: Option<String>,
    /// Goes into every event.
    pub cluster_name: String,
    /// Where all there is has to be listed, events from before are left out.
    pub since: Time,
    /// When the process before has ended, as far as is known: what expired since then, nobody has seen.
    pub unwatched_since: Option<Time>,
    /// Which of the watches this is, as its events' [`Origin`] says.
    pub watch: usize,
    /// What to do when the API server turns out to have another history, because it was restored from a backup.
    pub on_other_history: OnOtherHistory,
    /// How long the API server is asked to keep a watch open; see [`WatchConfig`].
    pub watch_timeout: Duration,
    /// See [`WatchConfig`].
    pub watch_grace: Duration,
}

/// Who decides what becomes of the marks of the old history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOtherHistory {
    /// This source: it starts over, and says so.
    StartOver,
    /// Another one, after which this one is ended. Until then nothing is read.
    Wait,
}

/// The watch of one namespace, or of all.
pub struct Source {
    client: Client,
    config: SourceConfig,
    metrics: SourceMetrics,
    health: Arc<WatchHealth>,
    queue: Arc<QueueSender>,
    progress: Arc<Progress>,
    position: Position,
    coverage: Coverage,
}

/// How far the Source is.
#[derive(Debug, Clone, PartialEq)]
struct Position {
    /// Everything up to this version has been handed on. `None` until the first list is complete.
    version: Option<String>,
    /// A list is under way, whose events are in no order: the version stays until it is complete.
    listing: bool,
    /// The list under way is streamed: it can't wait.
    streamed: bool,
    /// Since then nothing has come by a list.
    watched_since: Mark,
    /// Whether lists may be streamed: not where the last one had to be cut off, because pages can wait and it can't.
    streaming_lists: bool,
}

/// How long an open watch goes unread while the queue is full. A hiccup is not worth a reconnect.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long what waits for another source to start over waits before it looks again whether it has to.
const OTHER_HISTORY: Duration = Duration::from_secs(2);
/// Objects a page of a list: a megabyte or so.
const PAGE_SIZE: u32 = 1000;

// === impl Source ===

impl Source {
    /// A source that hands on to `queue`, beginning where `progress` is.
    pub fn new(
        client: Client,
        config: SourceConfig,
        metrics: SourceMetrics,
        health: Arc<WatchHealth>,
        progress: Arc<Progress>,
        queue: Arc<QueueSender>,
    ) -> Self {
        let position = Position {
            version: progress.read().resume(),
            listing: false,
            streamed: false,
            watched_since: progress.read(),
            // What waits for its receiver can't read a list as it comes.
            streaming_lists: config.on_other_history == OnOtherHistory::StartOver,
        };
        Self {
            coverage: Coverage::new(config.unwatched_since),
            client,
            config,
            metrics,
            health,
            queue,
            progress,
            position,
        }
    }

    /// Watches until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        // Whatever is under way is dropped: what has not been handed on is read again at the next start.
        shutdown.run_until_cancelled(self.watch_for_ever()).await;
    }

    async fn watch_for_ever(&mut self) {
        loop {
            let Some(event) = self.watch_until_full().await else {
                continue;
            };
            // The watch is closed by now; wait for as long as it takes.
            self.health.pause();
            if self.config.on_other_history == OnOtherHistory::StartOver {
                info!(
                    namespace = self.namespace(),
                    "receivers take no more events: the watch is closed until they do"
                );
            }
            self.metrics.queue_full();
            self.coverage.interrupted(Time::now());
            self.queue.push(Arc::clone(&event)).await;
            // Room for one event would be taken up at once, and the watch closed again.
            self.queue.half_empty().await;
            if self.position.listing {
                // Part of a list has been handed on, but which part is unknown.
                self.position.listing = false;
            } else {
                self.move_to(event.resource_version());
            }
            self.health.resume();
        }
    }

    /// Hands on events until the queue stays full, and returns the one that found no room.
    async fn watch_until_full(&mut self) -> Option<Arc<Event>> {
        let updates = watcher::watcher::<Event>(self.client.clone(), self.watch_config())
            .backoff(Reconnects::new());
        let mut updates = pin!(updates);
        let mut outage = Outage::default();
        while let Some(update) = updates.next().await {
            if update.is_ok() {
                self.health.heard();
                self.metrics.heard();
            }
            let event = match update {
                Ok(Update::Init { reason, streamed }) => {
                    if reason == InitReason::Ahead {
                        if self.config.on_other_history == OnOtherHistory::Wait {
                            // Unless the server has passed the version by then, which nobody else may have seen.
                            sleep(OTHER_HISTORY).await;
                            self.position.listing = false;
                            self.position.streamed = false;
                            return None;
                        }
                        self.start_over();
                    }
                    self.position.listing = true;
                    self.position.streamed = streamed;
                    self.coverage.list_begins(Time::now());
                    self.metrics
                        .lists
                        .with_label_values(&[reason.as_str()])
                        .inc();
                    debug!(
                        namespace = self.namespace(),
                        reason = reason.as_str(),
                        "listing events"
                    );
                    continue;
                }
                Ok(Update::InitDone {
                    version,
                    reaches_back,
                }) => {
                    debug!(namespace = self.namespace(), version, "listed");
                    self.listed(reaches_back);
                    self.progress.read_to(&version);
                    self.position = Position {
                        version: Some(version),
                        listing: false,
                        streamed: false,
                        watched_since: self.progress.read(),
                        streaming_lists: self.config.on_other_history == OnOtherHistory::StartOver,
                    };
                    self.connected(&mut outage);
                    continue;
                }
                Ok(Update::Opened(version)) => {
                    debug!(namespace = self.namespace(), version, "watching");
                    self.coverage.opened(Time::now());
                    self.connected(&mut outage);
                    continue;
                }
                Ok(Update::Delete(version) | Update::Progress(version)) => {
                    self.coverage.goes_on();
                    self.move_to(&version);
                    continue;
                }
                Ok(Update::Malformed { cause, reason }) => {
                    self.malformed(cause, &reason);
                    continue;
                }
                Ok(Update::InitApply(event)) if self.is_too_old(&event) => {
                    self.metrics.discarded();
                    continue;
                }
                Ok(Update::InitApply(event) | Update::Apply(event)) => event,
                Err(error) => {
                    self.failed(&error, &mut outage);
                    continue;
                }
            };
            let Some(event) = self.accept(event) else {
                continue;
            };
            if !self.queue.try_push(&event) && !self.wait_for_room(&event).await {
                self.position.streaming_lists &= !self.position.listing;
                return Some(event);
            }
            if !self.position.listing {
                self.coverage.goes_on();
                self.move_to(event.resource_version());
            }
        }
        None
    }

    fn move_to(&mut self, version: &str) {
        self.position.move_to(version);
        self.progress.read_to(version);
    }

    fn listed(&mut self, reaches_back: bool) {
        let is_whole = reaches_back || self.position.version.is_none();
        let is_open = self.position.streamed;
        let gap = self.coverage.listed(is_whole, is_open, Time::now());
        // Whose receiver is parked has an account of what it misses.
        let gap = gap.filter(|_| self.config.on_other_history == OnOtherHistory::StartOver);
        match gap {
            None => {}
            Some(Gap::OfOne) => warn!(
                namespace = self.namespace(),
                "a receiver was far behind the others at the start: what it had missed may have expired, and how much is not known"
            ),
            Some(Gap::OfAll(since)) => {
                self.metrics.gaps.inc();
                warn!(
                    namespace = self.namespace(),
                    from = %since.seconds(),
                    to = %Time::now().seconds(),
                    "no watch was open, and nothing that is older is left: events of that time may have expired unseen"
                );
            }
        }
    }

    /// The versions that are known say nothing about the API server any more.
    fn start_over(&mut self) {
        warn!(
            namespace = self.namespace(),
            "the API server has another history, as if restored from a backup: all of its events are read"
        );
        self.progress.start_over();
        self.position.version = None;
    }

    /// Waits until the queue has taken `event`. False if the watch has to be closed first.
    async fn wait_for_room(&self, event: &Arc<Event>) -> bool {
        let push = self.queue.push(Arc::clone(event));
        if timeout(PATIENCE, push).await.is_ok() {
            return true;
        }
        // A list by pages has nothing open, and to begin it again would lead nowhere.
        if !self.position.listing || self.position.streamed {
            return false;
        }
        self.health.pause();
        self.queue.push(Arc::clone(event)).await;
        self.health.resume();
        true
    }

    fn watch_config(&self) -> WatchConfig {
        WatchConfig {
            path: path(self.config.namespace.as_deref()),
            start: self.position.version.clone(),
            known: self.progress.known(),
            streaming_lists: self.position.streaming_lists,
            watch_timeout: self.config.watch_timeout,
            grace: self.config.watch_grace,
            page_size: PAGE_SIZE,
        }
    }

    /// What was older than people care for at the first start is left out. After that a gap is filled whatever its age.
    fn is_too_old(&self, event: &Event) -> bool {
        self.position.version.is_none() && event.occurred() < self.config.since
    }

    /// Counts an event, and completes it. `None` for one that nothing can be done with.
    fn accept(&mut self, mut event: Event) -> Option<Arc<Event>> {
        if event.metadata.uid.is_empty() || event.metadata.resource_version.is_empty() {
            self.malformed(
                "no_identity",
                &format!("the event {} has no uid or no resourceVersion", event.key()),
            );
            return None;
        }
        self.metrics.received(&event);
        if event.cluster_name.is_empty() {
            event.cluster_name.clone_from(&self.config.cluster_name);
        }
        let resume = self.progress.read();
        let version = resume.at(event.resource_version());
        if (1..=self.progress.known()).contains(&version.version) {
            self.coverage.had_by_some();
        }
        event.origin = Origin {
            watch: self.config.watch,
            resume,
            version,
            watched_since: (!self.position.listing).then_some(self.position.watched_since),
        };
        Some(Arc::new(event))
    }

    fn connected(&mut self, outage: &mut Outage) {
        self.health.listed();
        if let Some(attempts) = outage.over() {
            info!(
                namespace = self.namespace(),
                attempts, "the API server is back"
            );
        }
    }

    fn failed(&mut self, error: &WatchError, outage: &mut Outage) {
        self.metrics.failed(error.cause());
        self.coverage.interrupted(Time::now());
        let text = crate::telemetry::chain(error);
        self.health.failed(&text);
        // Once per failure: repetitions say nothing new.
        if outage.is_news(&text) {
            warn!(
                namespace = self.namespace(),
                error = text,
                "the watch failed; trying again until it works"
            );
        }
    }

    fn malformed(&mut self, cause: &'static str, reason: &str) {
        let counter = self.metrics.malformed.with_label_values(&[cause]);
        if counter.get() == 0 {
            warn!(
                namespace = self.namespace(),
                cause,
                error = reason,
                "skipped a frame of the watch that cannot be read"
            );
        }
        counter.inc();
    }

    fn namespace(&self) -> &str {
        self.config.namespace.as_deref().unwrap_or("")
    }
}

/// Where the API server has the Events of one namespace, or of all.
fn path(namespace: Option<&str>) -> String {
    match namespace {
        None => "/api/v1/events".to_owned(),
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/events"),
    }
}

// === impl Position ===

impl Position {
    fn move_to(&mut self, version: &str) {
        let known = self.version.get_or_insert_default();
        known.clear();
        known.push_str(version);
    }
}

// === impl Event ===

impl Versioned for Event {
    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// Waits between failed connections.
struct Reconnects {
    backoff: Backoff,
    /// When the last wait was over.
    since: Instant,
}

impl Reconnects {
    /// At random, and longer and longer up to these.
    const LIMITS: RetryLimits = RetryLimits {
        initial: Duration::from_millis(200),
        max: Duration::from_secs(30),
    };
    /// No failure for so long after a wait, and the next failure is the first of another outage.
    const HEALTHY: Duration = Duration::from_mins(1);

    fn new() -> Self {
        Self {
            backoff: Backoff::new(Self::LIMITS),
            since: Instant::now(),
        }
    }
}

impl Iterator for Reconnects {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if now.saturating_duration_since(self.since) > Self::HEALTHY {
            self.backoff = Backoff::new(Self::LIMITS);
        }
        let wait = self.backoff.next(None, false);
        self.since = now + wait;
        Some(wait)
    }
}

impl StreamBackoff for Reconnects {
    /// Does nothing: kube-runtime calls it at every update, and a watch that opens only to fail at once has some.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests;
