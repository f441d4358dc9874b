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
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::frames::{Frame, Frames};
use crate::jitter;

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
    Init(InitReason),
    /// An object of the list.
    InitApply(K),
    /// The list is complete: everything up to this version has been yielded.
    InitDone(String),
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

/// Why a connection failed. Another attempt is made when the stream is polled again.
#[derive(Debug, Error)]
pub enum WatchError {
    /// No connection, or none that holds.
    #[error("the API server cannot be reached")]
    Unreachable(#[source] Box<kube::Error>),
    /// It answered with an error.
    #[error("the API server answered {code}: {message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// Its words.
        message: String,
    },
    /// The connection was cut.
    #[error("the connection was cut")]
    Interrupted(#[source] Box<kube::Error>),
    /// Nothing came for longer than the API server promised to keep the watch open.
    #[error("the connection is dead: silent past its deadline")]
    Silent,
    /// A watch was closed as soon as it was open.
    #[error("the API server closed the watch at once")]
    ClosedAtOnce,
    /// An answer that is no list.
    #[error("the API server sent a list that cannot be read")]
    MalformedList(#[source] serde_json::Error),
    /// Something that Kubernetes never sends.
    #[error("the API server sent {0}")]
    Protocol(&'static str),
}

/// How long to wait for an answer to begin, and for a page to be complete.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A watch that ends sooner did not end because its time was over.
const HEALTHY_AFTER: Duration = Duration::from_secs(2);
/// The longest that a server's request to be left alone is obeyed.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);
/// The first version whose API server refuses `sendInitialEvents` if it doesn't have it, rather than ignoring it.
const STREAMING_LISTS_SINCE: u32 = 27;
/// The page size that a list grows to when its pages are too slow for the server's memory of the version.
const MAX_PAGE_SIZE: u32 = 10_000;

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
    };
    let strikes = Strikes::default();
    let machine = Machine {
        collection,
        streaming_lists,
        page_size,
        state,
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
    /// A list begins.
    Listing { floor: Option<u64> },
    /// A list by pages: what is left of a page, and how to get the next.
    Paging {
        floor: Option<u64>,
        items: std::vec::IntoIter<K>,
        next: Option<String>,
        version: String,
    },
    /// A watch that begins with a list.
    StreamingList {
        floor: Option<u64>,
        watch: OpenWatch,
    },
    /// Everything up to a version is known. `verify`: ask first whether the server still counts beyond it.
    Idle { version: String, verify: bool },
    /// A watch.
    Watching { version: String, watch: OpenWatch },
    /// Between two states, never seen from outside a step.
    Moving,
}

struct OpenWatch {
    frames: Frames,
    opened: Instant,
    deadline: Instant,
    received: u64,
}

/// The objects behind one URL.
struct Collection {
    client: Client,
    path: String,
    watch_timeout: Duration,
    grace: Duration,
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
    /// Streaming lists cut off, in a row.
    lists: u32,
}

struct Machine<K> {
    collection: Collection,
    streaming_lists: bool,
    page_size: u32,
    state: State<K>,
    strikes: Strikes,
    /// When the server wants to be asked again.
    not_before: Option<Instant>,
}

#[derive(Deserialize)]
struct Page<K> {
    metadata: PageMetadata,
    #[serde(default = "Vec::new")]
    items: Vec<K>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: Option<String>,
}

/// A failed request, and what the server said about trying again.
struct Failure {
    error: WatchError,
    status: Option<Box<Status>>,
    retry_after: Duration,
}

// === impl Machine ===

impl<K: Versioned> Machine<K> {
    /// Does one thing. `None` if there is nothing to tell of it.
    async fn step(&mut self) -> Result<Option<Update<K>>, WatchError> {
        if let Some(not_before) = self.not_before.take() {
            sleep_until(not_before).await;
        }
        match std::mem::replace(&mut self.state, State::Moving) {
            State::Empty { floor, reason } => {
                self.state = State::Listing { floor };
                Ok(Some(Update::Init(reason)))
            }
            State::Listing { floor } => self.list(floor).await,
            State::Paging {
                floor,
                items,
                next,
                version,
            } => self.page(floor, items, next, version).await,
            State::StreamingList { floor, watch } => self.stream_list(floor, watch).await,
            State::Idle { version, verify } => self.open(version, verify).await,
            State::Watching { version, watch } => self.watch(version, watch).await,
            State::Moving => Err(WatchError::Protocol("a state that does not exist")),
        }
    }

    async fn list(&mut self, floor: Option<u64>) -> Result<Option<Update<K>>, WatchError> {
        self.state = State::Listing { floor };
        if self.streaming_lists && self.strikes.lists < 2 {
            if self.can_stream_lists().await? {
                let query =
                    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
                match self.collection.open_watch(query).await {
                    Ok(watch) => {
                        self.state = State::StreamingList { floor, watch };
                        return Ok(None);
                    }
                    // The feature is switched off.
                    Err(Failure {
                        error:
                            WatchError::Refused {
                                code: 400 | 403 | 422,
                                ..
                            },
                        ..
                    }) => {}
                    Err(failure) => return Err(self.failed(failure)),
                }
            }
            self.streaming_lists = false;
        }
        self.state = State::Paging {
            floor,
            items: Vec::new().into_iter(),
            next: Some(String::new()),
            version: String::new(),
        };
        Ok(None)
    }

    async fn can_stream_lists(&mut self) -> Result<bool, WatchError> {
        let version = timeout(ANSWER_TIMEOUT, self.collection.client.apiserver_version())
            .await
            .map_err(|_| WatchError::Silent)?;
        let version = version.map_err(|error| WatchError::Unreachable(Box::new(error)))?;
        let digits: String = version
            .minor
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        Ok(version.major != "1" || digits.parse().unwrap_or(0) >= STREAMING_LISTS_SINCE)
    }

    async fn page(
        &mut self,
        floor: Option<u64>,
        mut items: std::vec::IntoIter<K>,
        next: Option<String>,
        version: String,
    ) -> Result<Option<Update<K>>, WatchError> {
        if let Some(item) = items.find(|item| is_above(item, floor)) {
            self.state = State::Paging {
                floor,
                items,
                next,
                version,
            };
            return Ok(Some(Update::InitApply(item)));
        }
        let Some(token) = next else {
            self.state = State::Idle {
                version: version.clone(),
                verify: false,
            };
            return Ok(Some(Update::InitDone(version)));
        };
        let mut query = format!("limit={}", self.page_size);
        if !token.is_empty() {
            query.push_str("&continue=");
            query.extend(url::form_urlencoded::byte_serialize(token.as_bytes()));
        }
        match self.collection.get::<Page<K>>(&query).await {
            Ok(page) => {
                // Pages after an expired token are of a later version. The watch starts from the first, or what changed
                // between the two would be missed.
                let version = if version.is_empty() {
                    page.metadata.resource_version
                } else {
                    version
                };
                let next = page.metadata.r#continue.filter(|token| !token.is_empty());
                self.state = State::Paging {
                    floor,
                    items: page.items.into_iter(),
                    next,
                    version,
                };
                Ok(None)
            }
            Err(Failure {
                status: Some(status),
                ..
            }) if status.code == 410 && !token.is_empty() => {
                // The server's memory was shorter than the list. It may offer to go on from where we are, in a later
                // version; else pages have to be larger.
                self.page_size = (self.page_size * 4).min(MAX_PAGE_SIZE);
                let offered = status
                    .metadata
                    .and_then(|metadata| metadata.continue_)
                    .filter(|token| !token.is_empty());
                let (next, version) = match offered {
                    Some(token) => (token, version),
                    None => (String::new(), String::new()),
                };
                self.state = State::Paging {
                    floor,
                    items,
                    next: Some(next),
                    version,
                };
                Ok(None)
            }
            Err(failure) => {
                self.state = State::Paging {
                    floor,
                    items,
                    next: Some(token),
                    version,
                };
                Err(self.failed(failure))
            }
        }
    }

    async fn stream_list(
        &mut self,
        floor: Option<u64>,
        mut watch: OpenWatch,
    ) -> Result<Option<Update<K>>, WatchError> {
        // Until the list is complete nothing of it can be built on.
        self.state = State::Empty {
            floor,
            reason: InitReason::FirstStart,
        };
        match watch.next().await {
            Ok(Some(Frame::Applied(object))) => {
                self.state = State::StreamingList { floor, watch };
                Ok(is_above(&object, floor).then_some(Update::InitApply(object)))
            }
            Ok(Some(Frame::Bookmark {
                version,
                ends_list: true,
            })) => {
                self.strikes = Strikes::default();
                self.state = State::Watching {
                    version: version.clone(),
                    watch,
                };
                Ok(Some(Update::InitDone(version)))
            }
            Ok(Some(Frame::Deleted { .. } | Frame::Bookmark { .. })) => {
                self.state = State::StreamingList { floor, watch };
                Ok(None)
            }
            Ok(Some(Frame::Malformed { cause, reason })) => {
                self.state = State::StreamingList { floor, watch };
                Ok(Some(Update::Malformed { cause, reason }))
            }
            Ok(Some(Frame::Error(status))) => {
                self.strikes.lists += 1;
                Err(refused(&status))
            }
            Ok(None) => {
                self.strikes.lists += 1;
                Err(WatchError::ClosedAtOnce)
            }
            Err(error) => {
                self.strikes.lists += 1;
                Err(error)
            }
        }
    }

    async fn open(
        &mut self,
        version: String,
        verify: bool,
    ) -> Result<Option<Update<K>>, WatchError> {
        self.state = State::Idle {
            version: version.clone(),
            verify,
        };
        if verify {
            // The server would accept a version from its future, and send nothing until it has caught up.
            let page: Page<serde::de::IgnoredAny> = match self.collection.get("limit=1").await {
                Ok(page) => page,
                Err(failure) => return Err(self.failed(failure)),
            };
            if let (Ok(ours), Ok(theirs)) = (
                version.parse::<u64>(),
                page.metadata.resource_version.parse::<u64>(),
            ) && theirs < ours
            {
                self.state = State::Empty {
                    floor: None,
                    reason: InitReason::Ahead,
                };
                return Ok(None);
            }
            self.state = State::Idle {
                version: version.clone(),
                verify: false,
            };
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
        match watch.next::<K>().await {
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
                self.state = State::Idle {
                    version: version.clone(),
                    verify: false,
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
        // "etcd event received with PrevKv=nil" is a 500 that stays as long as we ask for this version.
        self.strikes.failed += 1;
        self.state = State::Idle {
            version: version.to_owned(),
            verify: false,
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

// === impl Collection ===

impl Collection {
    async fn get<T: DeserializeOwned>(&self, query: &str) -> Result<T, Failure> {
        let body = async {
            let body = self.send(query).await?;
            body.collect()
                .await
                .map(http_body_util::Collected::to_bytes)
                .map_err(|e| Failure::from(WatchError::Interrupted(Box::new(e))))
        };
        let body = timeout(ANSWER_TIMEOUT * 2, body)
            .await
            .map_err(|_| WatchError::Silent)??;
        serde_json::from_slice(&body).map_err(|error| WatchError::MalformedList(error).into())
    }

    async fn open_watch(&self, query: &str) -> Result<OpenWatch, Failure> {
        let asked = self.watch_timeout + jitter::up_to(self.watch_timeout / 2);
        let seconds = asked.as_secs().max(1);
        let opened = Instant::now();
        let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&{query}");
        let body = timeout(ANSWER_TIMEOUT, self.send(&query))
            .await
            .map_err(|_| WatchError::Silent)??;
        let deadline = opened + Duration::from_secs(seconds) + self.grace;
        Ok(OpenWatch {
            frames: Frames::new(body),
            opened,
            deadline,
            received: 0,
        })
    }

    async fn send(&self, query: &str) -> Result<Body, Failure> {
        let request = http::Request::get(format!("{}?{query}", self.path))
            // Newer API servers compress every frame of a watch on its own, which costs more than it saves here.
            .header(http::header::ACCEPT_ENCODING, "identity")
            .body(Body::empty())
            .map_err(|_| WatchError::Protocol("a path that is no path"))?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| WatchError::Unreachable(Box::new(error)))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let code = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let body = timeout(ANSWER_TIMEOUT, response.into_body().collect()).await;
        let body = body
            .ok()
            .and_then(Result::ok)
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let status: Box<Status> = serde_json::from_slice(&body).unwrap_or_default();
        let status = Box::new(Status { code, ..*status });
        let asked = status
            .details
            .as_ref()
            .map_or(0, |details| details.retry_after_seconds);
        let retry_after = Duration::from_secs(retry_after.unwrap_or(asked).into());
        Err(Failure {
            error: refused(&status),
            status: Some(status),
            retry_after,
        })
    }
}

// === impl OpenWatch ===

impl OpenWatch {
    async fn next<K: DeserializeOwned>(&mut self) -> Result<Option<Frame<K>>, WatchError> {
        let frame = timeout_at(self.deadline, self.frames.next())
            .await
            .map_err(|_| WatchError::Silent)?;
        self.received += 1;
        match frame {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => {
                self.received -= 1;
                Ok(None)
            }
            Err(error) => Err(WatchError::Interrupted(Box::new(error))),
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

// === impl WatchError ===

impl WatchError {
    /// One word, for metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Interrupted(_) => "interrupted",
            Self::Silent => "silent",
            Self::ClosedAtOnce => "closed_at_once",
            Self::MalformedList(_) => "malformed_list",
            Self::Protocol(_) => "protocol",
        }
    }

    /// Every cause.
    pub const CAUSES: [&str; 7] = [
        "unreachable",
        "refused",
        "interrupted",
        "silent",
        "closed_at_once",
        "malformed_list",
        "protocol",
    ];
}

// === impl Failure ===

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        Self {
            error,
            status: None,
            retry_after: Duration::ZERO,
        }
    }
}

fn refused(status: &Status) -> WatchError {
    let message = if status.message.is_empty() {
        status.reason.clone()
    } else {
        status.message.clone()
    };
    WatchError::Refused {
        code: status.code,
        message,
    }
}

/// Whether a listed object is newer than what is known. One whose version is no number counts as newer.
fn is_above<K: Versioned>(object: &K, floor: Option<u64>) -> bool {
    match (object.resource_version().parse::<u64>(), floor) {
        (Ok(version), Some(floor)) => version > floor,
        _ => true,
    }
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
