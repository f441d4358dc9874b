//! The Pipeline: everything behind the source.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::batch::{QueueSender, queue};
use crate::buffer::Buffer;
use crate::config::{Config, ConfigError, ReceiverConfig};
use crate::dead_letter::DeadLetter;
use crate::enrich::Enricher;
use crate::intake::{Backlog, Intake};
use crate::mark::{Mark, Progress};
use crate::metrics::Metrics;
use crate::outlet::{Outlet, Policy};
use crate::receiver::{Delivery, Receiver, SinkClosed};
use crate::recent::Recent;
use crate::route::Route;
use crate::router::{Leg, Parked, Router, Table};
use crate::sink::{Sink, SinkSettings};
use crate::yaml::{Located, Problem, Problems};

/// Router and receivers, built and not started.
pub struct Pipeline {
    router: Router,
    receivers: Vec<Receiver>,
    /// Who gets what.
    pub tables: watch::Sender<Arc<Table>>,
    /// What is not with the receivers yet.
    pub backlog: Arc<Backlog>,
    /// Receivers that take no more.
    pub parked: mpsc::UnboundedReceiver<Parked>,
    metrics: Arc<Metrics>,
}

/// What its events come from.
pub struct Origins<'a> {
    /// The watches, by number; none for events that can't be read again.
    pub watches: Vec<Arc<Progress>>,
    /// By watch, up to where a receiver has had everything.
    pub had: &'a dyn Fn(&str) -> Vec<Mark>,
}

/// Something has ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum PartEnded {
    /// Nobody is left to deliver to.
    #[error(transparent)]
    SinkClosed(#[from] SinkClosed),
    /// A bug: it has returned; or panicked, in builds that survive that, which releases do not.
    #[error("a part of the program has ended unexpectedly")]
    Bug(#[source] Option<JoinError>),
}

/// Which part has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One that has to be there all the time.
    Essential,
    /// A receiver, which ends when its queue does.
    Receiver,
}

/// What is running.
pub type Tasks = JoinSet<Result<Part, SinkClosed>>;

/// The queue between source and router: a page of a list, or a burst.
const SOURCE_QUEUE_BYTES: usize = 2 << 20;

// === impl Origins ===

impl Origins<'_> {
    /// Of events that can't be read again.
    pub fn none() -> Self {
        Self {
            watches: Vec::new(),
            had: &|_| Vec::new(),
        }
    }
}

// === impl Pipeline ===

impl Pipeline {
    /// Builds router and receivers, and returns where events go in. Without a cluster, the enricher is one that looks
    /// nothing up. People may see its events in `recent`.
    pub fn build(
        config: Config,
        path: &str,
        enricher: Enricher,
        origins: Origins<'_>,
        metrics: Arc<Metrics>,
        recent: Option<Arc<Recent>>,
    ) -> anyhow::Result<(QueueSender, Self)> {
        let can_park = !origins.watches.is_empty();
        let (events, queued) = queue(SOURCE_QUEUE_BYTES);
        let intake = Intake::new(queued, events.probe(), enricher, origins.watches);
        let backlog = Arc::clone(intake.backlog());
        // Whoever loaded the configuration has told of its warnings.
        let route = compile(&config).map_err(|problem| ConfigError::of(path, vec![problem]))?;
        let (mut legs, mut receivers) = (Vec::new(), Vec::new());
        for config in config.receivers {
            let location = config.location.clone();
            let had = (origins.had)(&config.name);
            let (leg, receiver) = build_receiver(config, had, &backlog, &metrics)
                .map_err(|problems| ConfigError::of(path, located(problems, &location)))?;
            legs.push(leg);
            receivers.push(receiver);
        }
        let (tables, table) = watch::channel(Arc::new(Table::new(route, legs)));
        let (parking, parked) = mpsc::unbounded_channel();
        let parking = Some(parking).filter(|_| can_park);
        let router = Router::new(intake, table, parking, metrics.router()).shown_to(recent);
        let pipeline = Self {
            router,
            receivers,
            tables,
            backlog,
            parked,
            metrics,
        };
        Ok((events, pipeline))
    }

