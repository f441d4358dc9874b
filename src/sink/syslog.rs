//! Syslog: lines as Go's `log/syslog` writes them, to a daemon on this machine or elsewhere.
//!
//! The severity is the event's (the incumbent calls everything an emergency, which daemons show on every terminal), and
//! the time is the event's own. No daemon acknowledges: what is on its way when one goes is lost.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::tz::TimeZone;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::connection::{Address, Connection, Datagrams, is_too_long, write};
use super::body::Body;
use super::preview::Preview;
use super::{Receipt, Rejection, SendError, Sink, SinkSettings};
use crate::event::Event;
use crate::yaml::{Located, Problems, Value};

mod connection;

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyslogConfig {
    /// `udp`, `tcp`, `unix`, `unixgram`; nothing for the daemon on this machine.
    network: Located<String>,
    /// `host:port`, or a path.
    address: Located<String>,
    /// The program that lines are said to be of.
    tag: Located<String>,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
}

/// The sink.
pub struct Syslog {
    address: Address,
    sender: Sender,
    body: Body,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
}

/// Who sends.
struct Sender {
    host: String,
    tag: String,
    pid: u32,
    /// In which daemons on this machine take a time to be.
    zone: TimeZone,
}

/// A message, and which event of the batch it is.
type Message = (usize, Vec<u8>);

const TAG: &str = "kubernetes-event-exporter";
const LOCAL0: u8 = 16 << 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;

// === impl Syslog ===

impl Syslog {
    /// Makes the sink. Connects nowhere.
    pub fn new(config: &SyslogConfig, settings: SinkSettings) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let tag = &config.tag;
        if tag.chars().any(|c| c.is_control() || c.is_whitespace()) {
            problems.push(tag.problem("a tag is one word"));
        }
        let address = problems.ok(Address::parse(&config.network, &config.address));
        let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat);
        let (Some(address), Some(body)) = (address, problems.ok(body)) else {
            return Err(problems);
        };
        let tag = Some(&tag.value).filter(|tag| !tag.is_empty());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "localhost",
            host => host,
        };
        problems.or(Self {
            address,
            sender: Sender {
                host: host.to_owned(),
                tag: tag.map_or_else(|| TAG.to_owned(), Clone::clone),
                pid: std::process::id(),
                zone: TimeZone::system(),
            },
            body,
            timeout: settings.timeout,
            connection: Mutex::default(),
        })
    }

    async fn send_batch(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let mut receipt = Receipt::default();
        let mut messages = Vec::with_capacity(batch.len());
        for (index, event) in batch.iter().enumerate() {
            match self.message(event) {
                Ok(message) => messages.push((index, message)),
                Err(reason) => receipt.rejected.push(Rejection { index, reason }),
            }
        }
        if messages.is_empty() {
            return Ok(receipt);
        }
        let mut open = self.connection.lock().await;
        let connection = match open.take() {
            Some(connection) => connection,
            None => self.within(self.address.connect()).await?,
        };
        let connection = match connection {
            Connection::Datagrams(datagrams) => {
                self.send_each(&datagrams, &messages, &mut receipt).await;
                Connection::Datagrams(datagrams)
            }
            Connection::Lines(mut stream) => {
                let lines: Vec<Vec<u8>> = messages.into_iter().map(|(_, line)| line).collect();
                let written = write(&mut *stream, &lines.concat(), self.timeout).await;
                written.map_err(|error| self.failure(&error))?;
                Connection::Lines(stream)
            }
        };
        // After a failure, another attempt begins with another connection.
        *open = Some(connection).filter(|_| receipt.retry_cause.is_none());
        Ok(receipt)
    }

    /// Sends datagrams, and adds to `receipt` what was not sent.
    async fn send_each(&self, datagrams: &Datagrams, messages: &[Message], receipt: &mut Receipt) {
        for (at, (index, message)) in messages.iter().enumerate() {
            let sent = timeout(self.timeout, datagrams.send(message)).await;
            match sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(()) => {}
                Err(error) if is_too_long(&error) => receipt.rejected.push(Rejection {
                    index: *index,
                    reason: format!("too long for a datagram: {} bytes", message.len()),
                }),
                // This is about what went before.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.repeat(messages, &error, receipt);
                    return;
                }
                Err(error) => {
                    self.repeat(&messages[at..], &error, receipt);
                    return;
                }
            }
        }
        if let Err(error) = datagrams.check() {
            self.repeat(messages, &error, receipt);
        }
    }

    fn repeat(&self, messages: &[Message], error: &io::Error, receipt: &mut Receipt) {
        let rejected = |index| receipt.rejected.iter().any(|one| one.index == index);
        let indices = messages.iter().map(|(index, _)| *index);
        receipt.retry = indices.filter(|&index| !rejected(index)).collect();
        receipt.retry_cause = Some(self.failure(error));
    }

    async fn within<T>(
        &self,
        attempt: impl Future<Output = io::Result<T>>,
    ) -> Result<T, SendError> {
        timeout(self.timeout, attempt)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &io::Error) -> SendError {
        SendError::transient(format!("cannot send to {}: {error}", self.address))
    }

    fn message(&self, event: &Event) -> Result<Vec<u8>, String> {
        let mut message = Vec::with_capacity(1024);
        self.sender
            .append_head(event, self.address.is_local(), &mut message)
            .map_err(|error| error.to_string())?;
        self.body
            .append(event, &mut message)
            .map_err(|error| error.to_string())?;
        message.push(b'\n');
        Ok(message)
    }
}

impl Sink for Syslog {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.send_batch(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        self.body.reads_object()
    }

    fn preview(&self, event: &Event) -> Result<Preview, String> {
        self.message(event).map(|line| Preview::of(&line))
    }
}

// === impl Sender ===

impl Sender {
    /// `<134>2024-05-01T10:20:30Z host tag[7]: `; to a local daemon `<134>May  1 10:20:30 tag[7]: `
    fn append_head(&self, event: &Event, local: bool, to: &mut Vec<u8>) -> io::Result<()> {
        let Self { host, tag, pid, .. } = self;
        let severity = match event.kind.as_str() {
            "Warning" => WARNING,
            _ => INFO,
        };
        let priority = LOCAL0 | severity;
        let time = event.occurred();
        if local {
            let time = time.civil();
            let here = jiff::tz::Offset::UTC
                .to_timestamp(time)
                .map_or(time, |time| self.zone.to_datetime(time));
            let stamp = here.strftime("%b %e %H:%M:%S");
            write!(to, "<{priority}>{stamp} {tag}[{pid}]: ")
        } else {
            write!(to, "<{priority}>{} {host} {tag}[{pid}]: ", time.seconds())
        }
    }
}

#[cfg(test)]
mod tests;
