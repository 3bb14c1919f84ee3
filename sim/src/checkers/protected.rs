//! S17: the write protection of bootloader areas is on again.
//!
//! Verified: after every boot that came to its own end, whatever happened in it. Not verified: boots that were cut, after
//! which the kernel starts with the protection on.

use crate::runner::Evidence;

/// What is wrong.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let boots = evidence.boots.iter().enumerate().filter(|(_, boot)| boot.finished());
    let left = boots.flat_map(|(number, boot)| {
        let areas = boot.world.unprotected_areas().into_iter();
        areas.map(move |area| format!("boot {} left {area} without write protection", number + 1))
    });
    left.collect()
}
