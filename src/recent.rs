//! Recent: the last events with where they went, and whoever follows them. It is there only where people may see what is in
//! events.
//!
//! Whoever follows has a buffer of its own, and loses what finds no room in it: nothing that looks holds up what delivers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{Document, DocumentOptions, Event, Time};
use crate::outlet::Fate;
use crate::route::Filter;

/// The last events, and the taps that show what comes.
#[derive(Default)]
pub struct Recent(Mutex<State>);

#[derive(Default)]
struct State {
    /// So many were seen.
    count: u64,
    last: VecDeque<Arc<Seen>>,
    bytes: usize,
    taps: Vec<Weak<Tap>>,
}

/// An event, and where it went.
pub struct Seen {
    /// Counts from 1 since the start of the process.
    pub number: u64,
    /// When it was routed.
    pub at: Time,
    /// The event.
    pub event: Arc<Event>,
    /// Who wants it, in the order of delivery.
    pub went: Vec<Went>,
    /// Whether a route dropped it.
    pub dropped: bool,
}

/// Where an event went.
#[derive(Debug, Clone, Serialize)]
pub struct Went {
    /// The receiver's name.
    pub to: String,
    /// What has become of it there.
    pub fate: Fate,
}

/// What a tap shows.
pub struct Wanted {
    /// What goes to this receiver alone.
    pub receiver: Option<String>,
    /// What a rule of one's own matches.
    pub filter: Filter,
}

/// Follows events.
pub struct Tap {
    wanted: Wanted,
    buffer: Mutex<Buffer>,
    more: Notify,
    /// It is abandoned, or gone.
    closed: CancellationToken,
}

/// What a tap has not shown yet.
struct Buffer {
    lines: VecDeque<Tapped>,
    bytes: usize,
    /// When somebody looked.
    read: Instant,
    abandoned: bool,
}

/// What a tap shows next.
#[derive(Clone)]
pub enum Tapped {
    /// An event.
    Seen(Arc<Seen>),
    /// Here so many are missing that found no room.
    Lost(u64),
    /// Nothing more: it was full, and nobody looked, for too long.
    Closed,
}

/// Those who may follow at the same time.
pub const MAX_TAPS: usize = 4;
const MAX_RECENT: usize = 50;
/// What the last events may weigh, and what waits for each tap: a burst of some hundred, while nobody has time to look.
const MAX_BYTES: usize = 256 << 10;
const MAX_TAP_BYTES: usize = 1 << 20;
/// A tap that is full for so long belongs to nobody any more.
const ABANDONED: Duration = Duration::from_secs(30);

// === impl Recent ===

impl Recent {
    /// An event was routed.
    pub fn saw(&self, event: Arc<Event>, went: Vec<Went>, dropped: bool) {
        let mut state = self.state();
        state.count += 1;
        let seen = Arc::new(Seen {
            number: state.count,
            at: Time::now(),
            event,
            went,
            dropped,
        });
        state.taps.retain(|tap| {
            let tap = tap.upgrade();
            tap.is_some_and(|tap| tap.show(&seen))
        });
        state.keep(seen);
    }

    /// The last events, the oldest first.
    pub fn last(&self) -> Vec<Arc<Seen>> {
        self.state().last.iter().cloned().collect()
    }

    /// One of them.
    pub fn find(&self, number: u64) -> Option<Arc<Seen>> {
        let last = self.last();
        last.into_iter().find(|seen| seen.number == number)
    }

    /// Follows what is `wanted`, beginning with the last events; `None` if too many do already.
    pub fn tap(&self, wanted: Wanted) -> Option<Arc<Tap>> {
        let mut state = self.state();
        state.taps.retain(|tap| tap.strong_count() > 0);
        if state.taps.len() >= MAX_TAPS {
            return None;
        }
        let buffer = Buffer {
            lines: VecDeque::new(),
            bytes: 0,
            read: Instant::now(),
            abandoned: false,
        };
        let tap = Arc::new(Tap {
            wanted,
            buffer: Mutex::new(buffer),
            more: Notify::new(),
            closed: CancellationToken::new(),
        });
        for seen in &state.last {
            tap.show(seen);
        }
        state.taps.push(Arc::downgrade(&tap));
        Some(tap)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Keeps an event in the place of the oldest ones. None that is too heavy by itself.
    fn keep(&mut self, seen: Arc<Seen>) {
        let weight = seen.event.weight();
        if weight > MAX_BYTES {
            return;
        }
        self.bytes += weight;
        self.last.push_back(seen);
        while self.last.len() > MAX_RECENT || self.bytes > MAX_BYTES {
            if let Some(oldest) = self.last.pop_front() {
                self.bytes -= oldest.event.weight();
            }
        }
    }
}

// === impl Seen ===

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = Document {
            event: &self.event,
            options: DocumentOptions::default(),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("number", &self.number)?;
        map.serialize_entry("at", &self.at.micros().to_string())?;
        map.serialize_entry("dropped", &self.dropped)?;
        map.serialize_entry("went", &self.went)?;
        map.serialize_entry("event", &document)?;
        map.end()
    }
}

// === impl Wanted ===

impl Wanted {
    fn has(&self, seen: &Seen) -> bool {
        let goes_there = |receiver: &String| seen.went.iter().any(|went| went.to == *receiver);
        self.receiver.as_ref().is_none_or(goes_there) && self.filter.matches(&seen.event)
    }
}

// === impl Tap ===

impl Tap {
    /// What there is to show, without waiting.
    pub fn now(&self) -> Option<Tapped> {
        self.buffer().take()
    }

    /// Cancelled once nothing more comes of it: whoever keeps a connection open for it can end that.
    pub fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// Waits for what there is to show.
    pub async fn next(&self) -> Tapped {
        loop {
            let more = self.more.notified();
            if let Some(tapped) = self.now() {
                return tapped;
            }
            more.await;
        }
    }

    /// False if nobody looks any more.
    fn show(&self, seen: &Arc<Seen>) -> bool {
        if !self.wanted.has(seen) {
            return true;
        }
        let mut buffer = self.buffer();
        buffer.push(seen);
        let goes_on = !buffer.abandoned;
        drop(buffer);
        self.more.notify_one();
        if !goes_on {
            self.closed.cancel();
        }
        goes_on
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

// === impl Buffer ===

impl Buffer {
    fn push(&mut self, seen: &Arc<Seen>) {
        let weight = seen.event.weight();
        // One that is too heavy for any buffer is shown to whoever has seen all others.
        let has_room = self.lines.is_empty() || self.bytes + weight <= MAX_TAP_BYTES;
        if has_room {
            self.bytes += weight;
            self.lines.push_back(Tapped::Seen(Arc::clone(seen)));
            return;
        }
        self.abandoned = self.read.elapsed() > ABANDONED;
        if self.abandoned {
            self.lines.clear();
            self.bytes = 0;
            return;
        }
        match self.lines.back_mut() {
            Some(Tapped::Lost(lost)) => *lost += 1,
            _ => self.lines.push_back(Tapped::Lost(1)),
        }
    }

    fn take(&mut self) -> Option<Tapped> {
        self.read = Instant::now();
        let next = self.lines.pop_front();
        if let Some(Tapped::Seen(seen)) = &next {
            self.bytes -= seen.event.weight();
        }
        next.or_else(|| self.abandoned.then_some(Tapped::Closed))
    }
}

#[cfg(test)]
mod tests;
