//! The Linux backend.

mod byte_range;
mod devices;
mod direct;
mod ext_bitmap;
mod ext_checksum;
mod ext_layout;
mod ioctl;
mod roots;
mod source;
mod superblock;
mod sysfs;
mod target;
#[cfg(test)]
mod test_images;
mod usage;

pub use devices::LinuxDevices;
pub use roots::KernelRoots;
