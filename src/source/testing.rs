//! An API server that does on command what a real one can do to whoever watches it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use kube::Client;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;

use super::watcher::HEALTHY_AFTER;

/// One answer of the server.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
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
pub(crate) enum Then {
    /// The end of the answer, in good order.
    Close,
    /// The connection is cut.
    Cut,
    /// Nothing, for ever.
    Silence,
    /// As [`Then::Close`], but the watch has been open for a while by then.
    CloseLater,
}

pub(crate) struct Server {
    pub(crate) client: Client,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers in this order; after that, with watches that stay open and silent.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
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

    /// The requests so far, reduced to what they ask for.
    pub(crate) fn requests(&self) -> Vec<String> {
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

pub(crate) fn object(version: u64) -> String {
    format!(
        r#"{{"metadata":{{"name":"e{version}","namespace":"n","uid":"u{version}","resourceVersion":"{version}"}}}}"#
    )
}

pub(crate) fn frame(kind: &str, version: u64) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", object(version))
}

pub(crate) fn added(versions: impl IntoIterator<Item = u64>) -> Vec<String> {
    versions
        .into_iter()
        .map(|version| frame("ADDED", version))
        .collect()
}

pub(crate) fn end_of_list(version: u64) -> String {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{version}\",\"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
    )
}

pub(crate) fn failure(code: u16, reason: &str) -> String {
    format!(
        "{{\"type\":\"ERROR\",\"object\":{{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":{code},\"reason\":\"{reason}\",\"message\":\"said so\"}}}}\n"
    )
}

pub(crate) fn page(version: u64, items: impl IntoIterator<Item = u64>, next: &str) -> Reply {
    let items: Vec<String> = items.into_iter().map(object).collect();
    Reply::Status(
        200,
        format!(
            r#"{{"metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{}]}}"#,
            items.join(",")
        ),
    )
}

pub(crate) fn status(code: u16, message: &str) -> Reply {
    Reply::Status(
        code,
        format!(r#"{{"kind":"Status","status":"Failure","code":{code},"message":"{message}"}}"#),
    )
}
