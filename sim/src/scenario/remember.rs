//! What was made before and is the same whenever it is made, such as the content of media: thousands of small scenarios
//! have few different ones. Bounded, and shared by all threads; what is remembered changes no result.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Values by the text that they are made from, the oldest forgotten first.
pub(crate) struct Remembered<T> {
    count_max: usize,
    known: Mutex<(BTreeMap<String, T>, VecDeque<String>)>,
}

impl<T: Clone> Remembered<T> {
    /// Nothing yet, and never more than `count_max`.
    pub(crate) const fn new(count_max: usize) -> Self {
        Self { count_max, known: Mutex::new((BTreeMap::new(), VecDeque::new())) }
    }

    /// The value of `key`, which `make` makes if it is not known. Two threads may make the same one.
    ///
    /// # Errors
    /// Those of `make`; failures are not remembered.
    pub(crate) fn get_or_make<E>(&self, key: String, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
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
    fn a_value_is_made_once_until_it_is_forgotten_and_failures_are_not_kept() {
        let remembered = Remembered::new(2);
        let made = std::cell::Cell::new(0);
        let get = |key: &str| {
            remembered.get_or_make(key.to_owned(), || {
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
