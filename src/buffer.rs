//! The Buffer: keeps a receiver's events on the disk for outages that outlast the API server's memory.
//!
//! It stands between the receiver's queue and the receiver. What it takes from the queue is on the disk before the queue
//! learns that it is settled; what it hands to the receiver is read from there, and is settled when the receiver says so. When
//! it is full, or the disk is, it takes no more, and the receiver is parked as one without a buffer. At the end it waits
//! for nothing: what is on the disk is delivered after the next start.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::log::{BufferError, Held, MIN_BYTES};
use self::log::{Log, Position};
use crate::batch::{Batch, BatchLimits, BatchQueue, QueueProbe, QueueSender};
use crate::mark::{Mark, Origin};
use crate::metrics::BufferMetrics;
use crate::outage::Outage;

mod log;
mod record;

/// Where a receiver's events are buffered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferConfig {
    /// A folder of its own.
    pub path: PathBuf,
    /// How large its files may be together.
    pub max_bytes: u64,
}

/// A buffer, and the queues before and behind it.
pub struct Buffer {
    receiver: String,
    files: Files,
    incoming: BatchQueue,
    outgoing: QueueSender,
    metrics: BufferMetrics,
}

/// What the parts of a buffer that runs have in common.
struct Stage {
    receiver: String,
    files: Files,
    metrics: BufferMetrics,
    /// There is more to read.
    appended: Notify,
    /// There may be room.
    room: Notify,
    /// What the receiver has not settled of what it was handed.
    handed_out: QueueProbe,
    /// Everything before has been handed out.
    reached: Mutex<Position>,
}

/// The files, for whoever waits for the disk elsewhere than on the one thread.
#[derive(Clone)]
struct Files(Arc<Mutex<Log>>);

/// What is written at once.
const WRITES: BatchLimits = BatchLimits {
    max_events: 1000,
    max_bytes: 1 << 20,
    max_delay: Duration::from_millis(100),
};
/// How long until a disk that was full, or failed, is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is kept what is settled: what a crash delivers twice.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the receiver has at the end to come to an end with what it was handed.
const LAST: Duration = Duration::from_secs(2);

// === impl BufferConfig ===

impl BufferConfig {
    /// Whether it can be opened now. Leaves it closed.
    pub fn try_open(&self) -> Result<(), BufferError> {
        Log::open(&self.path, self.max_bytes).map(drop)
    }

    /// Looks at a buffer that is not opened.
    pub fn look(&self) -> io::Result<Held> {
        Log::look(&self.path)
    }
}

// === impl Buffer ===

impl Buffer {
    /// Opens the buffer of a receiver, between two queues.
    pub fn open(
        config: &BufferConfig,
        receiver: &str,
        incoming: BatchQueue,
        outgoing: QueueSender,
        metrics: BufferMetrics,
    ) -> Result<Self, BufferError> {
        let log = Log::open(&config.path, config.max_bytes)?;
        metrics.holds(log.bytes());
        Ok(Self {
            receiver: receiver.to_owned(),
            files: Files(Arc::new(Mutex::new(log))),
            incoming,
            outgoing,
            metrics,
        })
    }

    /// Runs beside the receiver that is `delivering`, until there is nothing more to write.
    pub async fn run<E>(
        self,
        delivering: impl Future<Output = Result<(), E>>,
        ending: CancellationToken,
    ) -> Result<(), E> {
        let settled = self.files.lock().settled();
        let stage = Stage {
            handed_out: self.outgoing.probe(),
            reached: Mutex::new(settled),
            receiver: self.receiver,
            files: self.files,
            metrics: self.metrics,
            appended: Notify::new(),
            room: Notify::new(),
        };
        let mut delivering = pin!(delivering);
        tokio::select! {
            ended = &mut delivering => return ended,
            () = stage.write(self.incoming, &ending) => {}
            // Which ends neither.
            () = stage.read(self.outgoing) => {}
            () = stage.keep_settling() => {}
        }
        let ended = timeout(LAST, delivering).await;
        // What is not kept is delivered again.
        let _ = stage.settle().await;
        if !stage.files.lock().is_settled() {
            info!(
                receiver = stage.receiver,
                "what is in the buffer stays there: it is delivered when the receiver starts again"
            );
        }
        ended.unwrap_or(Ok(()))
    }
}

