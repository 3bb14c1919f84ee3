//! Recognises files with digests or signatures in a form that is not read: the user expects a check that is not made.

/// Extensions of files that hold a digest of one file, with the extension that is read instead.
const DIGESTS: [(&str, &str); 15] = [
    (".md5sum", ".md5"),
    (".md5.txt", ".md5"),
    (".md5sum.txt", ".md5"),
    (".sha256sum", ".sha256"),
    (".sha256.txt", ".sha256"),
    (".sha256sum.txt", ".sha256"),
    (".sha1", ".sha256"),
    (".sha224", ".sha256"),
    (".sha384", ".sha256"),
    (".sha512", ".sha256"),
    (".sha3", ".sha256"),
    (".sha", ".sha256"),
    (".b2", ".sha256"),
    (".b3", ".sha256"),
    (".sfv", ".md5"),
];

/// Words before `sum` or after a dot that name a digest without support.
const OTHER_DIGESTS: [&str; 14] = [
    "sha1", "sha224", "sha384", "sha512", "sha3", "b2", "b3", "blake2", "blake2b", "blake2s", "blake3",
    "crc", "crc32", "xxh",
];

/// Extensions of detached signatures.
const SIGNATURES: [&str; 5] = [".asc", ".sig", ".sign", ".minisig", ".p7s"];

/// Names of lists of digests, without `.txt`.
const LISTS: [&str; 10] = [
    "md5sum",
    "md5sums",
    "sha1sums",
    "sha256sum",
    "sha256sums",
    "sha512sum",
    "sha512sums",
    "b2sums",
    "checksums",
    "checksum",
];

/// The hint for `lower`, a name in lower case, if it is such a file.
pub(super) fn hint(lower: &str) -> Option<String> {
    let name = lower.strip_suffix(".txt").unwrap_or(lower);
    if LISTS.contains(&name) {
        return Some(
            "a list of digests is not read; name a sidecar after its image, with .md5 or .sha256".into(),
        );
    }
    if let Some((extension, read)) = DIGESTS.iter().find(|(extension, _)| lower.ends_with(extension)) {
        let base = lower.strip_suffix(extension).unwrap_or(lower);
        return Some(if extension.contains(&read[1..]) {
            format!("not read as a sidecar; rename it to end in {read} to have {base} checked")
        } else {
            format!("this kind of digest is not checked; {base}{read} would be")
        });
    }
    let (base, last) = name.rsplit_once('.')?;
    let digest = last.strip_suffix("sum").unwrap_or(last).replace('-', "");
    if OTHER_DIGESTS.contains(&digest.as_str()) || digest.starts_with("xxh") {
        return Some(format!("this kind of digest is not checked; {base}.sha256 would be"));
    }
    SIGNATURES
        .iter()
        .any(|extension| lower.ends_with(extension))
        .then(|| "signatures are not checked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_digest_and_signature_is_known() {
        for name in [
            "sdimage.dd.xz.sha512",
            "sdimage.dd.xz.b3",
            "sdimage.dd.xz.blake3",
            "sdimage.dd.xz.sha512sum",
            "sdimage.dd.xz.b2sum",
            "sdimage.dd.xz.crc32",
            "sdimage.dd.xz.xxh128",
            "sdimage.dd.xz.sha1.txt",
            "sdimage.dd.xz.asc",
            "sha256sums",
            "sha512sums.txt",
            "image.sfv",
        ] {
            assert!(hint(name).is_some(), "{name}");
        }
        assert!(hint("sdimage.dd.xz.md5.txt").unwrap().contains("end in .md5 to have sdimage.dd.xz checked"));
        assert!(hint("sdimage.dd.xz.sha256sum").unwrap().contains("end in .sha256"));
        for name in ["sdimage.dd.xz", "readme.txt", "md5", "sum", "sdimage.source", "notes"] {
            assert_eq!(hint(name), None, "{name}");
        }
    }
}
