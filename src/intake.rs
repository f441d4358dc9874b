//! The Intake: hands out what was read from the watches, event by event, with the receivers that want it.
//!
//! Where a rule that decides, or a receiver, needs to know the involved object, the enricher has the event first, and
//! others pass it by. Before that, where any rule asks for labels of namespaces, events are told those of theirs.
//!
//! Whoever asks for the next event says by that that the one before is with its receivers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::select_all;

use crate::batch::{BatchLimits, BatchQueue, QueueProbe};
use crate::enrich::{Enricher, Namespaces};
use crate::event::Event;
use crate::mark::{Mark, Origin, Progress, lower};
use crate::route::Resolution;
use crate::router::Table;

/// Takes events from the queue behind the watches.
pub struct Intake {
    events: BatchQueue,
    ended: bool,
    batch: VecDeque<Arc<Event>>,
    enricher: Enricher,
    namespaces: Namespaces,
    backlog: Arc<Backlog>,
}

/// What has been read and is not with the receivers yet.
pub struct Backlog {
    watches: Vec<Arc<Progress>>,
    queue: QueueProbe,
    in_hand: Mutex<InHand>,
}

/// Of what has been taken from the queue.
#[derive(Default)]
struct InHand {
    /// The rest of a batch.
    batch: VecDeque<Origin>,
    /// What was handed out last.
    current: Option<Origin>,
    /// Those that wait for lookups or namespaces, by watch and version.
    waiting: BTreeMap<(usize, Mark), Waiting>,
}

/// Events of one watch and version: one, but where versions are no numbers.
struct Waiting {
    count: usize,
    resume: Mark,
}

/// An event, and who wants it.
pub struct Routed {
    /// The event.
    pub event: Arc<Event>,
    /// Who wants it, by the table it was asked with.
    pub resolution: Resolution,
}

/// Take whatever is there, at once.
const AT_ONCE: BatchLimits = BatchLimits {
    max_events: 256,
    max_bytes: 1 << 20,
    max_delay: Duration::ZERO,
};

// === impl Intake ===

impl Intake {
    /// An intake of `events`, whose origins say which of `watches` they come from.
    pub fn new(
        events: BatchQueue,
        queue: QueueProbe,
        enricher: Enricher,
        watches: Vec<Arc<Progress>>,
    ) -> Self {
        Self {
            events,
            ended: false,
            batch: VecDeque::new(),
            namespaces: enricher.namespaces(),
            enricher,
            backlog: Arc::new(Backlog {
                watches,
                queue,
                in_hand: Mutex::default(),
            }),
        }
    }

    /// What it has not handed out.
    pub fn backlog(&self) -> &Arc<Backlog> {
        &self.backlog
    }

    /// What was handed out last is with its receivers.
    pub fn settle(&self) {
        self.backlog.in_hand().current = None;
    }

    /// The next event; `None` once the queue is closed and nothing waits. Dropping the future loses nothing.
    pub async fn next(&mut self, table: &Table) -> Option<Routed> {
        self.settle();
        loop {
            while let Some(event) = self.batch.pop_front() {
                let Some(event) = self.label(event, table) else {
                    continue;
                };
                if let Some(routed) = self.examine(event, table) {
                    return Some(routed);
                }
            }
            let (enricher, namespaces) = (&mut self.enricher, &mut self.namespaces);
            if self.ended && !enricher.is_waiting() && !namespaces.is_waiting() {
                return None;
            }
            let has_room = enricher.has_room() && namespaces.has_room();
            tokio::select! {
                // Those that have waited go first.
                biased;
                event = enricher.next(), if enricher.is_waiting() => {
                    self.backlog.in_hand().return_waiting(event.origin);
                    let resolution = table.route.resolve(&event);
                    return Some(Routed { event, resolution });
                }
                event = namespaces.next(), if namespaces.is_waiting() => {
                    self.backlog.in_hand().take_back(event.origin);
                    if let Some(routed) = self.examine(event, table) {
                        return Some(routed);
                    }
                }
                batch = self.events.next(AT_ONCE), if has_room && !self.ended => {
                    let Some(batch) = batch else {
                        self.ended = true;
                        continue;
                    };
                    let origins = batch.events.iter().map(|event| event.origin);
                    self.backlog.in_hand().batch.extend(origins);
                    self.batch = batch.settle().into();
                }
            }
        }
    }

    /// Tells an event the labels of its namespace if any rule asks for some, or leaves it to wait for them.
    fn label(&mut self, event: Arc<Event>, table: &Table) -> Option<Arc<Event>> {
        if !table.route.reads_namespaces() {
            return Some(event);
        }
        let labelled = self.namespaces.label(event);
        if labelled.is_none() {
            self.backlog.in_hand().set_aside();
        }
        labelled
    }

