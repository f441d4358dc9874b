//! The status page, and what it asks for. Nothing here changes anything.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, RawQuery, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::form_urlencoded;

use super::Lasting;
use crate::event::Event;
use crate::input::EventReader;
use crate::recent::{MAX_TAPS, Recent, Tap, Tapped, Wanted};
use crate::route::Filter;
use crate::status::{Status, explain};

/// Without dependencies or requests to others; its script and style are the only ones that browsers may run.
const PAGE: &str = include_str!("page.html");

/// Of an event that is to be explained; none can be larger.
const MAX_BODY: usize = 1 << 20;
/// How long its body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two lines to whoever follows, so that it is noticed if they are gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

const NO_EVENTS: &str = "what is in events is not shown: set `statusPage: {events: true}` in the exporter's configuration and start it anew\n";
const STANDBY: &str =
    "this replica stands by, and has no routes in use: ask the one that delivers\n";

/// The routes of the page.
pub(super) fn router(status: Arc<Status>) -> Router {
    // One at a time: memory and the processor are there for events.
    let explaining = Arc::new(Semaphore::new(1));
    Router::new()
        .route("/", get(page))
        .route("/status", get(report))
        .route("/status/events/{number}", get(event))
        .route("/status/tap", get(tap))
        .route(
            "/status/explain",
            post(explain_event).layer(Extension(explaining)),
        )
        .layer(middleware::from_fn(for_ourselves))
        .layer(middleware::map_response(async |mut response: Response| {
            protect(response.headers_mut());
            response
        }))
        .with_state(status)
}

/// What browsers are to keep to.
fn protect(headers: &mut HeaderMap) {
    static POLICY: LazyLock<Option<HeaderValue>> =
        LazyLock::new(|| HeaderValue::from_str(&policy()).ok());
    if let Some(policy) = &*POLICY {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Only what is in the page runs, and no text becomes markup.
fn policy() -> String {
    let hash = |tag: &str| {
        let text = PAGE.split_once(&format!("<{tag}>"));
        let text = text.and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        let (text, _) = text.unwrap_or_default();
        STANDARD.encode(digest(&SHA256, text.as_bytes()))
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash("script"),
        hash("style")
    )
}

async fn page() -> Html<&'static str> {
    Html(PAGE)
}

async fn report(State(status): State<Arc<Status>>) -> Response {
    json(status.report())
}

/// One of the last events, as its document.
async fn event(State(status): State<Arc<Status>>, Path(number): Path<u64>) -> Response {
    let Some(recent) = status.recent() else {
        return (StatusCode::FORBIDDEN, NO_EVENTS).into_response();
    };
    match recent.find(number) {
        Some(seen) => json(serde_json::to_string(&*seen)),
        None => (StatusCode::NOT_FOUND, "it is not among the last events\n").into_response(),
    }
}

/// Where an event would go, and why.
async fn explain_event(
    State(status): State<Arc<Status>>,
    Extension(explaining): Extension<Arc<Semaphore>>,
    request: Request,
) -> Result<Response, (StatusCode, String)> {
    let headers = request.headers();
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        let told = "send an event as `Content-Type: application/json`\n";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, told.to_owned()));
    }
    let table = status
        .table()
        .ok_or((StatusCode::SERVICE_UNAVAILABLE, STANDBY.to_owned()))?;
    let Ok(permit) = explaining.try_acquire_owned() else {
        let told = "another event is being explained: ask again\n";
        return Err((StatusCode::TOO_MANY_REQUESTS, told.to_owned()));
    };
    let body = timeout(
        BODY_TIMEOUT,
        axum::body::to_bytes(request.into_body(), MAX_BODY),
    )
    .await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let told = format!("an event has {} KiB at the most\n", MAX_BODY >> 10);
            return Err((StatusCode::PAYLOAD_TOO_LARGE, told));
        }
        Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, String::new())),
    };
    let explained = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let event = only_event(body)?;
        explain(&table, &event).map_err(|error| error.to_string())
    });
    match explained.await {
        Ok(Ok(explained)) => Ok(json(Ok(explained))),
        Ok(Err(told)) => Err((StatusCode::BAD_REQUEST, format!("{told}\n"))),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// Answers no page of another site: neither one that says so, nor one whose name has been made to lead here.
pub(super) async fn for_ourselves(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| !is_internal(host)) {
        let told = "ask by an address, by localhost, or by a name in the cluster\n";
        return (StatusCode::MISDIRECTED_REQUEST, told).into_response();
    }
    // Whoever follows a link may come from anywhere.
    if request.uri().path() != "/" && is_of_another_site(headers) {
        return (StatusCode::FORBIDDEN, "only this page may ask that\n").into_response();
    }
    next.run(request).await
}

