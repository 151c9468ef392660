//! Every label that any node carries, once: pairs of key and value become small numbers.
//!
//! Pure. 15,000 nodes with 80 labels each hold a few thousand different pairs, apart from the few keys whose value is
//! a node's own.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Longest label key and value that are kept, in bytes: those that the API server accepts.
const KEY_LIMIT: usize = 253 + 1 + 63;
const VALUE_LIMIT: usize = 63;

/// A label key, by its position in the table.
pub(super) type KeyId = u32;
/// A label, by its position in the table.
pub(super) type PairId = u32;

/// The labels.
#[derive(Debug, Clone, Default)]
pub(super) struct LabelTable {
    keys: Vec<Box<str>>,
    key_index: HashTable<KeyId>,
    pairs: Vec<Pair>,
    pair_index: HashTable<PairId>,
    /// All values, end to end.
    values: String,
    /// The key after the one that was asked for last: nodes have much the same keys, in the same order.
    expected: KeyId,
    hasher: DefaultHashBuilder,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    key: KeyId,
    start: u32,
    length: u32,
}

impl LabelTable {
    /// The number of a pair, which is added if it is new; `None` if no node can carry such a label.
    pub(super) fn intern(&mut self, key: &str, value: &str) -> Option<PairId> {
        if key.len() > KEY_LIMIT || value.len() > VALUE_LIMIT {
            return None;
        }
        let key = self.intern_key(key)?;
        self.expected = key.wrapping_add(1);
        if let Some(found) = self.find_pair(key, value) {
            return Some(found);
        }
        let id = u32::try_from(self.pairs.len()).ok()?;
        let start = u32::try_from(self.values.len()).ok()?;
        let length = u32::try_from(value.len()).ok()?;
        self.values.push_str(value);
        self.pairs.push(Pair { key, start, length });
        let (pairs, values, hasher) = (&self.pairs, &self.values, &self.hasher);
        let hash_of = |id: &PairId| {
            let pair = pairs.get(*id as usize).copied();
            pair.map_or(0, |pair| {
                hasher.hash_one((pair.key, value_of(values, pair)))
            })
        };
        self.pair_index
            .insert_unique(hasher.hash_one((key, value)), id, hash_of);
        Some(id)
    }

    fn intern_key(&mut self, key: &str) -> Option<KeyId> {
        if self.key(self.expected) == key && !key.is_empty() {
            return Some(self.expected);
        }
        if let Some(found) = self.find_key(key) {
            return Some(found);
        }
        let id = u32::try_from(self.keys.len()).ok()?;
        self.keys.push(key.into());
        let (keys, hasher) = (&self.keys, &self.hasher);
        let hash_of =
            |id: &KeyId| hasher.hash_one(keys.get(*id as usize).map_or("", AsRef::as_ref));
        self.key_index
            .insert_unique(hasher.hash_one(key), id, hash_of);
        Some(id)
    }

    /// The number of a key, if any node carries it.
    pub(super) fn find_key(&self, key: &str) -> Option<KeyId> {
        let same = |id: &KeyId| self.key(*id) == key;
        self.key_index
            .find(self.hasher.hash_one(key), same)
            .copied()
    }

    /// The number of a pair, if any node carries it.
    pub(super) fn find(&self, key: &str, value: &str) -> Option<PairId> {
        self.find_pair(self.find_key(key)?, value)
    }

    fn find_pair(&self, key: KeyId, value: &str) -> Option<PairId> {
        let same = |id: &PairId| {
            let pair = self.pairs.get(*id as usize);
            pair.is_some_and(|pair| pair.key == key && value_of(&self.values, *pair) == value)
        };
        self.pair_index
            .find(self.hasher.hash_one((key, value)), same)
            .copied()
    }

    /// A key's text.
    pub(super) fn key(&self, id: KeyId) -> &str {
        self.keys.get(id as usize).map_or("", AsRef::as_ref)
    }

    /// A pair's key and its value's text.
    pub(super) fn pair(&self, id: PairId) -> (KeyId, &str) {
        match self.pairs.get(id as usize) {
            Some(pair) => (pair.key, value_of(&self.values, *pair)),
            None => (KeyId::MAX, ""),
        }
    }

    /// How many pairs there are.
    pub(super) fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Bytes that the table takes, near enough.
    pub(super) fn bytes(&self) -> usize {
        const SLOT: usize = size_of::<u32>() + 1;
        let keys: usize = self.keys.iter().map(|key| key.len() + 16).sum();
        let slots = self.pair_index.capacity() + self.key_index.capacity();
        keys + self.pairs.capacity() * size_of::<Pair>() + self.values.capacity() + slots * SLOT
    }
}

fn value_of(values: &str, pair: Pair) -> &str {
    let start = pair.start as usize;
    values
        .get(start..start + pair.length as usize)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pairs_are_one_and_different_pairs_are_two() {
        let mut table = LabelTable::default();
        let first = table.intern("a", "1").unwrap();
        assert_eq!(table.intern("a", "1"), Some(first));
        let others = [("a", "2"), ("b", "1"), ("a", ""), ("a1", "")];
        for (key, value) in others {
            assert_ne!(table.intern(key, value), Some(first));
        }
        assert_eq!(table.find("a", "3"), None);
        assert_eq!(table.find("c", "1"), None);
        let (key, value) = table.pair(first);
        assert_eq!((table.key(key), value), ("a", "1"));
        assert_eq!((table.pairs(), table.keys()), (5, 3));
    }

    #[test]
    fn what_no_node_can_carry_is_not_kept() {
        let mut table = LabelTable::default();
        assert_eq!(table.intern("a", &"v".repeat(64)), None);
        assert_eq!(table.intern(&"k".repeat(400), "v"), None);
    }

    #[test]
    fn many_pairs_are_all_found_again() {
        let mut table = LabelTable::default();
        let ids: Vec<_> = (0..5000)
            .map(|index| table.intern(&format!("k{}", index % 50), &index.to_string()))
            .collect();
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(
                table.find(&format!("k{}", index % 50), &index.to_string()),
                *id
            );
        }
    }
}
