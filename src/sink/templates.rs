//! Templates by name: the fields, details and labels that a service wants.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::template::{RenderError, Template};
use crate::yaml::{Located, Problem};

/// Templates by name.
pub struct Templates(BTreeMap<String, Template>);

// === impl Templates ===

impl Templates {
    /// Parses all of them.
    pub fn parse(texts: &BTreeMap<String, Located<String>>) -> Result<Self, Problem> {
        let parse = |(name, text): (&String, _)| Ok((name.clone(), Template::parse(text)?));
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any reads what a lookup of the involved object adds.
    pub fn reads_object(&self) -> bool {
        self.0.values().any(Template::reads_object)
    }

    /// What they give for one event.
    pub fn render(&self, event: &Event) -> Result<BTreeMap<&str, String>, RenderError> {
        self.0
            .iter()
            .map(|(name, template)| Ok((name.as_str(), template.render(event)?)))
            .collect()
    }
}
