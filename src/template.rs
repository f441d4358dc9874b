//! Templates over an event, in the syntax of Go's `text/template`.
//!
//! For now a template is text with plain field access, `{{ .InvolvedObject.Name }}`; anything else is refused when the
//! configuration is loaded, never printed as rubbish. Values print as Go prints them.

use std::fmt::Write as _;

use thiserror::Error;

use crate::event::{Event, ObjectReference, Time, go_json};
use crate::yaml::{Located, Problem, Value};

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// Maps and lists of templates: what a receiver writes in place of the document.
#[derive(Debug, Clone)]
pub enum Layout {
    /// Rendered, and always a JSON string.
    Text(Template),
    /// A number, a boolean or null, as it stands.
    Literal(serde_json::Value),
    /// In order.
    List(Vec<Layout>),
    /// By key, sorted.
    Map(Vec<(String, Layout)>),
}

/// An event that a template cannot render.
#[derive(Debug, Error)]
pub enum RenderError {
    /// The result is no JSON.
    #[error("the document cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Field(Field),
}

/// A path of names below the event, known to lead to a value.
#[derive(Debug, Clone, PartialEq)]
struct Field(Vec<String>);

// === impl Template ===

impl Template {
    /// Parses `text`.
    pub fn parse(text: &Located<String>) -> Result<Self, Problem> {
        parse(&text.value)
            .map(|parts| Self { parts })
            .map_err(|message| text.problem(message))
    }