// === impl Stage ===

impl Stage {
    /// Writes what comes, until no more does.
    async fn write(&self, mut incoming: BatchQueue, ending: &CancellationToken) {
        let mut outage = Outage::default();
        while let Some(Batch { events, claim }) = incoming.next(WRITES).await {
            let batch = Arc::new(events);
            loop {
                let events = Arc::clone(&batch);
                let cause = match self.files.on_disk(move |log| log.append(&events)).await {
                    Ok(true) => break,
                    Ok(false) => "it is full".to_owned(),
                    Err(error) => error.to_string(),
                };
                if outage.is_news(&cause) {
                    warn!(
                        receiver = self.receiver,
                        cause, "the buffer takes no more events: they wait where they come from"
                    );
                }
                self.metrics.full.set(1);
                // They are read again at the next start.
                if ending.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = self.room.notified() => {}
                    () = sleep(PAUSE) => {}
                    () = ending.cancelled() => {}
                }
            }
            claim.settle();
            if outage.over().is_some() {
                info!(receiver = self.receiver, "the buffer takes events again");
            }
            self.metrics.full.set(0);
            self.appended.notify_one();
        }
    }

    /// Hands on what is on the disk, in its order, for ever.
    async fn read(&self, outgoing: QueueSender) {
        let mut outage = Outage::default();
        loop {
            let from = *self.lock();
            let chunk = match self.files.on_disk(move |log| log.read(from)).await {
                Ok(chunk) => chunk,
                Err(error) => {
                    let cause = error.to_string();
                    if outage.is_news(&cause) {
                        warn!(
                            receiver = self.receiver,
                            cause, "the buffer can't be read; trying again"
                        );
                    }
                    sleep(PAUSE).await;
                    continue;
                }
            };
            outage.over();
            if chunk.damaged > 0 {
                self.metrics.damaged.inc_by(chunk.damaged);
                warn!(
                    receiver = self.receiver,
                    places = chunk.damaged,
                    "the buffer was damaged: what can't be read of it is set aside in files beside it"
                );
            }
            let is_end = chunk.events.is_empty();
            for (position, mut event) in chunk.events {
                *self.lock() = position;
                event.origin = Origin {
                    resume: position.into(),
                    ..Origin::default()
                };
                outgoing.push(Arc::new(event)).await;
            }
            *self.lock() = chunk.next;
            if is_end {
                self.appended.notified().await;
            }
        }
    }

    /// Keeps what is settled, for ever.
    async fn keep_settling(&self) {
        let mut outage = Outage::default();
        loop {
            sleep(SETTLE).await;
            match self.settle().await {
                Ok(()) => {
                    outage.over();
                }
                Err(error) => {
                    let cause = error.to_string();
                    if outage.is_news(&cause) {
                        warn!(
                            receiver = self.receiver,
                            cause,
                            "what the buffer has delivered can't be kept: a start would deliver some of it again"
                        );
                    }
                }
            }
            self.room.notify_one();
        }
    }

    async fn settle(&self) -> io::Result<()> {
        let mut settled = [Mark::from(*self.lock())];
        self.handed_out.lower_to_unsettled(&mut settled);
        let to = Position::from(settled[0]);
        let (kept, bytes) = self
            .files
            .on_disk(move |log| Ok((log.settle(to), log.bytes())))
            .await?;
        self.metrics.holds(bytes);
        kept
    }

    fn lock(&self) -> MutexGuard<'_, Position> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Files ===

impl Files {
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let files = self.clone();
        let done = spawn_blocking(move || work(&mut files.lock())).await;
        done.map_err(io::Error::other)?
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Position ===

/// A place in the files is to the receiver's queue what a place in the API server's history is to others.
impl From<Position> for Mark {
    fn from(position: Position) -> Self {
        Self {
            history: position.segment,
            version: position.offset,
        }
    }
}

impl From<Mark> for Position {
    fn from(mark: Mark) -> Self {
        Self {
            segment: mark.history,
            offset: mark.version,
        }
    }
}

#[cfg(test)]
mod tests;