    /// The sinks of the receivers, in their order, for a look at what they would send.
    pub fn sinks(config: Config) -> Result<Vec<Box<dyn Sink>>, Vec<Problem>> {
        let (mut sinks, mut problems) = (Vec::new(), Vec::new());
        for receiver in config.receivers {
            let settings = settings(&receiver);
            match receiver.sink.build(settings) {
                Ok(sink) => sinks.push(sink),
                Err(found) => problems.extend(located(found, &receiver.location)),
            }
        }
        if problems.is_empty() {
            Ok(sinks)
        } else {
            Err(problems)
        }
    }

    /// All that is wrong with receivers that only building them can tell: templates, URLs, files of credentials and certificates.
    pub fn problems(receivers: Vec<ReceiverConfig>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for config in receivers {
            let (location, is_whole) = (config.location.clone(), config.is_whole);
            if let Err(mut found) = build_delivery(config) {
                if !is_whole {
                    found.retain_placed();
                }
                problems.extend(located(found, &location));
            }
        }
        problems
    }

    /// The buffers that can't be used. Another process may hold one of them.
    pub fn closed_buffers(receivers: &[ReceiverConfig]) -> Vec<Problem> {
        let problems = receivers.iter().filter_map(|config| {
            let error = config.buffer.as_ref()?.try_open().err()?;
            let told = Problem::nowhere(crate::telemetry::chain(&error));
            Some(located(told.into(), &config.location))
        });
        problems.flatten().collect()
    }

    /// What comes of the events, now and at the end.
    pub fn account(&self) -> Account {
        Account {
            backlog: Arc::clone(&self.backlog),
            tables: self.tables.subscribe(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Starts router and receivers in `tasks`, and returns who is parked.
    pub fn spawn(
        self,
        tasks: &mut Tasks,
        ending: &CancellationToken,
    ) -> mpsc::UnboundedReceiver<Parked> {
        let router = self.router.run();
        tasks.spawn(async move {
            router.await;
            Ok(Part::Essential)
        });
        for receiver in self.receivers {
            spawn_receiver(receiver, tasks, ending);
        }
        self.parked
    }

    /// Runs until the input is closed and everything that went in is settled; once `ending`, nobody waits long any more.
    pub async fn run(self, ending: &CancellationToken) -> Result<(), PartEnded> {
        let mut tasks = JoinSet::new();
        self.spawn(&mut tasks, ending);
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| PartEnded::Bug(Some(error)))??;
        }
        Ok(())
    }
}

/// Starts a receiver, which ends when its queue does.
pub fn spawn_receiver(receiver: Receiver, tasks: &mut Tasks, ending: &CancellationToken) {
    let receiver = receiver.run(ending.clone());
    tasks.spawn(async move { receiver.await.map(|()| Part::Receiver) });
}

/// The routes, whose receivers are those of the configuration in their order.
pub fn compile(config: &Config) -> Result<Route, Problem> {
    let receivers = config.receivers.iter();
    let names: Vec<&str> = receivers.map(|receiver| receiver.name.as_str()).collect();
    Route::compile(&config.route, &names, &mut Vec::new())
}

/// What is missing is nowhere in the file: that is told of the receiver.
pub fn located(problems: Problems, receiver: &Located<String>) -> Vec<Problem> {
    let name = &receiver.value;
    let problems = problems.into_vec().into_iter();
    problems
        .map(|problem| match problem.position.line {
            0 => receiver.problem(format!("the receiver `{name}`: {}", problem.message)),
            _ => problem,
        })
        .collect()
}

/// How a receiver's events are delivered.
pub fn build_delivery(config: ReceiverConfig) -> Result<Delivery, Problems> {
    let settings = settings(&config);
    Ok(Delivery {
        sink: config.sink.build(settings)?,
        limits: config.batch,
        max_in_flight: config.max_in_flight,
        retry: config.retry,
        dead_letter: DeadLetter::new(&config.name, config.dead_letter),
    })
}

/// What the router keeps to for a receiver.
pub fn policy(config: &ReceiverConfig) -> Policy {
    Policy {
        on_full: config.on_full,
        max_event_age: config.max_event_age,
    }
}

fn settings(config: &ReceiverConfig) -> SinkSettings {
    SinkSettings {
        timeout: config.timeout,
        compat: config.compat,
    }
}

/// A receiver, and the way to it.
pub fn build_receiver(
    config: ReceiverConfig,
    had: Vec<Mark>,
    backlog: &Arc<Backlog>,
    metrics: &Metrics,
) -> Result<(Leg, Receiver), Problems> {
    let (name, policy, queue_bytes) = (config.name.clone(), policy(&config), config.queue_bytes);
    let buffer = config.buffer.clone();
    let delivery = build_delivery(config)?;
    let (sender, queued) = queue(queue_bytes);
    // What is shown is the one before the sink: it says whether that takes events.
    let (before_sink, queued, buffer) = match buffer {
        Some(config) => {
            let (outgoing, buffered) = queue(queue_bytes);
            let before_sink = outgoing.probe();
            let metrics = metrics.buffer(&name);
            let buffer = Buffer::open(&config, &name, queued, outgoing, metrics);
            let told = |error| Problem::nowhere(crate::telemetry::chain(&error));
            (before_sink, buffered, Some(buffer.map_err(told)?))
        }
        None => (sender.probe(), queued, None),
    };
    let handles = metrics.receiver(&name, &before_sink);
    let reads_object = delivery.sink.reads_object();
    let (receiver, changes) = Receiver::new(name.clone(), queued, delivery, handles.clone());
    let outlet = Outlet::new(name, sender, handles, had, Arc::clone(backlog));
    let leg = Leg {
        outlet: Arc::new(outlet),
        policy,
        reads_object,
        changes,
    };
    Ok((leg, receiver.behind(buffer)))
}

/// What is held, and what came of the rest.
#[derive(Clone)]
pub struct Account {
    backlog: Arc<Backlog>,
    tables: watch::Receiver<Arc<Table>>,
    metrics: Arc<Metrics>,
}

// === impl Account ===

impl Account {
    /// Who gets what, at the moment.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.tables.borrow())
    }

