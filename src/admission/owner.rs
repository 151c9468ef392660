//! How old the controller of a Pod is: one look at its metadata, on the way to a denial and nowhere else.
//!
//! A refusal must not break what works: Pods of owners that are older than the installation are warned, not denied.
//! What an age is good for is `review`'s business. The owner's fields come from the Pod's author and are not trusted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ApiResource;
use kube::core::{DynamicObject, GroupVersionKind};
use tokio::time::{Instant, timeout_at};

use crate::cluster::demand::Owner;
use crate::cluster::workload::ObjectKind;

/// Most kinds of which a refusal is remembered, so that it is logged once.
const KINDS_LIMIT: usize = 64;

/// The age of an owner, measured by the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerAge {
    /// It was there before the installation.
    Older,
    /// It came with the installation or after it.
    Younger,
    /// Nobody could tell.
    Unknown(Gap),
}

/// Why the age of an owner is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// The API server did not answer in time.
    TimedOut,
    /// There is no such object, or one with another UID.
    Gone,
    /// We may not read objects of that kind.
    Forbidden,
    /// The reference names nothing that could exist.
    Malformed,
    /// The API server answered with something else.
    Failed,
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::TimedOut => "the API server did not answer in time",
            Self::Gone => "the owner does not exist",
            Self::Forbidden => "the webhook may not read owners of that kind",
            Self::Malformed => "the owner reference is malformed",
            Self::Failed => "the API server could not tell",
        })
    }
}

/// Looks owners up.
pub struct Owners {
    client: kube::Client,
    /// Kinds that we may not read.
    refused: Mutex<BTreeSet<ObjectKind>>,
}

impl Owners {
    /// Asks by that client, which should not try again by itself.
    #[must_use]
    pub fn new(client: kube::Client) -> Self {
        Self {
            client,
            refused: Mutex::default(),
        }
    }

    /// The age of a Pod's owner in the Pod's namespace. `installed` is when our registration was created; the answer
    /// comes before `deadline`, whatever happens.
    pub async fn age(
        &self,
        namespace: &str,
        owner: &Owner,
        installed: Timestamp,
        deadline: Instant,
    ) -> OwnerAge {
        let created = timeout_at(deadline, self.created(namespace, owner)).await;
        match created.unwrap_or(Err(Gap::TimedOut)) {
            Ok(created) if created < installed => OwnerAge::Older,
            Ok(_) => OwnerAge::Younger,
            Err(gap) => OwnerAge::Unknown(gap),
        }
    }

    async fn created(&self, namespace: &str, owner: &Owner) -> Result<Timestamp, Gap> {
        if !is_well_formed(owner) || !is_name(namespace) {
            return Err(Gap::Malformed);
        }
        let ObjectKind {
            group,
            version,
            kind,
        } = &owner.kind;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let objects: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let found = objects.get_metadata(&owner.name).await;
        let metadata = found.map_err(|error| self.gap(owner, &error))?.metadata;
        if metadata.uid.as_deref() != Some(owner.uid.as_str()) {
            return Err(Gap::Gone);
        }
        let created = metadata.creation_timestamp.ok_or(Gap::Failed)?;
        Ok(created.0)
    }

    fn gap(&self, owner: &Owner, error: &kube::Error) -> Gap {
        let code = if let kube::Error::Api(status) = error {
            Some(status.code)
        } else {
            None
        };
        match code {
            Some(404) => Gap::Gone,
            Some(401 | 403) => {
                self.complain(&owner.kind);
                Gap::Forbidden
            }
            Some(_) | None => {
                tracing::warn!(owner = %owner.kind, %error, "cannot look up the owner of a Pod");
                Gap::Failed
            }
        }
    }

    fn complain(&self, kind: &ObjectKind) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < KINDS_LIMIT && refused.insert(kind.clone()) {
            tracing::warn!(
                owner = %kind,
                fix = "allow the webhook's ServiceAccount to get it",
                "not allowed to look up the owner of a Pod: its age stays unknown"
            );
        }
    }
}

/// Whether an owner's fields are names that an object can have. They become part of a path.
pub(super) fn is_well_formed(owner: &Owner) -> bool {
    let ObjectKind {
        group,
        version,
        kind,
    } = &owner.kind;
    (group.is_empty() || is_name(group))
        && is_name(version)
        && is_kind(kind)
        && is_name(&owner.name)
        && is_uid(&owner.uid)
}

/// A DNS subdomain, or near enough that nothing in it has a meaning in a path (RFC 1123).
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 253
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| plain(byte) || b"-.".contains(&byte))
}

fn is_kind(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(kind: &str, name: &str, uid: &str) -> Owner {
        Owner {
            kind: ObjectKind::new("apps/v1", kind),
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }

    #[test]
    fn what_could_lead_elsewhere_in_a_path_is_malformed() {
        assert!(is_well_formed(&owner("ReplicaSet", "train-6d9f", "5f0c-1")));
        for (kind, name, uid) in [
            ("ReplicaSet", "../../secrets/token", "1"),
            ("ReplicaSet", "a?watch=1", "1"),
            ("ReplicaSet", "a%2fb", "1"),
            ("ReplicaSet", "..", "1"),
            ("ReplicaSet", "", "1"),
            ("Replica/Set", "a", "1"),
            ("", "a", "1"),
            ("ReplicaSet", "a", ""),
            ("ReplicaSet", "a", "1/2"),
        ] {
            assert!(
                !is_well_formed(&owner(kind, name, uid)),
                "{kind} {name} {uid}"
            );
        }
        let mut elsewhere = owner("ReplicaSet", "a", "1");
        elsewhere.kind.group = "apps/v1/namespaces".to_owned();
        assert!(!is_well_formed(&elsewhere));
    }
}
