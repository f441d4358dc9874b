//! The picture: a **Source** watches Events; the **Router** asks the **Route** tree which **Receivers** want each one; a
//! Receiver groups them into a **Batch** and hands it to its **Sink** until the Sink has taken or refused every event.
//!
//! [`App::build`] joins the parts and starts nothing. [`App::run`] starts everything, and is the order of shutdown too:
//! the sources stop, their queue closes, the router ends, the receivers' queues close, the receivers, which no longer wait
//! long between attempts, deliver what they hold and end; the checkpoint says how far they have come.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::catch_up::CatchUp;
use crate::checkpoint::{Checkpoint, Checkpointer, Store};
use crate::cluster::{Cluster, ClusterLog};
use crate::config::Config;
use crate::event::Time;
use crate::health::WatchHealth;
use crate::mark::{Mark, Progress};
use crate::pipeline::{Account, Origins, Part, PartEnded, Pipeline, Tasks, spawn_receiver};
use crate::reload::{ConfigFile, Named, Reloader};
use crate::source::Source;
use crate::status::Status;

/// The whole program, built and not started.
pub struct App {
    sources: Vec<Source>,
    pipeline: Pipeline,
    catch_up: CatchUp,
    checkpointer: Checkpointer,
    reloader: Reloader,
    /// The state of each watch.
    pub health: Vec<Arc<WatchHealth>>,
    /// The text of the configuration in use, which reloads change; `None` if it comes from no file.
    pub in_use: watch::Receiver<Option<String>>,
}

/// Where the checkpoint is kept, and what is kept there.
#[derive(Clone, Default)]
pub struct Kept {
    /// Nowhere, if `None`.
    pub store: Option<Store>,
    /// Nothing yet, if `None`.
    pub checkpoint: Option<String>,
}

// === impl App ===

impl App {
    /// Joins the parts, which go on where the checkpoint is.
    ///
    /// `file` is what the configuration was read from, which is looked at when it changes, or when `asked`. People look at
    /// `status`.
    pub async fn build(
        config: Config,
        path: &str,
        cluster: Arc<Cluster>,
        kept: Kept,
        file: Option<ConfigFile>,
        asked: Arc<Notify>,
        status: Arc<Status>,
    ) -> anyhow::Result<Self> {
        let Kept { store, checkpoint } = kept;
        let mut uid = match &store {
            Some(_) => cluster.uid().await,
            None => String::new(),
        };
        let checkpoint = known(checkpoint, &uid);
        if let Some(checkpoint) = checkpoint.as_ref().filter(|_| uid.is_empty()) {
            uid.clone_from(&checkpoint.cluster);
        }
        let had = |receiver: &str| had(checkpoint.as_ref(), receiver, cluster.namespaces());
        let hads: Vec<_> = config.receivers.iter().map(|one| had(&one.name)).collect();
        let watches = watches(&hads, cluster.namespaces().len());
        let kept = checkpoint.as_ref();
        let begin = Time::now().before(cluster.max_event_age());
        // One that is later was written by a clock that was wrong.
        let since = kept.and_then(Checkpoint::since);
        let since = since.map_or(begin, |since| since.min(begin));
        let origins = Origins {
            watches: watches.clone(),
            had: &had,
        };
        let names = Named::by(&config.receivers);
        let metrics = Arc::clone(cluster.metrics());
        let (events, pipeline) = Pipeline::build(
            config,
            path,
            cluster.enricher(),
            origins,
            Arc::clone(&metrics),
            status.recent().cloned(),
        )?;
        let unwatched_since = kept.and_then(Checkpoint::written);
        let (sources, health) = cluster.sources(&watches, since, unwatched_since, events);
        let tables = pipeline.tables.subscribe();
        let checkpointer = Checkpointer::new(
            store,
            uid,
            since,
            cluster.namespaces().to_vec(),
            watches,
            tables.clone(),
        );
        let reloader = Reloader::new(
            file,
            names,
            pipeline.tables.clone(),
            Arc::clone(&pipeline.backlog),
            metrics,
            status,
            asked,
        );
        let log = Arc::new(ClusterLog::new(cluster, since));
        let catch_up = CatchUp::new(log, Arc::clone(&pipeline.backlog), tables);
        Ok(Self {
            sources,
            pipeline,
            catch_up,
            checkpointer,
            in_use: reloader.in_use(),
            reloader,
            health,
        })
    }

    /// What comes of the events.
    pub fn account(&self) -> Account {
        self.pipeline.account()
    }

