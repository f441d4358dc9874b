//! Requests of AWS' crates by the client that the rest of the program uses.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

#[derive(Debug)]
struct Connector(reqwest::Client);

/// A client for AWS' crates.
///
/// # Errors
/// If the roots of trust can't be read.
pub(super) fn client() -> reqwest::Result<SharedHttpClient> {
    // Credentials are handed out by the node, or by AWS: proxies lead elsewhere.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let connector = SharedHttpConnector::new(Connector(client));
    Ok(http_client_fn(move |_, _| connector.clone()))
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let (head, body) = request.try_into_http1x().map_err(wrong)?.into_parts();
            let body = body
                .bytes()
                .ok_or_else(|| wrong("a body that is a stream"))?;
            let request = http::Request::from_parts(head, body.to_vec());
            let request = reqwest::Request::try_from(request).map_err(wrong)?;
            let response = client.execute(request).await.map_err(io)?;
            let mut answer = http::Response::new(());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            let body = response.bytes().await.map_err(io)?;
            let answer = answer.map(|()| SdkBody::from(body.to_vec()));
            HttpResponse::try_from(answer).map_err(wrong)
        })
    }
}

fn wrong(error: impl Into<BoxError>) -> ConnectorError {
    ConnectorError::user(error.into())
}

fn io(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
