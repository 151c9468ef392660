//! What a fleet holds, told class by class: how many GPUs, which labels, where they were read.
//!
//! Pure. For people and for programs that list nodes; candidates need none of it.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::table::PairId;
use super::{ClassId, Fleet, Origin};

impl Fleet {
    /// How many devices the nodes of a class have in all, by the name of each GPU resource: the greater of capacity
    /// and allocatable.
    #[must_use]
    pub fn devices(&self, id: ClassId) -> BTreeMap<&str, u64> {
        let mut devices: BTreeMap<&str, u64> = BTreeMap::new();
        for cell in self.cells.iter().filter(|cell| cell.class == id) {
            let nodes = u64::from(cell.end - cell.start);
            let offer = self.offers.get(cell.offer as usize);
            for (name, amount) in offer.iter().flat_map(|offer| &offer.amounts) {
                if self.resources.kind(name).is_some() {
                    let each = amount.capacity.max(amount.allocatable);
                    let all = devices.entry(name).or_default();
                    *all = all.saturating_add(each.saturating_mul(nodes));
                }
            }
        }
        devices
    }

    /// The values of a label on the nodes of a class, with how many have each.
    #[must_use]
    pub fn label_values(&self, id: ClassId, key: &str) -> BTreeMap<String, usize> {
        let mut set = Bits::none(self.nodes());
        for cell in self.cells.iter().filter(|cell| cell.class == id) {
            (cell.start..cell.end).for_each(|position| set.insert(position));
        }
        let values = self.index.values_within(key, &set);
        values
            .map(|(value, count)| (value.to_owned(), count))
            .collect()
    }

    /// The labels that a row of the index stands for.
    pub(super) fn labels<'a>(
        &'a self,
        row: &'a [PairId],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let table = self.index.table();
        row.iter().map(|pair| {
            let (key, value) = table.pair(*pair);
            (table.key(key), value)
        })
    }

    /// Where what is known of a class was read.
    pub fn origins(&self, id: ClassId) -> impl Iterator<Item = Origin> {
        self.origins
            .get(id.0 as usize)
            .into_iter()
            .flatten()
            .copied()
    }
}
