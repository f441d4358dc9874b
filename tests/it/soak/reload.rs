//! Routes and receivers that change under load: how long it takes, and what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, interval, sleep, timeout};

use super::copies::Copies;
use super::{NAMESPACE, PACE, WRITERS, nothing_more_comes, seconds};
use crate::delivery::written;
use crate::reload::Mounted;
use crate::support::{Cluster, Exporter};

/// How long a configuration stays, at least.
const PAUSE: Duration = Duration::from_secs(4);
/// How much longer than the one before: else every change would come at one time between two looks at the file.
const LONGER: Duration = Duration::from_millis(230);
/// How exactly it is seen that it has taken effect.
const GLANCE: Duration = Duration::from_millis(5);

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Changes the configuration to one version after the other, each of which sends to another of the two files than the one
/// before; returns how long it took each time until there was something in it.
async fn change(
    mounted: &mut Mounted,
    version: impl Fn(usize) -> String,
    files: &[PathBuf; 2],
    until: Instant,
) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut pause = PAUSE;
    for at in 1.. {
        sleep(pause).await;
        pause += LONGER;
        if Instant::now() >= until {
            break;
        }
        let file = &files[at % 2];
        let (before, started) = (length(file), Instant::now());
        mounted.change(&version(at));
        let taken = timeout(Duration::from_secs(30), async {
            while length(file) == before {
                sleep(GLANCE).await;
            }
        });
        taken.await.unwrap();
        took.push(started.elapsed());
    }
    took.sort();
    took
}

/// Writes 1,000 events a second; returns the ids of their versions.
async fn write(copies: &Copies, until: Instant) -> BTreeSet<String> {
    let writers = (0..WRITERS as usize).map(async |writer| {
        let (mut ids, mut pace) = (Vec::new(), interval(PACE));
        for at in 1.. {
            pace.tick().await;
            if Instant::now() >= until {
                break;
            }
            ids.push(copies.write(at * WRITERS as usize + writer).await);
        }
        ids
    });
    let ids = futures::future::join_all(writers).await;
    ids.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute: make soak"]
async fn fault_36_a_reload_under_load_loses_and_doubles_nothing() {
    let cluster = Cluster::start("test-reload-soak", &[]);
    let (copies, _) = Copies::new(&cluster, NAMESPACE).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let files = [file("even"), file("odd")];
    // Of the three receivers one changes with every version, and two don't.
    let version = |at: usize| {
        let receiver = |name: &str, delay: usize| {
            let path = file(name);
            format!(
                "- {{name: {name}, batch: {{maxDelay: {delay}ms}}, file: {{path: {}}}}}\n",
                path.display()
            )
        };
        format!(
            "namespace: {NAMESPACE}\nroute: {{match: [{{receiver: all}}, {{receiver: {}}}]}}\nreceivers:\n{}{}{}",
            ["even", "odd"][at % 2],
            receiver("all", 10 + at),
            receiver("even", 10),
            receiver("odd", 10),
        )
    };
    let mut mounted = Mounted::new(folder.path(), &version(0));
    let exporter = Exporter::start_with(&cluster.kubeconfig, &mounted.config(), &[]).await;
    let duration = seconds("RELOAD_SECONDS", 60);
    let until = Instant::now() + duration;
    let (committed, took) = tokio::join!(
        write(&copies, until),
        change(&mut mounted, version, &files, until)
    );
    nothing_more_comes(&exporter, "all").await;
    let mut routed = written(&files[0]);
    for (id, times) in written(&files[1]) {
        *routed.entry(id).or_default() += times;
    }
    let all = written(&file("all"));
    let lost = |written: &BTreeMap<String, usize>| {
        committed
            .iter()
            .filter(|id| !written.contains_key(*id))
            .count()
    };
    let doubled =
        |written: &BTreeMap<String, usize>| written.values().filter(|times| **times > 1).count();
    let lost = (lost(&all), lost(&routed));
    let doubled = (doubled(&all), doubled(&routed));
    println!(
        "{} s, {} versions/s: {} committed; {} changes, in effect after {:?} (median), {:?} at the most; by the receiver that changes {} lost and {} doubled, by those that take turns {} and {}",
        duration.as_secs(),
        committed.len() as u64 / duration.as_secs().max(1),
        committed.len(),
        took.len(),
        took[took.len() / 2],
        took[took.len() - 1],
        lost.0,
        doubled.0,
        lost.1,
        doubled.1,
    );
    assert_eq!((lost, doubled), ((0, 0), (0, 0)));
}
