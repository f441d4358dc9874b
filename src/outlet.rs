//! The Outlet: the way to one receiver, and how far the receiver has come.
//!
//! At any time one party serves a receiver: the router, as a rule; nobody, while it is parked because it takes no more; a
//! catch-up, which reads what it has missed once more. The outlet knows who does, and so what is settled: its *mark*, by
//! watch, up to which every event that is meant for the receiver was taken, rejected or dropped by policy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tracing::{info, warn};

use self::missed::Missed;
use crate::batch::{QueueProbe, QueueSender};
use crate::event::{Event, Time};
use crate::intake::Backlog;
use crate::mark::{Mark, Origin};
use crate::metrics::ReceiverMetrics;
use crate::receiver::OnFull;
use crate::route::Throttle;
use crate::throttle::Throttles;

mod missed;

/// The way to one receiver.
pub struct Outlet {
    /// The receiver's name.
    pub name: String,
    /// A view of its queue.
    pub queue: QueueProbe,
    /// Its counters.
    pub metrics: ReceiverMetrics,
    /// What throttles know of what it has been given.
    pub throttles: Throttles,
    /// By watch, up to where everything was settled when it was made. Nothing that comes since is before that.
    begun: Vec<Mark>,
    state: Mutex<State>,
}

/// What the router keeps to when it serves a receiver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy {
    /// What to do when its queue is full.
    pub on_full: OnFull,
    /// Events older than this are not for it.
    pub max_event_age: Option<Duration>,
}

/// What became of an event that was offered.
pub enum Offer {
    /// It is in the queue, or not meant for it.
    Done(Fate),
    /// There is no room. The offerer has the queue until it [puts it back](Outlet::put_back) or
    /// [parks](Outlet::park) the receiver.
    Full {
        /// What the receiver is to get.
        event: Arc<Event>,
        /// The queue.
        queue: QueueSender,
        /// How long the router has waited for this receiver lately.
        waited: Duration,
    },
}

/// What has become of it, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It is in the queue.
    Queued,
    /// The receiver is parked, and will get it later.
    Parked,
    /// The receiver has had it already.
    Had,
    /// Policy leaves it out because of its age.
    TooOld,
    /// A throttle holds it back.
    HeldBack,
    /// Policy drops it because the queue is full.
    QueueFull,
    /// The receiver has been removed.
    Removed,
}

struct State {
    /// `None` while it is lent or closed.
    queue: Option<QueueSender>,
    closed: bool,
    served_by: ServedBy,
    /// By watch, up to where the receiver has had everything from those who served it before.
    had: Vec<Mark>,
    waited: Duration,
    /// By watch.
    missed: Vec<Missed>,
}

enum ServedBy {
    Router(Arc<Backlog>),
    Nobody,
    CatchUp(Arc<Backlog>),
}

// === impl Outlet ===

impl Outlet {
    /// The way into `queue`, served by the router from the marks in `had` on.
    pub fn new(
        name: String,
        queue: QueueSender,
        metrics: ReceiverMetrics,
        had: Vec<Mark>,
        router: Arc<Backlog>,
    ) -> Self {
        Self {
            name,
            queue: queue.probe(),
            throttles: Throttles::new(metrics.throttled.clone(), metrics.kinds_forgotten.clone()),
            metrics,
            begun: had.clone(),
            state: Mutex::new(State {
                missed: had.iter().map(|_| Missed::default()).collect(),
                closed: false,
                served_by: ServedBy::Router(router),
                had,
                waited: Duration::ZERO,
                queue: Some(queue),
            }),
        }
    }

    /// Offers an event that is meant for the receiver, unless `throttle` holds it back, as the router does.
    pub fn offer(&self, event: &Arc<Event>, policy: Policy, throttle: Option<&Throttle>) -> Offer {
        let mut state = self.state();
        let origin = event.origin;
        let is_routed = matches!(state.served_by, ServedBy::Router(_));
        let has_had = state.has_had(event);
        if !is_routed || has_had {
            let missed = state.missed.get_mut(origin.watch);
            // One that it has had by now may be one that the catch-up did not find.
            if let Some(missed) = missed.filter(|missed| !has_had || missed.returning) {
                missed.pass_by(origin);
            }
            let fate = if has_had { Fate::Had } else { Fate::Parked };
            return Offer::Done(fate);
        }
        if self.is_too_old(event, policy) {
            return Offer::Done(Fate::TooOld);
        }
        let Some(queue) = &state.queue else {
            self.metrics.removed.inc();
            return Offer::Done(Fate::Removed);
        };
        let Some(event) = self.throttles.pass(throttle, event) else {
            return Offer::Done(Fate::HeldBack);
        };
        if queue.try_push(&event) {
            if state.waited > Duration::ZERO && self.queue.is_half_empty() {
                state.waited = Duration::ZERO;
            }
            return Offer::Done(Fate::Queued);
        }
        if policy.on_full == OnFull::Drop {
            if self.metrics.queue_full.get() == 0 {
                warn!(
                    receiver = self.name,
                    "the queue is full: dropping events, as `onFull: drop` says"
                );
            }
            self.metrics.queue_full.inc();
            self.throttles.give_up(throttle, &event);
            return Offer::Done(Fate::QueueFull);
        }
        let waited = state.waited;
        match state.queue.take() {
            Some(queue) => Offer::Full {
                event: event.into_owned(),
                queue,
                waited,
            },
            None => Offer::Done(Fate::Removed),
        }
    }

