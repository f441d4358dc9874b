//! One rule: a set of tests that an event must pass, all of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::explain::{Cause, Failure};
use super::outline::Asked;
use super::pattern::Pattern;
use super::{Place, RuleId};
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
    pub labels: Patterns,
    /// Of the involved object: every key must be there, and its value match.
    pub annotations: Patterns,
    /// Of the event's namespace: every key must be there, and its value match.
    pub namespace_labels: Patterns,
    /// How often it must have happened.
    pub min_count: i32,
    /// A rule that must not match.
    pub not: Option<Box<Located<RuleConfig>>>,
    /// Who gets what matches. Means nothing under `drop` and `not`.
    pub receiver: Option<Located<String>>,
}

/// By the key of a label or an annotation.
type Patterns = BTreeMap<String, Located<String>>;
/// Where a text of an event is found.
pub(super) type Of = fn(&Event) -> &str;

/// Where a rule has its pattern for a text.
type Given = fn(&RuleConfig) -> &Located<String>;

/// The texts that rules test: what they call them, and where a rule and an event have them.
pub(super) const TEXTS: [(&str, Given, Of); 11] = [
    ("type", |rule| &rule.r#type, |event| &event.kind),
    (
        "kind",
        |rule| &rule.kind,
        |event| &event.involved_object.kind,
    ),
    ("reason", |rule| &rule.reason, |event| &event.reason),
    (
        "namespace",
        |rule| &rule.namespace,
        |event| &event.metadata.namespace,
    ),
    (
        "name",
        |rule| &rule.name,
        |event| &event.involved_object.name,
    ),
    (
        "apiVersion",
        |rule| &rule.api_version,
        |event| &event.involved_object.api_version,
    ),
    (
        "component",
        |rule| &rule.component,
        |event| &event.source.component,
    ),
    ("host", |rule| &rule.host, |event| &event.source.host),
    (
        "reportingComponent",
        |rule| &rule.reporting_component,
        |event| &event.reporting_component,
    ),
    ("action", |rule| &rule.action, |event| &event.action),
    ("message", |rule| &rule.message, |event| &event.message),
];

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// All of them have to pass, so the order is free: what is costly comes last.
    tests: Vec<Test>,
    /// A test, here or under `not`, is of labels or annotations of the object.
    reads_object: bool,
    /// One is of labels of the namespace.
    reads_namespace: bool,
    place: Place,
    /// Which of its tree it is; the first where that is nothing to it, as under `not`.
    pub id: RuleId,
}

/// A field of a rule.
#[derive(Debug)]
struct Test {
    ask: Ask,
    /// For those who ask why; on the side, since resolving has no use for it.
    field: Box<Field>,
}

#[derive(Debug)]
enum Ask {
    /// It has happened so often.
    Count(i64),
    /// The text behind `of` matches.
    Text { of: Of, pattern: Pattern },
    /// The map has the key, and its value matches.
    Entry {
        map: Map,
        key: String,
        pattern: Pattern,
    },
    /// This rule does not match.
    Not(Rule),
    /// A pattern that is no regular expression.
    Never,
}

/// Labels or annotations that rules test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Map {
    Labels,
    Annotations,
    NamespaceLabels,
}

/// A field as the configuration has it.
#[derive(Debug, Default)]
struct Field {
    /// `reason`, `labels.app`
    name: String,
    /// The pattern as it is written; empty for what has none.
    pattern: String,
}

// === impl RuleConfig ===

impl RuleConfig {
    /// Who gets what matches; an empty name is none.
    pub fn receiver(&self) -> Option<&Located<String>> {
        self.receiver
            .as_ref()
            .filter(|receiver| !receiver.value.is_empty())
    }

    /// What is asked of texts: the name of the key, the pattern, and which text; those that are not asked are left out.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'static str, &Located<String>, Of)> {
        let texts = TEXTS
            .iter()
            .map(|(name, given, of)| (*name, given(self), *of));
        texts.filter(|(_, pattern, _)| !pattern.value.is_empty())
    }

    /// What is asked of labels and annotations: the name of the key, the patterns, and which map.
    fn entries(&self) -> [(&'static str, &Patterns, Map); 3] {
        [
            ("labels", &self.labels, Map::Labels),
            ("annotations", &self.annotations, Map::Annotations),
            (
                "namespaceLabels",
                &self.namespace_labels,
                Map::NamespaceLabels,
            ),
        ]
    }

    /// All patterns that it gives.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Located<String>> {
        let entries = self.entries().into_iter();
        let entries = entries.flat_map(|(_, patterns, _)| patterns.values());
        self.texts().map(|(_, pattern, _)| pattern).chain(entries)
    }

    /// Whether it asks nothing, so that every event matches.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns().next().is_none() && self.min_count == 0 && self.not.is_none()
    }
}

// === impl Rule ===

