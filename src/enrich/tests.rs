//! Lookups against a scripted API server, in time that passes at once.

use futures::FutureExt as _;
use serde_json::json;
use tokio::time::{advance, sleep};

use super::api::DENIED_FOR;
use super::discovery::REFRESH;
use super::limit::PAUSE;
use super::testing::*;
use super::*;
use crate::event::InvolvedObject;

/// Enriches one event, waiting if it must.
async fn enrich(enricher: &mut Enricher, event: Arc<Event>) -> InvolvedObject {
    let event = match enricher.enrich(event) {
        Some(event) => event,
        None => enricher.next().await,
    };
    event.involved_object.clone()
}

#[tokio::test(start_paused = true)]
async fn an_event_gets_labels_annotations_and_owners() {
    let server = Server::start(has_all(MILLISECOND));
    let mut enricher = server.enricher();
    let object = enrich(&mut enricher, about("Pod", "web-0", UID)).await;
    assert_eq!(object.labels["app"], "web-0");
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    assert!(object.annotations.contains_key(applied), "as the incumbent");
    assert_eq!(object.owner_references[0].kind, "ReplicaSet");
    assert!(!object.deleted && !enricher.is_waiting() && enricher.has_room());
    assert_eq!(
        server.requests(),
        ["/api/v1", "/api/v1/namespaces/shop/pods/web-0"]
    );
    // The second is in the cache, and so is what kinds there are.
    let again = enrich(&mut enricher, about("Pod", "web-0", UID)).await;
    assert_eq!(again, object);
    enrich(&mut enricher, about("Node", "node1", UID)).await;
    assert_eq!(server.requests(), ["/api/v1/nodes/node1"]);
    assert_eq!(server.count("found"), 3);
    let incumbents = [
        "x_kube_api_read_cache_hits ",
        "x_kube_api_read_cache_misses ",
    ];
    assert_eq!(incumbents.map(|series| server.series(series)), [1, 2]);
    let own =
        ["hit", "miss"].map(|outcome| format!("x_lookup_cache_total{{outcome=\"{outcome}\"}} "));
    assert_eq!(own.map(|series| server.series(&series)), [1, 2]);
    // An answer is good for a minute.
    advance(Duration::from_mins(1)).await;
    enrich(&mut enricher, about("Pod", "web-0", UID)).await;
    assert_eq!(server.requests(), ["/api/v1/namespaces/shop/pods/web-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_heavy_answer_weighs_on_one_event_after_the_other() {
    let server = Server::start(|path| {
        let mut heavy = pod("web-0", UID);
        heavy["metadata"]["annotations"]["heavy"] = json!("x".repeat(200_000));
        match path {
            "/api/v1" => (MILLISECOND, 200, kinds()),
            _ => (MILLISECOND, 200, heavy),
        }
    });
    let mut enricher = server.enricher();
    for _ in 0..100 {
        assert!(enricher.enrich(about("Pod", "web-0", UID)).is_none());
    }
    let first = enricher.next().await;
    assert!(first.weight() > 200_000);
    // The answer is there for all of them, and in none that has not gone on; they still count as waiting.
    let lookups = enricher.lookups.as_ref().unwrap();
    let light =
        |(event, answer): &(Arc<Event>, Option<Answer>)| event.weight() < 2_000 && answer.is_some();
    assert_eq!(lookups.completed.len(), 99);
    assert!(lookups.completed.iter().all(light) && lookups.waiting_bytes > 0);
    for _ in 0..99 {
        assert!(enricher.next().await.weight() > 200_000);
    }
    assert!(!enricher.is_waiting());
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_kinds_are_never_told_holds_up_no_other() {
    let server = Server::start(|path| match path {
        "/apis/metrics.k8s.io/v1" => (Duration::from_secs(3600), 200, kinds()),
        "/api/v1" => (Duration::from_millis(400), 200, kinds()),
        path => (MILLISECOND, 200, pod(path.rsplit('/').next().unwrap(), UID)),
    });
    let mut enricher = server.enricher();
    let mut hanging = (*about("PodMetrics", "web-0", UID)).clone();
    hanging.involved_object.api_version = "metrics.k8s.io/v1".to_owned();
    assert!(enricher.enrich(Arc::new(hanging)).is_none());
    for at in 0..5 {
        assert!(
            enricher
                .enrich(about("Pod", &format!("web-{at}"), UID))
                .is_none()
        );
    }
    for _ in 0..6 {
        enricher.next().await;
    }
    assert_eq!((server.count("found"), server.count("late")), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_being_deleted_is_deleted_and_a_stranger_lends_no_labels() {
    let server = Server::start(|path| match path.rsplit('/').next().unwrap() {
        "v1" => (MILLISECOND, 200, kinds()),
        "web-0" => (MILLISECOND, 200, pod("web-0", OTHER_UID)),
        "web-1" => (MILLISECOND, 404, not_found("web-1")),
        name => {
            let mut pod = pod(name, UID);
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            (MILLISECOND, 200, pod)
        }
    });
    let mut enricher = server.enricher();
    for name in ["web-0", "web-1"] {
        let object = enrich(&mut enricher, about("Pod", name, UID)).await;
        assert!(object.deleted && object.labels.is_empty(), "{name}");
    }
    // The one who has the name now is another entry, and so is who forges a uid.
    let now = enrich(&mut enricher, about("Pod", "web-0", OTHER_UID)).await;
    assert!(!now.deleted && now.labels["app"] == "web-0");
    let terminating = enrich(&mut enricher, about("Pod", "web-2", UID)).await;
    assert!(terminating.deleted && terminating.labels["app"] == "web-2");
    server.requests();
    for name in ["web-0", "web-1"] {
        assert!(enrich(&mut enricher, about("Pod", name, UID)).await.deleted);
    }
    assert_eq!(server.requests(), [""; 0], "that it is gone is remembered");
    assert_eq!((server.count("gone"), server.count("found")), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn a_reference_without_api_version_or_uid_is_found_by_name_and_never_thought_gone() {
    let server = Server::start(has_all(MILLISECOND));
    let mut enricher = server.enricher();
    let node = |name: &str, uid: &str| {
        let mut event = about("Node", name, uid);
        Arc::make_mut(&mut event)
            .involved_object
            .api_version
            .clear();
        event
    };
    // As the kubelet writes of its node.
    let object = enrich(&mut enricher, node("node1", "node1")).await;
    assert!(object.labels["app"] == "node1" && !object.deleted);
    assert!(
        !enrich(&mut enricher, node("node2", OTHER_UID))
            .await
            .deleted
    );
    assert_eq!(server.count("unknown_kind"), 1);
}

#[tokio::test(start_paused = true)]
async fn lookups_of_one_object_are_one_request_and_different_ones_do_not_wait_for_each_other() {
    let server = Server::start(has_all(100 * MILLISECOND));
    let mut enricher = server.enricher();
    for at in 0..90 {
        let name = format!("web-{}", at % 30);
        assert!(enricher.enrich(about("Pod", &name, UID)).is_none());
    }
    let start = Instant::now();
    for _ in 0..90 {
        let event = enricher.next().await;
        assert_eq!(
            event.involved_object.labels["app"],
            event.involved_object.name
        );
    }
    assert_eq!(start.elapsed(), 100 * MILLISECOND);
    assert_eq!(server.requests().len(), 31, "one of them for the kinds");
    assert!(enricher.next().now_or_never().is_none() && !enricher.is_waiting());
}

#[tokio::test(start_paused = true)]
async fn there_are_so_many_requests_at_a_time_and_no_more() {
    let server = Server::start(has_all(90 * MILLISECOND));
    let mut enricher = server.enricher();
    enrich(&mut enricher, about("Pod", "first", UID)).await;
    server.requests();
    for at in 0..100 {
        let event = about("Pod", &format!("web-{at}"), UID);
        assert!(enricher.enrich(event).is_none());
    }
    sleep(50 * MILLISECOND).await;
    assert_eq!(server.requests().len(), CONCURRENCY);
    for _ in 0..100 {
        enricher.next().await;
    }
    assert_eq!((server.count("found"), server.requests().len()), (97, 64));
    // The last four would have had too little time left.
    assert_eq!(server.count("limited"), 4);
    assert!(
        enricher.enrich(about("Pod", "next", UID)).is_none(),
        "which is no failure of the server's"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_costs_half_a_second_once_in_a_while() {
    let server = Server::start(has_all(Duration::from_secs(60)));
    let mut enricher = server.enricher();
    for at in 0..5 {
        assert!(
            enricher
                .enrich(about("Pod", &at.to_string(), UID))
                .is_none()
        );
    }
    let start = Instant::now();
    for _ in 0..5 {
        let event = enricher.next().await;
        assert!(event.involved_object.labels.is_empty() && !event.involved_object.deleted);
    }
    assert_eq!(start.elapsed(), DEADLINE);
    assert_eq!(server.count("late"), 5);
    server.requests();
    for at in 0..1000 {
        let event = enricher.enrich(about("Pod", &at.to_string(), UID));
        assert!(event.is_some(), "goes out at once");
    }
    assert_eq!(server.count("paused"), 1000);
    // One tries again, and the others do not wait for that.
    advance(PAUSE).await;
    assert!(enricher.enrich(about("Pod", "probe", UID)).is_none());
    assert!(enricher.enrich(about("Pod", "other", UID)).is_some());
    enricher.next().await;
    assert_eq!(server.requests(), ["/api/v1/namespaces/shop/pods/probe"]);
    assert!(
        enricher.enrich(about("Pod", "other", UID)).is_some(),
        "still"
    );
    // And when it answers, all is as before.
    server.answer(has_all(MILLISECOND));
    advance(PAUSE).await;
    enrich(&mut enricher, about("Pod", "probe", UID)).await;
    for name in ["a", "b"] {
        assert!(enricher.enrich(about("Pod", name, UID)).is_none());
    }
    for _ in 0..2 {
        assert!(!enricher.next().await.involved_object.labels.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_answer_costs_no_other_its_labels() {
    let server = Server::start(|path| match path {
        "/apis/slow/v1" => (MILLISECOND, 200, kinds()),
        path if path.starts_with("/apis/slow") => (Duration::from_secs(60), 200, json!({})),
        path => has_all(MILLISECOND)(path),
    });
    let mut enricher = server.enricher();
    for at in 0..10 {
        let mut slow = about("Pod", &format!("slow-{at}"), UID);
        Arc::make_mut(&mut slow).involved_object.api_version = "slow/v1".to_owned();
        enricher.enrich(slow);
    }
    for _ in 0..10 {
        enricher.next().await;
    }
    let object = enrich(&mut enricher, about("Pod", "web-0", UID)).await;
    assert_eq!(object.labels["app"], "web-0");
    let mut slow = about("Pod", "slow", UID);
    Arc::make_mut(&mut slow).involved_object.api_version = "slow/v1".to_owned();
    assert!(enricher.enrich(slow).is_some(), "let be");
}

#[tokio::test(start_paused = true)]
async fn errors_are_not_remembered_and_make_a_pause_too() {
    let server = Server::start(|path| match path {
        "/api/v1" => (MILLISECOND, 200, kinds()),
        _ => (MILLISECOND, 503, json!({})),
    });
    let mut enricher = server.enricher();
    for _ in 0..3 {
        let object = enrich(&mut enricher, about("Pod", "web-0", UID)).await;
        assert!(!object.deleted && object.labels.is_empty());
    }
    assert_eq!(server.requests().len(), 4);
    assert!(enricher.enrich(about("Pod", "web-0", UID)).is_some());
    assert_eq!((server.count("failed"), server.count("paused")), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_would_wait_too_long_for_a_token_goes_out_at_once() {
    let server = Server::start(has_all(MILLISECOND));
    let mut enricher = server.limited(Some(RateLimit {
        per_second: 10.0,
        burst: 3,
    }));
    let mut wait = |name: &str| enricher.enrich(about("Pod", name, UID)).is_none();
    let waits = ["a", "b", "c", "d", "e", "f", "g"].map(&mut wait);
    assert_eq!(waits, [true, true, true, true, true, false, false]);
    assert_eq!(server.count("limited"), 2);
    assert!(enricher.another().enrich(about("Pod", "h", UID)).is_some());
    assert_eq!(server.count("limited"), 3, "the limit is one for all");
    for _ in 0..5 {
        assert!(!enricher.next().await.involved_object.labels.is_empty());
    }
    assert!(
        enricher.enrich(about("Pod", "a", UID)).is_some(),
        "no token for what is known"
    );
    assert_eq!(server.count("found"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_forbidden_is_remembered_for_a_while() {
    let server = Server::start(|path| match path {
        "/api/v1" => (MILLISECOND, 200, kinds()),
        path if path.contains("configmaps") => (MILLISECOND, 403, json!({"message": "no"})),
        path => (MILLISECOND, 200, pod(path.rsplit('/').next().unwrap(), UID)),
    });
    let mut enricher = server.enricher();
    for name in ["a", "b", "c"] {
        let object = enrich(&mut enricher, about("ConfigMap", name, UID)).await;
        assert!(!object.deleted && object.labels.is_empty());
    }
    assert!(
        !enrich(&mut enricher, about("Pod", "a", UID))
            .await
            .labels
            .is_empty()
    );
    let asked = server.requests();
    assert_eq!(
        asked
            .iter()
            .filter(|path| path.contains("configmaps"))
            .count(),
        1
    );
    assert_eq!(server.count("forbidden"), 3);
    server.answer(has_all(MILLISECOND));
    advance(DENIED_FOR).await;
    let object = enrich(&mut enricher, about("ConfigMap", "a", UID)).await;
    assert!(!object.labels.is_empty(), "granted meanwhile");
}

#[tokio::test(start_paused = true)]
async fn rights_are_by_namespace_where_namespaces_are_watched_one_by_one() {
    for (by_namespace, asked) in [(true, 3), (false, 2)] {
        let server = Server::start(|path| match path {
            "/api/v1" => (MILLISECOND, 200, kinds()),
            _ => (MILLISECOND, 403, json!({})),
        });
        let config = LookupConfig {
            cache_size: 100,
            limit: None,
            by_namespace,
        };
        let mut enricher = Enricher::new(server.client(), Some(&config), server.metrics.lookups());
        for namespace in ["shop", "test", "shop", "test"] {
            let mut event = about("Pod", "web-0", UID);
            Arc::make_mut(&mut event).involved_object.namespace = namespace.to_owned();
            enrich(&mut enricher, event).await;
        }
        assert_eq!(server.requests().len(), asked, "one of them for the kinds");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_there_is_asked_for_now_and_then() {
    let server = Server::start(has_all(MILLISECOND));
    let mut enricher = server.enricher();
    enrich(&mut enricher, about("Pod", "a", UID)).await;
    server.requests();
    for name in ["a", "b", "c"] {
        assert!(enricher.enrich(about("Widget", name, UID)).is_some());
    }
    assert_eq!(server.requests(), [""; 0], "the list is young");
    advance(REFRESH).await;
    for name in ["a", "b", "c"] {
        enrich(&mut enricher, about("Widget", name, UID)).await;
    }
    assert_eq!(server.requests(), ["/api/v1"]);
    server.answer(|path| match path {
        "/api/v1" => {
            let widgets =
                json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": true}]});
            (MILLISECOND, 200, widgets)
        }
        path => (MILLISECOND, 200, pod(path.rsplit('/').next().unwrap(), UID)),
    });
    advance(REFRESH).await;
    let object = enrich(&mut enricher, about("Widget", "a", UID)).await;
    assert_eq!(object.labels["app"], "a", "installed meanwhile");
    // Groups that nobody has can be asked for so often, however many names an author of events thinks of.
    server.answer(|_| (MILLISECOND, 404, json!({})));
    server.requests();
    for at in 0..500 {
        let mut event = about("Widget", "a", UID);
        Arc::make_mut(&mut event).involved_object.api_version = format!("g{at}/v1");
        enrich(&mut enricher, event).await;
    }
    let asked = server.requests().len();
    assert!((20..40).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_has_moved_is_asked_for_anew_and_its_objects_are_not_thought_gone() {
    let server = Server::start(has_all(MILLISECOND));
    let mut enricher = server.enricher();
    enrich(&mut enricher, about("Pod", "a", UID)).await;
    server.answer(|_| (MILLISECOND, 404, json!("404 page not found")));
    let object = enrich(&mut enricher, about("Pod", "b", UID)).await;
    assert!(!object.deleted);
    assert_eq!(server.count("unknown_kind"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_kinds_that_does_not_come_delays_no_known_kind() {
    let server = Server::start(|path| match path {
        "/apis/slow/v1" => (Duration::from_secs(60), 200, kinds()),
        path => has_all(MILLISECOND)(path),
    });
    let mut enricher = server.enricher();
    enrich(&mut enricher, about("Pod", "a", UID)).await;
    let mut slow = about("Widget", "slow", UID);
    Arc::make_mut(&mut slow).involved_object.api_version = "slow/v1".to_owned();
    let start = Instant::now();
    assert!(enricher.enrich(Arc::clone(&slow)).is_none());
    assert!(enricher.enrich(about("Pod", "b", UID)).is_none());
    assert_eq!(enricher.next().await.involved_object.name, "b");
    assert_eq!(start.elapsed(), MILLISECOND);
    assert_eq!(enricher.next().await.involved_object.name, "slow");
    assert_eq!(start.elapsed(), DEADLINE);
    assert!(enricher.enrich(slow).is_some(), "not again at once");
    assert_eq!((server.count("late"), server.count("failed")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn there_is_room_for_so_much_and_one_that_looks_nothing_up_has_all_the_room() {
    let server = Server::start(has_all(MILLISECOND));
    let mut enricher = server.enricher();
    let mut heavy = about("Pod", "web-0", UID);
    Arc::make_mut(&mut heavy).message = "x".repeat(WAITING_BYTES);
    assert!(enricher.enrich(heavy).is_none());
    assert!(!enricher.has_room() && enricher.is_waiting());
    enricher.next().await;
    assert!(enricher.has_room() && !enricher.is_waiting());
    let mut none = Enricher::default();
    assert!(none.enrich(about("Pod", "web-0", UID)).is_some());
    assert!(none.has_room() && !none.is_waiting() && !none.is_on());
}
