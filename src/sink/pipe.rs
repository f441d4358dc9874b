//! A named pipe of JSON lines. Where there is none, a file, made anew at every start, as the incumbent has it.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use super::body::Body;
use super::file::{Appender, RotatingFile};
use super::preview::Preview;
use super::stdout::standard;
use super::{Receipt, SendError, Sink, SinkSettings};
use crate::event::Event;
use crate::yaml::{Located, Problems, Value};

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PipeConfig {
    /// Where to. `/dev/stdout` and `/dev/stderr` are what they say.
    path: Located<String>,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
}

/// The sink.
struct Pipe {
    body: Body,
    path: PathBuf,
    /// How long a reader may take nothing before that is told.
    timeout: Duration,
    /// While somebody reads it.
    reader: Mutex<Option<pipe::Sender>>,
    /// For want of a pipe.
    file: Appender,
}

/// What opening a pipe says that nobody reads.
const ENXIO: i32 = 6;

/// Makes the sink. The pipe is opened by the first batch: it may well be made after us.
pub fn build(config: &PipeConfig, settings: SinkSettings) -> Result<Box<dyn Sink>, Problems> {
    let mut problems = Problems::default();
    if config.path.is_empty() {
        problems.push(config.path.problem("a pipe receiver needs a `path`"));
    }
    let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat);
    let Some(body) = problems.ok(body).filter(|_| problems.is_empty()) else {
        return Err(problems);
    };
    if let Some(sink) = standard(&config.path) {
        return Ok(sink(body));
    }
    let path = PathBuf::from(&config.path.value);
    let file = Appender::new(RotatingFile {
        path: path.clone(),
        mode: 0o644,
        truncate: true,
        max_bytes: u64::MAX,
        max_age: None,
        max_backups: 0,
        open: None,
    });
    Ok(Box::new(Pipe {
        body,
        path,
        timeout: settings.timeout,
        reader: Mutex::default(),
        file,
    }))
}

// === impl Pipe ===

impl Pipe {
    async fn write(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let (lines, rejected) = self.body.lines(batch);
        let mut reader = self.reader.lock().await;
        if reader.is_some() || self.is_pipe().await {
            let written = self.write_to_pipe(&mut reader, &lines).await;
            written.map_err(|error| {
                let path = self.path.display();
                SendError::transient(match error.raw_os_error() {
                    Some(ENXIO) => format!("nobody reads {path}"),
                    _ => format!("cannot write {path}: {error}"),
                })
            })?;
        } else {
            self.file.append(lines).await?;
        }
        Ok(Receipt {
            rejected,
            ..Receipt::default()
        })
    }

    async fn is_pipe(&self) -> bool {
        let metadata = tokio::fs::metadata(&self.path).await;
        metadata.is_ok_and(|metadata| metadata.file_type().is_fifo())
    }

    /// Waits for a reader that is slow, for ever: what it has half read of a line it must get the rest of. One that is gone
    /// gets nothing more; the next one gets the batch from its start.
    async fn write_to_pipe(
        &self,
        reader: &mut Option<pipe::Sender>,
        lines: &[u8],
    ) -> io::Result<()> {
        let mut pipe = match reader.take() {
            Some(pipe) => pipe,
            // Does not wait for a reader.
            None => pipe::OpenOptions::new().open_sender(&self.path)?,
        };
        {
            let mut written = pin!(pipe.write_all(lines));
            if let Ok(written) = timeout(self.timeout, &mut written).await {
                written?;
            } else {
                let path = self.path.display();
                warn!(%path, "the reader of the pipe takes nothing; waiting until it does, or is gone");
                written.await?;
                info!(%path, "the reader of the pipe takes events again");
            }
        }
        *reader = Some(pipe);
        Ok(())
    }
}

impl Sink for Pipe {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.write(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        self.body.reads_object()
    }

    fn preview(&self, event: &Event) -> Result<Preview, String> {
        self.body.write(event).map(|line| Preview::of(&line))
    }
}

#[cfg(test)]
mod tests;
