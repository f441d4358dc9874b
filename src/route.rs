//! The tree of routes: which receivers want an event.
//!
//! The incumbent's semantics, exactly. In every [`Route`], starting at the root: if any `drop` rule matches, neither the
//! route nor those below it want the event. Else every `match` rule is tried, in order, and each that matches and names a
//! receiver delivers to it, so that a receiver named twice receives twice. The routes below are walked if every `match`
//! rule matched, of which none counts as all. What is ours: where a route has a `sample`, an event that gets past its rules
//! and is not in the sample goes no further in it; and a `throttle`, of the route or the nearest above it, goes along with
//! each delivery, to be asked by whoever makes it.
//!
//! Compiled once, when the configuration is loaded; resolving is pure. To explain is to resolve and to be told of each step.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::event::Event;
use crate::yaml::{Located, Position, Problem};

use self::explain::Seen;
pub use self::explain::{Cause, Explanation, Failure, Step, Told, Verdict};
pub use self::filter::{Filter, NoFilter};
pub use self::hits::Hits;
pub use self::lint::{Findings, lint};
pub use self::outline::Outline;
use self::rule::Rule;
pub use self::rule::RuleConfig;
pub use self::sample::Sample;
pub use self::throttle::{Throttle, ThrottleConfig};

mod explain;
mod filter;
mod hits;
mod lint;
mod outline;
pub mod pattern;
mod rule;
mod sample;
mod throttle;

/// A route as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RouteConfig {
    /// What to keep out of this route and of those below it.
    pub drop: Vec<Located<RuleConfig>>,
    /// What to deliver, and where.
    pub r#match: Vec<Located<RuleConfig>>,
    /// The share of the events that get any further once `match` has matched, by a hash of their uids: `0.1` is a tenth.
    #[cfg_attr(test, schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0)))]
    pub sample: Option<Located<f64>>,
    /// Holds back what comes too often: of each kind, receivers of this route and of those below get one event in a period.
    pub throttle: Option<Located<ThrottleConfig>>,
    /// Walked if every rule of `match` matched.
    pub routes: Vec<Located<RouteConfig>>,
}

/// A compiled route with everything below it.
#[derive(Debug)]
pub struct Route {
    drop: Vec<Rule>,
    matches: Vec<Match>,
    sample: Option<Sample>,
    routes: Vec<Route>,
    /// A rule, here or below, asks for labels of namespaces.
    reads_namespaces: bool,
    place: Place,
}

/// Where something stands in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// `route.routes[0].match[1]`
    pub path: String,
    /// Line and column.
    pub position: Position,
}

/// A receiver, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverId(pub usize);

/// A rule of a tree, in the order in which they are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleId(usize);

/// Where an event goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// In the order of delivery.
    pub receivers: Vec<ReceiverId>,
    /// What those have to be asked, by the same places; it ends with the last that has one.
    throttles: Vec<Option<Arc<Throttle>>>,
    /// The rules that matched.
    pub rules: Vec<RuleId>,
    /// Whether any route dropped it.
    pub dropped: bool,
    /// How many routes' samples left it out.
    pub sampled_out: u64,
    /// Whether labels or annotations of the involved object had a say in this.
    pub reads_object: bool,
}

#[derive(Debug)]
struct Match {
    rule: Rule,
    receiver: Option<ReceiverId>,
    throttle: Option<Arc<Throttle>>,
}

/// How deep routes may nest.
const MAX_DEPTH: usize = 64;

// === impl RouteConfig ===

impl RouteConfig {
    /// Every event to one receiver.
    pub fn all_to(receiver: &str) -> Self {
        let receiver = Located {
            value: receiver.to_owned(),
            ..Located::default()
        };
        let rule = RuleConfig {
            receiver: Some(receiver),
            ..RuleConfig::default()
        };
        let rule = Located {
            value: rule,
            ..Located::default()
        };
        Self {
            r#match: vec![rule],
            ..Self::default()
        }
    }
}

// === impl Route ===

impl Route {
    /// Compiles a tree. Receivers are known by their names, in order.
    ///
    /// What can be tolerated is added to `warnings`: a pattern that is no regular expression never matches, as with the
    /// incumbent, because such patterns are in wide use.
    pub fn compile(
        config: &RouteConfig,
        receivers: &[&str],
        warnings: &mut Vec<Problem>,
    ) -> Result<Self, Problem> {
        let names: BTreeMap<&str, ReceiverId> = receivers
            .iter()
            .enumerate()
            .map(|(at, name)| (*name, ReceiverId(at)))
            .collect();
        let mut route = Self::compile_below(config, &names, Place::default(), None, 0, warnings)?;
        route.number(&mut 0);
        Ok(route)
    }

    /// Gives its rules their ids, which follow on `next`.
    fn number(&mut self, next: &mut usize) {
        let matches = self.matches.iter_mut().map(|one| &mut one.rule);
        for rule in self.drop.iter_mut().chain(matches) {
            rule.id = RuleId(*next);
            *next += 1;
        }
        for below in &mut self.routes {
            below.number(next);
        }
    }

