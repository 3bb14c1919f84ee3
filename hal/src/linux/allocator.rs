//! Settings of the C library's allocator.

// A call of the C library that is not in nix. The block states why it is sound.
#![allow(unsafe_code)]

/// Makes the allocator return every freed buffer of 128 KiB or more to the kernel at once. For the start of a program, before
/// its buffers are allocated.
///
/// By default glibc raises this threshold to the size of the largest buffer that was freed (mallopt(3)), up to 32 MiB, and
/// then keeps freed buffers for each thread. The buffers of a codec have several MiB each, so a program keeps many times
/// the memory that it uses. Other C libraries have no such threshold, and nothing is changed.
///
/// Returns whether the allocator has the setting.
pub fn return_freed_buffers() -> bool {
    #[cfg(target_env = "gnu")]
    {
        use nix::libc;

        const THRESHOLD_BYTES: libc::c_int = 128 << 10;
        // SAFETY: mallopt takes two integers by value, takes the lock of the allocator, and accepts any value.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, THRESHOLD_BYTES) == 1 }
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;
    use std::fs;

    /// By default the buffer of 16 MiB raises the threshold, and the one of 8 MiB is kept below another one.
    #[test]
    fn a_freed_buffer_is_not_kept() {
        // The resident memory of this process.
        let resident_kib = || -> u64 {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        assert!(return_freed_buffers());
        drop(std::hint::black_box(vec![1_u8; 16 << 20]));
        let before = resident_kib();
        let buffer = std::hint::black_box(vec![1_u8; 8 << 20]);
        let above = std::hint::black_box(vec![1_u8; 64 << 10]);
        assert!(resident_kib() > before + (6 << 10));
        drop(buffer);
        assert!(resident_kib() < before + (4 << 10), "the freed buffer is still resident");
        drop(above);
    }
}
