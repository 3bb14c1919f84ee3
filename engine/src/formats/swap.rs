//! The header of Linux swap space, in a partition or a file, which mkswap writes into the first page.

/// Page sizes of Linux kernels, in bytes.
const PAGES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];
const SIGNATURE_LEN_BYTES: usize = 10;
/// Length of the data that the kernel keeps before the signature while a system is hibernated (`kernel/power/swap.c`).
const HIBERNATION_LEN_BYTES: usize = 30;

/// How much of an area's start [`Header::find`] needs.
pub(crate) const HEAD_LEN_BYTES: usize = PAGES[PAGES.len() - 1];
/// Shortest area that mkswap makes: ten pages.
pub(crate) const LEN_MIN_BYTES: u64 = 10 * PAGES[0] as u64;

/// A header that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of its page. The pages behind it are swapped-out memory.
    pub page_len_bytes: usize,
    /// Whether that memory is a hibernated system, which the next boot would resume.
    pub is_hibernated: bool,
}

impl Header {
    /// The header in the first bytes of an area of `len_bytes`.
    pub(crate) fn find(head: &[u8], len_bytes: u64) -> Option<Self> {
        let le32 = |at: usize| {
            head.get(at..at + 4)
                .map_or(0, |bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        PAGES.into_iter().find_map(|page| {
            let signature = head.get(page - SIGNATURE_LEN_BYTES..page)?;
            let is_hibernated = match signature {
                b"SWAPSPACE2" => false,
                b"S1SUSPEND\0" | b"S2SUSPEND\0" | b"ULSUSPEND\0" => true,
                _ => return None,
            };
            // Version and number of the last page, in the byte order of the board that made it.
            let is_sane = |version: u32, last_page: u32| {
                version == 1 && last_page != 0 && (u64::from(last_page) + 1) * page as u64 <= len_bytes
            };
            let (version, last_page) = (le32(1024), le32(1028));
            (is_sane(version, last_page) || is_sane(version.swap_bytes(), last_page.swap_bytes()))
                .then_some(Self { page_len_bytes: page, is_hibernated })
        })
    }

    /// The offset and the bytes to write so that the area of a hibernated system becomes plain swap space again.
    pub(crate) fn plain_end(self) -> (u64, Vec<u8>) {
        let len = HIBERNATION_LEN_BYTES + SIGNATURE_LEN_BYTES;
        let mut end = vec![0; len];
        end[HIBERNATION_LEN_BYTES..].copy_from_slice(b"SWAPSPACE2");
        ((self.page_len_bytes - len) as u64, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn area(page: usize, signature: &[u8; 10], last_page: u32) -> Vec<u8> {
        let mut head = vec![0; HEAD_LEN_BYTES];
        head[1024] = 1;
        head[1028..1032].copy_from_slice(&last_page.to_le_bytes());
        head[page - 10..page].copy_from_slice(signature);
        head
    }

    #[test]
    fn every_page_size_is_found_and_the_length_has_to_fit() {
        for page in PAGES {
            let len = 20 * page as u64;
            let plain = area(page, b"SWAPSPACE2", 19);
            assert_eq!(
                Header::find(&plain, len),
                Some(Header { page_len_bytes: page, is_hibernated: false })
            );
            assert_eq!(Header::find(&plain, len - 1), None, "its end is missing");
            assert_eq!(Header::find(&plain[..page - 1], len), None);
            let mut old = plain.clone();
            old[1024] = 2;
            assert_eq!(Header::find(&old, len), None, "an unknown version");
        }
    }

    #[test]
    fn a_hibernated_area_becomes_plain_again() {
        let mut head = area(4096, b"S1SUSPEND\0", 9);
        head[4056..4086].fill(7);
        let header = Header::find(&head, 40_960).unwrap();
        assert!(header.is_hibernated);
        let (at, end) = header.plain_end();
        head[at as usize..at as usize + end.len()].copy_from_slice(&end);
        assert_eq!(head, area(4096, b"SWAPSPACE2", 9));
    }

    proptest! {
        #[test]
        fn random_bytes_are_not_a_header(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            let mut bytes = bytes;
            if bytes.len() >= 4096 {
                bytes[4086..4096].copy_from_slice(b"SWAPSPACE2");
                let version = u32::from_le_bytes([bytes[1024], bytes[1025], bytes[1026], bytes[1027]]);
                prop_assume!(version != 1 && version.swap_bytes() != 1);
            }
            prop_assert_eq!(Header::find(&bytes, u64::MAX), None);
        }
    }
}
