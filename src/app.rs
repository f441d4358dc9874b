//! The picture: a **Source** watches Events; the **Router** asks the **Route** tree which **Receivers** want each one; a
//! Receiver groups them into a **Batch** and hands it to its **Sink** until the Sink has taken or refused every event.
//!
//! [`App::build`] joins the parts and starts nothing. [`App::run`] starts everything, and is the order of shutdown too:
//! the sources stop, their queue closes, the router ends, the receivers' queues close, the receivers, which no longer wait
//! long between attempts, deliver what they hold and end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use futures::FutureExt as _;
use kube::Client;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::batch::{BatchQueue, QueueProbe, QueueSender, queue};
use crate::config::{Config, ConfigError, ReceiverConfig};
use crate::dead_letter::DeadLetter;
use crate::enrich::Enricher;
use crate::health::WatchHealth;
use crate::metrics::{Metrics, ReceiverMetrics};
use crate::receiver::{Receiver, SinkClosed};
use crate::route::Route;
use crate::router::{InHand, Outlet, Router};
use crate::sink::{Sink, SinkSettings};
use crate::source::{Source, SourceConfig};
use crate::yaml::{Located, Problem, Problems};

/// Everything behind the source, built and not started.
pub struct Pipeline {
    router: Router,
    receivers: Vec<Receiver>,
    account: Account,
}

/// The whole program, built and not started.
pub struct App {
    sources: Vec<Source>,
    pipeline: Pipeline,
    /// The state of each watch.
    pub health: Vec<Arc<WatchHealth>>,
}

/// What a receiver holds, for the account at the end.
#[derive(Clone)]
struct Held {
    receiver: String,
    queue: QueueProbe,
    metrics: ReceiverMetrics,
}

