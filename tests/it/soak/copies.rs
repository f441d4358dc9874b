//! Events that are written into etcd itself, as the API server would: it takes some hundred a second, etcd thousands. Whoever
//! watches gets them from the API server all the same.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, stream};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::{Cluster, event};

/// How many changes etcd makes in one transaction.
const AT_ONCE: usize = 128;

/// Makes copies of one Event, under other names.
pub(super) struct Copies {
    namespace: String,
    http: reqwest::Client,
    etcd: String,
    uid: String,
    /// As etcd has it.
    first: Vec<u8>,
}

/// As long for each, so that one can take another's place in what etcd keeps.
fn name(at: usize) -> String {
    format!("copy-{at:08}")
}

/// Writes `to` over each `from` in `bytes`, which is as long.
fn overwrite(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let places = bytes.windows(from.len()).enumerate();
    let places: Vec<usize> = places
        .filter(|(_, window)| *window == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

impl Copies {
    /// Makes a namespace, and the Event that is to be copied in it; returns its version's id, too.
    pub(super) async fn new(cluster: &Cluster, namespace: &str) -> (Self, String) {
        let events = cluster.namespace(namespace).await;
        let first = event(namespace, &name(0), "Back-off");
        let first = events.create(&PostParams::default(), &first).await.unwrap();
        let mut copies = Self {
            namespace: namespace.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            etcd: cluster.etcd.clone(),
            uid: first.metadata.uid.clone().unwrap(),
            first: Vec::new(),
        };
        let found = copies.ask("range", &json!({"key": copies.key(0)})).await;
        let value = found["kvs"][0]["value"].as_str().unwrap();
        copies.first = STANDARD.decode(value).unwrap();
        (copies, super::id(&first))
    }

    /// Writes one, and returns the id of its version.
    pub(super) async fn write(&self, at: usize) -> String {
        let done = self.ask("put", &self.put(at)).await;
        let revision = done["header"]["revision"].as_str().unwrap();
        format!("{}-{revision}", self.uid(at))
    }

    /// Writes many, several of one version.
    pub(super) async fn write_all(&self, range: Range<usize>) {
        let numbers: Vec<usize> = range.collect();
        let requests = numbers.chunks(AT_ONCE).map(|some| async move {
            let puts = some.iter().map(|at| json!({"requestPut": self.put(*at)}));
            let puts: Vec<Value> = puts.collect();
            self.ask("txn", &json!({"success": puts})).await
        });
        let done = stream::iter(requests).buffer_unordered(8);
        done.for_each(async |answer| assert_eq!(answer["succeeded"], true, "{answer}"))
            .await;
    }

    fn put(&self, at: usize) -> Value {
        let mut value = self.first.clone();
        overwrite(&mut value, name(0).as_bytes(), name(at).as_bytes());
        overwrite(&mut value, self.uid.as_bytes(), self.uid(at).as_bytes());
        json!({"key": self.key(at), "value": STANDARD.encode(value)})
    }

    fn key(&self, at: usize) -> String {
        STANDARD.encode(format!("/registry/events/{}/{}", self.namespace, name(at)))
    }

    fn uid(&self, at: usize) -> String {
        format!("{at:08}{}", &self.uid[8..])
    }

    async fn ask(&self, what: &str, request: &Value) -> Value {
        let url = format!("{}/v3/kv/{what}", self.etcd);
        let answer = self.http.post(url).body(request.to_string()).send().await;
        let answer = answer.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}
