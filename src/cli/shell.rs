//! Arguments of `completion`, `man` and `version`.

use std::sync::LazyLock;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::compat::Catalog;

/// Options of the command.
#[derive(Debug, Args)]
pub struct CompletionArguments {
    /// The shell that the script is for.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Options of the command.
#[derive(Debug, Args)]
pub struct ManArguments {}

/// Options of the command.
#[derive(Debug, Args)]
pub struct VersionArguments {
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = VersionOutput::Text)]
    pub output: VersionOutput,
}

/// How `version` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VersionOutput {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For programs.
    Yaml,
}

/// What `--version` prints after the program's name: the version, and the date of the facts.
pub(super) fn short_version() -> &'static str {
    static SHORT: LazyLock<String> = LazyLock::new(|| {
        let facts = Catalog::embedded().date();
        format!("{} (facts of {facts})", env!("CARGO_PKG_VERSION"))
    });
    &SHORT
}