    /// Whether policy leaves an event out because of its age, which is counted.
    pub fn is_too_old(&self, event: &Event, policy: Policy) -> bool {
        let too_old = policy
            .max_event_age
            .is_some_and(|age| event.occurred().age(Time::now()) > age);
        if too_old {
            self.metrics.too_old.inc();
        }
        too_old
    }

    /// Gives the queue back after there was room, and says how long the router has waited lately.
    pub fn put_back(&self, queue: QueueSender, waited: Duration) {
        let mut state = self.state();
        state.waited = waited;
        if !state.closed {
            state.queue = Some(queue);
        }
    }

    /// From `marks` on nobody serves the receiver.
    pub fn park(&self, marks: &[Mark]) {
        let mut state = self.state();
        state.have(marks);
        state.served_by = ServedBy::Nobody;
        state.waited = Duration::ZERO;
        for missed in &mut state.missed {
            missed.returning = false;
        }
        self.metrics.parked.set(f64::from(u8::from(!state.closed)));
    }

    /// A catch-up serves the receiver.
    pub fn serve(&self, backlog: &Arc<Backlog>) {
        let mut state = self.state();
        for (missed, watch) in state.missed.iter_mut().zip(backlog.watches()) {
            missed.keep_to(watch.read().history);
        }
        state.served_by = ServedBy::CatchUp(Arc::clone(backlog));
    }

    /// Whether the receiver has had an event before it was parked.
    pub fn has_had(&self, event: &Event) -> bool {
        self.state().has_had(event)
    }

    /// A catch-up has found an event, which the router has offered by then or not.
    pub fn found(&self, origin: Origin, has_routed: bool) {
        let mut state = self.state();
        if let Some(missed) = state.missed.get_mut(origin.watch) {
            missed.found(origin.version, has_routed);
        }
    }

    /// The router serves the receiver again, which has had everything up to `marks`.
    pub fn return_to(&self, router: &Arc<Backlog>, marks: &[Mark], queue: QueueSender) {
        let mut state = self.state();
        state.have(marks);
        state.served_by = ServedBy::Router(Arc::clone(router));
        for missed in &mut state.missed {
            missed.returning = true;
        }
        if !state.closed {
            state.queue = Some(queue);
        }
        self.metrics.parked.set(0.0);
        info!(receiver = self.name, "the receiver has caught up");
    }

    /// Counts what is gone for good, watch by watch, of what the receiver has missed: when the router, which is at `marks`, is
    /// past what the catch-up has found. False while some watch is not that far.
    pub fn close_accounts(&self, marks: &[Mark]) -> bool {
        let mut state = self.state();
        let State { missed, had, .. } = &mut *state;
        let mut expired = 0;
        for (missed, (had, mark)) in missed.iter_mut().zip(had.iter().zip(marks)) {
            if missed.returning && mark >= had {
                expired += std::mem::take(missed).events();
            }
        }
        if expired > 0 {
            self.metrics.expired.inc_by(expired);
            warn!(
                receiver = self.name,
                events = expired,
                "the API server had forgotten events before the receiver could take them"
            );
        }
        !state.missed.iter().any(|missed| missed.returning)
    }

    /// What it has missed was by other routes than what it will be found by: there is nothing to compare.
    pub fn forget_missed(&self) {
        let mut state = self.state();
        state.missed.iter_mut().for_each(Missed::forget);
    }

    /// How many events have passed by that it has not been given since.
    pub fn missed(&self) -> u64 {
        self.state().missed.iter().map(Missed::events).sum()
    }

    /// The receiver has been removed: its queue ends, and what it has missed while it was parked is given up.
    pub fn remove(&self) {
        self.close();
        let given_up = self.missed();
        self.forget_missed();
        self.metrics.parked.set(0.0);
        self.metrics.removed.inc_by(given_up);
        let held = self.left();
        if held > 0 || given_up > 0 {
            warn!(
                receiver = self.name,
                held,
                given_up,
                "the receiver was removed: it delivers what it holds, and does not get what it has missed"
            );
        }
    }

    /// Whether the receiver was removed while the router waited for it with an event, which is given up too.
    pub fn gives_up(&self) -> bool {
        let is_removed = self.state().closed;
        self.metrics.removed.inc_by(u64::from(is_removed));
        is_removed
    }

