//! Templates that cannot work, wherever they stand below `receivers`.

use serde::Deserialize;

use crate::template::Template;
use crate::yaml::{self, Environment, Problem, Value};

/// As much of the file as has templates.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Templates {
    receivers: Vec<Value>,
}

/// What is taken as it stands, and may hold anything.
const NO_TEMPLATES: [&str; 6] = [
    "apiKey",
    "bearerToken",
    "password",
    "token",
    "username",
    "tls",
];

/// What is told of templates that parse and would lose every event, or every event of a kind: the incumbent says nothing.
/// Those that do not parse are errors of whoever uses them.
pub(super) fn lint(text: &str, env: Environment<'_>) -> Vec<Problem> {
    let mut warnings = Vec::new();
    if let Ok(parsed) = yaml::parse::<Templates>(text, env) {
        for receiver in &parsed.value.receivers {
            walk(receiver, &mut warnings);
        }
    }
    warnings
}

fn walk(value: &Value, warnings: &mut Vec<Problem>) {
    match value {
        Value::String(text) if text.value.contains("{{") => {
            let found = Template::parse(text)
                .ok()
                .and_then(|template| template.lint());
            warnings.extend(found.map(|problem| Problem {
                message: format!(
                    "this template loses events: {}; they go to the dead letter",
                    problem.message
                ),
                ..problem
            }));
        }
        Value::List(values) => values.iter().for_each(|value| walk(value, warnings)),
        Value::Map(entries) => entries
            .iter()
            .filter(|(key, _)| !NO_TEMPLATES.contains(&key.as_str()))
            .for_each(|(_, value)| walk(value, warnings)),
        _ => {}
    }
}
