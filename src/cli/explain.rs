//! Arguments of `explain`: what a code means.

use clap::{Args, ColorChoice, ValueEnum};

/// Options of the command.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 explained, 2 nothing like it is known.")]
pub struct ExplainArguments {
    /// A code (GPU-ARCH, gpu-arch, arch), a CUDA error number (209), or the text of an error; none lists all codes.
    pub query: Vec<String>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = ExplainOutput::Table)]
    pub output: ExplainOutput,
    /// Whether headings are bold.
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
}

/// How `explain` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// Text for people, at most 100 columns.
    Table,
    /// Everything, for programs.
    Json,
    /// Everything, for programs.
    Yaml,
    /// Only codes, one a line.
    Name,
}
