//! Checks the format of bootloader files: enough to distinguish one from a kernel, a script or a bootloader for another
//! board.
//!
//! Pure functions, without I/O. They do not verify that the bootloader works.

use crate::profile::FirmwareFormat;

/// Image vector table of i.MX6 (reference manual, "Image Vector Table"): tag 0xD1, length 32 big-endian, version 0x4x.
const IVT_TAG: u8 = 0xd1;
/// Container header of i.MX93 (U-Boot, `container_hdr`): version, length little-endian, tag 0x87.
const CONTAINER_TAG: u8 = 0x87;
const CONTAINER_LEN_BYTES: std::ops::RangeInclusive<u16> = 16..=0x4000;
/// kwbimage of version 1 (U-Boot, `main_hdr_v1`): boot sources SPI and SDIO.
const KWB_SOURCES: [u8; 2] = [0x5a, 0xae];
const KWB_HEADER_LEN_BYTES: usize = 32;
/// Where the header's checksum is.
const KWB_CHECKSUM: usize = 31;

/// Checks that `content` has this format.
///
/// # Errors
/// What is wrong with it, as a text that follows the file's name.
pub(crate) fn check(format: FirmwareFormat, content: &[u8]) -> Result<(), String> {
    match format {
        FirmwareFormat::Imx => imx(content),
        FirmwareFormat::Imx93 => container(content),
        FirmwareFormat::Kwb => kwb(content),
    }
}

fn imx(content: &[u8]) -> Result<(), String> {
    match content {
        [IVT_TAG, 0, 32, version, ..] if version & 0xf0 == 0x40 => Ok(()),
        [first, ..] => Err(format!(
            "is not an i.MX image: it begins with {first:#04x} and not with an image vector table"
        )),
        [] => Err("is empty".into()),
    }
}

fn container(content: &[u8]) -> Result<(), String> {
    match content {
        [_, low, high, CONTAINER_TAG, ..]
            if CONTAINER_LEN_BYTES.contains(&u16::from_le_bytes([*low, *high])) =>
        {
            Ok(())
        }
        _ => Err("is not an i.MX93 image: it does not begin with a container header".into()),
    }
}

fn kwb(content: &[u8]) -> Result<(), String> {
    let Some(header) = content.get(..KWB_HEADER_LEN_BYTES) else {
        return Err("is too short for a kwbimage".into());
    };
    if !KWB_SOURCES.contains(&header[0]) || header[8] != 1 {
        return Err(format!(
            "is not a kwbimage of version 1 for eMMC: source {:#04x}, version {}",
            header[0], header[8]
        ));
    }
    let len = usize::from(header[9]) << 16 | usize::from(u16::from_le_bytes([header[10], header[11]]));
    let Some(whole) = content.get(..len).filter(|_| len >= KWB_HEADER_LEN_BYTES) else {
        return Err(format!("is a cut kwbimage: its header has {len} bytes"));
    };
    let sum = whole.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_sub(header[KWB_CHECKSUM]);
    if sum == header[KWB_CHECKSUM] {
        Ok(())
    } else {
        Err("is a damaged kwbimage: its header's checksum is wrong".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kwbimage() -> Vec<u8> {
        let mut image = vec![0_u8; 96];
        (image[0], image[8], image[10]) = (0xae, 1, 64);
        image[40] = 0x99;
        image[KWB_CHECKSUM] = image[..64].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        image
    }

    #[test]
    fn each_format_accepts_only_its_own_files() {
        let mut imx = vec![0xd1, 0, 0x20, 0x40];
        imx.resize(64, 0);
        let mut container = vec![0, 0x10, 2, 0x87];
        container.resize(64, 0);
        let all = [
            (FirmwareFormat::Imx, imx),
            (FirmwareFormat::Imx93, container),
            (FirmwareFormat::Kwb, kwbimage()),
        ];
        for (format, _) in &all {
            for (other, content) in &all {
                assert_eq!(check(*format, content).is_ok(), format == other, "{format:?} of {other:?}");
            }
            for garbage in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 512], &[0xff; 512]] {
                assert!(check(*format, garbage).is_err(), "{format:?} {garbage:?}");
            }
        }
    }

    #[test]
    fn a_damaged_or_cut_kwbimage_is_refused() {
        let mut image = kwbimage();
        image[50] ^= 1;
        assert!(check(FirmwareFormat::Kwb, &image).unwrap_err().contains("checksum"));
        assert!(check(FirmwareFormat::Kwb, &kwbimage()[..50]).unwrap_err().contains("cut"));
        let mut long = kwbimage();
        long[9] = 0xff;
        assert!(check(FirmwareFormat::Kwb, &long).unwrap_err().contains("cut"));
    }
}
