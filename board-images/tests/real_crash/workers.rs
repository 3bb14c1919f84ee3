//! Many states at once, because a boot waits for the kernel most of its time; and which states are worth a boot.

use super::recorder::Cut;
use super::stage::Stage;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than there are cores on a small machine: they wait for syncs and helpers.
const WORKERS: usize = 4;

/// Does `work` for every cut on a part of the stage. Results come in the order of the cuts.
pub(crate) fn side_by_side<R: Send>(
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
                    let told = Told(cut);
                    let result = work(&part, cut);
                    drop(told);
                    results.lock().unwrap().insert(number, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

/// Gives this thread a mount table of its own: a run takes all mounts that it sees along into its own table, and would
/// hold what another worker has mounted.
fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
}

fn take<'a>(next: &AtomicUsize, cuts: &[&'a Cut]) -> Option<(usize, &'a Cut)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    cuts.get(number).map(|cut| (number, *cut))
}

/// Says which cut it was when a check fails.
struct Told<'a>(&'a Cut);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("that was {}", self.0);
        }
    }
}

/// At most `count` cuts: of every class some, and those spread over the run.
pub(crate) fn chosen<'a, C: Ord>(cuts: &[&'a Cut], classes: &[C], count: usize) -> Vec<&'a Cut> {
    let mut by_class: BTreeMap<&C, Vec<usize>> = BTreeMap::new();
    for (number, class) in classes.iter().enumerate() {
        by_class.entry(class).or_default().push(number);
    }
    let mut chosen: Vec<usize> = Vec::new();
    // The golden ratio's multiples are spread evenly, however many of them are taken.
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
