//! Tells which parts of a configuration have changed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;
use serde_json::Value;

use crate::yaml;

/// What the parts of a configuration come to, whatever their layout in the file. It holds no secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprints {
    /// By the receiver's name.
    pub receivers: BTreeMap<String, u64>,
    /// Of the routes.
    pub route: u64,
    /// By the key at the top of the file, but for `route` and `receivers`.
    pub settings: BTreeMap<String, u64>,
}

/// What receivers are called, as the loader reads it: to it `1.50` is a name, and one receiver a list.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    receivers: Vec<Name>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    name: String,
}

// === impl Fingerprints ===

impl Fingerprints {
    /// Those of a text that can be read as a configuration.
    pub fn of(text: &str, env: yaml::Environment<'_>) -> Self {
        let reading = yaml::read::<Value>(text, env, &|_, _| None);
        let names = yaml::read::<Names>(text, env, &|_, _| None);
        let names = names.value.unwrap_or_default();
        let mut fingerprints = Self::default();
        let Some(Value::Object(keys)) = reading.value else {
            return fingerprints;
        };
        for (key, value) in keys {
            match (key.as_str(), value) {
                ("route", value) => fingerprints.route = hash(&value),
                ("receivers", value) => {
                    let receivers = match value {
                        Value::Array(receivers) => receivers,
                        one => vec![one],
                    };
                    let names = names.receivers.iter().map(|it| it.name.clone());
                    let hashes = receivers.iter().map(hash);
                    fingerprints.receivers.extend(names.zip(hashes));
                }
                (_, value) => {
                    fingerprints.settings.insert(key, hash(&value));
                }
            }
        }
        fingerprints
    }

    /// The keys at the top that differ.
    pub fn changed_settings<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let keys = self.settings.keys().chain(other.settings.keys());
        let changed = keys.filter(|key| self.settings.get(*key) != other.settings.get(*key));
        let mut changed: Vec<&str> = changed.map(String::as_str).collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

/// Maps are in the order of their keys, so that of the file has no say.
fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_differs() {
        let of =
            |text: &str| Fingerprints::of(text, &|name| (name == "P").then(|| "secret".to_owned()));
        let before = of(
            "logLevel: info\nroute: {}\nreceivers:\n- {name: a, stdout: {}}\n- {name: b, webhook: {endpoint: x, password: $P}}",
        );
        let same = of(
            "receivers: # moved\n- webhook:\n    password: secret\n    endpoint: x\n  name: b\n- {name: a, stdout: {}}\nlogLevel: info\nroute: {}",
        );
        assert_eq!(before, same);
        let numbers = of("receivers: [{name: 8080, stdout: {}}]");
        assert!(numbers.receivers.contains_key("8080"), "{numbers:?}");
        let one = |layout: &str| {
            of(&format!(
                "receivers: {{name: 1.50, stdout: {{layout: {layout}}}}}"
            ))
        };
        assert_ne!(one("a").receivers["1.50"], one("b").receivers["1.50"]);
        let after = of(
            "logLevel: debug\nnamespace: x\nroute: {match: [{receiver: a}]}\nreceivers: [{name: a, stdout: {}}, {name: b, webhook: {endpoint: y, password: $P}}]",
        );
        assert_ne!(before.route, after.route);
        assert_eq!(before.receivers["a"], after.receivers["a"]);
        assert_ne!(before.receivers["b"], after.receivers["b"]);
        assert_eq!(before.changed_settings(&after), ["logLevel", "namespace"]);
    }
}