    /// How many rules there are, here and below.
    fn rules(&self) -> usize {
        let below: usize = self.routes.iter().map(Self::rules).sum();
        self.drop.len() + self.matches.len() + below
    }

    fn compile_below(
        config: &RouteConfig,
        receivers: &BTreeMap<&str, ReceiverId>,
        place: Place,
        throttle: Option<&Arc<Throttle>>,
        depth: usize,
        warnings: &mut Vec<Problem>,
    ) -> Result<Self, Problem> {
        if depth > MAX_DEPTH {
            return Err(Problem::nowhere(format!(
                "routes are nested more than {MAX_DEPTH} deep"
            )));
        }
        let drop = config.drop.iter();
        let drop: Vec<_> = drop.map(|rule| Rule::compile(rule, warnings)).collect();
        let own = config.throttle.as_ref().map(Throttle::compile);
        let throttle = own.transpose()?.map(Arc::new).or(throttle.cloned());
        let mut matches = Vec::new();
        for rule in &config.r#match {
            let receiver = rule
                .receiver()
                .map(|name| find(name, receivers))
                .transpose()?;
            matches.push(Match {
                rule: Rule::compile(rule, warnings),
                receiver,
                throttle: throttle.clone(),
            });
        }
        let sample = config.sample.as_ref().map(Sample::compile).transpose()?;
        let routes = config
            .routes
            .iter()
            .map(|below| {
                let (place, throttle) = (Place::of(below), throttle.as_ref());
                Self::compile_below(below, receivers, place, throttle, depth + 1, warnings)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut rules = drop.iter().chain(matches.iter().map(|one| &one.rule));
        let reads_namespaces =
            rules.any(Rule::reads_namespace) || routes.iter().any(Self::reads_namespaces);
        Ok(Self {
            drop,
            matches,
            sample,
            routes,
            reads_namespaces,
            place,
        })
    }

    /// Whether any rule asks for the labels of namespaces, so that events should have them.
    pub fn reads_namespaces(&self) -> bool {
        self.reads_namespaces
    }

    /// Where `event` goes.
    pub fn resolve(&self, event: &Event) -> Resolution {
        let mut resolution = Resolution::default();
        self.walk(event, &mut resolution, &mut |_| {});
        resolution
    }

    /// The one way through the tree. Whoever resolves looks away, which costs nothing.
    fn walk<'a>(
        &'a self,
        event: &Event,
        resolution: &mut Resolution,
        see: &mut impl FnMut(Seen<'a>),
    ) {
        for rule in &self.drop {
            resolution.reads_object |= rule.reads_object(event);
            see(Seen::Drop(rule));
            if rule.matches(event) {
                resolution.rules.push(rule.id);
                resolution.dropped = true;
                return;
            }
        }
        let left_out = self.sample.as_ref().filter(|sample| !sample.has(event));
        let (mut all, mut any) = (true, self.matches.is_empty());
        for Match {
            rule,
            receiver,
            throttle,
        } in &self.matches
        {
            let receiver = receiver.filter(|_| left_out.is_none());
            resolution.reads_object |= left_out.is_none() && rule.reads_object(event);
            see(Seen::Match(rule, receiver, throttle.as_deref()));
            if rule.matches(event) {
                any = true;
                resolution.rules.push(rule.id);
                resolution.add(receiver, throttle.as_ref());
            } else {
                all = false;
            }
        }
        if let Some(sample) = self.sample.as_ref().filter(|_| any) {
            see(Seen::Sample(sample, left_out.is_none()));
        }
        if left_out.is_some() {
            resolution.sampled_out += u64::from(any);
            return;
        }
        if !all {
            see(Seen::PassedOver(&self.routes));
            return;
        }
        for route in &self.routes {
            see(Seen::Route(route));
            route.walk(event, resolution, see);
        }
    }
}

// === impl Resolution ===

impl Resolution {
    /// What the receiver at this place has to be asked.
    pub fn throttle(&self, at: usize) -> Option<&Throttle> {
        self.throttles.get(at)?.as_deref()
    }

    fn add(&mut self, receiver: Option<ReceiverId>, throttle: Option<&Arc<Throttle>>) {
        let Some(receiver) = receiver else { return };
        if let Some(throttle) = throttle {
            self.throttles.resize(self.receivers.len(), None);
            self.throttles.push(Some(Arc::clone(throttle)));
        }
        self.receivers.push(receiver);
    }
}

// === impl Place ===

impl Place {
    fn of<T>(located: &Located<T>) -> Self {
        Self {
            path: located.path.clone(),
            position: located.position,
        }
    }
}

fn find(
    name: &Located<String>,
    receivers: &BTreeMap<&str, ReceiverId>,
) -> Result<ReceiverId, Problem> {
    receivers.get(name.value.as_str()).copied().ok_or_else(|| {
        unknown(
            name,
            crate::yaml::nearest(&name.value, receivers.keys().copied()),
        )
    })
}

fn unknown(name: &Located<String>, nearest: Option<&str>) -> Problem {
    let hint = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "add it under `receivers`".to_owned(),
    };
    name.problem(format!("there is no receiver `{}`; {hint}", name.shown()))
}

#[cfg(test)]
mod tests;
