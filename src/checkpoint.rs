//! The checkpoint: how far every receiver is, kept where the next process finds it.
//!
//! It never says more than what is settled, so at worst a little is delivered twice. It names the cluster, since versions of
//! another say nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::event::Time;
use crate::lease::{Lease, LeaseError};
use crate::mark::{Mark, Progress};
use crate::outage::Outage;
use crate::replace::replace;
use crate::router::Table;

/// How far every receiver is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The form it is written in.
    v: u8,
    /// The cluster's uid, which is that of its namespace kube-system; empty if that could not be read.
    #[serde(default)]
    pub cluster: String,
    /// When it was written, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written: Option<String>,
    /// On the first start, events from before this were left out; in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// By receiver and watched namespace (empty for all of them), the version up to which everything is settled.
    #[serde(default)]
    pub marks: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A file that holds a checkpoint; clones are the same.
#[derive(Debug, Clone)]
pub struct CheckpointFile {
    path: PathBuf,
    /// A write goes on after whoever waited for it has gone, and the next must not overtake it.
    writing: Arc<Mutex<()>>,
}

/// Where a checkpoint is kept.
#[derive(Clone)]
pub enum Store {
    /// A file of our own.
    File(CheckpointFile),
    /// A Lease in the cluster.
    Lease(Lease),
}

/// Keeps the checkpoint up to date while the program runs.
pub struct Checkpointer {
    store: Option<Store>,
    cluster: String,
    since: Time,
    /// What is watched, by number; empty for all namespaces.
    namespaces: Vec<String>,
    watches: Vec<Arc<Progress>>,
    tables: watch::Receiver<Arc<Table>>,
    kept: Option<Checkpoint>,
    outage: Outage,
}

/// A checkpoint that cannot be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// It is none.
    #[error("what is kept as the checkpoint is none")]
    Malformed(#[source] serde_json::Error),
    /// It was written by a later program.
    #[error("the checkpoint is of the form {0}, which a later version wrote")]
    Later(u8),
    /// The Lease can't be written.
    #[error(transparent)]
    Lease(LeaseError),
    /// The program ends.
    #[error("writing the checkpoint was interrupted")]
    Interrupted,
    /// The file can't be read or written.
    #[error("cannot use the checkpoint file {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// The form that this program writes.
const FORM: u8 = 1;
/// How often it is written, if it has changed: what a crash delivers twice.
const INTERVAL: Duration = Duration::from_secs(5);

// === impl Checkpoint ===

impl Checkpoint {
    /// One of the cluster with this uid, whose events before `since` were left out.
    pub fn new(
        cluster: String,
        since: Time,
        marks: BTreeMap<String, BTreeMap<String, u64>>,
    ) -> Self {
        Self {
            v: FORM,
            cluster,
            written: None,
            since: Some(since.seconds().to_string()),
            marks,
        }
    }

    /// The same, written at `time`.
    fn at(&self, time: Time) -> Self {
        Self {
            written: Some(time.seconds().to_string()),
            ..self.clone()
        }
    }

    /// When it was written.
    pub fn written(&self) -> Option<Time> {
        Time::parse(self.written.as_deref()?)
    }

    /// From when on events count; `None` if that is not known.
    pub fn since(&self) -> Option<Time> {
        Time::parse(self.since.as_deref()?)
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let checkpoint: Self = serde_json::from_str(text).map_err(CheckpointError::Malformed)?;
        if checkpoint.v > FORM {
            return Err(CheckpointError::Later(checkpoint.v));
        }
        Ok(checkpoint)
    }

    /// As it is kept: JSON on one line.
    pub fn to_text(&self) -> Result<String, CheckpointError> {
        serde_json::to_string(self).map_err(CheckpointError::Malformed)
    }

    /// Whether it may be of the cluster with this uid. Where one of them is unknown, versions have to tell.
    pub fn is_of(&self, cluster: &str) -> bool {
        cluster.is_empty() || self.cluster.is_empty() || self.cluster == cluster
    }

    /// The version at which a receiver goes on with a namespace. One that is new starts where the others are, and a mark of all
    /// namespaces is one of each.
    pub fn version(&self, receiver: &str, namespace: &str) -> u64 {
        let of = |marks: &BTreeMap<String, u64>| {
            let mark = marks.get(namespace).or_else(|| marks.get(""));
            mark.copied()
        };
        let version = match self.marks.get(receiver) {
            Some(marks) => of(marks),
            None => self.marks.values().filter_map(of).max(),
        };
        version.unwrap_or(0)
    }
}

// === impl Store ===

impl Store {
    async fn write(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let text = checkpoint.to_text()?;
        match self {
            Self::File(file) => {
                let turn = Arc::clone(&file.writing).lock_owned().await;
                let file = file.clone();
                let written = spawn_blocking(move || {
                    let _turn = turn;
                    file.write(&text)
                })
                .await;
                written.map_err(|_| CheckpointError::Interrupted)?
            }
            Self::Lease(lease) => lease.save(&text).await.map_err(CheckpointError::Lease),
        }
    }
}

// === impl CheckpointFile ===

impl CheckpointFile {
    /// The file at `path`, which need not be there yet; its folder has to be.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            writing: Arc::default(),
        }
    }

    /// What is in it; `None` if it is not there.
    pub fn read(&self) -> Result<Option<String>, CheckpointError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Replaces what is in it, whole or not at all, whatever happens meanwhile.
    pub fn write(&self, text: &str) -> Result<(), CheckpointError> {
        replace(&self.path, text).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: io::Error) -> CheckpointError {
        CheckpointError::File {
            path: self.path.clone(),
            cause,
        }
    }
}

