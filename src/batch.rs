//! The bounded queue of events, and the batches that are taken from it.
//!
//! Bounded by bytes, because an event can weigh a mebibyte. One end pushes, the other takes batches; the queue ends
//! when the pushing end is dropped and it is empty. Nothing in it is ever thrown away.
//!
//! A batch is settled by whoever took it, when its events are taken care of for good: until then the queue remembers where
//! they can be read again. Any number of batches may be unsettled at once, and they are settled in any order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::event::Event;
use crate::mark::{Mark, lower};

/// When a batch is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// At this many events.
    pub max_events: usize,
    /// Before it would weigh more than this many bytes; a single event may.
    pub max_bytes: usize,
    /// This long after its first event was queued.
    pub max_delay: Duration,
}

/// What a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Events.
    pub events: usize,
    /// Their weight.
    pub bytes: usize,
    /// How much of that it takes.
    pub max_bytes: usize,
    /// How long the oldest has been waiting, here or to be settled.
    pub oldest: Duration,
}

/// Makes a queue that takes events until they weigh `max_bytes`. An event heavier than that is taken when it is empty.
pub fn queue(max_bytes: usize) -> (QueueSender, BatchQueue) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            max_bytes,
            ..State::default()
        }),
        more: Notify::new(),
        room: Notify::new(),
    });
    (QueueSender(Arc::clone(&shared)), BatchQueue(shared))
}

/// The end that events are pushed into. Dropping it closes the queue.
pub struct QueueSender(Arc<Shared>);

/// The end that batches are taken from.
pub struct BatchQueue(Arc<Shared>);

/// Events that were taken from a queue together.
pub struct Batch {
    /// The events, never none.
    pub events: Vec<Arc<Event>>,
    /// Their place in the queue's memory.
    pub claim: Claim,
}

/// Keeps a queue from forgetting where a batch's events can be read again.
#[must_use = "what is not settled is read again at the next start"]
pub struct Claim {
    queue: Arc<Shared>,
    number: u64,
}

/// Looks at a queue without holding it open.
#[derive(Clone)]
pub struct QueueProbe(Arc<Shared>);

/// As [`QueueProbe`], for one who does not keep what is in the queue alive.
pub struct WeakProbe(Weak<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Rung when the taking end may have something to do.
    more: Notify,
    /// Rung when the pushing end may have.
    room: Notify,
}

#[derive(Default)]
struct State {
    max_bytes: usize,
    events: VecDeque<Queued>,
    bytes: usize,
    /// By claim and watch, where what was taken and is not settled can be read again.
    claims: BTreeMap<u64, Claimed>,
    claimed: u64,
    closed: bool,
    /// An event has found no room: the batch is as large as it gets.
    pressed: bool,
    /// Set while the taking end waits for a batch to fill: it need not wake for every event.
    filling: Option<BatchLimits>,
}

/// A batch that was taken.
struct Claimed {
    places: Vec<(usize, Mark)>,
    /// When its oldest event was queued.
    since: Instant,
}

struct Queued {
    event: Arc<Event>,
    weight: usize,
    since: Instant,
}

// === impl QueueSender ===

impl QueueSender {
    /// Queues `event`, waiting for room.
    pub async fn push(&self, event: Arc<Event>) {
        let weight = event.weight();
        loop {
            // Listen before looking, or room made in between would go unnoticed.
            let room = self.0.room.notified();
            if self.0.push(&event, weight) {
                return;
            }
            room.await;
        }
    }

    /// Queues `event` if there is room.
    pub fn try_push(&self, event: &Arc<Event>) -> bool {
        self.0.push(event, event.weight())
    }

    /// Waits until the queue is at most half full.
    pub async fn half_empty(&self) {
        loop {
            let room = self.0.room.notified();
            if self.0.lock().is_half_empty() {
                // The bell may have been meant for another that waits.
                self.0.room.notify_one();
                return;
            }
            room.await;
        }
    }

    /// A view of the queue.
    pub fn probe(&self) -> QueueProbe {
        QueueProbe(Arc::clone(&self.0))
    }
}

impl Drop for QueueSender {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.more.notify_one();
    }
}

// === impl BatchQueue ===

impl BatchQueue {
    /// The next batch; `None` once the queue is closed and empty. Closing cuts the wait short.
    ///
    /// Dropping the future loses nothing: events leave the queue only when a batch is returned.
    pub async fn next(&mut self, limits: BatchLimits) -> Option<Batch> {
        let oldest = loop {
            let more = self.0.more.notified();
            {
                let mut state = self.0.lock();
                if let Some(first) = state.events.front() {
                    break first.since;
                }
                if state.closed {
                    return None;
                }
                state.filling = None;
            }
            more.await;
        };
        let deadline = oldest + limits.max_delay;
        loop {
            let more = self.0.more.notified();
            {
                let mut state = self.0.lock();
                if state.closed || state.is_full(limits) || Instant::now() >= deadline {
                    state.filling = None;
                    let (events, number) = state.take(limits);
                    drop(state);
                    self.0.room.notify_one();
                    let queue = Arc::clone(&self.0);
                    let claim = Claim { queue, number };
                    return Some(Batch { events, claim });
                }
                state.filling = Some(limits);
            }
            // The deadline passing is what ends a batch on a quiet cluster.
            let _ = timeout_at(deadline, more).await;
        }
    }
}

