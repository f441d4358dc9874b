//! What the API server can do to a watcher, by a server that does it on command.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

use super::*;
use crate::event::Event;

/// One answer of the server.
#[derive(Debug, Clone)]
enum Reply {
    /// A status and a body.
    Status(u16, String),
    /// A status, `Retry-After`, no body.
    Busy(u16, u64),
    /// Frames, then what follows.
    Frames(Vec<String>, Then),
    /// The connection is cut before an answer.
    Cut,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    /// The end of the answer, in good order.
    Close,
    /// The connection is cut.
    Cut,
    /// Nothing, for ever.
    Silence,
    /// As [`Then::Close`], but the watch has been open for a while by then.
    CloseLater,
}

type Updates = Pin<Box<dyn Stream<Item = Result<Update<Event>, WatchError>>>>;

struct Server {
    client: Client,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers in this order; after that, with watches that stay open and silent.
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let replies = Arc::new(Mutex::new(VecDeque::from(replies)));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (replies, seen) = (Arc::clone(&replies), Arc::clone(&seen));
                tokio::spawn(async move {
                    let (read, mut write) = stream.into_split();
                    let mut lines = BufReader::new(read).lines();
                    while let Ok(Some(request)) = lines.next_line().await {
                        while lines
                            .next_line()
                            .await
                            .is_ok_and(|line| line.is_some_and(|line| !line.is_empty()))
                        {
                        }
                        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                        let reply = if path == "/version" {
                            Reply::Status(200, r#"{"major":"1","minor":"34","gitVersion":"v1.34.4","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#.into())
                        } else {
                            seen.lock().unwrap().push(path);
                            let next = replies.lock().unwrap().pop_front();
                            next.unwrap_or(Reply::Frames(vec![], Then::Silence))
                        };
                        if !answer(&mut write, reply).await {
                            return;
                        }
                    }
                });
            }
        });
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let metrics = crate::metrics::Metrics::new(None).unwrap();
        let client =
            crate::source::client::connect(&kube::Config::new(url.parse().unwrap()), metrics.api())
                .unwrap();
        Self { client, requests }
    }

    fn watch(
        &self,
        config: WatchConfig,
    ) -> Pin<Box<dyn Stream<Item = Result<Update<Event>, WatchError>>>> {
        Box::pin(watcher(self.client.clone(), config))
    }

    /// The requests so far, reduced to what they ask for.
    fn requests(&self) -> Vec<String> {
        let short = |path: &String| {
            let query = path.split_once('?').map_or("", |(_, query)| query);
            let keep = |part: &&str| {
                !part.starts_with("timeoutSeconds") && !part.starts_with("allowWatchBookmarks")
            };
            query.split('&').filter(keep).collect::<Vec<_>>().join("&")
        };
        self.requests.lock().unwrap().iter().map(short).collect()
    }
}

/// False if the connection is over.
async fn answer(write: &mut OwnedWriteHalf, reply: Reply) -> bool {
    match reply {
        Reply::Cut => false,
        Reply::Status(code, body) => {
            let head = format!(
                "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            write
                .write_all(format!("{head}{body}").as_bytes())
                .await
                .is_ok()
        }
        Reply::Busy(code, seconds) => {
            let head =
                format!("HTTP/1.1 {code} X\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n");
            write.write_all(head.as_bytes()).await.is_ok()
        }
        Reply::Frames(frames, then) => {
            if then == Then::CloseLater {
                tokio::time::sleep(HEALTHY_AFTER).await;
            }
            let mut text = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
            for frame in frames {
                text.push_str(&format!("{:x}\r\n{frame}\r\n", frame.len()));
            }
            let close = matches!(then, Then::Close | Then::CloseLater);
            if close {
                text.push_str("0\r\n\r\n");
            }
            if write.write_all(text.as_bytes()).await.is_err() {
                return false;
            }
            if then == Then::Silence {
                std::future::pending::<()>().await;
            }
            close
        }
    }
}

fn object(version: u64) -> String {
    format!(
        r#"{{"metadata":{{"name":"e{version}","namespace":"n","uid":"u{version}","resourceVersion":"{version}"}}}}"#
    )
}

fn frame(kind: &str, version: u64) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", object(version))
}

fn added(versions: impl IntoIterator<Item = u64>) -> Vec<String> {
    versions
        .into_iter()
        .map(|version| frame("ADDED", version))
        .collect()
}

