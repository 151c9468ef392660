//! The agent's life: reads the inventory or waits for it, starts the labeller, the device plugin and the health endpoint, and stops them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::OptionFuture;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::counts::{Counts, INVENTORY};
use super::inventory::{FILE_LIMIT, Inventory, InventoryError};
use super::kubelet::{self, Advertisement};
use super::labeller::{self, OwnNode};
use crate::lifecycle::{Health, ListenError, Readiness, ReadyToken, listen, stop_on_signal};
use crate::telemetry::metrics::Registry;

/// Where Linux tells the boot ID that the kubelet reports in nodeInfo.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How often is looked for an inventory that is not there yet.
const LOOK: Duration = Duration::from_secs(2);

/// What the agent was told to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the Node that it runs on.
    pub node_name: String,
    /// File that lists the node's GPUs.
    pub inventory: PathBuf,
    /// Where and what to advertise; `None` to label only.
    pub advertisement: Option<Advertisement>,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
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
/// See [`AgentError`]. An absent kubelet, API server or inventory is none: they are waited for.
pub async fn run(settings: Settings) -> Result<(), AgentError> {
    let found = read_inventory(&settings.inventory).await?;
    let boot_id = read(Path::new(BOOT_ID)).await.map_err(AgentError::BootId)?;
    let listener = listen(settings.health, "--health-listen").await?;
    let client = kube::Client::try_default()
        .await
        .map_err(|error| AgentError::Client(Box::new(error)))?;
    let stop = stop_on_signal()?;
    let (readiness, registry) = (Readiness::default(), Registry::default());
    let agent = Agent {
        node: OwnNode {
            name: settings.node_name,
            boot_id: String::from_utf8_lossy(&boot_id).trim().to_owned(),
        },
        file: settings.inventory,
        advertisement: settings.advertisement,
        counts: Counts::new(&registry, &readiness),
        client,
        stop: stop.clone(),
    };
    let waiting = readiness.wait_for(INVENTORY);
    let health = Health::new(readiness, registry, stop.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { Ok(health.serve(listener, stop).await?) });
    tasks.spawn(agent.work(found, waiting));
    // Each task ends when it is told to stop; one that panics or fails before takes the agent down.
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    tracing::info!("stopped");
    Ok(())
}

/// What the agent works with.
struct Agent {
    node: OwnNode,
    file: PathBuf,
    advertisement: Option<Advertisement>,
    counts: Counts,
    client: kube::Client,
    stop: CancellationToken,
}

impl Agent {
    /// Labels and advertises until it is told to stop, once there is an inventory.
    async fn work(self, found: Option<Inventory>, waiting: ReadyToken) -> Result<(), AgentError> {
        let mut waiting = Some(waiting);
        let inventory = match found {
            Some(inventory) => inventory,
            None => match self.awaited(&mut waiting).await? {
                Some(inventory) => inventory,
                None => return Ok(()),
            },
        };
        let (gpus, node) = (inventory.gpus.len(), &self.node.name);
        tracing::info!(gpus, node, "inventory read");
        let (_current, inventory) = watch::channel(Arc::new(inventory));
        self.counts.found(inventory.clone());
        let labels = self.counts.labels();
        let labelling = labeller::keep_labelled(
            self.client,
            self.node,
            inventory.clone(),
            labels,
            self.stop.clone(),
        );
        let advertising = self.advertisement.map(|advertisement| {
            self.counts.advertised(inventory.clone());
            let registrations = self.counts.registrations();
            let allocations = self.counts.allocations.clone();
            kubelet::keep_advertised(
                advertisement,
                inventory,
                registrations,
                allocations,
                self.stop,
            )
        });
        drop(waiting);
        tokio::join!(labelling, OptionFuture::from(advertising));
        Ok(())
    }

    /// The inventory, when somebody has written one: drivers may come late, and some nodes never have any. `None` if it
    /// is told to stop before. Labels of an earlier time stay, since the node may still have its GPUs; only a Node
    /// without any has nothing to wait for, and is ready.
    async fn awaited(
        &self,
        waiting: &mut Option<ReadyToken>,
    ) -> Result<Option<Inventory>, AgentError> {
        let file = self.file.display();
        tracing::warn!(
            %file,
            "no inventory: nothing is labelled or advertised until it is there; --inventory names another file"
        );
        let (node, mut carried) = (&self.node.name, None);
        let looking = async {
            loop {
                if let Some(inventory) = read_inventory(&self.file).await? {
                    return Ok(inventory);
                }
                if carried.is_none() {
                    carried = labeller::carries_inventory(&self.client, node).await;
                    match carried {
                        Some(true) => tracing::info!(node, "its labels of an earlier time stay"),
                        Some(false) => drop(waiting.take()),
                        None => {}
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        self.stop.run_until_cancelled(looking).await.transpose()
    }
}

/// The inventory; `None` if there is no such file.
async fn read_inventory(path: &Path) -> Result<Option<Inventory>, AgentError> {
    let owned = || path.to_owned();
    let bytes = match read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = owned();
            return Err(AgentError::Read { path, source });
        }
    };
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
    let inventory = Inventory::parse(&text).map_err(|source| AgentError::Inventory {
        path: owned(),
        source,
    })?;
    Ok(Some(inventory))
}

/// Reads a small file; of a large one no more than tells that it is.
async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
