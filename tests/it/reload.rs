//! A configuration that changes while events go on, laid out as the kubelet does it for a `ConfigMap`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::delivery::{commit, once, written};
use crate::support::{Cluster, Exporter, eventually};
use crate::wire::server::{Request, Server};

/// A folder that a `ConfigMap` is mounted at.
pub struct Mounted {
    folder: PathBuf,
    versions: u32,
}

impl Mounted {
    pub fn new(folder: &Path, config: &str) -> Self {
        let mut mounted = Self {
            folder: folder.to_owned(),
            versions: 0,
        };
        mounted.change(config);
        symlink("..data/config.yaml", mounted.config()).unwrap();
        mounted
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// A folder for the new files, and the link `..data` renamed into the place of the old.
    pub fn change(&mut self, config: &str) {
        self.versions += 1;
        let version = format!("..2026_11_28_{}", self.versions);
        std::fs::create_dir(self.folder.join(&version)).unwrap();
        std::fs::write(self.folder.join(&version).join("config.yaml"), config).unwrap();
        symlink(&version, self.folder.join("..data_tmp")).unwrap();
        std::fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
    }
}

async fn is_taken(exporter: &Exporter) -> bool {
    exporter
        .metric("event_exporter_config_last_reload_successful")
        .await
        > 0.5
}

async fn reloads(exporter: &Exporter, times: usize) {
    eventually("the configuration is read anew", async || {
        exporter.log().matches("was read anew").count() == times
    })
    .await;
}

#[tokio::test]
async fn fault_36_receivers_are_added_changed_and_removed_under_load_and_nothing_is_lost_or_doubled()
 {
    let cluster = Cluster::shared();
    let namespace = "reload";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let receiver = |name: &str, path: &str| {
        format!(
            "- {{name: {name}, batch: {{maxDelay: 50ms}}, file: {{path: {}}}}}\n",
            file(path).display()
        )
    };
    let config = |routes: &str, receivers: &[String]| {
        format!(
            "namespace: {namespace}\nroute: {{match: [{routes}]}}\nreceivers:\n{}",
            receivers.concat()
        )
    };
    let both = "{receiver: one}, {receiver: two}";
    let mut mounted = Mounted::new(
        folder.path(),
        &config("{receiver: one}", &[receiver("one", "one-a")]),
    );
    let exporter = Exporter::start_with(&cluster.kubeconfig, &mounted.config(), &[]).await;
    let mut committed = commit(&events, namespace, 0..100).await;

    // One is added, by nothing but the change of the link.
    let more = async {
        let mut more = BTreeSet::new();
        for at in 0..10 {
            more.extend(commit(&events, namespace, 100 + at * 20..120 + at * 20).await);
        }
        more
    };
    mounted.change(&config(
        both,
        &[receiver("one", "one-a"), receiver("two", "two-a")],
    ));
    let (more, ()) = tokio::join!(more, reloads(&exporter, 1));
    committed.extend(more);
    let with_two = commit(&events, namespace, 300..400).await;
    committed.extend(with_two.iter().cloned());
    eventually("the new one gets what comes", async || {
        with_two
            .iter()
            .all(|id| written(&file("two-a")).contains_key(id))
    })
    .await;

    // The first writes elsewhere from now on, while events come; the second notices nothing.
    mounted.change(&config(
        both,
        &[receiver("one", "one-b"), receiver("two", "two-a")],
    ));
    let more = async {
        let mut more = BTreeSet::new();
        for at in 0..20 {
            more.extend(commit(&events, namespace, 400 + at * 20..420 + at * 20).await);
        }
        more
    };
    let (more, ()) = tokio::join!(more, async {
        exporter.signal("-HUP");
        reloads(&exporter, 2).await;
    });
    committed.extend(more);
    committed.extend(commit(&events, namespace, 800..810).await);
    let of_one = || {
        let mut all = written(&file("one-a"));
        for (id, times) in written(&file("one-b")) {
            *all.entry(id).or_default() += times;
        }
        all
    };
    eventually("the first has every version", async || {
        of_one().len() == committed.len()
    })
    .await;
    assert_eq!(of_one(), once(&committed), "once, in one file or the other");
    assert!(!written(&file("one-a")).is_empty() && !written(&file("one-b")).is_empty());

    // It is removed, and delivers what it holds.
    mounted.change(&config("{receiver: two}", &[receiver("two", "two-a")]));
    exporter.signal("-HUP");
    reloads(&exporter, 3).await;
    eventually("no more is told of what it does", async || {
        let (_, text) = exporter.get("/metrics").await.unwrap();
        !text.contains("event_exporter_receiver_parked{receiver=\"one\"}")
    })
    .await;
    let last = commit(&events, namespace, 810..900).await;
    eventually("the second has the last", async || {
        last.iter()
            .all(|id| written(&file("two-a")).contains_key(id))
    })
    .await;
    assert_eq!(of_one(), once(&committed), "the first has nothing of that");
    let two: BTreeMap<String, usize> = written(&file("two-a"));
    assert!(two.values().all(|times| *times == 1), "nothing is doubled");
    let since: BTreeSet<_> = with_two.iter().chain(&last).cloned().collect();
    assert!(
        since.iter().all(|id| two.contains_key(id)),
        "nothing is lost"
    );
    exporter.signal("-TERM");
    let (code, log) = exporter.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn fault_35_a_new_configuration_is_taken_once_what_was_in_its_way_is_gone() {
    let cluster = Cluster::shared();
    let folder = tempfile::tempdir().unwrap();
    let config = |receivers: &str| {
        format!(
            "namespace: reload-in-the-way\nroute: {{match: [{{receiver: out}}]}}\nreceivers:\n- {{name: out, stdout: {{}}}}\n{receivers}"
        )
    };
    let exporter = Exporter::start(&cluster.kubeconfig, &config("")).await;
    // Another has the buffer.
    let buffer = folder.path().join("buffer");
    std::fs::create_dir(&buffer).unwrap();
    let held = std::fs::File::create(buffer.join("lock")).unwrap();
    held.lock().unwrap();
    let second = format!(
        "- {{name: second, stdout: {{}}, buffer: {{path: {}}}}}\n",
        buffer.display()
    );
    std::fs::write(exporter.config(), config(&second)).unwrap();
    eventually("it is told", async || !is_taken(&exporter).await).await;
    drop(held);
    reloads(&exporter, 1).await;
    assert!(is_taken(&exporter).await);
    assert_eq!(exporter.log().matches("can't be used").count(), 1, "once");
}

#[tokio::test]
async fn fault_52_what_a_removed_receiver_holds_is_not_forgotten_when_it_is_there_again() {
    let cluster = Cluster::shared();
    let namespace = "reload-removed";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let file = folder.path().join("here");
    let checkpoint = folder.path().join("checkpoint");
    let config = |sink: &str, names: &[&str]| {
        let away =
            format!("- {{name: away, batch: {{maxDelay: 50ms}}, webhook: {{endpoint: {sink}}}}}\n");
        let here = format!(
            "- {{name: here, batch: {{maxDelay: 50ms}}, file: {{path: {}}}}}\n",
            file.display()
        );
        let rules: Vec<String> = names
            .iter()
            .map(|it| format!("{{receiver: {it}}}"))
            .collect();
        let receivers: String = [("away", away), ("here", here)]
            .into_iter()
            .filter_map(|(name, receiver)| names.contains(&name).then_some(receiver))
            .collect();
        format!(
            "namespace: {namespace}\ncheckpoint: {{file: {}}}\nroute: {{match: [{}]}}\nreceivers:\n{receivers}",
            checkpoint.display(),
            rules.join(", "),
        )
    };
    // Nobody listens there.
    let nowhere = "http://127.0.0.1:1/";
    let (both, one) = (["away", "here"], ["here"]);
    let exporter = Exporter::start(&cluster.kubeconfig, &config(nowhere, &both)).await;
    let committed = commit(&events, namespace, 0..50).await;
    let have = async || written(&file).len();
    eventually("the other has them", async || have().await == 50).await;
    for (at, names) in [&one[..], &both[..]].into_iter().enumerate() {
        std::fs::write(exporter.config(), config(nowhere, names)).unwrap();
        reloads(&exporter, at + 1).await;
    }
    let more = commit(&events, namespace, 50..60).await;
    eventually("the other has these, too", async || have().await == 60).await;
    let mark = |receiver: &str| {
        let text = std::fs::read_to_string(&checkpoint).unwrap_or_default();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        read["marks"][receiver][namespace].as_u64().unwrap_or(0)
    };
    let newest = |ids: &BTreeSet<String>| {
        let versions = ids.iter().map(|id| id.rsplit_once('-').unwrap().1);
        versions.map(|it| it.parse::<u64>().unwrap()).max().unwrap()
    };
    eventually("the other's mark says so", async || {
        mark("here") >= newest(&more)
    })
    .await;
    assert!(mark("away") < newest(&committed), "{}", mark("away"));
    exporter.signal("-KILL");
    let (_, log) = exporter.ended().await;
    assert!(log.contains("it delivers what it holds"), "{log}");

    let exporter = Exporter::start(&cluster.kubeconfig, &config(&server.url, &both)).await;
    let all: BTreeSet<String> = committed.union(&more).cloned().collect();
    let sent = std::cell::RefCell::new(String::new());
    eventually("it gets what its predecessor held", async || {
        let requests = server.requests();
        sent.borrow_mut().extend(requests.iter().map(Request::show));
        let versions = all.iter().map(|id| id.rsplit_once('-').unwrap().1);
        let is_there = |version: &str| sent.borrow().contains(&format!("\"{version}\""));
        versions.into_iter().all(is_there)
    })
    .await;
    // Removed for good, it is told what it never got.
    std::fs::write(exporter.config(), config(nowhere, &both)).unwrap();
    reloads(&exporter, 1).await;
    commit(&events, namespace, 60..63).await;
    eventually("it has three", async || {
        let series = "event_exporter_queue_events{receiver=\"away\"}";
        let held = exporter.metric(series).await
            + exporter
                .metric("event_exporter_events_in_flight{receiver=\"away\"}")
                .await;
        (held - 3.0).abs() < 0.5
    })
    .await;
    std::fs::write(exporter.config(), config(nowhere, &one)).unwrap();
    reloads(&exporter, 2).await;
    exporter.signal("-TERM");
    let (_, log) = exporter.ended().await;
    let lost = log
        .lines()
        .find(|line| line.contains("\"ended with events that were not taken\""));
    let lost = lost.unwrap_or_else(|| panic!("{log}"));
    assert!(lost.contains("\"away\"") && lost.contains(":3"), "{lost}");
}

#[tokio::test]
async fn fault_35_a_mistake_is_told_with_its_place_while_the_old_configuration_goes_on() {
    let cluster = Cluster::shared();
    let namespace = "reload-mistake";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let good = format!(
        "namespace: {namespace}\nroute: {{match: [{{receiver: out}}]}}\nreceivers:\n- {{name: out, batch: {{maxDelay: 50ms}}, file: {{path: {}}}}}\n",
        out.display()
    );
    let mut mounted = Mounted::new(folder.path(), &good);
    let exporter =
        Exporter::start_with(&cluster.kubeconfig, &mounted.config(), &["--enable-reload"]).await;
    assert!(is_taken(&exporter).await);
    let reload = async || {
        let url = format!("{}/-/reload", exporter.metrics_url);
        let answer = reqwest::Client::new().post(url).send().await.unwrap();
        assert_eq!(answer.status(), 202);
    };
    for (bad, told) in [
        (
            good.replace("receiver: out", "receiver: nobody"),
            "config.yaml:2:",
        ),
        (
            good.replace("maxDelay: 50ms", "maxDelay: soon"),
            "config.yaml:4:",
        ),
        (
            good.replace("file: {", "file: {layout: \"{{ .Nope\", "),
            "config.yaml:4:",
        ),
        ("route: [".to_owned(), "config.yaml:1:"),
    ] {
        mounted.change(&bad);
        reload().await;
        eventually("the mistake is told", async || !is_taken(&exporter).await).await;
        let log = exporter.log();
        let line = log
            .lines()
            .rfind(|line| line.contains("can't be used"))
            .unwrap();
        assert!(line.contains(told), "{line}");
        let committed = commit(&events, namespace, 0..10).await;
        eventually("the old one goes on", async || {
            committed.iter().all(|id| written(&out).contains_key(id))
        })
        .await;
        events
            .delete_collection(
                &kube::api::DeleteParams::default(),
                &kube::api::ListParams::default(),
            )
            .await
            .unwrap();
        mounted.change(&format!("{good}# {told}\n"));
        reload().await;
        eventually("the mended one is taken", async || {
            is_taken(&exporter).await
        })
        .await;
    }
    // A setting of the whole takes a restart, and is told.
    mounted.change(&format!("clusterName: new\n{good}"));
    reload().await;
    eventually("it is told", async || {
        exporter.log().contains("take effect at the next start")
    })
    .await;
    assert!(
        exporter.log().contains("\"clusterName\""),
        "{}",
        exporter.log()
    );
}

#[tokio::test]
async fn nobody_can_ask_for_a_reload_unless_that_is_enabled() {
    let cluster = Cluster::shared();
    let config = "route: {}\nreceivers: []";
    let exporter = Exporter::start(&cluster.kubeconfig, config).await;
    let url = format!("{}/-/reload", exporter.metrics_url);
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn fault_08_a_credential_that_changes_in_its_file_is_used_from_then_on() {
    let cluster = Cluster::shared();
    let namespace = "reload-credential";
    let events = cluster.namespace(namespace).await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let config = format!(
        "namespace: {namespace}
route: {{match: [{{receiver: out}}]}}
receivers: [{{name: out, batch: {{maxDelay: 50ms}}, webhook: {{endpoint: {}, bearerTokenFile: {}}}}}]
",
        server.url,
        token.display()
    );
    let exporter = Exporter::start(&cluster.kubeconfig, &config).await;
    let seen = std::cell::RefCell::new(Vec::new());
    let with = |token: &str| {
        seen.borrow_mut()
            .extend(server.requests().iter().map(Request::show));
        let header = format!("authorization: Bearer {token}");
        seen.borrow()
            .iter()
            .filter(|request| request.contains(&header))
            .count()
    };
    commit(&events, namespace, 0..3).await;
    eventually("the first token is used", async || with("first") == 3).await;
    std::fs::write(&token, "second").unwrap();
    reloads(&exporter, 1).await;
    commit(&events, namespace, 3..6).await;
    eventually("the second token is used", async || with("second") == 3).await;
    assert_eq!(with("first"), 3, "and the first no more");

    // One that is gone is told, and the last one goes on.
    std::fs::remove_file(&token).unwrap();
    eventually("it is told", async || !is_taken(&exporter).await).await;
    commit(&events, namespace, 6..7).await;
    eventually("the last one goes on", async || with("second") == 4).await;
    std::fs::write(&token, "third").unwrap();
    eventually("the new one is taken", async || is_taken(&exporter).await).await;
    commit(&events, namespace, 7..8).await;
    eventually("the third token is used", async || with("third") == 1).await;
    // A configuration may come before the file that it names.
    let later = folder.path().join("later");
    let shown = (token.display().to_string(), later.display().to_string());
    std::fs::write(exporter.config(), config.replace(&shown.0, &shown.1)).unwrap();
    eventually("it is told", async || !is_taken(&exporter).await).await;
    std::fs::write(&later, "fourth").unwrap();
    eventually("it is taken", async || is_taken(&exporter).await).await;
    commit(&events, namespace, 8..9).await;
    eventually("the fourth token is used", async || with("fourth") == 1).await;
    let log = exporter.log();
    assert!(
        !["first", "second", "third", "fourth"]
            .iter()
            .any(|token| log.contains(token)),
        "{log}"
    );
}
