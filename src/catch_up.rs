//! Catching up: brings back receivers that were parked.
//!
//! The API server is the log. When the queue of a parked receiver is half empty again, so that its sink must have answered,
//! what the receiver has missed is read once more for it alone, by watches of its own that begin at its mark. They wait when
//! its queue is full, as the first watches do, so it takes them at its own pace and nobody else notices. When they have come
//! as far as the router has, the router serves the receiver again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::batch::{QueueSender, queue};
use crate::enrich::Enricher;
use crate::intake::{Backlog, Intake, Routed};
use crate::mark::{Mark, Progress};
use crate::outlet::Outlet;
use crate::router::{Parked, Table};

/// What events can be read from again.
pub trait EventLog: Send + Sync + 'static {
    /// Reads all watches from `marks` on into the queue; the future ends when `shutdown` is told.
    fn read(
        &self,
        marks: &[Mark],
        events: QueueSender,
        shutdown: CancellationToken,
    ) -> (Vec<Arc<Progress>>, BoxFuture<'static, ()>);

    /// Completes what is read.
    fn enricher(&self) -> Enricher;
}

/// Waits for receivers to be parked, and brings them back.
#[derive(Clone)]
pub struct CatchUp {
    log: Arc<dyn EventLog>,
    router: Arc<Backlog>,
    tables: watch::Receiver<Arc<Table>>,
}

/// How reading once more has ended.
enum End {
    /// The router serves the receiver again.
    CaughtUp,
    /// The API server's history is another, or the receiver is not wanted any more: look anew.
    Changed(QueueSender),
    /// The program ends.
    Over,
}

/// The queue between the watches and the receiver: a page of a list, or a burst.
const QUEUE_BYTES: usize = 2 << 20;
/// How often it is looked whether the API server has begun another history, and how far the router is.
const LOOK: Duration = Duration::from_secs(1);

// === impl CatchUp ===

impl CatchUp {
    /// Reads from `log` up to where the router, which `router` is the backlog of, has come.
    pub fn new(
        log: Arc<dyn EventLog>,
        router: Arc<Backlog>,
        tables: watch::Receiver<Arc<Table>>,
    ) -> Self {
        Self {
            log,
            router,
            tables,
        }
    }