    /// Says who wants an event, which is the first of those in hand, or leaves it with the enricher for a while if anybody cares about its object.
    fn examine(&mut self, event: Arc<Event>, table: &Table) -> Option<Routed> {
        let resolution = table.route.resolve(&event);
        if !self.enricher.is_on() || !table.reads_object(&resolution) {
            self.backlog.in_hand().hand_out();
            return Some(Routed { event, resolution });
        }
        let Some(event) = self.enricher.enrich(event) else {
            self.backlog.in_hand().set_aside();
            return None;
        };
        self.backlog.in_hand().hand_out();
        let resolution = if resolution.reads_object {
            table.route.resolve(&event)
        } else {
            // What is known of the object now changes nothing about who gets the event.
            resolution
        };
        Some(Routed { event, resolution })
    }
}

// === impl Backlog ===

impl Backlog {
    /// How many events.
    pub fn events(&self) -> usize {
        let in_hand = self.in_hand();
        let waiting: usize = in_hand.waiting.values().map(|one| one.count).sum();
        let current = usize::from(in_hand.current.is_some());
        self.queue.state().events + in_hand.batch.len() + current + waiting
    }

    /// By watch, up to where everything is with the receivers.
    pub fn routed(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = self.watches.iter().map(|watch| watch.read()).collect();
        self.queue.lower_to_unsettled(&mut marks);
        let in_hand = self.in_hand();
        for origin in in_hand.batch.iter().chain(&in_hand.current) {
            lower(&mut marks, origin.watch, origin.resume);
        }
        for (&(watch, _), waiting) in &in_hand.waiting {
            lower(&mut marks, watch, waiting.resume);
        }
        marks
    }

    /// Whether an event of this version has been offered to all of its receivers, while others of its watch may wait for lookups.
    pub fn has_routed(&self, origin: Origin) -> bool {
        let Some(watch) = self.watches.get(origin.watch) else {
            return true;
        };
        let key = (origin.watch, origin.version);
        let is_in_hand = || {
            let in_hand = self.in_hand();
            let current = in_hand.current.map(|one| (one.watch, one.version));
            current == Some(key) || in_hand.waiting.contains_key(&key)
        };
        origin.version <= watch.routed() && !is_in_hand()
    }

    /// The watches that are read.
    pub fn watches(&self) -> &[Arc<Progress>] {
        &self.watches
    }

    /// Waits until one of the watches has read more; for one who waits.
    pub async fn moved(&self) {
        if self.watches.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.watches.iter().map(|watch| Box::pin(watch.moved()))).await;
    }

    fn in_hand(&self) -> MutexGuard<'_, InHand> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl InHand ===

impl InHand {
    /// The first of the batch is handed out.
    fn hand_out(&mut self) {
        self.current = self.batch.pop_front();
    }

    /// The first of the batch waits for a lookup.
    fn set_aside(&mut self) {
        if let Some(origin) = self.batch.pop_front() {
            let waiting = self.waiting.entry((origin.watch, origin.version));
            let waiting = waiting.or_insert(Waiting {
                count: 0,
                resume: origin.resume,
            });
            waiting.count += 1;
            waiting.resume = origin.resume.min(waiting.resume);
        }
    }

    /// One that has waited is handed out.
    fn return_waiting(&mut self, origin: Origin) {
        self.take_back(origin);
        self.hand_out();
    }

    /// One that has waited is the first of the batch again.
    fn take_back(&mut self, origin: Origin) {
        let key = (origin.watch, origin.version);
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.count -= 1;
            if waiting.count == 0 {
                self.waiting.remove(&key);
            }
        }
        self.batch.push_front(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::queue;
    use crate::config::Config;
    use crate::pipeline::compile;

    #[tokio::test]
    async fn an_event_is_with_its_receivers_when_the_next_is_asked_for() {
        let config = "route: {}\nreceivers: [{name: r, stdout: {}}]";
        let config = Config::parse(config, &|_| None).unwrap().config;
        let table = Table::new(compile(&config).unwrap(), Vec::new());
        let (events, queued) = queue(1 << 20);
        let watches = vec![Arc::new(Progress::default())];
        let mut intake = Intake::new(queued, events.probe(), Enricher::default(), watches);
        let origin = Origin {
            version: Mark::default().at("5"),
            ..Origin::default()
        };
        let event = Event {
            origin,
            ..Event::default()
        };
        events.push(Arc::new(event)).await;
        let backlog = Arc::clone(intake.backlog());
        assert!(intake.next(&table).await.is_some());
        backlog.watches()[0].route(origin.version);
        assert!(!backlog.has_routed(origin), "some may still wait for it");
        intake.settle();
        assert!(backlog.has_routed(origin));
    }
}
