//! Leadership: delivers while the Lease is ours, and stands by while it is not.
//!
//! Without leader election this process is the only one, and delivers at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::app::{App, Kept};
use crate::checkpoint::{CheckpointFile, Store};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::lease::Lease;
use crate::reload::ConfigFile;
use crate::status::Status;

/// Where it is said who delivers, and how far it has come.
pub enum Coordination {
    /// Nowhere: this is the only process, and a start lists what there is.
    Nothing,
    /// This is the only process, and a file says how far it has come.
    File(CheckpointFile),
    /// This is the only process, and a Lease says how far it has come.
    Lease(Lease),
    /// Whoever holds the Lease delivers.
    Election(Lease),
}

/// What delivers, whenever it is its turn.
pub struct Candidate {
    /// The configuration at the start.
    pub config: Config,
    /// What it is called in messages.
    pub path: String,
    /// The file that it is read from, if it is one that can be read again.
    pub file: Option<ConfigFile>,
    /// What is watched.
    pub cluster: Arc<Cluster>,
    /// Where it is said who delivers.
    pub coordination: Coordination,
    /// What is shown of the state.
    pub status: Arc<Status>,
    /// Has the configuration read anew.
    pub reload: Arc<Notify>,
}

// === impl Candidate ===

impl Candidate {
    /// Delivers whenever it is its turn, until `shutdown`; then drains for `grace` at the most.
    pub async fn run(self, shutdown: CancellationToken, grace: Duration) -> anyhow::Result<()> {
        let Self {
            config,
            path,
            file,
            cluster,
            coordination,
            status,
            reload,
        } = self;
        let mut config = Some(config);
        loop {
            if matches!(coordination, Coordination::Election(_)) {
                status.stand_by();
            }
            let kept = tokio::select! {
                kept = coordination.turn() => kept?,
                () = shutdown.cancelled() => return Ok(()),
            };
            // It may have changed while this process stood by.
            let newest = file.as_ref().and_then(|file| read_again(file, &status));
            let oldest = || {
                let unread = file.clone().map(ConfigFile::unread);
                config.take().map(|config| (config, unread))
            };
            let Some((config, file)) = newest.or_else(oldest) else {
                coordination.give_back().await;
                shutdown.run_until_cancelled(sleep(UNREADABLE)).await;
                continue;
            };
            let app = App::build(
                config,
                &path,
                Arc::clone(&cluster),
                kept,
                file,
                Arc::clone(&reload),
                Arc::clone(&status),
            );
            let app = match app.await {
                Ok(app) => app,
                Err(error) => {
                    coordination.give_back().await;
                    return Err(error);
                }
            };
            status.lead(app.health.clone(), app.account());
            cluster.metrics().leads(true);
            tokio::select! {
                ended = app.run(shutdown.clone(), grace) => {
                    coordination.give_back().await;
                    return ended;
                }
                () = coordination.lost() => {}
            }
            // Everything that delivered has been dropped: what it held is with the successor, which reads it again.
            cluster.metrics().leads(false);
        }
    }
}

/// How long until a configuration that can't be used is looked at again.
const UNREADABLE: Duration = Duration::from_secs(10);

/// What is in the file now. Only a mistake that was made since the start can be in it.
fn read_again(file: &ConfigFile, status: &Status) -> Option<(Config, Option<ConfigFile>)> {
    let told = file.read_again().inspect_err(|problem| {
        let problem = crate::telemetry::chain(problem);
        status.refused(&problem);
        error!(error = problem, "the configuration can't be used");
    });
    told.ok().map(|(config, file)| (config, Some(file)))
}

// === impl Coordination ===

impl Coordination {
    /// Waits until it is this process's turn, and says how far its predecessor has come.
    async fn turn(&self) -> anyhow::Result<Kept> {
        let (store, checkpoint) = match self {
            Self::Nothing => return Ok(Kept::default()),
            Self::File(file) => (Store::File(file.clone()), file.read()?),
            Self::Lease(lease) => (Store::Lease(lease.clone()), lease.take().await),
            Self::Election(lease) => (Store::Lease(lease.clone()), lease.acquire().await),
        };
        let store = Some(store);
        Ok(Kept { store, checkpoint })
    }

    /// Waits until it is no longer this process's turn.
    async fn lost(&self) {
        match self {
            Self::Election(lease) => {
                let lost = lease.hold().await;
                warn!(
                    error = crate::telemetry::chain(&lost),
                    "not leading any more: standing by"
                );
            }
            _ => std::future::pending().await,
        }
    }

    /// Lets another have its turn at once.
    async fn give_back(&self) {
        if let Self::Election(lease) = self {
            match lease.release().await {
                Ok(()) => info!("the lease is given back"),
                Err(error) => warn!(
                    error = crate::telemetry::chain(&error),
                    "the lease was not given back: another takes over when its time is over"
                ),
            }
        }
    }
}
