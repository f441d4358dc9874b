use super::*;
use crate::sink::SendErrorKind;
use crate::sink::testing::{Answer, SETTINGS, Server, config, fate};

fn sink(text: &str) -> anyhow::Result<Box<dyn Sink>> {
    Ok(build(&config(text)?, SETTINGS)?)
}

fn to(server: &Server, more: &str) -> Box<dyn Sink> {
    sink(&format!("apiKey: k3y\nURL: {}\n{more}", server.url)).unwrap()
}

#[tokio::test]
async fn an_event_is_an_alert() {
    let taken = || Answer::Status(202, "", r#"{"result":"Request will be processed"}"#.into());
    let server = Server::start(vec![taken(), taken()]).await;
    let sink = to(
        &server,
        r#"
priority: P1
message: "{{ .Message }}"
alias: "{{ .Namespace }}/{{ .Name }}"
description: "{{ .Reason }}"
tags: [event, "{{ .Type }}"]
details: {Name: "{{ .Name }}", Cluster: c1}"#,
    );
    let (rejected, receipt) = fate(&*sink, "ab").await;
    assert_eq!((rejected, receipt.retry), (vec![], vec![]));
    let requests = server.requests();
    assert_eq!(requests[1].line, "POST /v2/alerts");
    assert!(
        requests[1]
            .headers
            .contains(&"authorization:GenieKey k3y".to_owned())
    );
    assert_eq!(
        requests[1].body,
        r#"{"message":"<b> & co","alias":"shop/b","description":"BackOff","tags":["event","Warning"],"details":{"Cluster":"c1","Name":"b"},"priority":"P1"}"#
    );
}

#[tokio::test]
async fn what_is_too_long_is_cut() {
    let server = Server::start(vec![]).await;
    let long = "é".repeat(16_000);
    let sink = to(
        &server,
        &format!("message: {long}\nalias: {long}\ndescription: {long}"),
    );
    fate(&*sink, "a").await;
    assert_eq!(
        server.requests()[0].body,
        format!(
            r#"{{"message":"{}","alias":"{}","description":"{}","priority":"P3"}}"#,
            "é".repeat(130),
            "é".repeat(512),
            "é".repeat(15_000)
        )
    );
}

#[tokio::test]
async fn the_status_decides() {
    use SendErrorKind::{Denied, Transient};
    for (status, repeated) in [
        (422, None),
        (429, Some(Transient)),
        (503, Some(Transient)),
        (401, Some(Denied)),
        (403, Some(Denied)),
    ] {
        let server = Server::start(vec![Answer::Status(status, "", String::new())]).await;
        let (rejected, receipt) = fate(&*to(&server, "message: m"), "a").await;
        let cause = receipt.retry_cause.map(|cause| cause.kind);
        assert_eq!(
            (cause, rejected.len()),
            (repeated, repeated.is_none().into()),
            "{status}"
        );
    }
}

#[test]
fn a_url_may_be_a_host() {
    for (text, url) in [
        ("message: m", "https://api.opsgenie.com/v2/alerts"),
        (
            "URL: api.eu.opsgenie.com",
            "https://api.eu.opsgenie.com/v2/alerts",
        ),
        ("URL: http://proxy/x/", "http://proxy/x/v2/alerts"),
    ] {
        let config: OpsgenieConfig = config(text).unwrap();
        assert_eq!(config.url().unwrap().as_str(), url);
    }
}

#[test]
fn what_cannot_work_is_refused_at_load() {
    for (text, message) in [
        ("message: m", "Opsgenie needs an `apiKey`"),
        ("apiKey: k", "Opsgenie needs a `message`"),
        (
            "apiKey: k\nmessage: m\npriority: high",
            "3:11: priority: `high` is no priority: give one of P1,",
        ),
        (
            "apiKey: k\nmessage: m\nURL: ftp://x",
            "3:6: URL: the endpoint must begin with http:// or https://",
        ),
        (
            "apiKey: k\nmessage: m\ntags: [a, \"{{ nmae }}\"]",
            "3:14: tags[1]: ",
        ),
    ] {
        let error = format!("{:#}", sink(text).err().unwrap());
        assert!(error.contains(message), "{text}: {error}");
    }
    let config: OpsgenieConfig = config("apiKey: hunter2").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
