//! A watcher that can be resumed: a stream of what happens to the objects behind one URL of the API server.
//!
//! Shaped as kube-runtime's `watcher`, and composing with its adapters, but it starts from a stored version, recovers
//! from expiry in every form that API servers have for it, and reports progress. Its contract:
//!
//! - Given a start version, everything newer is yielded, if need be by listing; a gap is never skipped silently.
//! - An [`Err`] always means that no connection is open, so that whoever backs off on errors never leaves an open watch
//!   unread. Something odd inside a watch that goes on is an [`Update::Malformed`].
//! - Dropping the stream closes the connection.

use std::time::Duration;

use futures::Stream;
use kube::Client;
use kube::core::Status;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::{Instant, sleep_until};

use super::collection::{Collection, Failure, OpenWatch, WatchError, refused};
use super::frames::Frame;

mod list;

use list::Pages;

/// An object that says which version it is.
pub trait Versioned: DeserializeOwned + Send + 'static {
    /// Its `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;
}

/// What the watcher needs to know.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// The collection: `/api/v1/events`.
    pub path: String,
    /// Yield only what is newer than this version. `None` yields all there is first.
    pub start: Option<String>,
    /// A server that has not come as far as this version is not the one that it was, or was restored from a backup: all it has
    /// is yielded.
    pub known: u64,
    /// List by a watch that begins with all objects (KEP-3157), where the server can, rather than by pages.
    pub streaming_lists: bool,
    /// How long the API server is asked to keep a watch open, at least. Up to half as long again is added at random.
    pub watch_timeout: Duration,
    /// How long past that a watch is waited for before its connection counts as dead.
    pub grace: Duration,
    /// Objects a page of a list.
    pub page_size: u32,
}

/// What happened.
#[derive(Debug, PartialEq)]
pub enum Update<K> {
    /// A list begins. Versions inside a list are in no order.
    Init {
        /// Why.
        reason: InitReason,
        /// It comes by a watch, which has to be read; else by pages, which can wait.
        streamed: bool,
    },
    /// An object of the list.
    InitApply(K),
    /// The list is complete.
    InitDone {
        /// Everything up to this version has been yielded.
        version: String,
        /// Something was in it that is no newer than what was known. Objects expire in the order that they were written
        /// in, so nothing that is newer can have expired.
        reaches_back: bool,
    },
    /// An object has been added or changed.
    Apply(K),
    /// An object is gone, as of this version.
    Delete(String),
    /// Everything up to this version has been yielded.
    Progress(String),
    /// A watch is open, from this version on.
    Opened(String),
    /// A frame could not be read; the watch goes on.
    Malformed {
        /// Why; one of few.
        cause: &'static str,
        /// Why, for people.
        reason: String,
    },
}

/// Why everything is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitReason {
    /// There is no version to start from.
    FirstStart,
    /// The API server no longer has the version. Normal after some quiet minutes: idle watches of Events get no
    /// bookmarks.
    Expired,
    /// The version is newer than the server's: it was restored from a backup, or is another.
    Ahead,
    /// The server closes every watch from this version at once.
    ClosedAtOnce,
    /// The server fails every watch from this version.
    Failing,
}

/// A watch that ends sooner did not end because its time was over.
pub(super) const HEALTHY_AFTER: Duration = Duration::from_secs(2);
/// The longest that a server's request to be left alone is obeyed.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);

/// Watches the objects behind `config.path`.
pub fn watcher<K: Versioned>(
    client: Client,
    config: WatchConfig,
) -> impl Stream<Item = Result<Update<K>, WatchError>> {
    let state = match config.start.clone() {
        None => State::Empty {
            floor: None,
            reason: InitReason::FirstStart,
        },
        Some(version) => State::Idle {
            version,
            verify: true,
        },
    };
    let WatchConfig {
        path,
        known,
        streaming_lists,
        watch_timeout,
        grace,
        page_size,
        ..
    } = config;
    let collection = Collection {
        client,
        path,
        watch_timeout,
        grace,
        most: u32::MAX,
    };
    let strikes = Strikes::default();
    let machine = Machine {
        collection,
        streaming_lists,
        page_size,
        known,
        state,
        reaches_back: false,
        strikes,
        not_before: None,
    };
    futures::stream::unfold(machine, |mut machine| async move {
        loop {
            if let Some(item) = machine.step().await.transpose() {
                return Some((item, machine));
            }
        }
    })
}

