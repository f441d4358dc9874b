//! The Lease: who of several processes delivers, and how far it has come.
//!
//! One coordination.k8s.io Lease holds both: its holder delivers, and an annotation of it is the checkpoint. Every write names
//! the version that it replaces, so whoever has lost the Lease without knowing can't overwrite what its successor has
//! written. Two that deliver for a moment do no harm: ids and versions make what they write the same.
//!
//! A Lease is free if nobody holds it, or if its holder has not renewed it for as long as it promised, by the clock of the
//! one who watches: clocks of other machines are not believed, as in Kubernetes' own components. Whoever ends in good order
//! gives it back, and the next takes it within a second.
//!
//! Needed rights: `get` and `update` on the Lease, and `create`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use thiserror::Error;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use crate::outage::Outage;

/// Where the Lease is, and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What we are called as its holder: no two processes have the same.
    pub identity: String,
}

/// One Lease; clones are the same.
#[derive(Clone)]
pub struct Lease {
    api: Arc<Api<Object>>,
    config: Arc<LeaseConfig>,
    state: Arc<Mutex<State>>,
    /// The checkpoint that was to be kept and could not be.
    unsaved: Arc<watch::Sender<Option<String>>>,
    /// When the last write that has succeeded began.
    renewed: Arc<watch::Sender<Instant>>,
}

#[derive(Default)]
struct State {
    /// As it was read or written last; `None` if that is not known.
    object: Option<Object>,
    /// It is ours as soon as it can be written, whoever is said to hold it.
    is_owed: bool,
    /// Nobody asks whose turn it is: whoever comes has it.
    is_unasked: bool,
    /// Who held it then, and since when that has not changed.
    seen: Option<(LeaseSpec, Instant)>,
    outage: Outage,
}

/// A Lease that was not written.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// Another process holds it.
    #[error("`{0}` holds the lease")]
    Lost(String),
    /// The API server did not do it.
    #[error("the lease was not written")]
    Api(#[source] kube::Error),
    /// The API server did not answer in time.
    #[error("the lease was not written: no answer in time")]
    Late,
    /// The checkpoint has more than an annotation can hold.
    #[error(
        "the checkpoint has {0} bytes, more than an annotation holds: name fewer namespaces, or keep it in a file"
    )]
    TooLarge(usize),
}

/// For how long the holder has it without renewing it.
const DURATION: Duration = Duration::from_secs(15);
/// After so long without success the holder steps back, before others take over.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often the holder renews it.
const RENEW: Duration = Duration::from_secs(2);
/// How often others look.
const LOOK: Duration = Duration::from_secs(1);
/// Where whoever comes takes it, one that has not written for so long is gone: where nothing happens at all, marks move when
/// watches are opened anew, every five to ten minutes.
const GONE: Duration = Duration::from_mins(15);
/// How long one request may take: two fit into the time that the holder has.
const REQUEST: Duration = Duration::from_secs(3);
const CHECKPOINT: &str = "kubernetes-event-exporter/checkpoint";
/// All annotations of an object together have 256 KiB.
const MAX_CHECKPOINT: usize = 200 << 10;

// === impl Lease ===

impl Lease {
    /// A Lease that has not been looked at.
    pub fn new(client: Client, config: LeaseConfig) -> Self {
        Self {
            api: Arc::new(Api::namespaced(client, &config.namespace)),
            config: Arc::new(config),
            state: Arc::default(),
            unsaved: Arc::default(),
            renewed: Arc::new(watch::Sender::new(Instant::now())),
        }
    }

    /// Waits until it is ours; returns the checkpoint that is in it. If nobody else has had it since, the one that was to be in it.
    pub async fn acquire(&self) -> Option<String> {
        let mut told = false;
        loop {
            let mut state = self.state.lock().await;
            match self.try_acquire(&mut state).await {
                Ok(()) => {
                    let unsaved = self.unsaved.send_replace(None);
                    state.outage.over();
                    info!(
                        lease = self.config.name,
                        identity = self.config.identity,
                        "leading"
                    );
                    return unsaved.or_else(|| state.checkpoint());
                }
                Err(LeaseError::Lost(holder)) => {
                    state.outage.over();
                    if !told {
                        info!(
                            lease = self.config.name,
                            holder, "standing by: another delivers"
                        );
                        told = true;
                    }
                }
                Err(error) => self.tell(&mut state, &error),
            }
            drop(state);
            sleep(LOOK).await;
        }
    }

