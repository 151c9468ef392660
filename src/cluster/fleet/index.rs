//! Which nodes carry a label: one list or bit set for each pair of key and value.
//!
//! Pure. Few nodes are listed, many are bits, so that no label costs more than four bytes a node. The answers are
//! those of `selector`, for all nodes at once.

use std::sync::Arc;

use super::bits::Bits;
use super::table::{KeyId, LabelTable, PairId};
use crate::cluster::placement::{Operator, Requirement, Term};
use crate::cluster::selector;

/// From one node in so many on, a bit set is smaller than a list.
const DENSE: usize = 32;

/// The labels of a fleet's nodes, by position.
#[derive(Debug, Clone, Default)]
pub(super) struct LabelIndex {
    table: Arc<LabelTable>,
    length: usize,
    postings: Vec<Posting>,
    /// Positions of the lists, end to end.
    listed: Vec<u32>,
    /// The bit sets, end to end.
    dense: Vec<u64>,
    /// Pairs of each key, end to end, and where each key's begin.
    pairs_by_key: Vec<PairId>,
    key_starts: Vec<u32>,
    /// Nodes that carry a key at all.
    present: Vec<Bits>,
}

/// The nodes that carry one pair.
#[derive(Debug, Clone, Copy)]
enum Posting {
    /// So many positions, from there on in the lists.
    List { start: u32, length: u32 },
    /// A bit set, from there on.
    Dense { start: u32 },
}