    /// Brings back whoever is parked, until there is no router left and nobody is parked; at `shutdown` those who are let go.
    pub async fn run(
        self,
        mut parked: mpsc::UnboundedReceiver<Parked>,
        shutdown: CancellationToken,
    ) {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                parked = parked.recv() => {
                    let Some(Parked { outlet, queue }) = parked else { break };
                    let (one, shutdown) = (self.clone(), shutdown.clone());
                    under_way.spawn(one.bring_back(outlet, queue, shutdown));
                }
                Some(ended) = under_way.join_next() => pass_on(ended),
            }
        }
        while let Some(ended) = under_way.join_next().await {
            pass_on(ended);
        }
    }

    async fn bring_back(
        mut self,
        outlet: Arc<Outlet>,
        mut queue: QueueSender,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = self.removed(&outlet) => return,
                () = shutdown.cancelled() => return,
                () = queue.half_empty() => {}
            }
            queue = match self.read_again(&outlet, queue, &shutdown).await {
                End::CaughtUp => {
                    let closing = self.close_accounts(&outlet);
                    shutdown.run_until_cancelled(closing).await;
                    return;
                }
                End::Over => return,
                End::Changed(queue) => queue,
            };
        }
    }

    /// Waits until the router is past what was read, and counts what was not there any more.
    async fn close_accounts(&self, outlet: &Outlet) {
        while !outlet.close_accounts(&self.router.routed()) {
            sleep(LOOK).await;
        }
    }

    /// Reads what the receiver has missed.
    async fn read_again(
        &mut self,
        outlet: &Arc<Outlet>,
        queue_of_receiver: QueueSender,
        shutdown: &CancellationToken,
    ) -> End {
        let marks = self.in_this_history(&outlet.had());
        info!(
            receiver = outlet.name,
            "the receiver takes events again: reading what it has missed"
        );
        let (events, queued) = queue(QUEUE_BYTES);
        let probe = events.probe();
        let (watches, reading) = self.log.read(&marks, events, shutdown.clone());
        let intake = Intake::new(queued, probe, self.log.enricher(), watches);
        outlet.serve(intake.backlog());
        tokio::select! {
            biased;
            end = self.hand_on(outlet, queue_of_receiver, intake) => end,
            () = reading => End::Over,
        }
    }

    async fn hand_on(
        &mut self,
        outlet: &Arc<Outlet>,
        queue: QueueSender,
        mut intake: Intake,
    ) -> End {
        let backlog = Arc::clone(intake.backlog());
        let history = self.histories();
        let leave = |queue| {
            outlet.park(&backlog.routed());
            End::Changed(queue)
        };
        loop {
            intake.settle();
            // The newest, as the router does: to leave would have a list that is under way begin again.
            let table = Arc::clone(&self.tables.borrow_and_update());
            if self.histories() != history || table.leg_of(outlet).is_none() {
                return leave(queue);
            }
            // Nothing is between the watches and the receiver: that is the moment to compare.
            if backlog.events() == 0 && self.is_past_router(&backlog) {
                outlet.return_to(&self.router, &backlog.routed(), queue);
                return End::CaughtUp;
            }
            let routed = tokio::select! {
                biased;
                routed = intake.next(&table) => routed,
                () = backlog.moved() => continue,
                // Nothing comes from watches of a history that is over.
                () = sleep(LOOK) => continue,
                Ok(()) = self.tables.changed() => continue,
            };
            let Some(Routed { event, resolution }) = routed else {
                return End::Over;
            };
            let mut wanted: Vec<_> = table.wanted(&resolution).collect();
            wanted.retain(|(leg, _)| Arc::ptr_eq(&leg.outlet, outlet));
            let Some(&(leg, _)) = wanted.first() else {
                continue;
            };
            if outlet.has_had(&event) {
                continue;
            }
            let origin = event.origin;
            if !outlet.is_too_old(&event, leg.policy) {
                // Where it is named twice it gets the event once here: it is enough that one throttle lets it through.
                let mut throttles = wanted.into_iter().map(|(_, throttle)| throttle);
                let passed = throttles.find_map(|throttle| outlet.throttles.pass(throttle, &event));
                if let Some(passed) = passed {
                    tokio::select! {
                        biased;
                        () = queue.push(passed.into_owned()) => {}
                        () = self.removed(outlet) => return leave(queue),
                    }
                }
            }
            outlet.found(origin, self.router.has_routed(origin));
        }
    }

    /// Waits until the receiver is not wanted any more.
    async fn removed(&mut self, outlet: &Arc<Outlet>) {
        let removed = self.tables.wait_for(|table| table.leg_of(outlet).is_none());
        let is_removed = removed.await.is_ok();
        // Else nobody changes the table any more.
        if !is_removed {
            std::future::pending::<()>().await;
        }
    }

    /// Whether there is nothing that the router has offered and `backlog` has not read.
    fn is_past_router(&self, backlog: &Backlog) -> bool {
        let mut watches = self.router.watches().iter().zip(backlog.watches());
        watches.all(|(router, ours)| ours.read() >= router.routed())
    }

    fn histories(&self) -> Vec<u32> {
        let watches = self.router.watches().iter();
        watches.map(|watch| watch.read().history).collect()
    }

    /// Marks of another history say nothing of this one.
    fn in_this_history(&self, marks: &[Mark]) -> Vec<Mark> {
        let marks = marks.iter().zip(self.histories());
        marks
            .map(|(mark, history)| {
                let version = if mark.history == history {
                    mark.version
                } else {
                    0
                };
                Mark { history, version }
            })
            .collect()
    }
}

/// A receiver that nobody brings back would wait for ever: a bug there is a bug here.
fn pass_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests;
