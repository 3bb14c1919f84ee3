//! Files that people name like a disk image although they are something else: web pages, archives, images of virtual
//! machines, files compressed twice.
//!
//! Each begins like the real format; behind that is the image, or a part of it.

use serde::{Deserialize, Serialize};
use std::io::Write;

/// How an image is wrapped, or what replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// A web page.
    Html,
    /// A zip archive.
    Zip,
    /// A cpio archive.
    Cpio,
    /// An image of QEMU.
    Qcow2,
    /// A sparse image of Android.
    Sparse,
    /// gzip data.
    Gzip,
    /// The format before xz.
    Lzma,
    /// A bootloader without a medium around it.
    Bootloader,
}

impl Container {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Html,
        Self::Zip,
        Self::Cpio,
        Self::Qcow2,
        Self::Sparse,
        Self::Gzip,
        Self::Lzma,
        Self::Bootloader,
    ];

    /// The bytes with `plain` inside.
    ///
    /// # Errors
    /// If it cannot be packed.
    pub(super) fn around(self, plain: &[u8]) -> Result<Vec<u8>, String> {
        let headed = |header: &[u8]| Ok([header, plain].concat());
        match self {
            Self::Html => {
                let page = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>\n";
                Ok(format!("{page}{}", "<p>Please log in to download</p>\n".repeat(1000)).into_bytes())
            }
            Self::Zip => headed(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0i.img"),
            Self::Cpio => headed(format!("070701{:0104}image\0\0\0", 0).as_bytes()),
            Self::Qcow2 => headed(b"QFI\xfb\0\0\0\x03"),
            Self::Sparse => headed(b"\x3a\xff\x26\xed\x01\0\0\0\x1c\0\x0c\0\0\x10\0\0"),
            Self::Lzma => headed(b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0"),
            Self::Bootloader => headed(b"\xd1\0\x20\x40\0\0\x80\x17"),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                let done = encoder.write_all(plain).and_then(|()| encoder.finish());
                done.map_err(|error| error.to_string())
            }
        }
    }
}
