//! Maps and lists of templates: what a receiver writes in place of the document.

use crate::event::{Event, go_json};
use crate::yaml::{Problems, Value};

use super::json::number;
use super::{RenderError, Template, without_dots};

/// A compiled layout.
#[derive(Debug)]
pub enum Layout {
    /// Rendered, and always a JSON string.
    Text(Box<Template>),
    /// A number, a boolean or null, in JSON.
    Literal(String),
    /// In order.
    List(Vec<Layout>),
    /// By key, sorted.
    Map(Vec<(String, Layout)>),
}

// === impl Layout ===

impl Layout {
    /// Compiles what stands under `layout`; tells of every template in it that is wrong.
    pub fn compile(value: &Value) -> Result<Self, Problems> {
        Ok(match value {
            Value::Null => Self::Literal("null".to_owned()),
            Value::Bool(value) => Self::Literal(value.to_string()),
            Value::Int(value) => Self::Literal(value.to_string()),
            Value::UInt(value) => Self::Literal(value.to_string()),
            Value::Float(value) => {
                Self::Literal(number(*value).unwrap_or_else(|| "null".to_owned()))
            }
            Value::String(text) => Self::Text(Template::parse(text)?.into()),
            Value::List(values) => {
                let mut problems = Problems::default();
                let compiled = values
                    .iter()
                    .filter_map(|value| problems.ok(Self::compile(value)))
                    .collect();
                Self::List(problems.or(compiled)?)
            }
            Value::Map(entries) => {
                let mut problems = Problems::default();
                let mut compiled: Vec<_> = entries
                    .iter()
                    .filter_map(|(key, value)| {
                        Some((key.clone(), problems.ok(Self::compile(value))?))
                    })
                    .collect();
                compiled.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Map(problems.or(compiled)?)
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
            Self::Text(template) => {
                go_json::append_text(&template.render_bytes(event)?, true, to)?;
            }
            Self::Literal(json) => to.extend_from_slice(json.as_bytes()),
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
