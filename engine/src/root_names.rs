//! Finds the names of the root file system in its own files: `/` in `/etc/fstab`, and `root=` in boot configuration
//! files.
//!
//! The files are read from an archive before anything is erased. `write::root_plan` compares the names with those that
//! the clone will have.

use crate::fstab::{self, Spec};
use replicator_hal::RelativePath;

/// Longest file that is read, in bytes. A longer one is not of this kind.
pub(crate) const LIMIT_BYTES: usize = fstab::LIMIT_BYTES;

/// The list of file systems and mount points.
pub(crate) const FSTAB: &str = "etc/fstab";

/// Files with a kernel command line, or with variables that become one.
const COMMAND_LINES: [&str; 15] = [
    "boot/cmdline.txt",
    "boot/firmware/cmdline.txt",
    "boot/cmdline",
    "etc/kernel/cmdline",
    "etc/default/u-boot",
    "etc/default/flash-kernel",
    "etc/flash-kernel/ubootenv.d/rootdev",
    "boot/uEnv.txt",
    "uEnv.txt",
    "boot/armbianEnv.txt",
    "boot/orangepiEnv.txt",
    "boot/boot.cmd",
    "boot/boot.ini",
    "boot/uEnv-user.txt",
    "boot/env.txt",
];

/// Files with several boot entries, of which one is used.
const MENUS: [&str; 5] = [
    "boot/extlinux/extlinux.conf",
    "extlinux/extlinux.conf",
    "boot/syslinux/syslinux.cfg",
    "boot/grub/grub.cfg",
    "boot/grub2/grub.cfg",
];

/// Directories of systemd-boot and U-Boot with one boot entry per file.
const MENU_DIRECTORIES: [&str; 2] = ["boot/loader/entries/", "loader/entries/"];

/// How a name is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// The root file system.
    Root,
    /// The root file system, in a file with several boot entries.
    Menu,
    /// Another file system or swap space; the text is where it is mounted.
    Other(String),
}

/// One name of a file system in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The file, without a slash at its front.
    pub file: String,
    /// The name.
    pub spec: Spec,
    /// What it is for.
    pub role: Role,
    /// The type of the root file system, if the file has one.
    pub kind: Option<String>,
}

/// Files that always have the same path.
pub(crate) fn fixed_paths() -> impl Iterator<Item = &'static str> {
    std::iter::once(FSTAB).chain(COMMAND_LINES).chain(MENUS)
}

/// Whether the file may name the root file system.
pub(crate) fn is_of_interest(path: &RelativePath) -> bool {
    let Ok(path) = std::str::from_utf8(path.as_bytes()) else { return false };
    fixed_paths().any(|fixed| fixed == path) || is_menu_entry(path)
}

fn is_menu_entry(path: &str) -> bool {
    MENU_DIRECTORIES.iter().any(|directory| {
        path.strip_prefix(directory).is_some_and(|name| !name.contains('/') && name.ends_with(".conf"))
    })
}

/// The names in one file.
pub(crate) fn read(path: &str, content: &[u8]) -> Vec<Reference> {
    if path == FSTAB {
        return of_fstab(content);
    }
    let role = if MENUS.contains(&path) || is_menu_entry(path) { Role::Menu } else { Role::Root };
    let mut found: Vec<Reference> = Vec::new();
    for line in String::from_utf8_lossy(content).lines() {
        for spec in of_line(path, line) {
            if !found.iter().any(|reference| reference.spec == spec) {
                found.push(Reference { file: path.to_owned(), spec, role: role.clone(), kind: None });
            }
        }
    }
    found
}

fn of_fstab(content: &[u8]) -> Vec<Reference> {
    let mut found = Vec::new();
    for entry in fstab::parse(content) {
        let is_root = entry.is_root();
        // The system also boots without these.
        let may_be_missing = entry.has_option("nofail") || entry.has_option("noauto");
        if entry.is_bind() || (!is_root && may_be_missing) {
            continue;
        }
        let role = if is_root {
            Role::Root
        } else {
            Role::Other(String::from_utf8_lossy(&entry.mount_point).into_owned())
        };
        let kind = is_root.then_some(entry.kind);
        found.push(Reference { file: FSTAB.to_owned(), spec: entry.spec, role, kind });
    }
    found
}

