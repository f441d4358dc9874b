//! The objects behind one URL of the API server: one request at a time, and what it answers.

use std::time::Duration;

use futures::StreamExt as _;
use http_body_util::BodyStream;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};

use super::frames::{Frame, Frames};
use crate::event::from_slice;
use crate::jitter;

/// The objects behind one URL.
pub(super) struct Collection {
    pub(super) client: Client,
    pub(super) path: String,
    /// See [`super::watcher::WatchConfig`].
    pub(super) watch_timeout: Duration,
    /// See [`super::watcher::WatchConfig`].
    pub(super) grace: Duration,
    /// How many objects a page may have: fewer after one that was too large, more again after each that was not.
    pub(super) most: u32,
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page<K> {
    pub(super) metadata: PageMetadata,
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<K>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default)]
    r#continue: Option<String>,
    /// How many objects come after the page, where the server knows.
    #[serde(default)]
    pub(super) remaining_item_count: Option<i64>,
}

/// A watch whose frames have not all been read.
pub(super) struct OpenWatch {
    frames: Frames,
    pub(super) opened: Instant,
    deadline: Instant,
    /// Frames so far.
    pub(super) received: u64,
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

/// A failed request, and what the server said about trying again.
pub(super) struct Failure {
    pub(super) error: WatchError,
    pub(super) status: Option<Box<Status>>,
    pub(super) retry_after: Duration,
}

/// How long to wait for an answer to begin, and for a page to be complete.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer that is kept, as long as the longest frame of a watch. An object on its own is taken as it is: the API server
/// has its limits.
const MAX_ANSWER: usize = 4 << 20;

// === impl Collection ===

impl Collection {
    /// The minor version of the API server: 30 of 1.30; 0 if it does not tell.
    pub(super) async fn server_minor(&self) -> Result<u32, WatchError> {
        let version = timeout(ANSWER_TIMEOUT, self.client.apiserver_version())
            .await
            .map_err(|_| WatchError::Silent)?;
        let version = match version {
            Ok(version) => version,
            // Hardened clusters forbid it.
            Err(kube::Error::Api(_) | kube::Error::SerdeError(_)) => return Ok(0),
            Err(error) => return Err(WatchError::Unreachable(Box::new(error))),
        };
        // Vendors add to it: "30+".
        let digits = version.minor.split(|c: char| !c.is_ascii_digit()).next();
        Ok(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0))
    }

    /// The page of so many objects that `token` leads to; the first, if it is empty. Of fewer, where so many are too large.
    pub(super) async fn page<K: DeserializeOwned>(
        &mut self,
        size: u32,
        token: &str,
    ) -> Result<Page<K>, Failure> {
        let mut from = String::new();
        if !token.is_empty() {
            from.push_str("&continue=");
            from.extend(url::form_urlencoded::byte_serialize(token.as_bytes()));
        }
        loop {
            let size = size.min(self.most);
            let max_bytes = if size > 1 { MAX_ANSWER } else { usize::MAX };
            let query = format!("limit={size}{from}");
            if let Some(page) = self.get(&query, max_bytes).await? {
                self.most = self.most.saturating_mul(2);
                return Ok(page);
            }
            self.most = (size / 4).max(1);
        }
    }

    /// `None` if the answer is longer than `max_bytes`.
    async fn get<T: DeserializeOwned>(
        &self,
        query: &str,
        max_bytes: usize,
    ) -> Result<Option<T>, Failure> {
        let body = async { Ok::<_, Failure>(read(self.send(query).await?, max_bytes).await?) };
        let body = timeout(ANSWER_TIMEOUT * 2, body)
            .await
            .map_err(|_| WatchError::Silent)??;
        let Some(body) = body else {
            return Ok(None);
        };
        let object = from_slice(&body).map_err(WatchError::MalformedList)?;
        Ok(Some(object))
    }

    pub(super) async fn open_watch(&self, query: &str) -> Result<OpenWatch, Failure> {
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
        let body = timeout(ANSWER_TIMEOUT, read(response.into_body(), MAX_ANSWER)).await;
        let body = body.ok().and_then(Result::ok).flatten().unwrap_or_default();
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

// === impl PageMetadata ===

impl PageMetadata {
    /// What leads to the next page, if there is one.
    pub(super) fn next(self) -> Option<String> {
        self.r#continue.filter(|token| !token.is_empty())
    }
}

// === impl OpenWatch ===

impl OpenWatch {
    pub(super) async fn next<K: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<Frame<K>>, WatchError> {
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

/// All of a body; `None` if it is longer than `max_bytes`, of which the rest is not read.
async fn read(body: Body, max_bytes: usize) -> Result<Option<Vec<u8>>, WatchError> {
    let mut body = BodyStream::new(body);
    let mut bytes = Vec::new();
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|error| WatchError::Interrupted(Box::new(error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > max_bytes {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

/// What the server said, as an error.
pub(super) fn refused(status: &Status) -> WatchError {
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
