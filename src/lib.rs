//! Watches a cluster's Events and delivers every one of them, in batches, to OpenSearch and other receivers.
//!
//! > A **Source** watches Events; the **Router** asks the **Route** tree which **Receivers** want each one; a Receiver
//! > groups them into a **Batch** and hands it to its **Sink** until the Sink has taken or refused every event.
//!
//! Start reading at [`app`]. What depends on what:
//!
//! ```text
//! main -> cli -> leader -> app -> cluster    -> source -> event
//!          |       '-> lease |  -> catch_up   -> intake, outlet
//!          |                 |  -> checkpoint -> lease
//!          |                 |  -> reload     -> pipeline
//!          |                 '  -> pipeline   -> router   -> intake, outlet, route -> event
//!          |                               '  -> receiver -> sink, batch, retry, metrics -> event
//!          |-> admin -> status -> pipeline, health, route
//!          |       '-> metrics
//!          '-> config -> each section's own configuration
//! ```

pub mod admin;
pub mod app;
pub mod batch;
pub mod buffer;
pub mod catch_up;
pub mod checkpoint;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod dead_letter;
pub mod enrich;
pub mod event;
pub mod health;
pub mod input;
pub mod intake;
mod jitter;
pub mod leader;
pub mod lease;
pub mod mark;
pub mod metrics;
pub mod outage;
pub mod outlet;
pub mod pipeline;
pub mod receiver;
pub mod recent;
pub mod reload;
pub mod removed;
mod replace;
pub mod retry;
pub mod route;
pub mod router;
mod shutdown;
pub mod sink;
pub mod source;
pub mod status;
pub mod telemetry;
pub mod template;
pub mod throttle;
pub mod yaml;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from, where the builder says so.
pub const REVISION: &str = match option_env!("REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