    /// Renders it for one event. It fails where the incumbent would lose the event: the event goes to the dead letter.
    pub fn render(&self, event: &Event) -> Result<String, RenderError> {
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Field(Field(path)) => {
                    print(event, path, &mut rendered);
                }
            }
        }
        Ok(rendered)
    }

    /// Whether it reads what a lookup of the involved object adds.
    pub fn reads_object(&self) -> bool {
        let added = ["Labels", "Annotations", "OwnerReferences", "Deleted"];
        self.parts.iter().any(|part| match part {
            Part::Field(Field(path)) => {
                path.len() > 1 && path[0] == "InvolvedObject" && added.contains(&path[1].as_str())
            }
            Part::Text(_) => false,
        })
    }

    /// The text itself if there is nothing to render in it.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let before = if trim { before.trim_start() } else { before };
        let (action, after) = after
            .split_once("}}")
            // The text itself may hold a secret out of the environment.
            .ok_or_else(|| "template: `{{` is not closed".to_owned())?;
        let (before, action) = match action.strip_prefix("- ") {
            Some(action) => (before.trim_end(), action),
            None => (before, action),
        };
        trim = action.ends_with(" -");
        let action = action.strip_suffix(" -").unwrap_or(action);
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(Part::Field(field(action.trim())?));
        rest = after;
    }
    let rest = if trim { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

fn field(action: &str) -> Result<Field, String> {
    let names = action
        .strip_prefix('.')
        .map(|path| path.split('.').collect::<Vec<_>>());
    let plain = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let Some(names) = names.filter(|names| names.iter().all(plain)) else {
        return Err(format!(
            "template: `{{{{ {action} }}}}` is not supported, only fields are, as in `{{{{ .InvolvedObject.Name }}}}`"
        ));
    };
    let path: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if print(&Event::default(), &path, &mut String::new()) {
        Ok(Field(path))
    } else {
        Err(format!("template: an event has no field `{action}`"))
    }
}

/// Appends the value at `path` as Go prints it. False if there is no such field.
fn print(event: &Event, path: &[String], to: &mut String) -> bool {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let metadata = &event.metadata;
    let object = &event.involved_object;
    let text = |value: &str, to: &mut String| to.push_str(value);
    match names.as_slice() {
        ["Name"] => text(&metadata.name, to),
        ["Namespace"] => text(&metadata.namespace, to),
        ["UID"] => text(&metadata.uid, to),
        ["ResourceVersion"] => text(&metadata.resource_version, to),
        ["CreationTimestamp"] => time(metadata.creation_timestamp, to),
        ["Labels", key] => entry(metadata.labels.get(*key), to),
        ["Annotations", key] => entry(metadata.annotations.get(*key), to),
        ["Reason"] => text(&event.reason, to),
        ["Message"] => text(&event.message, to),
        ["Type"] => text(&event.kind, to),
        ["Action"] => text(&event.action, to),
        ["Count"] => integer(event.count, to),
        ["Source", "Component"] => text(&event.source.component, to),
        ["Source", "Host"] => text(&event.source.host, to),
        ["FirstTimestamp"] => time(event.first_timestamp, to),
        ["LastTimestamp"] => time(event.last_timestamp, to),
        ["EventTime"] => time(event.event_time, to),
        ["ReportingController"] => text(&event.reporting_component, to),
        ["ReportingInstance"] => text(&event.reporting_instance, to),
        ["ClusterName"] => text(&event.cluster_name, to),
        // Two methods of the incumbent's event, called without arguments.
        ["GetTimestampMs"] => integer(
            incumbent_timestamp(event).map_or(-62_135_596_800_000, milliseconds),
            to,
        ),
        ["GetTimestampISO8601"] => iso8601(incumbent_timestamp(event), to),
        ["InvolvedObject", "Labels", key] => entry(object.labels.get(*key), to),
        ["InvolvedObject", "Annotations", key] => entry(object.annotations.get(*key), to),
        ["InvolvedObject", "Kind"] => text(&object.kind, to),
        ["InvolvedObject", "Namespace"] => text(&object.namespace, to),
        ["InvolvedObject", "Name"] => text(&object.name, to),
        ["InvolvedObject", "UID"] => text(&object.uid, to),
        ["InvolvedObject", "APIVersion"] => text(&object.api_version, to),
        ["InvolvedObject", "ResourceVersion"] => text(&object.resource_version, to),
        ["InvolvedObject", "FieldPath"] => text(&object.field_path, to),
        ["InvolvedObject", "Deleted"] => text(if object.deleted { "true" } else { "false" }, to),
        ["Related", name] => {
            let nothing = ObjectReference::default();
            let related = event.related.as_ref().unwrap_or(&nothing);
            let value = match *name {
                "Kind" => &related.kind,
                "Namespace" => &related.namespace,
                "Name" => &related.name,
                "UID" => &related.uid,
                "APIVersion" => &related.api_version,
                "ResourceVersion" => &related.resource_version,
                "FieldPath" => &related.field_path,
                _ => return false,
            };
            text(value, to);
        }
        _ => return false,
    }
    true
}

fn entry(value: Option<&String>, to: &mut String) {
    to.push_str(value.map_or("<no value>", String::as_str));
}

fn integer(value: i64, to: &mut String) {
    // Writing to a string does not fail.
    let _ = write!(to, "{value}");
}

/// As Go's `Time.String`, in UTC.
fn time(time: Option<Time>, to: &mut String) {
    let Some(time) = time else {
        to.push_str("0001-01-01 00:00:00 +0000 UTC");
        return;
    };
    let text = time.micros().to_string();
    let (date, clock) = (&text[..10], &text[11..19]);
    let fraction = text[20..26].trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let _ = write!(to, "{date} {clock}{point}{fraction} +0000 UTC");
}

fn incumbent_timestamp(event: &Event) -> Option<Time> {
    event.first_timestamp.or(event.event_time)
}

fn milliseconds(time: Time) -> i64 {
    let epoch = Time::EPOCH.civil();
    i64::try_from(time.civil().duration_since(epoch).as_millis()).unwrap_or(i64::MAX)
}

fn iso8601(time: Option<Time>, to: &mut String) {
    match time {
        None => to.push_str("0001-01-01T00:00:00.000Z"),
        Some(time) => {
            to.push_str(&time.micros().to_string()[..23]);
            to.push('Z');
        }
    }
}

// === impl Layout ===

impl Layout {
    /// Compiles what stands under `layout`.
    pub fn compile(value: &Value) -> Result<Self, Problem> {
        Ok(match value {
            Value::Null => Self::Literal(serde_json::Value::Null),
            Value::Bool(value) => Self::Literal((*value).into()),
            Value::Int(value) => Self::Literal((*value).into()),
            Value::UInt(value) => Self::Literal((*value).into()),
            Value::Float(value) => Self::Literal((*value).into()),
            Value::String(text) => Self::Text(Template::parse(text)?),
            Value::List(values) => {
                Self::List(values.iter().map(Self::compile).collect::<Result<_, _>>()?)
            }
            Value::Map(entries) => {
                let mut entries = entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), Self::compile(value)?)))
                    .collect::<Result<Vec<_>, Problem>>()?;
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Map(entries)
            }
        })
    }

    /// Whether any template in it reads what a lookup of the involved object adds.
    pub fn reads_object(&self) -> bool {
        match self {
            Self::Text(template) => template.reads_object(),
            Self::Literal(_) => false,
            Self::List(elements) => elements.iter().any(Self::reads_object),
            Self::Map(entries) => entries.iter().any(|(_, value)| value.reads_object()),
        }
    }

    /// Appends it for one event as JSON. With `de_dot`, labels and annotations are looked up by keys without dots.
    pub fn append(&self, event: &Event, de_dot: bool, to: &mut Vec<u8>) -> Result<(), RenderError> {
        if de_dot {
            return self.append_rendered(&without_dots(event), to);
        }
        self.append_rendered(event, to)
    }

    fn append_rendered(&self, event: &Event, to: &mut Vec<u8>) -> Result<(), RenderError> {
        match self {
            Self::Text(template) => go_json::append(&template.render(event)?, to)?,
            Self::Literal(value) => go_json::append(value, to)?,
            Self::List(elements) => {
                to.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        to.push(b',');
                    }
                    element.append_rendered(event, to)?;
                }
                to.push(b']');
            }
            Self::Map(entries) => {
                to.push(b'{');
                for (at, (key, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        to.push(b',');
                    }
                    go_json::append(key, to)?;
                    to.push(b':');
                    value.append_rendered(event, to)?;
                }
                to.push(b'}');
            }
        }
        Ok(())
    }
}

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