/// Whether a host, perhaps with a port, is one that nobody outside can have: an address, `localhost`, a Service's name.
fn is_internal(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let is_address = name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
    let of_cluster = [".localhost", ".svc", ".cluster.local"];
    is_address || !name.contains('.') || of_cluster.iter().any(|end| name.ends_with(end))
}

/// Whether a browser says that another site's page asks.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = text(header::ORIGIN) else {
        return false;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    host != text(header::HOST)
}

/// The one event in a text.
fn only_event(text: Bytes) -> Result<Event, String> {
    let mut events = EventReader::new("event".to_owned(), Box::new(Cursor::new(text)));
    let first = events
        .next()
        .ok_or_else(|| "there is no event in it".to_owned())?;
    let first = first.map_err(|error| format!("{error:#}"))?;
    match events.next() {
        None => Ok(first),
        Some(_) => Err("there is more than one event in it".to_owned()),
    }
}

/// Events as JSON lines, as they come if `follow` is asked for; only those that the rest of the query wants.
async fn tap(
    State(status): State<Arc<Status>>,
    Extension(lasting): Extension<Lasting>,
    RawQuery(query): RawQuery,
) -> Result<Response, (StatusCode, String)> {
    let recent = status
        .recent()
        .ok_or((StatusCode::FORBIDDEN, NO_EVENTS.to_owned()))?;
    let query = query.unwrap_or_default();
    let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let follow = pairs.iter().any(|(name, _)| name == "follow");
    let receiver = pairs.iter().find(|(name, _)| name == "receiver");
    let receiver = receiver.map(|(_, name)| name.clone().into_owned());
    pairs.retain(|(name, _)| name != "follow" && name != "receiver");
    let filter = pairs.iter().map(|(name, value)| (&**name, &**value));
    let filter =
        Filter::compile(filter).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    if let (Some(name), Some(table)) = (&receiver, status.table())
        && !table.legs.iter().any(|leg| leg.outlet.name == *name)
    {
        let told = format!("there is no receiver `{}`\n", crate::event::visible(name));
        return Err((StatusCode::BAD_REQUEST, told));
    }
    let tap = open(recent, Wanted { receiver, filter })?;
    let body = if follow {
        // The first of a connection that is used again: it ends with that one, at the latest.
        let _ = lasting.0.set(tap.closed());
        let standby = status
            .table()
            .is_none()
            .then(|| Bytes::from_static(b"{\"standby\":true}\n"));
        let lines = stream::unfold(tap, async |tap| {
            let line = match timeout(HEARTBEAT, tap.next()).await {
                Err(_) => Bytes::from_static(b"\n"),
                Ok(Tapped::Closed) => return None,
                Ok(tapped) => line(&tapped),
            };
            Some((line, tap))
        });
        let standby = stream::iter(standby);
        Body::from_stream(futures::StreamExt::map(
            futures::StreamExt::chain(standby, lines),
            Ok::<_, Infallible>,
        ))
    } else {
        let lines = std::iter::from_fn(|| tap.now()).map(|tapped| line(&tapped));
        Body::from(lines.collect::<Vec<_>>().concat())
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn open(recent: &Recent, wanted: Wanted) -> Result<Arc<Tap>, (StatusCode, String)> {
    recent.tap(wanted).ok_or_else(|| {
        let told = format!("{MAX_TAPS} follow already, which is all that may\n");
        (StatusCode::TOO_MANY_REQUESTS, told)
    })
}

fn line(tapped: &Tapped) -> Bytes {
    let line = match tapped {
        Tapped::Seen(seen) => serde_json::to_string(&**seen).map(|mut line| {
            line.push('\n');
            line
        }),
        Tapped::Lost(lost) => Ok(format!("{{\"lost\":{lost}}}\n")),
        Tapped::Closed => Ok(String::new()),
    };
    // Nothing in an event fails to serialize.
    line.unwrap_or_default().into()
}

fn json(text: serde_json::Result<String>) -> Response {
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests;
