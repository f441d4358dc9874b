//! Keys of the incumbent's forks and of changes that were proposed to it.
//!
//! One whose meaning we keep is mapped, with a warning that says onto what. One without effect here is a warning that says
//! why it is not needed. One that would change what is delivered, if it were ignored, is an error with the way to do it
//! here. None of the messages shows a value: it may come from the environment.

use serde::Deserialize;

use crate::route::{RouteConfig, RuleConfig};
use crate::yaml::{Located, Problem, Value};

/// Top-level keys that the incumbent itself does not have.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// `reportUpdates` (proposed), `processUpdateEvent`, `sentUpdateEvent`, `watchUpdate` (forks).
    pub updates: [Option<Located<bool>>; 4],
    /// `clusterEnvironment`: a field of every document.
    pub cluster_environment: Option<Located<String>>,
    /// `watchReasons`: no other reasons are watched.
    pub watch_reasons: Option<Located<Reasons>>,
    /// `reasonAllowlist`
    pub reason_allowlist: Option<Located<Value>>,
    /// `fieldSelector`: as the API server understands it.
    pub field_selector: Option<Located<String>>,
    /// `cacheTTL`, `mappingCacheSize`: of lookups.
    pub caches: [Option<Located<Value>>; 2],
}

/// Names, not patterns.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Reasons(Vec<String>);

/// A part of a field selector.
struct Requirement<'a> {
    field: &'a str,
    equal: bool,
    value: &'a str,
}

const REPEATS: &str = "updates are always exported, so this can't be false: leave it out, and to keep repeats out, put `drop: [{minCount: 2}]` under `route`";

// === impl Foreign ===

impl Foreign {
    /// Tells of what is there, and adds to `route` what it stands for.
    pub fn apply(
        &self,
        route: &mut RouteConfig,
        errors: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) {
        for updates in self.updates.iter().flatten() {
            if updates.value {
                warnings
                    .push(updates.problem("not needed: updates are always exported; leave it out"));
            } else {
                errors.push(updates.problem(REPEATS));
            }
        }
        if let Some(environment) = &self.cluster_environment
            && !environment.value.is_empty()
        {
            errors.push(environment.problem(
                "documents have no such field here: put it into `clusterName`, or give each receiver a `layout` that has it",
            ));
        }
        for cache in self.caches.iter().flatten() {
            warnings.push(cache.problem(
                "not needed: it tunes lookups of that fork and changes nothing here; leave it out",
            ));
        }
        if let Some(list) = &self.reason_allowlist
            && !matches!(&list.value, Value::List(names) if names.is_empty())
        {
            errors.push(list.problem(
                "not supported: to keep every other reason out, put `drop: [{not: {reason: \"^(First|Second)$\"}}]` under `route`",
            ));
        }
        if let Some(reasons) = &self.watch_reasons
            && !reasons.value.0.is_empty()
        {
            let names: Vec<String> = reasons.value.0.iter().map(|name| quoted(name)).collect();
            let mut only = RuleConfig::default();
            only.reason.value = format!("^({})$", names.join("|"));
            prepend(route, vec![except(only)]);
            warnings.push(reasons.problem(
                "taken for a rule that drops every other reason: put `drop: [{not: {reason: \"^(First|Second)$\"}}]` under `route` instead",
            ));
        }
        if let Some(selector) = &self.field_selector {
            match select(selector) {
                Ok(rules) if rules.is_empty() => {}
                Ok(rules) => {
                    prepend(route, rules);
                    warnings.push(selector.problem(
                        "taken for rules that drop what it does not select: for `reason=A,type!=B`, put `drop: [{not: {reason: \"^A$\"}}, {type: \"^B$\"}]` under `route` instead",
                    ));
                }
                Err(problem) => errors.push(problem),
            }
        }
    }
}

fn prepend(route: &mut RouteConfig, rules: Vec<RuleConfig>) {
    let located = |value| Located {
        value,
        ..Located::default()
    };
    route.drop.splice(0..0, rules.into_iter().map(located));
}

/// A rule that matches what `rule` does not.
fn except(rule: RuleConfig) -> RuleConfig {
    RuleConfig {
        not: Some(Box::new(Located {
            value: rule,
            ..Located::default()
        })),
        ..RuleConfig::default()
    }
}

/// A pattern that matches `text` as it stands.
fn quoted(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

fn whole(text: &str) -> Located<String> {
    Located {
        value: format!("^{}$", quoted(text)),
        ..Located::default()
    }
}

/// The rules that drop what a field selector does not select.
fn select(selector: &Located<String>) -> Result<Vec<RuleConfig>, Problem> {
    let mut rules = Vec::new();
    for part in selector.value.split(',').filter(|part| !part.is_empty()) {
        let Some(requirement) = requirement(part) else {
            return Err(selector.problem(
                "this is no field selector that can be understood: put rules under `drop` of `route` instead",
            ));
        };
        let Requirement {
            field,
            equal,
            value,
        } = requirement;
        if field == "source" {
            rules.extend(source(equal, value));
            continue;
        }
        let mut rule = RuleConfig::default();
        let pattern = match field {
            "involvedObject.kind" => &mut rule.kind,
            "involvedObject.name" => &mut rule.name,
            "involvedObject.apiVersion" => &mut rule.api_version,
            "metadata.namespace" => &mut rule.namespace,
            "reason" => &mut rule.reason,
            "type" => &mut rule.r#type,
            "reportingComponent" => &mut rule.reporting_component,
            _ => {
                return Err(selector.problem(
                    "it selects by a field that no rule can test; rules test involvedObject.{kind,name,apiVersion}, metadata.namespace, reason, type, source and reportingComponent",
                ));
            }
        };
        *pattern = whole(value);
        rules.push(if equal { except(rule) } else { rule });
    }
    Ok(rules)
}

/// `a=b`, `a==b`, `a!=b`. Escapes are nothing that the fields of an Event call for.
fn requirement(part: &str) -> Option<Requirement<'_>> {
    let (field, value) = part.split_once('=')?;
    let (field, equal) = match field.strip_suffix('!') {
        Some(field) => (field, false),
        None => (field, true),
    };
    let value = match value.strip_prefix('=') {
        Some(value) if equal => value,
        _ => value,
    };
    let legal = !field.is_empty() && !value.contains(['\\', '=', '!']);
    legal.then_some(Requirement {
        field: field.trim(),
        equal,
        value,
    })
}

/// What the API server calls an Event's source: its component, or where that is empty the reporting one.
fn source(equal: bool, value: &str) -> [RuleConfig; 2] {
    let component = RuleConfig {
        component: whole(value),
        ..RuleConfig::default()
    };
    let reporting = RuleConfig {
        reporting_component: whole(value),
        ..RuleConfig::default()
    };
    let empty = whole("");
    if equal {
        let any = Located {
            value: ".".to_owned(),
            ..Located::default()
        };
        return [
            RuleConfig {
                component: any,
                ..except(component)
            },
            RuleConfig {
                component: empty,
                ..except(reporting)
            },
        ];
    }
    let reporting = RuleConfig {
        component: empty,
        ..reporting
    };
    [component, reporting]
}
