//! The Enricher: completes events with what the API server does not send with them, the labels, annotations and owners of
//! the involved object, and whether it is gone; and the labels of its namespace.
//!
//! An event is never lost here and never waits longer than [`DEADLINE`]: a lookup that fails, is forbidden or late lets its
//! events go on without, and that is counted. Lookups of one object that are wanted at a time are one request. When a
//! group's objects can't be had, none of them are asked for during a while.

use std::collections::{HashMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use self::api::{Answer, Failure, ObjectApi};
use self::cache::{Object, ObjectCache};
pub use self::limit::RateLimit;
use self::limit::{Pause, TokenBucket};
pub use self::namespaces::{NamespaceResult, Namespaces};
use self::reference::Reference;
use crate::event::Event;
use crate::metrics::LookupMetrics;

mod api;
mod cache;
mod discovery;
mod limit;
mod namespaces;
mod reference;
#[cfg(test)]
pub(crate) mod testing;

/// How objects are looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupConfig {
    /// How many objects are remembered.
    pub cache_size: usize,
    /// How many requests there may be; `None` for as many as are wanted.
    pub limit: Option<RateLimit>,
    /// Whether what is forbidden in one namespace may be allowed in another.
    pub by_namespace: bool,
}

/// What came of the lookup that an event needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/metrics.md explains the words")]
pub enum LookupResult {
    Found,
    Gone,
    Forbidden,
    UnknownKind,
    Unusable,
    Late,
    Failed,
    Limited,
    Paused,
}

/// Completes events.
#[derive(Default)]
pub struct Enricher {
    lookups: Option<Lookups>,
    namespaces: Namespaces,
}

/// Lookups of objects, and the events that wait for them.
struct Lookups {
    api: Arc<ObjectApi>,
    cache: ObjectCache,
    tokens: Arc<Mutex<TokenBucket>>,
    slots: Arc<Semaphore>,
    /// By apiVersion: behind the API server stand others that answer for a group. Those that answer have no entry.
    pauses: HashMap<String, Pause>,
    /// By the task that makes it.
    flights: HashMap<Id, Flight>,
    under_way: HashMap<Arc<Reference>, Id>,
    tasks: JoinSet<Result<Answer, Failure>>,
    /// Of events that wait for lookups, or with their answers for the router.
    waiting_bytes: usize,
    /// What an answer adds to an event may weigh far more than the event: it is added when the event goes on.
    completed: VecDeque<(Arc<Event>, Option<Answer>)>,
    metrics: LookupMetrics,
}

/// One lookup under way.
struct Flight {
    reference: Arc<Reference>,
    waiting: Vec<Arc<Event>>,
}

/// How long a lookup may take, with everything that goes before it.
pub const DEADLINE: Duration = Duration::from_millis(500);
/// How long of that it may wait for its turn: the request needs some, too.
const PATIENCE: Duration = Duration::from_millis(250);
/// Requests at a time.
const CONCURRENCY: usize = 32;
/// Authors of events choose what fails to be found; more than a server's own groups are not kept in mind.
const MAX_PAUSES: usize = 256;
/// How much may wait for lookups; as much as between source and router.
const WAITING_BYTES: usize = 2 << 20;

// === impl LookupResult ===

impl LookupResult {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Found,
        Self::Gone,
        Self::Forbidden,
        Self::UnknownKind,
        Self::Unusable,
        Self::Late,
        Self::Failed,
        Self::Limited,
        Self::Paused,
    ];

    /// One word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Gone => "gone",
            Self::Forbidden => "forbidden",
            Self::UnknownKind => "unknown_kind",
            Self::Unusable => "unusable",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Limited => "limited",
            Self::Paused => "paused",
        }
    }
}

// === impl Enricher ===

impl Enricher {
    /// One that asks `client`, for objects if it is to look them up. [`Enricher::default`] asks nobody.
    pub fn new(client: Client, config: Option<&LookupConfig>, metrics: LookupMetrics) -> Self {
        let lookups = config.map(|config| {
            Lookups::new(
                Arc::new(ObjectApi::new(client.clone(), config.by_namespace)),
                config.cache_size,
                Arc::new(Mutex::new(TokenBucket::new(config.limit))),
                Arc::new(Semaphore::new(CONCURRENCY)),
                metrics.clone(),
            )
        });
        Self {
            lookups,
            namespaces: Namespaces::new(client, metrics),
        }
    }

