//! A bounded number of places, and of them a bounded number for each asker: one alone cannot take them all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many places there are.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub all: usize,
    pub each: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    All,
    Each,
}

/// Places for askers known by a `K`. Cheap to clone; clones are the same places.
pub struct Places<K: Eq + Hash>(Arc<Shared<K>>);

struct Shared<K> {
    bounds: Bounds,
    taken: Mutex<Taken<K>>,
}

struct Taken<K> {
    all: usize,
    by: HashMap<K, usize>,
}

/// A place; free again when dropped.
pub struct Place<K: Eq + Hash> {
    places: Places<K>,
    asker: K,
}

impl<K: Eq + Hash> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone> Places<K> {
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Shared { bounds, taken: Mutex::new(Taken { all: 0, by: HashMap::new() }) }))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// All are taken, or all of this asker.
    pub fn take(&self, asker: K) -> Result<Place<K>, Full> {
        let Bounds { all, each } = self.0.bounds;
        let mut taken = self.taken();
        if taken.all >= all {
            return Err(Full::All);
        }
        if taken.by.get(&asker).is_some_and(|taken| *taken >= each) {
            return Err(Full::Each);
        }
        taken.all += 1;
        *taken.by.entry(asker.clone()).or_default() += 1;
        Ok(Place { places: self.clone(), asker })
    }
}

impl<K: Eq + Hash> Places<K> {
    fn taken(&self) -> MutexGuard<'_, Taken<K>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(of_asker) = taken.by.get_mut(&self.asker) {
            *of_asker -= 1;
            if *of_asker == 0 {
                taken.by.remove(&self.asker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped_and_one_asker_has_only_its_own() {
        let places = Places::new(Bounds { all: 3, each: 2 });
        let first = places.take("a").ok().unwrap();
        let _second = places.take("a").ok().unwrap();
        assert_eq!(places.take("a").err(), Some(Full::Each));
        let other = places.take("b").ok().unwrap();
        assert_eq!(places.take("c").err(), Some(Full::All));
        drop(other);
        assert_eq!(places.take("a").err(), Some(Full::Each));
        drop(first);
        assert!(places.take("a").is_ok());
        assert_eq!(places.taken().by.len(), 1, "who holds nothing is forgotten");
    }
}
