//! The Courier: takes a batch to the sink, in as many pieces and attempts as it takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::concurrency::Concurrency;
use super::{Delivery, SinkClosed};
use crate::batch::{Batch, BatchLimits};
use crate::event::Event;
use crate::metrics::ReceiverMetrics;
use crate::outage::Outage;
use crate::retry::Backoff;
use crate::sink::{Receipt, SendError, SendErrorKind};

/// What the deliveries of a receiver have in common.
pub(super) struct Courier {
    pub(super) name: String,
    pub(super) terms: watch::Receiver<Arc<Terms>>,
    pub(super) metrics: ReceiverMetrics,
    pub(super) trouble: Mutex<Trouble>,
    /// Events that are not settled.
    pub(super) in_flight: AtomicUsize,
    /// Batches of which only a little is left, which wait beside those that are on their way.
    pub(super) leftovers: watch::Sender<usize>,
    /// The program is to end soon.
    pub(super) ending: CancellationToken,
}

/// How batches are delivered until that is changed, and what was learned of the sink meanwhile.
pub struct Terms {
    delivery: Delivery,
    concurrency: Concurrency,
    /// The heaviest batch that the sink takes.
    max_bytes: AtomicUsize,
}

/// What is told of batches that were not taken at once.
#[derive(Default)]
pub(super) struct Trouble {
    outage: Outage,
    /// How many of them there are.
    batches: usize,
}

/// The way of one batch.
struct Trip<'a> {
    courier: &'a Courier,
    changes: watch::Receiver<Arc<Terms>>,
    backoff: Backoff,
    /// What is not settled.
    pieces: Vec<Vec<Arc<Event>>>,
    /// As many are shown to be in flight.
    shown: usize,
    in_trouble: bool,
    /// It is one of the courier's leftovers.
    is_leftover: bool,
}

/// How many batches may wait beside those that are on their way. Each has at most the same part of a batch, so that all of them
/// together weigh no more than one.
pub(super) const LEFTOVERS: usize = 16;
/// The longest wait between attempts while the program is ending.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// The smallest batch that a sink's refusal of large ones leads to.
const MIN_BATCH_BYTES: usize = 64 << 10;
/// Too many requests: said of a batch, or of some of its events.
const BUSY: Option<u16> = Some(429);

// === impl Terms ===

impl Terms {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self {
            concurrency: Concurrency::new(delivery.max_in_flight),
            max_bytes: AtomicUsize::new(delivery.limits.max_bytes),
            delivery,
        }
    }

    /// How batches are put together.
    pub(super) fn limits(&self) -> BatchLimits {
        BatchLimits {
            max_bytes: self.max_bytes.load(Ordering::Relaxed),
            ..self.delivery.limits
        }
    }

    /// How many batches may be on their way.
    pub(super) fn max_in_flight(&self) -> usize {
        self.delivery.max_in_flight
    }
}

// === impl Courier ===

