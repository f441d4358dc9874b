//! What there is to be, for one receiver. Pure.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use super::retention::Retention;
use super::step::{Step, encoded};
use super::{Dialect, OpenSearchConfig, policy};
use crate::yaml::{Located, Problem, Problems};

/// What there is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of everything that is made; templates have an addition to it.
    name: String,
    kind: Kind,
    /// The names of indices that hold the events, or of the data stream.
    patterns: Vec<String>,
    /// The higher, the narrower the names: where two match an index, the narrower one counts.
    precedence: usize,
    retention: Retention,
    dialect: Dialect,
    template: Value,
}

/// What holds the events.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A data stream, or one for each of what a template renders.
    Stream { one: bool },
    /// An alias of indices that are begun one after the other.
    Alias,
    /// Indices that hold so many days each.
    Dated(u32),
    /// Indices that go on for ever, and why.
    Endless(&'static str),
}

/// A request that would make something, on a server that has nothing yet.
pub struct Request {
    /// Where it is put.
    pub path: String,
    /// What is put there.
    pub body: Value,
}

/// `deploy/opensearch/index-template.json`.
#[derive(Deserialize)]
struct Shipped {
    #[serde(rename = "_meta")]
    meta: Meta,
    template: Value,
}

#[derive(Deserialize)]
struct Meta {
    description: String,
}

/// Of the templates: counts up when they change.
pub const VERSION: u64 = 1;
/// By which templates of ours are known.
pub const MANAGED_BY: &str = "kubernetes-event-exporter";
const SHIPPED: &str = include_str!("../../../../deploy/opensearch/index-template.json");
/// Templates that servers bring along have up to 200, those of `deploy/opensearch` 200.
const TEMPLATE_PRIORITY: usize = 200;
const POLICY_PRIORITY: usize = 100;

// === impl Plan ===

