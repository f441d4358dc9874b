//! The cluster that is watched: its watches, and who it is.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::batch::QueueSender;
use crate::catch_up::EventLog;
use crate::config::Config;
use crate::enrich::Enricher;
use crate::event::Time;
use crate::health::WatchHealth;
use crate::mark::{Mark, Progress};
use crate::metrics::{Metrics, SourceMetrics};
use crate::source::{OnOtherHistory, Source, SourceConfig};

/// What is watched, and how.
pub struct Cluster {
    client: Client,
    /// One watch each; an empty name is all of them.
    namespaces: Vec<String>,
    name: String,
    max_event_age: Duration,
    /// Completes nothing itself: it is what others are made of.
    enricher: Enricher,
    metrics: Arc<Metrics>,
}

/// A cluster's events, as a log that can be read again.
pub struct ClusterLog {
    cluster: Arc<Cluster>,
    since: Time,
}

/// How long a watch is kept open, at least; at most half as long again.
const WATCH_TIMEOUT: Duration = Duration::from_mins(2);
/// How long past that its connection counts as alive.
const WATCH_GRACE: Duration = Duration::from_secs(10);
/// How long the start is held up to learn who the cluster is.
const UID_DEADLINE: Duration = Duration::from_secs(5);

// === impl Cluster ===

impl Cluster {
    /// What the configuration wants watched.
    pub fn new(client: Client, config: &Config, metrics: Arc<Metrics>) -> Self {
        let lookups = metrics.lookups();
        let enricher = Enricher::new(client.clone(), config.lookup.as_ref(), lookups);
        Self {
            client,
            namespaces: match config.namespaces.as_slice() {
                [] => vec![String::new()],
                namespaces => namespaces.to_vec(),
            },
            name: config.cluster_name.clone(),
            max_event_age: config.max_event_age,
            enricher,
            metrics,
        }
    }

    /// What its watches are of, in their order; empty for all namespaces.
    pub fn namespaces(&self) -> &[String] {
        &self.namespaces
    }

    /// Where all of it is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What is older on a first start is left out.
    pub fn max_event_age(&self) -> Duration {
        self.max_event_age
    }

    /// Completes events. All of a cluster's together keep to its limits.
    pub fn enricher(&self) -> Enricher {
        self.enricher.another()
    }

    /// The uid of the cluster, which is that of its namespace kube-system; empty if it can't be had.
    pub async fn uid(&self) -> String {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = timeout(UID_DEADLINE, namespaces.get_metadata("kube-system")).await;
        let error = match found {
            Ok(Ok(namespace)) => return namespace.metadata.uid.unwrap_or_default(),
            Ok(Err(error)) => crate::telemetry::chain(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        warn!(
            error,
            "cannot tell which cluster this is (`get` on the namespace kube-system does): versions have to tell"
        );
        String::new()
    }

    /// A source for each watch, and its health; each begins where its progress is. Where there is nothing to begin at, events
    /// from before `since` are left out.
    pub fn sources(
        &self,
        watches: &[Arc<Progress>],
        since: Time,
        unwatched_since: Option<Time>,
        events: QueueSender,
    ) -> (Vec<Source>, Vec<Arc<WatchHealth>>) {
        let config = SourceConfig {
            unwatched_since,
            ..self.source_config(since, OnOtherHistory::StartOver)
        };
        self.each(watches, &config, &self.metrics.source(), events)
    }

    fn source_config(&self, since: Time, on_other_history: OnOtherHistory) -> SourceConfig {
        SourceConfig {
            namespace: None,
            cluster_name: self.name.clone(),
            since,
            unwatched_since: None,
            watch: 0,
            on_other_history,
            watch_timeout: WATCH_TIMEOUT,
            watch_grace: WATCH_GRACE,
        }
    }

    fn each(
        &self,
        watches: &[Arc<Progress>],
        config: &SourceConfig,
        metrics: &SourceMetrics,
        events: QueueSender,
    ) -> (Vec<Source>, Vec<Arc<WatchHealth>>) {
        let events = Arc::new(events);
        let deadline = WATCH_TIMEOUT + WATCH_TIMEOUT / 2 + 2 * WATCH_GRACE;
        let (mut sources, mut healths) = (Vec::new(), Vec::new());
        for (watch, (namespace, progress)) in self.namespaces.iter().zip(watches).enumerate() {
            let namespace = Some(namespace.clone()).filter(|namespace| !namespace.is_empty());
            let health = Arc::new(WatchHealth::new(namespace.as_deref(), deadline));
            let config = SourceConfig {
                namespace,
                watch,
                ..config.clone()
            };
            sources.push(Source::new(
                self.client.clone(),
                config,
                metrics.clone(),
                Arc::clone(&health),
                Arc::clone(progress),
                Arc::clone(&events),
            ));
            healths.push(health);
        }
        (sources, healths)
    }
}

// === impl ClusterLog ===

impl ClusterLog {
    /// Leaves out what the first list left out because it was from before `since`.
    pub fn new(cluster: Arc<Cluster>, since: Time) -> Self {
        Self { cluster, since }
    }
}

impl EventLog for ClusterLog {
    fn read(
        &self,
        marks: &[Mark],
        events: QueueSender,
        shutdown: CancellationToken,
    ) -> (Vec<Arc<Progress>>, BoxFuture<'static, ()>) {
        let watches: Vec<_> = marks
            .iter()
            .map(|&mark| Arc::new(Progress::new(mark)))
            .collect();
        let config = self.cluster.source_config(self.since, OnOtherHistory::Wait);
        let metrics = self.cluster.metrics.source().again();
        let (sources, _) = self.cluster.each(&watches, &config, &metrics, events);
        let reading = sources
            .into_iter()
            .map(move |source| source.run(shutdown.clone()));
        (watches, join_all(reading).map(|_| ()).boxed())
    }

    fn enricher(&self) -> Enricher {
        self.cluster.enricher()
    }
}
