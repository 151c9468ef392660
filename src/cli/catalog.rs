//! Arguments of `catalog`: what the knowledge base holds.

use std::path::PathBuf;

use clap::{Args, ColorChoice, ValueEnum};

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 something was shown, 1 nothing matches, 2 input that cannot be used."
)]
pub struct CatalogArguments {
    /// Which table.
    #[arg(value_enum)]
    pub kind: CatalogKind,
    /// What to show of it, in words that must all fit.
    ///
    /// torch: a release (2.6, 2.6.0+cu124), a variant (cu124), amd64, arm64, pip, conda, default (what a plain pip
    /// install gives), or a GPU target (`sm_61`: builds that run there). cuda: a version (12.4, 12). driver: a branch or
    /// release (550, 550.54.15), or a GPU target. gpu: a name ("RTX 4090" shows what runs there), a generation, a
    /// target (`sm_89`) or a class. image: a name, with or without tag.
    pub filter: Vec<String>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = CatalogOutput::Table)]
    pub output: CatalogOutput,
    /// File with entries of your own (TOML), laid over those that are built in.
    #[arg(long, value_name = "FILE")]
    pub overlay: Option<PathBuf>,
    /// Leave out the line that names the columns.
    #[arg(long)]
    pub no_headers: bool,
    /// Whether headings are bold.
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
}

/// A table of the knowledge base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CatalogKind {
    /// Builds of torch, and the GPUs that they have code for.
    Torch,
    /// CUDA toolkits, and the drivers that they need.
    Cuda,
    /// Branches of NVIDIA's Linux driver, and the GPUs that they drive.
    Driver,
    /// GPU products, and what runs on one of them.
    Gpu,
    /// Images that are known by name, and NVIDIA's own by tag.
    Image,
}

/// How `catalog` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CatalogOutput {
    /// At most 100 columns.
    Table,
    /// All columns, with sources: one line a row, however long.
    Wide,
    /// Everything, for programs.
    Json,
    /// Everything, for programs.
    Yaml,
    /// Only names, one a line.
    Name,
}
