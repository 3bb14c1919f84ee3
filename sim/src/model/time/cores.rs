//! On which core a thread runs. It changes how long a run takes, but no result.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Pins this thread, and those that it starts, to one core, so that it keeps what is in the caches. Returns whether it
/// succeeded; where it is not permitted, runs are only slower.
pub fn stay_on_a_core(worker: usize) -> bool {
    let me = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(me) else { return false };
    let cores: Vec<usize> = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true)).collect();
    let mut one = CpuSet::new();
    let Some(core) = cores.get(worker % cores.len().max(1)) else { return false };
    one.set(*core).and_then(|()| sched_setaffinity(me, &one)).is_ok()
}
