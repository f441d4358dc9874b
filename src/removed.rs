//! Receivers that the configuration names no more, for as long as they hold something: it is theirs to deliver, and if the
//! program ends before they have, somebody has to know.

use std::sync::{Arc, Mutex, PoisonError};

use crate::outlet::Outlet;

/// Receivers that have been removed. Clones are the same.
#[derive(Clone, Default)]
pub struct Removed(Arc<Mutex<Vec<Arc<Outlet>>>>);

impl Removed {
    /// One is removed.
    pub fn add(&self, outlet: Arc<Outlet>) {
        let mut removed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        removed.push(outlet);
    }

    /// Those that hold something; the others are forgotten.
    pub fn outlets(&self) -> Vec<Arc<Outlet>> {
        let mut removed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        removed.retain(|outlet| !outlet.queue.is_settled());
        removed.clone()
    }
}
