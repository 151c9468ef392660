//! Things that were made a moment ago, for whoever asks the same again. Bounded: each has one slot, and what is new takes
//! the place of whatever stood there.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// The slots.
#[derive(Debug)]
pub(super) struct Slots<T>(Box<[Mutex<Option<Arc<T>>>]>);

impl<T> Slots<T> {
    /// That many, all empty.
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| Mutex::default()).collect())
    }

    /// What was made before and fits, or else what is made now. `key` is what tells those who ask apart most often.
    pub(super) fn find(
        &self,
        key: impl Hash,
        fits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let Some(slot) = self.0.get(place(key, self.0.len())) else {
            return Arc::new(make());
        };
        // A thing is put in whole, so that a panic elsewhere leaves none half done.
        let there = slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(there) = there.filter(|there| fits(there)) {
            return there;
        }
        let fresh = Arc::new(make());
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fresh));
        fresh
    }
}

fn place(key: impl Hash, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
    usize::try_from(hasher.finish() % count).unwrap_or_default()
}
