//! The Receiver: takes batches from its queue and hands them to its sink until every event is taken or refused.
//!
//! All of repeating, splitting, counting and draining is here. It ends when its queue is closed and empty, or its sink is
//! closed for good.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::batch::{BatchLimits, BatchQueue};
use crate::buffer::Buffer;
use crate::dead_letter::DeadLetter;
use crate::event::Event;
use crate::metrics::ReceiverMetrics;
use crate::outage::Outage;
use crate::retry::{Backoff, RetryLimits};
use crate::sink::{Receipt, SendError, SendErrorKind, Sink};

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

/// How a receiver delivers. It may change while it does.
pub struct Delivery {
    /// Where its events go.
    pub sink: Box<dyn Sink>,
    /// How they are put together.
    pub limits: BatchLimits,
    /// How attempts are repeated.
    pub retry: RetryLimits,
    /// Where those go that the sink will never take.
    pub dead_letter: DeadLetter,
}

/// A queue, a sink, and what lies between.
pub struct Receiver {
    name: String,
    queue: BatchQueue,
    delivery: Delivery,
    changes: mpsc::UnboundedReceiver<Delivery>,
    metrics: ReceiverMetrics,
    outage: Outage,
    /// Where its events come from, if that is not the router's queue.
    buffer: Option<Buffer>,
    /// The program is to end soon.
    ending: CancellationToken,
}

/// A sink that will never take anything again.
#[derive(Debug, thiserror::Error)]
#[error("the receiver `{receiver}` has ended: {error}")]
pub struct SinkClosed {
    receiver: String,
    error: SendError,
}

/// The longest wait between attempts while the program is ending.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// The smallest batch that a sink's refusal of large ones leads to.
const MIN_BATCH_BYTES: usize = 64 << 10;

// === impl Receiver ===

impl Receiver {
    /// A receiver that has not begun, and where it can be told to deliver in another way.
    pub fn new(
        name: String,
        queue: BatchQueue,
        delivery: Delivery,
        metrics: ReceiverMetrics,
    ) -> (Self, mpsc::UnboundedSender<Delivery>) {
        let (sender, changes) = mpsc::unbounded_channel();
        let receiver = Self {
            name,
            queue,
            delivery,
            changes,
            metrics,
            outage: Outage::default(),
            buffer: None,
            ending: CancellationToken::new(),
        };
        (receiver, sender)
    }

    /// The same, whose queue `buffer` fills.
    #[must_use]
    pub fn behind(self, buffer: Option<Buffer>) -> Self {
        Self { buffer, ..self }
    }

    /// Delivers until the queue is closed and empty; once `ending`, without long waits between attempts. Fails if the sink
    /// is closed for good.
    pub async fn run(mut self, ending: CancellationToken) -> Result<(), SinkClosed> {
        self.ending = ending.clone();
        let Some(buffer) = self.buffer.take() else {
            return self.deliver_all().await;
        };
        let in_flight = self.metrics.in_flight.clone();
        let ended = buffer.run(self.deliver_all(), ending).await;
        // What was under way is on the disk.
        in_flight.set(0.0);
        ended
    }

    async fn deliver_all(mut self) -> Result<(), SinkClosed> {
        loop {
            let batch = tokio::select! {
                biased;
                Some(delivery) = self.changes.recv() => {
                    self.delivery = delivery;
                    continue;
                }
                batch = self.queue.next(self.delivery.limits) => batch,
            };
            let Some(batch) = batch else { return Ok(()) };
            self.deliver(batch).await?;
        }
    }

