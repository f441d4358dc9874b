//! What throttles hold back: for one receiver, of each kind of events, all but one in a period.
//!
//! An event that is held back is settled: policy has dropped it, no mark waits for it, and only the next one of its kind tells
//! that it was there. Periods are of the events' own time, so that a receiver that catches up gets what it would have got. A
//! version that is offered again, as lists and catch-ups do, gets the answer that it got before. All of this is bounded,
//! and forgotten when the process ends: what is forgotten is a first one once more.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntCounter;

use crate::event::{Event, Time};
use crate::route::Throttle;

/// What throttles know of one receiver.
pub struct Throttles {
    state: Mutex<State>,
    held: IntCounter,
    forgotten: IntCounter,
}

#[derive(Default)]
struct State {
    kinds: Lru<Kind>,
    /// By kind and version.
    answers: Lru<Answer>,
    hasher: RandomState,
}

/// What is known of one kind of events.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// When the last one happened that was let through; `None` if the next is to be.
    since: Option<Time>,
    /// How many were held back after it.
    held: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It goes on, and tells how many of its kind were held back before it.
    Pass(u64),
    Hold,
}

/// Least recently used: what was used last, and no more than [`MOST`] of it.
struct Lru<V> {
    values: HashMap<u64, Used<V>>,
    /// Keys, by when they were used.
    order: BTreeMap<u64, u64>,
    clock: u64,
}

struct Used<V> {
    value: V,
    at: u64,
}

/// Of kinds, and of versions, for each receiver.
const MOST: usize = 8192;

// === impl Throttles ===

impl Throttles {
    /// Those of one receiver, which count the events that they hold back, and the kinds that they forget to make room.
    pub fn new(held: IntCounter, forgotten: IntCounter) -> Self {
        Self {
            state: Mutex::default(),
            held,
            forgotten,
        }
    }

    /// What the receiver gets of an event behind a throttle: the event, which says what was held back before it, or nothing.
    pub fn pass<'e>(
        &self,
        throttle: Option<&Throttle>,
        event: &'e Arc<Event>,
    ) -> Option<Cow<'e, Arc<Event>>> {
        let Some(throttle) = throttle else {
            return Some(Cow::Borrowed(event));
        };
        match self.ask(throttle, event, Time::now()) {
            Answer::Hold => None,
            Answer::Pass(0) => Some(Cow::Borrowed(event)),
            Answer::Pass(held) => {
                let mut event = Event::clone(event);
                event.suppressed = i64::try_from(held).unwrap_or(i64::MAX);
                Some(Cow::Owned(Arc::new(event)))
            }
        }
    }

    /// The event was let through and given up after that: the next of its kind is to go on in its place.
    pub fn give_up(&self, throttle: Option<&Throttle>, event: &Event) {
        self.take_back(throttle, event, 1);
    }

    /// The event was let through, found no room, and will be offered again, when nothing may be known of it any more.
    pub fn offer_again(&self, throttle: Option<&Throttle>, event: &Event) {
        self.take_back(throttle, event, 0);
    }

    /// Forgets that the event was let through; `held` more were held back for it.
    fn take_back(&self, throttle: Option<&Throttle>, event: &Event, held: u64) {
        let Some(throttle) = throttle else { return };
        let mut state = self.state();
        let key = throttle.kind(event, &state.hasher);
        let offered = state.hasher.hash_one((key, event.origin.version));
        state.answers.remove(offered);
        if let Some(kind) = state.kinds.get(key) {
            kind.since = None;
            kind.held = u64::try_from(event.suppressed).unwrap_or(0) + held;
        }
    }

    fn ask(&self, throttle: &Throttle, event: &Event, now: Time) -> Answer {
        let mut state = self.state();
        let State {
            kinds,
            answers,
            hasher,
        } = &mut *state;
        let key = throttle.kind(event, hasher);
        let version = event.origin.version;
        // Versions that are no numbers, or that nobody has watched, tell nothing.
        let offered = (version.version > 0).then(|| hasher.hash_one((key, version)));
        if let Some(answer) = offered.and_then(|offered| answers.get(offered)) {
            return *answer;
        }
        // A recorder whose clock is ahead must not silence its kind until then.
        let at = event.occurred().min(now);
        let answer = if let Some(kind) = kinds.get(key) {
            kind.ask(at, throttle)
        } else {
            let kind = Kind {
                since: Some(at),
                held: 0,
            };
            self.forgotten.inc_by(u64::from(kinds.insert(key, kind)));
            Answer::Pass(0)
        };
        if let Some(offered) = offered {
            answers.insert(offered, answer);
        }
        self.held.inc_by(u64::from(answer == Answer::Hold));
        answer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Kind ===

impl Kind {
    fn ask(&mut self, at: Time, throttle: &Throttle) -> Answer {
        // One that is late is of the period that runs.
        if self
            .since
            .is_some_and(|since| since.age(at) < throttle.period)
        {
            self.held += 1;
            return Answer::Hold;
        }
        self.since = Some(at);
        Answer::Pass(std::mem::take(&mut self.held))
    }
}

// === impl Lru ===

impl<V> Lru<V> {
    fn get(&mut self, key: u64) -> Option<&mut V> {
        let used = self.values.get_mut(&key)?;
        self.order.remove(&used.at);
        self.clock += 1;
        used.at = self.clock;
        self.order.insert(used.at, key);
        Some(&mut used.value)
    }

    fn remove(&mut self, key: u64) {
        if let Some(used) = self.values.remove(&key) {
            self.order.remove(&used.at);
        }
    }

    /// Adds a value, and says whether another had to go.
    fn insert(&mut self, key: u64, value: V) -> bool {
        self.clock += 1;
        let at = self.clock;
        self.values.insert(key, Used { value, at });
        self.order.insert(at, key);
        if self.values.len() <= MOST {
            return false;
        }
        if let Some((_, oldest)) = self.order.pop_first() {
            self.values.remove(&oldest);
        }
        true
    }
}

impl<V> Default for Lru<V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            order: BTreeMap::new(),
            clock: 0,
        }
    }
}

#[cfg(test)]
mod tests;
