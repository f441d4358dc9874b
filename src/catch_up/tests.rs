//! Router, receivers, catch-up and checkpoint together against a model of the API server, in paused time.
//!
//! What is checked is conservation: whatever sinks, the API server's memory and crashes do, every version of an event that
//! the API server remembers is taken in the end, marks are never ahead of that, and what is forgotten is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::*;
use crate::batch::BatchLimits;
use crate::config::Config;
use crate::dead_letter::{DeadLetter, DeadLetterConfig};
use crate::event::Event;
use crate::mark::Origin;
use crate::metrics::Metrics;
use crate::outlet::Policy;
use crate::pipeline::compile;
use crate::receiver::{Delivery, Receiver};
use crate::retry::RetryLimits;
use crate::router::{Leg, Router};
use crate::sink::preview::Preview;
use crate::sink::{Receipt, SendError, Sink};

mod scripted;

/// An API server's Events: an object is a number, and of kind Warning if that is odd.
#[derive(Default)]
struct Server {
    state: Mutex<Log>,
    more: Notify,
}

#[derive(Default, Clone)]
struct Log {
    version: u64,
    /// What happened, by version: an object was written, or is gone.
    changes: BTreeMap<u64, Change>,
    /// What is there, by its object, and its version.
    live: BTreeMap<u32, u64>,
    /// Watches can't begin before this version.
    compacted: u64,
}

#[derive(Clone, Copy)]
enum Change {
    Written(u32),
    Gone,
}

impl Server {
    fn change(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.state.lock().unwrap());
        self.more.notify_waiters();
    }

    fn write(&self, object: u32) {
        self.change(|log| {
            log.version += 1;
            log.changes.insert(log.version, Change::Written(object));
            log.live.insert(object, log.version);
        });
    }

    fn delete(&self, object: u32) {
        self.change(|log| {
            if log.live.remove(&object).is_some() {
                log.version += 1;
                log.changes.insert(log.version, Change::Gone);
            }
        });
    }

    /// As the source does: a watch from where it was, or a list where the server no longer knows.
    async fn watch(
        self: Arc<Self>,
        progress: Arc<Progress>,
        events: QueueSender,
        unseen: Arc<Mutex<BTreeSet<u64>>>,
    ) {
        let mut since = progress.read();
        let hand_on = async |object: u32, version: u64, watched_since: Option<Mark>| {
            let resume = progress.read();
            let mut event = Event {
                kind: ["Normal", "Warning"][object as usize % 2].to_owned(),
                ..Event::default()
            };
            event.metadata.uid = object.to_string();
            event.metadata.resource_version = version.to_string();
            let origin = Origin {
                watch: 0,
                resume,
                version: resume.at(&version.to_string()),
                watched_since,
            };
            events.push(Arc::new(Event { origin, ..event })).await;
        };
        loop {
            let more = self.more.notified();
            let log = self.state.lock().unwrap().clone();
            let from = progress.read().version;
            if from < log.compacted {
                unseen
                    .lock()
                    .unwrap()
                    .extend(meant(&log, 0).split_off(&(from + 1)));
                for (&object, &version) in log.live.iter().filter(|(_, version)| **version > from) {
                    hand_on(object, version, None).await;
                }
                progress.read_to(&log.version.to_string());
                since = progress.read();
                continue;
            }
            let next = log.changes.range(from + 1..).next();
            match next {
                None => more.await,
                Some((version, change)) => {
                    if let Change::Written(object) = *change {
                        hand_on(object, *version, Some(since)).await;
                    }
                    progress.read_to(&version.to_string());
                }
            }
        }
    }
}

/// The server as the catch-up reads it.
struct ModelLog(Arc<Server>);

impl EventLog for ModelLog {
    fn read(
        &self,
        marks: &[Mark],
        events: QueueSender,
        shutdown: CancellationToken,
    ) -> (Vec<Arc<Progress>>, BoxFuture<'static, ()>) {
        let progress = Arc::new(Progress::new(marks[0]));
        let watching = Arc::clone(&self.0).watch(Arc::clone(&progress), events, Arc::default());
        let reading = async move {
            shutdown.run_until_cancelled(watching).await;
        };
        (vec![progress], reading.boxed())
    }

    fn enricher(&self) -> Enricher {
        Enricher::default()
    }
}

/// What one sink has taken, in order, across restarts.
#[derive(Default)]
struct Taken {
    down: AtomicBool,
    versions: Mutex<Vec<u64>>,
    /// Attempts, which decide what is taken of a batch at a time.
    attempts: Mutex<u32>,
}

struct ModelSink(Arc<Taken>);

