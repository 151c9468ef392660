//! What watches tell, and what is known of each.

use k8s_openapi::api::node::v1::RuntimeClass;
use kube::runtime::watcher::Event;

use super::seen::{AgentPod, ModeText, NodePool, Seen};
use super::watched::Watched;
use crate::cluster::fleet::{DeviceClassObject, NodeObject, SliceObject};

/// Something that the API server told.
pub(super) enum Told {
    Node(Event<Seen<NodeObject>>),
    AgentPod(Event<Seen<AgentPod>>),
    RuntimeClass(Event<Seen<Box<RuntimeClass>>>),
    Namespace(Event<Seen<ModeText>>),
    DeviceClass(Event<Seen<Option<DeviceClassObject>>>),
    Slice(Event<Seen<Option<SliceObject>>>),
    NodePool(Event<Seen<NodePool>>),
    /// A watch has failed, for so many times without a success.
    Standing(Watched, Standing, u32),
    /// A watch that had failed goes on.
    Again(Watched),
}

/// What is known of a kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It has never been listed, and may be at any moment.
    #[default]
    Pending,
    /// It has been listed whole, and is followed since.
    Followed,
    /// It has been listed whole, and the watch fails now: the last state holds.
    Outdated,
    /// It could not be listed so far.
    Failing,
    /// The cluster does not serve it: there are no such objects.
    NotServed,
    /// We may not list it: there may be objects that we do not know.
    Forbidden,
}

/// Whether everything that decides has been listed, as far as it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synced {
    /// Not yet: nothing may be judged.
    #[default]
    NotYet,
    /// It has.
    Whole,
}
