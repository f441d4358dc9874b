//! A scripted API server, in time that passes at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Enricher, LookupConfig, RateLimit};
use crate::event::{Event, InvolvedObject};
use crate::metrics::Metrics;

pub(crate) const UID: &str = "0ad4b2dc-3b17-4b9e-8d3a-6f1a2c9f3c11";
pub(crate) const OTHER_UID: &str = "99999999-3b17-4b9e-8d3a-6f1a2c9f3c11";
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

/// What the server does with a path: how long it takes, its status, its answer.
type Answers = dyn Fn(&str) -> (Duration, u16, Value) + Send + Sync;

pub(crate) struct Server {
    requests: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Arc<Answers>>>,
    pub(crate) metrics: Metrics,
}

impl Server {
    pub(crate) fn start(
        answers: impl Fn(&str) -> (Duration, u16, Value) + Send + Sync + 'static,
    ) -> Self {
        Self {
            requests: Arc::default(),
            answers: Arc::new(Mutex::new(Arc::new(answers))),
            metrics: Metrics::new(Some("x_")).unwrap(),
        }
    }

    /// From now on.
    pub(crate) fn answer(
        &self,
        answers: impl Fn(&str) -> (Duration, u16, Value) + Send + Sync + 'static,
    ) {
        *self.answers.lock().unwrap() = Arc::new(answers);
    }

    pub(crate) fn client(&self) -> Client {
        let (requests, answers) = (Arc::clone(&self.requests), Arc::clone(&self.answers));
        let service = tower::service_fn(move |request: Request<Body>| {
            let path = request.uri().path().to_owned();
            let accept = request.headers()["accept"].to_str().unwrap();
            assert!(
                accept.starts_with("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
            );
            let answers = Arc::clone(&answers.lock().unwrap());
            let (delay, status, body) = answers(&path);
            requests.lock().unwrap().push(path);
            async move {
                sleep(delay).await;
                let body = Body::from(serde_json::to_vec(&body).unwrap());
                Response::builder().status(status).body(body)
            }
        });
        Client::new(service, "default")
    }

    pub(crate) fn enricher(&self) -> Enricher {
        self.limited(None)
    }

    pub(crate) fn limited(&self, limit: Option<RateLimit>) -> Enricher {
        let config = LookupConfig {
            cache_size: 100,
            limit,
            by_namespace: false,
        };
        Enricher::new(self.client(), Some(&config), self.metrics.lookups())
    }

    /// The requests since this was asked last.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// How often a lookup came to this.
    pub(crate) fn count(&self, result: &str) -> u64 {
        self.series(&format!("x_lookups_total{{result=\"{result}\"}} "))
    }

    pub(crate) fn series(&self, series: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.unwrap().parse().unwrap()
    }
}

pub(crate) fn kinds() -> Value {
    json!({"kind": "APIResourceList", "resources": [
        {"name": "pods", "kind": "Pod", "namespaced": true},
        {"name": "pods/log", "kind": "Pod", "namespaced": true},
        {"name": "nodes", "kind": "Node", "namespaced": false},
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": true},
    ]})
}

pub(crate) fn pod(name: &str, uid: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "metadata": {
        "name": name, "uid": uid, "labels": {"app": name},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "rs"}]}})
}

pub(crate) fn not_found(name: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "details": {"name": name, "kind": "pods"}})
}

/// A server that has every pod and node, and answers after `delay`.
pub(crate) fn has_all(
    delay: Duration,
) -> impl Fn(&str) -> (Duration, u16, Value) + Send + Sync + 'static {
    move |path| {
        if path == "/api/v1" {
            return (Duration::ZERO, 200, kinds());
        }
        (delay, 200, pod(path.rsplit('/').next().unwrap(), UID))
    }
}

pub(crate) fn about(kind: &str, name: &str, uid: &str) -> Arc<Event> {
    Arc::new(Event {
        involved_object: InvolvedObject {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            ..InvolvedObject::default()
        },
        ..Event::default()
    })
}