// === impl Batch ===

impl Batch {
    /// Its events, which whoever has them now keeps in mind.
    pub fn settle(self) -> Vec<Arc<Event>> {
        self.claim.settle();
        self.events
    }
}

// === impl Claim ===

impl Claim {
    /// Nobody needs to read the events again. To drop a claim settles nothing.
    pub fn settle(self) {
        self.queue.lock().claims.remove(&self.number);
    }
}

// === impl QueueProbe ===

impl QueueProbe {
    /// One that does not keep the queue alive.
    pub fn downgrade(&self) -> WeakProbe {
        WeakProbe(Arc::downgrade(&self.0))
    }

    /// What it holds now.
    pub fn state(&self) -> QueueState {
        let state = self.0.lock();
        let queued = state.events.front().map(|first| first.since);
        let taken = state.claims.values().map(|one| one.since);
        let oldest = taken.chain(queued).min();
        let oldest = oldest.map_or(Duration::ZERO, |since| since.elapsed());
        QueueState {
            events: state.events.len(),
            bytes: state.bytes,
            max_bytes: state.max_bytes,
            oldest,
        }
    }

    /// Whether nothing is queued, and all that was taken is settled.
    pub fn is_settled(&self) -> bool {
        let state = self.0.lock();
        state.events.is_empty() && state.claims.is_empty()
    }

    /// Changes how many bytes it takes, from the next event on.
    pub fn resize(&self, max_bytes: usize) {
        self.0.lock().max_bytes = max_bytes;
        self.0.room.notify_one();
    }

    /// Whether it is at most half full.
    pub fn is_half_empty(&self) -> bool {
        self.0.lock().is_half_empty()
    }

    /// Lowers marks, by watch, to where what is queued, and what was taken and is not settled, can be read again.
    pub fn lower_to_unsettled(&self, marks: &mut [Mark]) {
        let state = self.0.lock();
        for queued in &state.events {
            let origin = queued.event.origin;
            lower(marks, origin.watch, origin.resume);
        }
        for &(watch, resume) in state.claims.values().flat_map(|one| &one.places) {
            lower(marks, watch, resume);
        }
    }
}

// === impl WeakProbe ===

impl WeakProbe {
    /// What it holds now, if it is still there.
    pub fn state(&self) -> Option<QueueState> {
        self.0.upgrade().map(|shared| QueueProbe(shared).state())
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves counters that still add up: every change is made whole under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: &Arc<Event>, weight: usize) -> bool {
        let mut state = self.lock();
        if state.bytes + weight > state.max_bytes && !state.events.is_empty() {
            state.pressed = true;
            self.more.notify_one();
            return false;
        }
        state.events.push_back(Queued {
            event: Arc::clone(event),
            weight,
            since: Instant::now(),
        });
        state.bytes += weight;
        let due = state.filling.is_none_or(|limits| state.is_full(limits));
        drop(state);
        if due {
            self.more.notify_one();
        }
        true
    }
}

// === impl State ===

impl State {
    fn is_full(&self, limits: BatchLimits) -> bool {
        self.pressed
            || self.events.len() >= limits.max_events
            || self.bytes >= limits.max_bytes.min(self.max_bytes)
    }

    fn is_half_empty(&self) -> bool {
        self.bytes <= self.max_bytes / 2
    }

    /// The next batch's events, and the number of their claim.
    fn take(&mut self, limits: BatchLimits) -> (Vec<Arc<Event>>, u64) {
        let mut batch = Vec::with_capacity(self.events.len().min(limits.max_events));
        let mut places: Vec<(usize, Mark)> = Vec::new();
        let since = self
            .events
            .front()
            .map_or_else(Instant::now, |first| first.since);
        let mut bytes = 0;
        while let Some(next) = self.events.front() {
            let fits = batch.len() < limits.max_events && bytes + next.weight <= limits.max_bytes;
            if !fits && !batch.is_empty() {
                break;
            }
            if let Some(next) = self.events.pop_front() {
                bytes += next.weight;
                let origin = next.event.origin;
                match places.iter_mut().find(|(watch, _)| *watch == origin.watch) {
                    Some((_, mark)) => *mark = origin.resume.min(*mark),
                    None => places.push((origin.watch, origin.resume)),
                }
                batch.push(next.event);
            }
        }
        self.bytes -= bytes;
        self.pressed = false;
        self.claimed += 1;
        self.claims.insert(self.claimed, Claimed { places, since });
        (batch, self.claimed)
    }
}

#[cfg(test)]
mod tests;
