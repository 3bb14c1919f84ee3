//! The HAL's calls on whole file systems: identify, check, format, grow, map, mount. Their effects are in the model's
//! `volumes`.

use crate::board::handle::Handle;
use crate::board::volume::SimVolume;
use crate::model::hardware::machine::Machine;
use crate::model::hardware::simfs::Outcome;
use crate::model::hardware::storage::Place;
use crate::model::time::op::{Moment, Op};
use crate::model::time::op_name::OpName;
use replicator_hal::{
    Access, Error, ErrorKind, FileSystem, FileSystemKind, FileSystems, Format, Fsck, Holder, Region,
    RelativePath, Result, UsedMap, Volume,
};
use std::sync::Arc;

pub(crate) struct SimFileSystems {
    pub(crate) handle: Handle,
}

impl SimFileSystems {
    fn op(&self, name: OpName, region: &Region, mutates: bool) -> Op {
        let located = self.handle.peek(|machine, _| machine.storage.locate(region).ok());
        let (on, device) = match located {
            Some((_, on, device)) => (on, Some(device)),
            None => ("device".into(), None),
        };
        Op {
            name,
            on,
            object: region.to_string(),
            offset_bytes: region.offset_bytes,
            len_bytes: region.len_bytes,
            mutates,
            device,
        }
    }

    fn call<R>(
        &self,
        op: Op,
        region: &Region,
        work: impl FnOnce(&mut Machine, &Place, Moment) -> Outcome<R>,
    ) -> Result<R> {
        let (name, object) = (op.name.word(), op.object.clone());
        self.handle.call(op, |machine, moment| {
            let (place, ..) = machine.storage.locate(region)?;
            work(machine, &place, moment).map_err(|refusal| refusal.into_error(name, object))
        })
    }
}

impl FileSystems for SimFileSystems {
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>> {
        let op = self.op(OpName::Identify, region, false);
        self.call(op, region, |machine, place, moment| machine.identify(region, place, moment))
    }

    fn fsck(&self, region: &Region) -> Result<Fsck> {
        let op = self.op(OpName::Fsck, region, true);
        self.call(op, region, |machine, place, moment| machine.fsck(region, place, moment))
    }

    fn format(&self, region: &Region, format: &Format) -> Result<()> {
        let op = self.op(OpName::Format, region, true);
        self.call(op, region, |machine, place, moment| machine.format(region, format, place, moment))
    }

    fn grow(&self, region: &Region) -> Result<()> {
        let op = self.op(OpName::Grow, region, true);
        self.call(op, region, |machine, place, moment| machine.grow(region, place, moment))
    }

    fn used_map(&self, region: &Region) -> Result<Option<UsedMap>> {
        let op = self.op(OpName::UsedMap, region, false);
        self.call(op, region, |machine, place, moment| machine.used_map(region, place, moment))
    }

    fn mount_subvolume(&self, region: &Region, _: &RelativePath, _: Access) -> Result<Box<dyn Volume>> {
        let detail = "this backend has no subvolumes";
        Err(Error::new(ErrorKind::Unsupported, "mounting", region.to_string(), detail))
    }

    fn can_mount(&self, kind: &FileSystemKind) -> Result<bool> {
        Ok(self.handle.peek(|machine, _| machine.can_mount(kind)))
    }

    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>> {
        let op = self.op(OpName::Mount, region, access == Access::ReadWrite);
        let new =
            self.call(op, region, |machine, place, moment| machine.mount(region, access, place, moment))?;
        let mounted_at_drive = matches!(region.holder, Holder::Device(_));
        Ok(Box::new(SimVolume::new(
            Arc::clone(&self.handle),
            new.id,
            new.kind,
            (new.on, new.device),
            mounted_at_drive,
            new.file_len_max_bytes,
        )))
    }
}