    /// Delivers one batch, in as many pieces and attempts as it takes.
    async fn deliver(&mut self, batch: Vec<Arc<Event>>) -> Result<(), SinkClosed> {
        let mut backoff = Backoff::new(self.delivery.retry);
        let mut pieces = vec![batch];
        self.show_in_flight(&pieces);
        while let Some(mut piece) = pieces.pop() {
            let started = Instant::now();
            let answer = self.delivery.sink.send(&piece).await;
            self.metrics
                .duration
                .observe(started.elapsed().as_secs_f64());
            match answer {
                Ok(receipt) => {
                    self.metrics
                        .requested(receipt.status, receipt.retry_cause.is_none());
                    if let Some((rest, cause)) = self.settle(piece, receipt).await {
                        pieces.push(rest);
                        self.show_in_flight(&pieces);
                        self.wait(&mut backoff, &cause).await;
                    } else {
                        self.show_in_flight(&pieces);
                        backoff = Backoff::new(self.delivery.retry);
                    }
                }
                Err(error) => {
                    self.metrics.requested(error.status, false);
                    match error.kind {
                        SendErrorKind::Transient | SendErrorKind::Denied => {
                            self.metrics.retried.inc_by(count(&piece));
                            pieces.push(piece);
                            self.wait(&mut backoff, &error).await;
                        }
                        SendErrorKind::TooLarge | SendErrorKind::Refused if piece.len() > 1 => {
                            self.learn(&error, &piece);
                            let second = piece.split_off(piece.len() / 2);
                            pieces.push(second);
                            pieces.push(piece);
                            if error.kind == SendErrorKind::Refused {
                                // All of them may be refused in the end: no flood of requests to find out.
                                self.wait(&mut backoff, &error).await;
                            }
                        }
                        SendErrorKind::TooLarge | SendErrorKind::Refused => {
                            for event in &piece {
                                self.reject(event, &error.reason).await;
                            }
                            self.show_in_flight(&pieces);
                        }
                        SendErrorKind::Closed => {
                            let receiver = self.name.clone();
                            return Err(SinkClosed { receiver, error });
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts what a receipt settles; returns what is left of the batch, and why.
    async fn settle(
        &mut self,
        batch: Vec<Arc<Event>>,
        receipt: Receipt,
    ) -> Option<(Vec<Arc<Event>>, SendError)> {
        for rejection in &receipt.rejected {
            if let Some(event) = batch.get(rejection.index) {
                self.reject(event, &rejection.reason).await;
            }
        }
        let mut taken = vec![true; batch.len()];
        for index in receipt
            .rejected
            .iter()
            .map(|rejection| rejection.index)
            .chain(receipt.retry.iter().copied())
        {
            if let Some(taken) = taken.get_mut(index) {
                *taken = false;
            }
        }
        self.metrics.took(
            batch
                .iter()
                .zip(&taken)
                .filter(|(_, taken)| **taken)
                .map(|(event, _)| event.as_ref()),
        );
        self.metrics
            .duplicates
            .inc_by(u64::try_from(receipt.duplicates).unwrap_or(0));
        let rest: Vec<_> = receipt
            .retry
            .iter()
            .filter_map(|&index| batch.get(index).cloned())
            .collect();
        if rest.is_empty() {
            // A sink that takes nothing has not come back.
            if taken.contains(&true) {
                self.recovered();
            }
            return None;
        }
        self.metrics.retried.inc_by(count(&rest));
        let cause = receipt
            .retry_cause
            .unwrap_or_else(|| SendError::transient("some events were not taken"));
        Some((rest, cause))
    }

    async fn reject(&mut self, event: &Event, reason: &str) {
        self.metrics.rejected.inc();
        self.metrics.latest.failure.refused(reason);
        self.delivery.dead_letter.put(event, reason).await;
    }

    async fn wait(&mut self, backoff: &mut Backoff, cause: &SendError) {
        match cause.kind {
            SendErrorKind::Refused => self.metrics.latest.failure.refused(&cause.reason),
            _ => self.metrics.latest.failure.fails(&cause.reason),
        }
        if self
            .outage
            .is_news(&format!("{:?} {:?}", cause.kind, cause.status))
        {
            warn!(
                receiver = self.name,
                error = cause.reason,
                "events were not taken; trying again until they are"
            );
        }
        let wait = backoff.next(cause.retry_after, cause.kind == SendErrorKind::Denied);
        let until = Instant::now() + wait;
        tokio::select! {
            () = sleep_until(until) => {}
            // Which may be what was missing.
            Some(delivery) = self.changes.recv() => {
                self.delivery = delivery;
                *backoff = Backoff::new(self.delivery.retry);
            }
            // There is not much time left to find the sink back.
            () = self.ending.cancelled() => sleep_until(until.min(Instant::now() + LAST_WAIT)).await,
        }
    }

    fn recovered(&mut self) {
        self.metrics.latest.failure.over();
        if let Some(attempts) = self.outage.over() {
            info!(receiver = self.name, attempts, "events are taken again");
        }
    }

    /// A batch that was too large teaches the size of the next ones.
    fn learn(&mut self, error: &SendError, batch: &[Arc<Event>]) {
        if error.kind != SendErrorKind::TooLarge {
            return;
        }
        let bytes: usize = batch.iter().map(|event| event.weight()).sum();
        let smaller = (bytes / 2).max(MIN_BATCH_BYTES);
        if smaller < self.delivery.limits.max_bytes {
            warn!(
                receiver = self.name,
                error = error.reason,
                bytes = smaller,
                "batches are too large: making them smaller"
            );
            self.delivery.limits.max_bytes = smaller;
        }
    }

    fn show_in_flight(&self, pieces: &[Vec<Arc<Event>>]) {
        let events = pieces.iter().map(Vec::len).sum::<usize>();
        self.metrics
            .in_flight
            .set(f64::from(u32::try_from(events).unwrap_or(u32::MAX)));
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn count(events: &[Arc<Event>]) -> u64 {
    u64::try_from(events.len()).unwrap_or(u64::MAX)
}

/// The shortest and the longest wait between attempts, unless the configuration says otherwise.
pub const RETRY_DEFAULTS: RetryLimits = RetryLimits {
    initial: Duration::from_millis(500),
    max: Duration::from_secs(30),
};

#[cfg(test)]
mod tests;
