//! What of a live cluster is read for a fleet, and in which versions. Nodes must be readable; everything else may be
//! missing or forbidden, which is a note.

use serde_json::Value;

use super::live::{Cluster, ClusterError, Served, with_cluster};
use crate::cli::SourceArguments;
use crate::cluster::fleet::Listing;
use crate::cluster::workload::ObjectKind;

/// A kind of objects, by group, kind, plural, and the versions of which the first that is served is read.
struct Wanted {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    versions: &'static [&'static str],
}

const NODES: Wanted = Wanted {
    group: "",
    kind: "Node",
    plural: "nodes",
    versions: &["v1"],
};

const OTHERS: [Wanted; 4] = [
    Wanted {
        group: "node.k8s.io",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        versions: &["v1"],
    },
    Wanted {
        group: "resource.k8s.io",
        kind: "DeviceClass",
        plural: "deviceclasses",
        versions: &["v1", "v1beta2", "v1beta1"],
    },
    Wanted {
        group: "resource.k8s.io",
        kind: "ResourceSlice",
        plural: "resourceslices",
        versions: &["v1", "v1beta2", "v1beta1"],
    },
    Wanted {
        group: "karpenter.sh",
        kind: "NodePool",
        plural: "nodepools",
        versions: &["v1", "v1beta1"],
    },
];

impl Wanted {
    /// As RBAC and kubectl name it: `nodepools.karpenter.sh`.
    fn resource(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    fn object_kind(&self, version: &str) -> ObjectKind {
        ObjectKind {
            group: self.group.to_owned(),
            version: version.to_owned(),
            kind: self.kind.to_owned(),
        }
    }
}

/// Where objects of a group, version and plural are listed, in all namespaces.
pub(super) fn path(api_version: &str, plural: &str) -> String {
    if api_version.contains('/') {
        format!("/apis/{api_version}/{plural}")
    } else {
        format!("/api/{api_version}/{plural}")
    }
}

/// Reads all that decides about candidates into a listing; gives notes of what could not be read.
pub(super) fn read(
    arguments: &SourceArguments,
    listing: &mut Listing<'_>,
) -> Result<Vec<String>, ClusterError> {
    with_cluster(arguments, async |cluster| {
        read_kind(cluster, &NODES, listing).await?;
        let mut notes = Vec::new();
        for wanted in &OTHERS {
            match read_kind(cluster, wanted, listing).await {
                Err(error @ ClusterError::Forbidden { .. }) => {
                    notes.push(format!("{} were not read: {error}", wanted.resource()));
                }
                read => read?,
            }
        }
        Ok(notes)
    })
}

async fn read_kind(
    cluster: &Cluster,
    wanted: &Wanted,
    listing: &mut Listing<'_>,
) -> Result<(), ClusterError> {
    for version in wanted.versions {
        let kind = wanted.object_kind(version);
        let path = path(&kind.api_version(), wanted.plural);
        let take = |object: Value| listing.put(&path, &kind, object);
        if cluster.list(&path, &wanted.resource(), take).await? == Served::Yes {
            break;
        }
    }
    Ok(())
}
