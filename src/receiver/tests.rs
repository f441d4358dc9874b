use std::collections::VecDeque;
use std::sync::Mutex;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use tokio::time::{Instant, sleep};

use super::*;
use crate::batch::{QueueSender, queue};
use crate::dead_letter::DeadLetterConfig;
use crate::event::Event;
use crate::mark::Mark;
use crate::metrics::Metrics;
use crate::sink::preview::Preview;
use crate::sink::{Receipt, Rejection, SendErrorKind};

mod in_flight;

type Answer = Result<Receipt, SendError>;

/// Answers as told, then takes everything; remembers what it was sent.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    sent: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Sink for Scripted {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Answer> {
        let names = batch
            .iter()
            .map(|event| event.metadata.name.clone())
            .collect();
        self.sent.lock().unwrap().push(names);
        let answer = self
            .answers
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| Ok(Receipt::default()));
        async move { answer }.boxed()
    }

    fn reads_object(&self) -> bool {
        false
    }

    fn lacks_setup(&self) -> bool {
        let sent = self.sent.lock().unwrap();
        sent.iter().flatten().any(|name| name == "?")
    }

    fn preview(&self, _: &Event) -> Result<Preview, String> {
        Ok(Preview::default())
    }
}

struct Run {
    sent: Vec<Vec<String>>,
    metrics: ReceiverMetrics,
    dead: Vec<(String, String)>,
    took: Duration,
}

/// Delivers events of these names as one batch.
async fn deliver(names: &str, answers: Vec<Answer>) -> Run {
    deliver_until(names, answers, false).await
}

/// As [`deliver`], perhaps while the program is ending.
async fn deliver_until(names: &str, answers: Vec<Answer>, ending: bool) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dead.jsonl");
    let metrics = Metrics::new(None).unwrap();
    let (sender, queued) = queue(1 << 20);
    let metrics = metrics.receiver("test", &sender.probe());
    let sink = Scripted {
        answers: Arc::new(Mutex::new(answers.into())),
        ..Scripted::default()
    };
    let limits = BatchLimits {
        max_events: 100,
        max_bytes: 1 << 20,
        max_delay: Duration::from_secs(1),
    };
    let retry = RetryLimits {
        initial: Duration::from_secs(1),
        max: Duration::from_mins(1),
    };
    let letter = DeadLetter::new(
        "test",
        DeadLetterConfig {
            file: Some(file.clone()),
        },
    );
    let delivery = Delivery {
        sink: Box::new(sink.clone()),
        limits,
        max_in_flight: 1,
        retry,
        dead_letter: letter,
    };
    let (mut receiver, _changes) = Receiver::new("test".into(), queued, delivery, metrics.clone());
    for name in names.chars() {
        let mut event = Event::default();
        event.metadata.name = name.to_string();
        sender.push(Arc::new(event)).await;
    }
    let start = Instant::now();
    let batch = receiver.queue.next(limits).await.unwrap();
    if ending {
        receiver.courier.ending.cancel();
    }
    receiver.courier.deliver(batch).await.unwrap();
    let took = start.elapsed();
    drop(sender);
    receiver.run(CancellationToken::new()).await.unwrap();
    let dead = std::fs::read_to_string(file).unwrap_or_default();
    let dead = dead.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        (
            text(&record["event"]["metadata"]["name"]),
            text(&record["reason"]),
        )
    });
    let sent = sink.sent.lock().unwrap().clone();
    Run {
        sent,
        metrics,
        dead: dead.collect(),
        took,
    }
}

fn error(kind: SendErrorKind) -> Answer {
    Err(SendError {
        kind,
        reason: format!("{kind:?}"),
        status: Some(500),
        retry_after: None,
    })
}