impl Sink for ModelSink {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        async move {
            // Batches on their way together end in any order.
            let millis = 20 + 13 * (batch[0].origin.version.version % 4);
            sleep(Duration::from_millis(millis)).await;
            if self.0.down.load(Ordering::Relaxed) {
                return Err(SendError::transient("down"));
            }
            let mut attempts = self.0.attempts.lock().unwrap();
            *attempts += 1;
            let mut retry = Vec::new();
            for (at, event) in batch.iter().enumerate() {
                if attempts.is_multiple_of(3) && at % 2 == 1 {
                    retry.push(at);
                } else {
                    self.0
                        .versions
                        .lock()
                        .unwrap()
                        .push(event.origin.version.version);
                }
            }
            Ok(Receipt {
                retry,
                ..Receipt::default()
            })
        }
        .boxed()
    }

    fn reads_object(&self) -> bool {
        false
    }

    fn preview(&self, _: &Event) -> Result<Preview, String> {
        Ok(Preview::default())
    }
}

fn delivery(sink: &Arc<Taken>) -> Delivery {
    Delivery {
        sink: Box::new(ModelSink(Arc::clone(sink))),
        limits: BatchLimits {
            max_events: 4,
            max_bytes: 1 << 20,
            max_delay: Duration::from_millis(50),
        },
        max_in_flight: 3,
        retry: RetryLimits {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(1),
        },
        dead_letter: DeadLetter::new("model", DeadLetterConfig::default()),
    }
}

const CONFIG: &str = "
route: {routes: [{match: [{receiver: all}]}, {match: [{receiver: warnings, type: Warning}]}]}
receivers: [{name: all, stdout: {}}, {name: warnings, stdout: {}}]
";
const RECEIVERS: [&str; 2] = ["all", "warnings"];

fn table(config: &str, legs: Vec<Leg>) -> Table {
    let config = Config::parse(config, &|_| None).unwrap().config;
    Table::new(compile(&config).unwrap(), legs)
}

/// A process.
struct Process {
    tasks: JoinSet<()>,
    tables: watch::Sender<Arc<Table>>,
    metrics: Metrics,
    /// What the first watch did not see while it was open: forgotten by then, or in a list.
    unseen: Arc<Mutex<BTreeSet<u64>>>,
}

impl Process {
    /// Starts where the receivers' marks are.
    fn start(server: &Arc<Server>, sinks: &[Arc<Taken>; 2], marks: [Mark; 2]) -> Self {
        let metrics = Metrics::new(None).unwrap();
        let mut tasks = JoinSet::new();
        let progress = Arc::new(Progress::new(marks[0].min(marks[1])));
        let (events, queued) = queue(20_000);
        let intake = Intake::new(
            queued,
            events.probe(),
            Enricher::default(),
            vec![Arc::clone(&progress)],
        );
        let backlog = Arc::clone(intake.backlog());
        let mut legs = Vec::new();
        for at in 0..2 {
            let (sender, queued) = queue(8_000);
            let handles = metrics.receiver(RECEIVERS[at], &sender.probe());
            let delivery = delivery(&sinks[at]);
            let name = RECEIVERS[at].to_owned();
            let (receiver, changes) =
                Receiver::new(name.clone(), queued, delivery, handles.clone());
            let outlet = Outlet::new(name, sender, handles, vec![marks[at]], Arc::clone(&backlog));
            legs.push(Leg {
                outlet: Arc::new(outlet),
                policy: Policy::default(),
                reads_object: false,
                changes,
            });
            tasks.spawn(
                receiver
                    .run(CancellationToken::new())
                    .map(|ended| ended.unwrap()),
            );
        }
        let (tables, table) = watch::channel(Arc::new(table(CONFIG, legs)));
        let (parking, parked) = mpsc::unbounded_channel();
        let router = Router::new(intake, table.clone(), Some(parking), metrics.router());
        tasks.spawn(router.run());
        let catch_up = CatchUp::new(Arc::new(ModelLog(Arc::clone(server))), backlog, table);
        tasks.spawn(catch_up.run(parked, CancellationToken::new()));
        let unseen = Arc::default();
        tasks.spawn(Arc::clone(server).watch(progress, events, Arc::clone(&unseen)));
        Self {
            tasks,
            tables,
            metrics,
            unseen,
        }
    }

    /// Reads a configuration anew that has changed for nobody.
    fn reload(&self) {
        let legs = self.tables.borrow().legs.clone();
        self.tables.send_replace(Arc::new(table(CONFIG, legs)));
    }

    fn marks(&self) -> [Mark; 2] {
        let table = self.tables.borrow();
        [0, 1].map(|at: usize| table.legs[at].outlet.marks()[0])
    }

    fn expired(&self) -> [u64; 2] {
        let table = self.tables.borrow();
        [0, 1].map(|at: usize| table.legs[at].outlet.metrics.expired.get())
    }

    fn is_parked(&self, at: usize) -> bool {
        !self.tables.borrow().legs[at].outlet.is_routed()
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Objects are written.
    Write(Vec<u32>),
    Delete(u32),
    /// The server forgets what led to what there is now.
    Compact,
    Down(usize),
    Up(usize),
    Wait(u64),
    /// Kill the process, and start it from the checkpoint that was written last.
    Crash,
    /// Another process starts from that checkpoint, so long before this one ends.
    HandOver(u64),
    Checkpoint,
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(0_u32..40, 1..30).prop_map(Step::Write),
        2 => (0_u32..40).prop_map(Step::Delete),
        1 => Just(Step::Compact),
        2 => (0_usize..2).prop_map(Step::Down),
        2 => (0_usize..2).prop_map(Step::Up),
        4 => (1_u64..5_000).prop_map(Step::Wait),
        1 => Just(Step::Crash),
        1 => (1_u64..5_000).prop_map(Step::HandOver),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Reload),
    ]
}

