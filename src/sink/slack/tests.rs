use super::*;
use crate::sink::testing::{Answer as Reply, SETTINGS, Server, config, events, fate};

fn sink(text: &str) -> anyhow::Result<Box<dyn Sink>> {
    Ok(build(&config(text)?, SETTINGS)?)
}

fn with_token(server: &Server, more: &str) -> Box<dyn Sink> {
    let url = &server.url;
    sink(&format!(
        "token: xoxb-1\nchannel: \"#{{{{ .Namespace }}}}\"\nendpoint: {url}/api/chat.postMessage\n{more}"
    ))
    .unwrap()
}

fn answer(status: u16, body: &str) -> Reply {
    Reply::Status(status, "retry-after: 7\r\n", body.into())
}

const OK: &str = r#"{"ok":true,"channel":"C1","ts":"1.2"}"#;

#[tokio::test]
async fn a_message_is_what_the_incumbent_sends() {
    let server = Server::start(vec![answer(200, OK), answer(200, OK)]).await;
    let sink = with_token(
        &server,
        r##"
message: "{{ .Message }}"
color: "#ff0000"
title: "{{ .Reason }}"
author_name: exporter
footer: "{{ .Name }}"
fields: {Type: "{{ .Type }}", Message: "{{ .Message }}"}"##,
    );
    sink.send(&events("ab")).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let request = &requests[0];
    assert_eq!(request.line, "POST /api/chat.postMessage");
    for header in [
        "authorization:Bearer xoxb-1",
        "content-type:application/json",
    ] {
        assert!(
            request.headers.contains(&header.to_owned()),
            "{:?}",
            request.headers
        );
    }
    assert_eq!(
        request.body,
        r##"{"channel":"#shop","text":"&lt;a&gt; &amp; co","attachments":[{"color":"#ff0000","author_name":"exporter","title":"BackOff","fields":[{"title":"Message","value":"&lt;a&gt; &amp; co","short":false},{"title":"Type","value":"Warning","short":false}],"footer":"a"}]}"##
    );
}

#[tokio::test]
async fn a_webhook_has_a_channel_and_no_token() {
    let server = Server::start(vec![answer(200, "ok")]).await;
    let sink = sink(&format!(
        "webhook: {}/services/T/B/x\nmessage: hello",
        server.url
    ))
    .unwrap();
    let (rejected, receipt) = fate(&*sink, "a").await;
    assert_eq!((rejected, receipt.retry), (vec![], vec![]));
    let request = server.requests().remove(0);
    assert_eq!(request.line, "POST /services/T/B/x");
    assert_eq!(request.body, r#"{"text":"hello"}"#);
    assert!(
        !request
            .headers
            .iter()
            .any(|header| header.starts_with("authorization"))
    );
}

#[tokio::test]
async fn what_slack_says_decides() {
    use SendErrorKind::{Denied, Transient};
    let taken_at_length = format!(
        r#"{{"ok":true,"message":{{"text":"{}"}}}}"#,
        "x".repeat(200_000)
    );
    for (status, body, repeated) in [
        (200, OK, None),
        (200, taken_at_length.as_str(), None),
        (
            200,
            r#"{"ok":false,"error":"ratelimited"}"#,
            Some(Transient),
        ),
        (
            200,
            r#"{"ok":false,"error":"internal_error"}"#,
            Some(Transient),
        ),
        (200, r#"{"ok":false,"error":"invalid_auth"}"#, Some(Denied)),
        (
            200,
            r#"{"ok":false,"error":"missing_scope","needed":"chat:write"}"#,
            Some(Denied),
        ),
        (
            429,
            r#"{"ok":false,"error":"ratelimited"}"#,
            Some(Transient),
        ),
        (503, "<html>", Some(Transient)),
        (200, "<html>a proxy's page", Some(Transient)),
        (403, "<html>", Some(Denied)),
    ] {
        let server = Server::start(vec![answer(status, body)]).await;
        let (rejected, receipt) = fate(&*with_token(&server, "message: m"), "a").await;
        assert_eq!(rejected, [], "{status} {body:.60}");
        let cause = receipt
            .retry_cause
            .map(|cause| (cause.kind, cause.retry_after));
        let seven = Some(std::time::Duration::from_secs(7));
        assert_eq!(
            cause,
            repeated.map(|kind| (kind, seven)),
            "{status} {body:.60}"
        );
    }
    let server = Server::start(vec![
        answer(200, r#"{"ok":false,"error":"channel_not_found"}"#),
        answer(400, "bad"),
        answer(200, OK),
    ])
    .await;
    let (rejected, receipt) = fate(&*with_token(&server, "message: m"), "abc").await;
    let reasons = [
        (
            0,
            r#"HTTP 200: {"ok":false,"error":"channel_not_found"}"#.to_owned(),
        ),
        (1, "HTTP 400: bad".to_owned()),
    ];
    assert_eq!(rejected, reasons);
    assert!(receipt.retry.is_empty());
}

#[tokio::test]
async fn what_a_webhook_says_decides() {
    use SendErrorKind::{Denied, Transient};
    for (status, body, repeated) in [
        (404, "no_service", Some(Denied)),
        (403, "action_prohibited", Some(Denied)),
        (500, "rollup_error", Some(Transient)),
        (429, "", Some(Transient)),
        (400, "invalid_payload", None),
        (410, "channel_is_archived", None),
    ] {
        let server = Server::start(vec![answer(status, body)]).await;
        let sink = sink(&format!("webhook: {}\nmessage: m", server.url)).unwrap();
        let (rejected, receipt) = fate(&*sink, "a").await;
        let cause = receipt.retry_cause.map(|cause| cause.kind);
        assert_eq!(
            (cause, rejected.len()),
            (repeated, repeated.is_none().into()),
            "{body}"
        );
    }
}

#[test]
fn what_cannot_work_is_refused_at_load() {
    for (text, message) in [
        ("channel: c\nmessage: m", "Slack needs a `token`"),
        ("token: t\nmessage: m", "Slack needs a `channel`"),
        (
            "token: t\nchannel: c\ncolor: red",
            "there is nothing to say: give a `message`",
        ),
        (
            "token: t\nwebhook: http://x\nmessage: m",
            "2:10: webhook: give either `token` or `webhook`",
        ),
        (
            "webhook: http://x\nendpoint: http://y\nmessage: m",
            "2:11: endpoint: `endpoint` goes with a `token`",
        ),
        (
            "webhook: nowhere\nmessage: m",
            "1:10: webhook: the endpoint is no URL",
        ),
        (
            "token: \"a\\nb\"\nchannel: c\nmessage: m",
            "1:8: token: no header can hold this",
        ),
        (
            "token: t\nchannel: c\nfields: {A: \"{{ nmae }}\"}",
            "3:16: fields.A: ",
        ),
    ] {
        let error = format!("{:#}", sink(text).err().unwrap());
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let config: SlackConfig = config("token: hunter2\nwebhook: http://x/hunter2").unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
