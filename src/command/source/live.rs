//! Reads lists from a live cluster: the only file of the commands that holds a Kubernetes client, and it only reads.
//!
//! Everything is bounded: pages of [`PAGE`] objects, [`MAX_OBJECTS`] of a kind, one answer in [`ANSWER_LIMIT`], all of
//! it in [`LIMIT`]. An API that the cluster does not serve is no fault. Knows nothing of what the objects mean.

use std::io;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Request;
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::SourceArguments;

/// Objects of one page.
const PAGE: u32 = 500;
/// Most objects of one kind that are read.
const MAX_OBJECTS: usize = 200_000;
/// Longest that a connection may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest that one answer may pause.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Longest that all of it may take.
const LIMIT: Duration = Duration::from_secs(180);
/// Most contexts that an error lists.
const CONTEXTS_SHOWN: usize = 20;

/// Why a cluster cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No kubeconfig, or one that cannot be used.
    #[error(
        "no cluster to read: {place} cannot be used (name one with --kubeconfig, or nodes from a file with --nodes)"
    )]
    Kubeconfig {
        /// Where it is, or was looked for.
        place: String,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// A context that is not there.
    #[error("--context {name:?}: the kubeconfig has no such context; it has {}", listed(.known))]
    NoContext {
        /// The context as given.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// The client cannot be made, as with a certificate that cannot be read.
    #[error("cannot make a connection to {address} as the kubeconfig says")]
    Client {
        /// The API server.
        address: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server says who we are not.
    #[error("{address} does not accept the kubeconfig's credentials (401): log in again")]
    Unauthorized {
        /// The API server.
        address: String,
    },
    /// The right to list something is missing.
    #[error(
        "{address} does not let you list {resource} (403): ask for the right \"list\" on {resource}, as \"kubectl create clusterrole gpu-capgate-reader --verb=list --resource={resource}\" gives it"
    )]
    Forbidden {
        /// The API server.
        address: String,
        /// What may not be listed, as RBAC names it.
        resource: String,
    },
    /// No answer, or one that cannot be understood.
    #[error(
        "{address} gives no usable answer for {path} (see whether \"kubectl get --raw {path}\" has one, or read a file with --nodes)"
    )]
    Unreachable {
        /// The API server.
        address: String,
        /// What was asked for.
        path: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// It takes too long.
    #[error("{address} has not answered everything within {} s: try again, or read a file with --nodes", LIMIT.as_secs())]
    TooSlow {
        /// The API server.
        address: String,
    },
    /// More objects than are read.
    #[error(
        "{address} has more than {MAX_OBJECTS} objects at {path}: no cluster of that size is known"
    )]
    TooMany {
        /// The API server.
        address: String,
        /// Where they are.
        path: String,
    },
    /// The machine has no thread or timer left.
    #[error("cannot start the network client")]
    Runtime(#[source] io::Error),
}

fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names
        .iter()
        .take(CONTEXTS_SHOWN)
        .map(String::as_str)
        .collect();
    match (names.len(), names.len().saturating_sub(shown.len())) {
        (0, _) => "none".to_owned(),
        (_, 0) => shown.join(", "),
        (_, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether the cluster has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// It has.
    Yes,
    /// There is no such API.
    No,
}

/// What the API server can list in one group and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listable {
    pub(super) kind: String,
    /// As paths name it.
    pub(super) plural: String,
}

/// A cluster that can be read.
pub(super) struct Cluster {
    client: Client,
    address: String,
}

/// Does something with the cluster that the arguments name, on a runtime of its own.
pub(super) fn with_cluster<T>(
    arguments: &SourceArguments,
    work: impl AsyncFnOnce(&Cluster) -> Result<T, ClusterError>,
) -> Result<T, ClusterError> {
    // Fails only if a provider is there already, which is just as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClusterError::Runtime)?;
    runtime.block_on(async {
        let config = config(arguments).await?;
        let address = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|source| ClusterError::Client {
            address: address.clone(),
            source: Box::new(source),
        })?;
        let cluster = Cluster { client, address };
        match tokio::time::timeout(LIMIT, work(&cluster)).await {
            Ok(done) => done,
            Err(_) => Err(ClusterError::TooSlow {
                address: cluster.address,
            }),
        }
    })
}

