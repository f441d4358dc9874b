//! What passes by a receiver while it is parked, and what of that a catch-up finds: the rest the API server has forgotten.
//!
//! Only what comes by a watch is counted. A list may come again, and has only the last version of what was written several
//! times: a version of it that is not found later need not have expired. So what is found is counted only where a watch had it.

use std::collections::BTreeSet;

use crate::mark::{Mark, Origin};

/// What a receiver has missed of one watch.
#[derive(Debug, Default)]
pub(super) struct Missed {
    runs: Vec<Run>,
    /// What passed by last. It may do so twice, since two rules may name the receiver.
    last: Option<Mark>,
    /// What the catch-up has found and the router has not come to. Few: a catch-up that is past the router ends.
    ahead: BTreeSet<Mark>,
    /// The receiver is back; the router may still come to what it has had.
    pub returning: bool,
}

/// What has passed by without a list in between.
#[derive(Debug)]
struct Run {
    /// See [`Origin::watched_since`].
    since: Mark,
    first: Mark,
    last: Mark,
    events: u64,
    found: u64,
}

/// There is one more for each list. The oldest become one, where there are more than this: what was found of the list between them
/// counts then.
const MAX_RUNS: usize = 64;

// === impl Missed ===

impl Missed {
    /// The router has come to an event that the receiver doesn't get of it.
    pub fn pass_by(&mut self, origin: Origin) {
        let version = origin.version;
        let again = self.last.replace(version) == Some(version);
        if again || self.ahead.remove(&version) {
            return;
        }
        let Some(since) = origin.watched_since else {
            return;
        };
        let runs = &mut self.runs;
        let at = runs.iter().rposition(|run| run.since == since);
        let at = at.unwrap_or_else(|| {
            runs.push(Run::new(since, version));
            runs.len() - 1
        });
        runs[at].pass_by(version);
        if runs.len() > MAX_RUNS {
            let oldest = runs.remove(0);
            runs[0].absorb(&oldest);
        }
    }

    /// The catch-up has found an event, which the router `has_routed` or not.
    pub fn found(&mut self, version: Mark, has_routed: bool) {
        if !has_routed && self.last != Some(version) {
            self.ahead.insert(version);
            return;
        }
        let mut runs = self.runs.iter_mut();
        if let Some(run) = runs.find(|run| run.has(version)) {
            run.found += 1;
        }
    }

    /// How many events have passed by and were not found.
    pub fn events(&self) -> u64 {
        let runs = self.runs.iter();
        runs.map(|run| run.events.saturating_sub(run.found)).sum()
    }

    /// What has passed by so far can't be compared with what will be found.
    pub fn forget(&mut self) {
        self.runs.clear();
    }

    /// Nothing of another history can be found in this one.
    pub fn keep_to(&mut self, history: u32) {
        self.runs.retain(|run| run.since.history == history);
    }
}

// === impl Run ===

impl Run {
    fn new(since: Mark, version: Mark) -> Self {
        Self {
            since,
            first: version,
            last: version,
            events: 0,
            found: 0,
        }
    }

    /// Those that have waited for lookups come late.
    fn pass_by(&mut self, version: Mark) {
        self.first = self.first.min(version);
        self.last = self.last.max(version);
        self.events += 1;
    }

    fn has(&self, version: Mark) -> bool {
        (self.first..=self.last).contains(&version)
    }

    fn absorb(&mut self, older: &Self) {
        self.first = self.first.min(older.first);
        self.events += older.events;
        self.found += older.found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: u64) -> Mark {
        Mark {
            history: 0,
            version,
        }
    }

    /// What a watch, open since a version, has passed by.
    fn watched(missed: &mut Missed, since: u64, versions: impl IntoIterator<Item = u64>) {
        for version in versions {
            missed.pass_by(Origin {
                version: at(version),
                watched_since: Some(at(since)),
                ..Origin::default()
            });
        }
    }

    fn listed(missed: &mut Missed, versions: impl IntoIterator<Item = u64>) {
        for version in versions {
            missed.pass_by(Origin {
                version: at(version),
                ..Origin::default()
            });
        }
    }

    #[test]
    fn what_is_found_of_a_list_hides_nothing_that_the_watch_had() {
        let mut missed = Missed::default();
        listed(&mut missed, [3, 9, 5]);
        watched(&mut missed, 10, [11, 13, 12]);
        listed(&mut missed, [25, 21]);
        watched(&mut missed, 30, [31]);
        for version in [3, 5, 9, 21, 25, 31] {
            missed.found(at(version), true);
        }
        assert_eq!(missed.events(), 3, "11 to 13");
        missed.found(at(12), true);
        assert_eq!(missed.events(), 2);
    }

    #[test]
    fn what_passes_by_twice_is_missed_once() {
        let mut missed = Missed::default();
        watched(&mut missed, 10, [11, 11, 12, 12]);
        missed.found(at(11), true);
        assert_eq!(missed.events(), 1, "12");
    }

    #[test]
    fn what_is_found_first_is_not_missed_however_it_comes() {
        let mut missed = Missed::default();
        watched(&mut missed, 10, [11, 14]);
        // It waits for a lookup; two are in a list; one is being offered, and has passed by already.
        for version in [13, 15, 16] {
            missed.found(at(version), false);
        }
        missed.found(at(14), false);
        watched(&mut missed, 10, [13, 13, 12]);
        listed(&mut missed, [15, 16]);
        assert_eq!(missed.events(), 2, "11 and 12");
    }

    #[test]
    fn what_was_missed_of_another_history_is_not_looked_for() {
        let mut missed = Missed::default();
        watched(&mut missed, 10, [11, 12]);
        missed.pass_by(Origin {
            version: Mark {
                history: 1,
                version: 5,
            },
            watched_since: Some(Mark {
                history: 1,
                version: 4,
            }),
            ..Origin::default()
        });
        missed.keep_to(1);
        assert_eq!(missed.events(), 1);
    }

    #[test]
    fn what_is_known_of_the_watch_is_bounded() {
        let mut missed = Missed::default();
        for run in 1..1000 {
            watched(&mut missed, 10 * run, [10 * run + 1]);
        }
        assert_eq!((missed.runs.len(), missed.events()), (MAX_RUNS, 999));
        for run in 1..1000 {
            missed.found(at(10 * run + 1), true);
        }
        assert_eq!(missed.events(), 0);
    }
}
