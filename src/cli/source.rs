//! Arguments that say where nodes come from: files, or a live cluster. Several commands take them.

use std::path::PathBuf;

use clap::Args;

use super::resource_name;

/// Where nodes come from.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceArguments {
    /// File or folder with nodes, - for standard input: what "kubectl get nodes -o yaml" (or json) prints, or a
    /// snapshot; may be given several times.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["context", "kubeconfig"], help_heading = "Nodes")]
    pub nodes: Vec<PathBuf>,
    /// Context of the kubeconfig whose cluster is read.
    #[arg(long, value_name = "NAME", help_heading = "Nodes")]
    pub context: Option<String>,
    /// Kubeconfig that holds it. Left out: as kubectl finds it.
    #[arg(long, value_name = "FILE", help_heading = "Nodes")]
    pub kubeconfig: Option<PathBuf>,
    /// An autoscaler may add nodes of kinds that are not there yet.
    #[arg(long, help_heading = "Nodes")]
    pub autoscaled: bool,
    /// Extended resource that counts GPUs; may be given several times.
    #[arg(long, value_name = "NAME", default_value = "nvidia.com/gpu", value_parser = resource_name, help_heading = "Nodes")]
    pub resource: Vec<String>,
}

impl SourceArguments {
    /// Whether any of them says where nodes come from.
    #[must_use]
    pub fn is_given(&self) -> bool {
        !self.nodes.is_empty() || self.context.is_some() || self.kubeconfig.is_some()
    }
    /// Whether a live cluster is named.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
    }
}
