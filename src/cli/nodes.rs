//! Arguments of `nodes`: which GPUs a cluster has.

use clap::{Args, ColorChoice, ValueEnum};

use super::SourceArguments;

const AFTER_HELP: &str = "\
Without --nodes the cluster of the current context is read.

Exit status: 0 nodes were shown, 2 input that cannot be used (what could be used is shown all the same).

Examples:
  gpu-capgate nodes
  gpu-capgate nodes --context production -o wide
  kubectl get nodes -o json | gpu-capgate nodes --nodes -";

/// Options of the command.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct NodesArguments {
    /// Where nodes come from.
    #[command(flatten)]
    pub source: SourceArguments,
    /// Form of the answer; name is the GPU products, one a line.
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = NodesOutput::Table, help_heading = "How")]
    pub output: NodesOutput,
    /// Leave out the line that names the columns.
    #[arg(long, help_heading = "How")]
    pub no_headers: bool,
    /// Whether headings are bold.
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN", help_heading = "How")]
    pub color: ColorChoice,
}

/// How `nodes` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodesOutput {
    /// A line for each class of nodes, at most 100 columns.
    Table,
    /// All columns and examples of names: one line a class, however long.
    Wide,
    /// Everything, for programs.
    Json,
    /// Everything, for programs.
    Yaml,
    /// Only GPU products, one a line.
    Name,
    /// A table for a document or a comment.
    Markdown,
}