    /// Another, for other events: requests of both together keep to the limits of one.
    #[must_use]
    pub fn another(&self) -> Self {
        let lookups = self.lookups.as_ref().map(|lookups| {
            Lookups::new(
                Arc::clone(&lookups.api),
                lookups.cache.size(),
                Arc::clone(&lookups.tokens),
                Arc::clone(&lookups.slots),
                lookups.metrics.clone(),
            )
        });
        Self {
            lookups,
            namespaces: self.namespaces.another(),
        }
    }

    /// The labels of namespaces, for the same events before they come here.
    pub fn namespaces(&self) -> Namespaces {
        self.namespaces.another()
    }

    /// Whether it looks anything up.
    pub fn is_on(&self) -> bool {
        self.lookups.is_some()
    }

    /// Completes an event at once, if nothing has to be asked for that or nothing may be; else it comes out of
    /// [`Self::next`], after [`DEADLINE`] at the latest.
    pub fn enrich(&mut self, event: Arc<Event>) -> Option<Arc<Event>> {
        match &mut self.lookups {
            Some(lookups) => lookups.enrich(event),
            None => Some(event),
        }
    }

    /// Whether events wait for lookups.
    pub fn is_waiting(&self) -> bool {
        self.lookups
            .as_ref()
            .is_some_and(|lookups| lookups.waiting_bytes > 0)
    }

    /// Whether more may.
    pub fn has_room(&self) -> bool {
        self.lookups
            .as_ref()
            .is_none_or(|lookups| lookups.waiting_bytes < WAITING_BYTES)
    }

    /// The next event whose lookup has ended; never, if none waits. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Arc<Event> {
        match &mut self.lookups {
            Some(lookups) => lookups.next().await,
            None => std::future::pending().await,
        }
    }
}

// === impl Lookups ===

impl Lookups {
    fn new(
        api: Arc<ObjectApi>,
        cache_size: usize,
        tokens: Arc<Mutex<TokenBucket>>,
        slots: Arc<Semaphore>,
        metrics: LookupMetrics,
    ) -> Self {
        Self {
            api,
            cache: ObjectCache::new(cache_size),
            tokens,
            slots,
            pauses: HashMap::new(),
            flights: HashMap::new(),
            under_way: HashMap::new(),
            tasks: JoinSet::new(),
            waiting_bytes: 0,
            completed: VecDeque::new(),
            metrics,
        }
    }

