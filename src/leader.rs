//! Leadership: delivers while the Lease is ours, and stands by while it is not.
//!
//! Without leader election this process is the only one, and delivers at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::{App, Kept};
use crate::checkpoint::{CheckpointFile, Store};
use crate::cluster::Cluster;
use crate::config::{Config, ConfigError};
use crate::lease::Lease;
use crate::pipeline::Pipeline;
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
    /// The text of the configuration: of the one at the start, later of the one that ran last.
    pub text: String,
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

/// After so long it is another's turn, and not a matter of asking for it.
const STANDS_BY: Duration = Duration::from_secs(5);

// === impl Candidate ===

impl Candidate {
    /// Delivers whenever it is its turn, until `shutdown`; then drains for `grace` at the most.
    pub async fn run(mut self, shutdown: CancellationToken, grace: Duration) -> anyhow::Result<()> {
        if matches!(self.coordination, Coordination::Lease(_)) {
            // Another may be delivering still, from whom nobody takes the Lease who can't.
            let receivers = Config::of_text(&self.text, &self.path)?.config.receivers;
            let mut problems = Pipeline::closed_buffers(&receivers);
            problems.extend(Pipeline::problems(receivers));
            if !problems.is_empty() {
                bail!(ConfigError::of(&self.path, problems));
            }
        }
        loop {
            let kept = tokio::select! {
                kept = self.turn() => kept?,
                () = shutdown.cancelled() => return Ok(()),
            };
            let app = match self.build(kept).await {
                Ok(app) => app,
                Err(error) => {
                    self.coordination.give_back().await;
                    return Err(error);
                }
            };
            self.status.lead(app.health.clone(), app.account());
            self.cluster.metrics().leads(true);
            let (in_use, account) = (app.in_use.clone(), app.account());
            tokio::select! {
                ended = app.run(shutdown.clone(), grace) => {
                    self.coordination.give_back().await;
                    return ended;
                }
                () = self.coordination.lost() => {}
            }
            // Everything that delivered has been dropped: what it held is with the successor, which reads it again.
            account.hand_over();
            self.cluster.metrics().leads(false);
            if let Some(text) = in_use.borrow().as_ref() {
                self.text.clone_from(text);
            }
        }
    }

    /// Waits until it is this process's turn, and says how far its predecessor has come.
    async fn turn(&self) -> anyhow::Result<Kept> {
        if !matches!(self.coordination, Coordination::Election(_)) {
            return self.coordination.turn().await;
        }
        self.status.stand_by();
        let mut turn = pin!(self.coordination.turn());
        if let Ok(kept) = timeout(STANDS_BY, &mut turn).await {
            return kept;
        }
        self.tell_of_buffers();
        turn.await
    }

    /// Shows the buffers of a replica that stands by. Nobody else has its disk: what is there waits for its next turn.
    fn tell_of_buffers(&self) {
        let Ok(loaded) = Config::of_text(&self.text, &self.path) else {
            return;
        };
        for receiver in loaded.config.receivers {
            let (name, Some(buffer)) = (receiver.name, receiver.buffer) else {
                continue;
            };
            let folder = buffer.path.display();
            match buffer.look() {
                Ok(held) => {
                    self.cluster.metrics().buffer(&name).holds(held.bytes);
                    if !held.is_settled {
                        warn!(
                            receiver = name,
                            buffer = %folder,
                            "this replica stands by with events in its buffer: they are delivered when it leads again"
                        );
                    }
                }
                Err(error) => warn!(
                    receiver = name,
                    buffer = %folder,
                    %error,
                    "the buffer of this replica, which stands by, can't be looked at"
                ),
            }
        }
    }

    /// Builds what delivers by what is in the file now, which may have changed while this process stood by. Where that can't be
    /// used, by what ran last: the reloader looks at the file too, and tells why.
    async fn build(&self, kept: Kept) -> anyhow::Result<App> {
        let Some(file) = &self.file else {
            return self.build_by(&self.text, kept).await;
        };
        let newest = async {
            let text = file.read_again()?;
            self.build_by(&text, kept.clone()).await
        };
        match newest.await {
            Ok(app) => {
                self.cluster.metrics().config_taken(true);
                Ok(app)
            }
            // If neither can be used, the file is what people can mend.
            Err(error) => self.build_by(&self.text, kept).await.map_err(|_| error),
        }
    }

    /// Builds what delivers by the configuration that reads so.
    async fn build_by(&self, text: &str, kept: Kept) -> anyhow::Result<App> {
        let loaded = Config::of_text(text, &self.path)?;
        App::build(
            loaded.config,
            &self.path,
            Arc::clone(&self.cluster),
            kept,
            self.file.clone().map(|file| file.with_text(text)),
            Arc::clone(&self.reload),
            Arc::clone(&self.status),
        )
        .await
    }
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
