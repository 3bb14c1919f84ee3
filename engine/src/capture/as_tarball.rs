//! Decides whether a medium with one partition becomes a tarball: the tarball must hold everything that the board boots
//! from.

use super::layout::Layout;
use super::rootfs::Rootfs;
use crate::profile::MediumProfile;

/// `None` if a tarball is enough; then `notes` get what it leaves out. Otherwise the reason why the medium is captured as
/// a disk image.
pub(super) fn obstacle(
    layout: &Layout,
    rootfs: &Rootfs,
    medium: &MediumProfile,
    notes: &mut Vec<String>,
) -> Option<String> {
    let number = rootfs.part.slot.number;
    if layout.identity.is_none() {
        return Some(format!("partition {number} is a logical partition, which a tarball cannot restore"));
    }
    let outside = layout.gap.outside();
    let is_elsewhere = medium.bootloader_in_gap == Some(false);
    if let Some(at) = outside.before {
        if !is_elsewhere {
            return Some(format!(
                "the gap before partition {number} holds data (a bootloader?) from byte {at} on, which a tarball cannot hold"
            ));
        }
        notes.push(format!(
            "the bytes before partition {number} (from byte {at} on) are not in the tarball: this board's bootloader is \
             elsewhere"
        ));
    }
    if outside.boot_block.is_some() && !is_elsewhere {
        return Some(format!("partition {number} begins with boot code, which a tarball cannot hold"));
    }
    if outside.boot_code && !is_elsewhere {
        notes.push("the boot code of the MBR is not in the tarball".to_owned());
    }
    if let Some(at) = outside.behind {
        notes.push(format!("the bytes behind partition {number} (from byte {at} on) are not in the tarball"));
    }
    None
}
