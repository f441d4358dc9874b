use std::time::Duration;

use super::*;
use crate::event::Compat;
use crate::sink::SendErrorKind;
use crate::sink::testing::{Answer, Server};

fn sink(server: &Server, more: &str) -> anyhow::Result<Box<dyn Sink>> {
    let text = format!("endpoint: {}/hook/{{{{ .Namespace }}}}\n{more}", server.url)
        .replace("endpoint: ", "endpoint: \"");
    let text = text.replacen("}}\n", "}}\"\n", 1);
    sink_from(&text)
}

fn sink_from(text: &str) -> anyhow::Result<Box<dyn Sink>> {
    let config: WebhookConfig = crate::yaml::parse(text, &|_| None)?.value;
    let settings = SinkSettings {
        timeout: Duration::from_secs(2),
        compat: Compat::Strict,
    };
    Ok(build(&config, settings)?)
}

fn events(names: &str) -> Vec<Arc<Event>> {
    let event = |name: char| {
        let mut event = Event::default();
        event.metadata.name = name.to_string();
        event.metadata.namespace = "shop".into();
        Arc::new(event)
    };
    names.chars().map(event).collect()
}

fn status(code: u16) -> Answer {
    Answer::Status(code, "", "said so".into())
}

#[tokio::test]
async fn every_event_is_a_request() {
    let server = Server::start(vec![]).await;
    let more = "headers: {X-Reason: \"r-{{ .Name }}\", Content-Type: text/x}\nlayout: {text: \"{{ .Name }}\", n: 5}\nusername: u\npassword: p";
    let receipt = sink(&server, more)
        .unwrap()
        .send(&events("ab"))
        .await
        .unwrap();
    assert_eq!(
        receipt,
        Receipt {
            status: Some(200),
            ..Receipt::default()
        }
    );
    let requests = server.requests();
    assert_eq!(requests[0].line, "POST /hook/shop");
    assert_eq!(requests[1].body, r#"{"n":5,"text":"b"}"#);
    for header in [
        "x-reason:r-a",
        "content-type:text/x",
        "authorization:Basic dTpw",
    ] {
        assert_eq!(
            requests[0]
                .headers
                .iter()
                .filter(|have| *have == header)
                .count(),
            1,
            "{header}"
        );
    }
    assert_eq!(
        requests[0]
            .headers
            .iter()
            .filter(|header| header.starts_with("content-type"))
            .count(),
        1
    );
}

#[tokio::test]
async fn what_was_not_taken_is_sent_again_from_there() {
    for (code, kind) in [
        (429, SendErrorKind::Transient),
        (503, SendErrorKind::Transient),
        (401, SendErrorKind::Denied),
    ] {
        let server = Server::start(vec![status(200), status(code)]).await;
        let receipt = sink(&server, "")
            .unwrap()
            .send(&events("abc"))
            .await
            .unwrap();
        assert_eq!(receipt.retry, [1, 2]);
        assert_eq!(receipt.retry_cause.unwrap().kind, kind);
        assert_eq!(server.requests().len(), 2, "the rest would fare alike");
    }
    let server = Server::start(vec![Answer::Status(
        429,
        "retry-after: 7\r\n",
        String::new(),
    )])
    .await;
    let receipt = sink(&server, "").unwrap().send(&events("a")).await.unwrap();
    assert_eq!(
        receipt.retry_cause.unwrap().retry_after,
        Some(Duration::from_secs(7))
    );
}

#[tokio::test]
async fn what_is_refused_is_rejected_and_the_rest_goes_on() {
    let server = Server::start(vec![status(404)]).await;
    let receipt = sink(&server, "")
        .unwrap()
        .send(&events("ab"))
        .await
        .unwrap();
    let reasons: Vec<_> = receipt
        .rejected
        .iter()
        .map(|r| (r.index, r.reason.as_str()))
        .collect();
    assert_eq!(reasons, [(0, "HTTP 404: said so")]);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn behind_a_redirect_nothing_is_taken_or_rejected() {
    let location = "location: /elsewhere\r\n";
    let server = Server::start(vec![Answer::Status(308, location, String::new())]).await;
    let receipt = sink(&server, "").unwrap().send(&events("a")).await.unwrap();
    assert_eq!((receipt.retry, receipt.rejected.len()), (vec![0], 0));
    let cause = receipt.retry_cause.unwrap();
    let told = "HTTP 308: redirects are not followed: give the final URL";
    assert_eq!((cause.kind, &*cause.reason), (SendErrorKind::Denied, told));
}

#[tokio::test]
async fn fault_04_a_lost_answer_and_a_hung_server_are_tried_again() {
    for answer in [Answer::Cut, Answer::Silence] {
        let server = Server::start(vec![answer]).await;
        let receipt = sink(&server, "").unwrap().send(&events("a")).await.unwrap();
        assert_eq!(receipt.retry, [0]);
        let reason = receipt.retry_cause.unwrap().reason;
        assert!(reason.starts_with("no answer"), "{reason}");
    }
}

#[tokio::test]
async fn a_batch_can_be_one_request() {
    for (format, body) in [
        ("array", "[{\"t\":\"a\"},{\"t\":\"b\"}]"),
        ("lines", "{\"t\":\"a\"}\n{\"t\":\"b\"}\n"),
    ] {
        let server = Server::start(vec![]).await;
        let text = format!(
            "endpoint: {}\nbatch: {format}\nlayout: {{t: \"{{{{ .Name }}}}\"}}\nbearerToken: secret",
            server.url
        );
        let receipt = sink_from(&text).unwrap().send(&events("ab")).await.unwrap();
        assert_eq!(
            receipt,
            Receipt {
                status: Some(200),
                ..Receipt::default()
            }
        );
        let requests = server.requests();
        assert_eq!((requests.len(), requests[0].body.as_str()), (1, body));
        assert!(
            requests[0]
                .headers
                .contains(&"authorization:Bearer secret".to_owned())
        );
    }
    let server = Server::start(vec![status(413), status(400), status(500)]).await;
    let sink = sink_from(&format!("endpoint: {}\nbatch: array", server.url)).unwrap();
    for kind in [
        SendErrorKind::TooLarge,
        SendErrorKind::Refused,
        SendErrorKind::Transient,
    ] {
        assert_eq!(sink.send(&events("ab")).await.unwrap_err().kind, kind);
    }
}

#[test]
fn what_cannot_work_is_refused_at_load() {
    for (text, message) in [
        ("batch: array", "a webhook needs an `endpoint`"),
        (
            "endpoint: nowhere",
            "1:11: endpoint: the endpoint is no URL: relative URL without a base",
        ),
        ("endpoint: ftp://x", "must begin with http:// or https://"),
        (
            "endpoint: \"http://x/{{ .Name }}\"\nbatch: array",
            "it can't have fields",
        ),
        (
            "endpoint: \"http://{{ .Namespace }}.hooks/x\"",
            "1:11: endpoint: the host must not depend on the event",
        ),
        (
            "endpoint: \"{{ .Message }}\"",
            "1:11: endpoint: the host must not depend on the event",
        ),
        (
            "endpoint: \"http://x/{{ nmae }}\"",
            "there is no function `nmae`",
        ),
        (
            "endpoint: http://x\nheaders: {\"a b\": c}",
            "`a b` is no legal name of a header",
        ),
        ("endpoint: http://x\nmethod: \"P OST\"", "is no HTTP method"),
        (
            "endpoint: http://x\ntls: {certFile: /x}",
            "tls.certFile is given without tls.keyFile",
        ),
        (
            "endpoint: http://x\ntls: {caFile: /nowhere}",
            "cannot read the TLS file /nowhere",
        ),
    ] {
        let error = format!("{:#}", sink_from(text).err().unwrap());
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let text = "endpoint: http://u:pw@x/token\npassword: hunter2\nheaders: {Authorization: hunter2}\nbearerToken: hunter2";
    let config: WebhookConfig = crate::yaml::parse(text, &|_| None).unwrap().value;
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("pw"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_user_in_the_url_authenticates_unless_a_header_does() {
    for (more, header) in [
        ("", "authorization:Basic dXNAZXI6aHVudGVyMg=="),
        ("bearerToken: t", "authorization:Bearer t"),
    ] {
        let server = Server::start(Vec::new()).await;
        let url = server.url.replace("http://", "http://us%40er:hunter2@");
        let sink = sink_from(&format!("endpoint: {url}/hook\n{more}")).unwrap();
        sink.send(&events("a")).await.unwrap();
        let sent = server.requests().remove(0).headers;
        assert!(sent.contains(&header.to_owned()), "{sent:?}");
    }
}

#[tokio::test]
async fn a_server_that_answers_with_what_it_was_asked_gives_no_secret_away() {
    let echo = "denied: POST /hook/T0001-a-long-key?token=in-query for Bearer in-bearer, \
                in-bearer, in-header, application/json";
    let server = Server::start(vec![Answer::Status(400, "", echo.to_owned())]).await;
    let sink = sink_from(&format!(
        "endpoint: {}/hook/T0001-a-long-key?token=in-query\nbearerToken: in-bearer\nheaders: {{X-Api-Key: in-header}}",
        server.url
    ))
    .unwrap();
    let receipt = sink.send(&events("a")).await.unwrap();
    assert_eq!(
        receipt.rejected[0].reason,
        "HTTP 400: denied: POST /hook/***?*** for ***, ***, ***, application/json"
    );
}

#[tokio::test]
async fn a_user_in_a_url_is_not_given_away() {
    let echo = "denied: Basic dXNAZXI6aHVudGVyMg==".to_owned();
    let server = Server::start(vec![Answer::Status(400, "", echo)]).await;
    let url = server.url.replace("http://", "http://us%40er:hunter2@");
    let sink = sink_from(&format!("endpoint: {url}/hook")).unwrap();
    let receipt = sink.send(&events("a")).await.unwrap();
    assert_eq!(receipt.rejected[0].reason, "HTTP 400: denied: ***");
}

#[tokio::test]
async fn https_where_there_is_none_is_told_so() {
    // The one provider of cryptography, as `main` installs it; another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("endpoint: https://{}/", plain.local_addr().unwrap());
    let sink = sink_from(&endpoint).unwrap();
    let answer = async {
        let (mut stream, _) = plain.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
        stream
    };
    let batch = events("a");
    let (sent, _stream) = tokio::join!(sink.send(&batch), answer);
    let receipt = sent.unwrap();
    let told = format!("{receipt:?}");
    assert!(told.contains("the server does not speak TLS"), "{told}");
}
