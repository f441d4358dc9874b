//! Files of JSON lines, rotated by size and age as the incumbent's are (it uses lumberjack, whose names these are).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;

pub use self::rotating::Appender;
pub(super) use self::rotating::RotatingFile;
use super::body::Body;
use super::preview::Preview;
use super::stdout::standard;
use super::{Receipt, SendError, Sink, SinkSettings};
use crate::event::Event;
use crate::yaml::{Located, Problems, Value};

mod rotating;

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FileConfig {
    /// Where to. `/dev/stdout` and `/dev/stderr` are what they say, and never rotated.
    pub path: Located<String>,
    /// Megabytes at which a file is put aside; 0 stands for 100.
    pub maxsize: u64,
    /// Days after which a file that was put aside is removed; 0 for never.
    pub maxage: u64,
    /// How many files that were put aside are kept; 0 for all.
    pub maxbackups: usize,
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    #[serde(rename = "deDot")]
    pub de_dot: bool,
}

/// Writes to a file.
struct FileSink {
    body: Body,
    file: Appender,
}

/// Makes the sink. The file is opened by the first batch: a disk that is missing at the start is an outage like any other.
pub fn build(config: &FileConfig, settings: SinkSettings) -> Result<Box<dyn Sink>, Problems> {
    let path = &config.path;
    let mut problems = Problems::default();
    if path.is_empty() {
        problems.push(path.problem("a file receiver needs a `path`"));
    }
    let body = Body::new(config.layout.as_ref(), config.de_dot, settings.compat);
    let Some(body) = problems.ok(body).filter(|_| problems.is_empty()) else {
        return Err(problems);
    };
    if let Some(sink) = standard(path) {
        return Ok(sink(body));
    }
    let max_bytes = if config.maxsize == 0 {
        100
    } else {
        config.maxsize
    };
    let file = Appender::new(RotatingFile {
        path: PathBuf::from(&path.value),
        mode: 0o600,
        truncate: false,
        max_bytes: max_bytes.saturating_mul(1 << 20),
        max_age: (config.maxage > 0)
            .then(|| Duration::from_secs(config.maxage.saturating_mul(86_400))),
        max_backups: config.maxbackups,
        open: None,
    });
    Ok(Box::new(FileSink { body, file }))
}

// === impl FileSink ===

impl FileSink {
    async fn write(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let (lines, rejected) = self.body.lines(batch);
        self.file.append(lines).await?;
        Ok(Receipt {
            rejected,
            ..Receipt::default()
        })
    }
}

impl Sink for FileSink {
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
