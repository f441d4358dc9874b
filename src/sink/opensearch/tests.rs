use std::time::Duration;

use super::*;
use crate::event::Compat;
use crate::sink::testing::{Answer, Server};

fn sink_from(text: &str) -> anyhow::Result<OpenSearch> {
    let config: OpenSearchConfig = crate::yaml::parse(text, &|_| None)?.value;
    let settings = SinkSettings {
        timeout: Duration::from_secs(2),
        compat: Compat::Default,
    };
    Ok(OpenSearch::new(&config, Dialect::OpenSearch, settings)?)
}

fn sink(server: &Server, more: &str) -> OpenSearch {
    sink_from(&format!("hosts: [\"{}\"]\n{more}", server.url)).unwrap()
}

fn events(names: &str) -> Vec<Arc<Event>> {
    let event = |name: char| {
        let mut event = Event::default();
        event.metadata.name = name.to_string();
        event.metadata.uid = format!("uid-{name}");
        event.metadata.resource_version = "42".into();
        event.last_timestamp = crate::event::Time::parse("2024-05-01T10:20:30Z");
        Arc::new(event)
    };
    names.chars().map(event).collect()
}

fn items(statuses: &[u16]) -> Answer {
    let items: Vec<String> = statuses
        .iter()
        .map(|status| match status {
            200..300 => format!(r#"{{"create":{{"status":{status}}}}}"#),
            _ => {
                format!(r#"{{"create":{{"status":{status},"error":{{"type":"t","reason":"r"}}}}}}"#)
            }
        })
        .collect();
    Answer::Status(
        200,
        "content-type: application/json\r\n",
        format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")),
    )
}

fn actions(body: &str) -> Vec<&str> {
    body.lines().step_by(2).collect()
}

#[tokio::test]
async fn a_batch_is_one_compressed_request_with_ids() {
    let server = Server::start(vec![items(&[201, 409])]).await;
    let receipt = sink(&server, "index: kube-events\nusername: u\npassword: p")
        .send(&events("ab"))
        .await
        .unwrap();
    assert_eq!(
        receipt,
        Receipt {
            duplicates: 1,
            status: Some(200),
            ..Receipt::default()
        }
    );
    let request = server.requests().remove(0);
    assert!(request.line.starts_with("POST /_bulk?"), "{}", request.line);
    assert_eq!(
        actions(&request.body),
        [
            r#"{"create":{"_index":"kube-events","_id":"uid-a-42"}}"#,
            r#"{"create":{"_index":"kube-events","_id":"uid-b-42"}}"#
        ]
    );
    assert!(request.body.ends_with('\n'));
    for header in [
        "content-type:application/x-ndjson",
        "content-encoding:gzip",
        "authorization:Basic dTpw",
    ] {
        assert!(
            request.headers.contains(&header.to_owned()),
            "{header} in {:?}",
            request.headers
        );
    }
}

#[tokio::test]
async fn ids_and_operations_follow_the_settings() {
    for (settings, action) in [
        (
            "index: i\nuseEventID: true",
            r#"{"index":{"_index":"i","_id":"uid-a","version":42,"version_type":"external"}}"#,
        ),
        (
            "indexFormat: \"i-{2006.01.02}\"\nindex: other",
            r#"{"create":{"_index":"i-2024.05.01","_id":"uid-a-42"}}"#,
        ),
        (
            "dataStream: d",
            r#"{"create":{"_index":"d","_id":"uid-a-42"}}"#,
        ),
        ("index: i\ndocumentID: none", r#"{"create":{"_index":"i"}}"#),
    ] {
        let server = Server::start(vec![items(&[201])]).await;
        sink(&server, settings).send(&events("a")).await.unwrap();
        assert_eq!(actions(&server.requests()[0].body), [action], "{settings}");
    }
}

#[tokio::test]
async fn fault_05_results_are_told_event_by_event() {
    let server = Server::start(vec![items(&[201, 429, 400, 503])]).await;
    let receipt = sink(&server, "index: i")
        .send(&events("abcd"))
        .await
        .unwrap();
    assert_eq!(receipt.retry, [1, 3]);
    assert_eq!(receipt.rejected[0].index, 2);
}

#[tokio::test]
async fn a_request_that_was_not_answered_event_by_event_settles_nothing() {
    let html = |code| Answer::Status(code, "", "<html>gateway</html>".into());
    let no_handler = r#"{"error":"no handler found for uri [/a/b/_bulk] and method [POST]"}"#;
    for (answer, kind) in [
        (html(408), SendErrorKind::Transient),
        (html(429), SendErrorKind::Transient),
        (html(500), SendErrorKind::Transient),
        (html(502), SendErrorKind::Transient),
        (html(503), SendErrorKind::Transient),
        (html(504), SendErrorKind::Transient),
        (html(401), SendErrorKind::Denied),
        (html(403), SendErrorKind::Denied),
        (html(404), SendErrorKind::Denied),
        (html(301), SendErrorKind::Denied),
        // Of a proxy, or of a port that wants TLS: every event would get it.
        (html(400), SendErrorKind::Denied),
        (
            Answer::Status(400, "", no_handler.into()),
            SendErrorKind::Denied,
        ),
        (
            Answer::Status(400, "", r#"{"error":{"type":"x"},"status":400}"#.into()),
            SendErrorKind::Refused,
        ),
        (
            Answer::Status(413, "", String::new()),
            SendErrorKind::TooLarge,
        ),
        (items(&[201]), SendErrorKind::Transient),
        (html(200), SendErrorKind::Transient),
        (Answer::Cut, SendErrorKind::Transient),
        (Answer::Silence, SendErrorKind::Transient),
    ] {
        let server = Server::start(vec![answer.clone()]).await;
        let error = sink(&server, "index: i")
            .send(&events("ab"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind, "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn what_answers_behind_a_redirect_has_taken_nothing() {
    let elsewhere = Server::start(vec![items(&[201])]).await;
    let location = format!("location: {}/\r\n", elsewhere.url).leak();
    let server = Server::start(vec![Answer::Status(302, location, String::new())]).await;
    let error = sink(&server, "index: i")
        .send(&events("a"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Denied);
    let expected = format!(
        "{} redirects to {}: give that under `hosts`",
        server.url, elsewhere.url
    );
    assert_eq!(error.reason, expected);
}

#[tokio::test]
async fn a_server_that_cannot_unpack_requests_gets_them_plain() {
    let broken = r#"{"error":{"reason":"Illegal character ((CTRL-CHAR, code 31))"}}"#;
    let server = Server::start(vec![Answer::Status(400, "", broken.into()), items(&[201])]).await;
    let sink = sink(&server, "index: i");
    assert_eq!(
        sink.send(&events("a")).await.unwrap_err().kind,
        SendErrorKind::Transient
    );
    sink.send(&events("a")).await.unwrap();
    assert!(
        !server.requests()[1]
            .headers
            .contains(&"content-encoding:gzip".to_owned())
    );
}

#[tokio::test]
async fn fault_11_hosts_are_used_in_turn_and_a_dead_one_rests() {
    let (alive, other) = (Server::start(vec![]).await, Server::start(vec![]).await);
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let text = format!(
        "hosts: [\"{dead}\", \"{}\", \"{}\"]\nindex: i",
        alive.url, other.url
    );
    let sink = sink_from(&text).unwrap();
    let error = sink.send(&events("a")).await.unwrap_err();
    assert!(
        error.reason.starts_with(&format!("{dead}: no answer: ")),
        "{error}"
    );
    for _ in 0..6 {
        let _ = sink.send(&events("a")).await;
    }
    assert_eq!((alive.requests().len(), other.requests().len()), (3, 3));
}

#[tokio::test]
async fn fault_11_a_host_that_is_gone_without_a_word_is_tried_by_one_request_at_a_time() {
    let alive = Server::start(vec![]).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "hosts: [\"http://{}\", \"{}\"]\nindex: i",
        silent.local_addr().unwrap(),
        alive.url
    );
    let sink = sink_from(&text).unwrap();
    let refused = async {
        drop(silent.accept().await.unwrap());
        silent
    };
    let batch = events("a");
    let (failed, silent) = tokio::join!(sink.send(&batch), refused);
    failed.unwrap_err();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(16)).await;
    tokio::time::resume();
    let mut probe = sink.send(&batch);
    while alive.requests().is_empty() {
        let _ = sink.send(&batch).await;
    }
    tokio::select! {
        _ = &mut probe => panic!("nobody answers"),
        _ = silent.accept() => {}
    }
    for _ in 0..4 {
        let _ = sink.send(&batch).await;
    }
    assert!(alive.requests().len() >= 5);
}

#[test]
fn a_ca_that_is_none_is_told_where_it_stands() {
    let ca = tempfile::NamedTempFile::new().unwrap();
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(ca.path(), pem).unwrap();
    let path = ca.path().display();
    let text = format!("hosts: https://x\nindex: i\ntls: {{caFile: {path}}}");
    let problems = sink_from(&text).err().unwrap().to_string();
    assert!(problems.contains("no certificate in PEM"), "{problems}");
}

#[tokio::test]
async fn a_hosts_path_and_credentials_are_used_and_never_shown() {
    let server = Server::start(vec![items(&[201])]).await;
    let host = server.url.replace("http://", "http://us%40er:hunter2@");
    let sink = sink_from(&format!(
        "hosts: {host}/prefix\nindex: i\nusername: other\npassword: other"
    ))
    .unwrap();
    sink.send(&events("a")).await.unwrap();
    let request = server.requests().remove(0);
    assert!(
        request.line.starts_with("POST /prefix/_bulk?"),
        "{}",
        request.line
    );
    assert!(
        request
            .headers
            .contains(&"authorization:Basic dXNAZXI6aHVudGVyMg==".to_owned()),
        "{:?}",
        request.headers
    );
    let dead = sink_from("hosts: http://u:hunter2@127.0.0.1:1\nindex: i").unwrap();
    let error = dead.send(&events("a")).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn keys_tokens_and_headers_go_with_every_request() {
    for (given, header) in [
        ("apiKey: aWQ6a2V5", "authorization:ApiKey aWQ6a2V5"),
        ("apiKey: \"id:key\"", "authorization:ApiKey aWQ6a2V5"),
        ("bearerToken: t0ken", "authorization:Bearer t0ken"),
        (
            "headers: {authorization: Custom x}",
            "authorization:Custom x",
        ),
        (
            "headers: {X-Tenant: shop}\nusername: u\npassword: p",
            "x-tenant:shop",
        ),
    ] {
        let server = Server::start(vec![items(&[201]), items(&[201])]).await;
        let sink = sink(&server, &format!("index: i\n{given}"));
        sink.send(&events("a")).await.unwrap();
        sink.send(&events("a")).await.unwrap();
        for request in server.requests() {
            let found = request.headers.iter().filter(|have| *have == header);
            assert_eq!(found.count(), 1, "{given}: {:?}", request.headers);
        }
    }
}

#[tokio::test]
async fn credentials_that_come_back_are_hidden() {
    let echo = "{\"items\":[{\"create\":{\"status\":400,\"error\":{\"type\":\"t\",\"reason\":\"no auth Basic dTpodW50ZXIy, u:hunter2\"}}},{\"create\":{\"status\":403,\"error\":{\"type\":\"t\",\"reason\":\"hunter2 may not\"}}}]}";
    let echo = Answer::Status(200, "content-type: application/json\r\n", echo.to_owned());
    let server = Server::start(vec![echo]).await;
    let sink = sink(&server, "index: i\nusername: u\npassword: hunter2");
    let receipt = sink.send(&events("ab")).await.unwrap();
    let told = format!("{receipt:?}");
    assert!(
        told.contains("no auth ***, ***") && told.contains("*** may not"),
        "{told}"
    );
    assert!(
        !told.contains("hunter2") && !told.contains("dTpodW50ZXIy"),
        "{told}"
    );
}

#[test]
fn fault_38_nothing_shows_a_secret() {
    let text = "index: i\nhosts: http://u:hunter2@x\npassword: hunter2\napiKey: hunter2\nbearerToken: hunter2\nheaders: {a: hunter2}\ncloudID: hunter2";
    let config: OpenSearchConfig = crate::yaml::parse(text, &|_| None).unwrap().value;
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let error = sink_from(text).err().unwrap().to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn what_cannot_work_is_refused_at_load() {
    for (text, message) in [
        (
            "useEventID: true",
            "give `index`, `indexFormat` or `dataStream`",
        ),
        (
            "index: i\ndataStream: d",
            "2:13: dataStream: give either `dataStream` or an index",
        ),
        ("dataStream: d\nuseEventID: true", "leave `useEventID` out"),
        (
            "index: i\nhosts: opensearch:9200",
            "2:8: hosts: a host must begin with http:// or https://",
        ),
        ("index: i\nhosts: nonsense", "a host is no URL"),
        ("index: Upper", "`upper` would be"),
        (
            "index: i\ntls: {keyFile: /x}",
            "tls.keyFile is given without tls.certFile",
        ),
        (
            "index: i\ntls: {serverName: x}",
            "tls.serverName: `serverName` is not supported",
        ),
        (
            "index: i\nusername: u\napiKey: k",
            "3:9: apiKey: give either `username` or `apiKey`",
        ),
        (
            "index: i\napiKey: k\nbearerToken: t",
            "3:14: bearerToken: give either `apiKey` or `bearerToken`",
        ),
        (
            "index: i\nbearerToken: t\nheaders: {authorization: x}",
            "3:26: headers.authorization: give either `bearerToken` or `headers.Authorization`",
        ),
        (
            "index: i\nhosts: http://u:p@x\napiKey: k",
            "2:8: hosts: give either a user in `hosts` or `apiKey`",
        ),
        (
            "index: i\nhosts: http://x\ncloudID: n:Zm91bmQuaW8kYWJj",
            "3:10: cloudID: give either `hosts` or `cloudID`",
        ),
        ("index: i\ncloudID: n", "this is no cloud ID"),
        (
            "index: i\nheaders: {a: \"{{ .Name }}\"}",
            "one header serves many events: it can't have fields",
        ),
        (
            "index: i\nheaders: {Content-Type: a}",
            "leave this header out",
        ),
        ("index: i\napiKey: \"a\\nb\"", "no header can hold this"),
    ] {
        let error = format!("{:#}", sink_from(text).err().unwrap());
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_answers_with_what_it_was_asked_gives_no_secret_away() {
    let echo = "denied: Basic b3RoZXI6aHVudGVyMg==, in-header".to_owned();
    let server = Server::start(vec![Answer::Status(401, "", echo)]).await;
    let sink = sink_from(&format!(
        "hosts: {}\nindex: i\nusername: other\npassword: hunter2\nheaders: {{X-Key: in-header}}",
        server.url
    ))
    .unwrap();
    let error = sink.send(&events("a")).await.unwrap_err();
    assert_eq!(error.reason, "HTTP 401: denied: ***, ***");
    let sent = server.requests().remove(0).headers;
    let header = "authorization:Basic b3RoZXI6aHVudGVyMg==".to_owned();
    assert!(sent.contains(&header), "{sent:?}");
}
