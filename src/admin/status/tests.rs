use axum::http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::*;
use crate::config::Config;
use crate::enrich::Enricher;
use crate::metrics::Metrics;
use crate::outlet::Fate;
use crate::pipeline::{Origins, Pipeline};
use crate::recent::Went;
use crate::status::StatusConfig;

const CONFIG: &str = "
route: {match: [{reason: '^a$', receiver: r}]}
receivers: [{name: r, stdout: {}}]
";

/// A page that shows events, or does not, of a process whose turn it is.
fn page_of(events: bool) -> (Router, Arc<Status>) {
    let status = Arc::new(Status::new(StatusConfig {
        enabled: true,
        events,
    }));
    let config = Config::parse(CONFIG, &|_| None).unwrap().config;
    let (_, pipeline) = Pipeline::build(
        config,
        "c",
        Enricher::default(),
        Origins::none(),
        Arc::new(Metrics::new(None).unwrap()),
        None,
    )
    .unwrap();
    status.lead(Vec::new(), pipeline.account());
    (router(Arc::clone(&status)), status)
}

async fn ask(
    page: &Router,
    request: axum::http::request::Builder,
    body: impl Into<Body>,
) -> (u16, String) {
    let request = request
        .extension(Lasting::default())
        .body(body.into())
        .unwrap();
    let answer = page.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20)
        .await
        .unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn get(path: &str) -> axum::http::request::Builder {
    Request::get(path)
}

fn explain_by(headers: &[(&str, &str)]) -> axum::http::request::Builder {
    let request = Request::post("/status/explain");
    let json = [("content-type", "application/json")];
    let headers = json.iter().chain(headers);
    headers.fold(request, |request, (name, value)| {
        request.header(*name, *value)
    })
}

const EVENT: &str = r#"{"reason":"a","metadata":{"name":"n","namespace":"shop"}}"#;

#[tokio::test]
async fn an_event_is_explained_by_the_routes_in_use() {
    let (page, status) = page_of(false);
    let (code, told) = ask(&page, explain_by(&[]), EVENT).await;
    assert_eq!(code, 200, "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["event"], &told["receivers"][0]),
        (&"shop/n".into(), &"r".into())
    );
    assert_eq!(told["steps"][0]["path"], "route.match[0]");
    assert_eq!(
        status.table().unwrap().hits.counted(),
        [0],
        "and not counted"
    );
    for (body, says) in [
        ("", "there is no event in it"),
        ("no json", "event:1: this is no JSON"),
        ("{}", "event:1: no event: "),
        (&EVENT.repeat(2), "there is more than one event in it"),
    ] {
        let (code, told) = ask(&page, explain_by(&[]), body.to_owned()).await;
        assert_eq!(code, 400, "{body}");
        assert!(
            told.starts_with(says) && told.lines().count() == 1,
            "{told}"
        );
    }
    let (code, _) = ask(&page, explain_by(&[]), "x".repeat(MAX_BODY + 1)).await;
    assert_eq!(code, 413);
    let long = EVENT.replace("\"a\"", &format!("\"{}\"", "ä".repeat(MAX_BODY / 4)));
    let (code, told) = ask(&page, explain_by(&[]), long).await;
    assert!(
        code == 200 && told.len() < 5000,
        "what fails is quoted in part"
    );
    status.stand_by();
    let (code, told) = ask(&page, explain_by(&[]), EVENT).await;
    assert_eq!((code, told.as_str()), (503, STANDBY));
}

#[tokio::test]
async fn no_other_site_can_ask() {
    let (page, _) = page_of(true);
    for (headers, expected) in [
        (&[("sec-fetch-site", "same-origin")][..], 200),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("host", "a:2112"), ("origin", "http://a:2112")], 200),
        (&[("host", "a:2112"), ("origin", "http://b:2112")], 403),
        (&[("host", "a:2112"), ("origin", "null")], 403),
    ] {
        let (code, _) = ask(&page, explain_by(headers), EVENT).await;
        assert_eq!(code, expected, "{headers:?}");
    }
    // Not a picture of another site's page either, and no page whose name has been made to lead here.
    for (path, header, expected) in [
        ("/", ("sec-fetch-site", "cross-site"), 200),
        ("/status", ("sec-fetch-site", "cross-site"), 403),
        ("/status/tap", ("sec-fetch-site", "cross-site"), 403),
        ("/status", ("host", "evil.example.com:2112"), 421),
        ("/", ("host", "evil.example.com"), 421),
        ("/status", ("host", "127.0.0.1.example.com"), 421),
        ("/status", ("host", "127.0.0.1:2112"), 200),
        ("/status", ("host", "[::1]:2112"), 200),
        ("/status", ("host", "localhost:2112"), 200),
        ("/status", ("host", "events.monitoring.svc:2112"), 200),
        (
            "/status",
            ("host", "events.monitoring.svc.cluster.local"),
            200,
        ),
    ] {
        let request = get(path).header(header.0, header.1);
        assert_eq!(
            ask(&page, request, "").await.0,
            expected,
            "{path} {header:?}"
        );
    }
    // What a form of another site can send without asking first.
    let plain = Request::post("/status/explain").header("content-type", "text/plain");
    assert_eq!(ask(&page, plain, EVENT).await.0, 415);
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/status/explain");
    assert_eq!(ask(&page, preflight, "").await.0, 405);
}

