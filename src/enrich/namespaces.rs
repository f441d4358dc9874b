//! The labels of namespaces, for rules that ask for them: all namespaces are watched, by their metadata alone, from the first
//! event on that needs them.
//!
//! Events are never held up for long. Until namespaces have been listed they wait, [`FIRST_LIST`] at the most since the watch
//! was begun; one from a namespace that is not known yet, since it may be ahead of it, waits [`DEADLINE`]. Where
//! namespaces can't be had, nothing waits. What is not known when an event goes on is counted.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, reflector, store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Error};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{DEADLINE, WAITING_BYTES};
use crate::event::Event;
use crate::metrics::LookupMetrics;

/// Whether the labels of an event's namespace were known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/metrics.md explains the words")]
pub enum NamespaceResult {
    Found,
    Missing,
    Late,
    Forbidden,
    Failed,
}

/// Tells events the labels of their namespaces. The default knows none, and holds up nothing.
#[derive(Default)]
pub struct Namespaces {
    cluster: Option<Arc<Cluster>>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
}

struct Waiting {
    event: Arc<Event>,
    since: Instant,
    /// Without the labels.
    weight: usize,
}

/// The namespaces of a cluster, watched once for all who ask.
struct Cluster {
    client: Client,
    metrics: LookupMetrics,
    watched: OnceLock<Watched>,
}

struct Watched {
    store: Store<Metadata>,
    /// Changes with every namespace that does.
    state: watch::Receiver<State>,
    since: Instant,
    task: AbortHandle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first list is under way.
    Listing,
    /// It can't be had, for now.
    Refused(NamespaceResult),
    /// All of them are known.
    Listed,
}

type Metadata = PartialObjectMeta<Namespace>;
type Labels = BTreeMap<String, String>;

/// How long events may wait for the first list: once in the life of a process.
const FIRST_LIST: Duration = Duration::from_secs(5);

// === impl NamespaceResult ===

impl NamespaceResult {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Found,
        Self::Missing,
        Self::Late,
        Self::Forbidden,
        Self::Failed,
    ];

    /// One word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Missing => "missing",
            Self::Late => "late",
            Self::Forbidden => "forbidden",
            Self::Failed => "failed",
        }
    }
}

// === impl Namespaces ===

impl Namespaces {
    pub(super) fn new(client: Client, metrics: LookupMetrics) -> Self {
        Self::of(Arc::new(Cluster {
            client,
            metrics,
            watched: OnceLock::new(),
        }))
    }

    fn of(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster: Some(cluster),
            ..Self::default()
        }
    }

    /// For other events of the same cluster.
    #[must_use]
    pub fn another(&self) -> Self {
        self.cluster.clone().map(Self::of).unwrap_or_default()
    }

    /// Tells an event the labels of its namespace, if they are known or there is nothing to wait for; else it comes out of
    /// [`Self::next`].
    pub fn label(&mut self, mut event: Arc<Event>) -> Option<Arc<Event>> {
        let Some(cluster) = &self.cluster else {
            return Some(event);
        };
        let since = Instant::now();
        if cluster.label(&mut event, since).is_none() {
            return Some(event);
        }
        let weight = event.weight();
        self.waiting_bytes += weight;
        self.waiting.push_back(Waiting {
            event,
            since,
            weight,
        });
        None
    }

    /// Whether events wait.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether more may.
    pub fn has_room(&self) -> bool {
        self.waiting_bytes < WAITING_BYTES
    }

    /// The next event that has waited long enough; never, if none waits. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Arc<Event> {
        let Some(cluster) = self.cluster.clone() else {
            return std::future::pending().await;
        };
        let mut state = cluster.watched().state.clone();
        loop {
            state.mark_unchanged();
            let (mut done, mut first) = (None, None);
            for (at, waiting) in self.waiting.iter_mut().enumerate() {
                let Some(until) = cluster.label(&mut waiting.event, waiting.since) else {
                    done = Some(at);
                    break;
                };
                first = Some(first.map_or(until, |first: Instant| first.min(until)));
            }
            if let Some(done) = done.and_then(|at| self.waiting.remove(at)) {
                self.waiting_bytes -= done.weight;
                return done.event;
            }
            let Some(first) = first else {
                return std::future::pending().await;
            };
            tokio::select! {
                () = sleep_until(first) => {}
                Ok(()) = state.changed() => {}
            }
        }
    }
}

