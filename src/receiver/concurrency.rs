//! How many attempts may be under way at once: as many as the configuration allows while the sink takes them. Each failure
//! takes one away, down to one, and every ten attempts that go well give one back.
//!
//! A sink that is busy is not helped by more requests, and one that is away needs to be asked by one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Admits attempts.
pub(super) struct Concurrency {
    permits: Semaphore,
    most: usize,
    state: Mutex<State>,
}

/// Whoever has it counts among those that make an attempt, or wait to repeat one.
pub(super) struct Permit<'a>(Option<SemaphorePermit<'a>>);

struct State {
    /// How many permits there are, whoever has them.
    limit: usize,
    /// Attempts that went well since that was changed.
    streak: usize,
}

/// How many attempts have to go well until there may be one more at once.
const STREAK: usize = 10;

// === impl Concurrency ===

impl Concurrency {
    /// `most` at once, and at least one.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            permits: Semaphore::new(most),
            most,
            state: Mutex::new(State {
                limit: most,
                streak: 0,
            }),
        }
    }

    /// Waits until an attempt may be made.
    pub(super) async fn admit(&self) -> Permit<'_> {
        // It fails for a semaphore that was closed, which nobody does.
        Permit(self.permits.acquire().await.ok())
    }

    /// An attempt went well.
    pub(super) fn speed_up(&self) {
        let mut state = self.state();
        if state.limit == self.most {
            return;
        }
        state.streak += 1;
        if state.streak == STREAK {
            state.streak = 0;
            state.limit += 1;
            self.permits.add_permits(1);
        }
    }

    /// The sink takes less, or nothing: there is one permit less, unless it is the last.
    pub(super) fn slow_down(&self, permit: &mut Permit<'_>) {
        let mut state = self.state();
        state.streak = 0;
        if state.limit > 1
            && let Some(permit) = permit.0.take()
        {
            state.limit -= 1;
            permit.forget();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl Permit<'_> {
    /// Lets others go ahead.
    pub(super) fn release(&mut self) {
        self.0 = None;
    }
}
