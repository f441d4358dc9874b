use super::*;
use crate::event::Time;
use crate::sink::testing::{Answer, SETTINGS, Server, config, event, events, fate};

fn sink(text: &str) -> anyhow::Result<Box<dyn Sink>> {
    Ok(build(&config(text)?, SETTINGS)?)
}

fn to(server: &Server, more: &str) -> Box<dyn Sink> {
    sink(&format!(
        "url: {}/loki/api/v1/push\nlayout: {{n: \"{{{{ .Name }}}}\"}}\n{more}",
        server.url
    ))
    .unwrap()
}

fn answers(statuses: &[u16]) -> Vec<Answer> {
    let answer = |status: &u16| Answer::Status(*status, "", "entry too far behind".into());
    statuses.iter().map(answer).collect()
}

#[tokio::test]
async fn a_batch_is_one_request_of_streams_in_order_of_time() {
    let server = Server::start(answers(&[204])).await;
    let sink = to(
        &server,
        "streamLabels: {job: events, reason: \"{{ .Reason }}\"}\nusername: u\npassword: p\ntenantID: shop\nheaders: {X-A: b}",
    );
    let (mut late, mut early, mut other) = (event('a'), event('b'), event('c'));
    late.last_timestamp = Time::parse("2024-05-01T10:20:31.000001Z");
    early.message = "m".into();
    other.reason = "Pulled".into();
    let unsorted = [late, early, other].map(Arc::new);
    let receipt = sink.send(&unsorted).await.unwrap();
    assert_eq!(
        receipt,
        Receipt {
            status: Some(204),
            ..Receipt::default()
        }
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "POST /loki/api/v1/push");
    assert_eq!(
        requests[0].body,
        r#"{"streams":[{"stream":{"job":"events","reason":"BackOff"},"values":[["1714558830000000000","{\"n\":\"b\"}"],["1714558831000001000","{\"n\":\"a\"}"]]},{"stream":{"job":"events","reason":"Pulled"},"values":[["1714558830000000000","{\"n\":\"c\"}"]]}]}"#
    );
    for header in [
        "content-type:application/json",
        "x-scope-orgid:shop",
        "x-a:b",
        "authorization:Basic dTpw",
    ] {
        assert!(
            requests[0].headers.contains(&header.to_owned()),
            "{:?}",
            requests[0].headers
        );
    }
}

#[tokio::test]
async fn a_batch_of_several_tenants_is_a_request_each() {
    let more = "streamLabels: {job: events}\nbearerToken: t\ntenantID: \"{{ .Name }}\"";
    let server = Server::start(answers(&[204, 204])).await;
    let (rejected, receipt) = fate(&*to(&server, more), "aba").await;
    assert!(rejected.is_empty() && receipt.retry.is_empty());
    let requests = server.requests();
    let tenants: Vec<_> = requests
        .iter()
        .map(|request| {
            (
                request.headers.contains(&"x-scope-orgid:a".to_owned()),
                request.body.matches("\"{").count(),
            )
        })
        .collect();
    assert_eq!(tenants, [(true, 2), (false, 1)]);
    assert!(
        requests[1]
            .headers
            .contains(&"authorization:Bearer t".to_owned())
    );

    // a: taken, b and c are refused: of b there is one, which is known by that; of c there are two.
    let server = Server::start(answers(&[204, 400, 400])).await;
    let (rejected, receipt) = fate(&*to(&server, more), "abcc").await;
    assert_eq!(rejected, [(1, "HTTP 400: entry too far behind".to_owned())]);
    assert_eq!(receipt.retry, [2, 3]);
    assert_eq!(receipt.retry_cause.unwrap().kind, SendErrorKind::Refused);

    // The first is taken, then the server is away.
    let server = Server::start(answers(&[204, 503])).await;
    let (rejected, receipt) = fate(&*to(&server, more), "abc").await;
    assert!(rejected.is_empty());
    assert_eq!(receipt.retry, [1, 2]);
    assert_eq!(receipt.retry_cause.unwrap().kind, SendErrorKind::Transient);
    assert_eq!(server.requests().len(), 2);

    // Nothing is settled: smaller batches find out.
    let server = Server::start(answers(&[400, 400])).await;
    let error = to(&server, more).send(&events("aabb")).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Refused);
}

#[tokio::test]
async fn a_status_says_what_to_do() {
    for (status, kind) in [
        (400, SendErrorKind::Refused),
        (413, SendErrorKind::TooLarge),
        (429, SendErrorKind::Transient),
        (500, SendErrorKind::Transient),
        (401, SendErrorKind::Denied),
        (404, SendErrorKind::Denied),
        (302, SendErrorKind::Denied),
    ] {
        let server = Server::start(answers(&[status])).await;
        let sink = to(&server, "streamLabels: {job: events}");
        let error = sink.send(&events("ab")).await.unwrap_err();
        assert_eq!((error.kind, error.status), (kind, Some(status)));
    }
    let server = Server::start(answers(&[400])).await;
    let (rejected, receipt) = fate(&*to(&server, "streamLabels: {job: events}"), "a").await;
    assert_eq!((rejected.len(), receipt.retry.len()), (1, 0));
}

#[test]
fn what_cannot_work_is_refused_at_load() {
    for (text, message) in [
        ("streamLabels: {a: b}", "Loki needs a `url`"),
        ("url: http://x", "Loki takes no stream without labels"),
        (
            "url: loki:3100/x\nstreamLabels: {a: b}",
            "1:6: url: the endpoint must begin with http:// or https://",
        ),
        (
            "url: http://x\nstreamLabels: {app.name: b}",
            "2:26: streamLabels.app.name: `app.name` is no name of a label",
        ),
        (
            "url: http://x\nstreamLabels: {a: \"{{ nmae }}\"}",
            "2:22: streamLabels.a: template: there is no function `nmae`",
        ),
        (
            "url: http://x\nstreamLabels: {a: b}\nusername: u\nbearerToken: t",
            "4:14: bearerToken: give either `username` or `bearerToken`",
        ),
        (
            "url: http://x\nstreamLabels: {a: b}\ntenantID: u\nheaders: {x-scope-orgid: t}",
            "3:11: tenantID: give either `tenantID` or `headers.X-Scope-OrgID`",
        ),
        (
            "url: https://x\nstreamLabels: {a: b}\ntls: {caFile: /nowhere}",
            "cannot read the TLS file /nowhere",
        ),
    ] {
        let error = format!("{:#}", sink(text).err().unwrap());
        assert!(error.contains(message), "{text}: {error}");
    }
    let config: LokiConfig = config(
        "url: http://u:hunter2@x\npassword: hunter2\nbearerToken: hunter2\nheaders: {A: hunter2}",
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
