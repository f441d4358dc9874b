use futures::FutureExt as _;
use tokio::time::Instant;

use super::*;
use crate::batch::{Batch, BatchLimits, BatchQueue, queue};
use crate::config::Config;
use crate::enrich::DEADLINE;
use crate::enrich::testing::{Server, UID, about, has_all};
use crate::event::Time;
use crate::mark::{Mark, Origin, Progress};
use crate::pipeline::{build_delivery, compile, policy};
use crate::receiver::Receiver;

/// Take whatever is there.
const AT_ONCE: BatchLimits = BatchLimits {
    max_events: 256,
    max_bytes: 1 << 20,
    max_delay: Duration::ZERO,
};

/// A router with queues that nobody empties, by the configuration's routes and receivers.
fn router(config: &str, server: &Server) -> (QueueSender, Router, Vec<BatchQueue>) {
    router_with(config, server, None)
}

/// As [`router`], with somewhere to park receivers.
fn router_with(
    config: &str,
    server: &Server,
    parking: Option<mpsc::UnboundedSender<Parked>>,
) -> (QueueSender, Router, Vec<BatchQueue>) {
    let config = Config::parse(config, &|_| None).unwrap().config;
    let (events, source) = queue(1 << 20);
    let intake = Intake::new(source, events.probe(), server.enricher(), Vec::new());
    let route = compile(&config).unwrap();
    let (mut legs, mut queues) = (Vec::new(), Vec::new());
    for receiver in config.receivers {
        let (name, bytes) = (receiver.name.clone(), receiver.queue_bytes);
        let policy = policy(&receiver);
        let delivery = build_delivery(receiver).unwrap();
        let reads_object = delivery.sink.reads_object();
        let (sender, waiting) = queue(bytes);
        let metrics = server.metrics.receiver(&name, &sender.probe());
        let (_, changes) = Receiver::new(name.clone(), queue(1).1, delivery, metrics.clone());
        let outlet = Outlet::new(
            name,
            sender,
            metrics,
            Vec::new(),
            Arc::clone(intake.backlog()),
        );
        legs.push(Leg {
            outlet: Arc::new(outlet),
            policy,
            reads_object,
            changes,
        });
        queues.push(waiting);
    }
    let (_, table) = watch::channel(Arc::new(Table::new(route, legs)));
    let router = Router::new(intake, table, parking, server.metrics.router());
    (events, router, queues)
}