#[tokio::test]
async fn what_is_in_events_is_shown_only_where_that_is_wanted() {
    let (page, status) = page_of(false);
    assert!(status.recent().is_none());
    for path in ["/status/tap", "/status/events/1"] {
        assert_eq!(ask(&page, get(path), "").await, (403, NO_EVENTS.to_owned()));
    }
    let (page, status) = page_of(true);
    for reason in ["a", "b"] {
        let event = Event {
            reason: reason.to_owned(),
            ..Event::default()
        };
        let went = vec![Went {
            to: "r".to_owned(),
            fate: Fate::Queued,
        }];
        status.recent().unwrap().saw(Arc::new(event), went, false);
    }
    let (code, event) = ask(&page, get("/status/events/2"), "").await;
    let event: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert_eq!((code, &event["event"]["reason"]), (200, &"b".into()));
    assert_eq!(
        event["went"],
        serde_json::json!([{"to": "r", "fate": "queued"}])
    );
    assert_eq!(ask(&page, get("/status/events/3"), "").await.0, 404);
    assert_eq!(
        ask(&page, get("/status/tap"), "").await.1.lines().count(),
        2
    );
    let (_, one) = ask(&page, get("/status/tap?reason=%5Ea%24&receiver=r"), "").await;
    assert!(
        one.lines().count() == 1 && one.starts_with("{\"number\":1,"),
        "{one}"
    );
    for (query, says) in [
        ("reson=a", "reson: "),
        ("reason=(", "reason: the pattern `(` never matches"),
        ("receiver=x", "there is no receiver `x`"),
    ] {
        let (code, told) = ask(&page, get(&format!("/status/tap?{query}")), "").await;
        assert!(code == 400 && told.starts_with(says), "{told}");
    }
}

#[tokio::test]
async fn everything_tells_browsers_to_run_nothing_but_the_page() {
    let (page, _) = page_of(true);
    for path in ["/", "/status", "/status/events/7"] {
        let request = get(path)
            .extension(Lasting::default())
            .body(Body::empty())
            .unwrap();
        let answer = page.clone().oneshot(request).await.unwrap();
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'sha256-"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[test]
fn the_page_holds_one_script_and_one_style_and_asks_nobody_else() {
    for tag in ["<script", "<style"] {
        assert_eq!(PAGE.matches(tag).count(), 1, "{tag}");
    }
    for way in [
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "https://",
    ] {
        assert!(!PAGE.contains(way), "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_is_kept_longer_than_others_and_sees_that_it_goes_on() {
    let status = Arc::new(Status::new(StatusConfig {
        enabled: true,
        events: true,
    }));
    let metrics = Arc::new(Metrics::new(None).unwrap());
    let admin = crate::admin::Admin::bind("127.0.0.1:0", metrics, Arc::clone(&status), true, None);
    let admin = admin.await.unwrap();
    let address = admin.address().unwrap();
    tokio::spawn(admin.run());
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = b"GET /status/tap?follow HTTP/1.1\r\nhost: x\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut answer = String::new();
    let mut read = async |until: &str, times: usize| {
        let mut bytes = [0; 1024];
        while answer.matches(until).count() < times {
            let count = connection.read(&mut bytes).await.unwrap();
            assert!(count > 0, "{answer}");
            answer += str::from_utf8(&bytes[..count]).unwrap();
        }
    };
    let beats =
        usize::try_from(3 * super::super::CONNECTION_TIMEOUT.as_secs() / HEARTBEAT.as_secs());
    read("1\r\n\n\r\n", beats.unwrap()).await;
    status
        .recent()
        .unwrap()
        .saw(Arc::default(), Vec::new(), true);
    read("{\"number\":1,", 1).await;
}
