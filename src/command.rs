//! What a person runs in a shell or in CI: thin commands over the same engine that the webhook uses.
//!
//! Each gathers its input, calls the engine and prints; nothing is decided here.

pub mod catalog;
pub mod check;
pub mod explain;
pub mod shell;
mod table;
