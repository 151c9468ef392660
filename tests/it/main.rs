//! All integration tests, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agent;
mod cases;
mod catalog;
mod check;
mod cluster;
mod examples;
mod false_denials;
mod configuration;
mod layering;
mod manifest;
mod nodes;
mod scheduler;
mod support;
mod watch;
mod webhook;
