use super::testing::{Reply, Server, Then, added, end_of_list, failure, page};
use super::*;
use crate::batch::{BatchLimits, BatchQueue, queue};
use crate::mark::Mark;
use crate::metrics::Metrics;

/// A source that reads from `server`, and what it hands on.
struct Reading {
    events: BatchQueue,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
}

impl Reading {
    fn start(server: &Server, progress: Progress, since: Time, room: usize) -> Self {
        Self::of(server, progress, since, room, OnOtherHistory::StartOver)
    }

    fn of(
        server: &Server,
        progress: Progress,
        since: Time,
        room: usize,
        on_other_history: OnOtherHistory,
    ) -> Self {
        let (events, queued) = queue(room);
        let (progress, shutdown) = (Arc::new(progress), CancellationToken::new());
        let metrics = Metrics::new(None).unwrap();
        let config = SourceConfig {
            namespace: None,
            cluster_name: String::new(),
            since,
            unwatched_since: Some(Time::EPOCH),
            watch: 0,
            on_other_history,
            watch_timeout: Duration::from_secs(120),
            watch_grace: Duration::from_secs(10),
        };
        let source = Source::new(
            server.client.clone(),
            config,
            metrics.source(),
            Arc::new(WatchHealth::new(None, Duration::from_secs(200))),
            Arc::clone(&progress),
            Arc::new(events),
        );
        tokio::spawn(source.run(shutdown.clone()));
        Self {
            events: queued,
            progress,
            metrics: Arc::new(metrics),
            shutdown,
        }
    }

    /// The versions of the next so many events.
    async fn next(&mut self, count: usize) -> Vec<String> {
        let limits = BatchLimits {
            max_events: 1,
            max_bytes: 1,
            max_delay: Duration::ZERO,
        };
        let mut versions = Vec::new();
        while versions.len() < count {
            let batch = timeout(Duration::from_secs(20), self.events.next(limits)).await;
            let batch = batch.expect("something comes").unwrap();
            versions.extend(
                batch
                    .events
                    .iter()
                    .map(|one| one.resource_version().to_owned()),
            );
        }
        versions
    }

    /// How often the watch was closed because nothing was taken.
    fn closed(&self) -> u64 {
        let restarts = self.metrics.source().restarts;
        restarts.with_label_values(&["queue_full"]).get()
    }

    fn gaps(&self) -> u64 {
        self.metrics.source().gaps.get()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn at(version: u64) -> Progress {
    Progress::new(Mark {
        history: 0,
        version,
    })
}

/// A queue with room for one event or so.
const NARROW: usize = 1;
const WIDE: usize = 1 << 20;

#[tokio::test]
async fn fault_42_what_is_listed_after_a_restore_is_listed_whole_even_if_it_is_cut_off() {
    let all = [1, 2, 3, 4, 950];
    let server = Server::start(vec![
        page(4, [], ""),
        Reply::Frames(added([1, 2, 3, 4]), Then::Silence),
        // It has passed the version from before by the time that there is room again.
        page(950, all, ""),
    ])
    .await;
    let mut reading = Reading::start(&server, at(900), Time::EPOCH, NARROW);
    // Nobody takes anything.
    while reading.closed() == 0 {
        tokio::task::yield_now().await;
    }
    let mut seen = reading.next(all.len()).await;
    while !seen.ends_with(&all.map(|version| version.to_string())) {
        seen.extend(reading.next(1).await);
    }
    assert_eq!(reading.progress.read().history, 1);
}

#[tokio::test]
async fn fault_42_who_waits_for_another_to_start_over_looks_again() {
    let server = Server::start(vec![
        page(4, [], ""),
        // It has passed all that is known before anybody else has looked.
        page(950, [], ""),
        Reply::Frames(added([951]), Then::Silence),
    ])
    .await;
    let mut reading = Reading::of(&server, at(900), Time::EPOCH, WIDE, OnOtherHistory::Wait);
    assert_eq!(reading.next(1).await, ["951"]);
}

#[tokio::test]
async fn the_age_at_the_first_start_decides_whenever_all_is_listed() {
    // Events of the scripted server have no time, which counts as 1970.
    for (since, seen) in [("2001-01-01T00:00:00Z", "5"), ("1970-01-01T00:00:00Z", "1")] {
        for start in [at(0), at(900)] {
            let restored = (start.read().version > 0).then(|| page(4, [], ""));
            let listed = Reply::Frames(
                [added([1]), vec![end_of_list(4)], added([5])].concat(),
                Then::Silence,
            );
            let server = Server::start(restored.into_iter().chain([listed]).collect()).await;
            let mut reading = Reading::start(&server, start, Time::parse(since).unwrap(), WIDE);
            assert_eq!(reading.next(1).await, [seen], "{since}");
            assert_eq!(reading.gaps(), 0);
        }
    }
}

#[tokio::test]
async fn fault_43_what_may_have_expired_while_no_watch_was_open_is_told() {
    // By the last, another receiver than the one that is furthest behind has had 8.
    // In the place of an answer, and as API servers have it: in a watch.
    let expired = || {
        let in_watch = Reply::Frames(vec![failure(410, "Expired")], Then::CloseLater);
        [Reply::Status(410, String::new()), in_watch]
    };
    let cases = [([5, 9], 7, 0), ([8, 9], 7, 1), ([8, 9], 8, 0)];
    let cases = cases
        .into_iter()
        .flat_map(|case| expired().map(|it| (case, it)));
    for ((versions, known, gaps), expired) in cases {
        let listed = [added(versions), vec![end_of_list(9)]].concat();
        // From then on a watch is open, and what is quiet has no gap.
        let quiet = vec![failure(410, "Expired")];
        let listed_again = [vec![end_of_list(9)], added([12])].concat();
        let server = Server::start(vec![
            page(9, [], ""),
            expired,
            Reply::Frames([listed, quiet].concat(), Then::CloseLater),
            Reply::Frames(listed_again, Then::Silence),
        ])
        .await;
        let mut reading = Reading::start(&server, at(7).with_known(known), Time::EPOCH, WIDE);
        while reading.next(1).await != ["12"] {}
        assert_eq!(reading.gaps(), gaps, "{versions:?} after {known}");
    }
}