impl LabelIndex {
    /// The index of nodes in that order, each given by its labels.
    pub(super) fn build<'a>(
        table: Arc<LabelTable>,
        nodes: impl ExactSizeIterator<Item = &'a [PairId]> + Clone,
    ) -> Self {
        let mut index = Self {
            length: nodes.len(),
            present: vec![Bits::none(nodes.len()); table.keys()],
            table,
            ..Self::default()
        };
        index.lay_out(&counts(index.table.pairs(), nodes.clone()));
        index.fill(nodes);
        index.sort_by_key();
        index
    }

    /// Reserves room for each pair's nodes.
    fn lay_out(&mut self, counts: &[u32]) {
        let (mut listed, mut dense) = (0, 0);
        let words = self.length.div_ceil(64);
        for &count in counts {
            if count as usize * DENSE > self.length {
                self.postings.push(Posting::Dense {
                    start: narrow(dense),
                });
                dense += words;
            } else {
                let start = narrow(listed);
                self.postings.push(Posting::List { start, length: 0 });
                listed += count as usize;
            }
        }
        self.listed = vec![0; listed];
        self.dense = vec![0; dense];
    }

    fn fill<'a>(&mut self, nodes: impl Iterator<Item = &'a [PairId]>) {
        for (position, pairs) in (0..).zip(nodes) {
            for &pair in pairs {
                self.put(pair, position);
                let (key, _) = self.table.pair(pair);
                if let Some(present) = self.present.get_mut(key as usize) {
                    present.insert(position);
                }
            }
        }
    }

    fn put(&mut self, pair: PairId, position: u32) {
        match self.postings.get_mut(pair as usize) {
            Some(Posting::List { start, length }) => {
                if let Some(slot) = self.listed.get_mut((*start + *length) as usize) {
                    *slot = position;
                    *length += 1;
                }
            }
            Some(Posting::Dense { start }) => {
                let word = *start as usize + position as usize / 64;
                if let Some(word) = self.dense.get_mut(word) {
                    *word |= 1 << (position % 64);
                }
            }
            None => {}
        }
    }

    /// Groups the pairs by their key.
    fn sort_by_key(&mut self) {
        let pairs = 0..narrow(self.table.pairs());
        let mut grouped: Vec<PairId> = pairs.collect();
        grouped.sort_by_key(|pair| self.table.pair(*pair).0);
        let starts = (0..=narrow(self.table.keys()))
            .map(|key| narrow(grouped.partition_point(|pair| self.table.pair(*pair).0 < key)));
        self.key_starts = starts.collect();
        self.pairs_by_key = grouped;
    }

    pub(super) fn table(&self) -> &LabelTable {
        &self.table
    }

    /// All nodes.
    pub(super) fn all(&self) -> Bits {
        Bits::all(self.length)
    }

    /// Keeps the nodes that carry exactly that label.
    pub(super) fn keep(&self, set: &mut Bits, key: &str, value: &str) {
        let Some(pair) = self.table.find(key, value) else {
            *set = Bits::none(self.length);
            return;
        };
        match self.posting(pair) {
            Nodes::Dense(words) => set.intersect(words),
            Nodes::List(positions) => {
                let mut kept = Bits::none(self.length);
                for &position in positions.iter().filter(|position| set.contains(**position)) {
                    kept.insert(position);
                }
                *set = kept;
            }
        }
    }

    /// Keeps the nodes whose labels meet all of a term's expressions; the term must be readable.
    pub(super) fn keep_term(&self, set: &mut Bits, term: &Term) {
        for requirement in &term.match_expressions {
            match requirement.values.as_slice() {
                [value] if requirement.operator == Operator::In => {
                    self.keep(set, &requirement.key, value);
                }
                _ => set.intersect(self.meeting(requirement).words()),
            }
        }
    }

    /// The nodes whose labels meet a requirement that is well formed.
    fn meeting(&self, requirement: &Requirement) -> Bits {
        let key = self.table.find_key(&requirement.key);
        let mut found = match requirement.operator {
            Operator::In | Operator::NotIn => self.one_of(requirement),
            Operator::Exists | Operator::DoesNotExist => key
                .and_then(|key| self.present.get(key as usize).cloned())
                .unwrap_or_else(|| Bits::none(self.length)),
            Operator::Gt | Operator::Lt => self.comparing(key, requirement),
            Operator::Unreadable => Bits::none(self.length),
        };
        match requirement.operator {
            Operator::NotIn | Operator::DoesNotExist => found.invert(),
            Operator::In
            | Operator::Exists
            | Operator::Gt
            | Operator::Lt
            | Operator::Unreadable => {}
        }
        found
    }

    fn one_of(&self, requirement: &Requirement) -> Bits {
        let mut found = Bits::none(self.length);
        for value in &requirement.values {
            if let Some(pair) = self.table.find(&requirement.key, value) {
                self.add(&mut found, pair);
            }
        }
        found
    }

    fn comparing(&self, key: Option<KeyId>, requirement: &Requirement) -> Bits {
        let mut found = Bits::none(self.length);
        for &pair in self.pairs_of(key) {
            if selector::compares(requirement, self.table.pair(pair).1) {
                self.add(&mut found, pair);
            }
        }
        found
    }

    fn add(&self, set: &mut Bits, pair: PairId) {
        match self.posting(pair) {
            Nodes::Dense(words) => set.unite(words),
            Nodes::List(positions) => positions.iter().for_each(|position| set.insert(*position)),
        }
    }

    fn pairs_of(&self, key: Option<KeyId>) -> &[PairId] {
        let bound = |key: usize| self.key_starts.get(key).map(|start| *start as usize);
        let range = key
            .map(|key| key as usize)
            .and_then(|key| Some(bound(key)?..bound(key + 1)?));
        range
            .and_then(|range| self.pairs_by_key.get(range))
            .unwrap_or_default()
    }

    fn posting(&self, pair: PairId) -> Nodes<'_> {
        match self.postings.get(pair as usize) {
            Some(Posting::List { start, length }) => {
                let range = *start as usize..(*start + *length) as usize;
                Nodes::List(self.listed.get(range).unwrap_or_default())
            }
            Some(Posting::Dense { start }) => {
                let range = *start as usize..*start as usize + self.length.div_ceil(64);
                Nodes::Dense(self.dense.get(range).unwrap_or_default())
            }
            None => Nodes::List(&[]),
        }
    }

    /// The values of a key that nodes of a set carry, with how many of them do.
    pub(super) fn values_within<'a>(
        &'a self,
        key: &str,
        set: &'a Bits,
    ) -> impl Iterator<Item = (&'a str, usize)> {
        let pairs = self.pairs_of(self.table.find_key(key));
        pairs
            .iter()
            .map(|pair| (self.table.pair(*pair).1, self.posting(*pair).count_in(set)))
            .filter(|(_, count)| *count > 0)
    }

    /// The pairs of each node, by position: what the index was built of.
    pub(super) fn rows(&self) -> Vec<Vec<PairId>> {
        let mut rows = vec![Vec::new(); self.length];
        for pair in 0..narrow(self.table.pairs()) {
            let mut set = Bits::none(self.length);
            self.add(&mut set, pair);
            for (position, row) in (0..).zip(&mut rows) {
                if set.contains(position) {
                    row.push(pair);
                }
            }
        }
        rows
    }

    /// The keys that any node carries.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        (0..narrow(self.table.keys())).map(|key| self.table.key(key))
    }

    /// Bytes that the index takes, near enough, without the table.
    pub(super) fn bytes(&self) -> usize {
        let present: usize = self.present.iter().map(Bits::bytes).sum();
        self.postings.capacity() * size_of::<Posting>()
            + self.dense.capacity() * size_of::<u64>()
            + (self.listed.capacity() + self.pairs_by_key.capacity() + self.key_starts.capacity())
                * size_of::<u32>()
            + present
    }
}

