//! Which resource a kind is: asked of the API server once a group and version, and again when a kind is missing there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use kube::Client;
use serde::Deserialize;
use tokio::time::Instant;

use super::api::{Failure, get};
use super::limit::{RateLimit, TokenBucket};
use super::reference::group_path;

/// A kind as requests name it.
#[derive(Debug, PartialEq)]
pub(super) struct Resource {
    /// `pods`
    pub(super) plural: String,
    /// Or the cluster's.
    pub(super) namespaced: bool,
}

/// What is known of a kind without asking.
#[derive(Debug, PartialEq)]
pub(super) enum Known {
    /// It is this one.
    Kind(Arc<Resource>),
    /// The API server has no such kind, or had none a moment ago.
    Unknown,
    /// It did not say when it was asked, a moment ago.
    Unanswered,
    /// It has not been asked, or not for long.
    NotAsked,
}

/// The kinds that the API server has.
pub(super) struct Discovery {
    client: Client,
    groups: Mutex<Groups>,
}

struct Groups {
    /// By apiVersion.
    known: HashMap<String, Group>,
    /// Held while asking for a group, so that many who miss the same ask once. Who finds what he needs never waits for it,
    /// and a group that does not answer holds up no other.
    asking: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    /// Authors of events choose their apiVersion: this is what they can make us ask.
    limit: TokenBucket,
}

#[derive(Default)]
struct Group {
    /// When it last said what kinds it has.
    answered: Option<Instant>,
    /// When it last did not.
    failed: Option<Instant>,
    kinds: HashMap<String, Arc<Resource>>,
}

/// A question under way. Whoever asks may stop waiting at any moment, which counts as no answer.
struct Question<'a> {
    discovery: &'a Discovery,
    api_version: &'a str,
    answer: Option<HashMap<String, Arc<Resource>>>,
}

/// The API server's `APIResourceList`, as far as we need it.
#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<ListedResource>,
}

#[derive(Deserialize)]
struct ListedResource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
}

/// How long a kind stays unknown: one that is installed now is known to the first event after that.
pub(super) const REFRESH: Duration = Duration::from_secs(10);
/// How long a group is not asked again that did not answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// A cluster has some thirty groups, but events name few of them.
const LIMIT: RateLimit = RateLimit {
    per_second: 1.0,
    burst: 30,
};
/// How many groups and versions are remembered.
const MAX_GROUPS: usize = 256;

// === impl Discovery ===

impl Discovery {
    pub(super) fn new(client: Client) -> Self {
        let groups = Groups {
            known: HashMap::new(),
            asking: HashMap::new(),
            limit: TokenBucket::new(Some(LIMIT)),
        };
        Self {
            client,
            groups: Mutex::new(groups),
        }
    }

    /// What is known of a kind without asking.
    pub(super) fn known(&self, api_version: &str, kind: &str) -> Known {
        let groups = self.lock();
        let Some(group) = groups.known.get(api_version) else {
            return Known::NotAsked;
        };
        if let Some(resource) = group.kinds.get(kind) {
            return Known::Kind(Arc::clone(resource));
        }
        let within = |time: Option<Instant>, limit| time.is_some_and(|time| time.elapsed() < limit);
        if within(group.failed, ASK_AGAIN) {
            Known::Unanswered
        } else if within(group.answered, REFRESH) {
            Known::Unknown
        } else {
            Known::NotAsked
        }
    }

    /// The resource of a kind, asked for if need be; `None` if there is no such kind.
    pub(super) async fn find(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Arc<Resource>>, Failure> {
        if let Known::Kind(resource) = self.known(api_version, kind) {
            return Ok(Some(resource));
        }
        let asking = self.lock().asking(api_version);
        let _asking = asking.lock().await;
        // Whoever held it may have asked for the same.
        match self.known(api_version, kind) {
            Known::Kind(resource) => return Ok(Some(resource)),
            Known::Unknown => return Ok(None),
            Known::Unanswered => return Err(Failure::Unanswered),
            Known::NotAsked => {}
        }
        if self
            .lock()
            .limit
            .take(Instant::now(), Duration::ZERO)
            .is_none()
        {
            return Err(Failure::Unanswered);
        }
        let mut question = Question {
            discovery: self,
            api_version,
            answer: None,
        };
        let kinds = self.ask(api_version).await?;
        let found = kinds.get(kind).cloned();
        question.answer = Some(kinds);
        Ok(found)
    }

    /// Makes a group be asked again, no sooner than any other: one of its kinds is not where it was.
    pub(super) fn forget(&self, api_version: &str) {
        if let Some(group) = self.lock().known.get_mut(api_version) {
            group.kinds.clear();
        }
    }

    async fn ask(&self, api_version: &str) -> Result<HashMap<String, Arc<Resource>>, Failure> {
        let (status, body) = get(&self.client, &group_path(api_version)).await?;
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(HashMap::new()),
            _ => return Err(Failure::answered(status)),
        }
        let list: ResourceList = serde_json::from_slice(&body)
            .map_err(|error| Failure::Failed(format!("a list of kinds cannot be read: {error}")))?;
        let mut kinds = HashMap::new();
        for listed in list.resources {
            // `pods/log` and the like are no objects.
            if !listed.name.contains('/') {
                let resource = Resource {
                    plural: listed.name,
                    namespaced: listed.namespaced,
                };
                kinds.entry(listed.kind).or_insert(Arc::new(resource));
            }
        }
        Ok(kinds)
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Groups ===

impl Groups {
    /// The lock of a group. Those that nobody has go.
    fn asking(&mut self, api_version: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.asking.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(self.asking.entry(api_version.to_owned()).or_default())
    }
}

// === impl Question ===

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let now = Some(Instant::now());
        let mut groups = self.discovery.lock();
        if groups.known.len() >= MAX_GROUPS {
            groups.known.retain(|_, group| !group.kinds.is_empty());
        }
        let group = groups.known.entry(self.api_version.to_owned());
        let group = group.or_default();
        match self.answer.take() {
            Some(kinds) => {
                *group = Group {
                    answered: now,
                    failed: None,
                    kinds,
                };
            }
            None => group.failed = now,
        }
    }
}
