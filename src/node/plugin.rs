//! The device plugin: the gRPC service that the kubelet calls on our socket.
//!
//! Answers from the latest inventory; what a container gets is decided in [`super::allocate`].

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use self::api::device_plugin_server::DevicePlugin;
use self::api::{
    AllocateRequest, AllocateResponse, ContainerAllocateResponse, Device, DevicePluginOptions,
    Empty, ListAndWatchResponse, PreStartContainerRequest, PreStartContainerResponse,
    PreferredAllocationRequest, PreferredAllocationResponse,
};
use super::allocate;
use super::counts::Allocation;
use super::inventory::Inventory;
use crate::telemetry::metrics::Counters;

/// The kubelet's device-plugin API, generated from `proto/`.
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code; proto/ holds the comments"
)]
pub mod api {
    tonic::include_proto!("v1beta1");
}

/// What a healthy device is called on the wire.
const HEALTHY: &str = "Healthy";

/// Options of this plugin: it needs no call before a container starts, and has no preferences yet.
pub(super) const OPTIONS: DevicePluginOptions = DevicePluginOptions {
    pre_start_required: false,
    get_preferred_allocation_available: false,
};

/// One registration's service.
#[derive(Debug)]
pub(super) struct Plugin {
    inventory: watch::Receiver<Arc<Inventory>>,
    allocations: Counters<Allocation>,
    /// Cancelled when the kubelet opens the device list.
    watched: CancellationToken,
    /// Cancelled when the kubelet's hold on the device list is gone, for whatever reason.
    lost: CancellationToken,
    /// Ends the device list.
    stop: CancellationToken,
}

impl Plugin {
    pub(super) fn new(
        inventory: watch::Receiver<Arc<Inventory>>,
        allocations: Counters<Allocation>,
        stop: CancellationToken,
    ) -> Self {
        let (watched, lost) = (CancellationToken::new(), CancellationToken::new());
        Self {
            inventory,
            allocations,
            watched,
            lost,
            stop,
        }
    }

    pub(super) fn watched(&self) -> CancellationToken {
        self.watched.clone()
    }

    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }
}

fn device_list(inventory: &Inventory) -> ListAndWatchResponse {
    let device = |id: &str| Device {
        id: id.to_owned(),
        health: HEALTHY.to_owned(),
        topology: None,
    };
    ListAndWatchResponse {
        devices: inventory.gpus.iter().map(|gpu| device(&gpu.uuid)).collect(),
    }
}

#[tonic::async_trait]
impl DevicePlugin for Plugin {
    type ListAndWatchStream =
        Pin<Box<dyn Stream<Item = Result<ListAndWatchResponse, Status>> + Send>>;

    async fn get_device_plugin_options(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        Ok(Response::new(OPTIONS))
    }

    async fn list_and_watch(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListAndWatchStream>, Status> {
        self.watched.cancel();
        // Lives in the stream, so it is dropped with it: when the kubelet goes away, restarts or hangs up.
        let lost = self.lost.clone().drop_guard();
        let lists = WatchStream::new(self.inventory.clone()).map(move |inventory| {
            let _held = &lost;
            Ok(device_list(&inventory))
        });
        Ok(Response::new(Box::pin(
            lists.take_until(self.stop.clone().cancelled_owned()),
        )))
    }

    async fn get_preferred_allocation(
        &self,
        _: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        Err(Status::unimplemented(
            "gpu-capgate has no preferences; the kubelet chooses",
        ))
    }

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        let inventory = Arc::clone(&self.inventory.borrow());
        let mut answer = AllocateResponse::default();
        for container in request.into_inner().container_requests {
            let environment =
                allocate::environment(&inventory, &container.device_ids).map_err(|error| {
                    self.allocations.add(Allocation::Refused);
                    tracing::warn!(%error, "allocation refused");
                    Status::not_found(format!("gpu-capgate: {error}"))
                })?;
            self.allocations.add(Allocation::Given);
            tracing::info!(devices = ?container.device_ids, "allocated");
            answer.container_responses.push(ContainerAllocateResponse {
                envs: environment.into_iter().collect(),
                ..ContainerAllocateResponse::default()
            });
        }
        Ok(Response::new(answer))
    }

    async fn pre_start_container(
        &self,
        _: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        Ok(Response::new(PreStartContainerResponse {}))
    }
}
