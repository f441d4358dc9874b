use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::batch::queue;
use crate::event::Event;
use crate::metrics::Metrics;

const ROOM: usize = 1 << 20;
const ALL: BatchLimits = BatchLimits {
    max_events: 1000,
    max_bytes: ROOM,
    max_delay: Duration::ZERO,
};

fn event(number: u64) -> Arc<Event> {
    let mut event = Event::default();
    event.metadata.uid = format!("uid-{number}");
    event.metadata.resource_version = number.to_string();
    event.origin = Origin {
        resume: Mark {
            history: 0,
            version: number - 1,
        },
        ..Origin::default()
    };
    Arc::new(event)
}

/// A buffer in a folder, the end that it is filled from, and the end of what it hands out.
fn open(folder: &TempDir, metrics: &Metrics) -> (QueueSender, Buffer, BatchQueue) {
    let (filled, incoming) = queue(ROOM);
    let (outgoing, out) = queue(ROOM);
    let config = BufferConfig {
        path: folder.path().join("buffer"),
        max_bytes: MIN_BYTES,
    };
    let buffer = Buffer::open(&config, "r", incoming, outgoing, metrics.buffer("r")).unwrap();
    (filled, buffer, out)
}

/// The next batches, with so many events together.
async fn take(out: &mut BatchQueue, count: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    while events(&batches).count() < count {
        batches.push(out.next(ALL).await.unwrap());
    }
    batches
}

fn events(batches: &[Batch]) -> impl Iterator<Item = &Arc<Event>> {
    batches.iter().flat_map(|batch| &batch.events)
}

fn versions(batches: &[Batch]) -> Vec<u64> {
    events(batches)
        .map(|event| event.version().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_on_the_disk_is_settled_for_the_queue_and_comes_again_after_a_restart() {
    let (folder, metrics) = (TempDir::new().unwrap(), Metrics::new(None).unwrap());
    let (filled, buffer, mut out) = open(&folder, &metrics);
    let queue = filled.probe();
    let (taken, is_taken) = oneshot::channel();
    let delivering = async move {
        // A sink that does not answer: what is taken is never settled.
        let _ = taken.send(take(&mut out, 3).await);
        std::future::pending::<Result<(), ()>>().await
    };
    let running = tokio::spawn(buffer.run(delivering, CancellationToken::new()));
    for number in 1..=3 {
        filled.push(event(number)).await;
    }
    assert_eq!(versions(&is_taken.await.unwrap()), [1, 2, 3]);
    let mut marks = [Mark {
        history: 0,
        version: 3,
    }];
    queue.lower_to_unsettled(&mut marks);
    assert_eq!(marks[0].version, 3, "the mark may move");
    // The end does not wait for the sink.
    drop(filled);
    running.await.unwrap().unwrap();

    // Those of before, and the next; then none of them.
    for (next, expected) in [(4, &[1, 2, 3, 4][..]), (5, &[5])] {
        let (filled, buffer, mut out) = open(&folder, &metrics);
        let (taken, is_taken) = oneshot::channel();
        let delivering = async move {
            let _ = taken.send(take(&mut out, expected.len()).await);
            assert!(out.next(ALL).await.is_none());
            Ok::<_, ()>(())
        };
        let running = tokio::spawn(buffer.run(delivering, CancellationToken::new()));
        filled.push(event(next)).await;
        let taken = is_taken.await.unwrap();
        assert_eq!(versions(&taken), expected);
        for batch in taken {
            batch.claim.settle();
        }
        drop(filled);
        running.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn fault_45_a_full_buffer_takes_no_more_and_loses_nothing() {
    let (folder, metrics) = (TempDir::new().unwrap(), Metrics::new(None).unwrap());
    let (filled, buffer, mut out) = open(&folder, &metrics);
    let full = metrics.buffer("r").full;
    let (go, may_go) = oneshot::channel::<()>();
    let delivering = async move {
        let _ = may_go.await;
        let mut versions = Vec::new();
        while let Some(batch) = out.next(ALL).await {
            versions.extend(batch.settle().iter().map(|event| event.version().unwrap()));
            if versions.len() == 4000 {
                break;
            }
        }
        assert!(versions.iter().copied().eq(1..=4000), "in their order");
        Ok::<_, ()>(())
    };
    let running = tokio::spawn(buffer.run(delivering, CancellationToken::new()));
    let pushing = async {
        for number in 1..=4000 {
            let mut heavy = Event::clone(&event(number));
            heavy.message = "x".repeat(10_000);
            filled.push(Arc::new(heavy)).await;
        }
    };
    let mut pushing = pin!(pushing);
    let is_full = async {
        while full.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = &mut pushing => panic!("there is no room for all"),
        () = is_full => {}
    }
    let _ = go.send(());
    pushing.await;
    running.await.unwrap().unwrap();
}