fn end_of_list(version: u64) -> String {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{version}\",\"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
    )
}

fn failure(code: u16, reason: &str) -> String {
    format!(
        "{{\"type\":\"ERROR\",\"object\":{{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":{code},\"reason\":\"{reason}\",\"message\":\"said so\"}}}}\n"
    )
}

fn page(version: u64, items: impl IntoIterator<Item = u64>, next: &str) -> Reply {
    let items: Vec<String> = items.into_iter().map(object).collect();
    Reply::Status(
        200,
        format!(
            r#"{{"metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{}]}}"#,
            items.join(",")
        ),
    )
}

fn status(code: u16, message: &str) -> Reply {
    Reply::Status(
        code,
        format!(r#"{{"kind":"Status","status":"Failure","code":{code},"message":"{message}"}}"#),
    )
}

fn paged() -> WatchConfig {
    WatchConfig {
        path: "/api/v1/events".into(),
        start: None,
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
            Ok(Update::InitDone(version)) => format!("done {version}"),
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
    let mut watch = server.watch(config);
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
async fn a_server_that_was_away_may_come_back_from_a_backup() {
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
async fn a_quiet_cluster_expires_again_and_again_and_that_is_no_error() {
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
async fn http_status_410_at_the_start_of_a_watch_is_expiry_too() {
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
async fn a_version_that_fails_twice_is_given_up() {
    let compacted = || Reply::Frames(vec![failure(500, "InternalError")], Then::Close);
    expect(
        vec![
            page(20, [], ""),
            compacted(),
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
async fn a_version_from_which_every_watch_closes_at_once_is_given_up() {
    let closed = || Reply::Frames(vec![], Then::Close);
    expect(
        vec![page(20, [], ""), closed(), closed(), page(20, [6], "")],
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
async fn a_cut_connection_is_resumed_from_the_last_whole_frame() {
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
async fn a_busy_servers_wish_is_obeyed() {
    let server = Server::start(vec![Reply::Busy(429, 1), page(10, [1], "")]).await;
    let mut watch = server.watch(paged());
    let start = Instant::now();
    assert_eq!(
        story(&mut watch, 3).await,
        ["init:first_start", "error:refused", "list 1"]
    );
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_broken_frame_is_skipped_and_the_watch_goes_on() {
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
async fn an_odd_object_does_not_poison_its_list() {
    let list = r#"{"metadata":{"resourceVersion":"9"},"items":[{"metadata":7,"count":"x"},{"metadata":{"uid":"u","resourceVersion":"4"}}]}"#;
    expect(
        vec![Reply::Status(200, list.into())],
        paged(),
        &["init:first_start", "list ", "list 4", "done 9"],
    )
    .await;
}

#[tokio::test]
async fn a_half_open_connection_is_given_up_after_its_deadline() {
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
async fn a_list_whose_token_expires_goes_on_where_the_server_offers_it() {
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
    assert_eq!(requests[2], "limit=8&continue=later", "and in larger pages");
}

#[tokio::test]
async fn a_list_whose_token_expires_for_good_begins_again() {
    expect(
        vec![
            page(10, [1], "token"),
            status(410, "expired"),
            page(15, [1, 2], ""),
        ],
        paged(),
        &["init:first_start", "list 1", "list 1", "list 2", "done 15"],
    )
    .await;
}

#[tokio::test]
async fn nothing_the_server_does_makes_a_busy_loop() {
    let closed = (0..1000).map(|_| Reply::Frames(vec![], Then::Close));
    let refused = (0..1000).map(|_| status(500, "no"));
    let expired = (0..1000).map(|_| Reply::Frames(vec![failure(410, "Expired")], Then::Close));
    // A server that lists, and then no longer has the version of its own list.
    let forgetful = (0..500).flat_map(|_| [page(20, [], ""), status(410, "Gone")]);
    for replies in [
        closed.collect::<Vec<_>>(),
        refused.collect(),
        expired.collect(),
        forgetful.collect(),
    ] {
        let server = Server::start(replies).await;
        let backoff = crate::source::Reconnects::new();
        let watch = watcher::<Event>(server.client.clone(), resumed(5)).backoff(backoff);
        // The watch's only time limit here: three seconds of whatever it does. Waits double from 0.2 s.
        let _ = timeout(Duration::from_secs(3), watch.for_each(|_| async {})).await;
        let requests = server.requests().len();
        assert!(requests < 30, "{requests} requests in three seconds");
    }
}
