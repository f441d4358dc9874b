//! Standard output: one JSON document a line, a layout, or a table for people. Logs go to standard error, always.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Mutex;

use super::body::Body;
use super::preview::Preview;
use super::{Receipt, SendError, SendErrorKind, Sink, SinkSettings};
use crate::event::Event;
use crate::yaml::{Located, Problems, Value};

mod table;

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StdoutConfig {
    /// Templates in place of the document.
    pub layout: Option<Located<Value>>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
    /// JSON lines, or a table.
    pub format: Format,
}

/// How standard output looks.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON document a line.
    #[default]
    Json,
    /// One line an event, for people.
    Text,
}

/// Writes lines to a stream.
pub struct Lines<W> {
    writer: Mutex<W>,
    /// Its name, for messages.
    name: &'static str,
    style: Style,
}

enum Style {
    Json(Body),
    Table { headed: AtomicBool },
}

/// The sink for standard output.
pub type Stdout = Lines<tokio::io::Stdout>;

// === impl Lines ===

impl Stdout {
    /// Makes the sink.
    pub fn new(config: &StdoutConfig, settings: SinkSettings) -> Result<Self, Problems> {
        Self::to(tokio::io::stdout(), "standard output", config, settings)
    }
}

impl<W: AsyncWrite + Unpin> Lines<W> {
    /// Makes a sink for another stream.
    pub fn to(
        writer: W,
        name: &'static str,
        config: &StdoutConfig,
        settings: SinkSettings,
    ) -> Result<Self, Problems> {
        let style = match config.format {
            Format::Json => Style::Json(Body::new(
                config.layout.as_ref(),
                config.de_dot,
                settings.compat,
            )?),
            Format::Text => Style::Table {
                headed: AtomicBool::new(false),
            },
        };
        Ok(Self {
            writer: Mutex::new(writer),
            name,
            style,
        })
    }

    async fn write(&self, batch: &[Arc<Event>]) -> Result<Receipt, SendError> {
        let (lines, rejected) = match &self.style {
            Style::Json(body) => body.lines(batch),
            Style::Table { headed } => {
                let mut lines = Vec::new();
                if !headed.swap(true, Ordering::Relaxed) {
                    table::append_head(&mut lines);
                }
                for event in batch {
                    table::append(event, &mut lines);
                }
                (lines, Vec::new())
            }
        };
        let written = async {
            let mut writer = self.writer.lock().await;
            writer.write_all(&lines).await?;
            writer.flush().await
        };
        written.await.map_err(|error| SendError {
            kind: match error.kind() {
                ErrorKind::BrokenPipe => SendErrorKind::Closed,
                _ => SendErrorKind::Transient,
            },
            ..SendError::transient(format!("cannot write to {}: {error}", self.name))
        })?;
        Ok(Receipt {
            rejected,
            ..Receipt::default()
        })
    }
}

impl<W: AsyncWrite + Unpin + Send> Sink for Lines<W> {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.write(batch).boxed()
    }

    fn reads_object(&self) -> bool {
        match &self.style {
            Style::Json(body) => body.reads_object(),
            Style::Table { .. } => false,
        }
    }

    fn preview(&self, event: &Event) -> Result<Preview, String> {
        match &self.style {
            Style::Json(body) => body.write(event).map(|line| Preview::of(&line)),
            Style::Table { .. } => {
                let mut line = Vec::new();
                table::append(event, &mut line);
                Ok(Preview::of(&line))
            }
        }
    }
}

/// What makes the sink for standard output or standard error, if that is what `path` means.
pub(super) fn standard(path: &str) -> Option<fn(Body) -> Box<dyn Sink>> {
    match path {
        "/dev/stdout" => Some(|body| {
            Box::new(Lines {
                writer: Mutex::new(tokio::io::stdout()),
                name: "standard output",
                style: Style::Json(body),
            })
        }),
        "/dev/stderr" => Some(|body| {
            Box::new(Lines {
                writer: Mutex::new(tokio::io::stderr()),
                name: "standard error",
                style: Style::Json(body),
            })
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Compat;

    const SETTINGS: SinkSettings = SinkSettings {
        timeout: Duration::from_secs(1),
        compat: Compat::Strict,
    };

    async fn written(config: StdoutConfig, batches: &[&[Arc<Event>]]) -> String {
        let sink = Lines::to(Vec::new(), "test", &config, SETTINGS).unwrap();
        for batch in batches {
            assert_eq!(sink.send(batch).await.unwrap(), Receipt::default());
        }
        String::from_utf8(sink.writer.into_inner()).unwrap()
    }

    fn event(message: &str) -> Arc<Event> {
        let mut event = Event {
            message: message.to_owned(),
            kind: "Warning".into(),
            reason: "BackOff".into(),
            ..Event::default()
        };
        event.metadata.namespace = "shop".into();
        event.involved_object.kind = "Pod".into();
        event.involved_object.name = "web-0".into();
        event.last_timestamp = crate::event::Time::parse("2024-05-01T10:00:00Z");
        Arc::new(event)
    }

    #[tokio::test]
    async fn every_event_is_a_line_of_json() {
        let text = written(
            StdoutConfig::default(),
            &[&[event("a\nb"), event("c")], &[event("d")]],
        )
        .await;
        let messages: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<Event>(line).unwrap().message)
            .collect();
        assert_eq!(messages, ["a\nb", "c", "d"]);
    }

    #[tokio::test]
    async fn fault_24_a_table_has_one_head_and_shows_hostile_text_for_what_it_is() {
        let config = StdoutConfig {
            format: Format::Text,
            ..StdoutConfig::default()
        };
        let text = written(
            config,
            &[
                &[event("Back-off")],
                &[event("a\x1b[2J\r\nb\u{202e}\u{9b}é")],
            ],
        )
        .await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("LAST SEEN"));
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(
            words,
            [
                "2024-05-01T10:00:00Z",
                "shop",
                "Warning",
                "BackOff",
                "Pod/web-0",
                "Back-off"
            ]
        );
        assert!(
            lines[2].ends_with("a\\u{1b}[2J\\r\\nb\\u{202e}\\u{9b}é"),
            "{}",
            lines[2]
        );
    }

    #[tokio::test]
    async fn a_closed_stream_is_the_end() {
        let (reader, writer) = tokio::io::duplex(64);
        drop(reader);
        let sink = Lines::to(
            writer,
            "standard output",
            &StdoutConfig::default(),
            SETTINGS,
        )
        .unwrap();
        let error = sink.send(&[event("a")]).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Closed);
        assert!(
            error
                .reason
                .starts_with("cannot write to standard output: "),
            "{error}"
        );
    }
}
