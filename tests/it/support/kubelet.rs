//! A kubelet's side of the device-plugin API, in the order that the real one keeps (pkg/kubelet/cm/devicemanager):
//! it dials the plugin back before it answers `Register`, and asks for the device list after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use gpu_capgate::node::plugin::api::device_plugin_client::DevicePluginClient;
use gpu_capgate::node::plugin::api::registration_server::{Registration, RegistrationServer};
use gpu_capgate::node::plugin::api::{
    AllocateRequest, ContainerAllocateRequest, Empty, ListAndWatchResponse, RegisterRequest,
};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::within;

/// How a kubelet treats who registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Proper,
    /// Answers `Register` with this error.
    Refuses(&'static str),
    /// Takes the call and says nothing.
    Silent,
    /// Answers `Register` and never asks for the device list.
    Forgetful,
}

/// A kubelet that is up. Dropping it takes its registration socket away; the device lists that it watches live in
/// the [`Watch`]es.
pub(crate) struct Kubelet {
    socket: PathBuf,
    requests: mpsc::UnboundedReceiver<RegisterRequest>,
    watches: mpsc::UnboundedReceiver<Watch>,
    _stop: DropGuard,
}

/// One plugin's device list, open. Dropping it hangs up.
pub(crate) struct Watch {
    plugin: DevicePluginClient<Channel>,
    lists: Streaming<ListAndWatchResponse>,
}

impl Kubelet {
    /// Starts as the kubelet does: the sockets that lie in the directory are wiped first.
    pub(crate) fn start(directory: &Path, manner: Manner) -> Self {
        wipe_sockets(directory);
        let socket = directory.join("kubelet.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (requests_in, requests) = mpsc::unbounded_channel();
        let (watches_in, watches) = mpsc::unbounded_channel();
        let desk = Desk {
            directory: directory.to_owned(),
            manner,
            requests: requests_in,
            watches: watches_in,
        };
        let stop = CancellationToken::new();
        let server = Server::builder()
            .add_service(RegistrationServer::new(desk))
            .serve_with_incoming_shutdown(
                UnixListenerStream::new(listener),
                stop.clone().cancelled_owned(),
            );
        tokio::spawn(server);
        Self {
            socket,
            requests,
            watches,
            _stop: stop.drop_guard(),
        }
    }

    /// The next call of `Register`.
    pub(crate) async fn request(&mut self) -> RegisterRequest {
        within("a call of Register", self.requests.recv())
            .await
            .unwrap()
    }

    /// The next device list that it has opened.
    pub(crate) async fn watch(&mut self) -> Watch {
        within("a device list", self.watches.recv()).await.unwrap()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        // A test's folder may be gone already.
        let _ = fs::remove_file(&self.socket);
    }
}

fn wipe_sockets(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_socket() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

impl Watch {
    /// The next device list, as IDs; every device has to be healthy.
    pub(crate) async fn devices(&mut self) -> Vec<String> {
        let list = within("a device list", self.lists.message()).await;
        let devices = list.unwrap().expect("the stream is open").devices;
        assert!(devices.iter().all(|device| device.health == "Healthy"));
        devices.into_iter().map(|device| device.id).collect()
    }

    /// Waits for the plugin to end the list.
    pub(crate) async fn ended(&mut self) {
        let end = within("the end of the device list", self.lists.message()).await;
        assert_eq!(end.unwrap(), None);
    }

    /// Asks for a container's devices; its environment, or the refusal.
    pub(crate) async fn allocate(
        &mut self,
        devices: &[&str],
    ) -> Result<BTreeMap<String, String>, Status> {
        let devices = devices.iter().map(|&id| id.to_owned()).collect();
        let request = AllocateRequest {
            container_requests: vec![ContainerAllocateRequest {
                device_ids: devices,
            }],
        };
        let answer = within("an answer to Allocate", self.plugin.allocate(request)).await?;
        let mut containers = answer.into_inner().container_responses;
        assert_eq!(containers.len(), 1, "one answer for one container");
        Ok(containers.remove(0).envs.into_iter().collect())
    }
}

/// The service behind the registration socket.
struct Desk {
    directory: PathBuf,
    manner: Manner,
    requests: mpsc::UnboundedSender<RegisterRequest>,
    watches: mpsc::UnboundedSender<Watch>,
}

#[tonic::async_trait]
impl Registration for Desk {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Empty>, Status> {
        let request = request.into_inner();
        let socket = self.directory.join(&request.endpoint);
        let announced = request.options;
        // Nobody may be left to hear of it at the end of a test.
        let _ = self.requests.send(request);
        match self.manner {
            Manner::Proper | Manner::Forgetful => {}
            Manner::Refuses(why) => return Err(Status::unknown(why)),
            Manner::Silent => std::future::pending().await,
        }
        let mut plugin = dial(&socket).await?;
        let options = plugin.get_device_plugin_options(Empty {}).await?;
        assert_eq!(Some(options.into_inner()), announced);
        if self.manner == Manner::Proper {
            tokio::spawn(watch(plugin, self.watches.clone()));
        }
        Ok(Response::new(Empty {}))
    }
}

async fn dial(socket: &Path) -> Result<DevicePluginClient<Channel>, Status> {
    let unreachable = |error: tonic::transport::Error| Status::unknown(error.to_string());
    let address = format!("unix:{}", socket.display());
    let endpoint = Endpoint::from_shared(address).map_err(unreachable)?;
    // The authority that the kubelet gives since 1.26.
    let endpoint = endpoint.origin("http://localhost".parse().unwrap());
    let channel = endpoint.connect().await.map_err(unreachable)?;
    Ok(DevicePluginClient::new(channel))
}

async fn watch(mut plugin: DevicePluginClient<Channel>, watches: mpsc::UnboundedSender<Watch>) {
    if let Ok(lists) = plugin.list_and_watch(Empty {}).await {
        let lists = lists.into_inner();
        let _ = watches.send(Watch { plugin, lists });
    }
}
