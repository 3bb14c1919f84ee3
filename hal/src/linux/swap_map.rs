//! The bytes that a swap area needs: the page of its header, with UUID and label.

use super::byte_range::{ReadAt, le32};
use crate::{Result, UsedMap};

/// Page sizes of all kernels, in bytes.
const PAGES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];
const SIGNATURE_LEN_BYTES: usize = 10;

/// The page of the header; `None` for the memory of a suspended system, which the next boot needs.
pub(super) fn used_map(region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    let mut head = vec![0; PAGES[PAGES.len() - 1]];
    let len = region.read_up_to(0, &mut head)?;
    Ok(header_len_bytes(&head[..len]).map(|end| UsedMap { used: vec![0..end] }))
}

/// Length of the page at whose end the signature of swap space without a suspended system is.
fn header_len_bytes(head: &[u8]) -> Option<u64> {
    let page = PAGES.into_iter().find(|page| {
        let signature = head.get(page - SIGNATURE_LEN_BYTES..*page);
        // Version 0 has a bitmap of bad pages instead of the fields of version 1.
        match signature {
            Some(b"SWAPSPACE2") => le32(head, 1024) == 1 || le32(head, 1024).swap_bytes() == 1,
            Some(b"SWAP-SPACE") => true,
            _ => false,
        }
    });
    page.map(|page| page as u64)
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_tool};
    use super::*;

    #[test]
    fn only_the_header_is_kept_after_mkswap() {
        if !have_tool("mkswap") {
            return;
        }
        for page in ["4096", "16384", "65536"] {
            let image = Image::empty(4 << 20);
            image.run(
                "mkswap",
                &["-q", "-p", page, "-L", "swap", "-U", "01234567-89ab-cdef-0123-456789abcdef"],
            );
            let map = used_map(&mut image.range()).unwrap().unwrap();
            assert_eq!(map.used, [0..page.parse::<u64>().unwrap()]);
        }
    }

    #[test]
    fn a_suspended_system_is_kept() {
        let mut bytes = vec![0; 65_536];
        bytes[1024] = 1;
        bytes[4086..4096].copy_from_slice(b"S1SUSPEND\0");
        assert_eq!(used_map(&mut Image::of(&bytes).range()).unwrap(), None);
        bytes[4086..4096].copy_from_slice(b"SWAPSPACE2");
        assert_eq!(used_map(&mut Image::of(&bytes).range()).unwrap().unwrap().used, [0..4096]);
        assert_eq!(used_map(&mut Image::of(&bytes[..100]).range()).unwrap(), None);
    }
}
