//! The Router: takes events from the intake and offers them to the receivers that want them.
//!
//! A receiver that takes no more is parked, so that it holds up the others for half a second at the most. What it misses
//! from then on is read once more for it when it takes events again: see [`catch_up`](crate::catch_up).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::batch::QueueSender;
use crate::event::Event;
use crate::intake::{Intake, Routed};
use crate::metrics::RouterMetrics;
use crate::outlet::{Fate, Offer, Outlet, Policy};
use crate::receiver::Changes;
use crate::recent::{Recent, Went};
use crate::removed::Removed;
use crate::route::{Hits, ReceiverId, Resolution, Route, Throttle};

/// Who gets what. It changes as a whole, when a configuration is read anew.
pub struct Table {
    /// Decides.
    pub route: Route,
    /// By [`ReceiverId`].
    pub legs: Vec<Leg>,
    /// By rule, how many events it has matched.
    pub hits: Hits,
    /// Receivers that were in one before it.
    pub removed: Removed,
}

/// One receiver of a table.
#[derive(Clone)]
pub struct Leg {
    /// The way to it.
    pub outlet: Arc<Outlet>,
    /// How it is served.
    pub policy: Policy,
    /// Whether it writes what a lookup of the involved object adds.
    pub reads_object: bool,
    /// Where it learns how to deliver from now on.
    pub changes: Changes,
}

/// A receiver that takes no more, and its queue.
pub struct Parked {
    /// Which.
    pub outlet: Arc<Outlet>,
    /// Its queue.
    pub queue: QueueSender,
}

/// Moves events until its intake ends, then lets the receivers' queues end.
pub struct Router {
    intake: Intake,
    tables: watch::Receiver<Arc<Table>>,
    /// Where receivers are parked; without it, they are waited for.
    parking: Option<mpsc::UnboundedSender<Parked>>,
    metrics: RouterMetrics,
    /// Where people may see events.
    recent: Option<Arc<Recent>>,
}

/// How long a receiver may hold up others, until its queue has been half empty again.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a receiver is waited for where it is the only one: its queue is full because it is slow, or because its sink
/// is away.
const PATIENCE_ALONE: Duration = Duration::from_secs(10);

// === impl Table ===

impl Table {
    /// The way to every receiver, also to those that were removed and still hold something.
    pub fn outlets(&self) -> impl Iterator<Item = Arc<Outlet>> {
        let legs = self.legs.iter().map(|leg| Arc::clone(&leg.outlet));
        legs.chain(self.removed.outlets())
    }

    /// A table whose rules have not matched anything yet.
    pub fn new(route: Route, legs: Vec<Leg>) -> Self {
        let hits = Hits::none_of(&route);
        Self {
            route,
            legs,
            hits,
            removed: Removed::default(),
        }
    }

    /// One that takes the place of `before`.
    #[must_use]
    pub fn in_place_of(self, before: &Self) -> Self {
        Self {
            removed: before.removed.clone(),
            ..self
        }
    }

    /// Whether anybody cares about the involved object.
    pub fn reads_object(&self, resolution: &Resolution) -> bool {
        let mut legs = self.wanted(resolution);
        resolution.reads_object || legs.any(|(leg, _)| leg.reads_object)
    }

    /// The receivers that want an event, and what they have to be asked.
    pub fn wanted<'a>(
        &'a self,
        resolution: &'a Resolution,
    ) -> impl Iterator<Item = (&'a Leg, Option<&'a Throttle>)> {
        let ids = resolution.receivers.iter().enumerate();
        ids.filter_map(|(at, &ReceiverId(id))| Some((self.legs.get(id)?, resolution.throttle(at))))
    }

    /// The name of a receiver.
    pub fn name(&self, ReceiverId(at): ReceiverId) -> &str {
        self.legs.get(at).map_or("", |leg| &leg.outlet.name)
    }

    /// Where a receiver stands in it, if it does.
    pub fn leg_of(&self, outlet: &Arc<Outlet>) -> Option<&Leg> {
        let mut legs = self.legs.iter();
        legs.find(|leg| Arc::ptr_eq(&leg.outlet, outlet))
    }
}

// === impl Router ===

impl Router {
    /// A router that keeps to the newest of `tables`.
    pub fn new(
        intake: Intake,
        tables: watch::Receiver<Arc<Table>>,
        parking: Option<mpsc::UnboundedSender<Parked>>,
        metrics: RouterMetrics,
    ) -> Self {
        Self {
            intake,
            tables,
            parking,
            metrics,
            recent: None,
        }
    }

