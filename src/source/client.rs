//! The connection to the API server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::{HeaderValue, Method, Request, Response};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use secrecy::ExposeSecret as _;
use tower::{Service as _, ServiceBuilder, ServiceExt as _};

use crate::metrics::ApiMetrics;

/// Where the API server is and who we are there: the file if one is given, else the pod's service account, else what
/// kubectl would use. The incumbent's order.
pub async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    if let Some(path) = kubeconfig {
        let file = Kubeconfig::read_from(path)?;
        return Ok(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?);
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Config::incluster().context("cannot use the pod's service account");
    }
    Config::from_kubeconfig(&KubeConfigOptions::default())
        .await
        .context("no cluster: not in a pod, and neither -kubeconfig nor KUBECONFIG nor ~/.kube/config leads to one")
}

/// A client whose connections are given up when the other side is gone without a word, and that repeats nothing below
/// the watcher's sight, as kube's own does.
pub fn connect(config: &Config, metrics: ApiMetrics) -> anyhow::Result<Client> {
    if config.proxy_url.is_some() {
        bail!(
            "a proxy in front of the API server is not supported (proxy-url in the kubeconfig, or HTTPS_PROXY)"
        );
    }
    let token = config.auth_info.token.as_ref();
    if token.is_some_and(|token| HeaderValue::from_str(token.expose_secret()).is_err()) {
        bail!(
            "the kubeconfig's token holds characters that no token has, such as the end of a line"
        );
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(Duration::from_secs(10)));
    tcp.set_keepalive(Some(Duration::from_secs(10)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(5)));
    tcp.set_keepalive_retries(Some(3));
    let https = config.rustls_https_connector_with_connector(tcp)?;
    let http =
        hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(https);
    let namespace = config.default_namespace.clone();
    let stack = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        // Impersonation.
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(http);
    let counted = tower::service_fn(move |request: Request<Body>| {
        let (mut stack, metrics, verb) = (stack.clone(), metrics.clone(), verb(&request));
        async move {
            let answer = stack.ready().await?.call(request).await;
            metrics.count(verb, answer.as_ref().ok().map(Response::status));
            answer
        }
    });
    Ok(Client::new(counted, namespace))
}

fn verb(request: &Request<Body>) -> &'static str {
    // kube writes `?&watch=…`.
    let query = request.uri().query().unwrap_or_default();
    let query = query.trim_start_matches('&');
    match *request.method() {
        Method::POST => "create",
        Method::PUT => "update",
        _ if query.starts_with("watch=") => "watch",
        _ if query.starts_with("limit=") => "list",
        _ => "get",
    }
}
