//! The HTTP endpoint for probes, Prometheus and people: small requests only, and `GET` only, but for `POST /-/reload` where
//! that is enabled and `POST /status/explain`, which changes nothing.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, error};

use crate::metrics::Metrics;
use crate::status::Status;

mod status;

/// A bound port that nobody listens to yet.
pub struct Admin {
    listener: TcpListener,
    router: Router,
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    status: Arc<Status>,
}

/// What a connection was opened for, if that lasts as long as somebody reads it: cancelled once nobody does.
#[derive(Clone, Default)]
struct Lasting(Arc<OnceLock<CancellationToken>>);

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 64;
/// How long a request's head may take, and how long a connection may last that is not [`Lasting`].
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(2);
const MAX_HEAD: usize = 16 << 10;

// === impl Admin ===

impl Admin {
    /// Binds `address`, as Go writes it: `:2112` is every interface, of IPv6 too where there is one. `reload` is told when
    /// somebody wants the configuration read anew; without it nobody can. People see the status if it `is_shown`.
    pub async fn bind(
        address: &str,
        metrics: Arc<Metrics>,
        status: Arc<Status>,
        is_shown: bool,
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
        let shared = Shared {
            metrics,
            status: Arc::clone(&status),
        };
        let router = Router::new()
            .route("/metrics", get(metrics_text))
            .route("/livez", get(live))
            .route("/-/healthy", get(live))
            .route("/healthz", get(live))
            .route("/readyz", get(ready))
            .route("/-/ready", get(ready))
            .with_state(shared);
        let router = if is_shown {
            router.merge(status::router(status))
        } else {
            router
        };
        let router = match reload {
            Some(asked) => router.route(
                "/-/reload",
                post(async move || {
                    asked.notify_one();
                    // What comes of it is in the log and the metrics, in a moment.
                    StatusCode::ACCEPTED
                })
                .layer(middleware::from_fn(status::for_ourselves)),
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
            let lasting = Lasting::default();
            let asked = lasting.clone();
            let router = self.router.clone().map_request(
                move |mut request: hyper::Request<hyper::body::Incoming>| {
                    request.extensions_mut().insert(asked.clone());
                    request
                },
            );
            let service = TowerToHyperService::new(router);
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .max_buf_size(MAX_HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                let mut connection = pin!(connection);
                let ended = match timeout(CONNECTION_TIMEOUT, connection.as_mut()).await {
                    Ok(ended) => ended,
                    Err(_) => match lasting.0.get() {
                        Some(over) => tokio::select! {
                            ended = connection => ended,
                            () = over.cancelled() => Ok(()),
                        },
                        None => Ok(()),
                    },
                };
                if let Err(error) = ended {
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
    let complaints = shared.status.health.complaints();
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
