//! Registration with the kubelet: serve a socket, register it, notice when the kubelet has lost it, begin again.
//!
//! The order and the fresh socket name for every registration follow from what the kubelet does
//! (pkg/kubelet/cm/devicemanager/plugin/v1beta1 of Kubernetes 1.25 to 1.37): it dials back before `Register` returns;
//! it forgets us when any device list of our resource ends; since 1.37 a socket path that it still holds is refused.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Server};

use super::attempts::Attempts;
use super::counts::Allocation;
use super::inventory::Inventory;
use super::plugin::api::RegisterRequest;
use super::plugin::api::device_plugin_server::DevicePluginServer;
use super::plugin::api::registration_client::RegistrationClient;
use super::plugin::{OPTIONS, Plugin};
use crate::telemetry::metrics::Counters;
use crate::telemetry::with_causes;

const API_VERSION: &str = "v1beta1";
const KUBELET_SOCKET: &str = "kubelet.sock";
const SOCKET_PREFIX: &str = "gpu-capgate-";
/// The kubelet dials back for 10 s within `Register`; longer than that it cannot take.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(15);
/// After `Register` the kubelet opens the device list at once.
const WATCH_TIMEOUT: Duration = Duration::from_secs(15);
/// A peer that holds on to our socket when we let go of it is not waited for any longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// Where and what to advertise.
#[derive(Debug, Clone)]
pub struct Advertisement {
    /// The kubelet's device-plugin directory.
    pub directory: PathBuf,
    /// The extended resource.
    pub resource: String,
}

/// A registration that did not come about.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error("cannot serve on {socket}")]
    Serve { socket: PathBuf, source: io::Error },
    #[error("cannot reach the kubelet on {socket}")]
    Dial {
        socket: PathBuf,
        source: tonic::transport::Error,
    },
    #[error("the kubelet did not answer within {} s", REGISTER_TIMEOUT.as_secs())]
    NoAnswer,
    #[error("the kubelet refused resource {resource:?}: {message}")]
    Refused { resource: String, message: String },
    #[error("the kubelet registered us but did not ask for the devices within {} s", WATCH_TIMEOUT.as_secs())]
    NotWatched,
}

/// Keeps the node's GPUs advertised until `stop`. A kubelet that is away, restarts or drops us is retried for ever.
pub async fn keep_advertised(
    advertisement: Advertisement,
    inventory: watch::Receiver<Arc<Inventory>>,
    attempts: Attempts,
    allocations: Counters<Allocation>,
    stop: CancellationToken,
) {
    remove_dead_sockets(&advertisement.directory).await;
    let mut told = Told {
        attempts,
        allocations,
    };
    let mut pause = FIRST_RETRY;
    while !stop.is_cancelled() {
        match advertise(&advertisement, &inventory, &mut told, &stop).await {
            Ok(()) => pause = FIRST_RETRY,
            Err(error) => {
                told.attempts.failed();
                let error = with_causes(&error);
                tracing::warn!(error, retry_in = ?pause, "cannot register with the kubelet");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_RETRY),
            () = stop.cancelled() => {}
        }
    }
}

/// Where is told what comes of registrations.
struct Told {
    attempts: Attempts,
    allocations: Counters<Allocation>,
}

/// One registration from its socket to its end: the kubelet lets go, or `stop`, which waits for no peer.
async fn advertise(
    advertisement: &Advertisement,
    inventory: &watch::Receiver<Arc<Inventory>>,
    told: &mut Told,
    stop: &CancellationToken,
) -> Result<(), RegisterError> {
    let allocations = told.allocations.clone();
    let registration = Registration::serve(advertisement, inventory.clone(), allocations)?;
    let held = stop.run_until_cancelled(async {
        registration.register(advertisement).await?;
        let (resource, devices) = (&advertisement.resource, inventory.borrow().gpus.len());
        tracing::info!(resource, devices, "registered with the kubelet");
        told.attempts.succeeded();
        registration.lost.cancelled().await;
        told.attempts.undone();
        tracing::warn!("the kubelet let go of the device list; registering again");
        Ok(())
    });
    let held = held.await;
    registration.close().await;
    held.unwrap_or(Ok(()))
}

