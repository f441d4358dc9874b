//! Tests of the program itself against the real thing: a kube-apiserver and an OpenSearch, started by `tests/env`.
//!
//! One binary, so that the servers are started once. A test that needs a server fails where it can't be had.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and counts here are small"
)]

mod alertmanager;
mod aws;
mod buffer;
mod chart;
mod cli;
mod console;
mod dashboards;
mod delivery;
mod elasticsearch;
mod end_to_end;
mod examples;
mod faults;
mod fuzz;
mod image;
mod leader;
mod lookup;
mod machine;
mod migration;
mod namespaces;
mod opensearch;
mod page;
mod reload;
mod replay;
mod setup;
mod soak;
mod support;
mod throttle;
mod wire;