    /// One that shows `recent` what it does.
    #[must_use]
    pub fn shown_to(self, recent: Option<Arc<Recent>>) -> Self {
        Self { recent, ..self }
    }

    /// Runs until the intake ends.
    pub async fn run(mut self) {
        let mut table = Arc::clone(&self.tables.borrow_and_update());
        loop {
            if self.tables.has_changed().unwrap_or(false) {
                table = Arc::clone(&self.tables.borrow_and_update());
            }
            tokio::select! {
                biased;
                routed = self.intake.next(&table) => match routed {
                    Some(routed) => self.deliver(&table, routed).await,
                    None => break,
                },
                Ok(()) = self.tables.changed() => table = Arc::clone(&self.tables.borrow()),
            }
        }
        let table = Arc::clone(&self.tables.borrow());
        for leg in &table.legs {
            leg.outlet.close();
        }
    }

    async fn deliver(&mut self, table: &Table, routed: Routed) {
        let Routed { event, resolution } = routed;
        self.metrics.happened(&event);
        self.metrics.sampled_out.inc_by(resolution.sampled_out);
        table.hits.count(&resolution);
        if resolution.receivers.is_empty() {
            let cause = if resolution.dropped {
                &self.metrics.drop_rule
            } else if resolution.sampled_out > 0 {
                &self.metrics.sample
            } else {
                &self.metrics.no_route
            };
            cause.inc();
        }
        // Before it is offered: whoever is parked and compares must not believe that it has seen everything.
        if let Some(watch) = self.intake.backlog().watches().get(event.origin.watch) {
            watch.route(event.origin.version);
        }
        let mut went = Vec::new();
        for (leg, throttle) in table.wanted(&resolution) {
            let fate = match leg.outlet.offer(&event, leg.policy, throttle) {
                Offer::Done(fate) => fate,
                Offer::Full {
                    event,
                    queue,
                    waited,
                } => {
                    let fate = self.wait(table, leg, &event, queue, waited).await;
                    if fate == Fate::Parked {
                        leg.outlet.throttles.offer_again(throttle, &event);
                    }
                    fate
                }
            };
            if self.recent.is_some() {
                went.push(Went {
                    to: leg.outlet.name.clone(),
                    fate,
                });
            }
        }
        if let Some(recent) = &self.recent {
            recent.saw(event, went, resolution.dropped);
        }
    }

    /// Waits for room, up to a point.
    async fn wait(
        &mut self,
        table: &Table,
        leg: &Leg,
        event: &Arc<Event>,
        queue: QueueSender,
        waited: Duration,
    ) -> Fate {
        let Some(parking) = &self.parking else {
            queue.push(Arc::clone(event)).await;
            leg.outlet.put_back(queue, Duration::ZERO);
            return Fate::Queued;
        };
        let mut others = table.legs.iter().map(|leg| &leg.outlet);
        let is_alone = !others.any(|other| !Arc::ptr_eq(other, &leg.outlet) && other.is_routed());
        let patience = if is_alone {
            PATIENCE_ALONE
        } else {
            PATIENCE.saturating_sub(waited)
        };
        let started = Instant::now();
        let has_room = tokio::select! {
            biased;
            () = queue.push(Arc::clone(event)) => true,
            () = sleep(patience) => false,
            // Another table may wait for less.
            Ok(()) = self.tables.changed() => {
                self.tables.mark_changed();
                if leg.outlet.gives_up() {
                    return Fate::Removed;
                }
                false
            }
        };
        if has_room {
            let waited = if is_alone {
                waited
            } else {
                waited + started.elapsed()
            };
            leg.outlet.put_back(queue, waited);
            return Fate::Queued;
        }
        warn!(
            receiver = leg.outlet.name,
            "the receiver takes no more events: it is parked, and will get what it misses when it takes them again"
        );
        leg.outlet.park(&self.intake.backlog().routed());
        // This one passes it by already.
        leg.outlet.offer(event, leg.policy, None);
        let outlet = Arc::clone(&leg.outlet);
        // Nobody is there any more to bring it back only when the program ends.
        let _ = parking.send(Parked { outlet, queue });
        Fate::Parked
    }
}

#[cfg(test)]
mod tests;