/// Our server, and the kubelet on the other side once it is registered.
struct Registration {
    endpoint: String,
    socket: PathBuf,
    watched: CancellationToken,
    lost: CancellationToken,
    end: CancellationToken,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Registration {
    /// Serves before anything is registered, since the kubelet calls back before `Register` returns.
    fn serve(
        advertisement: &Advertisement,
        inventory: watch::Receiver<Arc<Inventory>>,
        allocations: Counters<Allocation>,
    ) -> Result<Self, RegisterError> {
        let endpoint = fresh_socket_name();
        let socket = advertisement.directory.join(&endpoint);
        let listener = UnixListener::bind(&socket).map_err(|source| RegisterError::Serve {
            socket: socket.clone(),
            source,
        })?;
        let end = CancellationToken::new();
        let plugin = Plugin::new(inventory, allocations, end.clone());
        let (watched, lost) = (plugin.watched(), plugin.lost());
        let server = tokio::spawn(
            Server::builder()
                .add_service(DevicePluginServer::new(plugin))
                .serve_with_incoming_shutdown(
                    UnixListenerStream::new(listener),
                    end.clone().cancelled_owned(),
                ),
        );
        Ok(Self {
            endpoint,
            socket,
            watched,
            lost,
            end,
            server,
        })
    }

    /// Registers, and trusts the kubelet only when it has asked for the devices.
    async fn register(&self, advertisement: &Advertisement) -> Result<(), RegisterError> {
        register(advertisement, self.endpoint.clone()).await?;
        tokio::time::timeout(WATCH_TIMEOUT, self.watched.cancelled())
            .await
            .map_err(|_| RegisterError::NotWatched)
    }

    /// Ends the device list before the socket goes, so that the kubelet drops us in order.
    async fn close(mut self) {
        self.end.cancel();
        match tokio::time::timeout(CLOSE_TIMEOUT, &mut self.server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the device-plugin server ended"),
            Ok(Err(error)) => tracing::error!(%error, "the device-plugin server panicked"),
            Err(_) => {
                tracing::warn!(socket = %self.socket.display(), "a peer holds on to our socket");
                self.server.abort();
            }
        }
        remove(&self.socket).await;
    }
}

async fn register(advertisement: &Advertisement, endpoint: String) -> Result<(), RegisterError> {
    let socket = advertisement.directory.join(KUBELET_SOCKET);
    let dial = |source| RegisterError::Dial {
        socket: socket.clone(),
        source,
    };
    let request = RegisterRequest {
        version: API_VERSION.to_owned(),
        endpoint,
        resource_name: advertisement.resource.clone(),
        options: Some(OPTIONS),
    };
    let call = async {
        let address = format!("unix:{}", socket.display());
        let channel = Endpoint::from_shared(address)
            .map_err(dial)?
            .connect()
            .await
            .map_err(dial)?;
        RegistrationClient::new(channel)
            .register(request)
            .await
            .map_err(|status| {
                let resource = advertisement.resource.clone();
                RegisterError::Refused {
                    resource,
                    message: status.message().to_owned(),
                }
            })
    };
    tokio::time::timeout(REGISTER_TIMEOUT, call)
        .await
        .map_err(|_| RegisterError::NoAnswer)??;
    Ok(())
}

/// A name that no earlier registration had, in this process or in one before it.
fn fresh_socket_name() -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{SOCKET_PREFIX}{:x}.sock", now.as_nanos())
}

/// Removes sockets of ours on which nobody listens: left by an agent that was killed.
async fn remove_dead_sockets(directory: &Path) {
    let Ok(mut entries) = tokio::fs::read_dir(directory).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name();
        let socket = entry.file_type().await.is_ok_and(|kind| kind.is_socket());
        let ours = socket && name.to_string_lossy().starts_with(SOCKET_PREFIX);
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if ours && UnixStream::connect(entry.path()).await.is_err_and(refused) {
            remove(&entry.path()).await;
        }
    }
}

async fn remove(socket: &Path) {
    match tokio::fs::remove_file(socket).await {
        // A kubelet that starts wipes the directory.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(socket = %socket.display(), %error, "cannot remove our socket");
        }
        _ => {}
    }
}
