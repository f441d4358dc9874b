//! The Router: takes events from the source's queue, asks the route tree, and puts them into the receivers' queues.
//!
//! Where a rule that decides, or a receiver, needs to know the involved object, the enricher has the event first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tracing::warn;

use crate::batch::{BatchLimits, BatchQueue, QueueSender};
use crate::enrich::Enricher;
use crate::event::Event;
use crate::metrics::{ReceiverMetrics, RouterMetrics};
use crate::receiver::OnFull;
use crate::route::{ReceiverId, Resolution, Route};

/// Moves events until its queue ends, then lets the receivers' queues end.
pub struct Router {
    events: BatchQueue,
    enricher: Enricher,
    route: Route,
    /// By [`ReceiverId`].
    outlets: Vec<Outlet>,
    metrics: RouterMetrics,
    in_hand: InHand,
}

/// How many events the router has taken and not put into all of their queues yet: the rest of a batch, and those that wait
/// for lookups.
#[derive(Debug, Clone, Default)]
pub struct InHand(Arc<AtomicUsize>);

/// The way into one receiver.
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// Its queue.
    pub queue: QueueSender,
    /// What to do when that is full.
    pub on_full: OnFull,
    /// Whether it writes what a lookup of the involved object adds.
    pub reads_object: bool,
    /// Where drops are counted.
    pub metrics: ReceiverMetrics,
}

/// Take whatever is there, at once.
const AT_ONCE: BatchLimits = BatchLimits {
    max_events: 256,
    max_bytes: 1 << 20,
    max_delay: Duration::ZERO,
};

// === impl Router ===

impl Router {
    /// A router from `events` to `outlets`.
    pub fn new(
        events: BatchQueue,
        enricher: Enricher,
        route: Route,
        outlets: Vec<Outlet>,
        metrics: RouterMetrics,
    ) -> Self {
        Self {
            events,
            enricher,
            route,
            outlets,
            metrics,
            in_hand: InHand::default(),
        }
    }

    /// What it has in hand, at any time.
    pub fn in_hand(&self) -> InHand {
        self.in_hand.clone()
    }

