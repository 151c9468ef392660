//! A set of nodes as one bit each, by their position in the fleet.
//!
//! Pure. Knows nothing of what a node is.

const WIDTH: usize = 64;

/// A set of positions below a fixed length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct Bits {
    words: Vec<u64>,
    length: usize,
}

impl Bits {
    /// The empty set.
    pub(in crate::cluster) fn none(length: usize) -> Self {
        Self {
            words: vec![0; length.div_ceil(WIDTH)],
            length,
        }
    }

    /// The set of all positions.
    pub(in crate::cluster) fn all(length: usize) -> Self {
        let mut bits = Self {
            words: vec![u64::MAX; length.div_ceil(WIDTH)],
            length,
        };
        bits.trim();
        bits
    }

    /// Bytes that the set takes.
    pub(in crate::cluster) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    pub(in crate::cluster) fn insert(&mut self, position: u32) {
        let (word, bit) = place(position);
        if let Some(word) = self.words.get_mut(word) {
            *word |= bit;
        }
    }

    pub(in crate::cluster) fn remove(&mut self, position: u32) {
        let (word, bit) = place(position);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    pub(in crate::cluster) fn contains(&self, position: u32) -> bool {
        let (word, bit) = place(position);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Keeps what is in both.
    pub(in crate::cluster) fn intersect(&mut self, words: &[u64]) {
        for (word, other) in self.words.iter_mut().zip(words) {
            *word &= other;
        }
    }

    /// Adds what is in the other.
    pub(in crate::cluster) fn unite(&mut self, words: &[u64]) {
        for (word, other) in self.words.iter_mut().zip(words) {
            *word |= other;
        }
    }

    /// Turns the set into its complement.
    pub(in crate::cluster) fn invert(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.trim();
    }

    pub(in crate::cluster) fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many positions are in the set.
    pub(in crate::cluster) fn total(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// How many positions from `start` and below `end` are in the set.
    pub(in crate::cluster) fn count(&self, start: u32, end: u32) -> usize {
        if start >= end {
            return 0;
        }
        let (first, _) = place(start);
        let (last, _) = place(end - 1);
        let words = self.words.get(first..=last).unwrap_or_default();
        let whole: u32 = words.iter().map(|word| word.count_ones()).sum();
        let word = |index| self.words.get(index).copied().unwrap_or_default();
        let before = word(first) & !(u64::MAX << (start % 64));
        let after = word(last) & (u64::MAX << ((end - 1) % 64)) << 1;
        (whole - before.count_ones() - after.count_ones()) as usize
    }

    fn trim(&mut self) {
        let rest = self.length % WIDTH;
        if let Some(last) = self.words.last_mut().filter(|_| rest > 0) {
            *last &= (1 << rest) - 1;
        }
    }
}

fn place(position: u32) -> (usize, u64) {
    (position as usize / WIDTH, 1 << (position as usize % WIDTH))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_complement_ends_where_the_set_does() {
        let mut bits = Bits::none(70);
        bits.invert();
        assert_eq!(bits, Bits::all(70));
        assert_eq!(bits.count(0, 70), 70);
        assert_eq!(Bits::none(0).count(0, 0), 0);
    }

    proptest! {
        #[test]
        fn counting_agrees_with_a_plain_set(set in proptest::collection::btree_set(0..200_u32, 0..100), start in 0..200_u32, end in 0..=200_u32) {
            let mut bits = Bits::none(200);
            for position in &set {
                bits.insert(*position);
            }
            let expected = if start < end { set.range(start..end).count() } else { 0 };
            prop_assert_eq!(bits.count(start, end), expected);
            let members: BTreeSet<u32> = (0..200).filter(|position| bits.contains(*position)).collect();
            prop_assert_eq!(members, set);
        }
    }
}
