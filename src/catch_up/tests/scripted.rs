//! A receiver that is parked at 7 and takes events again, and logs that do as they are told.

use tokio::time::timeout;

use super::*;
use crate::batch::BatchQueue;

const ROUTES: &str = "route: {match: [{receiver: all}]}\nreceivers: [{name: all, stdout: {}}]";

/// The receiver, and its catch-up from a log.
struct Parking {
    /// The first watch.
    progress: Arc<Progress>,
    tables: watch::Sender<Arc<Table>>,
    catch_up: CatchUp,
    parked: mpsc::UnboundedReceiver<Parked>,
    /// What the receiver gets.
    queued: BatchQueue,
}

impl Parking {
    /// The router is at 20; the receiver's queue holds so many bytes.
    fn new(log: Arc<dyn EventLog>, room: usize) -> Self {
        let metrics = Metrics::new(None).unwrap();
        let progress = Arc::new(Progress::new(at(20)));
        progress.route(at(20));
        let (events, read) = queue(1);
        let watches = vec![Arc::clone(&progress)];
        let intake = Intake::new(read, events.probe(), Enricher::default(), watches);
        let backlog = Arc::clone(intake.backlog());
        let (sender, queued) = queue(room);
        let handles = metrics.receiver("all", &sender.probe());
        let (name, (spare, unused)) = ("all".to_owned(), queue(1));
        let (_, changes) = Receiver::new(
            name.clone(),
            unused,
            delivery(&Arc::default()),
            handles.clone(),
        );
        let had = vec![at(7)];
        let outlet = Outlet::new(name, spare, handles, had.clone(), Arc::clone(&backlog));
        outlet.park(&had);
        let outlet = Arc::new(outlet);
        let leg = Leg {
            outlet: Arc::clone(&outlet),
            policy: Policy::default(),
            reads_object: false,
            changes,
        };
        let (tables, table) = watch::channel(Arc::new(table(ROUTES, vec![leg])));
        let (parking, parked) = mpsc::unbounded_channel();
        let queue = sender;
        assert!(parking.send(Parked { outlet, queue }).is_ok());
        Self {
            progress,
            tables,
            catch_up: CatchUp::new(log, backlog, table),
            parked,
            queued,
        }
    }

    fn reload(tables: &watch::Sender<Arc<Table>>, removes: bool) {
        let mut legs = tables.borrow().legs.clone();
        if removes {
            legs.clear();
        }
        tables.send_replace(Arc::new(table(ROUTES, legs)));
    }
}

fn at(version: u64) -> Mark {
    Mark {
        history: 0,
        version,
    }
}

/// A log from which nothing ever comes; remembers from where it was read.
#[derive(Default)]
struct SilentLog(Mutex<Vec<Mark>>);

impl EventLog for SilentLog {
    fn read(
        &self,
        marks: &[Mark],
        events: QueueSender,
        _: CancellationToken,
    ) -> (Vec<Arc<Progress>>, BoxFuture<'static, ()>) {
        self.0.lock().unwrap().push(marks[0]);
        let silent = async move {
            let _events = events;
            std::future::pending::<()>().await;
        };
        (vec![Arc::new(Progress::new(marks[0]))], silent.boxed())
    }

    fn enricher(&self) -> Enricher {
        Enricher::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_catch_up_begins_anew_when_the_api_server_has_another_history() {
    let log = Arc::new(SilentLog::default());
    let parking = Parking::new(Arc::<SilentLog>::clone(&log), 1 << 20);
    let catch_up = parking.catch_up;
    let mut run = Box::pin(catch_up.run(parking.parked, CancellationToken::new()));
    assert!(timeout(LOOK / 2, &mut run).await.is_err());
    parking.progress.start_over();
    timeout(LOOK * 2, run).await.expect("it is back");
    let anew = Mark {
        history: 1,
        version: 0,
    };
    assert_eq!(*log.0.lock().unwrap(), [at(7), anew]);
}

/// A log that lists what is newer, in two halves: the second when it is told to.
#[derive(Default)]
struct ListingLog {
    read: Mutex<u32>,
    go_on: Arc<Notify>,
}

impl EventLog for ListingLog {
    fn read(
        &self,
        marks: &[Mark],
        events: QueueSender,
        _: CancellationToken,
    ) -> (Vec<Arc<Progress>>, BoxFuture<'static, ()>) {
        *self.read.lock().unwrap() += 1;
        let progress = Arc::new(Progress::new(marks[0]));
        let (list, go_on) = (Arc::clone(&progress), Arc::clone(&self.go_on));
        let reading = async move {
            for half in [[12, 9], [15, 8]] {
                for version in half {
                    let origin = Origin {
                        resume: list.read(),
                        version: at(version),
                        ..Origin::default()
                    };
                    let event = Event {
                        origin,
                        ..Event::default()
                    };
                    events.push(Arc::new(event)).await;
                }
                go_on.notified().await;
            }
            list.read_to("20");
            std::future::pending::<()>().await;
        };
        (vec![progress], reading.boxed())
    }

    fn enricher(&self) -> Enricher {
        Enricher::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_leaves_a_list_that_is_under_way_alone() {
    let log = Arc::new(ListingLog::default());
    let mut parking = Parking::new(Arc::<ListingLog>::clone(&log), 1 << 20);
    let catch_up = parking.catch_up;
    let mut run = Box::pin(catch_up.run(parking.parked, CancellationToken::new()));
    for _ in 0..2 {
        assert!(timeout(LOOK / 2, &mut run).await.is_err());
        Parking::reload(&parking.tables, false);
        assert!(timeout(LOOK / 2, &mut run).await.is_err());
        log.go_on.notify_one();
    }
    timeout(LOOK * 2, run).await.expect("it is back");
    assert_eq!(*log.read.lock().unwrap(), 1);
    let limits = delivery(&Arc::default()).limits;
    let batch = parking.queued.next(limits).await.unwrap();
    let versions = batch
        .events
        .iter()
        .map(|event| event.origin.version.version);
    assert_eq!(versions.collect::<Vec<_>>(), [12, 9, 15, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_removed_while_it_takes_nothing_is_let_go() {
    // There is room for the first of the list.
    let parking = Parking::new(Arc::<ListingLog>::default(), 1);
    let catch_up = parking.catch_up;
    let mut run = Box::pin(catch_up.run(parking.parked, CancellationToken::new()));
    assert!(timeout(LOOK * 2, &mut run).await.is_err());
    Parking::reload(&parking.tables, true);
    timeout(LOOK, run).await.expect("it ends");
}
