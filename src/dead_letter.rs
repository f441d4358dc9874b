//! Where events go that a sink will never take: a log line, or a file of JSON lines that `replay` reads.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tracing::{error, warn};

use crate::event::{Document, DocumentOptions, Event, Time, go_json};

/// What a receiver does with rejected events, as the configuration gives it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeadLetterConfig {
    /// Append them to this file, with the reason.
    pub file: Option<PathBuf>,
}

/// Takes rejected events.
pub struct DeadLetter {
    receiver: String,
    path: Option<PathBuf>,
    file: Option<tokio::fs::File>,
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
    /// The dead letter of one receiver. Creates the file, so that a path that can't be written is found at start.
    pub fn new(receiver: &str, config: DeadLetterConfig) -> anyhow::Result<Self> {
        let mut letter = Self {
            receiver: receiver.to_owned(),
            path: config.file,
            file: None,
        };
        if let Some(path) = &letter.path {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path);
            let file = file
                .with_context(|| format!("cannot write the dead letter file {}", path.display()))?;
            letter.file = Some(tokio::fs::File::from_std(file));
        }
        Ok(letter)
    }

    /// Puts an event aside. An event that can't be put into the file is put into the log.
    pub async fn put(&mut self, event: &Event, reason: &str) {
        let Some(file) = &mut self.file else {
            self.log(event, reason);
            return;
        };
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
        let written = match go_json::append(&record, &mut line) {
            Ok(()) => {
                line.push(b'\n');
                async {
                    file.write_all(&line).await?;
                    file.flush().await
                }
                .await
                .map_err(anyhow::Error::from)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            let path = self
                .path
                .as_deref()
                .unwrap_or_else(|| "".as_ref())
                .display()
                .to_string();
            error!(
                receiver = self.receiver,
                path,
                error = format!("{error:#}"),
                "cannot write the dead letter file"
            );
            self.log(event, reason);
        }
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
