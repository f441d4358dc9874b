//! What the API server can do to a watcher, by a server that does it on command.

use std::pin::Pin;

use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use tokio::time::timeout;

use super::*;
use crate::event::Event;
use crate::source::testing::{
    Reply, Server, Then, added, end_of_list, failure, frame, page, status,
};

type Updates = Pin<Box<dyn Stream<Item = Result<Update<Event>, WatchError>>>>;

fn watch(server: &Server, config: WatchConfig) -> Updates {
    Box::pin(watcher(server.client.clone(), config))
}

fn paged() -> WatchConfig {
    WatchConfig {
        path: "/api/v1/events".into(),
        start: None,
        known: 0,
        streaming_lists: false,
        watch_timeout: Duration::from_secs(120),
        grace: Duration::from_secs(10),
        page_size: 2,
    }
}

fn resumed(version: u64) -> WatchConfig {
    WatchConfig {
        start: Some(version.to_string()),
        ..paged()
    }
}

/// What happens until the watcher has nothing to say for a while, as short words. Waits between errors are skipped.
async fn story(watch: &mut Updates, length: usize) -> Vec<String> {
    let mut story = Vec::new();
    while story.len() < length {
        let item = timeout(Duration::from_secs(20), watch.next())
            .await
            .expect("something happens")
            .unwrap();
        story.push(match item {
            Ok(Update::Init { reason, .. }) => format!("init:{}", reason.as_str()),
            Ok(Update::InitApply(event)) => format!("list {}", event.metadata.resource_version),
            Ok(Update::InitDone { version, .. }) => format!("done {version}"),
            Ok(Update::Apply(event)) => format!("apply {}", event.metadata.resource_version),
            Ok(Update::Delete(version)) => format!("delete {version}"),
            Ok(Update::Progress(version)) => format!("progress {version}"),
            Ok(Update::Opened(version)) => format!("open {version}"),
            Ok(Update::Malformed { cause, .. }) => format!("malformed:{cause}"),
            Err(error) => format!("error:{}", error.cause()),
        });
    }
    story
}

async fn expect(replies: Vec<Reply>, config: WatchConfig, expected: &[&str]) -> Vec<String> {
    let server = Server::start(replies).await;
    let mut watch = watch(&server, config);
    assert_eq!(story(&mut watch, expected.len()).await, expected);
    server.requests()
}

#[tokio::test]
async fn a_first_start_lists_by_pages_and_watches_from_the_first_page() {
    // A page after an expired token is of a later version: watching from there would miss what changed in between.
    let requests = expect(
        vec![
            page(10, [3, 1], "next/1"),
            page(12, [2], ""),
            Reply::Frames(added([11, 13]), Then::Silence),
        ],
        paged(),
        &[
            "init:first_start",
            "list 3",
            "list 1",
            "list 2",
            "done 10",
            "open 10",
            "apply 11",
            "apply 13",
        ],
    )
    .await;
    assert_eq!(
        requests,
        [
            "limit=2",
            "limit=2&continue=next%2F1",
            "watch=true&resourceVersion=10"
        ]
    );
}

#[tokio::test]
async fn a_first_start_streams_the_list_where_it_can() {
    let mut frames = added([3, 1, 2]);
    frames.push(end_of_list(10));
    frames.extend(added([11]));
    let requests = expect(
        vec![Reply::Frames(frames, Then::Silence)],
        WatchConfig {
            streaming_lists: true,
            ..paged()
        },
        &[
            "init:first_start",
            "list 3",
            "list 1",
            "list 2",
            "done 10",
            "apply 11",
        ],
    )
    .await;
    assert_eq!(
        requests,
        ["watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion="]
    );
}

