//! The place between source and router where an event gets what the API server did not send with it.
//!
//! Nothing is looked up yet: events go on as they came. Labels, annotations and owners of the involved object will be
//! filled in here.

use std::sync::Arc;

use crate::event::Event;

/// Completes events.
#[derive(Debug, Default)]
pub struct Enricher;

impl Enricher {
    /// Completes one event. Never delays it for long, and never loses it.
    #[expect(
        clippy::unused_async,
        reason = "lookups will wait for the API server here"
    )]
    pub async fn enrich(&mut self, event: Arc<Event>) -> Arc<Event> {
        event
    }
}
