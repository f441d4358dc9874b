//! One rule: a set of tests that an event must pass, all of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pattern::Pattern;
use crate::event::Event;
use crate::yaml::{Located, Problem};

/// A rule as the configuration gives it. Every field that is given must match; patterns are regular expressions in Go's
/// syntax, unanchored and case-sensitive, and an empty one counts as not given.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RuleConfig {
    /// Of the event.
    pub message: Located<String>,
    /// Of the involved object.
    pub api_version: Located<String>,
    /// Of the involved object.
    pub kind: Located<String>,
    /// Of the involved object.
    pub name: Located<String>,
    /// Of the event itself.
    pub namespace: Located<String>,
    /// Of the event.
    pub reason: Located<String>,
    /// `Normal` or `Warning`.
    pub r#type: Located<String>,
    /// `source.component`, as older recorders fill it.
    pub component: Located<String>,
    /// `source.host`
    pub host: Located<String>,
    /// `reportingComponent`, as newer recorders fill it.
    pub reporting_component: Located<String>,
    /// Of the event.
    pub action: Located<String>,
    /// Of the involved object: every key must be there, and its value match.
    pub labels: BTreeMap<String, Located<String>>,
    /// Of the involved object: every key must be there, and its value match.
    pub annotations: BTreeMap<String, Located<String>>,
    /// How often it must have happened.
    pub min_count: i32,
    /// A rule that must not match.
    pub not: Option<Box<Located<RuleConfig>>>,
    /// Who gets what matches. Means nothing under `drop` and `not`.
    pub receiver: Option<Located<String>>,
}

/// Where a text or a map of an event is found.
type Of = fn(&Event) -> &str;
type Map = fn(&Event) -> &BTreeMap<String, String>;

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    tests: Vec<Test>,
    min_count: i64,
    not: Option<Box<Rule>>,
    /// A test, here or under `not`, is of labels or annotations.
    reads_object: bool,
}

#[derive(Debug)]
enum Test {
    /// The text behind `of` matches.
    Text { of: Of, pattern: Pattern },
    /// The map behind `of` has the key, and its value matches.
    Entry {
        of: Map,
        key: String,
        pattern: Pattern,
    },
    /// A pattern that is no regular expression.
    Never,
}

// === impl RuleConfig ===

impl RuleConfig {
    /// Who gets what matches; an empty name is none.
    pub fn receiver(&self) -> Option<&Located<String>> {
        self.receiver
            .as_ref()
            .filter(|receiver| !receiver.value.is_empty())
    }

    /// What is asked of texts, by the name of the key; those that are not asked are left out.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'static str, &Located<String>)> {
        [
            ("message", &self.message),
            ("apiVersion", &self.api_version),
            ("kind", &self.kind),
            ("name", &self.name),
            ("namespace", &self.namespace),
            ("reason", &self.reason),
            ("type", &self.r#type),
            ("component", &self.component),
            ("host", &self.host),
            ("reportingComponent", &self.reporting_component),
            ("action", &self.action),
        ]
        .into_iter()
        .filter(|(_, pattern)| !pattern.value.is_empty())
    }

    /// Whether it asks nothing, so that every event matches.
    pub(super) fn is_empty(&self) -> bool {
        self.texts().next().is_none()
            && self.labels.is_empty()
            && self.annotations.is_empty()
            && self.min_count == 0
            && self.not.is_none()
    }
}

// === impl Rule ===

impl Rule {
    pub(super) fn compile(config: &RuleConfig, warnings: &mut Vec<Problem>) -> Self {
        let fields: [(&Located<String>, Of); 11] = [
            (&config.r#type, |event| &event.kind),
            (&config.kind, |event| &event.involved_object.kind),
            (&config.reason, |event| &event.reason),
            (&config.namespace, |event| &event.metadata.namespace),
            (&config.name, |event| &event.involved_object.name),
            (&config.api_version, |event| {
                &event.involved_object.api_version
            }),
            (&config.component, |event| &event.source.component),
            (&config.host, |event| &event.source.host),
            (&config.reporting_component, |event| {
                &event.reporting_component
            }),
            (&config.action, |event| &event.action),
            (&config.message, |event| &event.message),
        ];
        let mut tests = Vec::new();
        for (pattern, of) in fields {
            if !pattern.value.is_empty() {
                tests.push(
                    compile(pattern, warnings)
                        .map_or(Test::Never, |pattern| Test::Text { of, pattern }),
                );
            }
        }
        let maps: [(&BTreeMap<String, Located<String>>, Map); 2] = [
            (&config.labels, |event| &event.involved_object.labels),
            (&config.annotations, |event| {
                &event.involved_object.annotations
            }),
        ];
        for (patterns, of) in maps {
            for (key, pattern) in patterns {
                let key = key.clone();
                tests.push(
                    compile(pattern, warnings).map_or(Test::Never, |pattern| Test::Entry {
                        of,
                        key,
                        pattern,
                    }),
                );
            }
        }
        // All of them have to pass, so the order is free.
        tests.sort_by_key(Test::is_costly);
        let not = config
            .not
            .as_ref()
            .map(|not| Box::new(Self::compile(not, warnings)));
        let reads_object = tests.iter().any(Test::reads_object)
            || not.as_ref().is_some_and(|not| not.reads_object);
        Self {
            tests,
            min_count: config.min_count.into(),
            not,
            reads_object,
        }
    }

    /// Whether the labels and annotations of the involved object decide if `event` matches: everything else about it does.
    pub(super) fn reads_object(&self, event: &Event) -> bool {
        self.reads_object
            && event.counted() >= self.min_count
            && self
                .tests
                .iter()
                .all(|test| test.reads_object() || test.passes(event))
            && (self.tests.iter().any(Test::reads_object)
                || self.not.as_ref().is_some_and(|not| not.reads_object(event)))
    }

    /// Whether every test passes. A negative count, which the API allows, passes none.
    pub(super) fn matches(&self, event: &Event) -> bool {
        event.counted() >= self.min_count
            && self.tests.iter().all(|test| test.passes(event))
            && !self.not.as_ref().is_some_and(|not| not.matches(event))
    }
}

fn compile(pattern: &Located<String>, warnings: &mut Vec<Problem>) -> Option<Pattern> {
    Pattern::new(&pattern.value)
        .map_err(|error| {
            warnings.push(pattern.problem(format!(
                "the pattern `{}` never matches: {error}",
                pattern.shown()
            )));
        })
        .ok()
}

// === impl Test ===

impl Test {
    fn is_costly(&self) -> bool {
        match self {
            Self::Text { pattern, .. } | Self::Entry { pattern, .. } => pattern.is_costly(),
            Self::Never => false,
        }
    }

    fn reads_object(&self) -> bool {
        matches!(self, Self::Entry { .. })
    }

    fn passes(&self, event: &Event) -> bool {
        match self {
            Self::Text { of, pattern } => pattern.is_match(of(event)),
            Self::Entry { of, key, pattern } => of(event)
                .get(key)
                .is_some_and(|value| pattern.is_match(value)),
            Self::Never => false,
        }
    }
}
