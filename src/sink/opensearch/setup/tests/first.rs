//! What happens before the first event is written, and the import of dashboards.

use std::sync::Arc;

use super::*;
use crate::event::Event;
use crate::sink::opensearch::build;
use crate::sink::testing::{SETTINGS, events};
use crate::sink::{Receipt, Sink};

const TAKEN: &str = r#"{"errors":false,"items":[{"create":{"status":201}}]}"#;

fn batch() -> Vec<Arc<Event>> {
    events("a")
}

fn sink(server: &Server, more: &str) -> Box<dyn Sink> {
    let config = config(&format!("hosts: {}\n{STREAM}\n{more}", server.url));
    build(&config, Dialect::OpenSearch, SETTINGS).unwrap()
}

/// How many of the requests were for events.
fn bulks(server: &Server) -> usize {
    let requests = server.requests();
    requests
        .iter()
        .filter(|it| it.line.contains("_bulk"))
        .count()
}

#[tokio::test]
async fn everything_is_there_before_the_first_event() {
    let answers = [makes(5), vec![answer(200, TAKEN), answer(200, TAKEN)]].concat();
    let server = Server::start(answers).await;
    let sink = sink(&server, "setup: true");
    for _ in 0..2 {
        let receipt = sink.send(&batch()).await.unwrap();
        assert_eq!(
            receipt,
            Receipt {
                status: Some(200),
                ..Receipt::default()
            }
        );
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 12, "once: {requests:?}");
    assert!(!sink.lacks_setup());
    assert!(requests[10].line.starts_with("POST /_bulk"), "{requests:?}");
}

#[tokio::test]
async fn a_refusal_holds_no_event_back() {
    let no = || answer(403, "{}");
    let server = Server::start(vec![no(), no(), answer(200, TAKEN), answer(200, TAKEN)]).await;
    let sink = sink(&server, "setup: {retention: 7d}");
    for _ in 0..2 {
        sink.send(&batch()).await.unwrap();
    }
    assert_eq!((server.requests().len(), bulks(&server)), (4, 2));
    assert!(sink.lacks_setup());
}

#[tokio::test]
async fn fault_48_it_is_tried_again_until_somebody_answers() {
    // Nobody is there, however often and for how long.
    let cut = vec![Answer::Cut; 2];
    let answers = [cut, makes(5), vec![answer(200, TAKEN)]].concat();
    let server = Server::start(answers).await;
    let sink = sink(&server, "setup: true");
    for _ in 0..2 {
        sink.send(&batch()).await.unwrap_err();
        tokio::time::pause();
        // As much as a server that is busy has, and a little more.
        tokio::time::advance(Duration::from_secs(16)).await;
        tokio::time::resume();
    }
    sink.send(&batch()).await.unwrap();
    assert_eq!((server.requests().len(), bulks(&server)), (13, 1));
    assert!(!sink.lacks_setup());
}

#[tokio::test]
async fn fault_48_a_server_that_is_busy_is_asked_again_before_there_is_an_event() {
    let busy = answer(503, "{}");
    let answers = [vec![busy.clone(), busy], makes(5), vec![answer(200, TAKEN)]].concat();
    let server = Server::start(answers).await;
    let sink = sink(&server, "setup: true");
    sink.send(&batch()).await.unwrap();
    let requests = server.requests();
    assert_eq!((requests.len(), bulks(&server)), (13, 1));
    assert!(requests[12].line.starts_with("POST /_bulk"), "{requests:?}");
    assert!(!sink.lacks_setup());
}

#[tokio::test]
async fn it_is_off_unless_it_is_given() {
    for more in ["", "setup: false", "setup: {atStart: false, retention: 7d}"] {
        let server = Server::start(vec![answer(200, TAKEN)]).await;
        sink(&server, more).send(&batch()).await.unwrap();
        assert_eq!(server.requests().len(), 1, "{more}");
    }
    let text = "index: \"{{ .Namespace }}\"\nsetup: true";
    let problems = build(&config(text), Dialect::OpenSearch, SETTINGS)
        .err()
        .unwrap();
    assert!(
        problems.to_string().contains("indices of others"),
        "{problems}"
    );
}

async fn import(
    reply: Answer,
    dialect: Dialect,
    overwrite: bool,
) -> (Result<Imported, SendError>, Request) {
    let server = Server::start(vec![reply]).await;
    let config = config("username: admin\npassword: secret\nindex: e");
    let url = format!("{}/_dashboards", server.url);
    let dashboards = Dashboards::new(&url, &config, dialect, Duration::from_secs(2)).unwrap();
    let imported = dashboards.import("kube-events-20*.*.*", overwrite).await;
    (imported, server.requests().remove(0))
}

#[tokio::test]
async fn dashboards_are_imported_as_a_file() {
    let reply = answer(200, r#"{"successCount":21,"success":true}"#);
    let (imported, request) = import(reply, Dialect::OpenSearch, true).await;
    let imported = imported.unwrap();
    assert_eq!(
        (imported.taken, imported.kept, imported.refused.len()),
        (21, 0, 0)
    );
    assert_eq!(
        request.line,
        "POST /_dashboards/api/saved_objects/_import?overwrite=true"
    );
    let boundary = request
        .headers
        .iter()
        .find_map(|it| it.strip_prefix("content-type:multipart/form-data; boundary="))
        .unwrap();
    for header in ["osd-xsrf:true", "authorization:Basic YWRtaW46c2VjcmV0"] {
        assert!(
            request.headers.contains(&header.to_owned()),
            "{:?}",
            request.headers
        );
    }
    let part = request
        .body
        .strip_prefix(&format!("--{boundary}\r\n"))
        .and_then(|body| body.strip_suffix(&format!("\r\n--{boundary}--\r\n")))
        .unwrap();
    let (head, file) = part.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        head.lines().next().unwrap(),
        "Content-Disposition: form-data; name=\"file\"; filename=\"dashboards.ndjson\""
    );
    assert!(!file.contains(boundary));
    let objects: Vec<Value> = file
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let shipped = include_str!("../../../../../deploy/opensearch/dashboards.ndjson");
    assert_eq!(objects.len(), shipped.lines().count());
    let pattern = objects
        .iter()
        .find(|it| it["type"] == "index-pattern")
        .unwrap();
    assert_eq!(pattern["attributes"]["title"], "kube-events-20*.*.*");
}

#[tokio::test]
async fn what_dashboards_say_with_status_200_is_told() {
    let reply = r#"{"successCount":1,"success":false,"errors":[
        {"id":"a","type":"dashboard","error":{"type":"conflict"}},
        {"id":"b","type":"visualization","error":{"type":"missing_references","references":[]}}]}"#;
    let (imported, request) = import(answer(200, reply), Dialect::Elasticsearch, false).await;
    let expected = Imported {
        taken: 1,
        kept: 1,
        refused: vec!["visualization b: missing_references".to_owned()],
    };
    assert_eq!(imported.unwrap(), expected);
    assert!(
        request.line.ends_with("overwrite=false"),
        "{}",
        request.line
    );
    assert!(
        request.headers.contains(&"kbn-xsrf:true".to_owned()),
        "{:?}",
        request.headers
    );
    for (reply, words) in [
        (answer(401, "{}"), "HTTP 401: {}"),
        (answer(200, "<html>"), "there are no Dashboards"),
    ] {
        let (imported, _) = import(reply, Dialect::OpenSearch, false).await;
        assert!(imported.unwrap_err().reason.contains(words));
    }
}
