//! Several batches on their way at once.

use std::collections::BTreeSet;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::batch::QueueProbe;
use crate::receiver::courier::LEFTOVERS;

/// Hands every attempt to the test, which answers it when it likes.
struct Held(mpsc::UnboundedSender<Attempt>);

struct Attempt {
    names: String,
    answer: oneshot::Sender<Answer>,
}

/// A receiver that runs, event by event.
struct Running {
    attempts: mpsc::UnboundedReceiver<Attempt>,
    sender: QueueSender,
    queue: QueueProbe,
    metrics: ReceiverMetrics,
    receiver: JoinHandle<Result<(), SinkClosed>>,
}

impl Sink for Held {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Answer> {
        let names = batch.iter().map(|event| event.metadata.name.as_str());
        let (answer, answered) = oneshot::channel();
        let attempt = Attempt {
            names: names.collect(),
            answer,
        };
        let _ = self.0.send(attempt);
        async { answered.await.unwrap() }.boxed()
    }

    fn reads_object(&self) -> bool {
        false
    }

    fn preview(&self, _: &Event) -> Result<Preview, String> {
        Ok(Preview::default())
    }
}

impl Running {
    fn start(max_in_flight: usize) -> Self {
        let metrics = Metrics::new(None).unwrap();
        let (sender, queued) = queue(1 << 20);
        let queue = sender.probe();
        let metrics = metrics.receiver("test", &queue);
        let (held, attempts) = mpsc::unbounded_channel();
        let delivery = Delivery {
            sink: Box::new(Held(held)),
            limits: BatchLimits {
                max_events: 1,
                max_bytes: 1 << 20,
                max_delay: Duration::ZERO,
            },
            max_in_flight,
            retry: RetryLimits {
                initial: Duration::from_secs(1),
                max: Duration::from_secs(1),
            },
            dead_letter: DeadLetter::new("test", DeadLetterConfig::default()),
        };
        let (receiver, _) = Receiver::new("test".into(), queued, delivery, metrics.clone());
        Self {
            attempts,
            sender,
            queue,
            metrics,
            receiver: tokio::spawn(receiver.run(CancellationToken::new())),
        }
    }

    /// Events of these names, whose place in the history is that in the alphabet.
    async fn push(&self, names: &str) {
        for name in names.chars() {
            let mut event = Event::default();
            event.metadata.name = name.to_string();
            event.origin.resume.version = u64::from(name) - u64::from('a');
            self.sender.push(Arc::new(event)).await;
        }
    }

    /// The attempts that are made before anything else is answered.
    async fn made(&mut self) -> Vec<Attempt> {
        // The clock stands still until nobody has anything to do.
        sleep(Duration::from_nanos(1)).await;
        std::iter::from_fn(|| self.attempts.try_recv().ok()).collect()
    }

    /// The next attempt, after however many waits.
    async fn next(&mut self) -> Attempt {
        let next = timeout(Duration::from_mins(1), self.attempts.recv());
        next.await.expect("an attempt").unwrap()
    }

    /// From where it would be read again.
    fn mark(&self) -> char {
        let mut marks = [Mark::default().at("25")];
        self.queue.lower_to_unsettled(&mut marks);
        char::from(b'a' + u8::try_from(marks[0].version).unwrap())
    }

    async fn end(self) {
        drop(self.sender);
        self.receiver.await.unwrap().unwrap();
        assert_eq!(in_flight(&self.metrics), "0");
    }
}

impl Attempt {
    fn take(self) {
        self.answer(Ok(Receipt::default()));
    }

    fn answer(self, answer: Answer) {
        self.answer.send(answer).unwrap();
    }
}

fn names(attempts: &[Attempt]) -> String {
    attempts
        .iter()
        .map(|attempt| attempt.names.as_str())
        .collect()
}

fn in_flight(metrics: &ReceiverMetrics) -> String {
    metrics.in_flight.get().to_string()
}