/// The versions that a receiver is to get of those written.
fn meant(log: &Log, at: usize) -> BTreeSet<u64> {
    let written = log
        .changes
        .iter()
        .filter_map(|(version, change)| match change {
            Change::Written(object) => Some((*version, *object)),
            Change::Gone => None,
        });
    let meant = written.filter(|(_, object)| at == 0 || object % 2 == 1);
    meant.map(|(version, _)| version).collect()
}

fn taken(sink: &Taken) -> Vec<u64> {
    sink.versions.lock().unwrap().clone()
}

/// A mark says nothing that is not so.
fn check_marks(server: &Server, sinks: &[Arc<Taken>; 2], marks: [Mark; 2], was_compacted: bool) {
    let log = server.state.lock().unwrap().clone();
    for at in 0..2 {
        let taken: BTreeSet<u64> = taken(&sinks[at]).into_iter().collect();
        let live: BTreeSet<u64> = log.live.values().copied().collect();
        let ahead = meant(&log, at).into_iter().filter(|version| {
            *version <= marks[at].version && !taken.contains(version)
                // What is forgotten can't be taken.
                && (!was_compacted || live.contains(version))
        });
        assert_eq!(
            ahead.collect::<Vec<_>>(),
            [0; 0],
            "{} at {:?}",
            RECEIVERS[at],
            marks[at]
        );
    }
}

async fn conserve(steps: Vec<Step>) {
    let server = Arc::new(Server::default());
    let sinks = [Arc::default(), Arc::default()];
    let mut saved = [Mark::default(); 2];
    let mut process = Process::start(&server, &sinks, saved);
    let (mut was_compacted, mut has_crashed) = (false, false);
    for step in steps {
        match step {
            Step::Write(objects) => objects.into_iter().for_each(|object| server.write(object)),
            Step::Delete(object) => server.delete(object),
            Step::Compact => {
                was_compacted = true;
                server.change(|log| log.compacted = log.version);
            }
            Step::Down(at) => sinks[at].down.store(true, Ordering::Relaxed),
            Step::Up(at) => sinks[at].down.store(false, Ordering::Relaxed),
            Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
            Step::Checkpoint => saved = process.marks(),
            Step::Reload => process.reload(),
            Step::Crash => {
                has_crashed = true;
                process.tasks.shutdown().await;
                process = Process::start(&server, &sinks, saved);
            }
            Step::HandOver(millis) => {
                has_crashed = true;
                let successor = Process::start(&server, &sinks, saved);
                let mut before = std::mem::replace(&mut process, successor);
                sleep(Duration::from_millis(millis)).await;
                check_marks(&server, &sinks, before.marks(), was_compacted);
                before.tasks.shutdown().await;
            }
        }
        check_marks(&server, &sinks, process.marks(), was_compacted);
    }
    for sink in &sinks {
        sink.down.store(false, Ordering::Relaxed);
    }
    // What finds out that all is read, and closes the accounts.
    for object in [40, 41, 40, 41] {
        sleep(Duration::from_secs(120)).await;
        server.write(object);
    }
    sleep(Duration::from_secs(120)).await;

    let log = server.state.lock().unwrap().clone();
    for at in 0..2 {
        let name = RECEIVERS[at];
        assert!(!process.is_parked(at), "{name} is back");
        let all = taken(&sinks[at]);
        let distinct: BTreeSet<u64> = all.iter().copied().collect();
        let meant = meant(&log, at);
        assert!(
            distinct.is_subset(&meant),
            "{name} has nothing that is not meant for it"
        );
        let missing: Vec<u64> = meant.difference(&distinct).copied().collect();
        let live: BTreeSet<u64> = log.live.values().copied().collect();
        assert!(
            missing.iter().all(|version| !live.contains(version)),
            "{name} misses {missing:?}"
        );
        if !was_compacted {
            assert_eq!(missing, [0; 0], "{name} misses nothing that is remembered");
        }
        if !has_crashed && !was_compacted {
            assert_eq!(all.len(), distinct.len(), "{name} has nothing twice");
        }
        assert_eq!(
            process.marks()[at].version,
            log.version,
            "{name} is up to date"
        );
        if !has_crashed {
            let unseen = process.unseen.lock().unwrap().clone();
            let seen = missing.iter().filter(|version| !unseen.contains(version));
            let (expired, seen) = (process.expired()[at], seen.count() as u64);
            assert_eq!(expired, seen, "{name} is told how many: {missing:?}");
        }
    }
    drop(process.metrics);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn fault_28_every_version_that_is_remembered_is_taken(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(conserve(steps));
    }
}
