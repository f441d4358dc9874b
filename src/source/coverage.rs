//! Whether everything that happened was read: some watch went on all the time, or what happened meanwhile was listed before it expired.

use std::time::Duration;

use crate::event::Time;

/// What is written in a shorter time is listed, unless `--event-ttl` is shorter than this; it is an hour by default.
const SHORTEST_TTL: Duration = Duration::from_mins(5);

/// So soon a watch says that its version has expired; one that is open for longer goes on from it.
const EXPIRES_WITHIN: Duration = Duration::from_secs(10);

/// What is known of it.
pub(super) struct Coverage {
    /// Since when no watch is open that is known to go on from where the one before was, if none is.
    unwatched_since: Option<Time>,
    /// When a watch was opened, if it has neither failed nor been closed from here since.
    open_since: Option<Time>,
    /// When the last list began.
    listing_since: Time,
    /// Some receiver has had something of the last list: nothing can have expired that nobody has seen.
    had_by_some: bool,
}

/// What may have expired unseen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gap {
    /// By a receiver that was behind the others.
    OfOne,
    /// By all of them, since then.
    OfAll(Time),
}

// === impl Coverage ===

impl Coverage {
    /// No watch was open since then, if that is known.
    pub(super) fn new(unwatched_since: Option<Time>) -> Self {
        Self {
            unwatched_since,
            open_since: None,
            listing_since: Time::EPOCH,
            had_by_some: false,
        }
    }

    /// A watch was closed or has failed, and what it was to bring next will have to be found again.
    pub(super) fn interrupted(&mut self, now: Time) {
        if self
            .open_since
            .take()
            .is_some_and(|at| at.age(now) >= EXPIRES_WITHIN)
        {
            self.unwatched_since = None;
        }
        self.unwatched_since.get_or_insert(now);
    }

    /// The API server opens a watch from any version, and says in it that it has expired. One that has ended in good order had not.
    pub(super) fn opened(&mut self, now: Time) {
        if self.open_since.replace(now).is_some() {
            self.goes_on();
        }
    }

    /// A watch has brought something: with all that has happened before it.
    pub(super) fn goes_on(&mut self) {
        self.unwatched_since = None;
    }

    pub(super) fn list_begins(&mut self, now: Time) {
        self.open_since = None;
        self.listing_since = now;
        self.had_by_some = false;
    }

    /// Something of the list, or of the watch, is known to some receiver.
    pub(super) fn had_by_some(&mut self) {
        self.had_by_some = true;
    }

    /// A list is complete. `is_whole`: nothing of what is newer than what was known can have expired. `is_open`: it came by a watch,
    /// which goes on.
    pub(super) fn listed(&mut self, is_whole: bool, is_open: bool, now: Time) -> Option<Gap> {
        let since = self.unwatched_since.take();
        if !is_open {
            // The watch begins where the list did, if that is not too long ago.
            self.unwatched_since = Some(self.listing_since);
        }
        let since = since.filter(|_| !is_whole)?;
        if self.had_by_some {
            // However short that was: the mark of who is behind is as old as what it had last.
            return Some(Gap::OfOne);
        }
        (since.age(now) >= SHORTEST_TTL).then_some(Gap::OfAll(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(minutes: u64) -> Time {
        let start = Time::parse("2024-05-01T10:00:00Z").unwrap();
        start.before(Duration::from_mins(1000 - minutes))
    }

    #[test]
    fn fault_43_what_was_written_during_a_long_list_may_have_expired() {
        for (minutes, gap) in [(70, Some(Gap::OfAll(after(0)))), (3, None)] {
            let mut coverage = Coverage::new(None);
            coverage.list_begins(after(0));
            assert_eq!(coverage.listed(true, false, after(minutes)), None);
            // From the version of the list's beginning, which has expired.
            coverage.opened(after(minutes));
            coverage.list_begins(after(minutes));
            assert_eq!(coverage.listed(false, false, after(minutes)), gap);
        }
        // One that came by a watch goes on.
        let mut coverage = Coverage::new(None);
        coverage.list_begins(after(0));
        coverage.listed(true, true, after(70));
        coverage.list_begins(after(70));
        assert_eq!(coverage.listed(false, true, after(70)), None);
    }

    #[test]
    fn fault_43_a_watch_that_was_closed_because_nobody_took_anything_has_a_gap() {
        let mut coverage = Coverage::new(None);
        coverage.opened(after(0));
        coverage.goes_on();
        coverage.interrupted(after(0));
        coverage.opened(after(70));
        coverage.list_begins(after(70));
        let gap = coverage.listed(false, true, after(70));
        assert_eq!(gap, Some(Gap::OfAll(after(0))));
    }

    #[test]
    fn a_watch_that_was_silent_for_a_while_went_on_all_the_same() {
        let mut coverage = Coverage::new(None);
        coverage.list_begins(after(0));
        coverage.listed(true, false, after(0));
        coverage.opened(after(0));
        coverage.interrupted(after(7));
        coverage.opened(after(8));
        coverage.list_begins(after(8));
        assert_eq!(coverage.listed(false, true, after(8)), None);
    }

    #[test]
    fn fault_43_who_is_behind_may_have_missed_something_however_short_a_restart_is() {
        let mut coverage = Coverage::new(Some(after(0)));
        coverage.list_begins(after(0));
        coverage.had_by_some();
        assert_eq!(coverage.listed(false, true, after(0)), Some(Gap::OfOne));
        assert_eq!(coverage.listed(false, true, after(0)), None, "told once");
    }
}
