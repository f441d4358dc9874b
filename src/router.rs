//! The Router: takes events from the source's queue, asks the route tree, and puts them into the receivers' queues.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::batch::{BatchLimits, BatchQueue, QueueSender};
use crate::enrich::Enricher;
use crate::event::Event;
use crate::metrics::{ReceiverMetrics, RouterMetrics};
use crate::receiver::OnFull;
use crate::route::{ReceiverId, Route};

/// Moves events until its queue ends, then lets the receivers' queues end.
pub struct Router {
    events: BatchQueue,
    enricher: Enricher,
    route: Route,
    /// By [`ReceiverId`].
    outlets: Vec<Outlet>,
    metrics: RouterMetrics,
}

/// The way into one receiver.
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// Its queue.
    pub queue: QueueSender,
    /// What to do when that is full.
    pub on_full: OnFull,
    /// Where drops are counted.
    pub metrics: ReceiverMetrics,
}

/// Take whatever is there, at once.
const AT_ONCE: BatchLimits = BatchLimits {
    max_events: 256,
    max_bytes: 1 << 20,
    max_delay: Duration::ZERO,
};

// === impl Router ===

impl Router {
    /// A router from `events` to `outlets`.
    pub fn new(
        events: BatchQueue,
        route: Route,
        outlets: Vec<Outlet>,
        metrics: RouterMetrics,
    ) -> Self {
        Self {
            events,
            enricher: Enricher,
            route,
            outlets,
            metrics,
        }
    }

    /// Runs until the source's queue is closed and empty.
    pub async fn run(mut self) {
        while let Some(events) = self.events.next(AT_ONCE).await {
            for event in events {
                let event = self.enricher.enrich(event).await;
                self.deliver(event).await;
            }
        }
    }

    async fn deliver(&mut self, event: Arc<Event>) {
        self.metrics.happened(&event);
        let resolution = self.route.resolve(&event);
        if resolution.receivers.is_empty() {
            let cause = if resolution.dropped {
                &self.metrics.drop_rule
            } else {
                &self.metrics.no_route
            };
            cause.inc();
        }
        for ReceiverId(at) in resolution.receivers {
            if let Some(outlet) = self.outlets.get(at) {
                outlet.push(Arc::clone(&event)).await;
            }
        }
    }
}

// === impl Outlet ===

impl Outlet {
    async fn push(&self, event: Arc<Event>) {
        match self.on_full {
            // Waiting here fills the source's queue, and then the source closes its watch.
            OnFull::Park => self.queue.push(event).await,
            OnFull::Drop => {
                if !self.queue.try_push(&event) {
                    if self.metrics.queue_full.get() == 0 {
                        warn!(
                            receiver = self.name,
                            "the queue is full: dropping events, as `onFull: drop` says"
                        );
                    }
                    self.metrics.queue_full.inc();
                }
            }
        }
    }
}