enum Nodes<'a> {
    List(&'a [u32]),
    Dense(&'a [u64]),
}

impl Nodes<'_> {
    fn count_in(&self, set: &Bits) -> usize {
        match self {
            Self::List(positions) => positions
                .iter()
                .filter(|position| set.contains(**position))
                .count(),
            Self::Dense(words) => {
                let both = words
                    .iter()
                    .zip(set.words())
                    .map(|(one, other)| one & other);
                both.map(|word| word.count_ones() as usize).sum()
            }
        }
    }
}

fn counts<'a>(pairs: usize, nodes: impl Iterator<Item = &'a [PairId]>) -> Vec<u32> {
    let mut counts = vec![0; pairs];
    for pair in nodes.flatten() {
        if let Some(count) = counts.get_mut(*pair as usize) {
            *count += 1;
        }
    }
    counts
}

/// Positions in tables of at most 2^32 entries; more nodes or labels than that fit in no memory.
fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    type Labels = BTreeMap<String, String>;

    fn index(nodes: &[Labels]) -> LabelIndex {
        let mut table = LabelTable::default();
        let rows: Vec<Vec<PairId>> = nodes
            .iter()
            .map(|labels| {
                labels
                    .iter()
                    .filter_map(|(key, value)| table.intern(key, value))
                    .collect()
            })
            .collect();
        LabelIndex::build(Arc::new(table), rows.iter().map(Vec::as_slice))
    }

    fn any_labels() -> impl Strategy<Value = Labels> {
        proptest::collection::btree_map("[abc]", "[0-9x]|-1|10", 0..4)
    }

    fn any_requirement() -> impl Strategy<Value = Requirement> {
        let operators = [
            Operator::In,
            Operator::NotIn,
            Operator::Exists,
            Operator::DoesNotExist,
            Operator::Gt,
            Operator::Lt,
        ];
        let values = proptest::collection::vec("[0-9x]|10", 1..3);
        (
            "[abcd]",
            proptest::sample::select(operators.to_vec()),
            values,
        )
            .prop_map(|(key, operator, mut values)| {
                match operator {
                    Operator::Exists | Operator::DoesNotExist => values.clear(),
                    Operator::Gt | Operator::Lt => values = vec!["4".to_owned()],
                    Operator::In | Operator::NotIn | Operator::Unreadable => {}
                }
                Requirement {
                    key,
                    operator,
                    values,
                }
            })
    }

    proptest! {
        #[test]
        fn all_nodes_at_once_agree_with_one_at_a_time(
            nodes in proptest::collection::vec(any_labels(), 0..150),
            requirements in proptest::collection::vec(any_requirement(), 1..4),
        ) {
            let index = index(&nodes);
            let term = Term { match_expressions: requirements, match_fields: Vec::new() };
            let mut set = index.all();
            index.keep_term(&mut set, &term);
            for (position, labels) in (0..).zip(&nodes) {
                prop_assert_eq!(set.contains(position), selector::matches(&term, "n", labels));
            }
        }
    }

    #[test]
    fn values_are_counted_within_a_set() {
        let nodes: Vec<Labels> = (0..100)
            .map(|index| {
                BTreeMap::from([
                    ("half".to_owned(), (index % 2).to_string()),
                    ("own".to_owned(), index.to_string()),
                ])
            })
            .collect();
        let index = index(&nodes);
        let mut set = Bits::none(100);
        for position in [0, 1, 2] {
            set.insert(position);
        }
        let found: Vec<_> = index.values_within("half", &set).collect();
        assert_eq!(found, [("0", 2), ("1", 1)]);
        assert_eq!(index.values_within("own", &set).count(), 3);
        assert_eq!(index.values_within("none", &set).count(), 0);
    }
}