// === impl Cluster ===

impl Cluster {
    /// Tells an event what is known, and counts that; or says until when one is to wait that has waited `since` then.
    fn label(&self, event: &mut Arc<Event>, since: Instant) -> Option<Instant> {
        let watched = self.watched();
        let (labels, result) = match watched.find(&event.metadata.namespace) {
            Ok(labels) => (Some(labels), NamespaceResult::Found),
            Err(result) => {
                let until = match result {
                    NamespaceResult::Late => watched.since + FIRST_LIST,
                    NamespaceResult::Missing => since + DEADLINE,
                    _ => since,
                };
                if Instant::now() < until {
                    return Some(until);
                }
                (None, result)
            }
        };
        self.metrics.count_namespace(result);
        if labels.is_some() {
            // Nobody else has it yet, so nothing is copied.
            Arc::make_mut(event).namespace_labels = labels;
        }
        None
    }

    /// The watch, which is begun if it has not been.
    fn watched(&self) -> &Watched {
        self.watched.get_or_init(|| {
            let (store, writer) = store();
            let (changes, state) = watch::channel(State::Listing);
            let task = tokio::spawn(follow(self.client.clone(), writer, changes));
            Watched {
                store,
                state,
                since: Instant::now(),
                task: task.abort_handle(),
            }
        })
    }
}

// === impl Watched ===

impl Watched {
    fn find(&self, namespace: &str) -> Result<Labels, NamespaceResult> {
        match *self.state.borrow() {
            State::Listing => Err(NamespaceResult::Late),
            State::Refused(result) => Err(result),
            State::Listed => {
                let found = self.store.get(&ObjectRef::new(namespace));
                let found = found.ok_or(NamespaceResult::Missing)?;
                Ok(found.metadata.labels.clone().unwrap_or_default())
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps the store as the cluster's namespaces are. A failure is told once, until it is over; what is known stays.
async fn follow(client: Client, writer: Writer<Metadata>, state: watch::Sender<State>) {
    let namespaces = watcher(Api::<Metadata>::all(client), watcher::Config::default());
    let namespaces = namespaces.default_backoff().modify(|namespace| {
        namespace.metadata.annotations = None;
        namespace.metadata.managed_fields = None;
    });
    let mut namespaces = pin!(reflector(writer, namespaces));
    let mut told = false;
    while let Some(change) = namespaces.next().await {
        match change {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            // Either the list is complete, or it was before.
            Ok(_) => {
                if std::mem::take(&mut told) {
                    info!("the labels of namespaces are known again");
                }
                state.send_replace(State::Listed);
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(
                        error = crate::telemetry::chain(&error),
                        "namespaces can't be watched: rules on `namespaceLabels` do not match where labels are not known; they need `{{apiGroups: [\"\"], resources: [\"namespaces\"], verbs: [\"list\", \"watch\"]}}` in a ClusterRole"
                    );
                }
                state.send_if_modified(|state| {
                    let unknown = *state != State::Listed;
                    if unknown {
                        *state = State::Refused(cause(&error));
                    }
                    unknown
                });
            }
        }
    }
}

fn cause(error: &watcher::Error) -> NamespaceResult {
    let status = match error {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status {
        Some(status) if status.is_forbidden() => NamespaceResult::Forbidden,
        _ => NamespaceResult::Failed,
    }
}

#[cfg(test)]
mod tests;
