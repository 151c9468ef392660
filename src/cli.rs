//! The command line: what can be typed, and nothing else. The environment is read here and nowhere else.

mod catalog;
mod check;
mod explain;
mod nodes;
mod shell;
mod snapshot;
mod source;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::admission;
use crate::admission::certificates::{Files, Identity, Source};
use crate::cluster::resource::is_extended_name;
use crate::node;
use crate::node::kubelet::Advertisement;
use crate::telemetry::LogFormat;

pub use catalog::{CatalogArguments, CatalogKind, CatalogOutput};
pub use check::{CheckArguments, CheckOutput, GpuName, GpuNameError, OnUnknown};
pub use explain::{ExplainArguments, ExplainOutput};
pub use nodes::{NodesArguments, NodesOutput};
pub use shell::{CompletionArguments, ManArguments, VersionArguments, VersionOutput};
pub use snapshot::SnapshotArguments;
pub use source::SourceArguments;

/// Tells a Kubernetes cluster what its GPUs can run, and refuses Pods whose image cannot run on them.
#[derive(Debug, Parser)]
#[command(name = "gpu-capgate", version = shell::short_version(), max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What gpu-capgate can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run on a GPU node: label it and advertise its GPUs to the kubelet.
    Agent(AgentArguments),
    /// Review Pods for the API server.
    Webhook(WebhookArguments),
    /// Tell whether an image or a torch build runs on a GPU.
    Check(Box<CheckArguments>),
    /// Show which GPUs a cluster has, and what is known of them.
    Nodes(NodesArguments),
    /// Write a cluster's GPU nodes to a file that check and nodes read back.
    Snapshot(SnapshotArguments),
    /// Tell what a code means, and what to do about it.
    Explain(ExplainArguments),
    /// Show what is known of torch builds, CUDA toolkits, drivers, GPUs and images.
    Catalog(CatalogArguments),
    /// Print a completion script for a shell.
    Completion(CompletionArguments),
    /// Print the manual page.
    Man(ManArguments),
    /// Print the version, and the date of the facts.
    Version(VersionArguments),
}

/// How much is logged, and how.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// A level (error, warn, info, debug or trace), or several by module, as `info,kube=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", hide_env_values = true)]
    pub log: String,
    /// Lines for people or for collectors.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Options of the agent.
#[derive(Debug, Args)]
pub struct AgentArguments {
    /// Name of the Node that this agent runs on.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// File that lists the node's GPUs (YAML).
    #[arg(long)]
    pub inventory: PathBuf,
    /// Extended resource that the GPUs are advertised as.
    #[arg(long, default_value = "nvidia.com/gpu", value_parser = resource_name)]
    pub resource: String,
    /// Whether to advertise the GPUs to the kubelet; false where another device plugin does.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub device_plugin: bool,
    /// The kubelet's device-plugin directory.
    #[arg(long, default_value = "/var/lib/kubelet/device-plugins")]
    pub device_plugin_dir: PathBuf,
    /// Where /livez and /readyz are served.
    #[arg(long, default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,
    /// Logging.
    #[command(flatten)]
    pub log: LogArguments,
}

/// Options of the webhook.
#[derive(Debug, Args)]
pub struct WebhookArguments {
    /// Where reviews are served (TLS).
    #[arg(long, default_value = "0.0.0.0:10250")]
    pub listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,
    /// Namespace of the webhook.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Service by which the API server reaches the webhook.
    #[arg(long)]
    pub service: String,
    /// ValidatingWebhookConfiguration that registers the webhook.
    #[arg(long)]
    pub configuration: String,
    /// MutatingWebhookConfiguration by which the webhook is asked to steer Pods; without it none is steered.
    #[arg(long, value_name = "NAME")]
    pub steering_configuration: Option<String>,
    /// Secret that holds the webhook's CA; it must be there, and may be empty.
    #[arg(long, required_unless_present = "tls_cert_file")]
    pub ca_secret: Option<String>,
    /// File with the certificate that is served and its chain (PEM), instead of one of our own CA; read again when it
    /// changes.
    #[arg(long, requires = "tls_key_file", conflicts_with = "ca_secret")]
    pub tls_cert_file: Option<PathBuf>,
    /// File with the key of --tls-cert-file (PEM).
    #[arg(long, requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// File with the CAs of --tls-cert-file (PEM), to be added to the caBundle of the configuration; leave it out where
    /// somebody else writes that.
    #[arg(long, requires = "tls_cert_file")]
    pub tls_ca_file: Option<PathBuf>,
    /// Seconds for which new connections are still served once the webhook is told to stop: until the API server has
    /// heard that it is gone.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=300))]
    pub shutdown_delay_seconds: u64,
    /// Configuration file (YAML); it is read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Extended resource that counts GPUs, where there is no configuration file.
    #[arg(long, default_value = "nvidia.com/gpu", value_parser = resource_name)]
    pub resource: String,
    /// Label selector of the agents' Pods, in the webhook's namespace.
    #[arg(
        long,
        default_value = "app.kubernetes.io/name=gpu-capgate,app.kubernetes.io/component=agent"
    )]
    pub agent_selector: String,
    /// Logging.
    #[command(flatten)]
    pub log: LogArguments,
}

impl AgentArguments {
    /// What the agent is told to do.
    #[must_use]
    pub fn settings(self) -> node::Settings {
        let Self {
            node_name,
            inventory,
            resource,
            device_plugin,
            device_plugin_dir,
            health_listen,
            log: _,
        } = self;
        let advertisement = device_plugin.then_some(Advertisement {
            directory: device_plugin_dir,
            resource,
        });
        node::Settings {
            node_name,
            inventory,
            advertisement,
            health: health_listen,
        }
    }
}

impl WebhookArguments {
    /// What the webhook is told to do.
    #[must_use]
    pub fn settings(self) -> admission::Settings {
        let Self {
            listen,
            health_listen,
            namespace,
            service,
            configuration,
            steering_configuration,
            ca_secret,
            tls_cert_file,
            tls_key_file,
            tls_ca_file,
            shutdown_delay_seconds,
            config,
            resource,
            agent_selector,
            log: _,
        } = self;
        let identity = Identity {
            namespace,
            service,
            configuration,
            steering: steering_configuration,
        };
        let certificate = match (tls_cert_file, tls_key_file) {
            (Some(certificate), Some(key)) => Source::Files(Files {
                certificate,
                key,
                ca: tls_ca_file,
            }),
            // One of the two is given: the command line is refused otherwise.
            (_, _) => Source::Own {
                ca_secret: ca_secret.unwrap_or_default(),
            },
        };
        admission::Settings {
            listen,
            health: health_listen,
            identity,
            certificate,
            shutdown_delay: Duration::from_secs(shutdown_delay_seconds),
            config,
            resource,
            agents: agent_selector,
        }
    }
}

fn resource_name(text: &str) -> Result<String, String> {
    if is_extended_name(text) {
        Ok(text.to_owned())
    } else {
        Err("expected DOMAIN/NAME outside kubernetes.io, as nvidia.com/gpu".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn resource_names_that_the_kubelet_refuses_are_refused_here() {
        for wrong in [
            "gpu",
            "kubernetes.io/gpu",
            "nvidia.com/",
            "nvidia.com/-gpu",
            "/gpu",
            "a/b/c",
        ] {
            assert!(resource_name(wrong).is_err(), "{wrong}");
        }
        for right in [
            "nvidia.com/gpu",
            "nvidia.com/mig-1g.5gb",
            "example.com/GPU_a",
        ] {
            assert!(resource_name(right).is_ok(), "{right}");
        }
    }
}
