//! A server that answers on command, for what a real one can't be made to do.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::{Receipt, Sink, SinkSettings};
use crate::event::{Compat, Event};
use crate::yaml::Problem;

/// What the sinks under test are built with.
pub(crate) const SETTINGS: SinkSettings = SinkSettings {
    timeout: std::time::Duration::from_secs(2),
    compat: Compat::Strict,
};

/// Reads a sink's part of a configuration.
pub(crate) fn config<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problem> {
    Ok(crate::yaml::parse(text, &|_| None)?.value)
}

/// An event for each letter, which is its name; alike but for that.
pub(crate) fn events(names: &str) -> Vec<Arc<Event>> {
    names.chars().map(|name| Arc::new(event(name))).collect()
}

pub(crate) fn event(name: char) -> Event {
    let mut event = Event {
        message: format!("<{name}> & co"),
        kind: "Warning".into(),
        reason: "BackOff".into(),
        last_timestamp: crate::event::Time::parse("2024-05-01T10:20:30Z"),
        ..Event::default()
    };
    event.metadata.name = name.to_string();
    event.metadata.namespace = "shop".into();
    event
}

/// Sends a batch to a sink that answers it event by event: what was rejected, and why; what to repeat, and why.
pub(crate) async fn fate(sink: &dyn Sink, names: &str) -> (Vec<(usize, String)>, Receipt) {
    let mut receipt = sink.send(&events(names)).await.unwrap();
    let rejected = std::mem::take(&mut receipt.rejected);
    let rejected = rejected.into_iter().map(|r| (r.index, r.reason)).collect();
    (rejected, receipt)
}

/// What a request was.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `POST /path`
    pub line: String,
    /// In lower case, without spaces behind the colon.
    pub headers: Vec<String>,
    /// Unpacked if it was packed.
    pub body: String,
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status, headers, a body.
    Status(u16, &'static str, String),
    /// Take the request and cut the connection.
    Cut,
    /// Take the request and say nothing, for ever.
    Silence,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub url: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers in this order, and after that with an empty 200.
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                tokio::spawn(async move {
                    let (read, mut write) = stream.into_split();
                    let mut read = BufReader::new(read);
                    while let Some(request) = request(&mut read).await {
                        seen.lock().unwrap().push(request);
                        let answer = answers.lock().unwrap().pop_front();
                        match answer.unwrap_or(Answer::Status(200, "", String::new())) {
                            Answer::Cut => return,
                            Answer::Silence => std::future::pending().await,
                            Answer::Status(code, headers, body) => {
                                let length = body.len();
                                let text = format!(
                                    "HTTP/1.1 {code} X\r\n{headers}content-length: {length}\r\n\r\n{body}"
                                );
                                if write.write_all(text.as_bytes()).await.is_err() {
                                    return;
                                }
                            }
                        }
                    }
                });
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn request(read: &mut BufReader<tokio::net::tcp::OwnedReadHalf>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let line = lines.remove(0);
    let headers: Vec<String> = lines
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| format!("{}:{}", name.to_lowercase(), value.trim()))
        .collect();
    let length = headers
        .iter()
        .find_map(|header| header.strip_prefix("content-length:")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    if headers.contains(&"content-encoding:gzip".to_owned()) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        body = plain;
    }
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    Some(Request {
        line,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}
