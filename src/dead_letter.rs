//! Where events go that a sink will never take: a log line, or a file of JSON lines that `replay` reads.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::event::{Document, DocumentOptions, Event, Time, go_json};
use crate::sink::file::Appender;

/// What a receiver does with rejected events, as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeadLetterConfig {
    /// Append them to this file, with the reason.
    pub file: Option<PathBuf>,
}

/// Takes rejected events.
pub struct DeadLetter {
    receiver: String,
    file: Option<Appender>,
}

#[derive(Serialize)]
struct Record<'a> {
    time: String,
    receiver: &'a str,
    reason: &'a str,
    event: Document<'a>,
}

// === impl DeadLetter ===

impl DeadLetter {
    /// The dead letter of one receiver. Its file is opened by the first event.
    pub fn new(receiver: &str, config: DeadLetterConfig) -> Self {
        Self {
            receiver: receiver.to_owned(),
            file: config.file.map(Appender::endless),
        }
    }

    /// Puts an event aside, on the disk when it returns. An event that can't be put into the file is put into the log.
    pub async fn put(&self, event: &Event, reason: &str) {
        let Some(file) = &self.file else {
            self.log(event, reason);
            return;
        };
        if let Err(error) = self.append(file, event, reason).await {
            let error = format!("{error:#}");
            error!(
                receiver = self.receiver,
                error, "cannot write the dead letter file"
            );
            self.log(event, reason);
        }
    }

    async fn append(&self, file: &Appender, event: &Event, reason: &str) -> anyhow::Result<()> {
        let record = Record {
            time: Time::now().micros().to_string(),
            receiver: &self.receiver,
            reason,
            event: Document {
                event,
                options: DocumentOptions::default(),
            },
        };
        let mut line = Vec::new();
        go_json::append(&record, &mut line)?;
        line.push(b'\n');
        file.append(line).await?;
        Ok(())
    }

    fn log(&self, event: &Event, reason: &str) {
        warn!(
            receiver = self.receiver,
            event = %event.key(),
            uid = event.metadata.uid,
            version = event.metadata.resource_version,
            error = reason,
            "rejected an event"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_record_never_begins_in_a_line_that_a_crash_has_torn() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rejected.jsonl");
        std::fs::write(&file, "{\"torn\":").unwrap();
        let config = DeadLetterConfig {
            file: Some(file.clone()),
        };
        let letter = DeadLetter::new("r", config);
        for _ in 0..2 {
            letter.put(&Event::default(), "no").await;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, "{\"torn\":"));
        for line in &lines[1..] {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
    #[tokio::test]
    async fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rejected.jsonl");
        let letter = DeadLetter::new(
            "r",
            DeadLetterConfig {
                file: Some(file.clone()),
            },
        );
        for _ in 0..2 {
            letter.put(&Event::default(), "no").await;
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(text.lines().count(), 1);
            std::fs::rename(&file, folder.path().join("replayed")).unwrap();
        }
    }
}
