//! The sink that makes what is missing before the first event is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::{Mode, Outcome, Plan, Report, run};
use crate::event::Event;
use crate::sink::opensearch::OpenSearch;
use crate::sink::preview::Preview;
use crate::sink::{Receipt, SendError, Sink};

/// OpenSearch, with what events should find there.
///
/// As long as no server is there, no event is written either, and it is tried again with the next batch. One that is busy, or silent, is
/// given some seconds. It never holds an event back for longer: once a batch was answered, or the servers have refused something, it is
/// over.
pub struct SetUpFirst {
    sink: OpenSearch,
    /// What is still to be made.
    pending: Mutex<Option<Pending>>,
    /// Something of it is missing, or another than it should be.
    is_incomplete: AtomicBool,
}

/// What is still to be made.
struct Pending {
    plan: Plan,
    /// Until then events wait for it, whoever brings them.
    until: Option<Instant>,
}

/// How long the first events may wait for it.
const LIMIT: Duration = Duration::from_secs(15);
/// Between two attempts at a server that is busy.
const PAUSE: Duration = Duration::from_secs(1);

// === impl SetUpFirst ===

impl SetUpFirst {
    /// Has `plan` carried out before `sink` writes.
    pub fn new(sink: OpenSearch, plan: Plan) -> Self {
        Self {
            sink,
            pending: Mutex::new(Some(Pending { plan, until: None })),
            is_incomplete: AtomicBool::new(false),
        }
    }

    /// Makes what is missing. `Ok` with a reason if nobody has had time for that; fails if nobody is there.
    async fn set_up(&self, pending: &mut Pending) -> Result<Option<String>, SendError> {
        let (plan, now) = (&pending.plan, Instant::now());
        let until = pending.until.filter(|until| now < *until + LIMIT);
        let until = *pending.until.insert(until.unwrap_or(now + LIMIT));
        let mut busy = "no answer in time".to_owned();
        let made = timeout_at(until, async {
            loop {
                let error = match run(plan, &self.sink.hosts, Mode::default()).await {
                    Ok(reports) => return Ok(reports),
                    Err(error) => error,
                };
                if error.status.is_none() {
                    return Err(error);
                }
                busy = error.reason;
                sleep(PAUSE).await;
            }
        });
        match made.await {
            Ok(Ok(made)) => {
                let is_complete = tell(plan, &made);
                self.is_incomplete.store(!is_complete, Ordering::Relaxed);
                Ok(None)
            }
            Ok(Err(error)) => {
                // Whoever comes up next has all of the time.
                pending.until = None;
                Err(error)
            }
            Err(_) => Ok(Some(busy)),
        }
    }

    async fn send_batch(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let mut failed = String::new();
        {
            // Whoever else writes waits here: nothing goes ahead of it.
            let mut pending = self.pending.lock().await;
            if let Some(waiting) = pending.as_mut() {
                match self.set_up(waiting).await? {
                    None => *pending = None,
                    Some(reason) => failed = reason,
                }
            }
        }
        let answer = self.sink.send(batch).await;
        if answer.is_ok()
            && let Some(Pending { plan, .. }) = self.pending.lock().await.take()
        {
            self.is_incomplete.store(true, Ordering::Relaxed);
            warn!(
                name = plan.name(),
                error = failed,
                "setup came to nothing, and events are written without it: run the command `setup`"
            );
        }
        answer
    }
}

impl Sink for SetUpFirst {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.send_batch(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        self.sink.reads_object()
    }

    fn lacks_setup(&self) -> bool {
        self.is_incomplete.load(Ordering::Relaxed)
    }

    fn preview(&self, event: &Event) -> Result<Preview, String> {
        self.sink.preview(event)
    }
}

/// One line for what is as it should be, one for what is not. Whether all is.
fn tell(plan: &Plan, reports: &[Report]) -> bool {
    let (odd, fine): (Vec<_>, Vec<_>) = reports.iter().partition(|it| it.outcome.is_odd());
    let lines = |reports: Vec<&Report>| {
        let lines: Vec<String> = reports.into_iter().map(Report::to_string).collect();
        lines.join("; ")
    };
    if !fine.is_empty() {
        info!(name = plan.name(), made = lines(fine), "set up");
    }
    // On Amazon's serverless there is nothing to mend.
    let is_serverless = |report: &&Report| matches!(report.outcome, Outcome::Serverless);
    let is_complete = odd.iter().all(is_serverless);
    if !odd.is_empty() {
        warn!(
            name = plan.name(),
            error = lines(odd),
            "setup is not complete, and events are written all the same: run the command `setup` with the rights that it \
             needs, or leave `setup` out"
        );
    }
    is_complete
}
