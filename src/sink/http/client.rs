//! Making requests, and reading what is answered.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Request, Url};

use super::{
    Secrets, TlsConfig, basic, classify, decode, innermost, no_answer, reason, retry_after,
};
use crate::sink::{SendError, SendErrorKind};
use crate::yaml::{Problem, Problems};

/// Makes requests, each within its time, without following redirects.
pub struct HttpClient(Client);

/// What a server answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its beginning.
    pub body: Vec<u8>,
    /// What was asked, and with which headers: what of that is a secret is looked for only where an answer is shown.
    asked: (Url, HeaderMap),
}

/// How much of an answer is read, for its words and for its connection.
const MAX_ANSWER: usize = 64 << 10;

// === impl HttpClient ===

impl HttpClient {
    /// Reads the files of certificates, connects nowhere.
    pub fn new(tls: &TlsConfig, timeout: Duration) -> Result<Self, Problems> {
        let files = tls.load()?;
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .danger_accept_invalid_certs(tls.insecure_skip_verify);
        if let Some(ca) = &files.ca {
            let certificates =
                reqwest::Certificate::from_pem_bundle(ca).map_err(|_| tls.no_ca())?;
            if certificates.is_empty() {
                return Err(tls.no_ca().into());
            }
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let Some(identity) = &files.identity {
            let identity = reqwest::Identity::from_pem(&identity.pem());
            builder = builder.identity(identity.map_err(|_| tls.no_identity())?);
        }
        let client = builder.build();
        client.map(Self).map_err(|error| {
            let cause = innermost(&error);
            Problem::nowhere(format!("cannot set up connections: {cause}")).into()
        })
    }

    /// Makes one request. Any status is an answer.
    pub async fn send(&self, mut request: Request) -> Result<Answer, SendError> {
        if let Some(user) = user(request.url()) {
            request.headers_mut().entry(AUTHORIZATION).or_insert(user);
        }
        let asked = (request.url().clone(), request.headers().clone());
        let mut response = self.0.execute(request).await.map_err(no_answer)?;
        // A short answer is read to its end, so that the connection can serve again.
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
            asked,
        })
    }
}

// === impl Answer ===

impl Answer {
    /// Whether what was sent is taken, by the status alone.
    pub fn by_status(&self) -> Result<(), SendError> {
        classify(self.status).map_or(Ok(()), |kind| Err(self.error(kind)))
    }

    /// The error that the answer stands for, in the server's words.
    pub fn error(&self, kind: SendErrorKind) -> SendError {
        let reason = if (300..=399).contains(&self.status) {
            format!(
                "HTTP {}: redirects are not followed: give the final URL",
                self.status
            )
        } else {
            let (url, headers) = &self.asked;
            reason(self.status, &Secrets::of(headers, url).hide(&self.body))
        };
        SendError {
            kind,
            reason,
            status: Some(self.status),
            retry_after: retry_after(&self.headers),
        }
    }
}

/// Reads the URL that requests go to.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("the endpoint is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the endpoint must begin with http:// or https://".to_owned());
    }
    Ok(url)
}

/// What stands for the user in a URL, as Go's client has it: a header that is given comes before it.
fn user(url: &Url) -> Option<HeaderValue> {
    let password = url.password().unwrap_or_default();
    (!url.username().is_empty() || !password.is_empty())
        .then(|| basic(&decode(url.username()), &decode(password)))
}

/// A request that posts JSON.
pub fn post_json(url: Url, body: &impl serde::Serialize) -> Result<Request, String> {
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    let mut request = Request::new(Method::POST, url);
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    *request.body_mut() = Some(body.into());
    Ok(request)
}
