//! Arguments of `snapshot`: a cluster's GPU nodes as a file.

use clap::Args;

use super::SourceArguments;

const AFTER_HELP: &str = "\
Writes YAML to standard output, for --nodes of check, nodes and snapshot. It holds what is known of the GPUs, how many
nodes of each kind there are, their taints, and the labels that selectors may ask for. Without --names it holds neither
names nor labels that only one node can have (host name, instance ID, serial number), so it may leave the company; read
the other labels before you pass it on.

Exit status: 0 written, 2 input that cannot be used (what could be used is written all the same).

Examples:
  gpu-capgate snapshot --context production > nodes.yaml
  kubectl get nodes -o json | gpu-capgate snapshot --nodes - > nodes.yaml";

/// Options of the command.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct SnapshotArguments {
    /// Where nodes come from.
    #[command(flatten)]
    pub source: SourceArguments,
    /// Keep names and all labels, for Pods that name their node.
    #[arg(long, help_heading = "How")]
    pub names: bool,
}
