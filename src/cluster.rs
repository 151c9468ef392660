//! What a Pod asks for, and which nodes could run it.
//!
//! Knows nothing of images: that a container has one is all it says. Only `watch` talks to the API server.

pub mod demand;
pub mod fleet;
pub mod manifest;
pub mod namespaces;
pub mod placement;
pub mod pod_hints;
pub mod quantity;
pub mod resource;
pub mod schedule;
pub mod selector;
pub mod taint;
pub mod watch;
pub mod workload;
