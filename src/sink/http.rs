//! What the sinks that speak HTTP share: TLS files, credentials, headers, requests, and what an answer means.

use std::time::Duration;

use serde::Deserialize;
use tracing::warn;

use super::{SendError, SendErrorKind};
use crate::event::Time;
use crate::yaml::{Located, Problem, Problems};

pub use self::cause::innermost;
pub use self::client::{Answer, HttpClient, parse_url, post_json};
pub use self::credential::{Credential, files};
pub use self::headers::{Headers, authorization, basic, lint_access, refuse_fields, secret};
pub use self::one_by_one::{OneByOne, Service};
pub use self::secrets::Secrets;

mod cause;
mod client;
mod credential;
mod headers;
mod one_by_one;
mod secrets;

/// TLS of a connection, under the incumbent's names.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsConfig {
    /// Takes any certificate. For trying things out.
    pub insecure_skip_verify: bool,
    /// Not supported: certificates are checked against the host name of the URL.
    pub server_name: Located<String>,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_file: Located<String>,
    /// The client's certificate (PEM), with `keyFile`.
    pub cert_file: Located<String>,
    /// The client's key (PEM), with `certFile`.
    pub key_file: Located<String>,
}

/// The contents of the files that a [`TlsConfig`] names.
#[derive(Default)]
pub struct TlsFiles {
    /// Certificates to trust, PEM.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate and key, PEM, one after the other.
    pub identity: Option<Identity>,
}

/// A client certificate.
pub struct Identity {
    /// PEM.
    pub certificate: Vec<u8>,
    /// PEM.
    pub key: Vec<u8>,
}

// === impl TlsConfig ===

impl TlsConfig {
    /// Reads the files. Keys with nothing in them are absent, as for the incumbent: files in the wild have them.
    pub fn load(&self) -> Result<TlsFiles, Problems> {
        if self.insecure_skip_verify {
            warn!("tls.insecureSkipVerify: whoever answers is believed to be the server");
        }
        let mut problems = Problems::default();
        if !self.server_name.is_empty() {
            problems.push(
                self.server_name
                    .problem("`serverName` is not supported: use a host name that is in the server's certificate"),
            );
        }
        let (certificate, key) = (&self.cert_file, &self.key_file);
        match (certificate.is_empty(), key.is_empty()) {
            (false, true) => problems.push(certificate.problem(
                "tls.certFile is given without tls.keyFile: a client certificate needs both",
            )),
            (true, false) => problems.push(key.problem(
                "tls.keyFile is given without tls.certFile: a client certificate needs both",
            )),
            _ => {}
        }
        let [ca, certificate, key] =
            [&self.ca_file, certificate, key].map(|file| problems.ok(read(file)).flatten());
        let identity = certificate
            .zip(key)
            .map(|(certificate, key)| Identity { certificate, key });
        problems.or(TlsFiles { ca, identity })
    }

    /// What is wrong with the contents of `caFile`.
    pub fn no_ca(&self) -> Problem {
        self.ca_file
            .problem("this file holds no certificate in PEM")
    }

    /// What is wrong with the contents of `certFile` or `keyFile`.
    pub fn no_identity(&self) -> Problem {
        self.cert_file
            .problem("`certFile` and `keyFile` hold no certificate and its key in PEM")
    }
}

// === impl Identity ===

impl Identity {
    /// Key and certificate in one text, as clients take them.
    pub fn pem(&self) -> Vec<u8> {
        [self.key.as_slice(), b"\n", &self.certificate].concat()
    }
}

/// The contents of a file that is named.
fn read(file: &Located<String>) -> Result<Option<Vec<u8>>, Problem> {
    if file.is_empty() {
        return Ok(None);
    }
    let contents = std::fs::read(&file.value).map_err(|error| {
        file.problem(format!(
            "cannot read the TLS file {}: {error}",
            file.shown()
        ))
    })?;
    Ok(Some(contents))
}

