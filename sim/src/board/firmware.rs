//! The HAL's firmware: finds areas, reads registers, and runs updaters on the model of the microcontroller and the
//! FPGA.

use crate::board::devices::open_disk;
use crate::board::handle::Handle;
use crate::model::hardware::claims::Role;
use crate::model::hardware::firmware::{ProgramEnd, UpdaterBehaviour, run_script};
use crate::model::hardware::simfs::refuse;
use crate::model::time::op::Op;
use crate::model::time::op_name::OpName;
use replicator_hal::{
    Access, Argument, BootloaderArea, DeviceName, Error, ErrorKind, FileKind, Firmware, HookEnd,
    RelativePath, Result, Target, Updater, UpdaterProgram, VolumeId,
};

/// The longest updater or update.
const FILE_LEN_MAX: usize = 1 << 20;

pub(crate) struct SimFirmware {
    pub(crate) handle: Handle,
}

impl SimFirmware {
    fn read_file(&self, operation: Op, volume: VolumeId, path: &RelativePath) -> Result<Vec<u8>> {
        self.handle.call(operation, |machine, moment| {
            let now = machine.wall(moment.now);
            let object = path.to_string();
            machine.storage.with_volume(volume.0, now, "starting", &object, |mounted, layer| {
                let inode = mounted.fs.lookup(path)?;
                if mounted.fs.inode(inode).is_none_or(|node| node.kind != FileKind::File) {
                    return refuse(ErrorKind::ToolFailed, "a program must be a regular file");
                }
                let mut bytes = vec![0; FILE_LEN_MAX];
                let len = mounted.fs.read(layer, inode, 0, &mut bytes)?;
                bytes.truncate(len);
                Ok(bytes)
            })
        })
    }

    fn supervisor(&self, updater: &Updater, operation: Op, name: &str) -> Result<ProgramEnd> {
        let missing = || Error::new(ErrorKind::NotFound, "starting", name, "no such program on this system");
        let update = updater.arguments.iter().find_map(|argument| match argument {
            Argument::File { volume, path } => Some((*volume, path)),
            Argument::Text(_) => None,
        });
        let read = Op { name: OpName::Open, mutates: false, ..operation.clone() };
        let update = update.map(|(volume, path)| self.read_file(read, volume, path)).transpose()?;
        self.handle.call(operation, |machine, _| {
            let micro = machine.storage.firmware.microcontroller.as_mut();
            let micro =
                micro.filter(|micro| micro.updater != UpdaterBehaviour::Missing).ok_or_else(missing)?;
            Ok(match update {
                Some(update) => micro.update(&update),
                None => micro.info(),
            })
        })
    }
}

impl Firmware for SimFirmware {
    fn bootloader_areas(&self) -> Result<Vec<BootloaderArea>> {
        let op = Op::new(OpName::AreaList, "firmware");
        self.handle.call(op, |machine, _| {
            let present = machine.storage.disks.values().filter(|disk| disk.present);
            let areas = present.filter_map(|disk| Some((disk, disk.area.as_ref()?))).map(|(disk, area)| {
                Ok(BootloaderArea {
                    name: DeviceName::parse(&*disk.identity.device)?,
                    kind: area.kind.clone(),
                    controller_path: disk.identity.controller_path.clone(),
                    label: None,
                    len_bytes: disk.len_bytes(),
                    read_only: disk.read_only,
                })
            });
            let mut areas = areas.collect::<Result<Vec<BootloaderArea>>>()?;
            machine.list_order.shuffle(&mut areas);
            Ok(areas)
        })
    }

    fn open_bootloader_area(&self, area: &DeviceName, access: Access) -> Result<Box<dyn Target>> {
        open_disk(&self.handle, area, Role::Area(access))
    }

    fn register(&self, address: u64) -> Result<u32> {
        let object = format!("register {address:#x}");
        let op = Op { object: object.clone(), ..Op::new(OpName::Register, "firmware") };
        self.handle.call(op, |machine, _| {
            let error = |kind, detail| Error::new(kind, "reading", object, detail);
            if address % 4 != 0 {
                return Err(error(ErrorKind::InvalidInput, "not a multiple of 4"));
            }
            let value = machine.storage.firmware.registers.get(&address).copied();
            value.ok_or_else(|| error(ErrorKind::Unsupported, "no such register"))
        })
    }

    fn run_updater(&self, updater: &Updater) -> Result<HookEnd> {
        let command = updater.to_string();
        let op = Op { object: command.clone(), mutates: true, ..Op::new(OpName::Updater, "firmware") };
        let outcome = match &updater.program {
            UpdaterProgram::System(name) => self.supervisor(updater, op, name)?,
            UpdaterProgram::File { volume, path } => {
                let read = Op { name: OpName::Open, mutates: false, ..op.clone() };
                let bytes = self.read_file(read, *volume, path)?;
                self.handle.call(op, |machine, _| {
                    let text = std::str::from_utf8(&bytes).ok();
                    let ran = text.and_then(|text| {
                        run_script(text, &path.to_string(), &mut machine.storage.firmware.fpga)
                    });
                    ran.ok_or_else(|| {
                        Error::new(
                            ErrorKind::ToolFailed,
                            "starting",
                            command.as_str(),
                            "it cannot be started",
                        )
                    })
                })?
            }
        };
        match outcome {
            ProgramEnd::Ends(end) => Ok(end),
            ProgramEnd::Hangs => {
                self.handle.sleep(updater.timeout);
                Err(Error::new(ErrorKind::TimedOut, "running", command, "it had to be killed"))
            }
        }
    }
}