async fn config(arguments: &SourceArguments) -> Result<Config, ClusterError> {
    let unusable = |error| ClusterError::Kubeconfig {
        place: place(arguments.kubeconfig.as_deref()),
        source: Box::new(error),
    };
    let kubeconfig = match (
        kubeconfig(arguments.kubeconfig.as_deref()),
        arguments.is_given(),
    ) {
        (Ok(kubeconfig), _) => kubeconfig,
        // In a Pod there is no kubeconfig, and none is needed.
        (Err(error), false) => {
            return Config::incluster()
                .map(bounded)
                .map_err(|_| unusable(error));
        }
        (Err(error), true) => return Err(unusable(error)),
    };
    if let Some(name) = &arguments.context {
        let contexts = kubeconfig.contexts.iter();
        let known: Vec<String> = contexts.map(|context| context.name.clone()).collect();
        if !known.contains(name) {
            return Err(ClusterError::NoContext {
                name: name.clone(),
                known,
            });
        }
    }
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map(bounded).map_err(unusable)
}

fn place(path: Option<&Path>) -> String {
    match path {
        Some(path) => format!("--kubeconfig {}", path.display()),
        None => "the kubeconfig (of KUBECONFIG, else ~/.kube/config)".to_owned(),
    }
}

fn kubeconfig(path: Option<&Path>) -> Result<Kubeconfig, KubeconfigError> {
    match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    }
}

fn bounded(mut config: Config) -> Config {
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.read_timeout = Some(ANSWER_LIMIT);
    config.write_timeout = Some(ANSWER_LIMIT);
    config
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    // Some lists of nothing have `items: null`.
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

impl Cluster {
    /// The namespace that the context chooses; `default` if it chooses none.
    pub(super) fn namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// Gives each object at a path to `take`, page by page. `resource` is what the right to do so is called.
    pub(super) async fn list(
        &self,
        path: &str,
        resource: &str,
        mut take: impl FnMut(Value),
    ) -> Result<Served, ClusterError> {
        let mut parameters = ListParams::default().limit(PAGE);
        let mut count = 0_usize;
        loop {
            let Some(page) = self.page(path, resource, &parameters).await? else {
                return Ok(Served::No);
            };
            let items = page.items.unwrap_or_default();
            count = count.saturating_add(items.len());
            if count > MAX_OBJECTS {
                return Err(ClusterError::TooMany {
                    address: self.address.clone(),
                    path: path.to_owned(),
                });
            }
            items.into_iter().for_each(&mut take);
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => parameters = ListParams::default().limit(PAGE).continue_token(&next),
                None => return Ok(Served::Yes),
            }
        }
    }

    /// A page of a list; `None` if there is no such API.
    async fn page(
        &self,
        path: &str,
        resource: &str,
        parameters: &ListParams,
    ) -> Result<Option<Page>, ClusterError> {
        let asked = Request::new(path)
            .list(parameters)
            .map_err(kube::Error::BuildRequest);
        let answer = match asked {
            Ok(request) => self.client.request::<Page>(request).await,
            Err(error) => Err(error),
        };
        self.served(answer, path, resource)
    }

    /// What can be listed in a group and version, as `apps/v1`; `None` if there is no such API.
    pub(super) async fn resources(
        &self,
        api_version: &str,
    ) -> Result<Option<Vec<Listable>>, ClusterError> {
        let answer = if api_version.contains('/') {
            self.client.list_api_group_resources(api_version).await
        } else {
            self.client.list_core_api_resources(api_version).await
        };
        let found: Option<APIResourceList> = self.served(answer, api_version, api_version)?;
        Ok(found.map(|list| {
            let resources = list.resources.into_iter();
            let listable = resources.filter(|resource| {
                !resource.name.contains('/') && resource.verbs.iter().any(|verb| verb == "list")
            });
            listable
                .map(|resource| Listable {
                    kind: resource.kind,
                    plural: resource.name,
                })
                .collect()
        }))
    }

    fn served<T>(
        &self,
        answer: Result<T, kube::Error>,
        path: &str,
        resource: &str,
    ) -> Result<Option<T>, ClusterError> {
        let error = match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        let address = self.address.clone();
        let code = if let kube::Error::Api(status) = &error {
            status.code
        } else {
            0
        };
        match code {
            404 => Ok(None),
            401 => Err(ClusterError::Unauthorized { address }),
            403 => Err(ClusterError::Forbidden {
                address,
                resource: resource.to_owned(),
            }),
            _ => Err(ClusterError::Unreachable {
                address,
                path: path.to_owned(),
                source: Box::new(error),
            }),
        }
    }
}
