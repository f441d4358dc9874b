//! What is odd about a tree of routes: it can be run, and does something else than whoever wrote it believes.
//!
//! Only what is certain is told. What the patterns of a route can and cannot match together is asked of texts that one of
//! them names in full (`^Pod$`), and of the two types that Events have.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern::Pattern;
use super::rule::Rule;
use super::sample::Sample;
use super::throttle::Throttle;
use super::{RouteConfig, RuleConfig, unknown};
use crate::yaml::{Located, Problem, nearest};

/// What is found in a tree of routes.
#[derive(Debug, Default)]
pub struct Findings {
    /// Receivers that are named and not there.
    pub unknown: Vec<Problem>,
    /// What else can't be run.
    pub errors: Vec<Problem>,
    /// What is odd.
    pub warnings: Vec<Problem>,
}

/// The types that recorders give their Events.
const TYPES: [&str; 2] = ["Normal", "Warning"];

struct Lint<'a> {
    /// Whether labels and annotations of involved objects are known.
    looks_up: bool,
    receivers: BTreeSet<&'a str>,
    findings: Findings,
    /// Those that a rule under `match` names.
    named: BTreeSet<&'a str>,
    /// Those that are named where it means nothing, and on which line.
    in_vain: BTreeMap<&'a str, usize>,
    /// Those that a name which is none is likely to mean.
    misspelt: BTreeSet<&'a str>,
}

/// Looks at `route` and everything below it. Receivers are known by their names; each is expected to be named by a rule. If
/// nobody `looks_up` involved objects, rules on their labels never match.
pub fn lint(
    route: &Located<RouteConfig>,
    receivers: &[&Located<String>],
    looks_up: bool,
) -> Findings {
    let mut lint = Lint {
        looks_up,
        receivers: receivers.iter().map(|name| name.value.as_str()).collect(),
        findings: Findings::default(),
        named: BTreeSet::new(),
        in_vain: BTreeMap::new(),
        misspelt: BTreeSet::new(),
    };
    lint.route(route, false);
    lint.unreachable(receivers);
    lint.findings
}

// === impl Lint ===

impl<'a> Lint<'a> {
    /// `barren` if it is told already that nothing comes of this route.
    fn route(&mut self, route: &'a Located<RouteConfig>, mut barren: bool) {
        for rule in &route.drop {
            self.rule(rule);
            self.keeps_out(rule, "under `drop`");
            if rule.is_empty() && !barren {
                barren = true;
                self.warn(
                    rule,
                    "a rule without fields matches every event: under `drop` it keeps all of them out of this route and of those below",
                );
            }
        }
        for rule in &route.r#match {
            self.rule(rule);
            if let Some(name) = rule.receiver() {
                self.receiver(name);
            }
        }
        let sample = route.sample.as_ref().map(Sample::compile);
        self.findings.errors.extend(sample.and_then(Result::err));
        let throttle = route.throttle.as_ref().map(Throttle::compile);
        self.findings.errors.extend(throttle.and_then(Result::err));
        self.twice(route);
        if !barren && !delivers(route) {
            barren = true;
            self.warn(
                route,
                "nothing is delivered here: no rule under `match`, of this route or of those below, names a `receiver`",
            );
        }
        if !barren {
            if route.routes.is_empty() {
                self.idle(route);
            } else {
                self.walked(route);
            }
        }
        for below in &route.routes {
            self.route(below, barren);
        }
    }

    /// What is odd about one rule by itself.
    fn rule(&mut self, rule: &'a Located<RuleConfig>) {
        // It says which patterns never match.
        Rule::compile(rule, &mut self.findings.warnings);
        self.types(rule);
        let of_object = rule.labels.values().chain(rule.annotations.values()).next();
        if let Some(pattern) = of_object.filter(|_| !self.looks_up) {
            self.warn(
                pattern,
                "never matches: with `omitLookup: true` nobody asks for the labels and annotations of involved objects",
            );
        }
        let mut inner = rule.not.as_deref();
        while let Some(not) = inner {
            self.keeps_out(not, "under `not`");
            self.types(not);
            if not.is_empty() {
                self.warn(
                    not,
                    "a rule without fields matches every event: under `not` it makes that the rule around it never matches",
                );
            }
            inner = not.not.as_deref();
        }
    }

    /// `type: warning` is a slip that costs every event.
    fn types(&mut self, rule: &Located<RuleConfig>) {
        let text = &rule.r#type;
        let Ok(pattern) = Pattern::new(&text.value) else {
            return;
        };
        if TYPES.iter().any(|name| pattern.is_match(name)) {
            return;
        }
        let Ok(in_any_case) = Pattern::new(&format!("(?i){}", text.value)) else {
            return;
        };
        if let Some(name) = TYPES.iter().find(|name| in_any_case.is_match(name)) {
            self.warn(
                text,
                format!(
                    "`{}` matches no event: patterns are case-sensitive, and the type is `{name}`",
                    text.shown()
                ),
            );
        }
    }

    /// A rule that keeps events out and names a receiver all the same.
    fn keeps_out(&mut self, rule: &'a Located<RuleConfig>, place: &str) {
        if let Some(name) = rule.receiver() {
            self.in_vain.insert(&name.value, name.position.line);
            self.warn(
                name,
                format!(
                    "`receiver` means nothing {place}: such a rule only keeps events out; to deliver to `{}`, name it in a rule under `match`",
                    name.value
                ),
            );
        }
    }

    fn receiver(&mut self, name: &'a Located<String>) {
        if self.receivers.contains(name.value.as_str()) {
            self.named.insert(&name.value);
            return;
        }
        let near = nearest(&name.value, self.receivers.iter().copied());
        self.misspelt.extend(near);
        self.findings.unknown.push(unknown(name, near));
    }

    /// A rule without fields takes every event, and each rule that matches delivers: another one for the same receiver
    /// makes it get events twice.
    fn twice(&mut self, route: &'a Located<RouteConfig>) {
        let mut all: BTreeMap<&str, &Located<RuleConfig>> = BTreeMap::new();
        for rule in route.r#match.iter().filter(|rule| rule.is_empty()) {
            if let Some(name) = rule.receiver() {
                all.entry(&name.value).or_insert(rule);
            }
        }
        for rule in &route.r#match {
            let Some(name) = rule.receiver() else {
                continue;
            };
            if let Some(first) = all.get(name.value.as_str())
                && first.position != rule.position
                && !never_matches(rule)
            {
                self.warn(
                    name,
                    format!(
                        "`{}` gets every event that matches here twice: each rule that matches delivers, and the one on line {} matches every event",
                        name.value, first.position.line
                    ),
                );
            }
        }
    }

    /// A rule is no filter for the ones beside it, though it looks like one.
    fn idle(&mut self, route: &'a Located<RouteConfig>) {
        for rule in &route.r#match {
            if rule.receiver().is_none() {
                self.warn(
                    rule,
                    "this rule does nothing: it names no `receiver`, and there are no `routes` below that have to wait for it; rules of one `match` don't restrict each other",
                );
            }
        }
    }

    /// Whether the routes below can be walked at all.
    fn walked(&mut self, route: &'a Located<RouteConfig>) {
        let never = route.r#match.iter().find(|rule| never_matches(rule));
        let why = match never {
            Some(rule) => Some(format!(
                "the rule on line {} never does",
                rule.position.line
            )),
            None => contradiction(&route.r#match).map(|(a, b, key)| {
                format!(
                    "no event has a `{key}` that pleases both the rule on line {} and that on line {}",
                    a.position.line, b.position.line
                )
            }),
        };
        if let (Some(why), Some(first)) = (why, route.routes.first()) {
            self.warn(
                first,
                format!("never walked: every rule under `match` beside `routes` would have to match, and {why}; make them routes of their own"),
            );
        }
    }

    fn unreachable(&mut self, receivers: &[&Located<String>]) {
        for name in receivers {
            let text = name.value.as_str();
            if self.named.contains(text) || self.misspelt.contains(text) {
                continue;
            }
            let hint = match self.in_vain.get(text) {
                Some(line) => format!("line {line} names it where that means nothing"),
                None => format!("add `- receiver: {text}` to a `match`"),
            };
            self.warn(
                name,
                format!("no rule delivers to the receiver `{text}`: it gets nothing; {hint}"),
            );
        }
    }

    fn warn<T>(&mut self, at: &Located<T>, message: impl Into<String>) {
        self.findings.warnings.push(at.problem(message));
    }
}

