//! The [`FileSystems`] of a Linux system: combines regions, tools and mounts.

use super::byte_range::{FileRange, ReadAt, le32};
use super::devices::LinuxDevices;
use super::mount::{LinuxMount, MountPoint};
use super::region_device::{RegionDevice, open_bytes};
use super::roots::KernelRoots;
use super::tools::Tools;
use super::write_protection::WriteProtection;
use super::{file_extents, ioctl, superblock, sysfs, used_map};
use crate::host::{Tree, TreeVolume, Volumes};
use crate::{
    Access, Error, ErrorKind, FileSystem, FileSystemKind, FileSystems, Flavour, Format, Fsck, Holder, Region,
    RelativePath, Result, UsedMap, Volume,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where volumes are mounted, and the tools.
#[derive(Debug, Clone)]
pub struct FileSystemsConfig {
    /// Where `/dev`, `/sys` and `/proc` are.
    pub roots: KernelRoots,
    /// The mount point of the USB drive, of which one can be mounted at a time; `None` for a private directory.
    pub drive_mount_point: Option<PathBuf>,
    /// Where private mount points are created; `None` for `/run`, or for the temporary directory if `/run` is not
    /// writable.
    pub mount_base: Option<PathBuf>,
    /// The tools.
    pub tools: Tools,
}

/// The file systems of a Linux system.
pub struct LinuxFileSystems {
    config: FileSystemsConfig,
    mount_base: PathBuf,
    volumes: Arc<Volumes>,
    claims: Claims,
    protection: WriteProtection,
}

/// Regions that are mounted or in use by a tool. For a region in a file there is no lock in the kernel.
type Claims = Arc<Mutex<Vec<Region>>>;

struct Claim {
    claims: Claims,
    region: Region,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = claims.iter().position(|region| *region == self.region) {
            claims.swap_remove(at);
        }
    }
}

impl LinuxFileSystems {
    /// File systems whose mounted volumes are in `volumes`.
    pub fn new(config: FileSystemsConfig, volumes: Arc<Volumes>) -> Self {
        let mount_base = config.mount_base.clone().unwrap_or_else(|| {
            let run = Path::new("/run");
            let writable = nix::unistd::access(run, nix::unistd::AccessFlags::W_OK).is_ok();
            if writable { run.to_owned() } else { std::env::temp_dir() }
        });
        let protection = WriteProtection::default();
        Self { config, mount_base, volumes, claims: Claims::default(), protection }
    }

    /// The same, sharing the list of write-protected devices with `devices`, so that
    /// [`LinuxDevices::end_write_protection`] removes the protection of both.
    #[must_use]
    pub fn beside(mut self, devices: &LinuxDevices) -> Self {
        self.protection = devices.protection().clone();
        self
    }

    fn region_device(&self, region: &Region, access: Access) -> Result<RegionDevice> {
        RegionDevice::open(&self.config.roots, &self.protection, &self.volumes, region, access)
    }

    fn bytes(&self, region: &Region) -> Result<FileRange> {
        let (file, offset_bytes) = open_bytes(&self.config.roots, &self.volumes, region)?;
        Ok(FileRange::new(file, region.to_string(), offset_bytes, region.len_bytes))
    }

    fn claim(&self, region: &Region, operation: &str) -> Result<Claim> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let overlaps = |other: &Region| {
            other.holder == region.holder
                && other.offset_bytes < region.offset_bytes.saturating_add(region.len_bytes)
                && region.offset_bytes < other.offset_bytes.saturating_add(other.len_bytes)
        };
        if claims.iter().any(overlaps) {
            let detail = "it is mounted or in use";
            return Err(Error::new(ErrorKind::Busy, operation, region.to_string(), detail));
        }
        claims.push(region.clone());
        Ok(Claim { claims: Arc::clone(&self.claims), region: region.clone() })
    }

    /// Calls `act` with the node of the region's device.
    fn on_node<T>(
        &self,
        region: &Region,
        operation: &str,
        act: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        let claim = self.claim(region, operation)?;
        let mut device = self.region_device(region, Access::ReadWrite)?;
        let result = act(&device.node());
        let closed = device.close();
        drop(claim);
        let result = result?;
        closed?;
        Ok(result)
    }

    fn identified(&self, region: &Region, operation: &str) -> Result<FileSystemKind> {
        match self.identify(region)? {
            Some(found) => Ok(found.kind),
            None => {
                Err(Error::new(ErrorKind::Unsupported, operation, region.to_string(), "no known file system"))
            }
        }
    }

    fn mount_point(&self, region: &Region) -> Result<MountPoint> {
        if let (Some(fixed), Holder::Device(device)) = (&self.config.drive_mount_point, &region.holder) {
            let directory = std::fs::canonicalize(self.config.roots.class_block(device)).unwrap_or_default();
            if sysfs::is_on_usb(&directory) && !super::mount::is_mount_point(fixed) {
                return MountPoint::fixed(fixed);
            }
        }
        MountPoint::private(&self.mount_base)
    }
}

impl FileSystems for LinuxFileSystems {
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>> {
        superblock::identify(&mut self.bytes(region)?)
    }

