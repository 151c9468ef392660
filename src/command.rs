//! What a person runs in a shell or in CI: thin commands over the same engine that the webhook uses.
//!
//! Each gathers its input, calls the engine and prints; nothing is decided here.

pub mod catalog;
pub mod check;
pub mod explain;
pub mod files;
mod markdown;
pub mod nodes;
mod overlay;
pub mod shell;
pub mod snapshot;
pub mod source;
mod table;

/// Exit status for a command line or a file that cannot be used; clap takes the same.
pub const UNUSABLE_INPUT: u8 = 2;