    /// Takes it whoever holds it, for the checkpoint in it, where one process at a time is all there is. Waits for an API server
    /// that does not answer: without the checkpoint everything would be delivered again. One that refuses is told of, and it is
    /// taken when it can be written.
    ///
    /// Whoever held it before has it back once the one who took it has not written for a quarter of an hour, as when that one ended.
    pub async fn take(&self) -> Option<String> {
        let mut state = self.state.lock().await;
        state.is_unasked = true;
        let mut checkpoint = None;
        loop {
            let taken = async {
                self.read(&mut state).await?;
                checkpoint = state.checkpoint();
                let identity = Some(self.config.identity.as_str());
                self.write(&mut state, None, identity).await
            };
            let Err(error) = taken.await else {
                state.outage.over();
                return checkpoint;
            };
            self.tell(&mut state, &error);
            if error.is_refusal() {
                state.is_owed = true;
                return checkpoint;
            }
            sleep(LOOK).await;
        }
    }

    /// Renews it until it is lost.
    pub async fn hold(&self) -> LeaseError {
        loop {
            let renewed = self.renewed();
            sleep(RENEW).await;
            // Whatever takes its time, be it the write of a checkpoint.
            let error = match timeout_at(renewed + DEADLINE, self.renew()).await {
                Ok(Ok(())) => continue,
                Ok(Err(lost @ LeaseError::Lost(_))) => return lost,
                Ok(Err(error)) => error,
                Err(_) => LeaseError::Late,
            };
            if self.renewed().elapsed() + RENEW >= DEADLINE {
                return error;
            }
        }
    }

    async fn renew(&self) -> Result<(), LeaseError> {
        let mut state = self.state.lock().await;
        let identity = Some(self.config.identity.as_str());
        let renewed = self.write_ours(&mut state, None, identity).await;
        match &renewed {
            Ok(()) => {
                if state.outage.over().is_some() {
                    info!(lease = self.config.name, "the lease is renewed again");
                }
            }
            Err(LeaseError::Lost(_)) => {}
            Err(error) => self.tell(&mut state, error),
        }
        renewed
    }

    /// When it was renewed last.
    fn renewed(&self) -> Instant {
        *self.renewed.borrow()
    }

    /// Keeps a checkpoint in it, if it is still ours.
    pub async fn save(&self, checkpoint: &str) -> Result<(), LeaseError> {
        if checkpoint.len() > MAX_CHECKPOINT {
            return Err(LeaseError::TooLarge(checkpoint.len()));
        }
        self.unsaved.send_replace(Some(checkpoint.to_owned()));
        let mut state = self.state.lock().await;
        self.write_ours(&mut state, Some(checkpoint), Some(&self.config.identity))
            .await?;
        self.unsaved.send_replace(None);
        Ok(())
    }

    /// Gives it back, if it is still ours.
    pub async fn release(&self) -> Result<(), LeaseError> {
        let mut state = self.state.lock().await;
        self.write_ours(&mut state, None, None).await
    }

    async fn try_acquire(&self, state: &mut State) -> Result<(), LeaseError> {
        let identity = &self.config.identity;
        self.read(state).await?;
        if let Some(holder) = state.holder_before_expiry(identity) {
            return Err(LeaseError::Lost(holder));
        }
        if state.holder().as_ref() != Some(identity) {
            // Somebody else has had it since. Not even if this write is the one whose answer is lost.
            self.unsaved.send_replace(None);
        }
        self.write(state, None, Some(identity)).await
    }

