//! The agent's life: reads the inventory, starts the labeller, the device plugin and the health endpoint, and stops them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::inventory::{FILE_LIMIT, Inventory, InventoryError};
use super::kubelet::{self, Advertisement};
use super::labeller::{self, OwnNode};
use crate::lifecycle::{ListenError, Readiness, listen, serve_health, stop_on_signal};

/// Where Linux tells the boot ID that the kubelet reports in nodeInfo.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the agent was told to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the Node that it runs on.
    pub node_name: String,
    /// File that lists the node's GPUs.
    pub inventory: PathBuf,
    /// Where and what to advertise; `None` to label only.
    pub advertisement: Option<Advertisement>,
    /// Where `/livez` and `/readyz` are served.
    pub health: SocketAddr,
}

/// Why the agent could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// An inventory file that could not be read.
    #[error("cannot read {path}; give a file that lists the node's GPUs with --inventory")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file far larger than any inventory.
    #[error(
        "{path} is larger than {FILE_LIMIT} bytes, so it is no inventory; give the right file with --inventory"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file that is no text.
    #[error(
        "{path} is no UTF-8 text: byte 0x{byte:02x} in line {line}; give the right file with --inventory"
    )]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first byte that is out of place.
        byte: u8,
        /// Where it stands, counted from 1.
        line: usize,
    },
    /// A file that holds no inventory.
    #[error("{path} is no inventory")]
    Inventory {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: InventoryError,
    },
    /// The kernel's boot ID could not be read.
    #[error("cannot read the kernel's boot ID from {BOOT_ID}; it needs a mounted /proc")]
    BootId(#[source] io::Error),
    /// No way to the API server is known.
    #[error(
        "cannot tell where the API server is: run in a Pod with a ServiceAccount, or set KUBECONFIG"
    )]
    Client(#[source] Box<kube::Error>),
    /// The health endpoint's address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refused something that every process may do.
    #[error("cannot run")]
    System(#[from] io::Error),
    /// A part of the agent ended though nobody asked it to.
    #[error("a task of the agent broke down")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// See [`AgentError`]. An absent kubelet or API server is none: they are waited for.
pub async fn run(settings: Settings) -> Result<(), AgentError> {
    let inventory = read_inventory(&settings.inventory).await?;
    let boot_id = read(Path::new(BOOT_ID)).await.map_err(AgentError::BootId)?;
    let listener = listen(settings.health, "--health-listen").await?;
    let client = kube::Client::try_default()
        .await
        .map_err(|error| AgentError::Client(Box::new(error)))?;
    let stop = stop_on_signal()?;
    let readiness = Readiness::default();
    tracing::info!(
        gpus = inventory.gpus.len(),
        node = settings.node_name,
        "inventory read"
    );

    let (_current, inventory) = watch::channel(Arc::new(inventory));
    let node = OwnNode {
        name: settings.node_name,
        boot_id: String::from_utf8_lossy(&boot_id).trim().to_owned(),
    };
    let mut tasks = JoinSet::new();
    let labelled = readiness.wait_for("node labels");
    let labels = labeller::keep_labelled(client, node, inventory.clone(), labelled, stop.clone());
    tasks.spawn(labels.map(Ok));
    if let Some(advertisement) = settings.advertisement {
        let registered = readiness.wait_for("kubelet");
        let devices = kubelet::keep_advertised(advertisement, inventory, registered, stop.clone());
        tasks.spawn(devices.map(Ok));
    }
    tasks.spawn(serve_health(listener, readiness, stop));
    // Each task ends when it is told to stop; one that panics or fails before takes the agent down.
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    tracing::info!("stopped");
    Ok(())
}

async fn read_inventory(path: &Path) -> Result<Inventory, AgentError> {
    let owned = || path.to_owned();
    let bytes = read(path).await.map_err(|source| AgentError::Read {
        path: owned(),
        source,
    })?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(AgentError::TooLarge { path: owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let (before, after) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        AgentError::NotText {
            path: owned(),
            byte: after.first().copied().unwrap_or_default(),
            line: before.split(|byte| *byte == b'\n').count(),
        }
    })?;
    Inventory::parse(&text).map_err(|source| AgentError::Inventory {
        path: owned(),
        source,
    })
}

/// Reads a small file; of a large one no more than tells that it is.
async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
