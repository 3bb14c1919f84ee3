//! The content of partitions that hold no file system with files: swap areas, LUKS, LVM.

use super::secrets::Secrets;
use crate::model::bytes::pages::Pages;
use crate::model::hardware::content::stamped;
use crate::model::time::random::Random;

/// Length of a page of swap.
pub const SWAP_PAGE_LEN: u64 = 4096;
/// Distance of old pages with secrets.
const SWAP_SECRET_STEP: u64 = 16;
const SWAP_MAGIC_AT: u64 = SWAP_PAGE_LEN - 10;

/// A swap file of this length.
pub(super) fn swap_file(len: u64, secrets: &mut Secrets) -> Vec<u8> {
    let mut pages = Pages::zeros(len);
    swap(&mut pages, (0, len), None, [7; 16], secrets);
    pages.to_vec()
}

/// A swap area as `mkswap` writes it, with swapped pages of programs behind its header.
pub(super) fn swap(
    pages: &mut Pages,
    (start, len): (u64, u64),
    label: Option<&str>,
    uuid: [u8; 16],
    secrets: &mut Secrets,
) {
    let count = len / SWAP_PAGE_LEN;
    pages.write(start, &[0; SWAP_PAGE_LEN as usize]);
    pages.write(start + 1024, &1_u32.to_le_bytes());
    pages.write(start + 1028, &(count.saturating_sub(1) as u32).to_le_bytes());
    pages.write(start + 1036, &uuid);
    let label = label.unwrap_or_default().as_bytes();
    pages.write(start + 1052, &label[..label.len().min(16)]);
    pages.write(start + SWAP_MAGIC_AT, b"SWAPSPACE2");
    for page in (1..count).step_by(SWAP_SECRET_STEP as usize).chain([count.saturating_sub(1)]) {
        if page > 0 {
            pages.write(start + page * SWAP_PAGE_LEN, secrets.content("swapped-out").as_bytes());
        }
    }
}

/// The first sectors of a LUKS volume, and bytes that look like ciphertext.
pub(super) fn luks(pages: &mut Pages, start: u64, len: u64, uuid: &str) {
    noise(pages, start, len);
    let mut header = [0; 512];
    header[..6].copy_from_slice(b"LUKS\xba\xbe");
    header[6..8].copy_from_slice(&1_u16.to_be_bytes());
    header[8..11].copy_from_slice(b"aes");
    let uuid = uuid.as_bytes();
    header[168..168 + uuid.len().min(39)].copy_from_slice(&uuid[..uuid.len().min(39)]);
    pages.write(start, &header);
}

/// The label of an LVM physical volume in its second sector, and stamped sectors behind it.
pub(super) fn lvm(pages: &mut Pages, start: u64, len: u64, name: &str) {
    pages.write(start, &stamped(name, 0, len));
    let mut label = [0; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8..16].copy_from_slice(&1_u64.to_le_bytes());
    label[24..32].copy_from_slice(b"LVM2 001");
    pages.write(start, &[0; 512]);
    pages.write(start + 512, &label);
}

fn noise(pages: &mut Pages, start: u64, len: u64) {
    let mut random = Random::child(start, "ciphertext");
    let bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    pages.write(start, &bytes[..usize::try_from(len).unwrap_or(bytes.len()).min(bytes.len())]);
}
