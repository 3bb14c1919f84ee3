//! The Linux backend.

mod byte_range;
mod ext_bitmap;
mod ext_checksum;
mod ext_layout;
mod ioctl;
mod roots;
mod superblock;
mod sysfs;
#[cfg(test)]
mod test_images;
mod usage;