impl Plan {
    /// What the receiver's index, or data stream, should find. Fails for names of which nothing is known beforehand: what is
    /// made for them would be for the indices of others too.
    pub fn new(config: &OpenSearchConfig, dialect: Dialect) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let retention = problems.ok(Retention::new(config.setup.section()));
        let names = problems.ok(config.target()).map(|target| target.names());
        let (Some(retention), Some(names)) = (retention, names) else {
            return Err(problems);
        };
        let is_one = names.one().is_some();
        let kind = match names.days {
            _ if !config.data_stream.is_empty() => Kind::Stream { one: is_one },
            Some(days) => Kind::Dated(days),
            None if !is_one => Kind::Endless(
                "its indices go by no date, and no other can take their place: nothing is deleted by age",
            ),
            None if config.use_event_id => Kind::Endless(
                "with `useEventID` one index holds the latest state of every Event: nothing is deleted by age",
            ),
            None => Kind::Alias,
        };
        let stem = names.stem().trim_end_matches(['-', '_', '.']);
        if stem.is_empty() {
            let message = format!(
                "setup would be for `{}`, and so for the indices of others: begin the name with something that is the same for every event",
                names.pattern()
            );
            return Err(written(config).problem(message).into());
        }
        let name = match (names.one(), &kind) {
            (Some(name), _) => name.to_owned(),
            (None, Kind::Dated(1)) => format!("{stem}-daily"),
            (None, Kind::Dated(31)) => format!("{stem}-monthly"),
            (None, Kind::Dated(_)) => format!("{stem}-yearly"),
            (None, _) => format!("{stem}-each"),
        };
        let mut patterns = vec![names.pattern()];
        if kind == Kind::Alias {
            patterns.push(format!("{}-0*", names.pattern()));
        }
        let shipped: Shipped = serde_json::from_str(SHIPPED)
            .map_err(|error| Problem::nowhere(format!("the built-in template: {error}")))?;
        let Shipped { meta, mut template } = shipped;
        if dialect == Dialect::Elasticsearch {
            flattened(&mut template);
        }
        if config.layout().is_some() {
            without_types(&mut template, matches!(kind, Kind::Stream { .. }));
        }
        let narrowest = patterns.last().map_or("", String::as_str);
        let literal = narrowest.bytes().filter(|it| *it != b'*').count();
        Ok(Self {
            name,
            kind,
            patterns,
            precedence: 2 * literal + usize::from(is_one),
            retention,
            dialect,
            template: json!({
                "template": template,
                "version": VERSION,
                "_meta": {"managed_by": MANAGED_BY, "description": meta.description}
            }),
        })
    }

    /// What everything that is made is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of what holds the events, as Dashboards take them.
    pub fn pattern(&self) -> String {
        self.patterns.join(",")
    }

    /// Every request, in its order, on a server that has nothing yet.
    pub fn requests(&self) -> Vec<Request> {
        let steps = self.policy().into_iter().chain(self.steps(true));
        let request = |step: Step| Request {
            path: step.put,
            body: step.body,
        };
        steps.map(request).collect()
    }

    /// Why no event is ever deleted, if none is and that is not the configuration's wish.
    pub(super) fn nothing_is_deleted(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Endless(why) => Some(why),
            _ => None,
        }
    }

    /// The name that indices are to take turns in having.
    pub(super) fn alias(&self) -> Option<&str> {
        (self.kind == Kind::Alias).then_some(self.name.as_str())
    }

    /// The policy, if there is something for it to do.
    pub(super) fn policy(&self) -> Option<Step> {
        let kept = self.retention.kept;
        let policy = match self.kind {
            Kind::Endless(_) => return None,
            Kind::Dated(days) => policy::Policy::by_age(kept?.of_index(days)),
            Kind::Stream { .. } | Kind::Alias => policy::Policy::rolling(&self.retention),
        };
        // Of an alias, the indices that are made for it.
        let pattern = self.patterns.last()?;
        let name = encoded(&self.name);
        let path = match self.dialect {
            Dialect::OpenSearch => format!("_plugins/_ism/policies/{name}"),
            Dialect::Elasticsearch => format!("_ilm/policy/{name}"),
        };
        let (body, compared, governs) = match self.dialect {
            Dialect::OpenSearch => (
                policy.ism(&[pattern], POLICY_PRIORITY + self.precedence),
                ["/policy", "/policy"],
                Some(encoded(pattern)),
            ),
            Dialect::Elasticsearch => (policy.ilm(), ["/{}/policy", "/policy"], None),
        };
        Some(Step {
            what: "policy",
            name: self.name.clone(),
            look: path.clone(),
            put: path,
            body,
            found: None,
            compared: Some(compared),
            governs,
        })
    }

    /// What follows the policy, which is there if events are to be `managed` by it.
    pub(super) fn steps(&self, managed: bool) -> Vec<Step> {
        let mut steps = self.templates(managed);
        let path = encoded(&self.name);
        match self.kind {
            Kind::Stream { one: true } => {
                let path = format!("_data_stream/{path}");
                steps.push(Step {
                    found: Some("/data_streams/0"),
                    ..Step::once("data stream", &self.name, path, Value::Null)
                });
            }
            Kind::Alias if managed => {
                let body = json!({"aliases": {&self.name: {"is_write_index": true}}});
                steps.push(Step {
                    put: format!("{path}-000001"),
                    ..Step::once("alias", &self.name, format!("{path}/_alias"), body)
                });
            }
            Kind::Stream { one: false } | Kind::Alias | Kind::Dated(_) | Kind::Endless(_) => {}
        }
        steps
    }

    fn templates(&self, managed: bool) -> Vec<Step> {
        const COMPONENT: [&str; 2] = ["/component_templates/0/component_template", ""];
        const INDEX: [&str; 2] = ["/index_templates/0/index_template", ""];
        let [ours, yours] = ["default", "custom"].map(|which| format!("{}@{which}", self.name));
        let component = |name: &String, body| {
            let path = format!("_component_template/{}", encoded(name));
            Step::once("component template", name, path, body)
        };
        let custom = json!({
            "template": {},
            "_meta": {"description": format!(
                "Yours: its fields and settings come before those of {ours}. setup does not write over it."
            )}
        });
        let mut index = json!({
            "index_patterns": self.patterns,
            "priority": TEMPLATE_PRIORITY + self.precedence,
            "composed_of": [&ours, &yours],
            "version": VERSION,
            "_meta": {"managed_by": MANAGED_BY}
        });
        if let Kind::Stream { .. } = self.kind {
            index["data_stream"] = json!({});
        }
        if let Some(settings) = self.settings().filter(|_| managed) {
            index["template"] = json!({"settings": {"index": settings}});
        }
        let path = format!("_index_template/{}", encoded(&self.name));
        vec![
            Step {
                compared: Some(COMPONENT),
                ..component(&ours, self.template.clone())
            },
            component(&yours, custom),
            Step {
                compared: Some(INDEX),
                ..Step::once("index template", &self.name, path, index)
            },
        ]
    }

    /// What indices have to know of their policy. OpenSearch's finds them by itself, but for the alias.
    fn settings(&self) -> Option<Value> {
        let alias = self.alias();
        match self.dialect {
            Dialect::OpenSearch => alias.map(
                |alias| json!({"plugins": {"index_state_management": {"rollover_alias": alias}}}),
            ),
            Dialect::Elasticsearch => {
                self.policy()?;
                let mut lifecycle = json!({"name": self.name});
                if let Some(alias) = alias {
                    lifecycle["rollover_alias"] = alias.into();
                }
                Some(json!({"lifecycle": lifecycle}))
            }
        }
    }
}

// === impl Step ===

impl Step {
    /// Something that is left as it is once it is there.
    fn once(what: &'static str, name: &str, path: String, body: Value) -> Self {
        Self {
            what,
            name: name.to_owned(),
            look: path.clone(),
            put: path,
            body,
            found: None,
            compared: None,
            governs: None,
        }
    }
}

// === impl Request ===

/// As the console of Dashboards takes it.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PUT /{}", self.path)?;
        match &self.body {
            Value::Null => Ok(()),
            body => write!(f, "\n{body:#}"),
        }
    }
}

/// Where the name is given.
pub(super) fn written(config: &OpenSearchConfig) -> &Located<String> {
    let given = [&config.data_stream, &config.index_format, &config.index];
    let given = given.into_iter().find(|given| !given.is_empty());
    given.unwrap_or(&config.index)
}

/// Leaves out the types of the fields of our document: a layout has its own, under whatever names. But for the time that dashboards go
/// by, if it is one; a data stream has it anyway.
fn without_types(template: &mut Value, is_stream: bool) {
    let properties = if is_stream {
        json!({})
    } else {
        json!({"@timestamp": {"type": "date", "ignore_malformed": true}})
    };
    if let Some(there) = template.pointer_mut("/mappings/properties") {
        *there = properties;
    }
}

/// What Elasticsearch calls fields of any keys.
fn flattened(mapping: &mut Value) {
    match mapping {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == "type" && value == "flat_object" {
                    *value = "flattened".into();
                }
                flattened(value);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(flattened),
        _ => {}
    }
}
