//! Runs independent work on all cores, and returns the results in order, each as soon as possible.
//!
//! Scenarios share nothing: each has its own world, so their order in time changes no result.

use crate::model::time::cores::stay_on_a_core;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Runs `work` for all `items`; `take` gets the results in the order of the items, until it returns `false`.
pub(super) fn in_order<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(&I) -> T + Sync,
    mut take: impl FnMut(T) -> bool,
) {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for worker in 0..workers {
            let (sender, next, stop, work) = (sender.clone(), &next, &stop, &work);
            scope.spawn(move || {
                stay_on_a_core(worker);
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    if sender.send((index, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = std::collections::BTreeMap::new();
        let mut due = 0;
        for (index, result) in receiver {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&due) {
                due += 1;
                if !stop.load(Ordering::Relaxed) && !take(result) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_until_take_returns_false() {
        let items: Vec<usize> = (0..100).collect();
        let mut taken = Vec::new();
        in_order(
            &items,
            |item| item * 2,
            |result| {
                taken.push(result);
                result < 20
            },
        );
        assert_eq!(taken, (0..=10).map(|item| item * 2).collect::<Vec<_>>());
    }
}
