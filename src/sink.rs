//! Sinks: where events go.
//!
//! A [`Sink`] makes one attempt at one batch and says what came of every event. It never repeats, waits, batches or
//! counts: that is the [`Receiver`](crate::receiver::Receiver)'s, so that no sink can get it wrong.
//!
//! A new sink is a file under `sink/`, a variant of [`SinkConfig`] and its arm in [`SinkConfig::build`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use thiserror::Error;

use self::body::is_empty;
use self::http::files;
use self::preview::Preview;
use crate::batch::BatchLimits;
use crate::event::{Compat, Event};
use crate::yaml::{Located, Problem, Problems, Value};

pub mod body;
pub mod file;
pub mod http;
pub mod loki;
pub mod opensearch;
pub mod opsgenie;
pub mod pipe;
pub mod preview;
pub mod slack;
pub mod stdout;
pub mod syslog;
pub mod teams;
mod templates;
#[cfg(test)]
mod testing;
pub mod webhook;

/// Makes attempts to deliver batches.
pub trait Sink: Send + Sync {
    /// Tries to deliver `batch`, which is never empty, and says what came of each event. Several attempts may be under way at
    /// once; a sink that can't write more than one batch at a time has the others wait.
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>>;

    /// Whether what it writes of an event holds what a lookup of the involved object adds: labels, annotations, owners,
    /// and whether it is gone. Where no receiver needs that, nothing is looked up.
    fn reads_object(&self) -> bool;

    /// Whether something is missing that was to be made before the first event.
    fn lacks_setup(&self) -> bool {
        false
    }

    /// What it would send for an event, for people; or why nothing could be sent. Connects nowhere.
    fn preview(&self, event: &Event) -> Result<Preview, String>;
}

/// The answer to a batch that was answered event by event. What it does not name was taken.
#[derive(Debug, Default, PartialEq)]
pub struct Receipt {
    /// Events that will never be taken.
    pub rejected: Vec<Rejection>,
    /// Events to send again, by their index in the batch.
    pub retry: Vec<usize>,
    /// Why, and when, to send those again.
    pub retry_cause: Option<SendError>,
    /// How many of the taken had been there already.
    pub duplicates: usize,
    /// The HTTP status, where there is one.
    pub status: Option<u16>,
}

/// An event that a sink will never take.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The event's index in the batch.
    pub index: usize,
    /// Why, for people.
    pub reason: String,
}

/// A batch that was not answered event by event: nothing of it counts as taken.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{reason}")]
pub struct SendError {
    /// What to do about it.
    pub kind: SendErrorKind,
    /// What happened, for people; without credentials.
    pub reason: String,
    /// The HTTP status, where there is one.
    pub status: Option<u16>,
    /// How long the server asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// What a failed attempt calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendErrorKind {
    /// Send again: nobody answered, or the server is busy.
    Transient,
    /// Send again, slowly: an operator has to change something first (credentials, rights, a blocked index).
    Denied,
    /// Send in smaller batches.
    TooLarge,
    /// Something in it is refused. Smaller batches find out what.
    Refused,
    /// Whoever read it is gone for good: nothing will be taken ever again.
    Closed,
}

/// Which sink, as the configuration gives it.
#[derive(Debug)]
pub enum SinkConfig {
    /// `_bulk` of OpenSearch, or of Elasticsearch.
    OpenSearch(Box<opensearch::OpenSearchConfig>, opensearch::Dialect),
    /// Standard output.
    Stdout(stdout::StdoutConfig),
    /// A file with rotation.
    File(file::FileConfig),
    /// A named pipe.
    Pipe(pipe::PipeConfig),
    /// A syslog daemon.
    Syslog(syslog::SyslogConfig),
    /// HTTP requests.
    Webhook(Box<webhook::WebhookConfig>),
    /// Lines in Grafana Loki.
    Loki(Box<loki::LokiConfig>),
    /// Messages to Slack.
    Slack(Box<slack::SlackConfig>),
    /// Messages to Microsoft Teams.
    Teams(Box<teams::TeamsConfig>),
    /// Alerts in Opsgenie.
    Opsgenie(Box<opsgenie::OpsgenieConfig>),
}

/// What every sink is built with, from the receiver's settings.
#[derive(Debug, Clone, Copy)]
pub struct SinkSettings {
    /// How long one request may take.
    pub timeout: Duration,
    /// Whose document to write.
    pub compat: Compat,
}

// === impl SinkConfig ===