fn busy() -> Answer {
    Err(SendError {
        status: Some(429),
        ..SendError::transient("busy")
    })
}

#[tokio::test(start_paused = true)]
async fn batches_go_together_and_the_mark_waits_for_the_slowest() {
    let mut running = Running::start(2);
    running.push("abc").await;
    let mut made = running.made().await;
    assert_eq!(names(&made), "ab", "two at once, and no third");
    assert_eq!(in_flight(&running.metrics), "2");
    made.remove(1).take();
    let third = running.made().await;
    assert_eq!(names(&third), "c");
    assert_eq!(running.mark(), 'a');
    made.remove(0).take();
    running.made().await;
    assert_eq!(running.mark(), 'c');
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_busy_gets_one_batch_after_the_other_until_it_has_taken_some() {
    let mut running = Running::start(2);
    running.push("abcdefghijklmnopq").await;
    for attempt in running.made().await {
        attempt.answer(busy());
    }
    // Each of the two is tried again, and whoever waits holds up the other.
    for _ in 0..10 {
        let attempt = running.next().await;
        assert!(running.made().await.is_empty(), "{} alone", attempt.names);
        attempt.take();
    }
    let _one = running.next().await;
    let _another = running.next().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_busy_for_some_events_only_gets_less_all_the_same() {
    let mut running = Running::start(2);
    running.push("abcd").await;
    let mut made = running.made().await;
    let slow = made.remove(1);
    made.remove(0).answer(Ok(Receipt {
        retry: vec![0],
        retry_cause: busy().err(),
        ..Receipt::default()
    }));
    assert!(running.made().await.is_empty());
    slow.take();
    let first = running.next().await;
    assert!(running.made().await.is_empty(), "{} alone", first.names);
}

/// Of its event alone, whose index takes nothing.
fn blocked(attempt: Attempt) {
    attempt.answer(Ok(Receipt {
        retry: vec![0],
        retry_cause: Some(SendError {
            kind: SendErrorKind::Denied,
            status: Some(403),
            ..SendError::transient("index blocked")
        }),
        ..Receipt::default()
    }));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_some_events_holds_up_no_others() {
    let mut running = Running::start(2);
    running.push("abcdef").await;
    let mut order = String::new();
    while order.len() < 3 {
        let attempt = running.next().await;
        if "abc".contains(&attempt.names) {
            blocked(attempt);
        } else {
            order.push_str(&attempt.names);
            attempt.take();
        }
    }
    assert_eq!(order, "def");
    assert_eq!(running.mark(), 'a');
    for _ in 0..3 {
        running.next().await.take();
    }
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_not_held_without_end() {
    let mut running = Running::start(2);
    running.push("abcdefghijklmnopqrstuvwxyz").await;
    let mut seen = BTreeSet::new();
    for _ in 0..500 {
        let attempt = running.next().await;
        seen.insert(attempt.names.clone());
        blocked(attempt);
    }
    assert_eq!(seen.len(), 2 + LEFTOVERS);
    while seen.len() < 26 {
        let attempt = running.next().await;
        seen.insert(attempt.names.clone());
        attempt.take();
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_away_is_asked_by_one() {
    let mut running = Running::start(3);
    running.push("abc").await;
    for attempt in running.made().await {
        attempt.answer(error(SendErrorKind::Transient));
    }
    for _ in 0..20 {
        let attempt = running.next().await;
        assert!(running.made().await.is_empty(), "{} alone", attempt.names);
        attempt.answer(error(SendErrorKind::Transient));
    }
    let mut taken = String::new();
    for _ in 0..3 {
        let attempt = running.next().await;
        taken.push_str(&attempt.names);
        attempt.take();
    }
    let mut taken: Vec<char> = taken.chars().collect();
    taken.sort_unstable();
    assert_eq!(taken, ['a', 'b', 'c']);
    running.end().await;
}
