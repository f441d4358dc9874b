//! What a real OpenSearch answers when something is wrong, and what becomes of the events.

pub mod bulk;
mod cluster;
mod ids;
mod questions;
mod recorded;
pub mod secure;
mod sizing;

use std::process::{Child, Command, Stdio};

use crate::support::{EXPORTER, eventually};

fn config(url: &str, index: &str, more: &str) -> String {
    format!(
        "route: {{match: [{{receiver: os}}]}}
receivers:
- name: os
  retry: {{initial: 50ms, max: 500ms}}
  batch: {{maxDelay: 10ms}}
  opensearch: {{hosts: {url}, index: {index}{more}}}
"
    )
}

/// A replay that goes on while the test does something about the server.
pub struct Replay {
    child: Child,
    folder: tempfile::TempDir,
}

impl Replay {
    pub fn start(config: &str, events: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.yaml"), config).unwrap();
        std::fs::write(folder.path().join("events.jsonl"), events).unwrap();
        let errors = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(&*EXPORTER)
            .args(["replay", "config.yaml", "--events", "events.jsonl"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub async fn logs(&self, words: &str) {
        eventually(words, async || self.log().contains(words)).await;
    }

    pub async fn succeeds(mut self) {
        let mut status = None;
        eventually("the replay ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert!(status.unwrap().success(), "{}", self.log());
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
