//! Why a request got no answer, for whoever has to mend it.

use std::error::Error;
use std::io;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

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
        for (error, expected) in [
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
