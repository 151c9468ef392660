//! Tables of entries: parsed when first asked for, merged with an overlay, sorted by key.

use std::sync::OnceLock;

use serde::Deserialize;

use super::entry::{
    Alias, Chip, DefaultVariant, DriverBranch, ErrorText, Gpu, LibraryCode, NgcImage, Toolkit,
    TorchBuild,
};
use super::key::Entry;

/// What one TOML document may hold: any mixture of the kinds of entries.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Document {
    /// Day on which the facts were compiled, `YYYY-MM-DD`.
    pub(super) date: Option<Box<str>>,
    pub(super) torch: Vec<TorchBuild>,
    pub(super) torch_default: Vec<DefaultVariant>,
    pub(super) toolkit: Vec<Toolkit>,
    pub(super) driver: Vec<DriverBranch>,
    pub(super) chip: Vec<Chip>,
    pub(super) gpu: Vec<Gpu>,
    pub(super) library: Vec<LibraryCode>,
    pub(super) ngc: Vec<NgcImage>,
    pub(super) error: Vec<ErrorText>,
    pub(super) alias: Vec<Alias>,
}

/// One table: the embedded entries, over which those of an overlay are laid.
#[derive(Debug)]
pub(super) struct Table<T> {
    embedded: &'static str,
    pick: fn(Document) -> Vec<T>,
    overlay: Vec<T>,
    entries: OnceLock<Vec<T>>,
}

impl<T: Entry> Table<T> {
    pub(super) const fn new(embedded: &'static str, pick: fn(Document) -> Vec<T>) -> Self {
        Self {
            embedded,
            pick,
            overlay: Vec::new(),
            entries: OnceLock::new(),
        }
    }

    /// The same table with entries laid over it; each must have its own key.
    pub(super) fn overlaid(
        embedded: &'static str,
        pick: fn(Document) -> Vec<T>,
        overlay: Vec<T>,
    ) -> Self {
        Self {
            embedded,
            pick,
            overlay,
            entries: OnceLock::new(),
        }
    }

    /// All entries, sorted by key.
    pub(super) fn entries(&self) -> &[T] {
        self.entries.get_or_init(|| {
            let document: Document =
                toml::from_str(self.embedded).expect("the embedded tables are parsed by the tests");
            merge((self.pick)(document), &self.overlay)
        })
    }

    /// The entry with that key, by binary search.
    pub(super) fn find<'a>(&'a self, key: &T::Key<'a>) -> Option<&'a T> {
        let entries = self.entries();
        entries
            .binary_search_by(|entry| entry.key().cmp(key))
            .ok()
            .and_then(|index| entries.get(index))
    }
}

fn merge<T: Entry>(embedded: Vec<T>, overlay: &[T]) -> Vec<T> {
    if overlay.is_empty() {
        return embedded;
    }
    let replaced = |entry: &T| overlay.iter().any(|over| over.key() == entry.key());
    let mut entries: Vec<T> = embedded
        .into_iter()
        .filter(|entry| !replaced(entry))
        .collect();
    entries.extend(overlay.iter().cloned().map(|mut entry| {
        entry.mark_attached();
        entry
    }));
    entries.sort_by(|one, other| one.key().cmp(&other.key()));
    entries
}
