//! `check --tests`: examples that live with the configuration, of events and of what has to come of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::replay::secrets_of_environment;
use super::super::{Config, ConfigError, Pipeline, Route, complain};
use crate::config::Loaded;
use crate::event::{Event, visible};
use crate::sink::Sink;
use crate::sink::http::Secrets;
use crate::yaml::{self, Located, Position, Problem};

mod diff;

/// A file of tests.
#[derive(Deserialize)]
struct File {
    tests: Vec<Located<Case>>,
}

/// An event, or those of its fields that matter, and what has to come of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Case {
    /// For people.
    name: String,
    event: Event,
    /// Those of its namespace, which no event has.
    #[serde(rename = "namespaceLabels")]
    namespace_labels: Option<BTreeMap<String, String>>,
    /// Who gets it, in any order.
    receivers: Option<Vec<Located<String>>>,
    /// What they are sent of it, by their names: `document` or `text` of `replay --dry-run`.
    documents: BTreeMap<String, Value>,
}

/// What has come of a test. Fields are only ever added.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    name: String,
    file: String,
    line: usize,
    column: usize,
    pub(super) ok: bool,
    /// What was to come with `-`, and what came with `+`, a line each; empty if they are the same.
    diff: Vec<String>,
}

/// All that came of a file of tests.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// Empty if there are errors.
    pub(super) done: Vec<Outcome>,
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// The configuration as tests see it.
struct Subject {
    cluster_name: String,
    names: Vec<String>,
    route: Route,
    sinks: Vec<Box<dyn Sink>>,
    /// A layout may put them into documents.
    secrets: Secrets,
}

/// Runs the tests in `path` on the text of a configuration, which has no errors.
pub(super) fn run(text: &str, file: &str, path: &Path) -> Result<Outcomes, ConfigError> {
    let subject = Subject::of(text, file)?;
    let tests = match fs::read_to_string(path) {
        Ok(tests) => tests,
        Err(error) => {
            let problem = Problem::nowhere(format!("cannot read the tests: {error}"));
            return Ok(Outcomes {
                errors: vec![problem],
                ..Outcomes::default()
            });
        }
    };
    let reading = yaml::read::<File>(&tests, &|name| std::env::var(name).ok(), &|_, _| None);
    let (mut done, mut errors) = (Vec::new(), reading.errors);
    for case in reading.value.iter().flat_map(|file| &file.tests) {
        match subject.problem(case) {
            Some(problem) => errors.push(problem),
            None => done.push(subject.outcome(case, path)),
        }
    }
    if !errors.is_empty() {
        done.clear();
    }
    Ok(Outcomes {
        done,
        errors,
        warnings: reading.warnings,
    })
}

// === impl Subject ===

impl Subject {
    fn of(text: &str, file: &str) -> Result<Self, ConfigError> {
        let Loaded { config, .. } = Config::of_text(text, file)?;
        let receivers = config.receivers.iter();
        let names: Vec<String> = receivers.map(|receiver| receiver.name.clone()).collect();
        let by_name: Vec<&str> = names.iter().map(String::as_str).collect();
        let route = Route::compile(&config.route, &by_name, &mut Vec::new())
            .map_err(|problem| ConfigError::of(file, vec![problem]))?;
        Ok(Self {
            cluster_name: config.cluster_name.clone(),
            names,
            route,
            sinks: Pipeline::sinks(config).map_err(|problems| ConfigError::of(file, problems))?,
            secrets: secrets_of_environment(),
        })
    }

    /// Why a test can't be run.
    fn problem(&self, case: &Located<Case>) -> Option<Problem> {
        let unknown = |name: &str| format!("there is no receiver `{name}`");
        let is_unknown = |name: &str| !self.names.iter().any(|known| known == name);
        if case.receivers.is_none() && case.documents.is_empty() {
            return Some(case.problem("nothing is expected: add `receivers` or `documents`"));
        }
        if let Some(name) = case
            .receivers
            .iter()
            .flatten()
            .find(|name| is_unknown(name))
        {
            return Some(name.problem(unknown(name.shown())));
        }
        let name = case.documents.keys().find(|name| is_unknown(name))?;
        Some(case.problem(unknown(name)))
    }

    fn outcome(&self, case: &Located<Case>, path: &Path) -> Outcome {
        let mut event = case.event.clone();
        event.namespace_labels.clone_from(&case.namespace_labels);
        if event.cluster_name.is_empty() {
            event.cluster_name.clone_from(&self.cluster_name);
        }
        let mut diff = Vec::new();
        if let Some(expected) = &case.receivers {
            let expected = expected.iter().map(|name| name.as_str()).collect();
            let actual = self.route.resolve(&event).receivers;
            let actual = actual.iter().map(|at| self.names[at.0].as_str()).collect();
            let changes = diff::lines(&sorted(expected), &sorted(actual));
            add(&mut diff, "receivers:", changes);
        }
        for (name, expected) in &case.documents {
            let actual = self.document(name, &event);
            if actual != *expected {
                let changes = diff::lines(&shown(expected), &shown(&actual));
                add(&mut diff, &format!("document of {name}:"), changes);
            }
        }
        for line in &mut diff {
            self.secrets.hide_in(line);
        }
        let Position { line, column } = case.position;
        Outcome {
            name: case.name.clone(),
            file: path.display().to_string(),
            line,
            column,
            ok: diff.is_empty(),
            diff,
        }
    }

    /// What a receiver would be sent.
    fn document(&self, name: &str, event: &Event) -> Value {
        let sinks = self.names.iter().zip(&self.sinks);
        let mut named = sinks.filter(|(known, _)| *known == name);
        let preview = named.next().map(|(_, sink)| sink.preview(event));
        let rejected = match preview {
            Some(Ok(preview)) => match preview.content() {
                Ok(content) => return content,
                Err(error) => error.to_string(),
            },
            Some(Err(reason)) => reason,
            None => return Value::Null,
        };
        Value::String(format!("rejected: {rejected}"))
    }
}

fn sorted(mut names: Vec<&str>) -> String {
    names.sort_unstable();
    names.join("\n")
}

/// A text as it is, so that its lines are compared; everything else as JSON.
fn shown(document: &Value) -> String {
    match document {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    }
}

fn add(diff: &mut Vec<String>, title: &str, changes: Vec<String>) {
    if !changes.is_empty() {
        diff.push(title.to_owned());
        diff.extend(changes);
    }
}

// === impl Outcome ===

impl Outcome {
    /// A test that has failed goes to standard error, as findings do.
    pub(super) fn tell(&self) {
        let Self {
            file, line, column, ..
        } = self;
        complain(format_args!(
            "failed: {file}:{line}:{column}: {}",
            visible(&self.name)
        ));
        for line in &self.diff {
            complain(format_args!("  {}", visible(line)));
        }
    }
}
