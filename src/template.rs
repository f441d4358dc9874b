//! Templates over an event, in the language of Go's `text/template` with the functions of sprig, as the incumbent has
//! them.
//!
//! A template is parsed once, when the configuration is loaded: what is wrong with it has a line and a column there.
//! Rendering it touches nothing but the event, and is bounded in time and output, whatever the template and the event.
//! It fails where the incumbent's would lose the event: a field that there is not, a value that a function does not take.

use std::cell::OnceCell;
use std::fmt;

use thiserror::Error;

use crate::event::Event;
use crate::yaml::{Located, Position, Problem};

use self::context::Context;
use self::failure::Failure;
use self::parse::{Node, Tree};
use self::regex::Regexes;

pub use self::layout::Layout;
pub use self::time::GoTime;

mod context;
mod eval;
mod failure;
mod float;
mod function;
mod json;
mod layout;
mod lex;
mod literal;
mod object;
mod parse;
mod print;
mod reads;
mod regex;
mod runes;
mod time;
mod value;
mod version;

/// A parsed template.
pub struct Template {
    /// As it is written, and where, for messages. May hold a secret out of the environment.
    text: Located<String>,
    tree: Tree,
    regexes: Regexes,
}

/// An event that has everything.
const SAMPLE: &str = r#"{
  "metadata": {"name": "web-0.17a", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 1,
    "creationTimestamp": "2024-05-01T10:00:00Z", "deletionTimestamp": "2024-05-01T10:00:00Z", "deletionGracePeriodSeconds": 1,
    "labels": {"app": "web"}, "annotations": {"note": "text"}, "finalizers": ["f"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "o", "controller": true, "blockOwnerDeletion": true}]},
  "reason": "BackOff", "message": "Back-off", "source": {"component": "kubelet", "host": "node-1"}, "count": 2, "type": "Warning",
  "firstTimestamp": "2024-05-01T10:00:00Z", "lastTimestamp": "2024-05-01T10:00:00Z", "eventTime": "2024-05-01T10:00:00.000001Z",
  "series": {"count": 2, "lastObservedTime": "2024-05-01T10:00:00.000001Z"}, "action": "Pulling",
  "related": {"kind": "Node", "namespace": "n", "name": "node-1", "uid": "n", "apiVersion": "v1", "resourceVersion": "1", "fieldPath": "f"},
  "reportingComponent": "kubelet", "reportingInstance": "node-1", "clusterName": "prod",
  "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-0", "uid": "w", "apiVersion": "v1", "resourceVersion": "1",
    "fieldPath": "spec", "labels": {"app": "web"}, "annotations": {"note": "text"}, "deleted": true,
    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "o", "controller": true, "blockOwnerDeletion": true}]}
}"#;

/// An event that a template cannot render.
#[derive(Debug, Error)]
pub enum RenderError {
    /// The result is no JSON.
    #[error("the document cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A template fails on this event.
    #[error("a template fails on this event: {0}")]
    Template(Problem),
}

// === impl Template ===

impl Template {
    /// Parses `text`.
    pub fn parse(text: &Located<String>) -> Result<Self, Problem> {
        // They would be part of the template, and shown in what is wrong with it.
        let actions = |text: &str| text.matches("{{").count();
        if let Some(written) = &text.written
            && actions(written) < actions(&text.value)
        {
            return Err(text.problem(
                "a variable of the environment holds `{{`, which would begin an action of this template",
            ));
        }
        let tree = parse::parse(&text.value).map_err(|error| Problem {
            path: text.path.clone(),
            position: position(text, error.at),
            message: format!("template: {}", error.message),
        })?;
        Ok(Self {
            text: text.clone(),
            tree,
            regexes: Regexes::default(),
        })
    }

    /// Renders it for one event; what is no text in the result is U+FFFD. It fails where the incumbent would lose the
    /// event: the event goes to the dead letter.
    pub fn render(&self, event: &Event) -> Result<String, RenderError> {
        let bytes = self.render_bytes(event)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| {
            let runes = runes::runes(error.as_bytes());
            runes.map(|(c, _)| c).collect()
        }))
    }

    fn render_bytes(&self, event: &Event) -> Result<Vec<u8>, RenderError> {
        self.evaluate(event)
            .map_err(|failure| RenderError::Template(self.problem(failure)))
    }

    fn evaluate(&self, event: &Event) -> Result<Vec<u8>, Failure> {
        let without_dots = OnceCell::new();
        let context = Context::new(event, &without_dots, &self.regexes);
        eval::render(&self.tree, &context)
    }

    fn problem(&self, failure: Failure) -> Problem {
        Problem {
            path: self.text.path.clone(),
            position: position(&self.text, failure.at.unwrap_or(0)),
            message: failure.message.into_owned(),
        }
    }

    /// What cannot work in it, whatever the event, as far as that shows when it is rendered for an event that has
    /// everything and for one that has nothing. The incumbent says nothing of it, and loses every event.
    pub fn lint(&self) -> Option<Problem> {
        let sample: Event = serde_json::from_str(SAMPLE).unwrap_or_default();
        let [with_all, with_nothing] =
            [&sample, &Event::default()].map(|event| self.evaluate(event).err());
        // What both fail at has nothing to do with the event.
        let both_suspect = [&with_all, &with_nothing]
            .map(|failure| failure.as_ref().is_some_and(|it| it.is_suspect));
        let certain = [with_all, with_nothing].into_iter().flatten();
        certain
            .filter(|failure| failure.is_certain || both_suspect == [true, true])
            .map(|failure| self.problem(failure))
            .next()
    }

    /// Whether it reads what a lookup of the involved object adds.
    pub fn reads_object(&self) -> bool {
        reads::reads_object(&self.tree)
    }

    /// The text before the first action.
    pub fn leading_text(&self) -> &str {
        match self.tree.root.first() {
            Some(Node::Text(text)) => text,
            _ => "",
        }
    }

    /// Its texts in their order, and `None` for each part that is rendered.
    pub fn texts(&self) -> impl Iterator<Item = Option<&str>> {
        self.tree.root.iter().map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The text itself if there is nothing to render in it.
    pub fn literal(&self) -> Option<&str> {
        match self.tree.root.as_slice() {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("path", &self.text.path)
            .finish_non_exhaustive()
    }
}

/// Where in the file the byte `at` of a text is, as far as that can be told: in a block or across lines it is its line.
fn position(text: &Located<String>, at: usize) -> Position {
    let before = text.value.get(..at).unwrap_or_default();
    let lines = before.matches('\n').count();
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count());
    if lines == 0 {
        Position {
            column: text.position.column + column,
            ..text.position
        }
    } else {
        text.position
    }
}

/// The event with `_` for `.` in the keys of labels and annotations.
fn without_dots(event: &Event) -> Event {
    let mut event = event.clone();
    for map in [
        &mut event.metadata.labels,
        &mut event.metadata.annotations,
        &mut event.involved_object.labels,
        &mut event.involved_object.annotations,
    ] {
        *map = std::mem::take(map)
            .into_iter()
            .map(|(key, value)| (key.replace('.', "_"), value))
            .collect();
    }
    event
}

#[cfg(test)]
mod tests;