    fn fsck(&self, region: &Region) -> Result<Fsck> {
        let kind = self.identified(region, "checking")?;
        let tools = &self.config.tools;
        match kind {
            kind if kind.is_ext() => self.on_node(region, "checking", |node| tools.check_ext(node)),
            FileSystemKind::Vfat => self.on_node(region, "checking", |node| tools.check_fat(node)),
            kind => Err(no_tool("checking", region, &kind)),
        }
    }

    fn format(&self, region: &Region, format: &Format) -> Result<()> {
        let tools = &self.config.tools;
        self.on_node(region, "formatting", |node| {
            let sector_len_bytes = File::open(node).and_then(|file| ioctl::sector_len_bytes(&file));
            let sector_len_bytes = sector_len_bytes
                .map_err(|error| Error::from_io(error, "formatting", node.display().to_string()))?;
            tools.make(node, region.len_bytes, sector_len_bytes, format)
        })?;
        // If there is no room for a journal, mke2fs omits it and reports success.
        let expected = match format.flavour {
            Flavour::Ext2 => FileSystemKind::Ext2,
            Flavour::Ext3 => FileSystemKind::Ext3,
            Flavour::Ext4 | Flavour::Ext4Compat => FileSystemKind::Ext4,
        };
        let mut bytes = self.bytes(region)?;
        let mut compat = [0; 4];
        bytes.read_padded(1024 + 0x5c, &mut compat)?;
        let has_journal = le32(&compat, 0) & 0x4 != 0;
        let found = superblock::identify(&mut bytes)?.map(|found| found.kind);
        if found.as_ref() == Some(&expected) && has_journal == (expected != FileSystemKind::Ext2) {
            return Ok(());
        }
        let detail = format!("too small for {expected}: mke2fs made another file system");
        Err(Error::new(ErrorKind::NoSpace, "formatting", region.to_string(), detail))
    }

    fn grow(&self, region: &Region) -> Result<()> {
        let kind = self.identified(region, "growing")?;
        if !kind.is_ext() {
            return Err(no_tool("growing", region, &kind));
        }
        self.on_node(region, "growing", |node| self.config.tools.grow_ext(node))
    }

    fn used_map(&self, region: &Region) -> Result<Option<UsedMap>> {
        used_map::used_map(&mut self.bytes(region)?)
    }

    fn can_mount(&self, kind: &FileSystemKind) -> Result<bool> {
        super::mount::can_mount(kind)
    }

    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>> {
        self.mount_tree(region, None, access)
    }

    fn mount_subvolume(
        &self,
        region: &Region,
        subvolume: &RelativePath,
        access: Access,
    ) -> Result<Box<dyn Volume>> {
        self.mount_tree(region, Some(subvolume), access)
    }
}

impl LinuxFileSystems {
    fn mount_tree(
        &self,
        region: &Region,
        subvolume: Option<&RelativePath>,
        access: Access,
    ) -> Result<Box<dyn Volume>> {
        let claim = self.claim(region, "mounting")?;
        let mut bytes = self.bytes(region)?;
        let found = match superblock::identify(&mut bytes)? {
            Some(found) => found,
            None => {
                let detail = "no known file system";
                return Err(Error::new(ErrorKind::Unsupported, "mounting", region.to_string(), detail));
            }
        };
        let refused = |detail: &str| {
            Err(Error::new(ErrorKind::Unsupported, "mounting", region.to_string(), detail.to_owned()))
        };
        let options = match (&found.kind, subvolume) {
            // The kernel would use the other devices wherever it has seen them, including the source.
            (FileSystemKind::Btrfs, _) if superblock::btrfs_devices(&mut bytes)? != 1 => {
                return refused("this btrfs spans several devices");
            }
            (FileSystemKind::Btrfs, None) => "subvolid=5".to_owned(),
            (FileSystemKind::Btrfs, Some(path)) => match std::str::from_utf8(path.as_bytes()) {
                Ok(path) if !path.contains([',', '\\']) => format!("subvol=/{path}"),
                _ => return refused("mount(2) does not accept the name of the subvolume"),
            },
            (_, None) => String::new(),
            (_, Some(_)) => return refused("it has no subvolumes"),
        };
        drop(bytes);
        // On FAT the kernel replays nothing. The superblock of XFS does not show whether there is something to replay.
        let dirty = found.kind == FileSystemKind::Xfs || found.needs_recovery && found.kind.is_linux();
        let kind = found.kind;
        let device = self.region_device(region, access)?;
        let point = self.mount_point(region)?;
        let path = point.path().to_owned();
        let mount = LinuxMount::new(kind.clone(), options, device, point, access, dirty, Box::new(claim))?;
        let mut tree = Tree::new(&path, Some(path.clone()))?.with_kind(kind.clone()).with_access(access)?;
        if kind.is_ext() {
            // Others have addresses of their own (btrfs), or more than one device (XFS).
            tree = tree.with_locator(file_extents::written);
        }
        let (id, tree) = self.volumes.add(tree);
        Ok(Box::new(TreeVolume::new(id, tree, mount)))
    }
}

fn no_tool(operation: &str, region: &Region, kind: &FileSystemKind) -> Error {
    let detail = format!("there is no tool for {kind}");
    Error::new(ErrorKind::Unsupported, operation, region.to_string(), detail)
}