/// What is known and what is open.
enum State<K> {
    /// Everything above the floor has to be listed.
    Empty {
        floor: Option<u64>,
        reason: InitReason,
    },
    /// A list by pages.
    Paging(Pages<K>),
    /// A watch that begins with a list.
    StreamingList {
        floor: Option<u64>,
        reason: InitReason,
        watch: OpenWatch,
    },
    /// Everything up to a version is known. `verify`: ask first whether the server still counts beyond it.
    Idle { version: String, verify: bool },
    /// A watch.
    Watching { version: String, watch: OpenWatch },
    /// Between two states, never seen from outside a step.
    Moving,
}

/// What speaks against the current version.
#[derive(Default)]
struct Strikes {
    /// Watches closed at once, in a row.
    closed: u32,
    /// Watches failed by the server, in a row.
    failed: u32,
    /// Versions that had expired, in a row.
    expired: u32,
    /// Streaming lists refused or cut off, in a row.
    lists: u32,
    /// Tokens of pages refused, within a list.
    tokens: u32,
}

struct Machine<K> {
    collection: Collection,
    streaming_lists: bool,
    page_size: u32,
    /// See [`WatchConfig`].
    known: u64,
    state: State<K>,
    /// See [`Update::InitDone`], of the list under way.
    reaches_back: bool,
    strikes: Strikes,
    /// When the server wants to be asked again.
    not_before: Option<Instant>,
}

// === impl Machine ===

impl<K: Versioned> Machine<K> {
    /// Does one thing. `None` if there is nothing to tell of it.
    async fn step(&mut self) -> Result<Option<Update<K>>, WatchError> {
        if let Some(not_before) = self.not_before.take() {
            sleep_until(not_before).await;
        }
        match std::mem::replace(&mut self.state, State::Moving) {
            State::Empty { floor, reason } => self.list(floor, reason).await,
            State::Paging(pages) => self.page(pages).await,
            State::StreamingList {
                floor,
                reason,
                watch,
            } => self.stream_list(floor, reason, watch).await,
            State::Idle { version, verify } => self.open(version, verify).await,
            State::Watching { version, watch } => self.watch(version, watch).await,
            State::Moving => Err(WatchError::Protocol("a state that does not exist")),
        }
    }

