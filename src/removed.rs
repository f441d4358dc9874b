//! Receivers that the configuration names no more, for as long as they hold something: it is theirs to deliver, and if the
//! program ends before they have, somebody has to know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::outlet::Outlet;

/// Receivers that have been removed. Clones are the same.
#[derive(Clone, Default)]
pub struct Removed(Arc<Mutex<Vec<Arc<Outlet>>>>);

impl Removed {
    /// One is removed.
    pub fn add(&self, outlet: Arc<Outlet>) {
        self.lock().push(outlet);
    }

    /// Those that hold something.
    pub fn outlets(&self) -> Vec<Arc<Outlet>> {
        self.forget_settled();
        self.lock().clone()
    }

    /// Nobody needs to know of those that have delivered everything.
    pub fn forget_settled(&self) {
        self.lock().retain(|outlet| !outlet.queue.is_settled());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Outlet>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
