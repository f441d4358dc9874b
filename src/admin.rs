//! The HTTP endpoint for probes, Prometheus and people: small requests only, and `GET` only, but for `POST /-/reload` where
//! that is enabled.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tracing::{debug, error};

use crate::health::Health;
use crate::metrics::Metrics;

/// A bound port that nobody listens to yet.
pub struct Admin {
    listener: TcpListener,
    router: Router,
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 64;
/// How long a request's head may take, and how long a connection may last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(2);
const MAX_HEAD: usize = 16 << 10;

// === impl Admin ===

impl Admin {
    /// Binds `address`, as Go writes it: `:2112` is every interface, of IPv6 too where there is one. `reload` is told when
    /// somebody wants the configuration read anew; without it nobody can.
    pub async fn bind(
        address: &str,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        reload: Option<Arc<Notify>>,
    ) -> anyhow::Result<Self> {
        let listener = match address.strip_prefix(':') {
            Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
                Ok(listener) => Ok(listener),
                Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
            },
            None => TcpListener::bind(address).await,
        };
        let listener =
            listener.with_context(|| format!("cannot listen on {address} (-metrics-address)"))?;
        let shared = Shared { metrics, health };
        let router = Router::new()
            .route("/", get(page))
            .route("/metrics", get(metrics_text))
            .route("/livez", get(live))
            .route("/-/healthy", get(live))
            .route("/healthz", get(live))
            .route("/readyz", get(ready))
            .route("/-/ready", get(ready))
            .with_state(shared);
        let router = match reload {
            Some(asked) => router.route(
                "/-/reload",
                post(async move || {
                    asked.notify_one();
                    // What comes of it is in the log and the metrics, in a moment.
                    StatusCode::ACCEPTED
                }),
            ),
            None => router,
        };
        Ok(Self { listener, router })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for ever.
    pub async fn run(self) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to return some.
                    error!(error = %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(self.router.clone());
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .max_buf_size(MAX_HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
                    debug!(error = %error, "a connection to the admin endpoint failed");
                }
                drop(permit);
            });
        }
    }
}

async fn metrics_text(State(shared): State<Shared>) -> Response {
    match shared.metrics.render() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The program has one thread: that it answers is the proof that its loops turn, and a part that ends ends the process.
async fn live() -> &'static str {
    "OK"
}

/// Sinks do not count: a rollout must not hang because OpenSearch is down.
async fn ready(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let complaints = shared.health.complaints();
    let status = if complaints.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|part| part == "verbose" || part.starts_with("verbose="))
    });
    let text = match (complaints.is_empty(), verbose) {
        (true, false) => "OK".to_owned(),
        (true, true) => "[+] config ok\n[+] watch ok\nOK\n".to_owned(),
        (false, _) => {
            complaints
                .iter()
                .fold(String::from("[+] config ok\n"), |mut text, complaint| {
                    let _ = writeln!(text, "[-] watch: {complaint}");
                    text
                })
        }
    };
    (status, text).into_response()
}

async fn page(State(shared): State<Shared>) -> impl IntoResponse {
    let complaints = shared.health.complaints();
    // Complaints hold nothing but namespaces from the configuration, which are checked by nobody.
    let state = if complaints.is_empty() {
        "ready".to_owned()
    } else {
        escape(&complaints.join("; "))
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>kubernetes-event-exporter</title>\
         <h1>kubernetes-event-exporter {}</h1><p>State: {state}</p>\
         <ul><li><a href=\"/metrics\">/metrics</a></li><li><a href=\"/readyz?verbose\">/readyz</a></li>\
         <li><a href=\"/livez\">/livez</a></li></ul></html>",
        crate::VERSION
    );
    (
        [(header::CONTENT_SECURITY_POLICY, "default-src 'none'")],
        Html(html),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