    async fn open(
        &mut self,
        version: String,
        verify: bool,
    ) -> Result<Option<Update<K>>, WatchError> {
        // Whatever fails now: the server may be another, or restored from a backup, when it comes back.
        self.state = State::Idle {
            version: version.clone(),
            verify: true,
        };
        if verify {
            // The server would accept a version from its future, and send nothing until it has caught up.
            match self.has_gone_back(version.parse().ok()).await {
                Ok(false) => {}
                Ok(true) => {
                    self.start_over();
                    return Ok(None);
                }
                Err(failure) => return Err(self.failed(failure)),
            }
        }
        let query = format!("resourceVersion={version}");
        match self.collection.open_watch(&query).await {
            Ok(watch) => {
                self.state = State::Watching {
                    version: version.clone(),
                    watch,
                };
                Ok(Some(Update::Opened(version)))
            }
            Err(Failure {
                error: WatchError::Refused { code: 410, .. },
                ..
            }) => self.expired(&version),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    async fn watch(
        &mut self,
        version: String,
        mut watch: OpenWatch,
    ) -> Result<Option<Update<K>>, WatchError> {
        let frame = watch.next::<K>().await;
        if watch.opened.elapsed() >= HEALTHY_AFTER {
            // What has gone well for a while is no repetition. (A version that cannot be read past is.)
            self.strikes.closed = 0;
            self.strikes.expired = 0;
        }
        match frame {
            Ok(Some(Frame::Applied(object))) => {
                let version = newer(version, object.resource_version());
                self.go_on(version, watch);
                Ok(Some(Update::Apply(object)))
            }
            Ok(Some(Frame::Deleted { version })) => {
                self.go_on(version.clone(), watch);
                Ok(Some(Update::Delete(version)))
            }
            Ok(Some(Frame::Bookmark { version, .. })) => {
                self.go_on(version.clone(), watch);
                Ok(Some(Update::Progress(version)))
            }
            Ok(Some(Frame::Malformed { cause, reason })) => {
                self.state = State::Watching { version, watch };
                Ok(Some(Update::Malformed { cause, reason }))
            }
            Ok(Some(Frame::Error(status))) => self.watch_failed(&version, &status),
            Ok(None) => {
                let early = watch.opened.elapsed() < HEALTHY_AFTER;
                // Silence is also what a server sends whose etcd has been put back to before the version.
                self.state = State::Idle {
                    version: version.clone(),
                    verify: true,
                };
                if !early {
                    return Ok(None);
                }
                if watch.received == 0 {
                    self.strikes.closed += 1;
                    if self.strikes.closed >= 2 {
                        self.relist(&version, InitReason::ClosedAtOnce);
                    }
                }
                Err(WatchError::ClosedAtOnce)
            }
            Err(error) => {
                // The server may be another when it comes back.
                self.state = State::Idle {
                    version,
                    verify: true,
                };
                Err(error)
            }
        }
    }

    fn watch_failed(
        &mut self,
        version: &str,
        status: &Status,
    ) -> Result<Option<Update<K>>, WatchError> {
        if status.code == 410 {
            return self.expired(version);
        }
        // "etcd event received with PrevKv=nil" is a 500 that stays as long as we ask for this version. An etcd without a leader is
        // one too, which is over before the server says how far it is.
        self.strikes.failed += 1;
        self.state = State::Idle {
            version: version.to_owned(),
            verify: true,
        };
        if self.strikes.failed >= 2 {
            self.relist(version, InitReason::Failing);
        }
        let asked = status
            .details
            .as_ref()
            .map_or(0, |details| details.retry_after_seconds);
        self.obey(Duration::from_secs(asked.into()));
        Err(refused(status))
    }

    /// The server no longer has `version`. Normal, and no error, unless it happens again right after a list.
    fn expired(&mut self, version: &str) -> Result<Option<Update<K>>, WatchError> {
        self.relist(version, InitReason::Expired);
        self.strikes.expired += 1;
        if self.strikes.expired >= 2 {
            return Err(WatchError::Refused {
                code: 410,
                message: "the version of its own list has expired".to_owned(),
            });
        }
        Ok(None)
    }

    /// The watch has moved on to `version`: nothing speaks against it.
    fn go_on(&mut self, version: String, watch: OpenWatch) {
        self.strikes = Strikes::default();
        self.state = State::Watching { version, watch };
    }

    fn relist(&mut self, version: &str, reason: InitReason) {
        self.strikes.closed = 0;
        self.strikes.failed = 0;
        // Where versions are no numbers nothing can be filtered by them: yield everything again.
        self.state = State::Empty {
            floor: version.parse().ok(),
            reason,
        };
    }

    /// Asks the server how far it is. See [`Self::is_ahead`].
    async fn has_gone_back(&mut self, ours: Option<u64>) -> Result<bool, Failure> {
        let page = self.collection.page::<IgnoredAny>(1, "").await?;
        Ok(self.is_ahead(ours, &page.metadata.resource_version))
    }

    /// Whether we know of versions that the server has not come to. If it has, its own is known from now on.
    fn is_ahead(&mut self, ours: Option<u64>, theirs: &str) -> bool {
        let Ok(theirs) = theirs.parse::<u64>() else {
            return false;
        };
        self.known = self.known.max(ours.unwrap_or(0));
        let is_ahead = theirs < self.known;
        self.known = self.known.max(theirs);
        is_ahead
    }

    fn start_over(&mut self) {
        self.known = 0;
        self.state = State::Empty {
            floor: None,
            reason: InitReason::Ahead,
        };
    }

    fn failed(&mut self, failure: Failure) -> WatchError {
        self.obey(failure.retry_after);
        failure.error
    }

    fn obey(&mut self, retry_after: Duration) {
        if !retry_after.is_zero() {
            self.not_before = Some(Instant::now() + retry_after.min(RETRY_AFTER_MAX));
        }
    }
}

// === impl InitReason ===

impl InitReason {
    /// One word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstStart => "first_start",
            Self::Expired => "expired",
            Self::Ahead => "ahead",
            Self::ClosedAtOnce => "closed_at_once",
            Self::Failing => "failing",
        }
    }

    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::FirstStart,
        Self::Expired,
        Self::Ahead,
        Self::ClosedAtOnce,
        Self::Failing,
    ];
}

/// The version to go on from after an object; the one before if the object has none.
fn newer(known: String, version: &str) -> String {
    if version.is_empty() {
        known
    } else {
        version.to_owned()
    }
}

#[cfg(test)]
mod tests;