/// The names of the objects whose events are there.
fn taken(queue: &mut BatchQueue) -> Vec<String> {
    let batch = queue.next(AT_ONCE).now_or_never().flatten();
    let names = batch.into_iter().flat_map(Batch::settle);
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
            events += batch.settle().len();
        }
        events
    };
    let ((), (), events) = tokio::join!(fed, router.run(), read);
    assert_eq!(events, 20_000);
    // Once, for those that were under way and those that came into their places; then it is let be.
    assert!(start.elapsed() <= 2 * DEADLINE, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_no_more_is_parked_and_the_others_go_on() {
    let server = Server::start(has_all(Duration::ZERO));
    let config = "
route: {match: [{receiver: full}, {receiver: free}]}
receivers:
- {name: full, queue: {maxBytes: 4KiB}, stdout: {format: text}}
- {name: free, stdout: {format: text}}
";
    let (parking, mut parked) = mpsc::unbounded_channel();
    let (events, router, mut queues) = router_with(config, &server, Some(parking));
    for at in 0..50 {
        events.push(about("Node", &format!("node-{at}"), UID)).await;
    }
    drop(events);
    let start = Instant::now();
    router.run().await;
    assert_eq!(start.elapsed(), PATIENCE, "once, not for each event");
    assert_eq!(taken(&mut queues[1]).len(), 50);
    let held = taken(&mut queues[0]).len();
    assert!((1..10).contains(&held), "{held}");
    let Parked { outlet, .. } = parked.recv().await.unwrap();
    assert!(outlet.name == "full" && !outlet.is_routed());
    let parked = "x_receiver_parked{receiver=\"full\"} ";
    assert_eq!(server.series(parked), 1);
}

#[tokio::test(start_paused = true)]
async fn fault_03_a_receiver_that_is_alone_and_slow_is_waited_for() {
    let server = Server::start(has_all(Duration::ZERO));
    let config = "route: {match: [{receiver: slow}]}\nreceivers: [{name: slow, queue: {maxBytes: 4KiB}, stdout: {format: text}}]";
    let (parking, mut parked) = mpsc::unbounded_channel();
    let (events, router, mut queues) = router_with(config, &server, Some(parking));
    for at in 0..50 {
        events.push(about("Node", &format!("node-{at}"), UID)).await;
    }
    drop(events);
    let mut slow = queues.remove(0);
    let read = async {
        let mut events = 0;
        while let Some(batch) = slow.next(AT_ONCE).await {
            tokio::time::sleep(Duration::from_secs(9)).await;
            events += batch.settle().len();
        }
        events
    };
    let ((), events) = tokio::join!(router.run(), read);
    assert_eq!(events, 50);
    assert!(parked.recv().await.is_none(), "nobody was parked");
}

#[tokio::test]
async fn a_mark_does_not_go_back_when_a_list_is_read_for_another() {
    let server = Server::start(has_all(Duration::ZERO));
    let at = |version| Mark {
        history: 0,
        version,
    };
    let (events, source) = queue(1 << 20);
    let watches = vec![Arc::new(Progress::new(at(100)))];
    let intake = Intake::new(source, events.probe(), server.enricher(), watches);
    let (sender, _waiting) = queue(1 << 20);
    let metrics = server.metrics.receiver("a", &sender.probe());
    let backlog = Arc::clone(intake.backlog());
    let outlet = Outlet::new("a".to_owned(), sender, metrics, vec![at(900)], backlog);
    let mut event = Event::clone(&about("Node", "node-0", UID));
    event.origin = Origin {
        resume: at(100),
        version: at(950),
        ..Origin::default()
    };
    let offered = outlet.offer(&Arc::new(event), Policy::default(), None);
    assert!(matches!(offered, Offer::Done(Fate::Queued)));
    assert_eq!(outlet.marks(), [at(900)]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_receiver_that_is_removed_is_counted() {
    let server = Server::start(has_all(Duration::ZERO));
    let config = "route: {match: [{receiver: full}]}\nreceivers: [{name: full, queue: {maxBytes: 4KiB}, stdout: {format: text}}]";
    let (parking, mut parked) = mpsc::unbounded_channel();
    let (events, mut router, mut queues) = router_with(config, &server, Some(parking));
    let before = Arc::clone(&router.tables.borrow());
    let (tables, table) = watch::channel(Arc::clone(&before));
    router.tables = table;
    for at in 0..50 {
        events.push(about("Node", &format!("node-{at}"), UID)).await;
    }
    drop(events);
    let remove = async {
        tokio::time::sleep(PATIENCE).await;
        before.legs[0].outlet.remove();
        let config = Config::parse("route: {}", &|_| None).unwrap().config;
        let after = Table::new(compile(&config).unwrap(), Vec::new());
        tables.send_replace(Arc::new(after));
    };
    tokio::join!(router.run(), remove);
    assert!(!taken(&mut queues[0]).is_empty());
    assert!(parked.recv().await.is_none(), "nobody was parked");
    let dropped = "x_events_dropped_total{cause=\"removed\",receiver=\"full\"} ";
    assert_eq!(server.series(dropped), 1);
}

#[tokio::test(start_paused = true)]
async fn what_happened_too_long_ago_is_not_for_a_receiver_that_says_so() {
    let server = Server::start(has_all(Duration::ZERO));
    let config = "
route: {match: [{receiver: chat}, {receiver: store}]}
receivers:
- {name: chat, maxEventAge: 10m, stdout: {format: text}}
- {name: store, stdout: {format: text}}
";
    let (events, router, mut queues) = router(config, &server);
    for (name, minutes) in [("old", 11), ("new", 9)] {
        let mut event = Event::clone(&about("Node", name, UID));
        let ago = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        event.last_timestamp = Time::parse(&ago.to_string());
        events.push(Arc::new(event)).await;
    }
    drop(events);
    router.run().await;
    assert_eq!(taken(&mut queues[0]), ["new"]);
    assert_eq!(taken(&mut queues[1]), ["old", "new"]);
    let dropped = "x_events_dropped_total{cause=\"max_event_age\",receiver=\"chat\"} ";
    assert_eq!(server.series(dropped), 1);
}

#[tokio::test(start_paused = true)]
async fn fault_50_a_throttle_counts_once_what_a_catch_up_reads_again() {
    let server = Server::start(has_all(Duration::ZERO));
    let config = "
route:
  routes:
  - {match: [{receiver: free}]}
  - {throttle: {period: 1m}, match: [{receiver: calm}]}
receivers:
- {name: free, stdout: {format: text}}
- {name: calm, queue: {maxBytes: 4KiB}, stdout: {format: text}}
";
    let (parking, mut parked) = mpsc::unbounded_channel();
    let (events, router, mut queues) = router_with(config, &server, Some(parking));
    let mut all = Vec::new();
    for at in 0..90 {
        let mut event = Event::clone(&about("Node", "node-0", UID));
        let (minute, second) = (at / 3, at % 3 * 20);
        event.last_timestamp = Time::parse(&format!("2024-05-01T10:{minute:02}:{second:02}Z"));
        event.origin.version.version = at + 1;
        all.push(Arc::new(event));
        events.push(Arc::clone(all.last().unwrap())).await;
    }
    drop(events);
    router.run().await;
    assert_eq!(taken(&mut queues[0]).len(), 90);
    let batch = queues[1].next(AT_ONCE).now_or_never().flatten().unwrap();
    let batch = batch.settle();
    let mut told: Vec<i64> = batch.iter().map(|event| event.suppressed).collect();
    assert!((2..10).contains(&told.len()), "{told:?}");

    // What was held back since is read again, what there was no room for too, and the rest for the first time.
    let Parked { outlet, .. } = parked.recv().await.unwrap();
    let config = Config::parse(config, &|_| None).unwrap().config;
    let resolution = compile(&config).unwrap().resolve(&all[0]);
    let last = batch.last().unwrap().origin.version;
    for event in all.iter().filter(|event| event.origin.version > last) {
        let passed = outlet.throttles.pass(resolution.throttle(1), event);
        told.extend(passed.map(|event| event.suppressed));
    }
    assert_eq!(told.remove(0), 0);
    assert_eq!(told, [2; 29]);
    let throttled = "x_events_throttled_total{receiver=\"calm\"} ";
    assert_eq!(server.series(throttled), 60);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_for_want_of_room_leaves_its_place_to_the_next() {
    let server = Server::start(has_all(Duration::ZERO));
    let config = "
route: {throttle: {period: 1h}, match: [{receiver: chat}]}
receivers: [{name: chat, onFull: drop, queue: {maxBytes: 1KiB}, stdout: {format: text}}]
";
    let (events, router, mut queues) = router(config, &server);
    // Of each kind one fits, or none; the second kind's place is taken by whichever comes when there is room.
    for (name, version) in [("a", 1), ("b", 2), ("b", 3)] {
        let mut event = Event::clone(&about("Node", name, UID));
        event.origin.version.version = version;
        events.push(Arc::new(event)).await;
    }
    drop(events);
    router.run().await;
    assert_eq!(taken(&mut queues[0]), ["a"]);
    let dropped = "x_events_dropped_total{cause=\"queue_full\",receiver=\"chat\"} ";
    assert_eq!(
        server.series(dropped),
        2,
        "the second is not held back for the first"
    );
}

#[tokio::test]
async fn people_see_each_event_once_and_where_it_went() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = Server::start(has_all(Duration::ZERO));
    let (events, router, _queues) = router(
        "route: {drop: [{reason: noise}], match: [{labels: {app: one}, receiver: labelled}, {receiver: young}]}
receivers: [{name: labelled, stdout: {format: text}}, {name: young, maxEventAge: 1h, stdout: {format: text}}]",
        &server,
    );
    let recent = Arc::new(Recent::default());
    let table = Arc::clone(&router.tables.borrow());
    let router = router.shown_to(Some(Arc::clone(&recent)));
    for (name, reason, time) in [
        ("one", "", Some(Time::now())),
        ("three", "noise", None),
        ("two", "", None),
    ] {
        events
            .push(Arc::new(Event {
                reason: reason.to_owned(),
                last_timestamp: time,
                ..(*about("Pod", name, UID)).clone()
            }))
            .await;
    }
    drop(events);
    router.run().await;
    let last = recent.last();
    let mut seen: Vec<_> = last
        .iter()
        .map(|seen| {
            let went = seen.went.iter().map(|one| (one.to.as_str(), one.fate));
            let name = seen.event.involved_object.name.as_str();
            (name, went.collect::<Vec<_>>(), seen.dropped)
        })
        .collect();
    seen.sort_by_key(|(name, ..)| *name);
    let one = vec![("labelled", Fate::Queued), ("young", Fate::Queued)];
    let expected = [
        ("one", one, false),
        ("three", vec![], true),
        ("two", vec![("young", Fate::TooOld)], false),
    ];
    assert_eq!(seen, expected);
    // Once, though what reads labels is resolved once more when they are known.
    assert_eq!(table.hits.counted(), [1, 1, 2]);
}