    /// Nothing more comes for the receiver: its queue ends.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.queue = None;
    }

    /// How many events are in its queue, or with its sink.
    pub fn left(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of events"
        )]
        let in_flight = self.metrics.in_flight.get() as u64;
        in_flight + u64::try_from(self.queue.state().events).unwrap_or(0)
    }

    /// What it does, in a word, for people.
    pub fn condition(&self) -> &'static str {
        match self.state().served_by {
            ServedBy::Nobody => "parked",
            ServedBy::CatchUp(_) => "catching up",
            ServedBy::Router(_) if self.is_retrying() => "retrying",
            ServedBy::Router(_) => "delivering",
        }
    }

    fn is_retrying(&self) -> bool {
        let failure = self.metrics.latest.failure.get();
        failure.is_some_and(|failure| failure.goes_on)
    }

    /// Whether the router serves it.
    pub fn is_routed(&self) -> bool {
        matches!(self.state().served_by, ServedBy::Router(_))
    }

    /// By watch, up to where those who served it before have given it everything.
    pub fn had(&self) -> Vec<Mark> {
        self.state().had.clone()
    }

    /// By watch, up to where everything that is meant for the receiver is settled.
    pub fn marks(&self) -> Vec<Mark> {
        let state = self.state();
        let mut marks = state.had.clone();
        if let ServedBy::Router(backlog) | ServedBy::CatchUp(backlog) = &state.served_by {
            raise(&mut marks, &backlog.routed());
        }
        drop(state);
        self.queue.lower_to_unsettled(&mut marks);
        // What is listed is read again from where the one is that is furthest behind: that says nothing of what this one had.
        raise(&mut marks, &self.begun);
        marks
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Whether an event is one of those that the receiver was given before. One whose version is no number never is.
    fn has_had(&self, event: &Event) -> bool {
        let origin = event.origin;
        let had = self.had.get(origin.watch);
        origin.version.version > 0 && had.is_some_and(|had| origin.version <= *had)
    }

    fn have(&mut self, marks: &[Mark]) {
        raise(&mut self.had, marks);
    }
}

fn raise(marks: &mut [Mark], to: &[Mark]) {
    for (mark, &to) in marks.iter_mut().zip(to) {
        *mark = to.max(*mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchQueue, queue};
    use crate::enrich::Enricher;
    use crate::intake::Intake;
    use crate::metrics::Metrics;

    fn event(watch: usize, version: u64) -> Arc<Event> {
        Arc::new(Event {
            origin: Origin {
                watch,
                version: at(version),
                watched_since: Some(at(10)),
                ..Origin::default()
            },
            ..Event::default()
        })
    }

    fn at(version: u64) -> Mark {
        Mark {
            history: 0,
            version,
        }
    }

    /// An outlet of two watches that is parked at 10 and has been offered 11 to 13 of each; its queue's two ends, and the
    /// router's backlog.
    fn parked() -> (Outlet, QueueSender, BatchQueue, Arc<Backlog>) {
        let (sender, queued) = queue(1 << 20);
        let metrics = Metrics::new(None).unwrap();
        let handles = metrics.receiver("r", &sender.probe());
        let watches = vec![Arc::default(), Arc::default()];
        let (events, read) = queue(1);
        let intake = Intake::new(read, events.probe(), Enricher::default(), watches);
        let backlog = Arc::clone(intake.backlog());
        let had = vec![at(10); 2];
        let (spare, _) = queue(1);
        let outlet = Outlet::new(
            "r".into(),
            spare,
            handles,
            had.clone(),
            Arc::clone(&backlog),
        );
        outlet.park(&had);
        for (watch, version) in [(0, 11), (0, 12), (0, 13), (1, 11), (1, 12), (1, 13)] {
            assert!(matches!(
                outlet.offer(&event(watch, version), Policy::default(), None),
                Offer::Done(Fate::Parked)
            ));
        }
        (outlet, sender, queued, backlog)
    }

    #[test]
    fn what_is_gone_is_counted_when_the_router_is_past_what_was_found_in_each_watch() {
        let (outlet, sender, _queued, backlog) = parked();
        outlet.found(event(0, 13).origin, true);
        outlet.found(event(1, 12).origin, true);
        outlet.return_to(&backlog, &[at(13), at(20)], sender);
        let expired = || outlet.metrics.expired.get();
        assert!(!outlet.close_accounts(&[at(13), at(19)]));
        assert_eq!(expired(), 2);
        assert!(!outlet.close_accounts(&[at(13), at(19)]));
        assert_eq!(expired(), 2, "once");
        // The router comes to one that the catch-up has found first.
        outlet.found(event(1, 15).origin, false);
        outlet.offer(&event(1, 15), Policy::default(), None);
        assert!(outlet.close_accounts(&[at(13), at(20)]));
        assert_eq!(expired(), 4);
    }

    #[test]
    fn routes_that_change_leave_nothing_to_compare() {
        let (outlet, sender, _queued, backlog) = parked();
        outlet.forget_missed();
        outlet.offer(&event(0, 14), Policy::default(), None);
        // Found, and none of those that were counted.
        outlet.found(event(0, 12).origin, true);
        outlet.return_to(&backlog, &[at(14); 2], sender);
        assert!(outlet.close_accounts(&[at(14); 2]));
        assert_eq!(outlet.metrics.expired.get(), 1, "14");
    }
}
