//! The report: the status as JSON. Fields are only ever added.

use serde::Serialize;

use super::Status;
use crate::event::Time;
use crate::health::WatchReport;
use crate::mark::Mark;
use crate::outage::Failure;
use crate::outlet::Outlet;
use crate::pipeline::Account;
use crate::recent::{Recent, Seen, Went};
use crate::route::Outline;
use crate::router::Table;

/// What `/status` answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'a> {
    version: &'static str,
    revision: &'static str,
    now: String,
    started: String,
    /// `delivering`, `standby`, `starting`
    state: &'static str,
    /// Why it is not ready; nothing if it is.
    complaints: Vec<String>,
    config: ConfigReport,
    watches: Vec<Watch>,
    receivers: Vec<Receiver>,
    /// `None` while another process delivers.
    route: Option<Outline<'a>>,
    /// `None` unless people may see what is in events; the latest first.
    events: Option<Vec<Row>>,
}

#[derive(Serialize)]
struct ConfigReport {
    /// How the SHA-256 of its file begins.
    hash: Option<String>,
    loaded: Option<String>,
    error: Option<ErrorReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorReport {
    at: String,
    error: String,
    /// As far as is known.
    goes_on: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Watch {
    /// Empty for all.
    namespace: String,
    /// `watching`, `listing`, `paused`, `failing`, `silent`
    state: &'static str,
    resource_version: Option<String>,
    last_activity: String,
    error: Option<ErrorReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Receiver {
    name: String,
    /// `delivering`, `retrying`, `parked`, `catching up`
    state: &'static str,
    queue: Queue,
    in_flight: f64,
    taken: u64,
    retried: u64,
    rejected: u64,
    /// By policy: the queue was full, or they were too old.
    dropped: u64,
    /// By throttles.
    held_back: u64,
    /// Forgotten by the API server before they could be delivered.
    expired: u64,
    /// How late the last one was that was taken.
    lag_seconds: Option<f64>,
    error: Option<ErrorReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    events: usize,
    bytes: usize,
    max_bytes: usize,
    oldest_seconds: f64,
}

/// An event in short; `/status/events/NUMBER` has all of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    number: u64,
    at: String,
    r#type: String,
    reason: String,
    namespace: String,
    kind: String,
    name: String,
    message: String,
    count: i64,
    dropped: bool,
    went: Vec<Went>,
}

/// Of a message, in a row.
const MAX_MESSAGE: usize = 300;
/// What may quote an event.
const SEEN_IN: &str = "stands in the log, and here with `statusPage.events: true`";

// === impl Report ===

impl<'a> Report<'a> {
    /// `table` is that of `account`, whose turn it is.
    pub(super) fn of(status: &Status, account: Option<&Account>, table: Option<&'a Table>) -> Self {
        let (state, watches) = status.health.report();
        let read = account.map(Account::read).unwrap_or_default();
        let read = read.into_iter().map(Some).chain(std::iter::repeat(None));
        let (hash, loaded) = {
            let config = status.config();
            (config.hash.clone(), config.at.map(shown))
        };
        let recent = status.recent();
        let legs = table.map(|table| table.legs.as_slice()).unwrap_or_default();
        let outline = |table: &'a Table| {
            let name = |at| table.name(at);
            table.route.outline(&table.hits.counted(), &name)
        };
        Self {
            version: crate::VERSION,
            revision: crate::REVISION,
            now: shown(Time::now()),
            started: shown(status.started),
            state,
            complaints: status.health.complaints(),
            config: ConfigReport {
                hash,
                loaded,
                error: status.config_failure.get().map(ErrorReport::of),
            },
            watches: watches
                .into_iter()
                .zip(read)
                .map(|(watch, mark)| Watch::of(watch, mark))
                .collect(),
            receivers: legs
                .iter()
                .map(|leg| Receiver::of(&leg.outlet, recent.is_some()))
                .collect(),
            route: table.map(outline),
            events: recent.map(|recent| rows(recent)),
        }
    }
}

fn rows(recent: &Recent) -> Vec<Row> {
    let last = recent.last();
    last.iter().rev().map(|seen| Row::of(seen)).collect()
}

fn shown(time: Time) -> String {
    time.micros().to_string()
}

// === impl ErrorReport ===

impl ErrorReport {
    fn of(failure: Failure) -> Self {
        Self {
            at: shown(failure.at),
            error: failure.error,
            goes_on: failure.goes_on,
        }
    }
}

// === impl Watch ===

impl Watch {
    fn of(watch: WatchReport, read: Option<Mark>) -> Self {
        Self {
            namespace: watch.namespace,
            state: watch.state,
            resource_version: read.and_then(Mark::resume),
            last_activity: shown(watch.heard),
            error: watch.failure.map(ErrorReport::of),
        }
    }
}

// === impl Receiver ===

impl Receiver {
    fn of(outlet: &Outlet, shows_events: bool) -> Self {
        let (metrics, queue) = (&outlet.metrics, outlet.queue.state());
        let failure = metrics.latest.failure.get().map(|mut failure| {
            if failure.quotes_event && !shows_events {
                failure.error = failure.status.map_or_else(
                    || format!("an event was refused; why {SEEN_IN}"),
                    |status| format!("the server answers {status}; what it says {SEEN_IN}"),
                );
            }
            ErrorReport::of(failure)
        });
        Self {
            name: outlet.name.clone(),
            state: outlet.condition(),
            queue: Queue {
                events: queue.events,
                bytes: queue.bytes,
                max_bytes: outlet.queue.state().max_bytes,
                oldest_seconds: queue.oldest.as_secs_f64(),
            },
            in_flight: metrics.in_flight.get(),
            taken: metrics.delivered.get(),
            retried: metrics.retried.get(),
            rejected: metrics.rejected.get(),
            dropped: metrics.queue_full.get() + metrics.too_old.get(),
            held_back: metrics.throttled.get(),
            expired: metrics.expired.get(),
            lag_seconds: metrics.latest.lag().map(|lag| lag.as_secs_f64()),
            error: failure,
        }
    }
}

// === impl Row ===

impl Row {
    fn of(seen: &Seen) -> Self {
        let event = &seen.event;
        let object = &event.involved_object;
        let end = event.message.floor_char_boundary(MAX_MESSAGE);
        let more = if end < event.message.len() { "…" } else { "" };
        Self {
            number: seen.number,
            at: shown(seen.at),
            r#type: event.kind.clone(),
            reason: event.reason.clone(),
            namespace: event.metadata.namespace.clone(),
            kind: object.kind.clone(),
            name: object.name.clone(),
            message: format!("{}{more}", &event.message[..end]),
            count: event.occurrences(),
            dropped: seen.dropped,
            went: seen.went.clone(),
        }
    }
}