    /// Writes it; once more if something else of it has changed meanwhile.
    async fn write_ours(
        &self,
        state: &mut State,
        checkpoint: Option<&str>,
        holder: Option<&str>,
    ) -> Result<(), LeaseError> {
        for _ in 0..2 {
            if state.object.is_none() {
                self.read(state).await?;
            }
            if let Some(other) = state.successor(&self.config.identity) {
                if state.is_unasked {
                    // Only who looks again sees that it has gone.
                    state.object = None;
                }
                return Err(LeaseError::Lost(other));
            }
            match self.write(state, checkpoint, holder).await {
                Err(LeaseError::Api(kube::Error::Api(status))) if status.code == 409 => {
                    state.object = None;
                }
                written => return written,
            }
        }
        Err(LeaseError::Late)
    }

    async fn read(&self, state: &mut State) -> Result<(), LeaseError> {
        state.object = in_time(self.api.get_opt(&self.config.name)).await?;
        let spec = state.object.as_ref().and_then(|object| object.spec.clone());
        let spec = spec.unwrap_or_default();
        if state.seen.as_ref().is_none_or(|(seen, _)| *seen != spec) {
            state.seen = Some((spec, Instant::now()));
        }
        Ok(())
    }

    async fn write(
        &self,
        state: &mut State,
        checkpoint: Option<&str>,
        holder: Option<&str>,
    ) -> Result<(), LeaseError> {
        let (is_there, begun) = (state.object.is_some(), Instant::now());
        // Whether it was written after all is to be seen, if there is no answer or nobody waits for it.
        let mut object = state.object.take().unwrap_or_else(|| Object {
            metadata: ObjectMeta {
                name: Some(self.config.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let now = MicroTime(Timestamp::now());
        let spec = object.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != holder {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.holder_identity = Some(holder.unwrap_or_default().to_owned());
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        if let Some(checkpoint) = checkpoint {
            let annotations: &mut BTreeMap<_, _> =
                object.metadata.annotations.get_or_insert_default();
            annotations.insert(CHECKPOINT.to_owned(), checkpoint.to_owned());
        }
        let parameters = PostParams::default();
        let written = if is_there {
            in_time(self.api.replace(&self.config.name, &parameters, &object)).await
        } else {
            in_time(self.api.create(&parameters, &object)).await
        };
        state.object = Some(written?);
        state.is_owed = false;
        self.renewed.send_replace(begun);
        Ok(())
    }

    fn tell(&self, state: &mut MutexGuard<'_, State>, error: &LeaseError) {
        let text = crate::telemetry::chain(error);
        if state.outage.is_news(&text) {
            warn!(
                lease = self.config.name,
                error = text,
                "the lease can't be used; trying again"
            );
        }
    }
}

// === impl LeaseError ===

impl LeaseError {
    /// Whether to ask again would lead nowhere, until somebody changes our rights.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if [401, 403].contains(&status.code))
    }
}

// === impl State ===

impl State {
    fn checkpoint(&self) -> Option<String> {
        let annotations = self.object.as_ref()?.metadata.annotations.as_ref()?;
        annotations.get(CHECKPOINT).cloned()
    }

    fn holder(&self) -> Option<String> {
        let holder = self.object.as_ref()?.spec.as_ref()?.holder_identity.clone();
        holder.filter(|holder| !holder.is_empty())
    }

    /// Whoever has taken it from us.
    fn successor(&self, identity: &str) -> Option<String> {
        let holder = self.holder().filter(|holder| holder != identity)?;
        let is_gone = || {
            let seen = self.seen.as_ref();
            seen.is_some_and(|(_, since)| since.elapsed() >= GONE)
        };
        let is_ours = self.is_owed || self.is_unasked && is_gone();
        (!is_ours).then_some(holder)
    }

    /// Whoever else holds it and may still be alive.
    fn holder_before_expiry(&self, identity: &str) -> Option<String> {
        let holder = self.holder().filter(|holder| holder != identity)?;
        let (spec, since) = self.seen.as_ref()?;
        let seconds = spec.lease_duration_seconds.unwrap_or(0);
        let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        (since.elapsed() < duration).then_some(holder)
    }
}

async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    match timeout(REQUEST, request).await {
        Ok(answer) => answer.map_err(LeaseError::Api),
        Err(_) => Err(LeaseError::Late),
    }
}

#[cfg(test)]
mod tests;