    /// Runs until the source's queue is closed and empty, and no event waits for a lookup.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                // Those that have waited go first.
                biased;
                event = self.enricher.next(), if self.enricher.is_waiting() => {
                    self.deliver_completed(event).await;
                }
                events = self.events.next(AT_ONCE), if self.enricher.has_room() => {
                    let Some(events) = events else { break };
                    self.in_hand.0.fetch_add(events.len(), Ordering::Relaxed);
                    for event in events {
                        self.take(event).await;
                    }
                }
            }
        }
        while self.enricher.is_waiting() {
            let event = self.enricher.next().await;
            self.deliver_completed(event).await;
        }
    }

    /// Delivers an event, or leaves it with the enricher for a while if anybody cares about its object.
    async fn take(&mut self, event: Arc<Event>) {
        self.metrics.happened(&event);
        let resolution = self.route.resolve(&event);
        if self.enricher.is_on() && self.reads_object(&resolution) {
            match self.enricher.enrich(event) {
                None => {}
                Some(event) if resolution.reads_object => self.deliver_completed(event).await,
                // What is known of the object now changes nothing about who gets the event.
                Some(event) => self.deliver(event, resolution).await,
            }
            return;
        }
        self.deliver(event, resolution).await;
    }

    fn reads_object(&self, resolution: &Resolution) -> bool {
        let outlets = resolution.receivers.iter();
        let mut outlets = outlets.filter_map(|&ReceiverId(at)| self.outlets.get(at));
        resolution.reads_object || outlets.any(|outlet| outlet.reads_object)
    }

    async fn deliver_completed(&mut self, event: Arc<Event>) {
        let resolution = self.route.resolve(&event);
        self.deliver(event, resolution).await;
    }

    async fn deliver(&mut self, event: Arc<Event>, resolution: Resolution) {
        if resolution.receivers.is_empty() {
            let cause = if resolution.dropped {
                &self.metrics.drop_rule
            } else {
                &self.metrics.no_route
            };
            cause.inc();
        }
        for ReceiverId(at) in resolution.receivers {
            if let Some(outlet) = self.outlets.get(at) {
                outlet.push(Arc::clone(&event)).await;
            }
        }
        self.in_hand.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl InHand ===

impl InHand {
    /// How many.
    pub fn events(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Outlet ===

impl Outlet {
    async fn push(&self, event: Arc<Event>) {
        match self.on_full {
            // Waiting here fills the source's queue, and then the source closes its watch.
            OnFull::Park => self.queue.push(event).await,
            OnFull::Drop => {
                if !self.queue.try_push(&event) {
                    if self.metrics.queue_full.get() == 0 {
                        warn!(
                            receiver = self.name,
                            "the queue is full: dropping events, as `onFull: drop` says"
                        );
                    }
                    self.metrics.queue_full.inc();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::time::Instant;

    use super::*;
    use crate::batch::queue;
    use crate::config::Config;
    use crate::enrich::DEADLINE;
    use crate::enrich::testing::{Server, UID, about, has_all};
    use crate::sink::SinkSettings;

    /// A router with queues that nobody empties, by the configuration's routes and receivers.
    fn router(config: &str, server: &Server) -> (QueueSender, Router, Vec<BatchQueue>) {
        let config = Config::parse(config, &|_| None).unwrap().config;
        let names: Vec<&str> = config
            .receivers
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        let route = Route::compile(&config.route, &names, &mut Vec::new()).unwrap();
        let (mut outlets, mut queues) = (Vec::new(), Vec::new());
        for receiver in config.receivers {
            let settings = SinkSettings {
                timeout: receiver.timeout,
                compat: receiver.compat,
            };
            let (sender, waiting) = queue(1 << 20);
            outlets.push(Outlet {
                metrics: server.metrics.receiver(&receiver.name, sender.probe()),
                name: receiver.name,
                queue: sender,
                on_full: OnFull::Park,
                reads_object: receiver.sink.build(settings).unwrap().reads_object(),
            });
            queues.push(waiting);
        }
        let (events, source) = queue(1 << 20);
        let metrics = server.metrics.router();
        let router = Router::new(source, server.enricher(), route, outlets, metrics);
        (events, router, queues)
    }

    /// The names of the objects whose events are there.
    fn taken(queue: &mut BatchQueue) -> Vec<String> {
        let batch = queue.next(AT_ONCE).now_or_never().flatten();
        let names = batch.into_iter().flatten();
        names
            .map(|event| event.involved_object.name.clone())
            .collect()
    }

    #[test]
    fn only_what_writes_it_needs_the_object() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        for (receiver, expected) in [
            ("stdout: {}", true),
            ("stdout: {layout: {}}", true),
            ("stdout: {format: text}", false),
            ("stdout: {layout: {a: \"{{ .Message }}\", b: 1}}", false),
            (
                "stdout: {layout: {a: [{b: \"{{ .InvolvedObject.Labels.app }}\"}]}}",
                true,
            ),
            (
                "stdout: {layout: \"{{ .InvolvedObject.Annotations.app }}\"}",
                true,
            ),
            (
                "stdout: {layout: {a: \"{{ .InvolvedObject.Deleted }}\"}}",
                true,
            ),
            (
                "stdout: {layout: {a: \"{{ .InvolvedObject.Name }} {{ .Labels.app }}\"}}",
                false,
            ),
            ("file: {path: /tmp/x}", true),
            ("file: {path: /tmp/x, layout: {a: b}}", false),
            ("file: {path: /dev/stdout, layout: {a: b}}", false),
            ("webhook: {endpoint: \"http://h\"}", true),
            ("webhook: {endpoint: \"http://h\", layout: {a: b}}", false),
            (
                "webhook: {endpoint: \"http://h/{{ .InvolvedObject.Labels.app }}\", layout: {a: b}}",
                true,
            ),
            (
                "webhook: {endpoint: \"http://h\", headers: {x: \"{{ .InvolvedObject.Labels.app }}\"}, layout: {a: b}}",
                true,
            ),
            ("opensearch: {hosts: \"http://h\", index: i}", true),
            (
                "opensearch: {hosts: \"http://h\", index: i, layout: {a: b}}",
                false,
            ),
            (
                "opensearch: {hosts: \"http://h\", index: \"i-{{ .InvolvedObject.Labels.app }}\", layout: {a: b}}",
                true,
            ),
            (
                "opensearch: {hosts: \"http://h\", indexFormat: \"{2006}-{{ .InvolvedObject.Labels.app }}\", layout: {a: b}}",
                true,
            ),
            (
                "loki: {url: \"http://h\", streamLabels: {a: b}, layout: {a: b}}",
                false,
            ),
            ("loki: {url: \"http://h\", streamLabels: {a: b}}", true),
            (
                "loki: {url: \"http://h\", streamLabels: {a: \"{{ .InvolvedObject.Labels.app }}\"}, layout: {a: b}}",
                true,
            ),
            (
                "slack: {webhook: \"http://h\", message: \"{{ .Message }}\"}",
                false,
            ),
            (
                "slack: {webhook: \"http://h\", message: m, fields: {app: \"{{ .InvolvedObject.Labels.app }}\"}}",
                true,
            ),
            (
                "slack: {token: t, channel: \"{{ .InvolvedObject.Labels.app }}\", message: m}",
                true,
            ),
            ("teams: {endpoint: \"http://h\", layout: {text: b}}", false),
            ("teams: {endpoint: \"http://h\"}", true),
            ("opsgenie: {apiKey: k, message: m}", false),
            (
                "opsgenie: {apiKey: k, message: m, tags: [\"{{ .InvolvedObject.Labels.app }}\"]}",
                true,
            ),
            (
                "opsgenie: {apiKey: k, message: m, details: {a: \"{{ .InvolvedObject.Labels.app }}\"}}",
                true,
            ),
            ("syslog: {network: udp, address: \"h:514\", tag: t}", true),
            (
                "syslog: {network: udp, address: \"h:514\", tag: t, layout: {a: b}}",
                false,
            ),
            ("pipe: {path: /tmp/x}", true),
            ("pipe: {path: /tmp/x, layout: {a: b}}", false),
        ] {
            let text = format!("route: {{}}\nreceivers: [{{name: r, {receiver}}}]");
            let config = Config::parse(&text, &|_| None).unwrap().config;
            let receiver_config = config.receivers.into_iter().next().unwrap();
            let settings = SinkSettings {
                timeout: receiver_config.timeout,
                compat: receiver_config.compat,
            };
            let sink = receiver_config.sink.build(settings).unwrap();
            assert_eq!(sink.reads_object(), expected, "{receiver}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_waits_for_its_object_only_where_somebody_needs_that() {
        let server = Server::start(has_all(Duration::from_secs(60)));
        let config = "
route: {match: [{kind: Pod, receiver: whole}, {kind: ConfigMap, receiver: short}]}
receivers:
- {name: whole, stdout: {}}
- {name: short, stdout: {layout: {a: \"{{ .Message }}\"}}}
";
        let (events, router, mut queues) = router(config, &server);
        events.push(about("Pod", "web-0", UID)).await;
        events.push(about("ConfigMap", "settings", UID)).await;
        // Nobody wants this one.
        events.push(about("Node", "node1", UID)).await;
        let mut run = Box::pin(router.run());
        assert!(run.as_mut().now_or_never().is_none());
        assert_eq!(taken(&mut queues[1]), ["settings"]);
        assert_eq!(taken(&mut queues[0]), [""; 0], "it is being looked up");
        let start = Instant::now();
        drop(events);
        run.await;
        assert_eq!(start.elapsed(), DEADLINE, "the end waits for it too");
        assert_eq!(taken(&mut queues[0]), ["web-0"], "without labels");
        assert_eq!(
            server.requests(),
            ["/api/v1", "/api/v1/namespaces/shop/pods/web-0"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn rules_on_labels_are_asked_when_the_labels_are_known() {
        let server = Server::start(has_all(Duration::from_millis(5)));
        let config = "
route:
  routes:
  - {match: [{labels: {app: ^web}, receiver: web}]}
  - {drop: [{annotations: {kubectl.kubernetes.io/last-applied-configuration: \"\"}}], match: [{receiver: rest}]}
  - {drop: [{not: {labels: {app: ^api}}}], match: [{receiver: api}]}
receivers:
- {name: web, stdout: {format: text}}
- {name: rest, stdout: {format: text}}
- {name: api, stdout: {format: text}}
";
        let (events, router, mut queues) = router(config, &server);
        for name in ["web-0", "api-0", "web-1", "web-0"] {
            events.push(about("Pod", name, UID)).await;
        }
        drop(events);
        router.run().await;
        let mut web = taken(&mut queues[0]);
        web.sort();
        assert_eq!(web, ["web-0", "web-0", "web-1"]);
        assert_eq!(taken(&mut queues[1]), [""; 0]);
        assert_eq!(taken(&mut queues[2]), ["api-0"]);
        assert_eq!(server.count("found"), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_no_queue_is_in_hand() {
        let server = Server::start(has_all(Duration::from_millis(100)));
        let config = "
route: {match: [{kind: Node, receiver: short}, {kind: Pod, receiver: whole}]}
receivers:
- {name: short, stdout: {format: text}}
- {name: whole, stdout: {}}
";
        let (events, router, _queues) = router(config, &server);
        let in_hand = router.in_hand();
        for name in ["web-0", "web-1", "web-2"] {
            events.push(about("Pod", name, UID)).await;
        }
        events.push(about("Node", "node1", UID)).await;
        drop(events);
        let mut run = std::pin::pin!(router.run());
        assert!((&mut run).now_or_never().is_none());
        assert_eq!(in_hand.events(), 3, "those that wait for lookups");
        run.await;
        assert_eq!(in_hand.events(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_holds_up_nothing_for_long() {
        let server = Server::start(has_all(Duration::from_secs(3600)));
        let config = "route: {match: [{receiver: out}]}\nreceivers: [{name: out, stdout: {}}]";
        let (events, router, mut queues) = router(config, &server);
        let start = Instant::now();
        let fed = async {
            for at in 0..20_000 {
                events.push(about("Pod", &format!("web-{at}"), UID)).await;
            }
            drop(events);
        };
        let mut out = queues.remove(0);
        let read = async {
            let mut events = 0;
            while let Some(batch) = out.next(AT_ONCE).await {
                events += batch.len();
            }
            events
        };
        let ((), (), events) = tokio::join!(fed, router.run(), read);
        assert_eq!(events, 20_000);
        // Once, for those that were under way and those that came into their places; then it is let be.
        assert!(start.elapsed() <= 2 * DEADLINE, "{:?}", start.elapsed());
    }
}
