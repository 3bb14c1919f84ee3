use super::super::layout::Slot;
use super::*;
use replicator_hal::{FileSystem, FileSystemKind};

fn part(number: u32, label: &str, uuid: &str) -> Part {
    let slot = Slot {
        number,
        name: Some(format!("{label}-part")),
        uuid: Some(format!("1234abcd-{number:02}")),
        ..Slot::whole(1)
    };
    let file_system = FileSystem {
        kind: FileSystemKind::Ext4,
        label: Some(label.to_owned()),
        uuid: Some(uuid.to_owned()),
        len_bytes: None,
        needs_recovery: false,
    };
    Part { slot, file_system: Some(file_system) }
}

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

/// The views of an fstab in partition 1, beside `data` (2) and `home` (3): number, directory, path.
fn views(fstab: &str) -> Vec<(u32, String, String)> {
    views_of_parts(fstab, &[part(1, "root", "aa"), part(2, "data", "bb"), part(3, "home", "CC")])
}

fn views_of_parts(fstab: &str, parts: &[Part]) -> Vec<(u32, String, String)> {
    let root = Rootfs {
        part: parts[0].clone(),
        region: parts[0]
            .slot
            .region(&replicator_hal::Holder::Device(replicator_hal::DeviceName::parse("x").unwrap())),
        subvolume: None,
    };
    let mut mounts = Mounts::default();
    for entry in fstab::parse(fstab.as_bytes()) {
        let named = entry.path().unwrap();
        let found = views_of(&entry, &named, parts, Some("mmcblk1"), &mounts, &root);
        mounts.views.extend(found);
    }
    mounts.views.iter().map(|view| (view.number, view.inside.to_string(), view.named.to_string())).collect()
}

#[test]
fn every_name_of_a_partition_is_resolved() {
    for spec in ["UUID=BB", "LABEL=data", "PARTUUID=1234ABCD-02", "PARTLABEL=data-part", "/dev/mmcblk1p2"] {
        assert_eq!(
            views(&format!("{spec} /var auto")),
            [(2, path("").to_string(), "var".to_owned())],
            "{spec}"
        );
    }
    for spec in ["UUID=dd", "LABEL=DATA", "/dev/mmcblk0p2", "/dev/mmcblk1p7", "tmpfs", "server:/data"] {
        assert_eq!(views(&format!("{spec} /var auto")), [], "{spec}");
    }
}

#[test]
fn a_name_of_several_partitions_finds_all_of_them() {
    let parts = [part(1, "root", "aa"), part(2, "data", "bb"), part(3, "data", "cc"), part(4, "root", "dd")];
    let fstab = "LABEL=data /var ext4\n/var/home /home none bind\nLABEL=root / ext4\nLABEL=root /old ext4";
    let found = views_of_parts(fstab, &parts);
    let numbers = |named: &str| {
        found.iter().filter(|view| view.2 == named).map(|view| (view.0, view.1.as_str())).collect::<Vec<_>>()
    };
    let whole = path("").to_string();
    assert_eq!(numbers("var"), [(2, whole.as_str()), (3, &whole)]);
    assert_eq!(numbers("home"), [(2, "home"), (3, "home")]);
    assert_eq!(numbers("old"), [(4, whole.as_str())]);
}

#[test]
fn binds_and_overlays_lie_where_their_source_is_mounted() {
    let fstab = "LABEL=data /data ext4\n\
        LABEL=home /data/home ext4\n\
        /data/log /var/log none bind\n\
        /data/home/u /home/u none rbind\n\
        overlay /etc overlay lowerdir=/etc,upperdir=/data/overlay/etc/upper,workdir=/data/overlay/etc/work\n\
        overlay /opt overlay lowerdir=/opt,upperdir=/upper,workdir=/work\n";
    let expected = [(2, "data"), (3, "data/home"), (2, "var/log"), (3, "home/u"), (2, "etc"), (1, "opt")];
    let found = views(fstab);
    assert_eq!(
        found.iter().map(|(number, _, named)| (*number, named.as_str())).collect::<Vec<_>>(),
        expected
    );
    let inside: Vec<&str> = found[2..].iter().map(|(_, inside, _)| inside.as_str()).collect();
    assert_eq!(inside, ["log", "u", "overlay/etc/upper", "upper"]);
}

#[test]
fn a_mount_unit_is_read_like_a_line() {
    let unit = b"[Unit]\nDescription=x\n[Mount]\nWhat = /dev/disk/by-label/data\nWhere=/var/lib\nOptions=noatime,bind\n";
    let entry = mount_unit(unit).unwrap();
    assert_eq!((entry.path(), entry.spec), (Some(path("var/lib")), Spec::Label("data".to_owned())));
    assert_eq!((entry.kind.as_str(), entry.options), ("auto", vec!["noatime".to_owned(), "bind".to_owned()]));
    assert_eq!(mount_unit(b"[Mount]\nWhat=tmpfs\n"), None);
    assert_eq!(mount_unit(&[0xff]), None);
}