/// The names in one line: `root=`, with or without quotes, and the variables from which boot scripts form it.
fn of_line(path: &str, line: &str) -> Vec<Spec> {
    let line = line.trim_start();
    if line.starts_with('#') {
        return Vec::new();
    }
    let is_quote = |c: char| matches!(c, '"' | '\'' | '\\');
    let mut specs = Vec::new();
    let mut words = line.split(|c: char| c.is_whitespace() || is_quote(c) || c == ';');
    while let Some(word) = words.next() {
        let value = word.strip_prefix("root=").or_else(|| word.strip_prefix("rootdev="));
        let uuid = word.strip_prefix("uuid=").filter(|_| path.ends_with("uEnv.txt"));
        let spec = match (value, uuid) {
            // The value is in quotes.
            (Some(""), _) => Spec::parse(words.next().unwrap_or_default()),
            (Some(value), _) => Spec::parse(value),
            (None, Some(uuid)) => Spec::Uuid(uuid.to_owned()),
            (None, None) => continue,
        };
        // The boot script replaces variables and placeholders.
        if !spec.to_string().contains(['$', '{', '<', '@', '%']) && !specs.contains(&spec) {
            specs.push(spec);
        }
    }
    specs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(path: &str, text: &str) -> Vec<String> {
        read(path, text.as_bytes()).into_iter().map(|reference| reference.spec.to_string()).collect()
    }

    #[test]
    fn every_form_of_root_on_a_command_line_is_found() {
        for (path, text, expected) in [
            (
                "boot/cmdline.txt",
                "console=ttyS0 root=PARTUUID=5eed5eed-02 rootwait\n",
                "PARTUUID=5eed5eed-02",
            ),
            ("boot/armbianEnv.txt", "verbosity=1\nrootdev=UUID=0a34-5\nrootfstype=ext4\n", "UUID=0a34-5"),
            (
                "boot/extlinux/extlinux.conf",
                "#root=LABEL=no\n  append root=LABEL=rootfs ro\n",
                "LABEL=rootfs",
            ),
            (
                "boot/grub/grub.cfg",
                "set root='hd0,msdos1'\n linux /vmlinuz root=UUID=ab-cd ro",
                "hd0,msdos1|UUID=ab-cd",
            ),
            ("etc/default/u-boot", "U_BOOT_ROOT=\"root=/dev/mmcblk0p2\"\n", "/dev/mmcblk0p2"),
            ("boot/boot.cmd", "setenv bootargs \"console=${c} root=/dev/sda1\"\n", "/dev/sda1"),
            ("boot/boot.cmd", "setenv bootargs root=${rootdev} root=PARTUUID=${uuid}\n", ""),
            ("boot/uEnv.txt", "uuid=1234-ab\ncmdline=quiet\n", "UUID=1234-ab"),
            ("boot/cmdline", "myroot=UUID=1 rootflags=x", ""),
            ("boot/cmdline", "quiet root=\"LABEL=my-root\" ro", "LABEL=my-root"),
            ("boot/loader/entries/a.conf", "options root=PARTLABEL=root ro", "PARTLABEL=root"),
        ] {
            assert_eq!(shown(path, text).join("|"), expected, "{path}");
        }
    }

    #[test]
    fn fstab_names_the_root_and_other_required_file_systems() {
        let text =
            "UUID=1-2 / btrfs subvol=@\nUUID=AB-CD /boot vfat\nLABEL=x /mnt auto nofail\n/a /b none bind\n";
        let found = read(FSTAB, text.as_bytes());
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0].role, found[0].kind.as_deref()), (&Role::Root, Some("btrfs")));
        assert_eq!((&found[1].role, &found[1].kind), (&Role::Other("/boot".into()), &None));
    }

    #[test]
    fn only_files_at_their_places_are_of_interest() {
        let is = |path: &str| is_of_interest(&RelativePath::parse(path).unwrap());
        assert!(is("etc/fstab") && is("boot/loader/entries/x.conf") && is("boot/cmdline.txt"));
        assert!(
            !is("home/etc/fstab") && !is("boot/loader/entries/old/x.conf") && !is("boot/loader/entries/x")
        );
    }

    proptest! {
        #[test]
        fn any_content_is_read_without_a_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
            for path in fixed_paths() {
                for reference in read(path, &content) {
                    prop_assert!(!reference.spec.to_string().contains('\n'));
                }
            }
        }
    }
}
