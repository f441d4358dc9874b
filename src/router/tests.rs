use futures::FutureExt as _;
use tokio::time::Instant;

use super::*;
use crate::batch::{BatchLimits, BatchQueue, queue};
use crate::config::Config;
use crate::enrich::DEADLINE;
use crate::enrich::testing::{Server, UID, about, has_all};
use crate::pipeline::{build_delivery, compile};

/// Take whatever is there.
const AT_ONCE: BatchLimits = BatchLimits {
    max_events: 256,
    max_bytes: 1 << 20,
    max_delay: Duration::ZERO,
};

/// A router with queues that nobody empties, by the configuration's routes and receivers.
fn router(config: &str, server: &Server) -> (QueueSender, Router, Vec<BatchQueue>) {
    let config = Config::parse(config, &|_| None).unwrap().config;
    let (events, source) = queue(1 << 20);
    let intake = Intake::new(source, events.probe(), server.enricher(), Vec::new());
    let route = compile(&config).unwrap();
    let (mut legs, mut queues) = (Vec::new(), Vec::new());
    for receiver in config.receivers {
        let name = receiver.name.clone();
        let reads_object = build_delivery(receiver).unwrap().sink.reads_object();
        let (sender, waiting) = queue(1 << 20);
        let metrics = server.metrics.receiver(&name, sender.probe());
        let outlet = Outlet::new(
            name,
            sender,
            metrics,
            Vec::new(),
            Arc::clone(intake.backlog()),
        );
        legs.push(Leg {
            outlet: Arc::new(outlet),
            policy: Policy::default(),
            reads_object,
            changes: mpsc::unbounded_channel().0,
        });
        queues.push(waiting);
    }
    let (_, table) = watch::channel(Arc::new(Table { route, legs }));
    let router = Router::new(intake, table, None, server.metrics.router());
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
        let sink = build_delivery(receiver_config).unwrap().sink;
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
    let backlog = Arc::clone(router.intake.backlog());
    for name in ["web-0", "web-1", "web-2"] {
        events.push(about("Pod", name, UID)).await;
    }
    events.push(about("Node", "node1", UID)).await;
    drop(events);
    let mut run = std::pin::pin!(router.run());
    assert!((&mut run).now_or_never().is_none());
    assert_eq!(backlog.events(), 3, "those that wait for lookups");
    run.await;
    assert_eq!(backlog.events(), 0);
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