impl Rule {
    pub(super) fn compile(config: &Located<RuleConfig>, warnings: &mut Vec<Problem>) -> Self {
        let mut tests = vec![Test::new("minCount", Ask::Count(config.min_count.into()))];
        for (name, pattern, of) in config.texts() {
            let ask = compile(pattern, warnings).map(|pattern| Ask::Text { of, pattern });
            tests.push(Test::of_pattern(name.to_owned(), pattern, ask));
        }
        for (name, patterns, map) in config.entries() {
            for (key, pattern) in patterns {
                let ask = compile(pattern, warnings).map(|pattern| Ask::Entry {
                    map,
                    key: key.clone(),
                    pattern,
                });
                tests.push(Test::of_pattern(format!("{name}.{key}"), pattern, ask));
            }
        }
        if let Some(not) = &config.not {
            tests.push(Test::new("not", Ask::Not(Self::compile(not, warnings))));
        }
        tests.sort_by_key(Test::cost);
        Self {
            reads_object: tests.iter().any(Test::may_read_object),
            reads_namespace: tests.iter().any(Test::reads_namespace),
            tests,
            place: Place::of(config),
            id: RuleId::default(),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it asks for labels of namespaces.
    pub(super) fn reads_namespace(&self) -> bool {
        self.reads_namespace
    }

    /// Whether the labels and annotations of the involved object decide if `event` matches: everything else about it does.
    pub(super) fn reads_object(&self, event: &Event) -> bool {
        self.reads_object
            && self
                .tests
                .iter()
                .all(|test| test.may_read_object() || test.passes(event))
            && self.tests.iter().any(|test| test.reads_object(event))
    }

    /// Whether every test passes. A negative count, which the API allows, passes none.
    pub(super) fn matches(&self, event: &Event) -> bool {
        self.tests.iter().all(|test| test.passes(event))
    }

    /// What it asks: nothing, of every event.
    pub(super) fn asked(&self) -> Vec<Asked<'_>> {
        self.tests.iter().filter_map(Test::asked).collect()
    }

    /// The tests that do not pass: none for a rule that matches.
    pub(super) fn failures<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = Failure<'a>> {
        let failed = self.tests.iter().filter(|test| !test.passes(event));
        failed.map(|test| test.failure(event))
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
    fn new(name: &str, ask: Ask) -> Self {
        let field = Field {
            name: name.to_owned(),
            ..Field::default()
        };
        Self {
            ask,
            field: Box::new(field),
        }
    }

    fn of_pattern(name: String, pattern: &Located<String>, ask: Option<Ask>) -> Self {
        let pattern = pattern.shown().to_owned();
        Self {
            ask: ask.unwrap_or(Ask::Never),
            field: Box::new(Field { name, pattern }),
        }
    }

    /// Compares tests: the cheap ones, those that run an engine, and other rules.
    fn cost(&self) -> u8 {
        match &self.ask {
            Ask::Text { pattern, .. } | Ask::Entry { pattern, .. } => pattern.is_costly().into(),
            Ask::Not(_) => 2,
            Ask::Count(_) | Ask::Never => 0,
        }
    }

    /// Whether there are events whose object has a say.
    fn may_read_object(&self) -> bool {
        match &self.ask {
            Ask::Entry { map, .. } => *map != Map::NamespaceLabels,
            Ask::Not(rule) => rule.reads_object,
            Ask::Count(_) | Ask::Text { .. } | Ask::Never => false,
        }
    }

    fn reads_namespace(&self) -> bool {
        match &self.ask {
            Ask::Entry { map, .. } => *map == Map::NamespaceLabels,
            Ask::Not(rule) => rule.reads_namespace,
            Ask::Count(_) | Ask::Text { .. } | Ask::Never => false,
        }
    }

    fn reads_object(&self, event: &Event) -> bool {
        match &self.ask {
            Ask::Not(rule) => rule.reads_object(event),
            _ => self.may_read_object(),
        }
    }

    fn passes(&self, event: &Event) -> bool {
        match &self.ask {
            Ask::Count(least) => event.counted() >= *least,
            Ask::Text { of, pattern } => pattern.is_match(of(event)),
            Ask::Entry { map, key, pattern } => map
                .of(event)
                .and_then(|map| map.get(key))
                .is_some_and(|value| pattern.is_match(value)),
            Ask::Not(rule) => !rule.matches(event),
            Ask::Never => false,
        }
    }

    /// What it asks; nothing, if every event passes.
    fn asked(&self) -> Option<Asked<'_>> {
        let what = match &self.ask {
            Ask::Count(least) if *least <= 0 => return None,
            Ask::Count(least) => format!("{least} or more"),
            Ask::Text { .. } | Ask::Entry { .. } => self.field.pattern.clone(),
            Ask::Not(rule) => {
                let asked = rule.asked().into_iter();
                let asked: Vec<_> = asked
                    .map(|one| format!("{}: {}", one.field, one.what))
                    .collect();
                asked.join(", ")
            }
            Ask::Never => format!("{} (no regular expression: never)", self.field.pattern),
        };
        let field = &self.field.name;
        Some(Asked { field, what })
    }

    /// Why it does not pass, if it doesn't.
    fn failure<'a>(&'a self, event: &'a Event) -> Failure<'a> {
        let pattern = self.field.pattern.as_str();
        let cause = match &self.ask {
            Ask::Count(least) => Cause::TooFew {
                least: *least,
                value: event.counted(),
            },
            Ask::Text { of, .. } => Cause::Differs {
                pattern,
                value: of(event),
            },
            Ask::Entry { map, key, .. } => match map.of(event).map(|map| map.get(key)) {
                Some(Some(value)) => Cause::Differs { pattern, value },
                Some(None) => Cause::Absent { pattern },
                None => Cause::Unknown { pattern },
            },
            Ask::Not(_) => Cause::Matches,
            Ask::Never => Cause::Invalid { pattern },
        };
        Failure {
            field: &self.field.name,
            cause,
        }
    }
}

// === impl Map ===

impl Map {
    /// `None` if it is not known what it holds.
    fn of(self, event: &Event) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Labels => Some(&event.involved_object.labels),
            Self::Annotations => Some(&event.involved_object.annotations),
            Self::NamespaceLabels => event.namespace_labels.as_ref(),
        }
    }
}
