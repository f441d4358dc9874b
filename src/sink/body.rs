//! What a receiver writes of an event: its document, or the receiver's layout.

use std::sync::Arc;

use super::Rejection;
use crate::event::{Compat, Document, DocumentOptions, Event};
use crate::template::{Layout, RenderError};
use crate::yaml::{Located, Problems, Value};

/// Writes events as one receiver wants them.
#[derive(Debug)]
pub struct Body {
    layout: Option<Layout>,
    document: DocumentOptions,
}

// === impl Body ===

impl Body {
    /// Compiles the layout, if there is one. An empty one counts as none: it is the default of a widespread chart, and
    /// would write `{}` for every event.
    pub fn new(
        layout: Option<&Located<Value>>,
        de_dot: bool,
        compat: Compat,
    ) -> Result<Self, Problems> {
        let layout = layout
            .filter(|layout| !is_empty(layout))
            .map(|layout| Layout::compile(layout))
            .transpose()?;
        Ok(Self {
            layout,
            document: DocumentOptions { compat, de_dot },
        })
    }

    /// Whether it writes what a lookup of the involved object adds: a document does, a layout if it says so.
    pub fn reads_object(&self) -> bool {
        self.layout.as_ref().is_none_or(Layout::reads_object)
    }

    /// Appends one JSON value, without a line end.
    pub fn append(&self, event: &Event, to: &mut Vec<u8>) -> Result<(), RenderError> {
        match &self.layout {
            None => Document {
                event,
                options: self.document,
            }
            .append(to)
            .map_err(RenderError::from),
            Some(layout) => layout.append(event, self.document.de_dot, to),
        }
    }

    /// One JSON value; or why it cannot be written.
    pub fn write(&self, event: &Event) -> Result<Vec<u8>, String> {
        let mut written = Vec::with_capacity(1024);
        self.append(event, &mut written)
            .map_err(|error| error.to_string())?;
        Ok(written)
    }

    /// Every event as a line, and those that cannot be written.
    pub fn lines(&self, batch: &[Arc<Event>]) -> (Vec<u8>, Vec<Rejection>) {
        let mut lines = Vec::with_capacity(batch.len() * 1024);
        let mut rejected = Vec::new();
        for (index, event) in batch.iter().enumerate() {
            let start = lines.len();
            match self.append(event, &mut lines) {
                Ok(()) => lines.push(b'\n'),
                Err(error) => {
                    lines.truncate(start);
                    rejected.push(Rejection {
                        index,
                        reason: error.to_string(),
                    });
                }
            }
        }
        (lines, rejected)
    }
}

/// Whether a layout is there and says nothing.
pub fn is_empty(layout: &Value) -> bool {
    matches!(layout, Value::Map(entries) if entries.is_empty())
}
