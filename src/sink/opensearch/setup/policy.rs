//! Policies, in the words of OpenSearch (ISM) and of Elasticsearch (ILM).

use serde_json::{Value, json};

use super::plan::MANAGED_BY;
use super::retention::{Age, Retention};

/// What becomes of an index as it gets older.
pub(super) struct Policy<'a> {
    /// When another one takes its place.
    rollover: Option<&'a Retention>,
    /// When it is deleted, counted from then on, or from its beginning.
    deleted: Option<Age>,
}

// === impl Policy ===

impl<'a> Policy<'a> {
    /// Deletes what has this age.
    pub fn by_age(age: Age) -> Self {
        Self {
            rollover: None,
            deleted: Some(age),
        }
    }

    /// Begins a new index when one has enough, and deletes those that are no longer written to.
    pub fn rolling(retention: &'a Retention) -> Self {
        Self {
            rollover: Some(retention),
            deleted: retention.kept,
        }
    }

    fn description(&self) -> String {
        let deleted = match self.deleted {
            Some(age) => format!("deleted after {age}"),
            None => "kept".to_owned(),
        };
        match self.rollover {
            None => format!("Indices of events are {deleted}."),
            Some(Retention {
                max_age, max_size, ..
            }) => format!(
                "Events go into a new index after {max_age}, or at {max_size}; those before it are {deleted}."
            ),
        }
    }

    /// For indices, and data streams, that match.
    pub fn ism(&self, patterns: &[&str], priority: usize) -> Value {
        let retry = json!({"count": 3, "backoff": "exponential", "delay": "1m"});
        let (name, actions, condition) = match self.rollover {
            None => ("kept", json!([]), "min_index_age"),
            Some(Retention {
                max_age, max_size, ..
            }) => {
                let enough = json!({
                    "min_index_age": max_age.to_string(), "min_primary_shard_size": max_size
                });
                let actions = json!([{"retry": retry, "rollover": enough}]);
                ("written", actions, "min_rollover_age")
            }
        };
        let mut states = vec![json!({"name": name, "actions": actions, "transitions": []})];
        if let Some(age) = self.deleted {
            states[0]["transitions"] = json!([
                {"state_name": "deleted", "conditions": {condition: age.to_string()}}
            ]);
            let delete = json!([{"retry": retry, "delete": {}}]);
            states.push(json!({"name": "deleted", "actions": delete, "transitions": []}));
        }
        json!({"policy": {
            "description": self.description(),
            "default_state": name,
            "states": states,
            "ism_template": [{"index_patterns": patterns, "priority": priority}]
        }})
    }

    /// For indices whose settings name it.
    pub fn ilm(&self) -> Value {
        let mut phases = json!({});
        if let Some(Retention {
            max_age, max_size, ..
        }) = self.rollover
        {
            let enough =
                json!({"max_age": max_age.to_string(), "max_primary_shard_size": max_size});
            phases["hot"] = json!({"actions": {"rollover": enough}});
        }
        if let Some(age) = self.deleted {
            phases["delete"] = json!({"min_age": age.to_string(), "actions": {"delete": {}}});
        }
        json!({"policy": {
            "phases": phases,
            "_meta": {"managed_by": MANAGED_BY, "description": self.description()}
        }})
    }
}
