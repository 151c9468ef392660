//! Hosts from names: what the knowledge base knows of a product, looked up once for each name.
//!
//! Pure. The same few names stand on thousands of nodes, and a look-up compares a name with hundreds.

use std::collections::HashMap;

use super::super::object::NodeObject;
use crate::compat::{Catalog, ComputeCapability, CpuArchitecture, Host, Platform};

/// Labels that tell a node's architecture where nodeInfo does not; the second is the older one.
const ARCHITECTURE_LABELS: [&str; 2] = ["kubernetes.io/arch", "beta.kubernetes.io/arch"];

/// The products of the knowledge base.
#[derive(Debug)]
pub(in super::super) struct Models<'a> {
    catalog: &'a Catalog,
    known: HashMap<Box<str>, Option<Host>>,
}

impl<'a> Models<'a> {
    pub(in super::super) fn new(catalog: &'a Catalog) -> Self {
        Self {
            catalog,
            known: HashMap::new(),
        }
    }

    /// What is known of a product by its name alone.
    pub(in super::super) fn named(&mut self, name: &str) -> Option<Host> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let found = self.catalog.find_gpu(name).found().map(Host::of_gpu);
        self.known.insert(name.into(), found.clone());
        found
    }

    /// A GPU of that capability, with that name if it is known: the capability goes before the name, which then adds
    /// class and brand only if it agrees.
    pub(super) fn measured(&mut self, name: &str, capability: ComputeCapability) -> Host {
        let known = self.named(name);
        let agreeing = known.filter(|host| host.capability == Some(capability));
        // Labels have dashes where names have spaces; one model is to have one name.
        let whole = agreeing.as_ref().and_then(|host| host.product.clone());
        let whole = whole.filter(|whole| whole.replace(' ', "-") == name);
        Host {
            product: whole.or_else(|| Some(name.into())),
            capability: Some(capability),
            platform: self.platform(capability),
            ..agreeing.unwrap_or_default()
        }
    }

    /// Discrete or Tegra, by the chip.
    pub(super) fn platform(&self, capability: ComputeCapability) -> Option<Platform> {
        self.catalog.chip(capability).map(|chip| chip.platform)
    }
}

/// The architecture of a node's processors.
pub(in super::super) fn architecture(node: &NodeObject) -> Option<CpuArchitecture> {
    let labels = ARCHITECTURE_LABELS
        .iter()
        .filter_map(|key| node.labels.get(*key));
    node.architecture
        .iter()
        .chain(labels)
        .find_map(|word| word.parse().ok())
}
