//! One thing that there is to be: where it is looked for, what it is, how it compares.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::plan::MANAGED_BY;
use crate::sink::opensearch::host::Answer;

/// One thing that there is to be.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// What it is, for people.
    pub what: &'static str,
    /// What it is called.
    pub name: String,
    /// Where it is looked for.
    pub look: String,
    /// Where it is put.
    pub put: String,
    /// What is put there; null for nothing.
    pub body: Value,
    /// Where what is there stands in what is answered, if an answer alone does not say that it is.
    pub found: Option<&'static str>,
    /// Where it stands in what is answered, and in what is put. `None` if it is enough that it is there.
    pub compared: Option<[&'static str; 2]>,
    /// The indices that may go by it, as a part of a path: they keep what they began with until they are told.
    pub governs: Option<String>,
}

/// What a server has under a name.
pub(super) struct Existing(Value);

/// What stands in a path as it is.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'@')
    .remove(b'*')
    .remove(b',');

/// A name as a part of a path.
pub(super) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, IN_PATH).to_string()
}

// === impl Step ===

impl Step {
    /// The body of the request that makes it.
    pub fn sent(&self) -> Option<&Value> {
        Some(&self.body).filter(|body| !body.is_null())
    }

    /// Whether that was no answer of whoever keeps policies: there is none.
    pub fn lacks_plugin(&self, answer: &Answer) -> bool {
        let text = String::from_utf8_lossy(&answer.body);
        let is_unknown = text.contains("no handler found for uri")
            || text.contains("api_not_available_exception");
        self.what == "policy" && (400..=499).contains(&answer.status) && is_unknown
    }
}

// === impl Existing ===

impl Existing {
    pub fn read(body: &[u8]) -> Self {
        Self(serde_json::from_slice(body).unwrap_or_default())
    }

    /// Whether there is such a thing, and not only something else of its name: asked for a data stream, servers answer of an index
    /// that there is none, with 200.
    pub fn is_there(&self, step: &Step) -> bool {
        step.found
            .is_none_or(|found| self.0.pointer(found).is_some())
    }

    /// The first of what is to be that is not so. What it has besides is somebody's wish.
    pub fn difference(&self, step: &Step) -> Option<String> {
        let [theirs, ours] = step.compared?;
        let (theirs, ours) = (self.at(theirs, &step.name), step.body.pointer(ours)?);
        difference(theirs.unwrap_or(&Value::Null), ours, "")
    }

    /// The version of a template that an exporter of another version has made.
    pub fn version_of_ours(&self, step: &Step) -> Option<u64> {
        let [theirs, _] = step.compared?;
        let theirs = self.at(theirs, &step.name)?;
        let version = theirs.get("version")?.as_u64()?;
        let is_ours = theirs.pointer("/_meta/managed_by")? == MANAGED_BY;
        (is_ours && step.body.get("version")?.as_u64()? != version).then_some(version)
    }

    /// Where `step` is put to replace it: a policy only as the one that was read.
    pub fn put(&self, step: &Step) -> String {
        let number = |key| self.0.get(key).and_then(Value::as_u64);
        match (number("_seq_no"), number("_primary_term")) {
            (Some(at), Some(term)) => {
                format!("{}?if_seq_no={at}&if_primary_term={term}", step.put)
            }
            _ => step.put.clone(),
        }
    }

    /// `{}` in a pointer stands for a name.
    fn at(&self, pointer: &str, name: &str) -> Option<&Value> {
        match pointer.strip_prefix("/{}") {
            Some(rest) => self.0.get(name)?.pointer(rest),
            None => self.0.pointer(pointer),
        }
    }
}

/// Where `theirs` lacks something of `ours`, but for what only people read. Servers tell numbers and truths of settings as
/// texts.
fn difference(theirs: &Value, ours: &Value, at: &str) -> Option<String> {
    let is_same = match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let mut ours = ours.iter().filter(|(key, _)| *key != "description");
            return ours.find_map(|(key, ours)| {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                difference(theirs.get(key).unwrap_or(&Value::Null), ours, &at)
            });
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            let mut pairs = theirs.iter().zip(ours).enumerate();
            return pairs.find_map(|(index, (theirs, ours))| {
                difference(theirs, ours, &format!("{at}[{index}]"))
            });
        }
        // An empty section may be left out in what is told, but for the one that makes a template one for data streams.
        (Value::Null, Value::Object(ours)) => ours.is_empty() && at != "data_stream",
        _ => plain(theirs) == plain(ours),
    };
    (!is_same).then(|| at.to_owned())
}

/// The indices that have this policy, as parts of paths: of what ISM explains. Others that match have one of their own, or none.
///
/// Servers take 4 KiB of a request's first line.
pub(super) fn governed(explained: &[u8], policy: &str) -> Vec<String> {
    const MAX: usize = 3000;
    let explained: Value = serde_json::from_slice(explained).unwrap_or_default();
    let key = "index.plugins.index_state_management.policy_id";
    let indices = explained.as_object().into_iter().flatten();
    let ours = indices.filter(|(_, index)| index.get(key).is_some_and(|it| it == policy));
    let mut paths = Vec::<String>::new();
    for name in ours.map(|(name, _)| encoded(name)) {
        match paths
            .last_mut()
            .filter(|path| path.len() + name.len() < MAX)
        {
            Some(path) => {
                path.push(',');
                path.push_str(&name);
            }
            None => paths.push(name),
        }
    }
    paths
}

/// Which indices go on with the policy that they had, and why: of the answer to a change of policies, which says 200 all the same.
/// Those that have none have no part in it.
pub(super) fn not_applied(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = |index: &Value, key: &str| {
        let text = index.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let failed = answer.get("failed_indices")?.as_array()?.iter();
    let failed = failed.map(|index| (text(index, "index_name"), text(index, "reason")));
    let mut failed = failed.filter(|(_, reason)| !reason.contains("not being managed"));
    let (name, reason) = failed.next()?;
    let more = failed.count();
    let others = if more == 0 {
        String::new()
    } else {
        format!(", and {more} more")
    };
    Some(format!(
        "it is there, but {name} keeps the one that it has: {reason}{others} (once more with --overwrite)"
    ))
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
