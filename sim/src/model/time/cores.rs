//! On which core a thread runs. It changes no result, only how long it takes.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Keeps this thread, and those that it starts, on one core: the tasks of a world take turns, and handing over to another
/// core costs several times as much. Says whether it could; where that is not allowed it is only slower.
pub fn stay_on_a_core(worker: usize) -> bool {
    let me = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(me) else { return false };
    let cores: Vec<usize> = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true)).collect();
    let mut one = CpuSet::new();
    let Some(core) = cores.get(worker % cores.len().max(1)) else { return false };
    one.set(*core).and_then(|()| sched_setaffinity(me, &one)).is_ok()
}