/// Whether any rule in it names a receiver.
fn delivers(route: &RouteConfig) -> bool {
    route.r#match.iter().any(|rule| rule.receiver().is_some())
        || route.routes.iter().any(|below| delivers(below))
}

fn never_matches(rule: &RuleConfig) -> bool {
    rule.patterns()
        .any(|pattern| Pattern::new(&pattern.value).is_err())
        || rule.not.as_ref().is_some_and(|not| not.is_empty())
}

/// Two rules that no event can match, in their order, and the key that they disagree on.
fn contradiction(
    rules: &[Located<RuleConfig>],
) -> Option<(&Located<RuleConfig>, &Located<RuleConfig>, &'static str)> {
    let mut asked: BTreeMap<&'static str, Vec<(&Located<RuleConfig>, Pattern)>> = BTreeMap::new();
    for rule in rules {
        for (key, pattern, _) in rule.texts() {
            if let Ok(pattern) = Pattern::new(&pattern.value) {
                asked.entry(key).or_default().push((rule, pattern));
            }
        }
    }
    asked.into_iter().find_map(|(key, patterns)| {
        let (a, b) = exclusive(key, &patterns)?;
        let in_order = a.position <= b.position;
        Some(if in_order { (a, b, key) } else { (b, a, key) })
    })
}

/// Two of the patterns that nothing matches both of: one names its text in full, or each asks for another type.
fn exclusive<'a>(
    key: &str,
    patterns: &[(&'a Located<RuleConfig>, Pattern)],
) -> Option<(&'a Located<RuleConfig>, &'a Located<RuleConfig>)> {
    let exact = patterns
        .iter()
        .find_map(|(rule, pattern)| Some((rule, pattern.exact()?)));
    if let Some((rule, text)) = exact {
        let other = patterns.iter().find(|(_, other)| !other.is_match(text));
        return other.map(|(other, _)| (*rule, *other));
    }
    if key != "type" {
        return None;
    }
    let only = |wanted: [bool; 2]| {
        let types = |pattern: &Pattern| TYPES.map(|name| pattern.is_match(name));
        let found = patterns.iter().find(|(_, other)| types(other) == wanted);
        found.map(|(rule, _)| *rule)
    };
    Some((only([true, false])?, only([false, true])?))
}

#[cfg(test)]
mod tests;
