use futures::FutureExt as _;
use tokio::time::advance;

use super::*;

fn limits(max_events: usize, max_delay_ms: u64) -> BatchLimits {
    BatchLimits {
        max_events,
        max_bytes: 1 << 20,
        max_delay: Duration::from_millis(max_delay_ms),
    }
}

fn event(message: usize) -> Arc<Event> {
    Arc::new(Event {
        message: "x".repeat(message),
        ..Event::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_complete_when_it_has_enough_events() {
    let (sender, mut queue) = queue(1 << 20);
    for _ in 0..5 {
        sender.push(event(1)).await;
    }
    assert_eq!(
        queue
            .next(limits(3, 1000))
            .now_or_never()
            .unwrap()
            .unwrap()
            .events
            .len(),
        3
    );
    assert!(
        queue.next(limits(3, 1000)).now_or_never().is_none(),
        "two are not three"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_complete_when_it_is_old_enough() {
    let (sender, mut queue) = queue(1 << 20);
    sender.push(event(1)).await;
    let start = Instant::now();
    let batch = queue.next(limits(100, 1000)).await.unwrap();
    assert_eq!(
        (batch.events.len(), start.elapsed()),
        (1, Duration::from_secs(1))
    );
    // The age is that of the oldest event, not of the wait.
    sender.push(event(1)).await;
    advance(Duration::from_secs(2)).await;
    assert_eq!(
        queue
            .next(limits(100, 1000))
            .now_or_never()
            .unwrap()
            .unwrap()
            .events
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_complete_when_it_is_heavy_enough() {
    let (sender, mut queue) = queue(1 << 20);
    let limits = BatchLimits {
        max_bytes: 10_000,
        ..limits(100, 1000)
    };
    for size in [3_000, 3_000, 3_000, 50_000, 1] {
        sender.push(event(size)).await;
    }
    let sizes: Vec<usize> = std::iter::from_fn(|| {
        queue
            .next(limits)
            .now_or_never()
            .flatten()
            .map(|b| b.events.len())
    })
    .collect();
    assert_eq!(
        sizes,
        [2, 1, 1],
        "a heavy event goes alone, and the light one waits"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_waits_for_room_and_is_a_complete_batch() {
    let (sender, mut queue) = queue(5_000);
    sender.push(event(3_000)).await;
    let mut push = Box::pin(sender.push(event(3_000)));
    assert!(push.as_mut().now_or_never().is_none(), "no room");
    assert!(!sender.try_push(&event(3_000)));
    let start = Instant::now();
    let (batch, ()) = tokio::join!(
        queue.next(BatchLimits {
            max_bytes: 1 << 20,
            ..limits(100, 1000)
        }),
        push
    );
    assert_eq!(batch.unwrap().events.len(), 1);
    assert_eq!(start.elapsed(), Duration::ZERO, "it cannot grow");
}

#[tokio::test(start_paused = true)]
async fn fault_23_an_event_heavier_than_the_queue_is_taken_when_it_is_empty() {
    let (sender, mut queue) = queue(100);
    sender.push(event(1_000_000)).now_or_never().unwrap();
    assert_eq!(queue.next(limits(1, 0)).await.unwrap().events.len(), 1);
    let empty = QueueState {
        max_bytes: 100,
        ..QueueState::default()
    };
    assert_eq!(sender.probe().state(), empty);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_gone_holds_nothing_and_is_not_kept() {
    let (sender, queue) = queue(1 << 20);
    let waiting = event(1);
    sender.push(Arc::clone(&waiting)).await;
    let probe = sender.probe().downgrade();
    assert_eq!(probe.state().unwrap().events, 1);
    drop((sender, queue));
    advance(Duration::from_hours(1)).await;
    assert_eq!(probe.state(), None);
    assert_eq!(Arc::strong_count(&waiting), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_hands_out_the_rest_at_once() {
    let (sender, mut queue) = queue(1 << 20);
    sender.push(event(1)).await;
    let mut next = Box::pin(queue.next(limits(100, 60_000)));
    assert!(next.as_mut().now_or_never().is_none());
    drop(sender);
    let start = Instant::now();
    assert_eq!(next.await.unwrap().events.len(), 1);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(queue.next(limits(100, 60_000)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_settled_is_read_again_in_whatever_order_batches_are() {
    let read_at = |resume: u64| {
        let mut event = Event::default();
        event.origin.resume.version = resume;
        Arc::new(event)
    };
    let (sender, mut queue) = queue(1 << 20);
    let probe = sender.probe();
    let mark = || {
        let mut unsettled = [Mark::default().at("9")];
        probe.lower_to_unsettled(&mut unsettled);
        unsettled[0].version
    };
    for resume in [5, 4, 6, 7] {
        sender.push(read_at(resume)).await;
    }
    assert_eq!(mark(), 4);
    let first = queue.next(limits(2, 1000)).await.unwrap();
    let second = queue.next(limits(1, 1000)).await.unwrap();
    let third = queue.next(limits(1, 1000)).await.unwrap();
    assert_eq!(mark(), 4, "all of them are on their way");
    advance(Duration::from_secs(7)).await;
    assert_eq!(
        probe.state().oldest,
        Duration::from_secs(7),
        "to be settled"
    );
    second.claim.settle();
    assert_eq!(mark(), 4);
    first.claim.settle();
    assert_eq!(mark(), 7);
    drop(third);
    assert_eq!(mark(), 7, "nobody has said what became of it");
}

proptest::proptest! {
    #[test]
    fn every_event_leaves_in_order_and_batches_keep_their_limits(
        sizes in proptest::collection::vec(0_usize..5_000, 1..60),
        max_events in 1_usize..10,
        max_bytes in 2_000_usize..20_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (sender, mut queue) = queue(8_000);
            let limits = BatchLimits { max_events, max_bytes, max_delay: Duration::from_millis(5) };
            let push = async {
                for (at, &size) in sizes.iter().enumerate() {
                    let mut event = Event { message: "x".repeat(size), ..Event::default() };
                    event.metadata.name = at.to_string();
                    sender.push(Arc::new(event)).await;
                }
                drop(sender);
            };
            let mut names = Vec::new();
            let take = async {
                while let Some(batch) = queue.next(limits).await {
                    let bytes: usize = batch.events.iter().map(|event| event.weight()).sum();
                    assert!(batch.events.len() <= max_events && (bytes <= max_bytes || batch.events.len() == 1));
                    names.extend(batch.events.iter().map(|event| event.metadata.name.clone()));
                }
            };
            tokio::join!(push, take);
            assert_eq!(names, (0..sizes.len()).map(|at| at.to_string()).collect::<Vec<_>>());
        });
    }
}