impl Courier {
    /// Delivers one batch. Fails if the sink is closed for good.
    pub(super) async fn deliver(&self, batch: Batch) -> Result<(), SinkClosed> {
        let mut trip = Trip {
            courier: self,
            changes: self.terms.clone(),
            backoff: Backoff::new(self.terms.borrow().delivery.retry),
            pieces: vec![batch.events],
            shown: 0,
            in_trouble: false,
            is_leftover: false,
        };
        trip.changes.mark_unchanged();
        trip.show();
        while let Some(piece) = trip.pieces.pop() {
            trip.attempt(piece).await?;
            trip.show();
        }
        trip.out_of_trouble();
        if trip.is_leftover {
            self.leftovers.send_modify(|count| *count -= 1);
        }
        batch.claim.settle();
        Ok(())
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Trip ===

impl Trip<'_> {
    /// Makes one attempt at a piece, puts back what it leaves, and waits if that is to be tried again later.
    async fn attempt(&mut self, mut piece: Vec<Arc<Event>>) -> Result<(), SinkClosed> {
        let metrics = &self.courier.metrics;
        let terms = Arc::clone(&self.changes.borrow());
        let mut permit = tokio::select! {
            biased;
            permit = terms.concurrency.admit() => permit,
            // Those of before may be kept by one who waits for long.
            Ok(()) = self.changes.changed() => {
                self.pieces.push(piece);
                return Ok(());
            }
        };
        let started = Instant::now();
        let answer = terms.delivery.sink.send(&piece).await;
        metrics.duration.observe(started.elapsed().as_secs_f64());
        metrics.set_up(!terms.delivery.sink.lacks_setup());
        let cause = match answer {
            Ok(receipt) => {
                metrics.requested(receipt.status, receipt.retry_cause.is_none());
                let Some((rest, cause)) = self.settle(&terms.delivery, &piece, receipt).await
                else {
                    terms.concurrency.speed_up();
                    self.backoff = Backoff::new(terms.delivery.retry);
                    return Ok(());
                };
                if rest.len() < piece.len() {
                    // A sink that takes some of it at a time is not away.
                    self.backoff = Backoff::new(terms.delivery.retry);
                }
                self.pieces.push(rest);
                if cause.status == BUSY {
                    terms.concurrency.slow_down(&mut permit);
                } else {
                    // What is wrong may be with these events alone.
                    permit.release();
                    self.step_aside(&terms);
                }
                cause
            }
            Err(error) => {
                metrics.requested(error.status, false);
                match error.kind {
                    SendErrorKind::Transient | SendErrorKind::Denied => {
                        metrics.retried.inc_by(count(&piece));
                        self.pieces.push(piece);
                        terms.concurrency.slow_down(&mut permit);
                    }
                    SendErrorKind::TooLarge | SendErrorKind::Refused if piece.len() > 1 => {
                        self.learn(&terms, &error, &piece);
                        let second = piece.split_off(piece.len() / 2);
                        self.pieces.push(second);
                        self.pieces.push(piece);
                        if error.kind == SendErrorKind::TooLarge {
                            return Ok(());
                        }
                        // All of them may be refused in the end: no flood of requests to find out.
                        permit.release();
                    }
                    SendErrorKind::TooLarge | SendErrorKind::Refused => {
                        for event in &piece {
                            self.reject(&terms.delivery, event, &error.reason).await;
                        }
                        return Ok(());
                    }
                    SendErrorKind::Closed => {
                        let receiver = self.courier.name.clone();
                        return Err(SinkClosed { receiver, error });
                    }
                }
                error
            }
        };
        self.show();
        self.wait(&cause).await;
        Ok(())
    }

    /// Lets other batches pass, if little is left and few do so: an index that takes nothing must not stop the others. Where one
    /// batch follows the other they stay in their order.
    fn step_aside(&mut self, terms: &Terms) {
        let left: usize = self.pieces.iter().flatten().map(|it| it.weight()).sum();
        let is_little = left <= terms.limits().max_bytes / LEFTOVERS;
        if !self.is_leftover && is_little && terms.max_in_flight() > 1 {
            self.is_leftover = self.courier.leftovers.send_if_modified(|count| {
                let has_room = *count < LEFTOVERS;
                *count += usize::from(has_room);
                has_room
            });
        }
    }

    /// Counts what a receipt settles; returns what is left of the piece, and why.
    async fn settle(
        &mut self,
        delivery: &Delivery,
        piece: &[Arc<Event>],
        receipt: Receipt,
    ) -> Option<(Vec<Arc<Event>>, SendError)> {
        for rejection in &receipt.rejected {
            if let Some(event) = piece.get(rejection.index) {
                self.reject(delivery, event, &rejection.reason).await;
            }
        }
        let mut taken = vec![true; piece.len()];
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
        let metrics = &self.courier.metrics;
        metrics.took(
            piece
                .iter()
                .zip(&taken)
                .filter(|(_, taken)| **taken)
                .map(|(event, _)| event.as_ref()),
        );
        metrics
            .duplicates
            .inc_by(u64::try_from(receipt.duplicates).unwrap_or(0));
        let rest: Vec<_> = receipt
            .retry
            .iter()
            .filter_map(|&index| piece.get(index).cloned())
            .collect();
        if rest.is_empty() {
            // A sink that takes nothing has not come back.
            if taken.contains(&true) {
                self.recovered();
            }
            return None;
        }
        metrics.retried.inc_by(count(&rest));
        let cause = receipt
            .retry_cause
            .unwrap_or_else(|| SendError::transient("some events were not taken"));
        Some((rest, cause))
    }

    async fn reject(&self, delivery: &Delivery, event: &Event, reason: &str) {
        let metrics = &self.courier.metrics;
        metrics.rejected.inc();
        metrics.latest.failure.refused(reason);
        delivery.dead_letter.put(event, reason).await;
    }

    async fn wait(&mut self, cause: &SendError) {
        let failure = &self.courier.metrics.latest.failure;
        match cause.kind {
            SendErrorKind::Refused => failure.refused(&cause.reason),
            _ => failure.fails(&cause.reason, cause.status),
        }
        self.tell(cause);
        let wait = self
            .backoff
            .next(cause.retry_after, cause.kind == SendErrorKind::Denied);
        let until = Instant::now() + wait;
        tokio::select! {
            () = sleep_until(until) => {}
            // Which may be what was missing.
            Ok(()) = self.changes.changed() => {
                self.backoff = Backoff::new(self.changes.borrow().delivery.retry);
            }
            // There is not much time left to find the sink back.
            () = self.courier.ending.cancelled() => sleep_until(until.min(Instant::now() + LAST_WAIT)).await,
        }
    }

    fn tell(&mut self, cause: &SendError) {
        let mut trouble = self.courier.trouble();
        if !std::mem::replace(&mut self.in_trouble, true) {
            trouble.batches += 1;
        }
        // What a server says has its status. Of what happens before that, the words say what it is.
        let words = cause.reason.chars().filter(|_| cause.status.is_none());
        let words: String = words.filter(|it| !it.is_ascii_digit()).take(200).collect();
        let failure = format!("{:?} {:?} {words}", cause.kind, cause.status);
        if trouble.outage.is_news(&failure) {
            warn!(
                receiver = self.courier.name,
                error = cause.reason,
                "events were not taken; trying again until they are"
            );
        }
    }

    /// What was not taken at once is taken now, unless there are others of its kind.
    fn recovered(&mut self) {
        self.out_of_trouble();
        let mut trouble = self.courier.trouble();
        if trouble.batches > 0 {
            return;
        }
        self.courier.metrics.latest.failure.over();
        if let Some(attempts) = trouble.outage.over() {
            info!(
                receiver = self.courier.name,
                attempts, "events are taken again"
            );
        }
    }

    /// A batch that was too large teaches the size of the next ones.
    fn learn(&self, terms: &Terms, error: &SendError, piece: &[Arc<Event>]) {
        if error.kind != SendErrorKind::TooLarge {
            return;
        }
        let bytes: usize = piece.iter().map(|event| event.weight()).sum();
        let smaller = (bytes / 2).max(MIN_BATCH_BYTES);
        if smaller < terms.max_bytes.fetch_min(smaller, Ordering::Relaxed) {
            warn!(
                receiver = self.courier.name,
                error = error.reason,
                bytes = smaller,
                "batches are too large: making them smaller"
            );
        }
    }

    fn show(&mut self) {
        let events = self.pieces.iter().map(Vec::len).sum();
        let in_flight = &self.courier.in_flight;
        let all = in_flight.load(Ordering::Relaxed) + events - self.shown;
        in_flight.store(all, Ordering::Relaxed);
        self.shown = events;
        // Not by adding to it: another receiver that had the name may have left something.
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        self.courier.metrics.in_flight.set(f64::from(all));
    }

    /// Nothing of it waits to be sent again.
    fn out_of_trouble(&mut self) {
        if std::mem::take(&mut self.in_trouble) {
            self.courier.trouble().batches -= 1;
        }
    }
}

fn count(events: &[Arc<Event>]) -> u64 {
    u64::try_from(events.len()).unwrap_or(u64::MAX)
}
