//! Writes the node-label contract on this agent's own Node, and keeps it there.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use super::inventory::Inventory;
use crate::labels::{self, NodeMetadata};
use crate::telemetry::with_causes;

/// Owner of our labels in server-side apply.
const FIELD_MANAGER: &str = "gpu-capgate";
/// Labels that somebody removed come back within that time.
const REAPPLY: Duration = Duration::from_secs(300);
/// A call that is not answered within that time is made again: nothing else would tell that its connection is dead.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The Node to label.
#[derive(Debug, Clone)]
pub struct OwnNode {
    /// Its name.
    pub name: String,
    /// The kernel's boot ID.
    pub boot_id: String,
}

/// Labels that could not be written.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("the API server did not answer within {} s", CALL_TIMEOUT.as_secs())]
    NoAnswer,
    #[error(transparent)]
    Refused(#[from] kube::Error),
}

/// Whether the Node carries an inventory, maybe of an earlier time; `None` if the API server does not tell.
pub(super) async fn carries_inventory(client: &kube::Client, node: &str) -> Option<bool> {
    let nodes: Api<Node> = Api::all(client.clone());
    let read = nodes.get_metadata(node);
    let found = tokio::time::timeout(CALL_TIMEOUT, read).await.ok()?;
    let annotations = found.ok()?.metadata.annotations.unwrap_or_default();
    Some(annotations.contains_key(labels::INVENTORY_ANNOTATION))
}

/// Keeps the Node labelled until `stop`. An API server that is away is retried for ever.
pub async fn keep_labelled(
    client: kube::Client,
    node: OwnNode,
    mut inventory: watch::Receiver<Arc<Inventory>>,
    mut attempts: Attempts,
    stop: CancellationToken,
) {
    let nodes: Api<Node> = Api::all(client);
    let mut pause = FIRST_RETRY;
    while !stop.is_cancelled() {
        let metadata = labels::encode(&inventory.borrow_and_update().node_gpus(&node.boot_id));
        let applied = stop.run_until_cancelled(apply(&nodes, &node.name, &metadata));
        let Some(applied) = applied.await else { break };
        let wait = match applied {
            Ok(()) => {
                if attempts.is_waiting() {
                    tracing::info!(node = node.name, labels = metadata.labels.len(), "labelled");
                }
                attempts.succeeded();
                pause = FIRST_RETRY;
                REAPPLY
            }
            Err(error) => {
                tracing::warn!(node = node.name, error = explain(&error), retry_in = ?pause, "cannot label the node");
                attempts.failed();
                let next = (pause * 2).min(LONGEST_RETRY);
                std::mem::replace(&mut pause, next)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = inventory.changed() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Applies with force: the domain is ours alone. Keys that we wrote before and no longer name go away.
async fn apply(nodes: &Api<Node>, name: &str, metadata: &NodeMetadata) -> Result<(), ApplyError> {
    let patch = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "labels": metadata.labels, "annotations": metadata.annotations },
    });
    let (params, patch) = (
        PatchParams::apply(FIELD_MANAGER).force(),
        Patch::Apply(patch),
    );
    tokio::time::timeout(CALL_TIMEOUT, nodes.patch(name, &params, &patch))
        .await
        .map_err(|_| ApplyError::NoAnswer)??;
    Ok(())
}

/// What a person can do about it, where the answer tells.
fn explain(error: &ApplyError) -> String {
    let ApplyError::Refused(kube::Error::Api(status)) = error else {
        return with_causes(error);
    };
    match status.code {
        403 => format!(
            "{}; the agent's ServiceAccount needs get and patch on nodes",
            status.message
        ),
        _ => status.message.clone(),
    }
}