#[tokio::test]
async fn where_streaming_lists_are_switched_off_pages_do() {
    expect(
        vec![
            status(422, "sendInitialEvents is forbidden"),
            page(10, [1], ""),
            Reply::Frames(added([11]), Then::Silence),
        ],
        WatchConfig {
            streaming_lists: true,
            ..paged()
        },
        &[
            "init:first_start",
            "list 1",
            "done 10",
            "open 10",
            "apply 11",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_streaming_list_that_is_cut_off_begins_again_and_then_by_pages() {
    expect(
        vec![
            Reply::Frames(added([1]), Then::Cut),
            Reply::Frames(added([1]), Then::Close),
            page(10, [1, 2], ""),
        ],
        WatchConfig {
            streaming_lists: true,
            ..paged()
        },
        &[
            "init:first_start",
            "list 1",
            "error:interrupted",
            "init:first_start",
            "list 1",
            "error:closed_at_once",
            "init:first_start",
            "list 1",
            "list 2",
            "done 10",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_streaming_list_that_is_refused_twice_goes_by_pages() {
    let requests = expect(
        vec![
            status(504, "timeout"),
            Reply::Cut,
            status(504, "timeout"),
            page(10, [1], ""),
        ],
        WatchConfig {
            streaming_lists: true,
            ..paged()
        },
        &[
            "error:refused",
            "error:unreachable",
            "error:refused",
            "init:first_start",
            "list 1",
            "done 10",
        ],
    )
    .await;
    assert!(requests[2].contains("sendInitialEvents"), "{requests:?}");
    assert_eq!(requests[3], "limit=2");
}

#[tokio::test]
async fn a_start_version_is_resumed_without_a_list() {
    let requests = expect(
        vec![page(9, [], ""), Reply::Frames(added([6]), Then::Silence)],
        resumed(5),
        &["open 5", "apply 6"],
    )
    .await;
    assert_eq!(requests, ["limit=1", "watch=true&resourceVersion=5"]);
}

#[tokio::test]
async fn a_start_version_from_the_servers_future_is_worth_nothing() {
    expect(
        vec![
            page(4, [], ""),
            page(4, [1, 2], ""),
            Reply::Frames(added([5]), Then::Silence),
        ],
        resumed(900),
        &[
            "init:ahead",
            "list 1",
            "list 2",
            "done 4",
            "open 4",
            "apply 5",
        ],
    )
    .await;
}

#[tokio::test]
async fn fault_16_a_server_that_was_away_may_come_back_from_a_backup() {
    expect(
        vec![
            page(900, [], ""),
            status(500, "going down"),
            page(4, [], ""),
            page(4, [1], ""),
        ],
        resumed(900),
        &["error:refused", "init:ahead", "list 1", "done 4", "open 4"],
    )
    .await;
}

#[tokio::test]
async fn fault_42_a_server_that_is_behind_what_others_know_has_another_history() {
    // Its versions have passed ours again, and not those of who is further on.
    let known = |start: WatchConfig| WatchConfig {
        known: 900,
        ..start
    };
    let told = ["init:ahead", "list 1", "done 20", "open 20"];
    let list = || page(20, [1], "");
    expect(vec![page(20, [], ""), list()], known(resumed(5)), &told).await;
    let nowhere = [&["init:first_start"], &told[..]].concat();
    expect(vec![list(), list()], known(paged()), &nowhere).await;
    let streamed = || Reply::Frames([added([1]), vec![end_of_list(20)]].concat(), Then::Silence);
    let streaming = WatchConfig {
        streaming_lists: true,
        ..known(paged())
    };
    let story = [
        "init:first_start",
        "list 1",
        "init:ahead",
        "list 1",
        "done 20",
    ];
    expect(vec![streamed(), streamed()], streaming, &story).await;
}

#[tokio::test]
async fn fault_42_a_server_may_be_restored_while_all_is_listed() {
    let expired = || Reply::Frames(vec![failure(410, "Expired")], Then::CloseLater);
    expect(
        vec![
            page(900, [], ""),
            expired(),
            status(500, "going down"),
            page(20, [1, 2], ""),
            page(20, [1, 2], ""),
        ],
        resumed(900),
        &[
            "open 900",
            "init:expired",
            "error:refused",
            "init:ahead",
            "list 1",
            "list 2",
            "done 20",
        ],
    )
    .await;
}

#[tokio::test]
async fn fault_42_a_server_may_be_restored_between_two_pages() {
    let told = ["init:first_start", "list 1", "list 2"];
    let restored = ["init:ahead", "list 1", "done 20"];
    for refusal in [
        status(500, "required revision is a future revision"),
        Reply::Cut,
    ] {
        let error = match refusal {
            Reply::Cut => "error:unreachable",
            _ => "error:refused",
        };
        let replies = vec![
            page(900, [1, 2], "token"),
            refusal,
            page(20, [1], ""),
            page(20, [1], ""),
        ];
        let story = [&told[..], &[error], &restored].concat();
        expect(replies, paged(), &story).await;
    }
    // A server that only was away goes on with the list.
    let replies = vec![
        page(900, [1, 2], "token"),
        status(500, "going down"),
        page(901, [1], "another"),
        page(900, [3], ""),
    ];
    let story = [&told[..], &["error:refused", "list 3", "done 900"]].concat();
    let requests = expect(replies, paged(), &story).await;
    assert_eq!(requests[2..4], ["limit=1", "limit=2&continue=token"]);
}

#[tokio::test]
async fn fault_42_a_list_that_begins_again_remembers_how_far_the_server_was() {
    // Its versions have passed what was known at the start, and not what the list was of.
    let replies = vec![
        page(20, [], ""),
        Reply::Frames(vec![failure(410, "Expired")], Then::CloseLater),
        page(900, [8], "token"),
        status(410, "expired"),
        page(20, [1, 8], ""),
        page(20, [1, 8], ""),
    ];
    let story = [
        "open 5",
        "init:expired",
        "list 8",
        "init:ahead",
        "list 1",
        "list 8",
        "done 20",
    ];
    expect(replies, resumed(5), &story).await;
}

#[tokio::test]
async fn fault_42_etcd_may_be_restored_behind_a_server_that_stays() {
    // Watches from a version of the old history are silent, whatever came before, and end in good order.
    for had in [None, Some(901)] {
        let had_so_far = had.map(|version| format!("apply {version}"));
        let story: Vec<&str> = ["open 900"]
            .into_iter()
            .chain(had_so_far.as_deref())
            .chain(["init:ahead", "list 1", "done 20"])
            .collect();
        let replies = vec![
            page(900, [], ""),
            Reply::Frames(added(had), Then::CloseLater),
            page(20, [], ""),
            page(20, [1], ""),
        ];
        expect(replies, resumed(900), &story).await;
    }
}

#[tokio::test]
async fn a_list_that_reaches_back_has_no_gap() {
    let expired = || Reply::Frames(vec![failure(410, "Expired")], Then::CloseLater);
    for (versions, reaches_back) in [([5, 9], true), ([8, 9], false)] {
        let replies = vec![page(9, [], ""), expired(), page(9, versions, "")];
        let server = Server::start(replies).await;
        let mut watch = watch(&server, resumed(7));
        let done = loop {
            if let Update::InitDone { reaches_back, .. } = watch.next().await.unwrap().unwrap() {
                break reaches_back;
            }
        };
        assert_eq!(done, reaches_back, "{versions:?}");
    }
}

#[tokio::test]
async fn fault_17_a_quiet_cluster_expires_again_and_again_and_that_is_no_error() {
    let expired = || Reply::Frames(vec![failure(410, "Expired")], Then::CloseLater);
    expect(
        vec![
            page(20, [], ""),
            expired(),
            page(20, [], ""),
            expired(),
            page(20, [], ""),
        ],
        resumed(20),
        &[
            "open 20",
            "init:expired",
            "done 20",
            "open 20",
            "init:expired",
            "done 20",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_expired_version_is_recovered_by_a_list_of_what_is_newer() {
    expect(
        vec![
            page(20, [], ""),
            Reply::Frames(vec![failure(410, "Expired")], Then::Close),
            page(20, [3, 7, 5], ""),
        ],
        resumed(5),
        &["open 5", "init:expired", "list 7", "done 20"],
    )
    .await;
}

#[tokio::test]
async fn fault_14_http_status_410_at_the_start_of_a_watch_is_expiry_too() {
    expect(
        vec![
            page(20, [], ""),
            status(410, "Gone"),
            page(20, [3, 7, 5], ""),
        ],
        resumed(5),
        &["init:expired", "list 7", "done 20"],
    )
    .await;
}

#[tokio::test]
async fn fault_15_a_version_that_fails_twice_is_given_up() {
    let compacted = || Reply::Frames(vec![failure(500, "InternalError")], Then::Close);
    expect(
        vec![
            page(20, [], ""),
            compacted(),
            page(20, [], ""),
            compacted(),
            page(20, [6], ""),
        ],
        resumed(5),
        &[
            "open 5",
            "error:refused",
            "open 5",
            "error:refused",
            "init:failing",
            "list 6",
            "done 20",
        ],
    )
    .await;
}

#[tokio::test]
async fn fault_15_an_etcd_without_leader_says_nothing_against_a_version() {
    let requests = expect(
        vec![
            page(20, [], ""),
            Reply::Frames(vec![failure(500, "etcdserver: no leader")], Then::Close),
            status(500, "etcdserver: no leader"),
            page(20, [], ""),
            Reply::Frames(added([6, 7]), Then::Silence),
        ],
        resumed(5),
        &[
            "open 5",
            "error:refused",
            "error:refused",
            "open 5",
            "apply 6",
            "apply 7",
        ],
    )
    .await;
    assert_eq!(requests[2..4], ["limit=1", "limit=1"]);
}

#[tokio::test]
async fn a_version_from_which_every_watch_closes_at_once_is_given_up() {
    let closed = || Reply::Frames(vec![], Then::Close);
    expect(
        vec![
            page(20, [], ""),
            closed(),
            page(20, [], ""),
            closed(),
            page(20, [6], ""),
        ],
        resumed(5),
        &[
            "open 5",
            "error:closed_at_once",
            "open 5",
            "error:closed_at_once",
            "init:closed_at_once",
            "list 6",
            "done 20",
        ],
    )
    .await;
}

#[tokio::test]
async fn fault_20_a_cut_connection_is_resumed_from_the_last_whole_frame() {
    let half = vec![
        frame("ADDED", 6),
        frame("DELETED", 7),
        frame("ADDED", 8)[..20].to_owned(),
    ];
    let requests = expect(
        vec![
            page(20, [], ""),
            Reply::Frames(half, Then::Cut),
            page(20, [], ""),
            Reply::Frames(added([8]), Then::Silence),
        ],
        resumed(5),
        &[
            "open 5",
            "apply 6",
            "delete 7",
            "error:interrupted",
            "open 7",
            "apply 8",
        ],
    )
    .await;
    assert_eq!(requests.last().unwrap(), "watch=true&resourceVersion=7");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for() {
    expect(
        vec![Reply::Cut, Reply::Cut, page(10, [1], "")],
        paged(),
        &[
            "init:first_start",
            "error:unreachable",
            "error:unreachable",
            "list 1",
            "done 10",
        ],
    )
    .await;
}

#[tokio::test]
async fn fault_13_a_busy_servers_wish_is_obeyed() {
    let server = Server::start(vec![Reply::Busy(429, 1), page(10, [1], "")]).await;
    let mut watch = watch(&server, paged());
    let start = Instant::now();
    assert_eq!(
        story(&mut watch, 3).await,
        ["init:first_start", "error:refused", "list 1"]
    );
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn fault_21_a_broken_frame_is_skipped_and_the_watch_goes_on() {
    let frames = vec![
        frame("ADDED", 6),
        "{\"type\":\"ADDED\",\"obj\n".into(),
        "{\"type\":\"NEW\",\"object\":{}}\n".into(),
        frame("MODIFIED", 7),
    ];
    let requests = expect(
        vec![page(20, [], ""), Reply::Frames(frames, Then::Silence)],
        resumed(5),
        &[
            "open 5",
            "apply 6",
            "malformed:not_json",
            "malformed:unexpected",
            "apply 7",
        ],
    )
    .await;
    assert_eq!(requests.len(), 2, "the same watch");
}

#[tokio::test]
async fn fault_21_an_odd_object_does_not_poison_its_list() {
    let list = r#"{"metadata":{"resourceVersion":"9"},"items":[{"metadata":7,"count":"x"},{"metadata":{"uid":"u","resourceVersion":"4"}}]}"#;
    expect(
        vec![Reply::Status(200, list.into())],
        paged(),
        &["init:first_start", "list ", "list 4", "done 9"],
    )
    .await;
}

#[tokio::test]
async fn fault_19_a_half_open_connection_is_given_up_after_its_deadline() {
    let config = WatchConfig {
        watch_timeout: Duration::from_secs(1),
        grace: Duration::ZERO,
        ..resumed(5)
    };
    expect(
        vec![
            page(20, [], ""),
            Reply::Frames(added([6]), Then::Silence),
            page(20, [], ""),
            Reply::Frames(added([7]), Then::Silence),
        ],
        config,
        &["open 5", "apply 6", "error:silent", "open 6", "apply 7"],
    )
    .await;
}

#[tokio::test]
async fn fault_18_a_list_whose_token_expires_goes_on_where_the_server_offers_it() {
    let gone = r#"{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"m","metadata":{"continue":"later"}}"#;
    let requests = expect(
        vec![
            page(10, [1], "token"),
            Reply::Status(410, gone.into()),
            page(15, [2], ""),
        ],
        paged(),
        &["init:first_start", "list 1", "list 2", "done 10"],
    )
    .await;
    assert_eq!(requests[2], "limit=2&continue=later");
}

#[tokio::test]
async fn fault_18_a_list_whose_token_expires_for_good_begins_again() {
    let requests = expect(
        vec![
            page(10, [1], "token"),
            status(410, "expired"),
            page(15, [1, 2], ""),
        ],
        paged(),
        &["init:first_start", "list 1", "list 1", "list 2", "done 15"],
    )
    .await;
    assert_eq!(requests[2], "limit=8", "and in larger pages");
}

#[tokio::test]
async fn fault_18_a_token_that_the_server_does_not_know_begins_the_list_again() {
    expect(
        vec![
            page(10, [1], "token"),
            status(400, "continue key is not valid"),
            page(15, [1, 2], ""),
        ],
        paged(),
        &["init:first_start", "list 1", "list 1", "list 2", "done 15"],
    )
    .await;
}

#[tokio::test]
async fn fault_23_where_events_are_heavy_pages_have_fewer() {
    let Reply::Status(code, text) = page(10, [1], "first") else {
        panic!("a page")
    };
    let padded = format!("{{\"pad\":\"{}\",{}", "x".repeat(5 << 20), &text[1..]);
    let heavy = Reply::Status(code, padded);
    let requests = expect(
        vec![
            heavy.clone(),
            heavy.clone(),
            // On its own it is taken.
            heavy,
            page(10, [2], "second"),
            page(10, [3], ""),
        ],
        WatchConfig {
            page_size: 8,
            ..paged()
        },
        &["init:first_start", "list 1", "list 2", "list 3", "done 10"],
    )
    .await;
    let lists = [
        "limit=8",
        "limit=2",
        "limit=1",
        "limit=2&continue=first",
        "limit=4&continue=second",
    ];
    assert_eq!(requests[..5], lists);
}

#[tokio::test]
async fn nothing_the_server_does_makes_a_busy_loop() {
    let closed = (0..1000).map(|_| Reply::Frames(vec![], Then::Close));
    let refused = (0..1000).map(|_| status(500, "no"));
    let expired = (0..1000).map(|_| Reply::Frames(vec![failure(410, "Expired")], Then::Close));
    // A server that lists, and then no longer has the version of its own list.
    let forgetful = (0..500).flat_map(|_| [page(20, [], ""), status(410, "Gone")]);
    let streamed = (0..1000).map(|_| {
        let frames = vec![end_of_list(20), failure(410, "Expired")];
        Reply::Frames(frames, Then::Close)
    });
    // Or not its own tokens, not even those that it offers.
    let disowned = (0..500).flat_map(|_| [page(20, [], "token"), status(410, "Gone")]);
    let offer = r#"{"kind":"Status","code":410,"metadata":{"continue":"later"}}"#;
    let offered = (0..1000).map(|turn| match turn {
        0 => page(20, [], "token"),
        _ => Reply::Status(410, offer.into()),
    });
    let streaming = WatchConfig {
        streaming_lists: true,
        ..paged()
    };
    for (replies, config) in [
        (closed.collect::<Vec<_>>(), resumed(5)),
        (refused.collect(), resumed(5)),
        (expired.collect(), resumed(5)),
        (forgetful.collect(), resumed(5)),
        (streamed.collect(), streaming),
        (disowned.collect(), paged()),
        (offered.collect(), paged()),
    ] {
        let server = Server::start(replies).await;
        let backoff = crate::source::Reconnects::new();
        let watch = watcher::<Event>(server.client.clone(), config).backoff(backoff);
        // The watch's only time limit here: three seconds of whatever it does. Waits double from 0.2 s.
        let _ = timeout(Duration::from_secs(3), watch.for_each(|_| async {})).await;
        let requests = server.requests().len();
        assert!(requests < 30, "{requests} requests in three seconds");
    }
}