impl SinkConfig {
    /// Makes the sink. Reads its [`files`](Self::files) and may open the one that it writes, but connects nowhere: a server
    /// that is down when the exporter starts is an outage like any other. Tells of everything that is wrong with it.
    pub fn build(self, settings: SinkSettings) -> Result<Box<dyn Sink>, Problems> {
        Ok(match self {
            Self::OpenSearch(config, dialect) => opensearch::build(&config, dialect, settings)?,
            Self::Stdout(config) => Box::new(stdout::Stdout::new(&config, settings)?),
            Self::File(config) => file::build(&config, settings)?,
            Self::Pipe(config) => pipe::build(&config, settings)?,
            Self::Syslog(config) => Box::new(syslog::Syslog::new(&config, settings)?),
            Self::Webhook(config) => webhook::build(&config, settings)?,
            Self::Loki(config) => loki::build(&config, settings)?,
            Self::Slack(config) => slack::build(&config, settings)?,
            Self::Teams(config) => teams::build(&config, settings)?,
            Self::Opsgenie(config) => opsgenie::build(&config, settings)?,
        })
    }

    /// The files that it is made of besides: credentials and certificates. Where one of them changes, it has to be made anew.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::OpenSearch(config, _) => files(&config.credentials(), &config.tls),
            Self::Webhook(config) => files(&config.credentials(), &config.tls),
            Self::Loki(config) => files(&config.credentials(), &config.tls),
            Self::Slack(config) => files(&config.credentials(), &config.tls),
            Self::Teams(config) => files(&config.credentials(), &config.tls),
            Self::Opsgenie(config) => files(&config.credentials(), &config.tls),
            Self::Stdout(_) | Self::File(_) | Self::Pipe(_) | Self::Syslog(_) => Vec::new(),
        }
    }

    /// The layout, if there is one, and whether keys lose their dots: what is written, wherever it goes.
    pub fn body(&self) -> (Option<&Located<Value>>, bool) {
        match self {
            Self::OpenSearch(config, _) => (config.layout.as_ref(), config.de_dot),
            Self::Stdout(config) => (config.layout.as_ref(), config.de_dot),
            Self::File(config) => (config.layout.as_ref(), config.de_dot),
            Self::Pipe(config) => (config.layout.as_ref(), config.de_dot),
            Self::Syslog(config) => (config.layout.as_ref(), config.de_dot),
            Self::Webhook(config) => (config.layout.as_ref(), config.de_dot),
            Self::Loki(config) => (config.layout.as_ref(), config.de_dot),
            Self::Teams(config) => (config.layout.as_ref(), config.de_dot),
            Self::Slack(_) | Self::Opsgenie(_) => (None, false),
        }
    }

    /// What of it runs, and does something else than it seems to.
    pub fn lint(&self, compat: Compat, warnings: &mut Vec<Problem>) {
        match self {
            Self::OpenSearch(config, _) => config.lint(compat, warnings),
            Self::Webhook(config) => config.lint(warnings),
            Self::Loki(config) => config.lint(warnings),
            Self::Stdout(_)
            | Self::File(_)
            | Self::Pipe(_)
            | Self::Syslog(_)
            | Self::Slack(_)
            | Self::Teams(_)
            | Self::Opsgenie(_) => {}
        }
        if let (Some(layout), _) = self.body()
            && is_empty(layout)
        {
            warnings.push(
                layout.problem("an empty layout counts as none: documents are written whole"),
            );
        }
    }

    /// How many batches a receiver with this sink has on their way at once unless told otherwise; `None` if it writes one after
    /// the other whatever it is told.
    pub fn max_in_flight(&self) -> Option<usize> {
        match self {
            Self::OpenSearch(..) => Some(2),
            // Order is no promise, but nice to have where somebody reads along.
            Self::Webhook(_)
            | Self::Loki(_)
            | Self::Slack(_)
            | Self::Teams(_)
            | Self::Opsgenie(_) => Some(1),
            Self::Stdout(_) | Self::File(_) | Self::Pipe(_) | Self::Syslog(_) => None,
        }
    }

    /// How a receiver with this sink batches unless told otherwise.
    pub fn batch_defaults(&self) -> BatchLimits {
        const SECOND: Duration = Duration::from_secs(1);
        const SOON: Duration = Duration::from_millis(200);
        let (max_events, max_bytes, max_delay) = match self {
            Self::Webhook(config) if !config.is_single() => (1000, 4 << 20, SECOND),
            // One request after the other: nobody learns of the first before the last is answered.
            Self::Webhook(_) | Self::Slack(_) | Self::Teams(_) | Self::Opsgenie(_) => {
                (50, 4 << 20, SOON)
            }
            Self::OpenSearch(..) => (1000, 4 << 20, SECOND),
            // Behind its front it passes on 4 MiB at most, and says 500 to more.
            Self::Loki(_) => (1000, 1 << 20, SECOND),
            Self::File(_) | Self::Pipe(_) | Self::Syslog(_) => (1000, 4 << 20, SOON),
            // Somebody may be looking.
            Self::Stdout(_) => (1000, 4 << 20, Duration::ZERO),
        };
        BatchLimits {
            max_events,
            max_bytes,
            max_delay,
        }
    }
}

// === impl SendError ===

impl SendError {
    /// An attempt that got no answer.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self {
            kind: SendErrorKind::Transient,
            reason: reason.into(),
            status: None,
            retry_after: None,
        }
    }
}

#[cfg(test)]
mod tests;