    /// How far each watch is.
    pub fn read(&self) -> Vec<Mark> {
        let watches = self.backlog.watches().iter();
        watches.map(|watch| watch.read()).collect()
    }

    /// How many events were handed to dead letters.
    pub fn rejected(&self) -> u64 {
        self.sum(|outlet| outlet.metrics.rejected.get())
    }

    /// How many events were taken.
    pub fn delivered(&self) -> u64 {
        self.sum(|outlet| outlet.metrics.delivered.get())
    }

    /// How many events throttles have held back.
    pub fn throttled(&self) -> u64 {
        self.sum(|outlet| outlet.metrics.throttled.get())
    }

    /// How many deliveries are not settled; an event that is not routed yet counts as one.
    pub fn left(&self) -> u64 {
        let unrouted = u64::try_from(self.backlog.events()).unwrap_or(u64::MAX);
        unrouted + self.sum(Outlet::left)
    }

    fn sum(&self, count: impl Fn(&Outlet) -> u64) -> u64 {
        let table = self.tables.borrow();
        table.legs.iter().map(|leg| count(&leg.outlet)).sum()
    }

    /// Says what is left unacknowledged at the end. If `kept`, the next process reads it again; else it is lost.
    pub fn close(&self, kept: bool) {
        let unrouted = self.backlog.events();
        if unrouted > 0 {
            warn!(
                events = unrouted,
                "ended with events that no receiver had room for"
            );
        }
        self.hand_over();
        let table = self.table();
        for outlet in table.outlets() {
            let (receiver, events) = (&outlet.name, outlet.left());
            if events == 0 {
                continue;
            }
            // Nobody reads them again for one that is not there any more.
            let is_there = table.legs.iter().any(|leg| leg.outlet.name == *receiver);
            if kept && is_there {
                info!(
                    receiver,
                    events,
                    "ended with events that were not taken: they are read again at the next start"
                );
            } else {
                warn!(receiver, events, "ended with events that were not taken");
                self.metrics.abandoned(receiver, events);
            }
        }
    }

    /// Says what receivers have missed, which whoever goes on from the checkpoint knows nothing of.
    pub fn hand_over(&self) {
        for outlet in self.table().outlets() {
            let missed = outlet.missed();
            if missed > 0 {
                warn!(
                    receiver = outlet.name,
                    events = missed,
                    "ended before the receiver had what it has missed: the next start reads what is left of it, and counts none that have expired"
                );
            }
        }
    }
}
