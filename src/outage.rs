//! Outages: said once when they begin, and once when they are over.

/// Failures since the last success.
#[derive(Debug, Default)]
pub struct Outage {
    attempts: u64,
    told: Option<String>,
}

// === impl Outage ===

impl Outage {
    /// Counts a failure, and says whether it differs in kind from the one before. Servers word the same failure anew each
    /// time: `failure` should be what stays the same.
    pub fn is_news(&mut self, failure: &str) -> bool {
        self.attempts += 1;
        let news = self.told.as_deref() != Some(failure);
        if news {
            self.told = Some(failure.to_owned());
        }
        news
    }

    /// Ends it, and says after how many failures; `None` if there was none.
    pub fn over(&mut self) -> Option<u64> {
        let attempts = std::mem::take(self).attempts;
        (attempts > 0).then_some(attempts)
    }
}
