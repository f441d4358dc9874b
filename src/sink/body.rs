//! What a receiver writes of an event: its document, or the receiver's layout.

use serde::Deserialize;

use crate::event::{Compat, Document, DocumentOptions, Event};
use crate::template::{Layout, RenderError};
use crate::yaml::Value;

/// The settings of a sink that say what it writes, under the incumbent's names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BodyConfig {
    /// Templates in place of the document.
    pub layout: Option<Value>,
    /// Writes `_` for `.` in the keys of labels and annotations.
    pub de_dot: bool,
}

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
        layout: Option<&Value>,
        de_dot: bool,
        compat: Compat,
    ) -> Result<Self, crate::yaml::Problem> {
        let layout = match layout {
            None | Some(Value::Null) => None,
            Some(Value::Map(entries)) if entries.is_empty() => None,
            Some(layout) => Some(Layout::compile(layout)?),
        };
        Ok(Self {
            layout,
            document: DocumentOptions { compat, de_dot },
        })
    }

    /// Whether it is the event's own document.
    pub fn is_document(&self) -> bool {
        self.layout.is_none()
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
}
