//! Checks several cuts in parallel, because a boot mostly waits for the kernel; and chooses the cuts to boot from.

use super::recorder::Cut;
use super::stage::Stage;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than the cores of a small machine, because workers wait for syncs and tools.
const WORKERS: usize = 4;

/// Runs `work` for every cut on a part of the stage. Results are in the order of the cuts.
pub(crate) fn in_parallel<R: Send>(
    stage: &Stage,
    cuts: &[&Cut],
    work: impl Fn(&Stage, &Cut) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (next, results, work) = (&next, &results, &work);
            scope.spawn(move || {
                own_mounts();
                let part = stage.part(&format!("worker-{worker}"));
                while let Some((number, cut)) = take(next, cuts) {
                    let name = NameOnPanic(cut);
                    let result = work(&part, cut);
                    drop(name);
                    results.lock().unwrap().insert(number, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

/// Gives this thread its own mount namespace: a run copies all visible mounts into its namespace, and would keep the mounts of
/// another worker busy.
fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
}

fn take<'a>(next: &AtomicUsize, cuts: &[&'a Cut]) -> Option<(usize, &'a Cut)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    cuts.get(number).map(|cut| (number, *cut))
}

/// Prints the cut when a check fails.
struct NameOnPanic<'a>(&'a Cut);

impl Drop for NameOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at {}", self.0);
        }
    }
}

/// At most `count` cuts: some of every class, spread over the run.
pub(crate) fn chosen<'a, C: Ord>(cuts: &[&'a Cut], classes: &[C], count: usize) -> Vec<&'a Cut> {
    let mut by_class: BTreeMap<&C, Vec<usize>> = BTreeMap::new();
    for (number, class) in classes.iter().enumerate() {
        by_class.entry(class).or_default().push(number);
    }
    let mut chosen: Vec<usize> = Vec::new();
    // Multiples of the golden ratio are evenly distributed for any count.
    for members in by_class.values_mut() {
        members.sort_by_key(|number| (*number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    for round in 0..cuts.len() {
        chosen.extend(by_class.values().filter_map(|members| members.get(round).copied()));
    }
    chosen.truncate(count);
    chosen.sort_unstable();
    chosen.into_iter().map(|number| cuts[number]).collect()
}