// === impl Checkpointer ===

impl Checkpointer {
    /// One that keeps the marks of the newest of `tables` in `store`.
    pub fn new(
        store: Option<Store>,
        cluster: String,
        since: Time,
        namespaces: Vec<String>,
        watches: Vec<Arc<Progress>>,
        tables: watch::Receiver<Arc<Table>>,
    ) -> Self {
        Self {
            store,
            cluster,
            since,
            namespaces,
            watches,
            tables,
            kept: None,
            outage: Outage::default(),
        }
    }

    /// Saves every few seconds, for ever.
    pub async fn run(&mut self) {
        loop {
            sleep(INTERVAL).await;
            self.save().await;
        }
    }

    /// Saves how far the receivers are at the end. Whether it is kept.
    pub async fn close(mut self) -> bool {
        // When it was, it has to say too.
        self.kept = None;
        self.save().await
    }

    /// Saves how far the receivers are, if that has changed. Whether it is kept.
    async fn save(&mut self) -> bool {
        let Some(store) = self.store.clone() else {
            return false;
        };
        let checkpoint = self.checkpoint();
        if self.kept.as_ref() == Some(&checkpoint) {
            return true;
        }
        match store.write(&checkpoint.at(Time::now())).await {
            Ok(()) => {
                if self.outage.over().is_some() {
                    info!("the checkpoint is written again");
                }
                self.kept = Some(checkpoint);
                true
            }
            Err(error) => {
                let error = crate::telemetry::chain(&error);
                if self.outage.is_news(&error) {
                    warn!(error, "the checkpoint was not written; trying again");
                }
                false
            }
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        let table = Arc::clone(&self.tables.borrow());
        let mut marks = BTreeMap::<String, BTreeMap<String, u64>>::new();
        // One may have been removed and be there again: what the first still holds is not settled.
        for outlet in table.outlets() {
            let marks = marks.entry(outlet.name.clone()).or_default();
            let versions = self.versions(&outlet.marks());
            for (namespace, version) in self.namespaces.iter().zip(versions) {
                let mark = marks.entry(namespace.clone()).or_insert(version);
                *mark = version.min(*mark);
            }
        }
        Checkpoint::new(self.cluster.clone(), self.since, marks)
    }

    /// Marks of a history that is over say nothing of this one: that receiver has to begin anew.
    fn versions(&self, marks: &[Mark]) -> Vec<u64> {
        let marks = marks.iter().zip(&self.watches);
        marks
            .map(|(mark, watch)| {
                let is_current = mark.history == watch.read().history;
                if is_current { mark.version } else { 0 }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let marks = |marks: &[(&str, u64)]| {
            let marks = marks
                .iter()
                .map(|&(namespace, version)| (namespace.to_owned(), version));
            marks.collect::<BTreeMap<_, _>>()
        };
        let receivers = [("a", marks(&[("", 7)])), ("b", marks(&[("", 12)]))];
        let receivers = receivers.map(|(name, marks)| (name.to_owned(), marks));
        let since = Time::parse("2026-01-02T03:04:05Z").unwrap();
        Checkpoint::new("uid".to_owned(), since, receivers.into())
    }

    #[test]
    fn fault_30_what_is_written_is_read() {
        let text = checkpoint().to_text().unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"cluster":"uid","since":"2026-01-02T03:04:05Z","marks":{"a":{"":7},"b":{"":12}}}"#
        );
        assert_eq!(Checkpoint::parse(&text).unwrap(), checkpoint());
        let time = Time::parse("2026-02-03T04:05:06Z").unwrap();
        let written = checkpoint().at(time).to_text().unwrap();
        let read = Checkpoint::parse(&written).unwrap();
        assert_eq!(read.written().unwrap(), time);
        assert!(read.since().unwrap() < time);
        assert!(matches!(
            Checkpoint::parse("{"),
            Err(CheckpointError::Malformed(_))
        ));
        let later = text.replace(r#""v":1"#, r#""v":2,"new":{}"#);
        assert!(matches!(
            Checkpoint::parse(&later),
            Err(CheckpointError::Later(2))
        ));
    }

    #[test]
    fn a_receiver_goes_on_where_it_was_and_a_new_one_where_the_others_are() {
        let checkpoint = checkpoint();
        assert_eq!(checkpoint.version("a", ""), 7);
        assert_eq!(checkpoint.version("new", ""), 12);
        assert_eq!(
            checkpoint.version("a", "shop"),
            7,
            "a mark of all namespaces is one of each"
        );
        let marks = BTreeMap::from([("shop".to_owned(), 5)]);
        let some = Checkpoint {
            marks: BTreeMap::from([("a".to_owned(), marks)]),
            ..checkpoint.clone()
        };
        assert_eq!(some.version("a", "shop"), 5);
        assert_eq!(
            some.version("a", "new"),
            0,
            "a namespace that is new is listed"
        );
        assert!(checkpoint.is_of("uid") && checkpoint.is_of("") && !checkpoint.is_of("other"));
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_does_not_overtake_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(folder.path().join("marks.json"));
        let store = Store::File(file.clone());
        // The first is under way, as when the program is told to end.
        let turn = Arc::clone(&file.writing).lock_owned().await;
        let last = checkpoint();
        let mut writing = Box::pin(store.write(&last));
        assert!(futures::poll!(&mut writing).is_pending());
        file.write("first").unwrap();
        drop(turn);
        writing.await.unwrap();
        assert_eq!(file.read().unwrap().unwrap(), last.to_text().unwrap());
    }

    #[test]
    fn fault_30_a_file_is_replaced_as_a_whole_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(folder.path().join("marks.json"));
        assert_eq!(file.read().unwrap(), None);
        file.write("one").unwrap();
        // What a crash has left behind.
        std::fs::write(folder.path().join("marks.json.new"), "torn").unwrap();
        file.write("two").unwrap();
        assert_eq!(file.read().unwrap().unwrap(), "two");
        let mode = std::fs::metadata(folder.path().join("marks.json"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let nowhere = CheckpointFile::new(folder.path().join("no/marks.json"));
        let error = nowhere.write("one").unwrap_err().to_string();
        assert!(error.ends_with("no/marks.json"), "{error}");
    }
}
