//! What namespaces say of how their Pods are to be treated: the mode label, by namespace.
//!
//! Pure. The words are kept as they stand; what a mode means is the admission's business.

use std::collections::BTreeMap;

/// The label by which a namespace chooses a mode.
pub const MODE_LABEL: &str = "gpu-capgate.io/mode";

/// The mode labels at one moment. Namespaces without one are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceModes(BTreeMap<String, String>);

impl NamespaceModes {
    /// The word that a namespace's label says, if it has one.
    #[must_use]
    pub fn mode(&self, namespace: &str) -> Option<&str> {
        self.0.get(namespace).map(String::as_str)
    }

    /// How many namespaces have the label.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no namespace has the label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for NamespaceModes {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(modes: I) -> Self {
        Self(modes.into_iter().collect())
    }
}

impl Extend<(String, String)> for NamespaceModes {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, modes: I) {
        self.0.extend(modes);
    }
}