fn names(batches: &[Vec<String>]) -> Vec<String> {
    batches.iter().map(|batch| batch.concat()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_counted() {
    let run = deliver(
        "abc",
        vec![Ok(Receipt {
            duplicates: 1,
            status: Some(200),
            ..Receipt::default()
        })],
    )
    .await;
    assert_eq!(names(&run.sent), ["abc"]);
    assert_eq!(
        (run.metrics.delivered.get(), run.metrics.duplicates.get()),
        (3, 1)
    );
    assert!(run.metrics.last_delivery.get() > 0.0);
    assert_eq!(run.metrics.lag.get_sample_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_setup_has_not_made_is_shown() {
    for (names, shown) in [("a?", 1.0), ("a", 0.0)] {
        let run = deliver(names, vec![]).await;
        assert!(
            (run.metrics.setup_incomplete.get() - shown).abs() < 0.1,
            "{names}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_was_not_taken_is_sent_again() {
    let partial = Receipt {
        rejected: vec![Rejection {
            index: 1,
            reason: "bad".into(),
        }],
        retry: vec![0, 3],
        retry_cause: Some(SendError::transient("busy")),
        ..Receipt::default()
    };
    let run = deliver("abcd", vec![Ok(partial)]).await;
    assert_eq!(names(&run.sent), ["abcd", "ad"]);
    assert_eq!(
        (
            run.metrics.delivered.get(),
            run.metrics.retried.get(),
            run.metrics.rejected.get()
        ),
        (3, 2, 1)
    );
    assert_eq!(run.dead, [("b".to_owned(), "bad".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn fault_01_an_outage_is_waited_out_however_long() {
    let answers = (0..500).map(|_| error(SendErrorKind::Transient)).collect();
    let run = deliver("ab", answers).await;
    assert_eq!(run.sent.len(), 501);
    assert!(run.sent.iter().all(|batch| batch.len() == 2));
    assert_eq!(
        (run.metrics.delivered.get(), run.metrics.rejected.get()),
        (2, 0)
    );
    assert!(
        run.took > Duration::from_secs(3600),
        "{:?}: backing off, not spinning",
        run.took
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_held_at_the_end_is_tried_again_and_again() {
    let answers = (0..20).map(|_| error(SendErrorKind::Denied)).collect();
    let run = deliver_until("a", answers, true).await;
    assert_eq!(run.metrics.delivered.get(), 1);
    assert!(run.took <= Duration::from_secs(21), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn fault_08_missing_rights_are_waited_for_slowly() {
    let run = deliver("a", (0..20).map(|_| error(SendErrorKind::Denied)).collect()).await;
    assert_eq!(run.metrics.delivered.get(), 1);
    assert!(run.took > Duration::from_secs(200), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn fault_02_the_servers_wish_to_be_left_alone_is_obeyed() {
    let busy = SendError {
        retry_after: Some(Duration::from_secs(120)),
        ..SendError::transient("busy")
    };
    let run = deliver("a", vec![Err(busy)]).await;
    assert!(run.took >= Duration::from_secs(120), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn fault_02_a_server_that_takes_one_event_a_second_gets_one_a_second() {
    let names: String = ('a'..='z').collect();
    let answers = (1..names.len()).rev().map(|left| {
        Ok(Receipt {
            retry: (1..=left).collect(),
            retry_cause: Some(SendError {
                status: Some(429),
                retry_after: Some(Duration::from_secs(1)),
                ..SendError::transient("busy")
            }),
            ..Receipt::default()
        })
    });
    let run = deliver(&names, answers.collect()).await;
    assert_eq!(run.metrics.delivered.get(), 26);
    assert!(run.took <= Duration::from_secs(33), "{:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn fault_07_a_batch_that_is_too_large_is_split_until_it_is_not() {
    let run = deliver(
        "abcd",
        vec![
            error(SendErrorKind::TooLarge),
            error(SendErrorKind::TooLarge),
        ],
    )
    .await;
    assert_eq!(names(&run.sent), ["abcd", "ab", "a", "b", "cd"], "in order");
    assert_eq!(run.metrics.delivered.get(), 4);
}

#[tokio::test(start_paused = true)]
async fn fault_06_one_poisoned_event_is_found_and_the_rest_delivered() {
    let refused = || error(SendErrorKind::Refused);
    // abcdefgh: f is the poison.
    let run = deliver(
        "abcdefgh",
        vec![
            refused(),
            Ok(Receipt::default()),
            refused(),
            refused(),
            Ok(Receipt::default()),
            refused(),
        ],
    )
    .await;
    assert_eq!(
        names(&run.sent),
        ["abcdefgh", "abcd", "efgh", "ef", "e", "f", "gh"]
    );
    assert_eq!(
        (run.metrics.delivered.get(), run.metrics.rejected.get()),
        (7, 1)
    );
    assert_eq!(run.dead, [("f".to_owned(), "Refused".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_everything_is_refused_makes_no_flood_of_requests() {
    let refusals = (0..15).map(|_| error(SendErrorKind::Refused)).collect();
    let run = deliver("abcdefgh", refusals).await;
    assert_eq!((run.sent.len(), run.metrics.rejected.get()), (15, 8));
    // Seven halvings, each after a wait of up to 1, 2, 4, ... s.
    assert!(run.took > Duration::from_secs(5), "{:?}", run.took);
}

proptest::proptest! {
    /// Whatever a sink answers, in whatever order, every event is taken or rejected, once.
    #[test]
    fn every_event_is_settled_once(script in proptest::collection::vec((0_u8..5, proptest::collection::vec(0_usize..3, 8)), 0..30)) {
        let answers: Vec<Answer> = script.iter().map(|(kind, fates)| match kind {
            0 => error(SendErrorKind::Transient),
            1 => error(SendErrorKind::Denied),
            2 => error(SendErrorKind::TooLarge),
            3 => error(SendErrorKind::Refused),
            // Indices beyond the batch, which a sink should never name, must not matter.
            _ => Ok(Receipt {
                rejected: fates.iter().enumerate().filter(|(_, fate)| **fate == 1)
                    .map(|(index, _)| Rejection { index, reason: "no".into() }).collect(),
                retry: fates.iter().enumerate().filter(|(_, fate)| **fate == 2).map(|(index, _)| index).collect(),
                ..Receipt::default()
            }),
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let run = runtime.block_on(deliver("abcdefgh", answers));
        let delivered = run.metrics.delivered.get();
        assert_eq!(delivered + u64::try_from(run.dead.len()).unwrap(), 8);
        let mut dead: Vec<_> = run.dead.iter().map(|(name, _)| name).collect();
        dead.sort();
        dead.dedup();
        assert_eq!(dead.len(), run.dead.len(), "none twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_way_to_deliver_is_tried_at_once() {
    let metrics = Metrics::new(None).unwrap();
    let (sender, queued) = queue(1 << 20);
    let metrics = metrics.receiver("test", &sender.probe());
    let delivery = |sink: &Scripted| Delivery {
        sink: Box::new(sink.clone()),
        limits: BatchLimits {
            max_events: 1,
            max_bytes: 1 << 20,
            max_delay: Duration::ZERO,
        },
        max_in_flight: 1,
        retry: RetryLimits {
            initial: Duration::from_hours(1),
            max: Duration::from_hours(1),
        },
        dead_letter: DeadLetter::new("test", DeadLetterConfig::default()),
    };
    let (old, new) = (Scripted::default(), Scripted::default());
    *old.answers.lock().unwrap() = (0..9).map(|_| error(SendErrorKind::Denied)).collect();
    let (receiver, changes) = Receiver::new("test".into(), queued, delivery(&old), metrics);
    let mut run = Box::pin(receiver.run(CancellationToken::new()));
    let mut event = Event::default();
    event.metadata.name = "a".into();
    sender.push(Arc::new(event)).await;
    assert!((&mut run).now_or_never().is_none(), "it waits for an hour");
    let start = Instant::now();
    changes.deliver(delivery(&new));
    drop(sender);
    run.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(*new.sent.lock().unwrap(), [["a"]]);
}