    /// Runs until `shutdown`, then drains for `grace` at the most.
    pub async fn run(self, shutdown: CancellationToken, grace: Duration) -> anyhow::Result<()> {
        let mut tasks = Tasks::new();
        for source in self.sources {
            let source = source.run(shutdown.clone());
            tasks.spawn(async move {
                source.await;
                Ok(Part::Essential)
            });
        }
        let account = self.pipeline.account();
        let parked = self.pipeline.spawn(&mut tasks, &shutdown);
        let catch_up = self.catch_up.run(parked, shutdown.clone());
        tasks.spawn(async move {
            catch_up.await;
            Ok(Part::Essential)
        });
        let mut checkpointer = self.checkpointer;
        let mut reloader = self.reloader;
        let ended = tokio::select! {
            // In this order: told to stop, the sources end at once, and that is no failure.
            biased;
            () = shutdown.cancelled() => {
                info!(grace = ?grace, "draining");
                drain(&mut tasks, grace).await
            }
            ended = first_failure(&mut tasks, &mut reloader, &shutdown) => Err(ended.into()),
            () = checkpointer.run() => Ok(()),
        };
        account.close(checkpointer.close().await);
        ended
    }
}

/// Waits for something to end that was not told to: whatever is left would do half the work. Starts the receivers that a
/// reload adds.
async fn first_failure(
    tasks: &mut Tasks,
    reloader: &mut Reloader,
    ending: &CancellationToken,
) -> PartEnded {
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            added = reloader.next() => {
                for receiver in added {
                    spawn_receiver(receiver, tasks, ending);
                }
                continue;
            }
        };
        match ended {
            // It was removed.
            Some(Ok(Ok(Part::Receiver))) => reloader.receiver_ended(),
            Some(Ok(Err(closed))) => return PartEnded::SinkClosed(closed),
            ended => return PartEnded::Bug(ended.and_then(Result::err)),
        }
    }
}

async fn drain(tasks: &mut Tasks, grace: Duration) -> anyhow::Result<()> {
    let mut failed = None;
    let drained = tokio::time::timeout(grace, async {
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.map_err(|error| PartEnded::Bug(Some(error)));
            failed = ended.and_then(|ended| Ok(ended?)).err().or(failed.take());
        }
    });
    let in_time = drained.await.is_ok();
    if let Some(error) = failed {
        bail!(error);
    }
    if !in_time {
        bail!("the grace period was over before everything was delivered");
    }
    info!("drained");
    Ok(())
}

/// The checkpoint that is kept, if it is one of this cluster.
fn known(kept: Option<String>, cluster: &str) -> Option<Checkpoint> {
    let checkpoint = Checkpoint::parse(&kept?)
        .inspect_err(|error| {
            warn!(
                error = crate::telemetry::chain(error),
                "starting without a checkpoint: events are listed"
            );
        })
        .ok()?;
    if !checkpoint.is_of(cluster) {
        warn!("the checkpoint is of another cluster: starting without it");
        return None;
    }
    Some(checkpoint)
}

/// By watch, up to where a receiver has had everything.
fn had(checkpoint: Option<&Checkpoint>, receiver: &str, namespaces: &[String]) -> Vec<Mark> {
    let marks = namespaces.iter().map(|namespace| Mark {
        history: 0,
        version: checkpoint.map_or(0, |checkpoint| checkpoint.version(receiver, namespace)),
    });
    marks.collect()
}

/// So many watches, each beginning where the receiver is that has come least far. That the API server has come as far as
/// any of them has in any watch is known: it counts all namespaces together.
fn watches(had: &[Vec<Mark>], watches: usize) -> Vec<Arc<Progress>> {
    let highest = had.iter().flatten().max().copied().unwrap_or_default();
    let watches = (0..watches).map(|watch| {
        let marks = had.iter().filter_map(|marks| marks.get(watch).copied());
        let lowest = marks.min().unwrap_or_default();
        Arc::new(Progress::new(lowest).with_known(highest.version))
    });
    watches.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_begins_at_the_lowest_mark_and_knows_of_the_highest() {
        let at = |version| Mark {
            history: 0,
            version,
        };
        let watches = watches(&[vec![at(7), at(0)], vec![at(5), at(90)]], 3);
        let begins: Vec<_> = watches.iter().map(|watch| watch.read()).collect();
        assert_eq!(begins, [at(5), at(0), at(0)]);
        let known: Vec<_> = watches.iter().map(|watch| watch.known()).collect();
        assert_eq!(known, [90, 90, 90]);
    }
}
