//! Why a request got no answer, for whoever has to mend it.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as Tls, InvalidMessage};

/// The innermost cause, which is the one that helps, and holds no URL; where TLS failed, in plain words.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    loop {
        // What an io::Error is made of is not among its sources.
        let inner = cause.downcast_ref().and_then(io::Error::get_ref);
        let inner = inner.map(|inner| inner as &(dyn Error + 'static));
        match inner.or_else(|| cause.source()) {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    match cause.downcast_ref() {
        Some(error) => tls(error),
        None => cause.to_string(),
    }
}

/// rustls' own words are those of its types where it has no better ones.
fn tls(error: &Tls) -> String {
    match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate is of no issuer that is trusted here: give the issuer's under `tls.caFile`".to_owned()
        }
        Tls::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected,
            presented,
        }) => format!(
            "the server's certificate is not for {} but for {}: give a URL with a name that is in it",
            expected.to_str(),
            names(presented)
        ),
        Tls::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => format!(
            "the server's certificate has expired{}: renew it there, or set the clock here right",
            at(*not_after)
        ),
        Tls::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => format!(
            "the server's certificate is not valid yet{}: set the clock right, there or here",
            at(*not_before)
        ),
        // webpki's, for what `openssl req -x509` makes.
        Tls::InvalidCertificate(CertificateError::Other(other))
            if other.to_string() == "CaUsedAsEndEntity" =>
        {
            "the server's certificate is that of a CA (self-signed, with CA:TRUE), which must not be a server's".to_owned()
        }
        Tls::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS: is it http:// there?".to_owned()
        }
        Tls::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate,
        ) => "the server demands a client's certificate: give `tls.certFile` and `tls.keyFile`"
            .to_owned(),
        Tls::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied),
        ) => format!("the server refuses the client's certificate: {alert:?}"),
        error => error.to_string(),
    }
}

/// rustls tells them as `DnsName("a.example")`.
fn names(presented: &[String]) -> String {
    let plain = presented.iter().map(|name| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        inner.trim_matches([')', '"'])
    });
    let plain: Vec<&str> = plain.collect();
    if plain.is_empty() {
        return "no name at all".to_owned();
    }
    plain.join(", ")
}

/// ` (2026-01-02T03:04:05Z)`, if that is a time.
fn at(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(String::new, |time| format!(" ({time})"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::time::Duration;

    use rustls::OtherError;
    use rustls::pki_types::ServerName;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot connect to https://user:password@host")]
    struct Outer(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("CaUsedAsEndEntity")]
    struct CaUsedAsEndEntity;

    #[test]
    fn the_innermost_cause_is_told_in_plain_words() {
        let certificate = Tls::InvalidCertificate;
        let second = |second| UnixTime::since_unix_epoch(Duration::from_secs(second));
        let not_for = |presented: &[&str]| {
            certificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("logs.example").unwrap(),
                presented: presented.iter().map(|&name| name.to_owned()).collect(),
            })
        };
        for (error, expected) in [
            (
                not_for(&["DnsName(\"a.example\")", "IpAddress(127.0.0.1)"]),
                "is not for logs.example but for a.example, 127.0.0.1: give a URL",
            ),
            (not_for(&[]), "but for no name at all"),
            (
                certificate(CertificateError::ExpiredContext {
                    time: second(20),
                    not_after: second(10),
                }),
                "has expired (1970-01-01T00:00:10Z): renew it there",
            ),
            (
                certificate(CertificateError::NotValidYetContext {
                    time: second(10),
                    not_before: second(20),
                }),
                "is not valid yet (1970-01-01T00:00:20Z)",
            ),
            (
                certificate(CertificateError::UnknownIssuer),
                "of no issuer that is trusted here",
            ),
            (
                certificate(CertificateError::Other(OtherError(Arc::new(
                    CaUsedAsEndEntity,
                )))),
                "is that of a CA",
            ),
            (
                Tls::InvalidMessage(InvalidMessage::InvalidContentType),
                "does not speak TLS",
            ),
            (
                Tls::AlertReceived(AlertDescription::CertificateRequired),
                "demands a client's certificate",
            ),
            (
                Tls::AlertReceived(AlertDescription::UnknownCA),
                "refuses the client's certificate: UnknownCA",
            ),
            (Tls::HandshakeNotComplete, "handshake not complete"),
        ] {
            let told = innermost(&Outer(io::Error::other(error)));
            assert!(told.contains(expected), "{told}: {expected}");
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(innermost(&Outer(refused)), "connection refused");
    }
}