    fn enrich(&mut self, mut event: Arc<Event>) -> Option<Arc<Event>> {
        let Some(reference) = Reference::of(&event.involved_object) else {
            self.metrics.count(LookupResult::Unusable);
            return Some(event);
        };
        let now = Instant::now();
        if let Some(object) = self.cache.get(&reference, now) {
            self.metrics.hit();
            self.complete(&mut event, &Answer::Object(object));
            return Some(event);
        }
        if let Some(flight) = self
            .under_way
            .get(&reference)
            .and_then(|id| self.flights.get_mut(id))
        {
            self.metrics.hit();
            self.waiting_bytes += event.weight();
            flight.waiting.push(event);
            return None;
        }
        match self.api.known(&reference) {
            None => {}
            Some(Ok(answer)) => {
                self.complete(&mut event, &answer);
                return Some(event);
            }
            Some(Err(failure)) => {
                self.metrics.count(failure.result());
                return Some(event);
            }
        }
        let mut pause = self.pauses.get_mut(&reference.api_version);
        if pause.as_ref().is_some_and(|pause| !pause.is_over(now)) {
            self.metrics.count(LookupResult::Paused);
            return Some(event);
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let start = tokens.take(now, PATIENCE);
        drop(tokens);
        let Some(start) = start else {
            self.metrics.count(LookupResult::Limited);
            return Some(event);
        };
        if let Some(pause) = &mut pause {
            pause.begin();
        }
        self.metrics.miss();
        self.waiting_bytes += event.weight();
        self.look_up(Arc::new(reference), start, event);
        None
    }

    /// Starts a lookup. It goes on by itself, so that a receiver that holds up the router makes none late.
    fn look_up(&mut self, reference: Arc<Reference>, start: Instant, event: Arc<Event>) {
        let (api, slots) = (Arc::clone(&self.api), Arc::clone(&self.slots));
        let wanted = Arc::clone(&reference);
        let now = Instant::now();
        let (patience, deadline) = (now + PATIENCE, now + DEADLINE);
        let task = self.tasks.spawn(async move {
            let lookup = async {
                sleep_until(start).await;
                let slot = timeout_at(patience, slots.acquire()).await;
                let _slot = slot.map_err(|_| Failure::Crowded)?;
                api.look_up(&wanted).await
            };
            timeout_at(deadline, lookup)
                .await
                .unwrap_or(Err(Failure::Late))
        });
        self.under_way.insert(Arc::clone(&reference), task.id());
        let waiting = vec![event];
        self.flights
            .insert(task.id(), Flight { reference, waiting });
    }

    async fn next(&mut self) -> Arc<Event> {
        loop {
            if let Some((mut event, answer)) = self.completed.pop_front() {
                self.waiting_bytes -= event.weight();
                if let Some(answer) = answer {
                    self.complete(&mut event, &answer);
                }
                return event;
            }
            match self.tasks.join_next_with_id().await {
                Some(Ok((id, answer))) => self.land(id, &answer),
                // A bug there is a bug here: nobody ends them otherwise.
                Some(Err(error)) => resume_unwind(error.into_panic()),
                None => std::future::pending().await,
            }
        }
    }

    fn land(&mut self, id: Id, answer: &Result<Answer, Failure>) {
        let Some(Flight { reference, waiting }) = self.flights.remove(&id) else {
            return;
        };
        self.under_way.remove(&reference);
        match answer {
            Ok(_) => self.answered(&reference.api_version),
            // Which says nothing of the server: those before them do.
            Err(Failure::Unanswered | Failure::Crowded) => {
                if let Some(pause) = self.pauses.get_mut(&reference.api_version) {
                    pause.not_asked();
                }
            }
            Err(failure) => self.failed(&reference.api_version, failure),
        }
        if let Ok(Answer::Object(object)) = answer {
            self.cache.insert(reference, object.clone(), Instant::now());
        }
        for event in waiting {
            if let Err(failure) = answer {
                self.metrics.count(failure.result());
            }
            self.completed
                .push_back((event, answer.as_ref().ok().cloned()));
        }
    }

    fn complete(&self, event: &mut Arc<Event>, answer: &Answer) {
        if let Answer::Object(object) = answer {
            object.complete(event);
        }
        self.metrics.count(match answer {
            Answer::Object(Object::Found(_)) => LookupResult::Found,
            Answer::Object(Object::Gone) => LookupResult::Gone,
            Answer::Forbidden => LookupResult::Forbidden,
            Answer::UnknownKind => LookupResult::UnknownKind,
            Answer::Unusable => LookupResult::Unusable,
        });
    }

    fn answered(&mut self, api_version: &str) {
        if self.pauses.is_empty() {
            return;
        }
        if self
            .pauses
            .remove(api_version)
            .is_some_and(|pause| pause.is_on())
        {
            info!(api_version, "involved objects are looked up again");
        }
    }

    fn failed(&mut self, api_version: &str, failure: &Failure) {
        if self.pauses.len() >= MAX_PAUSES {
            self.pauses.clear();
        }
        let pause = self.pauses.entry(api_version.to_owned()).or_default();
        if pause.failed(Instant::now()) {
            warn!(
                api_version,
                error = %failure,
                "lookups of involved objects fail: they are let be for a while, and events go out without labels, annotations and owners"
            );
        }
    }
}

// === impl Failure ===

impl Failure {
    fn result(&self) -> LookupResult {
        match self {
            Self::Late => LookupResult::Late,
            Self::Crowded => LookupResult::Limited,
            Self::Failed(_) | Self::Unanswered => LookupResult::Failed,
        }
    }
}

#[cfg(test)]
mod tests;
