use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::enrich::testing::MILLISECOND;
use crate::metrics::Metrics;

/// A scripted API server: how long its list takes, and what comes of it. Its watch sends what it is told to.
struct Server {
    metrics: Metrics,
    frames: mpsc::UnboundedSender<Value>,
    asked: Arc<Mutex<Vec<String>>>,
    namespaces: Namespaces,
}

impl Server {
    fn start(delay: Duration, status: u16) -> Self {
        let (frames, sent) = mpsc::unbounded_channel::<Value>();
        let (sent, asked) = (
            Arc::new(Mutex::new(Some(sent))),
            Arc::<Mutex<Vec<_>>>::default(),
        );
        let noted = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let accept = request.headers()["accept"].to_str().unwrap();
            assert!(accept.contains("as=PartialObjectMetadata"), "{accept}");
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert_eq!(request.uri().path(), "/api/v1/namespaces");
            let sent = sent.lock().unwrap().take_if(|_| query.contains("watch="));
            noted.lock().unwrap().push(query.clone());
            async move {
                if query.contains("watch=") {
                    let Some(mut sent) = sent else {
                        return std::future::pending().await;
                    };
                    let frames = futures::stream::poll_fn(move |context| sent.poll_recv(context));
                    let lines = frames.map(|frame| Ok::<_, Infallible>(format!("{frame}\n")));
                    let body = axum::body::Body::from_stream(lines);
                    return Response::builder().body(body);
                }
                tokio::time::sleep(delay).await;
                let body = match status {
                    200 => json!({
                        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
                        "items": [{"metadata": {"name": "shop", "labels": {"team": "web"}}}, {"metadata": {"name": "bare"}}],
                    }),
                    code => json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no", "code": code,
                        "reason": if code == 403 { "Forbidden" } else { "InternalError" },
                    }),
                };
                let body = axum::body::Body::from(body.to_string());
                Response::builder().status(status).body(body)
            }
        });
        let metrics = Metrics::new(Some("x_")).unwrap();
        let client = Client::new(service, "default");
        let namespaces = Namespaces::new(client, metrics.lookups());
        Self {
            metrics,
            frames,
            asked,
            namespaces,
        }
    }

    /// What an event of this namespace knows when it goes on, and how long that takes.
    async fn label(&mut self, namespace: &str) -> (Option<Labels>, Duration) {
        let mut event = Event::default();
        event.metadata.namespace = namespace.to_owned();
        let start = Instant::now();
        let event = match self.namespaces.label(Arc::new(event)) {
            Some(event) => event,
            None => self.namespaces.next().await,
        };
        assert!(!self.namespaces.is_waiting() && self.namespaces.waiting_bytes == 0);
        (event.namespace_labels.clone(), start.elapsed())
    }

    fn count(&self, result: NamespaceResult) -> u64 {
        let series = format!(
            "x_namespace_labels_total{{result=\"{}\"}} ",
            result.as_str()
        );
        let text = self.metrics.render().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.unwrap().parse().unwrap()
    }
}

fn team(name: &str) -> Labels {
    [("team".to_owned(), name.to_owned())].into()
}

const AT_ONCE: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_the_first_list_and_the_next_for_nothing() {
    let mut server = Server::start(300 * MILLISECOND, 200);
    assert_eq!(
        server.asked.lock().unwrap().len(),
        0,
        "nobody has needed it"
    );
    assert_eq!(
        server.label("shop").await,
        (Some(team("web")), 300 * MILLISECOND)
    );
    assert_eq!(server.label("shop").await, (Some(team("web")), AT_ONCE));
    assert_eq!(server.label("bare").await, (Some(Labels::new()), AT_ONCE));
    let mut another = server.namespaces.another();
    assert!(another.label(Arc::default()).is_none(), "of no namespace");
    assert_eq!(server.count(NamespaceResult::Found), 3);
    let asked = server.asked.lock().unwrap().clone();
    let lists = asked
        .iter()
        .filter(|query| !query.contains("watch="))
        .count();
    assert_eq!(lists, 1, "one watch for all: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn fault_49_the_first_list_is_waited_for_once_and_not_for_long() {
    let mut server = Server::start(Duration::from_secs(8), 200);
    assert_eq!(server.label("shop").await, (None, FIRST_LIST));
    assert_eq!(server.label("shop").await, (None, AT_ONCE));
    tokio::time::advance(Duration::from_secs(3)).await;
    let mut state = server
        .namespaces
        .cluster
        .as_ref()
        .unwrap()
        .watched()
        .state
        .clone();
    state
        .wait_for(|state| *state == State::Listed)
        .await
        .unwrap();
    assert_eq!(server.label("shop").await, (Some(team("web")), AT_ONCE));
    assert_eq!(server.count(NamespaceResult::Late), 2);
}

#[tokio::test(start_paused = true)]
async fn fault_49_an_event_may_be_ahead_of_its_namespace() {
    let mut server = Server::start(AT_ONCE, 200);
    server.label("shop").await;
    assert_eq!(server.label("new").await, (None, DEADLINE));
    assert_eq!(server.count(NamespaceResult::Missing), 1);
    let frames = server.frames.clone();
    let later = async {
        tokio::time::sleep(200 * MILLISECOND).await;
        let namespace = json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"name": "new", "labels": {"team": "api"}, "resourceVersion": "8"},
        });
        frames
            .send(json!({"type": "ADDED", "object": namespace}))
            .unwrap();
    };
    let (labelled, ()) = tokio::join!(server.label("new"), later);
    assert_eq!(labelled, (Some(team("api")), 200 * MILLISECOND));
}

#[tokio::test(start_paused = true)]
async fn where_namespaces_can_not_be_had_nothing_waits() {
    for (status, result) in [
        (403, NamespaceResult::Forbidden),
        (500, NamespaceResult::Failed),
    ] {
        let mut server = Server::start(10 * MILLISECOND, status);
        assert_eq!(server.label("shop").await, (None, 10 * MILLISECOND));
        assert_eq!(server.label("shop").await, (None, AT_ONCE));
        assert_eq!(server.count(result), 2);
    }
}
