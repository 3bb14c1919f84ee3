//! A bounded cache of values that depend on their key only, such as the content of media: thousands of small
//! scenarios share few of them. All threads share it; it changes no result.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Values by key; the oldest is dropped first.
pub(crate) struct Cache<K, T> {
    count_max: usize,
    known: Mutex<(HashMap<K, T>, VecDeque<K>)>,
}

impl<K: Clone + Eq + Hash, T: Clone> Cache<K, T> {
    /// An empty cache for at most `count_max` values.
    pub(crate) fn new(count_max: usize) -> Self {
        Self { count_max, known: Mutex::new((HashMap::new(), VecDeque::new())) }
    }

    /// The value of `key`, made by `make` if it is not cached. Two threads may make the same one.
    ///
    /// # Errors
    /// Those of `make`; failures are not cached.
    pub(crate) fn get_or_make<E>(&self, key: K, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = lock().0.get(&key) {
            return Ok(value.clone());
        }
        let value = make()?;
        let (known, order) = &mut *lock();
        if known.insert(key.clone(), value.clone()).is_none() {
            order.push_back(key);
        }
        if order.len() > self.count_max {
            if let Some(oldest) = order.pop_front() {
                known.remove(&oldest);
            }
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_until_it_is_dropped_and_failures_are_not_cached() {
        let cache = Cache::new(2);
        let made = std::cell::Cell::new(0);
        let get = |key: &'static str| {
            cache.get_or_make(key, || {
                made.set(made.get() + 1);
                if key.is_empty() { Err("nothing") } else { Ok(key.len()) }
            })
        };
        assert_eq!((get("a"), get("a"), made.get()), (Ok(1), Ok(1), 1));
        assert_eq!((get(""), get(""), made.get()), (Err("nothing"), Err("nothing"), 3));
        assert_eq!((get("bb"), get("ccc"), made.get()), (Ok(2), Ok(3), 5));
        assert_eq!((get("ccc"), get("a"), made.get()), (Ok(3), Ok(1), 6));
    }
}
