//! Receivers that would make the same thing, each in its own way.

use super::plan::{Plan, written};
use super::step::Step;
use super::{Dialect, OpenSearchConfig, parse_host};
use crate::yaml::Problem;

/// A receiver whose events need something.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// What the receiver is called.
    pub name: &'a str,
    /// Where it writes to.
    pub config: &'a OpenSearchConfig,
    /// Whose server that is.
    pub dialect: Dialect,
}

/// What every two of these would each make in its own way on the same server, where each would find that of the other:
/// told where the second stands.
pub fn contests(parties: &[Party<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, second) in parties.iter().enumerate() {
        problems.extend(
            parties[..at]
                .iter()
                .filter_map(|first| second.contest(first)),
        );
    }
    problems
}

// === impl Party ===

impl Party<'_> {
    fn contest(&self, other: &Self) -> Option<Problem> {
        if !self.is_beside(other) {
            return None;
        }
        let (ours, theirs) = (self.steps()?, other.steps()?);
        let contested = ours.iter().find(|our| {
            let same = theirs.iter().find(|their| their.put == our.put);
            same.is_some_and(|their| their.body != our.body)
        })?;
        let Step { what, name, .. } = contested;
        Some(written(self.config).problem(format!(
            "setup would make the {what} `{name}` for this receiver in another way than for `{}`: give both the same `setup`, or let one write \
             to another name",
            other.name
        )))
    }

    /// Everything there is to be; nothing for what is no configuration, which is told elsewhere.
    fn steps(&self) -> Option<Vec<Step>> {
        let plan = Plan::new(self.config, self.dialect).ok()?;
        Some(plan.policy().into_iter().chain(plan.steps(true)).collect())
    }

    /// Whether both write to one server, as far as their configurations tell.
    fn is_beside(&self, other: &Self) -> bool {
        let origins = |config: &OpenSearchConfig| {
            let hosts = config.hosts.iter();
            let origins = hosts.filter_map(|host| Some(parse_host(host).ok()?.origin()));
            origins.collect::<Vec<_>>()
        };
        let (ours, theirs) = (origins(self.config), origins(other.config));
        let both_elsewhere = ours.is_empty() && theirs.is_empty();
        ours.iter().any(|our| theirs.contains(our))
            || both_elsewhere && self.config.cloud_id.value == other.config.cloud_id.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(first: &str, second: &str) -> Vec<String> {
        let [first, second] = [first, second].map(|text| {
            crate::yaml::parse::<OpenSearchConfig>(text, &|_| None)
                .unwrap()
                .value
        });
        let party = |name, config| Party {
            name,
            config,
            dialect: Dialect::OpenSearch,
        };
        let problems = contests(&[party("first", &first), party("second", &second)]);
        problems
            .into_iter()
            .map(|problem| problem.message)
            .collect()
    }

    #[test]
    fn what_two_receivers_would_make_differently_is_told() {
        let host = "hosts: [\"https://a:9200\"]\n";
        let week = format!("{host}dataStream: kube-events\nsetup: {{retention: 7d}}");
        let month = "hosts: [\"https://u:p@a:9200/\", \"https://b:9200\"]\ndataStream: kube-events\nsetup: true".to_owned();
        let daily = format!("{host}indexFormat: \"kube-events-{{2006.01.02}}\"");
        let named_alike = format!("{host}dataStream: kube-events-daily");
        for (first, second, what) in [
            (&week, &month, "policy `kube-events`"),
            (&daily, &named_alike, "policy `kube-events-daily`"),
        ] {
            let told = told(first, second);
            let expected = format!(
                "setup would make the {what} for this receiver in another way than for `first`"
            );
            assert!(
                told.len() == 1 && told[0].starts_with(&expected),
                "{told:?}"
            );
        }
        let elsewhere = week.replace("//a:", "//b:");
        let other = format!("{host}dataStream: other");
        for second in [&elsewhere, &other, &week] {
            assert_eq!(told(&week, second), [""; 0], "{second}");
        }
        // The environment says where.
        let (week, month) = (week.replace(host, ""), "dataStream: kube-events");
        assert_eq!(told(&week, month).len(), 1);
    }
}
