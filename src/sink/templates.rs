//! Templates by name: the fields, details and labels that a service wants.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::template::{RenderError, Template};
use crate::yaml::{Located, Problem, Problems};

/// Templates by name.
pub struct Templates(BTreeMap<String, Template>);

// === impl Templates ===

impl Templates {
    /// Parses all of them.
    pub fn parse(texts: &BTreeMap<String, Located<String>>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let parsed = texts
            .iter()
            .filter_map(|(name, text)| Some((name.clone(), problems.ok(Template::parse(text))?)))
            .collect();
        problems.or(Self(parsed))
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

/// Tells of a name that would be Go's words for nothing.
pub fn lint_no_value(text: &Located<String>, warnings: &mut Vec<Problem>) {
    let rendered = Template::parse(text).map(|template| template.render(&Event::default()));
    if rendered.is_ok_and(|rendered| rendered.is_ok_and(|name| name.contains(NO_VALUE))) {
        warnings.push(text.problem(format!(
            "for events that lack what is asked for, this is `{NO_VALUE}`: put `| default \"…\"` behind it"
        )));
    }
}

/// What Go's templates print of nothing.
const NO_VALUE: &str = "<no value>";