/// A part of a URL, as it was before it was put there.
pub fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// What a status says of the whole request. `None` for success.
///
/// 401 and 403 are retried, because credentials are rotated and rights are granted while we run. Amazon also says 403
/// when it throttles. A redirect says nothing of the events: whoever has moved the server can give its new place.
pub fn classify(status: u16) -> Option<SendErrorKind> {
    match status {
        200..=299 => None,
        413 => Some(SendErrorKind::TooLarge),
        300..=399 | 401 | 403 | 407 => Some(SendErrorKind::Denied),
        408 | 425 | 429 | 500..=599 => Some(SendErrorKind::Transient),
        _ => Some(SendErrorKind::Refused),
    }
}

/// The header `Retry-After`: seconds, or a date.
pub fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let value = headers
        .get(reqwest::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    Some(Time::now().age(Time::from(date.timestamp()))).filter(|wait| !wait.is_zero())
}

/// A server's words about a refusal, as one line of bounded length without control characters.
pub fn reason(status: u16, body: &[u8]) -> String {
    const MAX: usize = 300;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX)]);
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let mut line = format!("HTTP {status}");
    for (at, word) in words.enumerate() {
        line.push_str(if at == 0 { ": " } else { " " });
        line.push_str(word);
        if line.len() > MAX {
            line.truncate(line.floor_char_boundary(MAX));
            line.push('…');
            break;
        }
    }
    line
}

/// A request that got no answer, without its URL, which may hold credentials.
pub fn no_answer(error: reqwest::Error) -> SendError {
    let error = error.without_url();
    let cause = innermost(&error);
    let reason = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        format!("cannot connect: {cause}")
    } else {
        format!("no answer: {cause}")
    };
    SendError::transient(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_to_do() {
        for (status, kind) in [
            (200, None),
            (204, None),
            (301, Some(SendErrorKind::Denied)),
            (400, Some(SendErrorKind::Refused)),
            (401, Some(SendErrorKind::Denied)),
            (403, Some(SendErrorKind::Denied)),
            (404, Some(SendErrorKind::Refused)),
            (408, Some(SendErrorKind::Transient)),
            (413, Some(SendErrorKind::TooLarge)),
            (429, Some(SendErrorKind::Transient)),
            (502, Some(SendErrorKind::Transient)),
        ] {
            assert_eq!(classify(status), kind, "{status}");
        }
    }

    #[test]
    fn keys_of_tls_with_nothing_in_them_are_absent() {
        let files = TlsConfig::default().load().unwrap();
        assert!(files.ca.is_none() && files.identity.is_none());
    }

    #[test]
    fn every_mistake_in_tls_is_told_where_it_stands() {
        let text = "serverName: other\ncaFile: /nowhere/ca.pem\ncertFile: Cargo.toml\n";
        let tls: TlsConfig = crate::yaml::parse(text, &|_| None).unwrap().value;
        let told = tls.load().err().unwrap().into_vec();
        let told: Vec<_> = told
            .iter()
            .map(|problem| (problem.position.line, problem.message.as_str()))
            .collect();
        assert!(
            matches!(
                told.as_slice(),
                [
                    (1, "`serverName` is not supported: use a host name that is in the server's certificate"),
                    (3, "tls.certFile is given without tls.keyFile: a client certificate needs both"),
                    (2, missing),
                ] if missing.starts_with("cannot read the TLS file /nowhere/ca.pem: No such file")
            ),
            "{told:?}"
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let header = |value: &str| {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert(reqwest::header::RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(header("7"), Some(Duration::from_secs(7)));
        assert_eq!(header("soon"), None);
        assert_eq!(header("Wed, 01 May 2024 10:00:00 GMT"), None, "in the past");
        let soon = jiff::Timestamp::now() + Duration::from_secs(60);
        let date = jiff::fmt::rfc2822::to_string(&soon.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
        let wait = header(&date).unwrap();
        assert!(
            wait > Duration::from_secs(50) && wait <= Duration::from_secs(60),
            "{wait:?}"
        );
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        assert_eq!(
            reason(502, b"<html>\r\n\x1b[31mbad\tgateway"),
            "HTTP 502: <html> [31mbad gateway"
        );
        assert_eq!(reason(413, b""), "HTTP 413");
        assert!(reason(400, "é".repeat(5000).as_bytes()).len() < 310);
    }
}
