//! All integration tests, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agent;
mod bypass;
mod cases;
mod catalog;
mod chart;
mod check;
mod cluster;
mod configuration;
mod decisions;
mod examples;
mod false_denials;
mod golden;
mod layering;
mod manifest;
mod nodes;
mod objects;
mod registration;
mod rotation;
mod rules;
mod scheduler;
mod snapshot;
mod steering;
mod support;
mod threats;
mod watch;
mod webhook;
