//! How many lookups there may be, and when they are let be.

use std::time::Duration;

use tokio::time::Instant;

/// `kubeQPS` and `kubeBurst`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// How many a second, in the long run.
    pub per_second: f64,
    /// How many at once.
    pub burst: u32,
}

/// Tokens that come back one by one. None at all is no limit.
#[derive(Debug)]
pub(super) struct TokenBucket {
    limit: Option<(Duration, u32)>,
    /// When the bucket will be full again.
    full: Option<Instant>,
}

/// Lets lookups be for a while when the API server does not answer them.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Since the last answer.
    failures: u32,
    until: Option<Instant>,
    /// One is under way, to see if the server answers again.
    probing: bool,
}

/// The longest wait between two tokens; who asks for a longer one means never.
const RAREST: Duration = Duration::from_hours(1);
/// So many failures in a row are no accident.
const FAILURES: u32 = 3;
/// How long lookups are let be then. Short, because events go out without labels meanwhile; long against the deadline,
/// which is what the one that tries again costs its event.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

// === impl TokenBucket ===

impl TokenBucket {
    pub(super) fn new(limit: Option<RateLimit>) -> Self {
        let limit = limit.map(|RateLimit { per_second, burst }| {
            let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(RAREST);
            (interval.min(RAREST), burst.max(1))
        });
        Self { limit, full: None }
    }

    /// Takes a token, and says when it is there. `None`, and nothing taken, if that is later than `patience` from `now`.
    pub(super) fn take(&mut self, now: Instant, patience: Duration) -> Option<Instant> {
        let Some((interval, burst)) = self.limit else {
            return Some(now);
        };
        let full = self.full.map_or(now, |full| full.max(now));
        // A full bucket has `burst` tokens, and every one that is taken is back an interval later.
        let there = full
            .checked_sub(interval * (burst - 1))
            .map_or(now, |there| there.max(now));
        if there > now + patience {
            return None;
        }
        self.full = Some(full + interval);
        Some(there)
    }
}

// === impl Pause ===

impl Pause {
    /// Whether a lookup may be made. If it is made, [`Self::begin`] has to be told.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until && !self.probing)
    }

    /// A lookup is being made.
    pub(super) fn begin(&mut self) {
        self.probing = self.until.is_some();
    }

    /// Whether it has come to a pause since the last answer.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// The lookup came to nothing without asking.
    pub(super) fn not_asked(&mut self) {
        self.probing = false;
    }

    /// The API server has not answered, or not with what was asked for. True if that begins a pause, rather than prolongs
    /// one. When it answers, there is none.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.probing = false;
        if self.failures >= FAILURES {
            self.until = Some(now + PAUSE);
        }
        self.failures == FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn bucket(per_second: f64, burst: u32) -> TokenBucket {
        TokenBucket::new(Some(RateLimit { per_second, burst }))
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_there_at_once_until_the_burst_is_over_and_then_one_by_one() {
        let start = Instant::now();
        let mut bucket = bucket(10.0, 3);
        let mut take = |after: u32| {
            let now = start + MILLISECOND * after;
            bucket
                .take(now, 250 * MILLISECOND)
                .map(|there| (there - start).as_millis())
        };
        assert_eq!([take(0), take(0), take(0)], [Some(0); 3], "the burst");
        assert_eq!([take(0), take(0), take(0)], [Some(100), Some(200), None]);
        assert_eq!(take(50), Some(300), "what was refused took nothing");
        assert_eq!(take(2000), Some(2000));
        assert_eq!(
            [take(2000), take(2000)],
            [Some(2000); 2],
            "and is full again"
        );
        assert_eq!(take(2000), Some(2100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_nearly_nothing_is_one_and_none_is_none() {
        let now = Instant::now();
        let mut rare = bucket(f64::MIN_POSITIVE, 1);
        assert_eq!(rare.take(now, MILLISECOND), Some(now));
        assert_eq!(rare.take(now + 60 * PAUSE, MILLISECOND), None);
        let mut unlimited = TokenBucket::new(None);
        assert!((0..10_000).all(|_| unlimited.take(now, MILLISECOND) == Some(now)));
    }

    #[tokio::test(start_paused = true)]
    async fn after_some_failures_in_a_row_one_lookup_at_a_time_tries_again() {
        let now = Instant::now();
        let mut pause = Pause::default();
        assert!(!pause.failed(now) && !pause.failed(now));
        assert!(pause.is_over(now) && !pause.is_on());
        assert!(pause.failed(now) && pause.is_on());
        assert!(!pause.is_over(now + PAUSE - MILLISECOND));
        assert!(pause.is_over(now + PAUSE));
        pause.begin();
        assert!(!pause.is_over(now + PAUSE), "one is under way");
        assert!(!pause.failed(now + PAUSE), "it goes on");
        assert!(!pause.is_over(now + PAUSE) && pause.is_over(now + 2 * PAUSE));
        pause.begin();
        pause.not_asked();
        assert!(pause.is_over(now + 2 * PAUSE), "nobody knows yet");
    }
}
