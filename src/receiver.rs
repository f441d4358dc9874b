//! The Receiver: takes batches from its queue and hands them to its sink until every event is taken or refused.
//!
//! All of repeating, splitting, counting and draining is here and in `courier`, so that sinks have none of it. Several batches
//! may be on their way at once, so that a sink that is far away can still be fast; each is settled when all of it is. It ends
//! when its queue is closed and empty, or its sink is closed for good.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::courier::{Courier, Terms};
use crate::batch::{BatchLimits, BatchQueue};
use crate::buffer::Buffer;
use crate::dead_letter::DeadLetter;
use crate::metrics::ReceiverMetrics;
use crate::retry::RetryLimits;
use crate::sink::{SendError, Sink};

mod concurrency;
mod courier;

/// What to do with an event when the queue is full.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFull {
    /// Take no more, and come back for it later.
    #[default]
    Park,
    /// Give it up, and count it. For receivers where late is worthless.
    Drop,
}

/// How a receiver delivers.
pub struct Delivery {
    /// Where its events go.
    pub sink: Box<dyn Sink>,
    /// How they are put together.
    pub limits: BatchLimits,
    /// How many batches may be on their way at once; at least one.
    pub max_in_flight: usize,
    /// How attempts are repeated.
    pub retry: RetryLimits,
    /// Where those go that the sink will never take.
    pub dead_letter: DeadLetter,
}

/// A queue, a sink, and what lies between.
pub struct Receiver {
    queue: BatchQueue,
    courier: Courier,
    /// Where its events come from, if that is not the router's queue.
    buffer: Option<Buffer>,
}

/// Where a receiver learns how to deliver from now on.
#[derive(Clone)]
pub struct Changes(watch::Sender<Arc<Terms>>);

/// A sink that will never take anything again.
#[derive(Debug, thiserror::Error)]
#[error("the receiver `{receiver}` has ended: {error}")]
pub struct SinkClosed {
    receiver: String,
    error: SendError,
}

// === impl Receiver ===

impl Receiver {
    /// A receiver that has not begun, and where it can be told to deliver in another way.
    pub fn new(
        name: String,
        queue: BatchQueue,
        delivery: Delivery,
        metrics: ReceiverMetrics,
    ) -> (Self, Changes) {
        let (changes, terms) = watch::channel(Arc::new(Terms::new(delivery)));
        let receiver = Self {
            queue,
            courier: Courier {
                name,
                terms,
                metrics,
                trouble: Mutex::default(),
                in_flight: AtomicUsize::new(0),
                leftovers: watch::Sender::new(0),
                ending: CancellationToken::new(),
            },
            buffer: None,
        };
        (receiver, Changes(changes))
    }

    /// The same, whose queue `buffer` fills.
    #[must_use]
    pub fn behind(self, buffer: Option<Buffer>) -> Self {
        Self { buffer, ..self }
    }

    /// Delivers until the queue is closed and empty; once `ending`, without long waits between attempts. Fails if the sink
    /// is closed for good.
    pub async fn run(mut self, ending: CancellationToken) -> Result<(), SinkClosed> {
        self.courier.ending = ending.clone();
        let Some(buffer) = self.buffer.take() else {
            return self.deliver_all().await;
        };
        let in_flight = self.courier.metrics.in_flight.clone();
        let ended = buffer.run(self.deliver_all(), ending).await;
        // What was under way is on the disk.
        in_flight.set(0.0);
        ended
    }

    async fn deliver_all(self) -> Result<(), SinkClosed> {
        let Self {
            mut queue, courier, ..
        } = self;
        let mut changes = courier.terms.clone();
        let mut leftovers = courier.leftovers.subscribe();
        let mut under_way = FuturesUnordered::new();
        let mut has_more = true;
        while has_more || !under_way.is_empty() {
            let terms = Arc::clone(&changes.borrow_and_update());
            let beside = *leftovers.borrow_and_update();
            let has_room = under_way.len() < terms.max_in_flight() + beside;
            tokio::select! {
                biased;
                Some(ended) = under_way.next(), if !under_way.is_empty() => ended?,
                Ok(()) = changes.changed() => {}
                Ok(()) = leftovers.changed() => {}
                batch = queue.next(terms.limits()), if has_more && has_room => match batch {
                    Some(batch) => under_way.push(courier.deliver(batch)),
                    None => has_more = false,
                },
            }
        }
        Ok(())
    }
}

// === impl Changes ===

impl Changes {
    /// Has the receiver deliver in another way from the next attempt on.
    pub fn deliver(&self, delivery: Delivery) {
        self.0.send_replace(Arc::new(Terms::new(delivery)));
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("name", &self.courier.name)
            .finish_non_exhaustive()
    }
}

/// The shortest and the longest wait between attempts, unless the configuration says otherwise.
pub const RETRY_DEFAULTS: RetryLimits = RetryLimits {
    initial: Duration::from_millis(500),
    max: Duration::from_secs(30),
};

#[cfg(test)]
mod tests;