/// A part that has ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum PartEnded {
    /// Nobody is left to deliver to.
    #[error(transparent)]
    SinkClosed(#[from] SinkClosed),
    /// A bug: it has panicked, or returned.
    #[error("a part of the program has ended unexpectedly")]
    Bug(#[source] Option<JoinError>),
}

/// What is running.
type Tasks = JoinSet<Result<(), SinkClosed>>;

/// The queue between source and router: a page of a list, or a burst.
const SOURCE_QUEUE_BYTES: usize = 2 << 20;
/// How long a watch is kept open, at least; at most half as long again.
const WATCH_TIMEOUT: Duration = Duration::from_mins(2);
/// How long past that its connection counts as alive.
const WATCH_GRACE: Duration = Duration::from_secs(10);

// === impl Pipeline ===

impl Pipeline {
    /// Builds router and receivers, and returns where events go in. Without a cluster, the enricher is one that looks
    /// nothing up.
    pub fn build(
        config: Config,
        path: &str,
        enricher: Enricher,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<(QueueSender, Self)> {
        let (events, queued) = queue(SOURCE_QUEUE_BYTES);
        let unrouted = events.probe();
        Ok((
            events,
            Self::build_from(queued, unrouted, config, path, enricher, metrics)?,
        ))
    }

    fn build_from(
        events: BatchQueue,
        unrouted: QueueProbe,
        config: Config,
        path: &str,
        enricher: Enricher,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let names: Vec<&str> = config
            .receivers
            .iter()
            .map(|receiver| receiver.name.as_str())
            .collect();
        // Whoever loaded the configuration has told of its warnings.
        let route = Route::compile(&config.route, &names, &mut Vec::new()).map_err(|problem| {
            ConfigError::Invalid {
                path: path.to_owned(),
                problem,
            }
        })?;
        let (mut outlets, mut receivers, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for config in config.receivers {
            let (name, location) = (config.name.clone(), config.location.clone());
            let (outlet, receiver) = build_receiver(config, &metrics)
                .map_err(|problems| ConfigError::of(path, located(problems, &location)))?;
            held.push(Held {
                receiver: name,
                queue: outlet.queue.probe(),
                metrics: outlet.metrics.clone(),
            });
            outlets.push(outlet);
            receivers.push(receiver);
        }
        let router = Router::new(events, enricher, route, outlets, metrics.router());
        let in_hand = router.in_hand();
        Ok(Self {
            router,
            receivers,
            account: Account {
                unrouted,
                in_hand,
                held,
                metrics,
            },
        })
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
    pub fn problems(receivers: Vec<ReceiverConfig>, metrics: &Metrics) -> Vec<Problem> {
        let mut problems = Vec::new();
        for config in receivers {
            let (location, is_whole) = (config.location.clone(), config.is_whole);
            if let Err(mut found) = build_receiver(config, metrics) {
                if !is_whole {
                    found.retain_placed();
                }
                problems.extend(located(found, &location));
            }
        }
        problems
    }

    /// What comes of the events, now and at the end.
    pub fn account(&self) -> Account {
        self.account.clone()
    }

    /// Starts router and receivers in `tasks`.
    fn spawn(self, tasks: &mut Tasks, ending: &CancellationToken) {
        tasks.spawn(self.router.run().map(Ok));
        for receiver in self.receivers {
            tasks.spawn(receiver.run(ending.clone()));
        }
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

/// What is missing is nowhere in the file: that is told of the receiver.
fn located(problems: Problems, receiver: &Located<String>) -> Vec<Problem> {
    let name = &receiver.value;
    let problems = problems.into_vec().into_iter();
    problems
        .map(|problem| match problem.position.line {
            0 => receiver.problem(format!("the receiver `{name}`: {}", problem.message)),
            _ => problem,
        })
        .collect()
}

fn settings(config: &ReceiverConfig) -> SinkSettings {
    SinkSettings {
        timeout: config.timeout,
        compat: config.compat,
    }
}

fn build_receiver(
    config: ReceiverConfig,
    metrics: &Metrics,
) -> Result<(Outlet, Receiver), Problems> {
    let settings = settings(&config);
    let sink = config.sink.build(settings)?;
    let dead_letter = DeadLetter::new(&config.name, config.dead_letter);
    let (sender, queued) = queue(config.queue_bytes);
    let metrics = metrics.receiver(&config.name, sender.probe());
    let outlet = Outlet {
        name: config.name.clone(),
        queue: sender,
        on_full: config.on_full,
        reads_object: sink.reads_object(),
        metrics: metrics.clone(),
    };
    let receiver = Receiver::new(
        config.name,
        queued,
        sink,
        config.batch,
        config.retry,
        dead_letter,
        metrics,
    );
    Ok((outlet, receiver))
}

// === impl App ===

impl App {
    /// Joins the parts.
    pub fn build(
        config: Config,
        path: &str,
        client: &Client,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let namespaces: Vec<Option<String>> = match config.namespaces.as_slice() {
            [] => vec![None],
            namespaces => namespaces.iter().cloned().map(Some).collect(),
        };
        let source = SourceConfig {
            namespace: None,
            cluster_name: config.cluster_name.clone(),
            max_event_age: config.max_event_age,
            start: None,
            watch_timeout: WATCH_TIMEOUT,
            watch_grace: WATCH_GRACE,
        };
        let enricher = match &config.lookup {
            Some(lookup) => Enricher::new(client.clone(), lookup, metrics.lookups()),
            None => Enricher::default(),
        };
        let (events, pipeline) = Pipeline::build(config, path, enricher, Arc::clone(metrics))?;
        let events = Arc::new(events);
        let (mut sources, mut health) = (Vec::new(), Vec::new());
        for namespace in namespaces {
            let deadline = WATCH_TIMEOUT + WATCH_TIMEOUT / 2 + 2 * WATCH_GRACE;
            let watch = Arc::new(WatchHealth::new(namespace.as_deref(), deadline));
            let config = SourceConfig {
                namespace,
                ..source.clone()
            };
            sources.push(Source::new(
                client.clone(),
                config,
                metrics.source(),
                Arc::clone(&watch),
                Arc::clone(&events),
            ));
            health.push(watch);
        }
        Ok(Self {
            sources,
            pipeline,
            health,
        })
    }

    /// Runs until `shutdown`, then drains for `grace` at the most.
    pub async fn run(self, shutdown: CancellationToken, grace: Duration) -> anyhow::Result<()> {
        let mut tasks = Tasks::new();
        for source in self.sources {
            tasks.spawn(source.run(shutdown.clone()).map(Ok));
        }
        let account = self.pipeline.account();
        self.pipeline.spawn(&mut tasks, &shutdown);

        tokio::select! {
            // In this order: told to stop, the sources end at once, and that is no failure.
            biased;
            () = shutdown.cancelled() => {}
            // Nothing ends before it is told to. Whatever is left would do half the work.
            ended = tasks.join_next() => {
                account.close();
                bail!(match ended {
                    Some(Ok(Err(closed))) => PartEnded::SinkClosed(closed),
                    ended => PartEnded::Bug(ended.and_then(Result::err)),
                })
            }
        }
        info!(grace = ?grace, "draining");
        let mut failed = None;
        let drained = tokio::time::timeout(grace, async {
            while let Some(ended) = tasks.join_next().await {
                let ended = ended.map_err(|error| PartEnded::Bug(Some(error)));
                failed = ended.and_then(|ended| Ok(ended?)).err().or(failed.take());
            }
        });
        let in_time = drained.await.is_ok();
        account.close();
        if let Some(error) = failed {
            bail!(error);
        }
        if !in_time {
            bail!("the grace period was over before everything was delivered");
        }
        info!("drained");
        Ok(())
    }
}

// === impl Held ===

impl Held {
    /// What is in the queue, and what its sink has not settled.
    fn left(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of events"
        )]
        let in_flight = self.metrics.in_flight.get() as u64;
        in_flight + u64::try_from(self.queue.state().events).unwrap_or(0)
    }
}

/// What is held, and what came of the rest.
#[derive(Clone)]
pub struct Account {
    unrouted: QueueProbe,
    in_hand: InHand,
    held: Vec<Held>,
    metrics: Arc<Metrics>,
}

// === impl Account ===

impl Account {
    /// How many events were handed to dead letters.
    pub fn rejected(&self) -> u64 {
        self.held
            .iter()
            .map(|held| held.metrics.rejected.get())
            .sum()
    }

    /// How many events were taken.
    pub fn delivered(&self) -> u64 {
        self.held
            .iter()
            .map(|held| held.metrics.delivered.get())
            .sum()
    }

    /// How many deliveries are not settled; an event that is not routed yet counts as one.
    pub fn left(&self) -> u64 {
        let unrouted = u64::try_from(self.unrouted()).unwrap_or(u64::MAX);
        unrouted + self.held.iter().map(Held::left).sum::<u64>()
    }

    fn unrouted(&self) -> usize {
        self.unrouted.state().events + self.in_hand.events()
    }

    /// Says what is left unacknowledged at the end.
    fn close(&self) {
        let unrouted = self.unrouted();
        if unrouted > 0 {
            warn!(
                events = unrouted,
                "ended with events that no receiver had room for"
            );
        }
        for held in &self.held {
            let left = held.left();
            if left > 0 {
                warn!(
                    receiver = held.receiver,
                    events = left,
                    "ended with events that were not taken"
                );
                self.metrics.abandoned(&held.receiver, left);
            }
        }
    }
}
