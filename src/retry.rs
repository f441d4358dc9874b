//! When to try again: capped exponential backoff with full jitter, and no sooner than the server asks for.

use std::time::Duration;

use crate::jitter;

/// How a receiver repeats itself. It never gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryLimits {
    /// The longest wait before the first repetition; it doubles from there.
    pub initial: Duration,
    /// The longest wait of all, but for a server that asks for more.
    pub max: Duration,
}

/// Delays between the attempts at one batch.
#[derive(Debug)]
pub struct Backoff {
    limits: RetryLimits,
    attempt: u32,
}

/// The longest that a server's `Retry-After` is obeyed.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

// === impl Backoff ===

impl Backoff {
    /// Starts at the initial wait.
    pub fn new(limits: RetryLimits) -> Self {
        Self { limits, attempt: 0 }
    }

    /// The wait before the next attempt. `slowly` goes straight to the longest.
    pub fn next(&mut self, retry_after: Option<Duration>, slowly: bool) -> Duration {
        let doubled = self
            .limits
            .initial
            .saturating_mul(1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX));
        self.attempt = self.attempt.saturating_add(1);
        // Full jitter: exporters that lost the same server must not come back at the same moment.
        let wait = if slowly {
            self.limits.max / 2 + jitter::up_to(self.limits.max / 2)
        } else {
            jitter::up_to(doubled.min(self.limits.max))
        };
        // On top of what the server asked for, for the same reason. A server that asks for nothing gets our own wait.
        retry_after.map_or(wait, |asked| {
            wait.max(asked.min(RETRY_AFTER_MAX) + wait.min(asked / 4))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RetryLimits = RetryLimits {
        initial: Duration::from_millis(100),
        max: Duration::from_secs(30),
    };

    #[test]
    fn waits_grow_to_their_cap_and_vary() {
        let mut longest = vec![Duration::ZERO; 40];
        for _ in 0..200 {
            let mut backoff = Backoff::new(LIMITS);
            for longest in &mut longest {
                *longest = (*longest).max(backoff.next(None, false));
            }
        }
        assert!(
            longest[0] <= LIMITS.initial && longest[0] > LIMITS.initial / 2,
            "{:?}",
            longest[0]
        );
        assert!(
            longest[3] <= LIMITS.initial * 8 && longest[3] > LIMITS.initial * 4,
            "{:?}",
            longest[3]
        );
        assert!(
            longest[39] <= LIMITS.max && longest[39] > LIMITS.max / 2,
            "{:?}",
            longest[39]
        );
    }

    #[test]
    fn the_server_is_obeyed_within_reason() {
        let wait = Backoff::new(LIMITS).next(Some(Duration::from_secs(7)), false);
        assert!(
            wait >= Duration::from_secs(7) && wait < Duration::from_secs(9),
            "{wait:?}"
        );
        assert!(
            Backoff::new(LIMITS).next(Some(Duration::from_secs(86_400)), false)
                <= RETRY_AFTER_MAX + LIMITS.max
        );
    }

    #[test]
    fn slowly_starts_near_the_longest() {
        let waits = (0..200).map(|_| Backoff::new(LIMITS).next(None, true));
        assert!(
            waits
                .into_iter()
                .all(|wait| wait >= LIMITS.max / 2 && wait <= LIMITS.max)
        );
    }

    #[test]
    fn a_server_that_asks_for_no_wait_gets_ours() {
        let mut backoff = Backoff::new(LIMITS);
        let waits = (0..200).map(|_| backoff.next(Some(Duration::ZERO), false));
        assert!(waits.max().unwrap() > LIMITS.max / 2);
    }
}
